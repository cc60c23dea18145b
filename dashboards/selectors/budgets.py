"""What the pages of budgets show, put together from what `budgets`, `usage` and `alerts` answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from alerts.selectors import alerts
from alerts.selectors.alerts import AlertRow
from budgets.models import Budget
from budgets.rules import TAG, Definition
from budgets.selectors import definitions
from budgets.selectors import overview as budgets
from budgets.selectors.overview import BudgetRow, CrossingRow
from catalog.models import Model, Team, UseCase
from core.periods import Period
from usage.selectors import drivers, overview
from usage.selectors.overview import Driver

_RISK = {"EXCEEDED": 0, "ALERT": 1, "WARN": 2, "BUILDING": 4}  # what runs out at this pace stands at 3
_AT_EASE = 5


@dataclass(frozen=True, kw_only=True)
class Told:
    """A crossing with the alert that told it, None where it is older than those looked at."""

    crossing: CrossingRow
    alert: AlertRow | None


@dataclass(frozen=True, kw_only=True)
class BudgetPage:
    """One budget; `daily` is None where its days are not known, as for scopes on tags."""

    row: BudgetRow
    definition: Definition
    daily: Mapping[date, Decimal] | None
    drivers: Mapping[str, Sequence[Driver]]
    told: Sequence[Told]
    past: Sequence[tuple[Period, Decimal]]


def at_a_glance(*, at: datetime, zone: str) -> list[BudgetRow]:
    """Return every budget that is not retired, what is most at risk first. Seven queries, more after a change."""
    rows = budgets.rows(at=at, daily=overview.budget_days(zone=zone, at=at))
    return sorted(rows, key=_risk)


def _risk(row: BudgetRow) -> tuple[int, date, Decimal, str]:
    runs_out_on = row.forecast.runs_out_on if row.forecast else None
    rank = _RISK.get(row.state, 3 if runs_out_on else _AT_EASE)
    return rank, runs_out_on or date.max, -(row.per_cent_used or Decimal(0)), row.name


def one(*, budget_id: int, at: datetime) -> BudgetPage | None:
    """Return one budget with what drove it, or None. Thirteen queries, more after a change."""
    budget = Budget.objects.filter(pk=budget_id).first()
    if budget is None:
        return None
    definition = definitions.current().by_id.get(budget_id) or definitions.of(budget, budget.limits.all())
    period = definition.period_of(at)
    tagged = any(dimension.startswith(TAG) for dimension in definition.scope)
    daily = None if tagged else drivers.daily(definition, period)
    row = budgets.one(budget_id=budget_id, at=at, daily=daily)
    if row is None:
        return None
    told = {each.id: each for each in alerts.newest(budget_id=budget_id, limit=100).rows}
    return BudgetPage(
        row=row,
        definition=definition,
        daily=daily,
        drivers={} if tagged else overview.drivers_of(definition, period),
        told=[
            Told(crossing=each, alert=told.get(each.alert_id))
            for each in budgets.crossings(budget_id=budget_id, most=50)
        ],
        past=[each for each in budgets.past_periods(budget_id=budget_id, most=12) if each[0].ends_at <= at],
    )


def names() -> dict[str, list[str]]:
    """Return what a scope may name, by dimension, for a form. Three queries."""
    return {
        "use_case": list(UseCase.objects.order_by("name").values_list("name", flat=True)),
        "team": list(Team.objects.order_by("name").values_list("name", flat=True)),
        "model": list(Model.objects.order_by("name").values_list("name", flat=True)),
    }
