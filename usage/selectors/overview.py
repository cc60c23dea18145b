"""Where the money goes, as the first page asks: sums of days from `rollup_day`, one read of it per question.

Days are the organisation's, ranges are half-open [first, until). Sums go by `booked_at`, so what was booked late for a
closed month stands in the month that it was booked in (`corrections` tells it apart). A request is an attempt as a
gateway reported it; an answered one has the status ok.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from catalog.models import Tier
from usage.models import RollupDay, Status
from usage.selectors.drivers import INPUT, OUTPUT

BREAKDOWNS = ("tier", "model", "use_case", "team")
_NAMES = {
    "tier": "tier",
    "model": "offering__model__name",
    "use_case": "use_case__name",
    "team": "team__name",
}
_ANSWERED = Q(status=Status.OK)
_ON_FRONTIER = Q(status=Status.OK, tier=Tier.FRONTIER)
_ON_OPEN = Q(status=Status.OK, offering__model__open_weights=True)
_ZERO = Decimal(0)
FULL_DAYS_FOR_FORECAST = 2  # so there is a forecast from the third day on


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Measures of a day or of several."""

    cost_usd: Decimal = _ZERO
    requests: int = 0
    answered: int = 0
    on_frontier: int = 0  # of those answered
    on_open: int = 0  # of those answered, by models with open weights
    tokens: int = 0
    unpriced_tokens: int = 0
    unpriced_requests: int = 0
    uncounted_requests: int = 0  # the gateway gave no token counts
    late_sums: int = 0  # sums of what was booked for closed months: whether `corrections` has anything to tell

    @property
    def frontier_share(self) -> Decimal | None:
        """Share on frontier: of requests with status ok."""
        return share(self.on_frontier, self.answered)

    @property
    def open_share(self) -> Decimal | None:
        """Share on open weights: of requests with status ok."""
        return share(self.on_open, self.answered)

    @property
    def priced_share(self) -> Decimal | None:
        """Tokens on priced entries over tokens."""
        return share(self.tokens - self.unpriced_tokens, self.tokens)

    @property
    def without_price(self) -> bool:
        """Whether nothing of it has a price, so that an amount of zero would be wrong."""
        return without_price(self.cost_usd, self.requests, self.unpriced_requests)

    @property
    def cost_per_1000_requests(self) -> Decimal | None:
        return None if self.requests == 0 or self.without_price else self.cost_usd * 1000 / self.requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one name (None: none given) cost on one day."""

    day: date
    name: str | None
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseSums:
    """A use case in a month, and what it cost on the days that it is compared with."""

    id: int
    name: str
    cost_usd: Decimal
    comparable_usd: Decimal  # of the part of the month that is compared: its full days so far
    before_usd: Decimal  # of what it is compared with: the same days a month before
    requests: int
    unpriced_requests: int
    answered: int
    on_frontier: int

    @property
    def frontier_share(self) -> Decimal | None:
        return share(self.on_frontier, self.answered)

    @property
    def without_price(self) -> bool:
        return without_price(self.cost_usd, self.requests, self.unpriced_requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """Answered requests of one use case in the week that begins on a Monday."""

    monday: date
    use_case: str
    answered: int
    on_frontier: int
    on_open: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What was booked late for a closed month."""

    month: date
    cost_usd: Decimal
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedOffering:
    offering: str
    tokens: int
    requests: int  # those without token counts left out: no price would help them
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthForecast:
    """Where the mean of the full days so far leads."""

    per_day_usd: Decimal
    at_end_usd: Decimal
    full_days: int


def share(part: int, whole: int) -> Decimal | None:
    """Return a share of 1, None of nothing."""
    return None if whole == 0 else Decimal(part) / whole


def without_price(cost_usd: Decimal, requests: int, unpriced_requests: int) -> bool:
    """Say whether requests have no price at all."""
    return cost_usd == 0 and 0 < requests <= unpriced_requests


def total(sums: Iterable[Sums]) -> Sums:
    """Return the exact sum."""
    counts: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
    cost = _ZERO
    with localcontext() as context:
        context.prec = 80
        for each in sums:
            cost += each.cost_usd
            for name in _COUNTS:
                counts[name] += getattr(each, name)
    return Sums(cost_usd=cost, **counts)


