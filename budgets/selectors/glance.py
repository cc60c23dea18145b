"""How budgets stand, for a page that is about something else: the one of the whole, and those near their limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from budgets import rules
from budgets.models import Counter, CounterState
from budgets.rules import Definition, Forecast
from budgets.selectors import definitions, outlooks
from core.periods import Period

_NEAR = ("EXCEEDED", "ALERT", "WARN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A budget that passed a threshold in its present period. Per cents have one place and are rounded down."""

    id: int
    name: str
    state: str  # EXCEEDED, ALERT or WARN
    trial: bool
    per_cent_used: Decimal
    per_cent_gone: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The organisation's budget in USD of a month."""

    id: int
    name: str
    period: Period
    limit: Decimal
    used: Decimal | None  # None: it is being counted
    per_cent_used: Decimal | None
    forecast: Forecast | None  # None once the month is over, and while it is being counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    whole: Whole | None  # None: there is none, or it has no limit
    near: tuple[Near, ...]  # fullest first
    count: int  # of all budgets


def glance(*, at: datetime, month_at: datetime, zone: str) -> Glance:
    """Return how budgets stand at an instant, and the whole's in the month of `month_at`.

    The whole's budget has no scope, counts USD by the month and is no trial; of several the one in `zone`, then the
    oldest. Two queries, one more where there is one; more after a change of budgets.
    """
    known = definitions.current().by_id
    whole = _whole(known.values(), zone)
    present = Q(period_start__lte=at, period_end__gt=at)
    asked = Q(budget=whole.id, period_start__lte=month_at, period_end__gt=month_at) if whole else Q()
    counters = list(Counter.objects.filter(present | asked if whole else present, budget__in=known))
    near = []
    for counter in counters:
        if not counter.period_start <= at < counter.period_end or counter.state == CounterState.BUILDING:
            continue
        definition = known[counter.budget_id]
        limit = definition.limit_at(at)
        state = rules.standing(
            used=counter.used, limit=limit.amount if limit else None, thresholds=definition.thresholds
        )
        if limit is not None and state in _NEAR:
            near.append(
                Near(
                    id=definition.id,
                    name=definition.name,
                    state=state,
                    trial=definition.trial,
                    per_cent_used=rules.per_cent(counter.used, limit.amount),
                    per_cent_gone=rules.per_cent_gone(definition.period_of(at), at),
                )
            )
    near.sort(key=lambda one: (-one.per_cent_used, one.name))
    return Glance(whole=_standing(whole, counters, at, month_at) if whole else None, near=tuple(near), count=len(known))


def _whole(known: Iterable[Definition], zone: str) -> Definition | None:
    found = [one for one in known if not one.scope and one.unit == "usd" and one.period == "month" and not one.trial]
    return min(found, key=lambda one: (one.zone != zone, one.id), default=None)


def _standing(whole: Definition, counters: list[Counter], at: datetime, month_at: datetime) -> Whole | None:
    period = whole.period_of(month_at)
    limit = whole.limit_of(period, at)
    if limit is None:
        return None
    counter = next(
        (one for one in counters if one.budget_id == whole.id and one.period_start == period.starts_at), None
    )
    building = counter is not None and counter.state == CounterState.BUILDING
    used = None if building else counter.used if counter else Decimal(0)
    forecast = None
    if used is not None and at in period:
        outlook = outlooks.of([whole.id]).get(whole.id)
        forecast = outlooks.forecast(definition=whole, period=period, used=used, outlook=outlook, at=at)
    return Whole(
        id=whole.id,
        name=whole.name,
        period=period,
        limit=limit.amount,
        used=used,
        per_cent_used=None if used is None else rules.per_cent(used, limit.amount),
        forecast=forecast,
    )
