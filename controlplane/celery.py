"""The Celery application; run as `celery -A controlplane worker -Q intake` (or alerts, background)."""

import os

from celery import Celery
from celery.signals import worker_process_init

from controlplane import memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

app = Celery("controlplane")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def _settle(**_: object) -> None:
    memory.settle()
