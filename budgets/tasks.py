"""What Celery runs for budgets."""

from __future__ import annotations

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from budgets.services import looking
from core import nudges


@shared_task(autoretry_for=(OperationalError,), retry_backoff=True, max_retries=3, ignore_result=True)
def look_at_time() -> None:
    """Evaluate limits that started or ended; running twice tells nothing twice. Default queue."""
    if looking.look_at_time(at=timezone.now()):
        nudges.nudge("alerts.tasks.deliver_due", queue="alerts")