def forecast(*, days: Mapping[date, Sums], first: date, today: date, until: date) -> MonthForecast | None:
    """Return the linear forecast of a month: the mean of its full days goes on for today and every day that follows.

    None before its third day, and once it is over.
    """
    full_days = (today - first).days
    if full_days < FULL_DAYS_FOR_FORECAST or today >= until:
        return None
    spent = total(sums for day, sums in days.items() if first <= day < today).cost_usd
    per_day = spent / full_days
    so_far_today = days[today].cost_usd if today in days else _ZERO
    # A day that is dearer already than the mean counts as it is.
    rest = max(per_day, so_far_today) + per_day * ((until - today).days - 1)
    return MonthForecast(per_day_usd=per_day, at_end_usd=spent + rest, full_days=full_days)


def _added(columns: Iterable[str]) -> Any:
    result: Any = None
    for name in columns:
        result = F(name) if result is None else result + F(name)
    return result


_COUNTS = {
    "requests": Sum("requests"),
    "answered": Sum("requests", filter=_ANSWERED),
    "on_frontier": Sum("requests", filter=_ON_FRONTIER),
    "on_open": Sum("requests", filter=_ON_OPEN),
    "tokens": Sum(_added((*INPUT, *OUTPUT))),
    "unpriced_tokens": Sum("unpriced_tokens"),
    "unpriced_requests": Sum("unpriced_requests"),
    "uncounted_requests": Sum("uncounted_requests"),
    "late_sums": Count("day", filter=~Q(correction_of=0)),
}


def _between(first: date, until: date) -> QuerySet[RollupDay]:
    return RollupDay.objects.filter(day__gte=first, day__lt=until)


def days(*, first: date, until: date) -> dict[date, Sums]:
    """Return the sums of each day that has any, in order. One query."""
    # Aliased: Django would take a name that is a column's for that column in the expressions after it.
    sums = {f"sum_{name}": expression for name, expression in _COUNTS.items()}
    rows: Any = _between(first, until).values("day").annotate(cost=Sum("cost_usd"), **sums).order_by("day")
    return {
        row["day"]: Sums(cost_usd=row["cost"] or _ZERO, **{name: int(row[f"sum_{name}"] or 0) for name in _COUNTS})
        for row in rows
    }


def daily_spend(*, first: date, until: date, by: str) -> list[Part]:
    """Return what each tier, model, use case or team cost per day, in order of days. One query."""
    column = _NAMES[by]
    rows = _between(first, until).values("day", column).annotate(cost=Sum("cost_usd")).order_by("day", column)
    tiers = dict(Tier.choices)
    return [
        Part(day=row["day"], name=str(tiers[row[column]]) if by == "tier" else row[column], cost_usd=row["cost"])
        for row in rows
    ]


def corrections(*, first: date, until: date) -> list[Correction]:
    """Return what was booked in [first, until) for closed months, oldest month first. One query."""
    rows = (
        _between(first, until)
        .exclude(correction_of=0)
        .values("correction_of")
        .annotate(cost=Sum("cost_usd"), sum_requests=Sum("requests"))
        .order_by("correction_of")
    )
    return [
        Correction(
            month=date(row["correction_of"] // 100, row["correction_of"] % 100, 1),
            cost_usd=row["cost"],
            requests=int(row["sum_requests"]),
        )
        for row in rows
    ]


def unpriced(*, first: date, until: date) -> list[UnpricedOffering]:
    """Return the offerings that were used without a price, most tokens first. One query."""
    rows = (
        _between(first, until)
        .filter(~Q(unpriced_requests=F("uncounted_requests")) | ~Q(unpriced_tokens=0))
        .values("offering__name")
        .annotate(
            tokens=Sum("unpriced_tokens"),
            sum_requests=Sum(F("unpriced_requests") - F("uncounted_requests")),
            since=Min("day"),
            last=Max("day"),
        )
    )
    found = [
        UnpricedOffering(
            offering=row["offering__name"],
            tokens=int(row["tokens"]),
            requests=int(row["sum_requests"]),
            first_day=row["since"],
            last_day=row["last"],
        )
        for row in rows
        if row["tokens"] or row["sum_requests"]  # a reversal may have taken it back
    ]
    return sorted(found, key=lambda one: (-one.tokens, -one.requests, one.offering))
