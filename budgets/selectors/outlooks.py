"""What is expected of budgets' days, as it was last looked at, and the forecasts made with it.

Pages, the API and alerts all forecast here: with the profile that is kept, and with the counter of the moment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from budgets import rules
from budgets.models import Outlook
from budgets.rules import Definition, Forecast, Profile, forecasting
from core import periods
from core.periods import Period

EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlookRow:
    """The days of the last eight weeks and of the present period, and what a day is expected to use."""

    looked_at: datetime
    days: Mapping[date, Decimal]  # in the budget's zone and unit; days without use may be missing
    profile: Profile | None  # None before three full days of use


def read(outlook: Outlook) -> OutlookRow:
    """Return a row of the table as a value. No query."""
    return OutlookRow(
        looked_at=outlook.looked_at,
        days={date.fromisoformat(day): Decimal(used) for day, used in outlook.days},
        profile=forecasting.read(outlook.profile),
    )


def of(budget_ids: Collection[int]) -> dict[int, OutlookRow]:
    """Return what is known of these budgets, those left out that nobody has looked at. One query, none for none."""
    if not budget_ids:
        return {}
    return {one.budget_id: read(one) for one in Outlook.objects.filter(budget__in=budget_ids)}


def forecast(
    *, definition: Definition, period: Period, used: Decimal, outlook: OutlookRow | None, at: datetime, share: int = 100
) -> Forecast | None:
    """Return where a budget's use leads, and when it reaches a share (per cent) of its limit.

    That limit is the one that holds on each day: where one starts or ends before the period does, what is expected then
    is compared with what holds then. Without an outlook (nobody sums the days of its scope, or has yet) use goes on at
    the pace of the period so far. It is made for the last full five minutes: two pages in a row tell the same, unless
    something was used between.
    """
    now = definition.limit_at(at)
    limit = rules.part(now.amount, share) if now is not None else None
    changes = any(at < edge < period.ends_at for edge in definition.edges)
    limit_on = _limit_on(definition, period, share) if changes else None
    at = max(_made_at(at), period.starts_at)
    if outlook is None:
        return forecasting.even_forecast(
            period=period, zone=definition.zone, at=at, used=used, limit=limit, limit_on=limit_on
        )
    return forecasting.forecast(
        period=period, zone=definition.zone, at=at, used=used, limit=limit, profile=outlook.profile, limit_on=limit_on
    )


def _made_at(at: datetime) -> datetime:
    return at - (at - datetime.min.replace(tzinfo=at.tzinfo)) % EVERY


def _limit_on(definition: Definition, period: Period, share: int) -> forecasting.LimitOn:
    def limit_on(day: date) -> Decimal | None:
        ends_at = min(periods.day_start(day + timedelta(days=1), definition.zone), period.ends_at)
        limit = definition.limit_at(ends_at - timedelta.resolution)
        return rules.part(limit.amount, share) if limit is not None else None

    return limit_on
