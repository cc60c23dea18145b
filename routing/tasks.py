"""Celery's way in: each task makes one call inwards and may run twice, late, or at the same time as another."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from alerts.tasks import DELIVER_DUE
from alerts.tasks import QUEUE as ALERTS
from core import nudges
from routing.services import fleet, orders, reviews, schedules

# The database went away, or broke a deadlock: what was not done waits, and the same may be done again.
_GONE = (OperationalError, InterfaceError)


@shared_task(name="routing.tasks.publish_due", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def publish_due() -> None:
    """Publish what is scheduled and due, and tell of what could not be."""
    if schedules.publish_due(at=timezone.now()).suspended:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="routing.tasks.look_at_reviews", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def look_at_reviews() -> None:
    """Tell of rules that are due for review, and take it back where they were looked at."""
    if reviews.look(at=timezone.now()).raised:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="routing.tasks.renew_orders", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def renew_orders() -> None:
    """Work out anew in which order targets by score are tried, and tell gateways where one moved."""
    orders.renew(at=timezone.now())


@shared_task(name="routing.tasks.look_at_fleet", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def look_at_fleet() -> None:
    """Tell of versions that gateways refuse, and take it back where none does any more."""
    if fleet.look(at=timezone.now()).raised:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="routing.tasks.forget_polls", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def forget_polls() -> None:
    """Let go of instances that were not heard of for days."""
    fleet.forget(at=timezone.now())
