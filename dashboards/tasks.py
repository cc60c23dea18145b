"""Celery's way in: each task makes one call inwards and may run twice, late, or at the same time as another."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from alerts.tasks import DELIVER_DUE, QUEUE
from core import nudges
from dashboards.services import digests


@shared_task(
    name="dashboards.tasks.send_digests",
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=True,
    max_retries=1,
)
def send_digests() -> None:
    """Send the digests whose hour has come."""
    if digests.send_due(at=timezone.now()):
        nudges.nudge(DELIVER_DUE, queue=QUEUE)
