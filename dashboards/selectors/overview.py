"""What the first page shows of a month, put together from the questions that `usage` and `alerts` answer."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from alerts.selectors import alerts
from alerts.selectors.alerts import AlertRow
from core import periods
from usage.selectors import freshness, overview
from usage.selectors.freshness import GatewayFreshness
from usage.selectors.overview import Correction, MonthForecast, Sums, UnpricedOffering, UseCaseSums

DAYS_DRAWN = 90
ALERTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """A month [first, until) of the organisation's as it stands today, and what it is compared with."""

    first: date
    until: date
    today: date
    before: date  # first day of the month before

    @property
    def runs(self) -> bool:
        return self.first <= self.today < self.until

    @property
    def full_days(self) -> int:
        """Days of the month that are over."""
        return (min(self.today, self.until) - self.first).days

    @property
    def comparable_until(self) -> date:
        return min(self.today, self.until)

    @property
    def before_until(self) -> date:
        """Where the same days of the month before end; all of it, where this one is over."""
        return min(self.before + timedelta(days=self.full_days), self.first) if self.runs else self.first

    @property
    def drawn_first(self) -> date:
        return self.drawn_until - timedelta(days=DAYS_DRAWN)

    @property
    def drawn_until(self) -> date:
        return min(self.until, self.today + timedelta(days=1))

    @property
    def length(self) -> int:
        return (self.until - self.first).days

    @property
    def name(self) -> str:
        return f"{self.first:%B %Y}"

    @property
    def name_before(self) -> str:
        return calendar.month_name[self.before.month]


def calendar_of(*, month: date | None, zone: str, at: datetime) -> Calendar:
    """Return a month, by default the present one; a month that has not begun is the present one too."""
    today = periods.local_day(at, zone)
    first = min(month or today, today).replace(day=1)
    return Calendar(first=first, until=periods.add_months(first, 1), today=today, before=periods.add_months(first, -1))


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A month in numbers. `so_far` and `same_days_before` hold the same full days of this month and the one before."""

    calendar: Calendar
    month: Sums
    so_far: Sums
    same_days_before: Sums
    month_before: Sums
    forecast: MonthForecast | None
    use_cases: Sequence[UseCaseSums]
    corrections: Sequence[Correction]
    unpriced: Sequence[UnpricedOffering]
    open_alerts: Sequence[AlertRow]
    open_alert_count: int
    gateways: Sequence[GatewayFreshness]
    complete_through: datetime | None
    anything: bool  # whether any usage was booked in the days looked at

    @property
    def spend_change(self) -> Decimal | None:
        """Change of the full days so far against the same days before: 0.25 is a quarter more."""
        if self.same_days_before.cost_usd == 0:
            return None
        return (self.so_far.cost_usd - self.same_days_before.cost_usd) / self.same_days_before.cost_usd

    @property
    def forecast_change(self) -> Decimal | None:
        if self.forecast is None or self.month_before.cost_usd == 0:
            return None
        return (self.forecast.at_end_usd - self.month_before.cost_usd) / self.month_before.cost_usd


def of_month(*, month: Calendar, at: datetime) -> Overview:
    """Return the numbers of a month. Nine queries over rollups and indexes, one or two less where there is nothing."""
    days = overview.days(first=min(month.before, month.drawn_first), until=month.until)

    def within(first: date, until: date) -> Sums:
        return overview.total(sums for day, sums in days.items() if first <= day < until)

    return Overview(
        calendar=month,
        month=within(month.first, month.until),
        so_far=within(month.first, month.comparable_until),
        same_days_before=within(month.before, month.before_until),
        month_before=within(month.before, month.first),
        forecast=overview.forecast(days=days, first=month.first, today=month.today, until=month.until),
        use_cases=overview.use_cases(
            first=month.first,
            until=month.until,
            comparable_until=month.comparable_until,
            before=month.before,
            before_until=month.before_until,
        ),
        corrections=overview.corrections(first=month.first, until=month.until),
        unpriced=overview.unpriced(first=month.first, until=month.until),
        open_alerts=alerts.open_alerts(at=at, limit=ALERTS_SHOWN),
        open_alert_count=alerts.count_open(at=at),
        gateways=freshness.gateways(at=at),
        complete_through=freshness.complete_through(at=at),
        anything=any(sums.requests for sums in days.values()),
    )


def mondays(month: Calendar) -> tuple[date, date]:
    """Return the whole weeks and the last one so far that the drawn days touch, as [first, until)."""
    first = month.drawn_first + timedelta(days=-month.drawn_first.weekday() % 7)
    return first, month.drawn_until
