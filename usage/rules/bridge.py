"""Why spend changed between two ranges of days: plain Python, exact to the attodollar, no I/O, no clock.

# Note [The parts of a change]
Of each use case that was used in both ranges, one thing after the other is moved from what it was to what it is, in
this order, and each part is what that step changes:

1. volume: all requests together grew or shrank, and every use case with them
2. mix of use cases: the use case has another share of the requests
3. mix of models: its requests went to other offerings. One that it did not use before counts as if each request had had
   the use case's tokens of before, at the offering's own prices
4. tokens per call: more or fewer tokens in a request, or others of them (output, prompt cache)
5. price: the same tokens, at the prices of both ranges (Note [Prices of a day], the mean of the days)

A use case that was not used before is new as a whole, one that is not used any more is gone as a whole, and what was
booked late for closed months stands apart. The parts add up to the change, to the last decimal: each is the difference
of two levels that are rounded once. Another order would move some of it from one part to another; this one is fixed.
Requests whose cost nobody knows are left out of the requests: once they have a price, they come as another model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from usage.rules.day_prices import Prices, tokens, worth


class Side(NamedTuple):
    """What a use case used of an offering in one of the ranges."""

    requests: int  # with a known cost
    cost: int  # attodollars
    meters: tuple[int, ...]


class Cell(NamedTuple):
    """A use case at an offering, in both ranges, with the prices that the book has for them."""

    use_case: int
    offering: int
    before: Side
    after: Side
    then: Prices | None  # in the first range
    now: Prices | None  # in the second


class Parts(NamedTuple):
    """A change in attodollars; what it consists of adds up to it."""

    volume: int = 0
    use_cases: int = 0
    models: int = 0
    tokens: int = 0
    price: int = 0
    new: int = 0
    gone: int = 0

    @property
    def total(self) -> int:
        return sum(self)


def explain(cells: Sequence[Cell]) -> dict[int, Parts]:
    """Return the parts of the change of each use case, by its id; see Note [The parts of a change]."""
    by_use_case: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_use_case[cell.use_case].append(cell)
    both = {
        use_case: (_requests(those, 0), _requests(those, 1))
        for use_case, those in by_use_case.items()
        if _requests(those, 0) > 0 and _requests(those, 1) > 0
    }
    before, after = (sum(requests[side] for requests in both.values()) for side in (0, 1))
    growth = Fraction(after, before) if before else Fraction(1)
    found = {}
    for use_case, those in by_use_case.items():
        if use_case in both:
            found[use_case] = _parts(those, *both[use_case], growth)
        else:
            change = sum(cell.after.cost - cell.before.cost for cell in those)
            is_new = _requests(those, 0) <= 0
            found[use_case] = Parts(new=change) if is_new else Parts(gone=change)
    return found


def total(parts: Iterable[Parts]) -> Parts:
    """Add up, part by part."""
    return Parts(*(sum(column) for column in zip(*parts, strict=True)))


def _requests(cells: Sequence[Cell], side: int) -> int:
    return sum((cell.after if side else cell.before).requests for cell in cells)


def _parts(cells: Sequence[Cell], before: int, after: int, growth: Fraction) -> Parts:
    cost = sum(cell.before.cost for cell in cells)
    # The tokens of a request of before, and what its offerings would have cost then: what a new offering is held to.
    usual = [Fraction(sum(column), before) for column in zip(*(cell.before.meters for cell in cells), strict=True)]
    levels = [
        cost,
        round(cost * growth),
        round(cost * Fraction(after, before)),
        round(sum((cell.after.requests * _per_request(cell, usual) for cell in cells), Fraction(0))),
        round(sum((cell.after.cost * _dearer(cell) for cell in cells), Fraction(0))),
        sum(cell.after.cost for cell in cells),
    ]
    return Parts(*(later - earlier for earlier, later in pairwise(levels)))


def _per_request(cell: Cell, usual: Sequence[Fraction]) -> Fraction:
    """Return what a request at an offering cost before, or would have, in attodollars."""
    if cell.before.requests > 0:
        return Fraction(cell.before.cost, cell.before.requests)
    if cell.after.requests <= 0:
        return Fraction(0)
    per_request = Fraction(cell.after.cost, cell.after.requests)
    listed, would = worth(cell.now, cell.after.meters), worth(cell.now, usual)
    if listed and would is not None:  # what it really cost may differ from the book's: by a contract, by hours
        return cell.after.cost * would / listed
    used = tokens(cell.after.meters)
    usual_tokens = sum(usual[:-2], Fraction(0))
    return cell.after.cost * usual_tokens / used if used and usual_tokens else per_request


def _dearer(cell: Cell) -> Fraction:
    """Return what the tokens of now cost at the prices of then, as a share of what they cost now."""
    if cell.before.requests <= 0 or cell.then is cell.now:
        return Fraction(1)
    then, now = worth(cell.then, cell.after.meters), worth(cell.now, cell.after.meters)
    return then / now if then and now else Fraction(1)
