"""In which order a rule by score tries its targets: what they cost, how quick they are and how often they fail.

Each target gets points from 0 to 10000 for price, latency and errors, always against the other targets of its rule, and
the rule's weights make one score of them. All is whole numbers and Decimals, so the same measurements give the same
order everywhere.

- **Price**: the cheapest has all points, one at twice its price half of them. A price that is not known has none.
- **Latency**: the same with the median and with the 95th percentile, half of the points each. A target with fewer than
  `ENOUGH` answered calls stands in the middle of those that have them.
- **Errors**: the one that fails least has all points; each per cent of calls that another fails more costs 500. With
  `FAILING` more it has none, and comes after all that do not fail so, whatever they cost. Every target is given 100
  calls with one failure beforehand, so that a single call says little and one without any stands in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from routing.rules.evaluator import DEFAULT_ID
from usage.rules import latencies

WHOLE = 10_000  # points
MARGIN = 500  # points of the score that an offering needs more to pass one before it
ENOUGH = 20  # answered calls with a known latency
PRIOR_CALLS, PRIOR_FAILED = 100, 1
MILLION = 1_000_000
FAILING = 200_000  # failures in a million calls, more than the best of the rule


class Weights(NamedTuple):
    """What the order weighs, against each other."""

    price: int
    latency: int
    errors: int


ALIKE = Weights(1, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known of an offering; None: not known."""

    usd_per_1k_tokens: Decimal | None = None
    calls: int = 0  # answered or failed
    failed: int = 0
    p50_ms: int | None = None
    p95_ms: int | None = None

    @property
    def failures_per_million(self) -> int:
        return (self.failed + PRIOR_FAILED) * MILLION // (self.calls + PRIOR_CALLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A target with its points, which are better the more they are."""

    offering: str
    measured: Measured
    price: int
    latency: int
    errors: int
    score: int


def by_score(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rules of a content that choose by score, by their ids, and the default as `default` if it does."""
    parts = [(rule["id"], rule) for rule in content["rules"]] + [(DEFAULT_ID, content["default"])]
    return {name: part for name, part in parts if part.get("choose") == "score"}


def weights_of(part: Mapping[str, Any]) -> Weights:
    """Return what a rule weighs: what its `score` leaves out weighs nothing, all the same where it says nothing."""
    given = part.get("score") or {}
    found = Weights(*(int(given.get(name, 0)) for name in Weights._fields))
    return found if any(found) else ALIKE


def percentile_ms(counts: Sequence[int], percentile: int) -> int | None:
    """Return `usage.rules.latencies.percentile_ms` of a histogram, None for fewer calls than `ENOUGH`."""
    return None if sum(counts) < ENOUGH else latencies.percentile_ms(counts, percentile)


def scored(targets: Sequence[str], measured: Mapping[str, Measured], weights: Weights) -> list[Scored]:
    """Return each target with its score, in the order written. What is not in `measured` is not known at all."""
    known = [measured.get(name, Measured()) for name in targets]
    prices = _price_points([one.usd_per_1k_tokens for one in known])
    latency_points = _latency_points(known)
    errors = _error_points([one.failures_per_million for one in known])
    return [
        Scored(
            offering=name,
            measured=one,
            price=price,
            latency=latency,
            errors=error,
            score=_score(weights, Weights(price, latency, error)),
        )
        for name, one, price, latency, error in zip(targets, known, prices, latency_points, errors, strict=True)
    ]


def ordered(rows: Sequence[Scored], before: Sequence[str] | None = None) -> list[str]:
    """Return in which order targets are tried, given those of `scored` and their order up to now.

    The order stays until a target has `MARGIN` more than one before it; then all are put in order by score, ties by
    price, latency and errors, and at last as written. While nothing was measured it stays, too; without an order up to
    now it is as written then. `before` has the same names, in any order.
    """
    names = [one.offering for one in rows]
    if not any(one.measured.calls for one in rows):
        return list(names if before is None else before)
    if before is not None and not _overtaken({one.offering: one.score for one in rows}, before):
        return list(before)
    return [one.offering for one in sorted(rows, key=_place)]


def _place(one: Scored) -> tuple[int, bool, Decimal, int, int]:
    price = one.measured.usd_per_1k_tokens
    # sorted() keeps the order written for what is alike in all of it.
    return -one.score, price is None, price or Decimal(0), -one.latency, one.measured.failures_per_million


def _overtaken(scores: Mapping[str, int], before: Sequence[str]) -> bool:
    least = WHOLE
    for name in before:
        if scores[name] - least >= MARGIN:
            return True
        least = min(least, scores[name])
    return False


def _score(weights: Weights, points: Weights) -> int:
    if weights.errors and not points.errors:
        return 0
    return sum(weight * point for weight, point in zip(weights, points, strict=True)) // sum(weights)


def _price_points(prices: Sequence[Decimal | None]) -> list[int]:
    best = min((price for price in prices if price is not None), default=Decimal(0))
    return [0 if price is None else WHOLE if price == best else int(best * WHOLE / price) for price in prices]


def _latency_points(known: Sequence[Measured]) -> list[int]:
    medians = _ratios([one.p50_ms for one in known])
    highs = _ratios([one.p95_ms for one in known])
    points = [
        None if median is None or high is None else (median + high) // 2
        for median, high in zip(medians, highs, strict=True)
    ]
    there = sorted(point for point in points if point is not None)
    middle = (there[(len(there) - 1) // 2] + there[len(there) // 2]) // 2 if there else WHOLE
    return [middle if point is None else point for point in points]


def _ratios(times: Sequence[int | None]) -> list[int | None]:
    best = min((time for time in times if time is not None), default=0)
    return [None if time is None else best * WHOLE // max(1, time) for time in times]


def _error_points(rates: Sequence[int]) -> list[int]:
    best = min(rates)
    return [max(0, WHOLE - (rate - best) * WHOLE // FAILING) for rate in rates]
