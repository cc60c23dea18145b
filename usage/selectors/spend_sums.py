"""The measures of a row of spend, how they add up, and how JSON carries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any

from core import money
from usage.rules import latencies
from usage.rules.postings import LATENCY_BOUNDS_MS

_SHARE_PLACES = Decimal("1e-6")
_DIGITS = 80  # sums have more digits than a Decimal context's usual 28
BUCKETS = len(LATENCY_BOUNDS_MS) + 1


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Measures of a row. Cached, audio and image input is counted inside `input_tokens`, reasoning inside
    `output_tokens`, as are audio and image output.

    Latencies are of requests that were answered (status ok) and whose gateway told how long it took; `latencies` counts
    them by the buckets of `LATENCY_BOUNDS_MS`. None: not asked for, or not kept (tag rollups keep few).
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced_tokens: int = 0
    uncounted_requests: int = 0
    failed_requests: int = 0
    uncached_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_write_5m_input_tokens: int | None = 0
    cache_write_1h_input_tokens: int | None = 0
    audio_input_tokens: int | None = 0
    image_input_tokens: int | None = 0
    audio_output_tokens: int | None = 0
    image_output_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    web_searches: int | None = 0
    list_cost_usd: Decimal | None = Decimal(0)
    avoided_usd: Decimal | None = Decimal(0)
    reported_cost_usd: Decimal | None = Decimal(0)
    unpriced_requests: int | None = 0
    fallback_requests: int | None = 0
    latency_ms: int | None = 0
    latencies: tuple[int, ...] | None = (0,) * BUCKETS

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def priced_share(self) -> Decimal | None:
        """Tokens on priced entries over tokens, rounded down, so 1 says all of them; None where there are no tokens."""
        if self.tokens == 0:
            return None
        share = Decimal(self.tokens - self.unpriced_tokens) / self.tokens
        return share.quantize(_SHARE_PLACES, rounding=ROUND_DOWN)

    @property
    def error_share(self) -> Decimal | None:
        """Requests that failed over all requests; None where there are none."""
        return Decimal(self.failed_requests) / self.requests if self.requests > 0 else None

    @property
    def timed_requests(self) -> int | None:
        """Answered requests whose latency is known."""
        return None if self.latencies is None else sum(self.latencies)

    @property
    def mean_latency_ms(self) -> int | None:
        if self.latency_ms is None or not self.timed_requests or self.timed_requests < 0:
            return None
        return round(Decimal(self.latency_ms) / self.timed_requests)

    def latency_percentile_ms(self, percentile: int) -> int | None:
        """Return below what time so many per cent of the timed requests were answered, in ms, as an estimate.

        None where there is none.
        """
        return None if self.latencies is None else latencies.percentile_ms(self.latencies, percentile)

    @property
    def empty(self) -> bool:
        return not any(getattr(self, name) for name in MEASURES if name != "latencies")


MEASURES = tuple(each.name for each in fields(Sums))
ALWAYS = MEASURES[:7]
LATENCY = ("latency_ms", "latencies")
USUAL = tuple(name for name in MEASURES if name not in LATENCY)
IN_TAGS = ALWAYS
MONEY = ("cost_usd", "list_cost_usd", "avoided_usd", "reported_cost_usd")


def kept_of(asked: Sequence[str], *, bare: bool, by_tag: bool) -> tuple[str, ...]:
    """Return the measures that an answer has, in order."""
    wanted = tuple(name for name in MEASURES if name in asked or (name in ALWAYS and not bare))
    return (tuple(name for name in wanted if name in IN_TAGS) if by_tag else wanted) or ALWAYS[:1]


def read(kept: Sequence[str], values: Sequence[Any]) -> Sums:
    """Return the sums of a row of the database; what is not in `kept` is None."""
    given: dict[str, Any] = {}
    place = 0
    for name in kept:
        if name == "latencies":
            given[name] = tuple(int(value or 0) for value in values[place : place + BUCKETS])
            place += BUCKETS
            continue
        value = values[place]
        given[name] = (value or Decimal(0)) if name in MONEY else int(value or 0)
        place += 1
    return Sums(**(_nothing(kept) | given))


def _nothing(kept: Sequence[str]) -> dict[str, Any]:
    return {name: None for name in MEASURES if name not in kept and name not in ALWAYS}


def added(each: Sequence[Sums]) -> Sums:
    """Return the exact sum; a measure that one of them does not have is None."""
    if len(each) == 1:
        return each[0]
    with localcontext() as context:
        context.prec = _DIGITS
        return Sums(**{name: _plus(name, [getattr(sums, name) for sums in each]) for name in MEASURES})


def added_of(kept: Sequence[str], each: Sequence[Sums]) -> Sums:
    """Return the exact sum of rows that have the measures of `kept` and no others, also of no rows."""
    return added(each) if each else Sums(**_nothing(kept))


def _plus(name: str, values: Sequence[Any]) -> Any:
    if any(value is None for value in values):
        return None
    if name == "latencies":
        return tuple(map(sum, zip(*values, strict=True))) if values else (0,) * BUCKETS
    return sum(values, Decimal(0) if name in MONEY else 0)


def less(whole: Sums, part: Sums | None) -> Sums:
    """Return the exact rest of a whole."""
    if part is None:
        return whole
    with localcontext() as context:
        context.prec = _DIGITS
        return Sums(**{name: _minus(name, getattr(whole, name), getattr(part, name)) for name in MEASURES})


def _minus(name: str, whole: Any, part: Any) -> Any:
    if whole is None or part is None:
        return None
    if name == "latencies":
        return tuple(one - other for one, other in zip(whole, part, strict=True))
    return whole - part


def as_json(sums: Sums) -> dict[str, Any]:
    """Return the measures as `GET spend` writes them: money and shares as decimal strings, latency in ms."""
    written = {name: getattr(sums, name) for name in USUAL}
    for name in MONEY:
        if written[name] is not None:
            written[name] = money.plain(written[name])
    share = sums.error_share
    return written | {
        "error_share": None if share is None else money.plain(share.quantize(_SHARE_PLACES)),
        "timed_requests": sums.timed_requests,
        "mean_latency_ms": sums.mean_latency_ms,
        "p50_latency_ms": sums.latency_percentile_ms(50),
        "p95_latency_ms": sums.latency_percentile_ms(95),
    }
