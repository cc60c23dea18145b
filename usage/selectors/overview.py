"""Where the money goes, as the first page asks: sums of days from `rollup_day`, one read of it per question.

Days are the organisation's, ranges are half-open [first, until). Sums go by `booked_at`, so what was booked late for a
closed month stands in the month that it was booked in (`corrections` tells it apart). A request is an attempt as a
gateway reported it; an answered one has the status ok.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncWeek

from budgets import rules as budget_rules
from budgets.rules import COUNTED, FRONTIER_TOKENS, Consumption, Definition
from budgets.selectors import definitions
from catalog.models import Tier
from core.periods import Period
from usage.models import RollupDay, Status
from usage.selectors.drivers import INPUT, OUTPUT, in_scope

BREAKDOWNS = ("tier", "model", "use_case", "team")
_NAMES = {
    "tier": "tier",
    "model": "offering__model__name",
    "use_case": "use_case__name",
    "team": "team__name",
}
_ANSWERED = Q(status=Status.OK)
_ON_FRONTIER = Q(status=Status.OK, tier=Tier.FRONTIER)
_ZERO = Decimal(0)
FULL_DAYS_FOR_FORECAST = 2  # so there is a forecast from the third day on


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Measures of a day or of several."""

    cost_usd: Decimal = _ZERO
    requests: int = 0
    answered: int = 0
    on_frontier: int = 0  # of those answered
    failed: int = 0
    by_fallback: int = 0
    tokens: int = 0
    unpriced_tokens: int = 0
    unpriced_requests: int = 0
    uncounted_requests: int = 0  # the gateway gave no token counts

    @property
    def frontier_share(self) -> Decimal | None:
        """Share on frontier: of requests with status ok."""
        return share(self.on_frontier, self.answered)

    @property
    def priced_share(self) -> Decimal | None:
        """Tokens on priced entries over tokens."""
        return share(self.tokens - self.unpriced_tokens, self.tokens)

    @property
    def cost_per_1000_requests(self) -> Decimal | None:
        return None if self.requests == 0 else self.cost_usd * 1000 / self.requests


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
    answered: int
    on_frontier: int

    @property
    def frontier_share(self) -> Decimal | None:
        return share(self.on_frontier, self.answered)

    @property
    def change(self) -> Decimal | None:
        """Change against what it is compared with: 0.25 is a quarter more. None where nothing was spent then."""
        if self.before_usd == 0:
            return None
        return (self.comparable_usd - self.before_usd) / self.before_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """Answered requests of one use case in the week that begins on a Monday."""

    monday: date
    use_case: str
    answered: int
    on_frontier: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDay:
    day: date
    provider: str
    requests: int
    failed: int
    by_fallback: int  # attempts that were not the first choice


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
    "failed": Sum("requests", filter=Q(status=Status.ERROR)),
    "by_fallback": Sum("fallback_requests"),
    "tokens": Sum(_added((*INPUT, *OUTPUT))),
    "unpriced_tokens": Sum("unpriced_tokens"),
    "unpriced_requests": Sum("unpriced_requests"),
    "uncounted_requests": Sum("uncounted_requests"),
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


def use_cases(
    *, first: date, until: date, comparable_until: date, before: date, before_until: date
) -> list[UseCaseSums]:
    """Return the use cases of a month [first, until), dearest first.

    Compared are its days before `comparable_until` with [before, before_until). One query.
    """
    here = Q(day__gte=first, day__lt=until)
    comparable = Q(day__gte=first, day__lt=comparable_until)
    then = Q(day__gte=before, day__lt=before_until)
    rows = (
        RollupDay.objects.filter(here | then)
        .values("use_case_id", "use_case__name")
        .annotate(
            cost=Sum("cost_usd", filter=here),
            comparable=Sum("cost_usd", filter=comparable),
            before=Sum("cost_usd", filter=then),
            sum_requests=Sum("requests", filter=here),
            answered=Sum("requests", filter=here & _ANSWERED),
            on_frontier=Sum("requests", filter=here & _ON_FRONTIER),
        )
    )
    found = [
        UseCaseSums(
            id=row["use_case_id"],
            name=row["use_case__name"],
            cost_usd=row["cost"] or _ZERO,
            comparable_usd=row["comparable"] or _ZERO,
            before_usd=row["before"] or _ZERO,
            requests=int(row["sum_requests"] or 0),
            answered=int(row["answered"] or 0),
            on_frontier=int(row["on_frontier"] or 0),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.cost_usd, one.name))


