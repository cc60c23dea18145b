"""Budgets as pages and the API show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from budgets import rules
from budgets.models import Budget, BudgetLimit, Counter, CounterState, Crossing
from budgets.rules import Definition, Forecast
from budgets.selectors import definitions, outlooks
from budgets.selectors.outlooks import OutlookRow
from core.periods import Period

BUILDING = "BUILDING"
RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    version: int
    amount: Decimal
    starts_at: datetime | None
    ends_at: datetime | None
    reason: str
    by: str
    approved_by: str
    created_at: datetime
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossingRow:
    basis: str
    threshold: int
    limit_version: int
    period_start: datetime
    period_end: datetime
    used: Decimal
    crossed_at: datetime
    alert_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """A budget in its present period. Amounts are in its unit, per cents have one place and are rounded down."""

    id: int
    name: str
    scope: Mapping[str, tuple[str, ...]]
    unit: str
    period_kind: str
    zone: str
    fiscal_start_month: int
    action: str
    trial: bool
    thresholds: tuple[int, ...]
    forecast_thresholds: tuple[int, ...]
    owner: str
    created_at: datetime
    created_by: str
    retired_at: datetime | None
    period: Period
    limit: Decimal | None
    limit_version: int | None
    used: Decimal
    unclassified: Decimal  # tokens of offerings without a tier, beside `used`; frontier budgets only
    per_cent_used: Decimal | None  # None without a limit, or while `used` is not known yet
    per_cent_gone: Decimal
    forecast: Forecast | None
    outlook: OutlookRow | None  # its days and what is expected of them; None: nobody sums them, or has yet
    state: str  # OK, WARN, ALERT, EXCEEDED, BUILDING (used is not known yet) or RETIRED
    enforced: bool  # exceeded, and gateways are told
    limits: tuple[LimitRow, ...]  # the highest version first
    crossings: tuple[CrossingRow, ...]  # of the present period, the latest first


def rows(*, at: datetime, retired: bool = False, only: Collection[int] | None = None) -> list[BudgetRow]:
    """Return every budget by name, or those with one of these ids; retired ones only where asked for.

    Five queries, more after a change of budgets; none for no ids.
    """
    if only is not None and not only:
        return []
    wanted = Budget.objects.filter(canary=False)
    if only is not None:
        wanted = wanted.filter(pk__in=list(only))
    if not retired:
        wanted = wanted.filter(retired_at__isnull=True)
    return _rows(wanted.order_by("name", "id"), at)


def one(*, budget_id: int, at: datetime) -> BudgetRow | None:
    """Return one budget, retired or not, or None. Five queries, more after a change."""
    found = _rows(Budget.objects.filter(pk=budget_id, canary=False), at)
    return found[0] if found else None


def crossings(*, budget_id: int, most: int = 100) -> list[CrossingRow]:
    """Return a budget's crossings of all periods, the latest first. One query."""
    found = Crossing.objects.filter(budget=budget_id).select_related("limit").order_by("-crossed_at", "-id")
    return [_crossing(one) for one in found[:most]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPeriod:
    """What was used in a period, beside the limit that was in force when it ended."""

    period: Period
    used: Decimal
    limit: Decimal | None
    per_cent_used: Decimal | None  # one place, rounded down


def past_periods(*, budget_id: int, at: datetime, most: int = 24) -> list[PastPeriod]:
    """Return what was used in each period that is over and was counted, the latest first. Three queries."""
    budget = Budget.objects.get(pk=budget_id)
    definition = definitions.of(budget, BudgetLimit.objects.filter(budget=budget))
    counters = Counter.objects.filter(budget=budget_id, state=CounterState.LIVE, period_end__lte=at)
    found = []
    for counter in counters.order_by("-period_start")[:most]:
        period = definition.period_of(counter.period_start)
        limit = definition.limit_of(period, at)
        amount = limit.amount if limit else None
        share = rules.per_cent(counter.used, amount) if amount is not None else None
        found.append(PastPeriod(period=period, used=counter.used, limit=amount, per_cent_used=share))
    return found


def _rows(budgets: QuerySet[Budget], at: datetime) -> list[BudgetRow]:
    wanted = list(budgets.select_related("outlook"))
    ids = [budget.pk for budget in wanted]
    known = definitions.current().by_id
    limits: dict[int, list[BudgetLimit]] = defaultdict(list)
    for limit in BudgetLimit.objects.filter(budget__in=ids).order_by("-version"):
        limits[limit.budget_id].append(limit)
    counters = {
        counter.budget_id: counter
        for counter in Counter.objects.filter(budget__in=ids, period_start__lte=at, period_end__gt=at)
    }
    crossed: dict[int, list[CrossingRow]] = defaultdict(list)
    present = Crossing.objects.filter(budget__in=ids, period_start__lte=at, period_end__gt=at)
    for crossing in present.select_related("limit").order_by("-crossed_at", "-threshold", "-id"):
        crossed[crossing.budget_id].append(_crossing(crossing))
    return [
        _row(
            budget,
            known.get(budget.pk) or definitions.of(budget, limits[budget.pk]),
            limits[budget.pk],
            counters.get(budget.pk),
            crossed[budget.pk],
            at,
        )
        for budget in wanted
    ]


def _row(
    budget: Budget,
    definition: Definition,
    limits: list[BudgetLimit],
    counter: Counter | None,
    crossed: list[CrossingRow],
    at: datetime,
) -> BudgetRow:
    kept = getattr(budget, "outlook", None)
    outlook = None if kept is None else outlooks.read(kept)
    period = definition.period_of(at)
    in_force = definition.limit_at(at)
    amount = in_force.amount if in_force else None
    used = counter.used if counter else Decimal(0)
    building = counter is not None and counter.state == CounterState.BUILDING
    if budget.retired_at is not None:
        state = RETIRED
    elif building:
        state = BUILDING
    else:
        state = rules.standing(used=used, limit=amount, thresholds=definition.thresholds)
    return BudgetRow(
        id=budget.pk,
        name=budget.name,
        scope={dimension: tuple(sorted(names)) for dimension, names in definition.scope.items()},
        unit=budget.unit,
        period_kind=budget.period,
        zone=budget.zone,
        fiscal_start_month=budget.fiscal_start_month,
        action=budget.action,
        trial=budget.trial,
        thresholds=definition.thresholds,
        forecast_thresholds=definition.forecast_thresholds,
        owner=budget.owner,
        created_at=budget.created_at,
        created_by=budget.created_by,
        retired_at=budget.retired_at,
        period=period,
        limit=amount,
        limit_version=in_force.version if in_force else None,
        used=used,
        unclassified=counter.unclassified if counter else Decimal(0),
        per_cent_used=None if amount is None or building else rules.per_cent(used, amount),
        per_cent_gone=rules.per_cent_gone(period, at),
        forecast=None
        if building or budget.retired_at is not None
        else outlooks.forecast(definition=definition, period=period, used=used, outlook=outlook, at=at),
        outlook=outlook,
        state=state,
        enforced=definition.enforces and state == "EXCEEDED",
        limits=tuple(
            LimitRow(
                version=limit.version,
                amount=limit.amount,
                starts_at=limit.starts_at,
                ends_at=limit.ends_at,
                reason=limit.reason,
                by=limit.by,
                approved_by=limit.approved_by,
                created_at=limit.created_at,
                in_force=in_force is not None and limit.version == in_force.version,
            )
            for limit in limits
        ),
        crossings=tuple(crossed),
    )


def _crossing(crossing: Crossing) -> CrossingRow:
    return CrossingRow(
        basis=crossing.basis,
        threshold=crossing.threshold,
        limit_version=crossing.limit.version,
        period_start=crossing.period_start,
        period_end=crossing.period_end,
        used=crossing.used,
        crossed_at=crossing.crossed_at,
        alert_id=crossing.alert_id,
    )
