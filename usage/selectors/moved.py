"""Which budgets count a call, what it moved in them, and what was crossed in the same period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from budgets.models import Counter, Crossing
from budgets.rules import Consumption, amount
from budgets.selectors import definitions
from usage.selectors.lines import LineRow


@dataclass(frozen=True, kw_only=True)
class CrossingFacts:
    threshold: int  # per cent
    basis: str
    crossed_at: datetime
    alert_id: int


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A budget that counts a call, in its unit: what the call is in it, and what its period came to by now.

    `used` is None where the period has no counter: it was over before the budget was made.
    """

    budget_id: int
    name: str
    scope: Mapping[str, Sequence[str]]
    unit: str
    period_start: datetime
    period_end: datetime
    zone: str
    by: Decimal
    unclassified: Decimal  # tokens beside it, of an offering without a tier
    used: Decimal | None
    crossings: Sequence[CrossingFacts]


def of(*, row: LineRow, cost_usd: Decimal | None) -> list[Moved]:
    """Return the budgets that count an entry as it stands now, by name. What is booked late moves no budget.

    Three queries at most, and those of `budgets.selectors.definitions` after a change.
    """
    if row.correction_of is not None:
        return []
    consumption = Consumption(
        occurred_at=row.occurred_at,
        use_case=row.use_case,
        team=row.team,
        model=row.model,
        offering=row.offering,
        provider=row.provider,
        tier=row.tier,
        gateway=row.gateway,
        status=row.status,
        requests=row.requests,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=cost_usd or Decimal(0),
        tags=row.tags,
    )
    known = definitions.current()
    concerned = [(one, known.period_of(one, row.occurred_at)) for one in known.concerned(consumption)]
    concerned = [(one, period) for one, period in concerned if one.counts(period)]
    if not concerned:
        return []
    periods = Q()
    for one, period in concerned:
        periods |= Q(budget=one.id, period_start=period.starts_at)
    used = dict(Counter.objects.filter(periods).values_list("budget", "used"))
    crossed: dict[int, list[CrossingFacts]] = {}
    for crossing in Crossing.objects.filter(periods).order_by("crossed_at", "id"):
        crossed.setdefault(crossing.budget_id, []).append(
            CrossingFacts(
                threshold=crossing.threshold,
                basis=crossing.basis,
                crossed_at=crossing.crossed_at,
                alert_id=crossing.alert_id,
            )
        )
    moved = []
    for one, period in sorted(concerned, key=lambda each: each[0].name.casefold()):
        by, unclassified = amount(one.unit, consumption)
        moved.append(
            Moved(
                budget_id=one.id,
                name=one.name,
                scope={name: sorted(values) for name, values in one.scope.items()},
                unit=one.unit,
                period_start=period.starts_at,
                period_end=period.ends_at,
                zone=one.zone,
                by=by,
                unclassified=unclassified,
                used=used.get(one.id),
                crossings=crossed.get(one.id, []),
            )
        )
    return moved
