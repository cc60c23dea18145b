"""What became of the daily checks, day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from django.db.models import Max

from alerts.models import Channel, Delivery, DeliveryState
from alerts.selectors.alerts import DeliveryRow, delivery_row
from budgets.models import Budget, Crossing
from core import periods
from core.models import Organisation


@dataclass(frozen=True, kw_only=True)
class Leg:
    """The check of one day on its way to one channel."""

    delivery: DeliveryRow
    seconds: float | None  # from the crossing to the far side's answer; None while it was not delivered


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day's check. `missing`: none was made, since nothing ran or no channel was ticked for it."""

    day: date
    state: Literal["crossed", "missing", "to_come"]
    crossed_at: datetime | None = None
    legs: tuple[Leg, ...] = ()  # by channel's name


def days(*, at: datetime, count: int = 14) -> list[Day]:
    """Return what became of the checks of the last days, today's first, back to the first that was made.

    Empty where there never was one. 4 queries, 2 where there never was one.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    made_at = Budget.objects.filter(canary=True).values_list("created_at", flat=True).first()
    if made_at is None:
        return []
    today = periods.local_day(at, zone)
    first = max(periods.local_day(made_at, zone), today - timedelta(days=count - 1))
    crossed = {
        periods.local_day(crossing.crossed_at, zone): crossing
        for crossing in Crossing.objects.filter(
            budget__canary=True, period_start__gte=periods.day_start(first, zone)
        ).order_by("id")
    }
    legs: dict[int, list[DeliveryRow]] = {crossing.alert_id: [] for crossing in crossed.values()}
    sent = Delivery.objects.filter(alert__in=legs).select_related("channel").defer("channel__secret")
    for delivery in sent.order_by("channel__name", "id"):
        legs[delivery.alert_id].append(delivery_row(delivery))
    found = []
    for back in range((today - first).days + 1):
        day = today - timedelta(days=back)
        crossing = crossed.get(day)
        if crossing is None:
            found.append(Day(day=day, state="missing" if back else "to_come"))
        else:
            gone = tuple(_leg(row, crossing.crossed_at) for row in legs[crossing.alert_id])
            found.append(Day(day=day, state="crossed", crossed_at=crossing.crossed_at, legs=gone))
    return found


def delivered_ages(*, at: datetime) -> dict[str, float]:
    """Return how many seconds ago each channel that is ticked for the check took one last; 30 days back at most.

    Channels by name; left out where none arrived. One query.
    """
    taken = Delivery.objects.filter(
        alert__in=Crossing.objects.filter(budget__canary=True, period_start__gte=at - timedelta(days=30)).values(
            "alert"
        ),
        channel__in=Channel.objects.filter(canary=True, enabled=True, retired_at__isnull=True),
        state=DeliveryState.DELIVERED,
    )
    last = taken.values_list("channel__name").annotate(last=Max("delivered_at"))
    return {name: max((at - delivered_at).total_seconds(), 0) for name, delivered_at in last if delivered_at}


def _leg(row: DeliveryRow, crossed_at: datetime) -> Leg:
    took = None if row.delivered_at is None else (row.delivered_at - crossed_at).total_seconds()
    return Leg(delivery=row, seconds=took)
