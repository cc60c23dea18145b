"""What the pages of one use case, model and team share: their days, their weeks, their budgets, names by id.

Charts show the last 90 days of the organisation's, tables the last 30, today in both. Weeks begin on Monday.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets.rules import FRONTIER_TOKENS, Definition
from budgets.selectors import definitions
from budgets.selectors import overview as budgets
from budgets.selectors.overview import BudgetRow
from catalog.models import Offering, Tier
from core import periods
from dashboards.selectors.budgets import risk
from dashboards.selectors.overview import Calendar, calendar_of
from usage.selectors import about, overview
from usage.selectors.about import Row, Sums
from usage.selectors.overview import MonthForecast, share

DAYS_DRAWN, DAYS_LISTED = 90, 30
MOST_BUDGETS = 12
ONE_DAY = timedelta(days=1)
BY_DAY = ("day", "offering", "tier")
TIERS: dict[int, str] = {number: str(label) for number, label in Tier.choices}


@dataclass(frozen=True, kw_only=True)
class Days:
    """The days that a page is about: [first, until) are drawn, [listed, until) listed. `today` is the last."""

    first: date
    listed: date
    today: date

    @property
    def until(self) -> date:
        return self.today + ONE_DAY


def days_of(*, at: datetime, zone: str) -> Days:
    today = periods.local_day(at, zone)
    return Days(
        first=today - timedelta(days=DAYS_DRAWN - 1), listed=today - timedelta(days=DAYS_LISTED - 1), today=today
    )


@dataclass(frozen=True, kw_only=True)
class Named:
    """An offering by what pages call it."""

    id: int
    name: str
    model: str
    provider: str
    open_weights: bool


def offerings_named(ids: Collection[int]) -> dict[int, Named]:
    """Return offerings by id. One query, none for no ids."""
    if not ids:
        return {}
    rows = Offering.objects.filter(pk__in=ids).values_list(
        "pk", "name", "model__name", "provider__name", "model__open_weights"
    )
    return {
        pk: Named(id=pk, name=name, model=model, provider=provider, open_weights=open_weights)
        for pk, name, model, provider, open_weights in rows
    }


def names_of(table: Any, ids: Collection[int]) -> dict[int, str]:
    """Return the names of rows of the catalogue by id. One query, none for no ids."""
    return dict(table.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}


@dataclass(frozen=True, kw_only=True)
class Week:
    """A week's sums; `on_open` of its answered requests ran on open weights."""

    monday: date
    sums: Sums
    on_open: int

    @property
    def open_share(self) -> Decimal | None:
        return share(self.on_open, self.sums.answered)


def weeks(rows: Iterable[Row], named: Mapping[int, Named]) -> list[Week]:
    """Fold rows by (day, offering, tier) into weeks, oldest first."""
    found: dict[date, list[Row]] = defaultdict(list)
    for row in rows:
        found[periods.monday(row.keys[0])].append(row)
    return [
        Week(monday=monday, sums=about.added(row.sums for row in each), on_open=on_open(each, named))
        for monday, each in sorted(found.items())
    ]


def on_open(rows: Iterable[Row], named: Mapping[int, Named]) -> int:
    """Return how many answered requests of rows by (day, offering, tier) ran on open weights."""
    return sum(row.sums.answered for row in rows if row.keys[1] in named and named[row.keys[1]].open_weights)


@dataclass(frozen=True, kw_only=True)
class Month:
    """The present month so far, its full days beside as many of the month before, and where they lead."""

    calendar: Calendar
    sums: Sums
    so_far_usd: Decimal
    before_usd: Decimal  # of the same days a month before
    forecast: MonthForecast | None


def month(by_day: Mapping[date, Sums], *, at: datetime, zone: str) -> Month:
    """Return the present month of the drawn days, which hold all of it and of the one before."""
    calendar = calendar_of(month=None, zone=zone, at=at)

    def within(first: date, until: date) -> Sums:
        return about.added(sums for day, sums in by_day.items() if first <= day < until)

    return Month(
        calendar=calendar,
        sums=within(calendar.first, calendar.until),
        so_far_usd=within(calendar.first, calendar.comparable_until).cost_usd,
        before_usd=within(calendar.before, calendar.before_until).cost_usd,
        forecast=overview.forecast(
            days={day: overview.Sums(cost_usd=sums.cost_usd) for day, sums in by_day.items()},
            first=calendar.first,
            today=calendar.today,
            until=calendar.until,
        ),
    )


def by_day(rows: Iterable[Row]) -> dict[date, Sums]:
    """Fold rows whose first key is the day."""
    found: dict[date, list[Sums]] = defaultdict(list)
    for row in rows:
        found[row.keys[0]].append(row.sums)
    return {day: about.added(each) for day, each in sorted(found.items())}


def parts(rows: Iterable[Row], names: Mapping[int, str]) -> dict[tuple[str, date], Decimal]:
    """Return what each name cost per day, of rows by (day, id, ...)."""
    found: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in rows:
        found[names.get(row.keys[1], "none given"), row.keys[0]] += row.sums.cost_usd
    return found


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """Budgets that name what the page is about, and those that count it among others; most at risk first."""

    own: Sequence[BudgetRow]
    wider: Sequence[BudgetRow]
    left: int  # that are not listed

    @property
    def ids(self) -> list[int]:
        return [row.id for row in self.own]


def budgets_of(
    *, at: datetime, names: Mapping[str, frozenset[str]], own: Collection[str], tiers: frozenset[str] = frozenset()
) -> Budgets:
    """Return the budgets that count anything of these names, those that name one in a dimension of `own` apart.

    A dimension that `names` does not have, such as a gateway, is taken for met. With `tiers`, budgets of frontier
    tokens count only what is frontier or unclassified. Six queries at most, more after a change of budgets.
    """
    named: list[int] = []
    wider: list[int] = []
    for one in definitions.current().by_id.values():
        if _counts(one, names, tiers):
            (named if set(own) & one.scope.keys() else wider).append(one.id)
    left = max(0, len(named) - MOST_BUDGETS) + max(0, len(wider) - MOST_BUDGETS)
    rows = sorted(budgets.rows(at=at, only=[*named, *wider]), key=risk)
    of_own = set(named)
    return Budgets(
        own=[row for row in rows if row.id in of_own][:MOST_BUDGETS],
        wider=[row for row in rows if row.id not in of_own][:MOST_BUDGETS],
        left=left,
    )


def _counts(one: Definition, names: Mapping[str, frozenset[str]], tiers: frozenset[str]) -> bool:
    if one.unit == FRONTIER_TOKENS and tiers and not tiers & {"frontier", "unclassified"}:
        return False
    return all(wanted & names[dimension] for dimension, wanted in one.scope.items() if dimension in names)
