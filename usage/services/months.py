"""Closing a month: from then on its totals never change."""

from __future__ import annotations

from datetime import date, datetime

from django.db import IntegrityError, transaction

from core import periods
from core.errors import Conflict, Invalid
from core.models import Organisation
from core.services import audit, barrier
from usage.models import Month


class MonthNotOver(Conflict):
    """The month still runs, so it cannot be closed."""


class AlreadyClosed(Conflict):
    """The month was closed before."""


@transaction.atomic(durable=True)
def close_month(*, label: date, by: str, at: datetime, reason: str = "") -> Month:
    """Close the organisation's month that begins on `label`; what comes late for it is booked in the open month.

    Waits for the bookings that are under way and keeps others out for the moment it takes, so that none of them can
    still book into the month as if it were open.

    Raises:
        Invalid: `label` is not the first day of a month.
        MonthNotOver: the month has not ended yet.
        AlreadyClosed: nothing changed.
    """
    if label.day != 1:
        raise Invalid(f"{label} is not the first day of a month.", [("label", "Give the month's first day.")])
    barrier.hold_exclusive()
    audit.acting(by=by, reason=reason)
    zone = Organisation.objects.get(pk=1).zone
    period = periods.month(label, zone)
    if at < period.ends_at:
        raise MonthNotOver(f"{label:%B %Y} is not over before {period.ends_at.isoformat()}.")
    try:
        with transaction.atomic():
            return Month.objects.create(
                label=label,
                starts_at=period.starts_at,
                ends_at=period.ends_at,
                zone=zone,
                closed_at=at,
                closed_by=by,
                reason=reason,
            )
    except IntegrityError as error:
        raise AlreadyClosed(f"{label:%B %Y} was closed before.") from error
