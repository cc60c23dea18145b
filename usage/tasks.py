"""Celery's way in: each task makes one call inwards and may run twice, late, or at the same time as another."""

from __future__ import annotations

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from alerts.models import Delivery, DeliveryState
from alerts.tasks import DELIVER_DUE
from alerts.tasks import QUEUE as ALERTS
from budgets.services import building, looking
from core import nudges
from usage.models import Receipt, ReceiptState
from usage.selectors import drivers
from usage.services import booking, housekeeping, jobs, outlooks, rerating, silence
from usage.services.imports import running as importing
from usage.services.restating import running
from usage.services.watching import drifting, spending, unpriced

BOOK = "usage.tasks.book_pending"
JOBS = "usage.tasks.run_jobs"

# The database went away, or broke a deadlock: nothing was done, and the same may be done again.
_GONE = (OperationalError, InterfaceError)
_looked_at_revision = -1


@shared_task(name=BOOK, autoretry_for=_GONE, retry_backoff=True, max_retries=3)
def book_pending() -> None:
    """Book whatever waits, until nothing does. Alerts go out after each transaction, however much waits behind it."""
    nudges.begun(BOOK)
    booked = 0
    while (batch := booking.book_next(at=timezone.now())).taken:
        booked += batch.done
        if batch.done and Delivery.objects.filter(state=DeliveryState.WAITING, due_at__lte=timezone.now()).exists():
            nudges.nudge(DELIVER_DUE, queue=ALERTS)
    if booked and importing.feeds():
        nudges.nudge(JOBS, queue="background")


@shared_task(name=JOBS, autoretry_for=_GONE, retry_backoff=True, max_retries=3)
def run_jobs() -> None:
    """Build budgets' counters, look for prices that arrived, and run the jobs that are due."""
    nudges.begun(JOBS)
    waiting = building.waiting_to_build()
    for counter_id in waiting:
        building.build(counter_id=counter_id, summed=drivers.sum_so_far, at=timezone.now(), explain=drivers.explain)
    if waiting and outlooks.look(at=timezone.now()):
        nudges.nudge(DELIVER_DUE, queue=ALERTS)
    _look_for_prices()
    while jobs.run_next(clock=timezone.now):
        pass
    if Receipt.objects.filter(state=ReceiptState.PENDING).exists():
        nudges.nudge(BOOK, queue="intake")  # an import's, put in line just now


def _look_for_prices() -> None:
    """Where the catalogue changed since this process last looked, price what waited for it and restate the past."""
    global _looked_at_revision
    # First what somebody amended, under that person's name; what still waits for a price then has nobody's.
    running.take_up(at=timezone.now())
    _looked_at_revision = rerating.look_for_prices(since_revision=_looked_at_revision, at=timezone.now())


@shared_task(name="usage.tasks.keep_house", autoretry_for=_GONE, retry_backoff=True)
def keep_house() -> None:
    housekeeping.keep(at=timezone.now())


@shared_task(name="usage.tasks.look_for_silence", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def look_for_silence() -> None:
    """Tell of gateways that went silent, and take it back where they are heard again."""
    if silence.look(at=timezone.now()).raised:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="usage.tasks.watch_spending", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def watch_spending() -> None:
    """Tell of days that cost far more than usual, today among them."""
    if spending.look(at=timezone.now()).raised:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="usage.tasks.watch_frontier", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def watch_frontier() -> None:
    """Tell of use cases whose share on frontier models rises."""
    if drifting.look(at=timezone.now()).raised:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="usage.tasks.watch_prices", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def watch_prices() -> None:
    """Tell where too much of what is used has no price."""
    if unpriced.look(at=timezone.now()).raised:
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="usage.tasks.look_ahead", autoretry_for=_GONE, retry_backoff=True, max_retries=1)
def look_ahead() -> None:
    """Look at what budgets' days used, and tell of forecasts that pass a threshold."""
    if outlooks.look(at=timezone.now()):
        nudges.nudge(DELIVER_DUE, queue=ALERTS)


@shared_task(name="usage.tasks.look_at_time", autoretry_for=_GONE, retry_backoff=True, max_retries=3)
def look_at_time() -> None:
    """Evaluate limits that started or ended, and forecasts; running twice tells nothing twice."""
    if looking.look_at_time(at=timezone.now(), explain=drivers.explain):
        nudges.nudge(DELIVER_DUE, queue=ALERTS)
