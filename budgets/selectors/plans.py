"""Limits of periods ahead, beside what was used in those that are over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets.models import Budget, BudgetLimit, Counter, CounterState
from budgets.rules import Definition, Limit, planning
from budgets.rules.planning import Step
from budgets.selectors import definitions
from core.periods import Period

AHEAD = 12
MOST_AHEAD = 60
PAST = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPeriod:
    """A period that is not over; `amount` holds at its start, or now where it has begun."""

    period: Period
    amount: Decimal | None
    version: int | None
    own: bool  # by a version that ends with the period: nobody who changes what holds "from now on" means it
    later: tuple[Step, ...]  # where the limit changes within the period


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPeriod:
    """A period that is over, with the limit that held at its end; `used` is None where it was not counted."""

    period: Period
    used: Decimal | None
    limit: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    budget_id: int
    name: str
    retired: bool
    definition: Definition
    version: int  # the highest one there is: a save that names it is refused where somebody else saved meanwhile
    ahead: tuple[PlannedPeriod, ...]  # the present period first
    past: tuple[PastPeriod, ...]  # the latest first, back to when the budget first counted
    after: Decimal | None  # what holds once no version begins or ends any more
    after_from: datetime


def plan(*, budget_id: int, at: datetime, ahead: int = AHEAD) -> Plan | None:
    """Return a budget's limits for the present period and those that follow, or None. Three queries."""
    budget = Budget.objects.filter(pk=budget_id, canary=False).first()
    if budget is None:
        return None
    limits = list(BudgetLimit.objects.filter(budget=budget).order_by("-version"))
    definition = definitions.of(budget, limits)
    counters = Counter.objects.filter(budget=budget, state=CounterState.LIVE, period_end__lte=at)
    used = dict(counters.order_by("-period_start").values_list("period_start", "used")[:PAST])
    settled = planning.settled_from(definition, (), at)
    return Plan(
        budget_id=budget.pk,
        name=budget.name,
        retired=budget.retired_at is not None,
        definition=definition,
        version=limits[0].version if limits else 0,
        ahead=tuple(_planned(definition, period, at) for period in planning.periods_from(definition, at, ahead)),
        past=tuple(
            PastPeriod(period=period, used=used.get(period.starts_at), limit=_amount(definition.limit_of(period, at)))
            for period in planning.periods_before(definition, at, PAST)
            if definition.counts(period)
        ),
        after=_amount(definition.limit_at(settled)),
        after_from=settled,
    )


def _planned(definition: Definition, period: Period, at: datetime) -> PlannedPeriod:
    begins = max(period.starts_at, at)
    limit = definition.limit_at(begins)
    return PlannedPeriod(
        period=period,
        amount=_amount(limit),
        version=limit.version if limit else None,
        own=limit is not None and limit.ends_at == period.ends_at,
        later=tuple(planning.steps(definition, starts_at=begins, ends_at=period.ends_at)[1:]),
    )


def _amount(limit: Limit | None) -> Decimal | None:
    return limit.amount if limit else None
