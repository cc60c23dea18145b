"""What the calls of a use case would have cost at one offering: plain Python, whole attodollars, no I/O, no clock.

# Note [Savings against a baseline]
The baseline is the one offering that all calls of a use case would go to without routing. Of a use case and a month:

- A call that went to the baseline costs there what it did cost. It saves nothing and loses nothing.
- A call that went elsewhere is priced at the baseline: the same tokens, at the baseline's price of that day (Note
  [Prices of a day]). That less what was paid is what other prices saved.
- Going elsewhere takes calls away from the baseline's prompt cache. So the baseline is granted, for the calls that went
  elsewhere, the better of two: the prompt cache that they did have, or the share that the baseline's own calls of that
  month read from and wrote to theirs. What the second is cheaper is the prompt cache that routing lost, and it is taken
  off. Fewer than `ENOUGH` calls of its own tell no share.
- Tokens are counted as the models that answered counted them, and the baseline is taken to answer at the same length.

What has no price on either side is left out on both and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from catalog.rules import METERS, REQUESTS, RateCard
from usage.rules.day_prices import CACHED, UNCACHED, costs

ENOUGH = 30  # calls of the baseline's own in a month, before their prompt cache says anything
CACHE_READ = METERS.index("cache_read")


class Part(NamedTuple):
    """Calls of a use case in a month that share a card of the baseline, summed."""

    own: bool  # they went to the baseline
    requests: int
    meters: tuple[int, ...]
    paid: int  # attodollars
    card: RateCard | None  # the baseline's for them; None: it has no price then


class Line(NamedTuple):
    """One meter of the calls that went elsewhere: as they were, and with the prompt cache that is granted."""

    meter: int
    counted: int
    cost: int
    granted_counted: int
    granted_cost: int


class Compared(NamedTuple):
    """What was paid beside what the baseline would have cost, in attodollars."""

    requests: int  # that are compared
    own_requests: int  # of them, those that went to the baseline
    paid: int
    own_paid: int
    at_baseline: int  # own calls as paid, others at the baseline's price with the prompt cache that they had
    cache_lost: int  # what others would have cost less with the baseline's own share; never negative
    own_cache: tuple[int, int]  # tokens read from a prompt cache, of so many tokens of text: the baseline's own calls
    elsewhere_cache: tuple[int, int]  # the same of calls that went elsewhere
    lines: tuple[Line, ...]
    left_out_requests: int
    left_out_paid: int

    @property
    def net(self) -> int:
        """Return what was saved; negative where routing cost more."""
        return self.at_baseline - self.cache_lost - self.paid


def compare(parts: Sequence[Part]) -> Compared:
    """Compare the calls of one use case in one month with its baseline; see Note [Savings against a baseline]."""
    own = [part for part in parts if part.own]
    own_requests = sum(part.requests for part in own)
    split = _sums([part.meters for part in own])
    known = own_requests >= ENOUGH and sum(_text(split)) > 0
    compared: list[tuple[Part, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = []
    left_out = []
    for part in parts:
        if part.own:
            continue
        cost = None if part.card is None else costs(part.card, part.meters)
        granted = _with_cache_of(part.meters, split) if known else part.meters
        granted_cost = None if part.card is None else costs(part.card, granted)
        if cost is None or granted_cost is None:
            left_out.append(part)
        else:
            compared.append((part, cost, granted, granted_cost))
    elsewhere = sum(sum(cost) for _, cost, _, _ in compared)
    lost = elsewhere - sum(sum(granted_cost) for _, _, _, granted_cost in compared)
    own_paid = sum(part.paid for part in own)
    counts = _sums([part.meters for part, *_ in compared])
    if lost <= 0:
        compared = [(part, cost, part.meters, cost) for part, cost, _, _ in compared]
    costs_, granted_counts, granted_costs = (
        _sums([cost for _, cost, _, _ in compared]),
        _sums([granted for _, _, granted, _ in compared]),
        _sums([granted_cost for *_, granted_cost in compared]),
    )
    return Compared(
        requests=own_requests + sum(part.requests for part, *_ in compared),
        own_requests=own_requests,
        paid=own_paid + sum(part.paid for part, *_ in compared),
        own_paid=own_paid,
        at_baseline=own_paid + elsewhere,
        cache_lost=max(lost, 0),
        own_cache=(split[CACHE_READ], sum(_text(split))),
        elsewhere_cache=(counts[CACHE_READ], sum(_text(counts))),
        lines=tuple(
            Line(index, counts[index], costs_[index], granted_counts[index], granted_costs[index])
            for index in range(len(METERS))
            if (counts[index] or granted_counts[index]) and (index != REQUESTS or costs_[index])
        ),
        left_out_requests=sum(part.requests for part in left_out),
        left_out_paid=sum(part.paid for part in left_out),
    )


def _sums(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(row[index] for row in rows) for index in range(len(METERS)))


def _text(meters: Sequence[int]) -> list[int]:
    return [meters[index] for index in (UNCACHED, *CACHED)]


def _with_cache_of(meters: tuple[int, ...], split: tuple[int, ...]) -> tuple[int, ...]:
    """Return counts with the input of text divided as in `split`; whole tokens, the rest of them uncached."""
    changed, total, whole = list(meters), sum(_text(meters)), sum(_text(split))
    for index in CACHED:
        changed[index] = total * split[index] // whole
    changed[UNCACHED] = total - sum(changed[index] for index in CACHED)
    return tuple(changed)
