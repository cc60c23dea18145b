"""What the file for finance says of every budget."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from budgets import sheets
from budgets.models import Budget, BudgetLimit, Counter, CounterState
from budgets.rules import Definition, planning
from budgets.selectors import definitions, plans


def rows(*, at: datetime, periods: int = plans.AHEAD) -> Iterator[list[Any]]:
    """Yield the rows of every budget that is not retired, by name: a row for each of the next periods, the present one
    first, and one for what holds later. Three queries."""
    budgets = list(Budget.objects.filter(retired_at__isnull=True, canary=False).order_by("name", "id"))
    limits: dict[int, list[BudgetLimit]] = {budget.pk: [] for budget in budgets}
    for limit in BudgetLimit.objects.filter(budget__in=limits):
        limits[limit.budget_id].append(limit)
    present = Counter.objects.filter(
        budget__in=limits, period_start__lte=at, period_end__gt=at, state=CounterState.LIVE
    )
    used = dict(present.values_list("budget", "used"))
    for budget in budgets:
        definition = definitions.of(budget, limits[budget.pk])
        defining = described(definition, budget)
        for place, period in enumerate(planning.periods_from(definition, at, periods)):
            holds = definition.limit_at(max(period.starts_at, at))
            yield [
                budget.name,
                sheets.period_text(budget.period, period.first_day),
                holds.amount if holds else None,
                used.get(budget.pk) if place == 0 else None,
                *defining.values(),
            ]
        later = definition.limit_at(planning.settled_from(definition, (), at))
        yield [
            budget.name, sheets.period_text(budget.period, None), later.amount if later else None, None,
            *defining.values(),
        ]  # fmt: skip


def described(definition: Definition, budget: Budget) -> dict[str, str]:
    """Return what a budget is, by column (`sheets.DEFINING`), as the file has it."""
    return {
        "unit": budget.unit,
        "scope": sheets.scope_text(definition.scope),
        "zone": budget.zone,
        "fiscal_start_month": str(budget.fiscal_start_month),
        "action": budget.action,
        "trial": "yes" if budget.trial else "no",
        "thresholds": sheets.thresholds_text(definition.thresholds),
        "forecast_thresholds": sheets.thresholds_text(sorted(budget.forecast_thresholds)),
        "owner": budget.owner,
    }
