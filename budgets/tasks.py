"""What Celery runs for budgets alone; what needs the ledger too is in `usage.tasks`."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from alerts.tasks import DELIVER_DUE
from alerts.tasks import QUEUE as ALERTS
from budgets.services import canary
from core import nudges

_JOBS = "usage.tasks.run_jobs"  # which builds counters; usage is above us


def tell() -> None:
    """Ask the workers to look now: for counters to build, and for alerts that a change of a limit raised."""
    nudges.nudge(_JOBS, queue="background")
    nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(
    name="budgets.tasks.look_at_canary",
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=True,
    max_retries=1,
)
def look_at_canary() -> None:
    """Make the daily check, if it is time; running twice makes one."""
    if canary.look(at=timezone.now()):
        nudges.nudge(DELIVER_DUE, queue=ALERTS)
