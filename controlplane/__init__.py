"""Settings, addresses, processes; no rule of the domain."""

from controlplane.celery import app as celery_app

__all__ = ["celery_app"]
