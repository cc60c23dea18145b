"""The alerts worker: its one task looks for what is due. Nudge it after raising alerts; a sweep comes every 2 s."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from alerts.services import deliveries
from core import nudges

DELIVER_DUE = "alerts.tasks.deliver_due"
QUEUE = "alerts"  # named by whoever sends: the sweep of the settings, and nudges

_ATTEMPTS_PER_CALL = 500


@shared_task(name=DELIVER_DUE)
def deliver_due() -> None:
    """Send until nothing is due; running twice at once sends nothing twice."""
    nudges.begun(DELIVER_DUE)
    while deliveries.deliver_due(at=timezone.now(), limit=_ATTEMPTS_PER_CALL):
        pass
