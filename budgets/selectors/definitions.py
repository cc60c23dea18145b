"""Budgets and their limits as every booking needs them: read once per process and change.

# Note [Cached definitions]
Any change of a budget or a limit moves `budgets_change.definitions` in its own transaction (a trigger does it), so one
small query tells whether what is in memory still holds. The number alone is not enough: a change that is rolled back
gives its number to the next one. The row's `xmin`, the transaction that wrote it last, tells the two apart. The same
holds for the catalogue's revision: scopes go by its names, and a team may get another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from budgets.models import Budget, BudgetLimit
from budgets.rules import Consumption, Definition, Limit, concerns, values_of
from budgets.selectors import names
from core.periods import Period

_MOST_REMEMBERED = 50_000

Mark = tuple[int | str, ...]  # the numbers of the present definitions and catalogue, see Note [Cached definitions]


@dataclass(frozen=True, slots=True)
class Definitions:
    """All budgets that are not retired, the canary left out, by id, with what was worked out about them so far."""

    mark: Mark
    by_id: dict[int, Definition]
    tag_names: frozenset[str]
    _tags: tuple[str, ...]
    _matched: dict[tuple[str | None, ...], tuple[Definition, ...]] = field(default_factory=dict)
    _periods: dict[tuple[str, str, int, datetime], Period] = field(default_factory=dict)

    def concerned(self, consumption: Consumption) -> tuple[Definition, ...]:
        """Return the budgets that count this consumption. Remembered per combination of dimensions."""
        one = consumption
        key = (
            one.use_case, one.team, one.model, one.offering, one.provider, one.tier, one.gateway,
            *(one.tags.get(tag) for tag in self._tags),
        )  # fmt: skip
        found = self._matched.get(key)
        if found is None:
            if len(self._matched) >= _MOST_REMEMBERED:
                self._matched.clear()
            values = values_of(consumption)
            found = tuple(definition for definition in self.by_id.values() if concerns(definition, values))
            self._matched[key] = found
        return found

    def period_of(self, definition: Definition, instant: datetime) -> Period:
        """Return the budget's period that holds an instant. Remembered per kind, zone and instant."""
        key = (definition.period, definition.zone, definition.fiscal_start_month, instant)
        found = self._periods.get(key)
        if found is None:
            if len(self._periods) >= _MOST_REMEMBERED:
                self._periods.clear()
            found = self._periods[key] = definition.period_of(instant)
        return found


_cached: Definitions | None = None  # replaced as a whole, never changed: threads may share it


def current() -> Definitions:
    """Return the definitions in force. One query while nothing has changed, up to seven after a change."""
    global _cached
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT budgets.definitions, budgets.xmin::text, catalogue.number, catalogue.xmin::text
            FROM budgets_change budgets, catalog_revision catalogue
            """
        )
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("budgets_change or catalog_revision has lost its one row")
    mark: Mark = tuple(row)
    known = _cached
    if known is None or known.mark != mark:
        # Read after the mark: what is newer than it is at worst read once more.
        known = _cached = _load(mark)
    return known


def tag_names() -> frozenset[str]:
    """Return the tags that scopes ask for: what booking has to keep apart. Queries as `current`."""
    return current().tag_names


def of(
    budget: Budget, limits: Iterable[BudgetLimit], called: Mapping[tuple[str, str], str] | None = None
) -> Definition:
    """Return a budget's row and those of its limits as one value; `called` has present names. No query."""
    called = called or {}
    return Definition(
        id=budget.pk,
        name=budget.name,
        scope={
            dimension: frozenset(called.get((dimension, name), name) for name in listed)
            for dimension, listed in budget.scope.items()
        },
        unit=budget.unit,
        period=budget.period,
        zone=budget.zone,
        fiscal_start_month=budget.fiscal_start_month,
        action=budget.action,
        trial=budget.trial,
        thresholds=tuple(sorted(budget.thresholds)),
        forecast_thresholds=tuple(sorted(budget.forecast_thresholds)),
        owner=budget.owner,
        created_at=budget.created_at,
        limits=tuple(
            Limit(
                limit.pk,
                limit.version,
                limit.amount,
                limit.starts_at,
                limit.ends_at,
                None if limit.version == 1 else limit.created_at,
            )
            for limit in sorted(limits, key=lambda limit: -limit.version)
        ),
    )


def _called_now(budgets: Iterable[Budget]) -> dict[tuple[str, str], str]:
    # Only labels are ever renamed; a model, an offering, a provider and a gateway keep their names.
    wanted: dict[str, set[str]] = {"use_case": set(), "team": set()}
    for budget in budgets:
        for dimension in wanted.keys() & budget.scope.keys():
            wanted[dimension].update(budget.scope[dimension])
    return {
        (dimension, name): now
        for dimension, labels in wanted.items()
        if labels
        for name, now in names.resolved(dimension, labels).items()
    }


def _load(mark: Mark) -> Definitions:
    budgets = list(Budget.objects.filter(retired_at__isnull=True, canary=False).order_by("id"))
    # Limits are read second: a budget committed between the two reads is left out whole, never met without its limit.
    limits: dict[int, list[BudgetLimit]] = {budget.pk: [] for budget in budgets}
    for limit in BudgetLimit.objects.filter(budget__in=limits):
        limits[limit.budget_id].append(limit)
    called = _called_now(budgets)
    by_id = {budget.pk: of(budget, limits[budget.pk], called) for budget in budgets}
    tags = {tag for one in by_id.values() for tag in one.tags}
    return Definitions(mark=mark, by_id=by_id, tag_names=frozenset(tags), _tags=tuple(sorted(tags)))
