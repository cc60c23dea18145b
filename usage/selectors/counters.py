"""Counters of budgets, compared with what their scopes used by the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Max

from budgets.models import Budget, CounterState
from budgets.rules import AHEAD, COUNTED, FRONTIER_TOKENS, Definition
from budgets.selectors import definitions
from budgets.services.building import BudgetScopeAsk
from core.money import plain
from core.periods import Period
from usage.models import Month
from usage.selectors import corrections, drivers
from usage.selectors.kept import Span

WHAT = "budgets_counter"
_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A budget's counter of one period beside a recount. `counter_id` is None where nothing was counted yet."""

    definition: Definition
    period: Period
    counter_id: int | None
    held: tuple[Decimal, Decimal]  # used, and unclassified tokens beside it
    recounted: tuple[Decimal, Decimal]

    @property
    def differs(self) -> bool:
        return self.held != self.recounted

    def difference(self) -> dict[str, Any]:
        """Return it as a reconciliation keeps it."""
        names = ("used", "unclassified")
        return {
            "what": WHAT,
            "which": {
                "budget_id": self.definition.id,
                "budget": self.definition.name,
                "counter_id": self.counter_id,
                "period_start": self.period.starts_at.isoformat(),
            },
            "held": dict(zip(names, map(plain, self.held), strict=True)),
            "recounted": dict(zip(names, map(plain, self.recounted), strict=True)),
        }


def compare(
    *,
    at: datetime,
    sure: Callable[[Period], bool],
    kept: Callable[[Period], bool],
    within: Span | None = None,
) -> list[Counted]:
    """Compare the counters of every budget that is not retired, of the running and the last period.

    Where `within` is given, of all periods that touch it.

    Counter and recount are read in one statement, one query per counter. Where quarter hours of a period are `sure`
    (just compared with the ledger), their sums are the ledger's; else the ledger itself is read, if it is `kept`, or
    the counter is left out. Left out are also counters that are being built, and those of a budget whose scope names
    what got another name since, as far as a closed month (which keeps the old name) or a correction under way is
    concerned.
    """
    found = []
    scopes = {budget.pk: budget.scope for budget in Budget.objects.filter(retired_at__isnull=True)}
    closed_until = Month.objects.aggregate(until=Max("ends_at"))["until"]
    for definition in definitions.current().by_id.values():
        for period in _periods(definition, at, within):
            if not definition.counts(period):
                continue
            if _renamed(definition, scopes) and (
                (closed_until is not None and period.starts_at < closed_until)
                or corrections.unfinished(starts_at=period.starts_at, ends_at=period.ends_at)
            ):
                continue
            tagged = any(name.startswith("tag:") for name in definition.scope)
            from_ledger = tagged or not sure(period)
            if from_ledger and not kept(period):
                continue
            counted = _counted(definition, period, from_ledger=from_ledger)
            if counted is not None:
                found.append(counted)
    return found


def _periods(definition: Definition, at: datetime, within: Span | None) -> Iterator[Period]:
    if within is None:
        running = definition.period_of(at)
        yield definition.period_of(running.starts_at - _BEFORE)
        yield running
        return
    starts_at, ends_at = within
    while starts_at < min(ends_at, at + AHEAD):
        period = definition.period_of(starts_at)
        yield period
        starts_at = period.ends_at


def _renamed(definition: Definition, scopes: dict[int, dict[str, list[str]]]) -> bool:
    written = scopes.get(definition.id, {})
    return any(set(written.get(dimension, ())) != names for dimension, names in definition.scope.items())


def _counted(definition: Definition, period: Period, *, from_ledger: bool) -> Counted | None:
    scope = dict(definition.scope)
    if definition.unit == FRONTIER_TOKENS:
        scope.pop("tier", None)
    ask = BudgetScopeAsk(
        budget_id=definition.id, scope=scope, unit=definition.unit, statuses=COUNTED[definition.unit], period=period
    )
    sql, values = drivers.sum_statement(ask, from_ledger=from_ledger)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.used, s.unclassified, c.id, coalesce(c.used, 0), coalesce(c.unclassified, 0), c.state "
            f"FROM ({sql}) AS s LEFT JOIN budgets_counter c ON c.budget_id = %s AND c.period_start = %s",
            [*values, definition.id, period.starts_at],
        )
        row = cursor.fetchone()
    if row is None or row[5] == CounterState.BUILDING:
        return None
    used, unclassified, counter_id, held_used, held_unclassified, _ = row
    return Counted(
        definition=definition,
        period=period,
        counter_id=counter_id,
        held=(Decimal(held_used), Decimal(held_unclassified)),
        recounted=(Decimal(used), Decimal(unclassified)),
    )