def frontier_weeks(*, first: date, until: date) -> list[Week]:
    """Return the answered requests of each use case per week, by week and name. One query."""
    rows = (
        _between(first, until)
        .filter(_ANSWERED)
        .annotate(week=TruncWeek("day"))
        .values("week", "use_case__name")
        .annotate(answered=Sum("requests"), on_frontier=Sum("requests", filter=_ON_FRONTIER))
        .order_by("week", "use_case__name")
    )
    return [
        Week(
            monday=row["week"],
            use_case=row["use_case__name"],
            answered=int(row["answered"] or 0),
            on_frontier=int(row["on_frontier"] or 0),
        )
        for row in rows
    ]


def providers(*, first: date, until: date) -> list[ProviderDay]:
    """Return what was asked of each provider per day, and how often it failed. One query."""
    rows = (
        _between(first, until)
        .values("day", "offering__provider__name")
        .annotate(
            sum_requests=Sum("requests"),
            failed=Sum("requests", filter=Q(status=Status.ERROR)),
            by_fallback=Sum("fallback_requests"),
        )
        .order_by("day", "offering__provider__name")
    )
    return [
        ProviderDay(
            day=row["day"],
            provider=row["offering__provider__name"],
            requests=int(row["sum_requests"] or 0),
            failed=int(row["failed"] or 0),
            by_fallback=int(row["by_fallback"] or 0),
        )
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


def budget_days(*, zone: str, at: datetime) -> dict[int, dict[date, Decimal]]:
    """Return what each budget's scope used per day of its present period, for budgets whose days are those of `zone`.

    The same sums as `drivers.daily` gives one by one, in one query for all; budgets in other zones and those on tags,
    which these rollups do not know, are left out. `zone` is the organisation's. Two queries, more after a change.
    """
    known = definitions.current()
    ours = {
        one.id: one.period_of(at)
        for one in known.by_id.values()
        if one.zone == zone and not any(dimension.startswith(budget_rules.TAG) for dimension in one.scope)
    }
    if not ours:
        return {}
    first = min(period.first_day for period in ours.values())
    rows = (
        _between(first, _day_after(at))
        .filter(correction_of=0)
        .values_list(
            "day", "use_case__name", "team__name", "offering__model__name", "offering__name",
            "offering__provider__name", "tier", "gateway__name", "status",
        )
        .annotate(
            sum_requests=Sum("requests"), inputs=Sum(_added(INPUT)), outputs=Sum(_added(OUTPUT)), cost=Sum("cost_usd")
        )
    )  # fmt: skip
    tiers, statuses = {n: str(text) for n, text in Tier.choices}, {n: str(text) for n, text in Status.choices}
    found: dict[int, dict[date, Decimal]] = {budget_id: {} for budget_id in ours}
    for day, use_case, team, model, offering, provider, tier, gateway, status, requests, inputs, outputs, cost in rows:
        one = Consumption(
            occurred_at=datetime.combine(day, time(), tzinfo=UTC),
            use_case=use_case, team=team, model=model, offering=offering, provider=provider, tier=tiers[tier],
            gateway=gateway, status=statuses[status], requests=int(requests), input_tokens=int(inputs),
            output_tokens=int(outputs), cost_usd=cost,
        )  # fmt: skip
        for definition in known.concerned(one):
            period = ours.get(definition.id)
            if period is None or day < period.first_day:
                continue
            used, _ = budget_rules.amount(definition.unit, one)
            of_budget = found[definition.id]
            of_budget[day] = budget_rules.add(of_budget.get(day, _ZERO), used)
    return found


def _day_after(at: datetime) -> date:
    return at.date() + timedelta(days=3)  # no zone is further ahead, and nothing lies there


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What used part of a budget's allowance, in the budget's unit."""

    name: str
    used: Decimal
    share: Decimal | None


def drivers_of(definition: Definition, period: Period) -> dict[str, list[Driver]]:
    """Return what used a budget's allowance in a period, by offering and rules version, largest first. Two queries."""
    rows = in_scope(definition.scope, COUNTED[definition.unit], period)
    if definition.unit == FRONTIER_TOKENS:
        rows = rows.filter(tier=Tier.FRONTIER)
    measure = {"usd": Sum("cost_usd"), "requests": Sum("requests")}.get(definition.unit) or Sum(
        _added((*INPUT, *OUTPUT))
    )
    found: dict[str, list[Driver]] = {}
    for kind, column in (("offering", "offering__name"), ("rules_version", "rules_version")):
        sums = [(row[column], Decimal(row["used"] or 0)) for row in rows.values(column).annotate(used=measure)]
        whole = sum((used for _, used in sums), _ZERO)
        found[kind] = [
            Driver(name=str(name or "none reported"), used=used, share=used / whole if whole > 0 else None)
            for name, used in sorted(sums, key=lambda pair: (-pair[1], str(pair[0])))
            if used
        ]
    return found
