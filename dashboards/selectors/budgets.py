"""What the pages of budgets show, put together from what `budgets`, `usage` and `alerts` answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from alerts.selectors import alerts
from alerts.selectors.alerts import AlertRow
from budgets.models import Budget
from budgets.rules import Definition
from budgets.selectors import definitions
from budgets.selectors import overview as budgets
from budgets.selectors.overview import BudgetRow, CrossingRow, PastPeriod
from usage.selectors import drivers
from usage.selectors.drivers import Driver

_RISK = {"EXCEEDED": 0, "ALERT": 1, "WARN": 2, "BUILDING": 4, "RETIRED": 6}
_RUNS_OUT = 3  # at this pace, though no threshold is passed
_AT_EASE = 5


@dataclass(frozen=True, kw_only=True)
class Told:
    """A crossing with the alert that told it, None where it is older than those looked at."""

    crossing: CrossingRow
    alert: AlertRow | None


@dataclass(frozen=True, kw_only=True)
class BudgetPage:
    """One budget, and what its page says beside."""

    row: BudgetRow
    definition: Definition
    drivers: Mapping[str, Sequence[Driver]]
    told: Sequence[Told]
    past: Sequence[PastPeriod]


def at_a_glance(*, at: datetime) -> list[BudgetRow]:
    """Return every budget that is not retired, what is most at risk first. Five queries, more after a change."""
    rows = budgets.rows(at=at)
    return sorted(rows, key=risk)


def at_risk(row: BudgetRow) -> bool:
    """Say whether somebody should look at a budget: a threshold is passed, or it runs out before its period ends."""
    return risk(row)[0] <= _RUNS_OUT


def risk(row: BudgetRow) -> tuple[int, date, Decimal, str]:
    """Return a key that sorts what is most at risk first."""
    runs_out_on = row.forecast.runs_out_on if row.forecast else None
    rank = _RISK.get(row.state, _RUNS_OUT if runs_out_on else _AT_EASE)
    return rank, runs_out_on or date.max, -(row.per_cent_used or Decimal(0)), row.name


def one(*, budget_id: int, at: datetime) -> BudgetPage | None:
    """Return one budget with what drove it, or None. Twelve queries, more after a change."""
    budget = Budget.objects.filter(pk=budget_id).first()
    if budget is None:
        return None
    definition = definitions.current().by_id.get(budget_id) or definitions.of(budget, budget.limits.all())
    row = budgets.one(budget_id=budget_id, at=at)
    if row is None:
        return None
    told = {each.id: each for each in alerts.newest(budget_id=budget_id, limit=100).rows}
    return BudgetPage(
        row=row,
        definition=definition,
        drivers=drivers.shares(definition, definition.period_of(at)),
        told=[
            Told(crossing=each, alert=told.get(each.alert_id))
            for each in budgets.crossings(budget_id=budget_id, most=50)
        ],
        past=budgets.past_periods(budget_id=budget_id, at=at, most=12),
    )
