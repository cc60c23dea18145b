"""Celery's way in: each task makes one call inwards and may run twice, late, or at the same time as another."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from routing.services import orders

# The database went away, or broke a deadlock: what was not done waits, and the same may be done again.
_GONE = (OperationalError, InterfaceError)


@shared_task(name="routing.tasks.renew_orders", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def renew_orders() -> None:
    """Work out anew in which order targets by score are tried, and tell gateways where one moved."""
    orders.renew(at=timezone.now())
