"""What a budget's scope used in other times than its present period: from sums of days and quarter hours.

They know no tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from budgets.rules import COUNTED, FRONTIER, FRONTIER_TOKENS, REQUESTS, TOKENS, USD, Definition
from budgets.services.building import BudgetScopeAsk
from core.periods import Period
from usage.selectors import drivers, past

QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What a scope used in whole quarter hours; whatever its budget counts."""

    starts_at: datetime
    requests: int
    tokens: int
    cost_usd: Decimal


def is_known(definition: Definition) -> bool:
    """Say whether these sums can be asked for: not where the scope names tags."""
    return not definition.tags


def per_period(definition: Definition, periods: Sequence[Period]) -> dict[Period, Decimal]:
    """Return what the scope used in each period, in the budget's unit, also before the budget was made. Two queries.

    From sums of days where the periods are made of the organisation's: a year of quarter hours took seconds.
    """
    if not periods or not is_known(definition):
        return {}
    ordered = sorted(periods, key=lambda period: period.starts_at)
    edges = [period.starts_at for period in ordered] + [ordered[-1].ends_at]
    days = drivers.days_at(*edges) if [period.ends_at for period in ordered] == edges[1:] else None
    if days is not None:
        return dict(zip(ordered, _by_days(definition, days), strict=True))
    asks = [_ask(definition, definition.unit, period) for period in periods]
    return dict(zip(periods, _sums(asks), strict=True))


def _by_days(definition: Definition, days: Sequence[date]) -> list[Decimal]:
    """Return the sums between one of these days and the next."""
    conditions, values = drivers.of_scope(definition)
    first, until = days[0], days[-1]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT width_bucket(r.day, %s::date[]), sum({drivers.measure(definition.unit)}) "
            f"FROM {past.sums_of_days(first='%s', until='%s')} r "
            f"WHERE r.day >= %s AND r.day < %s{conditions} GROUP BY 1",
            [list(days[:-1]), first, until, first, until, *values],
        )
        used = {number: Decimal(used) for number, used in cursor.fetchall()}
    return [used.get(number, Decimal(0)) for number in range(1, len(days))]


def since(definition: Definition, instant: datetime, until: datetime) -> Since | None:
    """Return what came from the first quarter hour that began after an instant, or None before it. One query.

    The quarter hour that holds the instant is left out: nobody knows which part of it came after.
    """
    starts_at = quarter_after(instant)
    if not is_known(definition) or starts_at >= until:
        return None
    period = Period(starts_at, until, starts_at.date())
    asks = [_ask(definition, unit, period) for unit in (REQUESTS, TOKENS, USD)]
    requests, tokens, cost = _sums(asks)
    return Since(starts_at=starts_at, requests=int(requests), tokens=int(tokens), cost_usd=cost)


def quarter_after(instant: datetime) -> datetime:
    """Return the start of the first quarter hour that begins at an instant or after it."""
    begun = instant.astimezone(UTC)
    start = begun.replace(minute=begun.minute // 15 * 15, second=0, microsecond=0)
    return start if start == begun else start + QUARTER


def _ask(definition: Definition, unit: str, period: Period) -> BudgetScopeAsk:
    scope = dict(definition.scope)
    if definition.unit == FRONTIER_TOKENS:
        scope["tier"] = frozenset({FRONTIER})
        unit = TOKENS if unit == FRONTIER_TOKENS else unit
    return BudgetScopeAsk(
        budget_id=definition.id, scope=scope, unit=unit, statuses=COUNTED[definition.unit], period=period
    )


def _sums(asks: Sequence[BudgetScopeAsk]) -> list[Decimal]:
    parts, values = [], list[Any]()
    for ask in asks:
        sql, of_part = drivers.sum_statement(ask)
        parts.append(f"(SELECT s.used FROM ({sql}) AS s)")
        values += of_part
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", values)
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return [Decimal(used) for used in row]
