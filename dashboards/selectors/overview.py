"""What the first page shows of a month, put together from the questions that `usage` and `alerts` answer."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from alerts.selectors import alerts, deliveries
from alerts.selectors.alerts import AlertRow
from alerts.selectors.deliveries import Failed
from budgets.selectors import glance
from budgets.selectors.glance import Glance
from core import periods
from dashboards.change_words import relative
from dashboards.selectors.alerts import LATELY
from usage.selectors import bridge, freshness, overview, pictured, savings, world
from usage.selectors.bridge import Bridge, Days
from usage.selectors.freshness import GatewayFreshness
from usage.selectors.overview import Correction, MonthForecast, Part, Sums, UnpricedOffering, UseCaseSums, Week
from usage.selectors.pictured import Ranges
from usage.selectors.savings import Savings

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
        """The first of the drawn days: the month before is what this one is compared with, and costs no more reads."""
        return self.before

    @property
    def drawn_until(self) -> date:
        return min(self.until, self.today + timedelta(days=1))

    @property
    def last_day(self) -> date:
        """The last day of it that began."""
        return min(self.until - timedelta(days=1), self.today)

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
    tiers: Sequence[Part]  # of the drawn days
    weeks: Sequence[Week]  # whole ones that the drawn days touch, and the last one so far
    corrections: Sequence[Correction]
    unpriced: Sequence[UnpricedOffering]
    open_alerts: Sequence[AlertRow]
    failed: Failed  # deliveries of the last days
    open_alert_count: int
    gateways: Sequence[GatewayFreshness]
    complete_through: datetime | None
    budgets: Glance
    saved: Savings
    changes: Bridge  # the last seven full days against those before, or a month that is over against the one before
    anything: bool  # whether any usage was booked in the days looked at

    @property
    def spend_change(self) -> Decimal | None:
        """Change of the full days so far against the same days before: 0.25 is a quarter more."""
        return relative(self.so_far.cost_usd, self.same_days_before.cost_usd)

    @property
    def forecast_change(self) -> Decimal | None:
        """The same of the whole month, as it is expected, against the month before."""
        return relative(self.forecast.at_end_usd if self.forecast else None, self.month_before.cost_usd)


def changed_days(month: Calendar) -> tuple[Days, Days]:
    """Return the days that are compared: a week before today, or a month that is over, each with as much before it."""
    if not month.runs:
        return Days(first=month.before, until=month.first), Days(first=month.first, until=month.until)
    week = timedelta(days=7)
    return (
        Days(first=month.today - 2 * week, until=month.today - week),
        Days(first=month.today - week, until=month.today),
    )


def of_month(*, month: Calendar, at: datetime, zone: str) -> Overview:
    """Return the numbers of a month; `zone` is the organisation's.

    Ten queries over rollups and indexes, up to two more where something was booked late or has no price, one where
    there is a budget of the whole, more after a change of the catalogue or of budgets.
    """
    drawn = pictured.pictured(
        first=month.drawn_first,
        until=max(month.until, month.drawn_until),
        month=Ranges(
            first=month.first,
            until=month.until,
            comparable_until=month.comparable_until,
            before=month.before,
            before_until=month.before_until,
        ),
    )
    days = drawn.days

    def within(first: date, until: date) -> Sums:
        return overview.total(sums for day, sums in days.items() if first <= day < until)

    whole = within(month.first, month.until)
    book = world.current().book
    before, after = changed_days(month)
    opened = alerts.open_alerts(at=at, limit=ALERTS_SHOWN)
    return Overview(
        calendar=month,
        month=whole,
        so_far=within(month.first, month.comparable_until),
        same_days_before=within(month.before, month.before_until),
        month_before=within(month.before, month.first),
        forecast=overview.forecast(days=days, first=month.first, today=month.today, until=month.until),
        use_cases=drawn.use_cases,
        tiers=[part for part in drawn.tiers if month.drawn_first <= part.day < month.drawn_until],
        weeks=[week for week in drawn.weeks if mondays(month)[0] <= week.monday],
        corrections=overview.corrections(first=month.first, until=month.until) if whole.late_sums else [],
        unpriced=overview.unpriced(first=month.first, until=month.until)
        if whole.unpriced_tokens or whole.unpriced_requests != whole.uncounted_requests
        else [],
        open_alerts=opened,
        open_alert_count=len(opened) if len(opened) < ALERTS_SHOWN else alerts.count_open(at=at),
        failed=deliveries.failed(since=at - LATELY),
        gateways=freshness.gateways(at=at),
        complete_through=freshness.complete_through(at=at),
        budgets=glance.glance(at=at, month_at=periods.day_start(month.last_day, zone), zone=zone),
        # Where nobody chose a baseline there is nothing to compare, and nothing is read for it.
        saved=savings.saved(first=month.first, until=month.until, zone=zone, book=book)
        if book.baselines
        else Savings(first=month.first, until=month.until, rows=()),
        changes=bridge.between(before=before, after=after, zone=zone, book=book),
        anything=any(sums.requests for sums in days.values()),
    )


def mondays(month: Calendar) -> tuple[date, date]:
    """Return the whole weeks and the last one so far that the drawn days touch, as [first, until)."""
    first = month.drawn_first + timedelta(days=-month.drawn_first.weekday() % 7)
    return first, month.drawn_until
