"""What moved, and why as far as sums say: medians, what names cost in two spans of days, the parts of a change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from statistics import median

from usage.selectors import chargeback
from usage.selectors.chargeback import SpanCell, Sums

_ZERO = Decimal(0)
_DIGITS = 80


@dataclass(frozen=True, kw_only=True)
class Mover:
    """What a name cost, and what it is compared with."""

    name: str
    now_usd: Decimal
    before_usd: Decimal

    @property
    def change_usd(self) -> Decimal:
        return self.now_usd - self.before_usd


@dataclass(frozen=True, kw_only=True)
class Change:
    """Why a use case cost more or less: exact parts that add up to the change.

    `volume_usd` is for more or fewer requests, `mix_usd` for other models, `per_request_usd` for requests that cost
    more or less at the same model, by their price or their length.
    """

    name: str
    now_usd: Decimal
    before_usd: Decimal
    volume_usd: Decimal
    mix_usd: Decimal
    per_request_usd: Decimal


def median_usd(values: Sequence[Decimal]) -> Decimal:
    """Return the exact median, 0 of nothing."""
    with localcontext() as context:
        context.prec = _DIGITS
        return median(values) if values else _ZERO


def medians(of_days: Sequence[Sums]) -> Sums:
    """Return the median of each measure; counts are rounded."""
    counts = {name: round(median(getattr(one, name) for one in of_days)) for name in chargeback.MEASURES[1:]}
    return Sums(cost_usd=median_usd([one.cost_usd for one in of_days]), **counts)


def by_cost(cells: Iterable[SpanCell], dimension: str) -> tuple[Mover, ...]:
    """Return what each name cost in the first span, dearest first, against the second."""
    costs: dict[str, list[list[Decimal]]] = defaultdict(lambda: [[], []])
    for cell in cells:
        costs[getattr(cell, dimension)][cell.span].append(cell.sums.cost_usd)
    movers = [
        Mover(name=name, now_usd=chargeback.plus(now), before_usd=chargeback.plus(before))
        for name, (now, before) in costs.items()
    ]
    return tuple(sorted(movers, key=lambda one: (-one.now_usd, -one.before_usd, one.name)))


def changes(cells: Iterable[SpanCell]) -> tuple[Change, ...]:
    """Return why each use case cost more or less in the first span than in the second, the largest change first.

    The parts of a change add up to it: what more requests of the old kind would have cost, what the shift between
    models adds at the old cost of a request at each, and the rest, which is requests that cost more or less at the same
    model. A model that was not used before counts as a shift, at what it costs now.
    """
    by_use_case: dict[str, dict[str, list[list[Sums]]]] = defaultdict(lambda: defaultdict(lambda: [[], []]))
    for cell in cells:
        by_use_case[cell.use_case][cell.model][cell.span].append(cell.sums)
    with localcontext() as context:
        context.prec = _DIGITS
        found = [_change(name, models) for name, models in by_use_case.items()]
    wanted = [one for one in found if one.now_usd != one.before_usd]
    return tuple(sorted(wanted, key=lambda one: (-abs(one.now_usd - one.before_usd), one.name)))


def _change(name: str, models: Mapping[str, Sequence[Sequence[Sums]]]) -> Change:
    summed = [[chargeback.added(span) for span in spans] for spans in models.values()]
    now_usd = sum((now.cost_usd for now, _ in summed), _ZERO)
    before_usd = sum((before.cost_usd for _, before in summed), _ZERO)
    requests = sum(now.requests for now, _ in summed)
    requests_before = sum(before.requests for _, before in summed)
    if requests <= 0 or requests_before <= 0:
        # One that began or ended: all of it is volume.
        return Change(
            name=name, now_usd=now_usd, before_usd=before_usd, volume_usd=now_usd - before_usd, mix_usd=_ZERO,
            per_request_usd=_ZERO,
        )  # fmt: skip
    as_before = before_usd * requests / requests_before  # what so many requests would have cost
    at_old_costs = sum((_at_old_cost(now, before) for now, before in summed), _ZERO)
    return Change(
        name=name,
        now_usd=now_usd,
        before_usd=before_usd,
        volume_usd=as_before - before_usd,
        mix_usd=at_old_costs - as_before,
        per_request_usd=now_usd - at_old_costs,
    )


def _at_old_cost(now: Sums, before: Sums) -> Decimal:
    """Return what the requests of now would have cost at what one cost before."""
    return before.cost_usd * now.requests / before.requests if before.requests > 0 else now.cost_usd
