"""Where traffic went, as the routing page asks: sums of days from `rollup_day`, one read of it per question.

Days are the organisation's, ranges are half-open [first, until). A request is an attempt as a gateway reported it; an
answered one has the status ok. One that was answered by a fallback has a fallback index above 0, or the reason
`fallback` where a gateway reports no index. Tokens and spend are those of answered requests. Sums go by `booked_at`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Case, F, Max, Min, Q, QuerySet, Sum, When

from catalog.models import Tier
from usage.models import LATENCY_BUCKETS, RollupDay, Status
from usage.rules.postings import LATENCY_BOUNDS_MS
from usage.selectors.drivers import INPUT, OUTPUT

FALLBACK = "fallback"  # the reason
_ANSWERED = Q(status=Status.OK)
_ON_FRONTIER = Q(tier=Tier.FRONTIER)
_BY_FALLBACK = Case(When(reason=FALLBACK, then=F("requests")), default=F("fallback_requests"))
_TIERS: dict[int, str] = {number: str(label) for number, label in Tier.choices}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which entries are asked about; an empty environment and no use case are all of them."""

    first: date
    until: date
    environment: str = ""
    use_case_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Measures of answered requests."""

    answered: int
    tokens: int
    cost_usd: Decimal
    by_fallback: int  # of those answered


@dataclass(frozen=True, slots=True, kw_only=True)
class TierDay(Served):
    day: date
    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDay(Served):
    day: date
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferingSums(Served):
    """An offering in a tier; one that changed tiers is there once for each."""

    offering: str
    model: str
    tier: str
    attempts: int
    failed: int
    blocked: int
    all_tokens: int  # of every attempt, as are those without a price
    unpriced_tokens: int
    latency_ms: int  # of answered requests whose latency is known, summed
    latencies: tuple[int, ...]  # how many of them in each bucket of the histogram

    @property
    def mean_latency_ms(self) -> int | None:
        known = sum(self.latencies)
        return round(Decimal(self.latency_ms) / known) if known > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSums(Served):
    """What one rule of one version did in a tier for a reason. Empty texts and version 0: not reported."""

    environment: str
    rules_version: int
    rule: str
    reason: str
    tier: str
    first_choices: int  # attempts that were no fallback, whatever became of them
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseFallbacks:
    """Answered requests of a use case, and those before and from the middle of the range on."""

    use_case: str
    answered: int
    on_frontier: int
    by_fallback: int
    fallback_on_frontier: int
    early_answered: int
    early_by_fallback: int
    late_answered: int
    late_by_fallback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Served):
    """What was asked for, and what answered."""

    requested: str
    offering: str
    model: str
    tier: str


def _added(columns: Sequence[str]) -> Any:
    result: Any = F(columns[0])
    for name in columns[1:]:
        result = result + F(name)
    return result


_TOKENS = _added((*INPUT, *OUTPUT))
# Named apart from the columns: Django would take a name that is a column's for the column in what follows.
_SERVED = {
    "sum_answered": Sum("requests", filter=_ANSWERED, default=0),
    "sum_tokens": Sum(_TOKENS, filter=_ANSWERED, default=0),
    "sum_cost": Sum("cost_usd", filter=_ANSWERED, default=Decimal(0)),
    "sum_by_fallback": Sum(_BY_FALLBACK, filter=_ANSWERED, default=0),
}


def _served(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "answered": int(row["sum_answered"]),
        "tokens": int(row["sum_tokens"]),
        "cost_usd": row["sum_cost"],
        "by_fallback": int(row["sum_by_fallback"]),
    }


def _in(scope: Scope) -> QuerySet[RollupDay]:
    rows = RollupDay.objects.filter(day__gte=scope.first, day__lt=scope.until)
    if scope.environment:
        rows = rows.filter(environment=scope.environment)
    if scope.use_case_id is not None:
        rows = rows.filter(use_case_id=scope.use_case_id)
    return rows


def tier_days(scope: Scope) -> list[TierDay]:
    """Return what each tier answered per day, in order of days. One query."""
    rows: Any = _in(scope).filter(_ANSWERED).values("day", "tier").annotate(**_SERVED).order_by("day", "tier")
    return [TierDay(day=row["day"], tier=_TIERS[row["tier"]], **_served(row)) for row in rows]


def model_days(scope: Scope, models: Collection[str]) -> list[ModelDay]:
    """Return what each of these models answered per day, in order of days. One query, none for no models."""
    if not models:
        return []
    rows: Any = (
        _in(scope)
        .filter(_ANSWERED, offering__model__name__in=models)
        .values("day", "offering__model__name")
        .annotate(**_SERVED)
        .order_by("day", "offering__model__name")
    )
    return [ModelDay(day=row["day"], model=row["offering__model__name"], **_served(row)) for row in rows]


def offerings(scope: Scope) -> list[OfferingSums]:
    """Return what each offering was sent and answered, the busiest first. One query."""
    buckets = {
        f"latency_{n}": Sum(f"latency_histogram__{n}", filter=_ANSWERED, default=0) for n in range(LATENCY_BUCKETS)
    }
    rows: Any = (
        _in(scope)
        .values("offering__name", "offering__model__name", "tier")
        .annotate(
            **_SERVED,
            attempts=Sum("requests"),
            failed=Sum("requests", filter=Q(status=Status.ERROR), default=0),
            blocked=Sum("requests", filter=Q(status=Status.BLOCKED), default=0),
            all_tokens=Sum(_TOKENS),
            sum_unpriced=Sum("unpriced_tokens"),
            sum_latency=Sum("latency_ms", filter=_ANSWERED, default=0),
            **buckets,
        )
    )
    found = [
        OfferingSums(
            offering=row["offering__name"],
            model=row["offering__model__name"],
            tier=_TIERS[row["tier"]],
            attempts=int(row["attempts"]),
            failed=int(row["failed"]),
            blocked=int(row["blocked"]),
            all_tokens=int(row["all_tokens"]),
            unpriced_tokens=int(row["sum_unpriced"]),
            latency_ms=int(row["sum_latency"]),
            latencies=tuple(int(row[name]) for name in buckets),
            **_served(row),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.attempts, one.offering, one.tier))


def rules(scope: Scope) -> list[RuleSums]:
    """Return what each rule of each version did, by environment, version and rule. One query."""
    rows: Any = (
        _in(scope)
        .values("environment", "rules_version", "rule", "reason", "tier")
        .annotate(**_SERVED, first_choices=Sum(F("requests") - _BY_FALLBACK), first_day=Min("day"), last_day=Max("day"))
        .order_by("environment", "rules_version", "rule", "reason", "tier")
    )
    return [
        RuleSums(
            environment=row["environment"],
            rules_version=row["rules_version"],
            rule=row["rule"],
            reason=row["reason"],
            tier=_TIERS[row["tier"]],
            first_choices=int(row["first_choices"]),
            first_day=row["first_day"],
            last_day=row["last_day"],
            **_served(row),
        )
        for row in rows
    ]


def use_cases(scope: Scope, *, middle: date) -> list[UseCaseFallbacks]:
    """Return how often fallbacks answered for each use case, before `middle` and from it on; most first. One query."""
    early, late = Q(day__lt=middle), Q(day__gte=middle)
    rows: Any = (
        _in(scope)
        .filter(_ANSWERED)
        .values("use_case__name")
        .annotate(
            answered=Sum("requests"),
            on_frontier=Sum("requests", filter=_ON_FRONTIER, default=0),
            by_fallback=Sum(_BY_FALLBACK),
            fallback_on_frontier=Sum(_BY_FALLBACK, filter=_ON_FRONTIER, default=0),
            early_answered=Sum("requests", filter=early, default=0),
            early_by_fallback=Sum(_BY_FALLBACK, filter=early, default=0),
            late_answered=Sum("requests", filter=late, default=0),
            late_by_fallback=Sum(_BY_FALLBACK, filter=late, default=0),
        )
    )
    found = [
        UseCaseFallbacks(
            use_case=row["use_case__name"],
            **{name: int(value) for name, value in row.items() if name != "use_case__name"},
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.by_fallback, -one.answered, one.use_case))


def requested(scope: Scope, *, most: int) -> list[Pair]:
    """Return which offering answered what was asked for, the `most` frequent pairs, most frequent first. One query."""
    pairs: Any = (
        _in(scope).filter(_ANSWERED).values("requested_model", "offering__name", "offering__model__name", "tier")
    )
    rows = pairs.annotate(**_SERVED).order_by("-sum_answered", "requested_model", "offering__name", "tier")
    return [
        Pair(
            requested=row["requested_model"],
            offering=row["offering__name"],
            model=row["offering__model__name"],
            tier=_TIERS[row["tier"]],
            **_served(row),
        )
        for row in rows[:most]
    ]


def quantile_ms(latencies: Sequence[int], share: Decimal) -> int | None:
    """Return the bound of the bucket that holds a share of the latencies: they took this long at most.

    None where nothing is known, and where it lies beyond the last bound (`LATENCY_BOUNDS_MS`).
    """
    known = sum(latencies)
    if known <= 0:
        return None
    passed = 0
    for count, bound in zip(latencies, LATENCY_BOUNDS_MS, strict=False):
        passed += count
        if passed >= share * known:
            return bound
    return None
