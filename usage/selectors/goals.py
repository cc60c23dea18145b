"""How much goes to frontier models and to models with open weights: by requests, by tokens and by spend.

Days are the organisation's, ranges are half-open [first, until). A share by requests is of answered ones (status ok);
shares by tokens and by spend are of everything that was booked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Sum

from catalog.models import Tier
from usage.models import RollupDay, Status
from usage.rules.rating import atto, usd
from usage.selectors.drivers import INPUT, OUTPUT

_TOKENS = sum((F(name) for name in (*INPUT, *OUTPUT)[1:]), F((*INPUT, *OUTPUT)[0]))
_ANSWERED, _FRONTIER, _OPEN = Q(status=Status.OK), Q(tier=Tier.FRONTIER), Q(offering__model__open_weights=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """All of it, what of it was on the frontier, and what on open weights."""

    answered: int = 0
    answered_frontier: int = 0
    answered_open: int = 0
    tokens: int = 0
    tokens_frontier: int = 0
    tokens_open: int = 0
    cost_usd: Decimal = Decimal(0)
    cost_frontier_usd: Decimal = Decimal(0)
    cost_open_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseShares(Shares):
    use_case_id: int
    use_case: str


def by_use_case(*, first: date, until: date) -> list[UseCaseShares]:
    """Return the shares of each use case that answered anything, most requests first. One query."""
    rows: Any = (
        RollupDay.objects.filter(day__gte=first, day__lt=until)
        .values("use_case_id", "use_case__name")
        .annotate(
            n_answered=Sum("requests", filter=_ANSWERED),
            n_answered_frontier=Sum("requests", filter=_ANSWERED & _FRONTIER),
            n_answered_open=Sum("requests", filter=_ANSWERED & _OPEN),
            n_tokens=Sum(_TOKENS),
            n_tokens_frontier=Sum(_TOKENS, filter=_FRONTIER),
            n_tokens_open=Sum(_TOKENS, filter=_OPEN),
            n_cost_usd=Sum("cost_usd"),
            n_cost_frontier_usd=Sum("cost_usd", filter=_FRONTIER),
            n_cost_open_usd=Sum("cost_usd", filter=_OPEN),
        )
    )
    found = [
        UseCaseShares(
            use_case_id=row["use_case_id"],
            use_case=row["use_case__name"],
            **{field.name: _value(field.name, row[f"n_{field.name}"]) for field in fields(Shares)},
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.answered, one.use_case))


def _value(name: str, value: Any) -> Any:
    return Decimal(value or 0) if name.endswith("_usd") else int(value or 0)


def total(rows: Iterable[Shares]) -> Shares:
    """Add up, exactly."""
    every = list(rows)
    sums: dict[str, Any] = {}
    for field in fields(Shares):
        values = [getattr(row, field.name) for row in every]
        sums[field.name] = usd(sum(map(atto, values))) if field.name.endswith("_usd") else sum(values)
    return Shares(**sums)
