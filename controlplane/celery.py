"""The Celery application; run as `celery -A controlplane worker -Q intake` (or alerts, background)."""

import os

from celery import Celery
from celery.signals import worker_process_init

from controlplane import memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
# Celery would run Django's checks in each worker and in beat, and look at no result: they import every page of the
# console, which takes longer than all the rest of a start, and no worker needs them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("controlplane")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
def _settle(**_: object) -> None:
    memory.settle()
