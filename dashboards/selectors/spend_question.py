"""What the spend page is asked: days, dimensions, a measure, how it is drawn and what it is compared with.

Ranges are whole days of the organisation's, [first, last] with both days in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core import periods
from dashboards.selectors.spend_measures import MEASURES, Measure
from usage.selectors import spend
from usage.selectors.spend import SpendAsk
from usage.selectors.spend_ask import TAG
from usage.selectors.spend_times import calendar

DIMENSIONS = (
    "use_case", "model", "team", "provider", "tier", "gateway", "offering", "status", "requested_model", "task",
    "environment", "rule", "reason", "rules_version",
)  # fmt: skip
ALL = "all"  # by nothing: everything as one
PERS = ("hour", "day", "week", "month")
MOST_DAYS = {"hour": 14, "day": 400, "week": 1100, "month": spend.LONGEST.days}  # more bars than this are a smear
USUAL_DAYS = {"hour": 2, "day": 92, "week": 731}
BARS, AREA, LINES, TREEMAP, TABLE = "bars", "area", "lines", "treemap", "table"
CHARTS = (BARS, AREA, LINES, TREEMAP, TABLE)
NOTHING, BEFORE, MONTH, YEAR = "none", "before", "month", "year"
AGAINST = (BEFORE, MONTH, YEAR, NOTHING)
NONE = "(none)"  # in a filter: what has no rule, no task, and so on
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An hour, day, week or month of the range, by its label in `GET spend`; the range may cut it."""

    label: str
    first: date
    last: date
    hour: datetime | None = None  # on the organisation's clock


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page is asked. A filter passes whatever has one of its values; `NONE` is what has none.

    `by` is a dimension, or `ALL`; `then` a second one, or empty.
    """

    first: date
    last: date
    today: date
    zone: str
    by: str
    per: str
    then: str = ""
    measure: str = "cost"
    chart: str = BARS
    against: str = BEFORE
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def measures(self) -> Measure:
        return MEASURES[self.measure]

    @property
    def until(self) -> date:
        return self.last + ONE_DAY

    @property
    def days(self) -> int:
        return (self.until - self.first).days

    @property
    def over_until(self) -> date:
        """Where the days that are over end; today is not."""
        return max(self.first, min(self.until, self.today))

    @property
    def before(self) -> tuple[date, date]:
        """The days [first, until) that those that are over are compared with; none where both are equal."""
        over = self.over_until
        if self.against == NOTHING or over == self.first:
            return self.first, self.first
        if self.against == BEFORE:
            return self.first - (over - self.first), self.first
        months = 1 if self.against == MONTH else 12
        if self.first.day == 1 and over.day == 1:
            return periods.add_months(self.first, -months), periods.add_months(over, -months)
        return months_before(self.first, months), months_before(over - ONE_DAY, months) + ONE_DAY

    @property
    def compares(self) -> bool:
        first, until = self.before
        return first < until

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What rows are told apart by: two dimensions at most, none for `ALL`."""
        return tuple(name for name in (self.by, self.then) if name and name != ALL)

    @property
    def by_tag(self) -> bool:
        return any(name.startswith(TAG) for name in (*self.dimensions, *self.filters))

    def asked(self, first: date, until: date, *group_by: str, measures: tuple[str, ...], **more: Any) -> SpendAsk:
        return SpendAsk(
            starts_at=periods.day_start(first, self.zone),
            ends_at=periods.day_start(until, self.zone),
            zone=self.zone,
            group_by=group_by,
            filters={
                name: tuple("" if value == NONE else value for value in values) for name, values in self.filters.items()
            },
            measures=measures,
            **more,
        )

    @property
    def buckets(self) -> list[Bucket]:
        """The hours, days, weeks or months of the range, in their order."""
        ask = self.asked(self.first, self.until, self.per, measures=())
        found = calendar(self.per, ask)
        if self.per == "hour":
            local = ZoneInfo(self.zone)
            clock = [at.astimezone(local) for at in found.instants]
            return [
                Bucket(label=label, first=at.date(), last=at.date(), hour=at)
                for label, at in zip(found.labels, clock, strict=True)
            ]
        ends = [*found.dates[1:], self.until]
        return [
            Bucket(label=label, first=max(first, self.first), last=min(end - ONE_DAY, self.last))
            for label, first, end in zip(found.labels, found.dates, ends, strict=True)
        ]


def months_before(day: date, months: int) -> date:
    """Return the same day so many months before; the last one of a month that has no such day."""
    first = periods.add_months(day.replace(day=1), -months)
    return min(first + timedelta(days=day.day - 1), periods.add_months(first, 1) - ONE_DAY)


def usual_per(days: int) -> str:
    """Return what a range of so many days is drawn by unless told otherwise."""
    return next((per for per, most in USUAL_DAYS.items() if days <= most), "month")
