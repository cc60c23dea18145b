"""Settings, addresses, processes; no rule of the domain."""

from controlplane import memory

memory.load()  # before all else: whatever starts here imports this package first

from controlplane.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
