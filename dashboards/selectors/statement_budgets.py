"""The budgets that belong to a statement, as they stood in its month or stand now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from budgets import rules
from budgets.models import Budget, BudgetLimit, Counter, CounterState
from budgets.rules import Definition
from budgets.selectors import definitions
from catalog.models import UseCaseTeam
from core.periods import Period

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A budget in the period that a month lies in or, of several in the month, in the one it was used most.

    `limit` is the one in force at the period's end, or now while it runs; `per_cent_used` is rounded down.
    """

    id: int
    name: str
    scope: dict[str, tuple[str, ...]]
    unit: str
    period_kind: str
    zone: str
    period: Period
    over: bool  # whether the period is over
    used: Decimal | None  # None: it is being counted
    limit: Decimal | None
    per_cent_used: Decimal | None
    periods: int  # that were counted and touch the month
    exceeded: int  # of them


def of(
    *, starts_at: datetime, ends_at: datetime, at: datetime, kind: str = "", name: str = "", team_id: int | None = None
) -> list[BudgetLine]:
    """Return the budgets that counted anything of [starts_at, ends_at), by name.

    All of them, or those of a team or use case (`kind`): whose scope names it, or names only use cases that the team
    answered for at the end. Five queries at most, more after a change of budgets.
    """
    until = min(ends_at, at)
    budgets = Budget.objects.filter(canary=False, created_at__lt=until).filter(
        Q(retired_at__isnull=True) | Q(retired_at__gt=starts_at)
    )
    known = definitions.current().by_id
    rows = list(budgets.order_by("name", "id"))
    limits: dict[int, list[BudgetLimit]] = defaultdict(list)
    for limit in BudgetLimit.objects.filter(budget__in=[row.pk for row in rows if row.pk not in known]):
        limits[limit.budget_id].append(limit)
    wanted = {row.pk: known.get(row.pk) or definitions.of(row, limits[row.pk]) for row in rows}
    if kind:
        answered_for = _answered_for(team_id, until) if team_id is not None else frozenset()
        wanted = {pk: one for pk, one in wanted.items() if _belongs(one, kind, name, answered_for)}
    counters: dict[int, list[Counter]] = defaultdict(list)
    touching = Counter.objects.filter(budget__in=list(wanted), period_start__lt=until, period_end__gt=starts_at)
    for counter in touching.order_by("-period_start"):
        counters[counter.budget_id].append(counter)
    return [_line(one, counters[pk], until, at) for pk, one in wanted.items()]


def _answered_for(team_id: int, until: datetime) -> frozenset[str]:
    of_team = UseCaseTeam.objects.filter(team=team_id, valid__contains=until - _INSTANT)
    return frozenset(of_team.values_list("use_case__name", flat=True))


def _belongs(definition: Definition, kind: str, name: str, answered_for: frozenset[str]) -> bool:
    if name in definition.scope.get(kind, ()):
        return True
    use_cases = definition.scope.get("use_case", frozenset())
    return bool(use_cases) and "team" not in definition.scope and use_cases <= answered_for


def _line(definition: Definition, counters: Iterable[Counter], until: datetime, at: datetime) -> BudgetLine:
    # The running one first: of periods that were used alike, the latest stands for all.
    found = list(counters)
    shown = max(found, key=lambda counter: _share(definition, counter, at), default=None)
    period = definition.period_of(shown.period_start if shown else until - _INSTANT)
    limit = _limit(definition, period, at)
    building = shown is not None and shown.state == CounterState.BUILDING
    used = None if building else shown.used if shown else Decimal(0)
    return BudgetLine(
        id=definition.id,
        name=definition.name,
        scope={dimension: tuple(sorted(names)) for dimension, names in definition.scope.items()},
        unit=definition.unit,
        period_kind=definition.period,
        zone=definition.zone,
        period=period,
        over=period.ends_at <= at,
        used=used,
        limit=limit,
        per_cent_used=rules.per_cent(used, limit) if used is not None and limit is not None else None,
        periods=len(found),
        exceeded=sum(_share(definition, counter, at) >= 100 for counter in found),
    )


def _limit(definition: Definition, period: Period, at: datetime) -> Decimal | None:
    limit = definition.limit_of(period, at)
    return limit.amount if limit else None


def _share(definition: Definition, counter: Counter, at: datetime) -> Decimal:
    limit = _limit(definition, definition.period_of(counter.period_start), at)
    if limit is None or counter.state == CounterState.BUILDING:
        return Decimal(-1)
    return rules.per_cent(counter.used, limit)
