"""What the spend page measures. A measure that does not add up is worked out of the sums, never of other measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from usage.selectors.spend_sums import ALWAYS, LATENCY, Sums

USD, TOKENS, COUNT, MS, SHARE = "usd", "tokens", "count", "ms", "share"
_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure: how it is read off sums, off which of them, and its unit.

    `adds` says whether the parts of a whole add up to it: what does not is never stacked and has no shares.
    """

    title: str
    unit: str
    of: Callable[[Sums], Decimal | None]
    reads: tuple[str, ...]
    adds: bool = True
    note: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """What it reads beside the sums that are always there."""
        return tuple(name for name in self.reads if name not in ALWAYS)


def _number(name: str) -> Callable[[Sums], Decimal | None]:
    def read(sums: Sums) -> Decimal | None:
        value = getattr(sums, name)
        return None if value is None else Decimal(value)

    return read


def without_price(sums: Sums) -> bool:
    """Say whether nothing of it has a price, so that an amount of zero would be wrong."""
    if sums.unpriced_requests is None:  # tag rollups know tokens alone
        return sums.cost_usd == 0 and 0 < sums.tokens <= sums.unpriced_tokens
    return sums.cost_usd == 0 and 0 < sums.requests <= sums.unpriced_requests


def per_1000_usd(sums: Sums) -> Decimal | None:
    """Return what 1000 requests cost on average; None where there are none, or none that has a price."""
    return None if sums.requests <= 0 or without_price(sums) else sums.cost_usd * 1000 / sums.requests


def _per_million_usd(sums: Sums) -> Decimal | None:
    priced = sums.tokens - sums.unpriced_tokens
    return sums.cost_usd * _MILLION / priced if priced > 0 else None


def _percentile(percentile: int) -> Callable[[Sums], Decimal | None]:
    def read(sums: Sums) -> Decimal | None:
        value = sums.latency_percentile_ms(percentile)
        return None if value is None else Decimal(value)

    return read


def _counted(title: str, name: str, *, note: str = "") -> Measure:
    return Measure(title=title, unit=TOKENS, of=_number(name), reads=(name,), note=note)


_BUCKETS = "an estimate from 16 buckets of answered requests whose latency is known"
MEASURES: dict[str, Measure] = {
    "cost": Measure(title="Spend", unit=USD, of=_number("cost_usd"), reads=("cost_usd",)),
    "tokens": Measure(
        title="Tokens", unit=TOKENS, of=_number("tokens"), reads=("input_tokens", "output_tokens"),
        note="input and output",
    ),
    "requests": Measure(title="Requests", unit=COUNT, of=_number("requests"), reads=("requests",)),
    "per_1000": Measure(title="Cost per 1,000 requests", unit=USD, of=per_1000_usd, adds=False,
        reads=("cost_usd", "requests", "unpriced_requests", "input_tokens", "output_tokens", "unpriced_tokens"),
    ),
    "per_million": Measure(
        title="Cost per 1M tokens", unit=USD, of=_per_million_usd, adds=False,
        reads=("cost_usd", "input_tokens", "output_tokens", "unpriced_tokens"), note="of tokens that have a price",
    ),
    "errors": Measure(title="Failed requests", unit=COUNT, of=_number("failed_requests"), reads=("failed_requests",)),
    "error_share": Measure(
        title="Share of failed requests", unit=SHARE, of=lambda sums: sums.error_share, adds=False,
        reads=("requests", "failed_requests"),
        note="of all requests",
    ),
    "latency": Measure(
        title="Mean latency", unit=MS, of=_number("mean_latency_ms"), reads=LATENCY, adds=False,
        note="of answered requests whose latency is known",
    ),
    "latency_p50": Measure(
        title="Median latency", unit=MS, of=_percentile(50), reads=LATENCY, adds=False, note=_BUCKETS
    ),
    "latency_p95": Measure(
        title="95th percentile of latency", unit=MS, of=_percentile(95), reads=LATENCY, adds=False, note=_BUCKETS
    ),
    "input_tokens": _counted("Input tokens", "input_tokens", note="cached, audio and images included"),
    "uncached_input_tokens": _counted("Uncached input tokens", "uncached_input_tokens"),
    "cache_read_tokens": _counted("Tokens read from prompt caches", "cache_read_input_tokens"),
    "cache_write_5m_tokens": _counted("Tokens cached for 5 minutes", "cache_write_5m_input_tokens"),
    "cache_write_1h_tokens": _counted("Tokens cached for an hour", "cache_write_1h_input_tokens"),
    "output_tokens": _counted(
        "Output tokens", "output_tokens", note="reasoning, audio and images included"
    ),
    "reasoning_tokens": _counted("Reasoning tokens", "reasoning_tokens", note="part of output"),
    "audio_input_tokens": _counted("Audio input tokens", "audio_input_tokens"),
    "audio_output_tokens": _counted("Audio output tokens", "audio_output_tokens"),
    "image_input_tokens": _counted("Image input tokens", "image_input_tokens"),
    "image_output_tokens": _counted("Image output tokens", "image_output_tokens"),
    "web_searches": Measure(title="Web searches", unit=COUNT, of=_number("web_searches"), reads=("web_searches",)),
    "list_cost": Measure(
        title="Spend at list prices", unit=USD, of=_number("list_cost_usd"), reads=("list_cost_usd",),
        note="without contracts",
    ),
    "avoided": Measure(
        title="Spared by gateways' caches", unit=USD, of=_number("avoided_usd"), reads=("avoided_usd",)
    ),
    "unpriced_tokens": _counted("Unpriced tokens", "unpriced_tokens"),
    "fallbacks": Measure(
        title="Requests by a fallback", unit=COUNT, of=_number("fallback_requests"), reads=("fallback_requests",)
    ),
}  # fmt: skip
# How measures are listed where one chooses.
GROUPS: dict[str, tuple[str, ...]] = {
    "Money": ("cost", "per_1000", "per_million", "list_cost", "avoided"),
    "Use": ("requests", "tokens", "input_tokens", "output_tokens", "web_searches", "unpriced_tokens"),
    "Quality": ("errors", "error_share", "latency", "latency_p50", "latency_p95", "fallbacks"),
    "Meters": (
        "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
        "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens",
    ),
}  # fmt: skip


def measured(sums: Sums, measure: str) -> Decimal | None:
    """Return a measure of a row; None where it is not known, or means nothing."""
    return MEASURES[measure].of(sums)


def weight(sums: Sums, measure: str) -> Decimal:
    """Return how large a part of the whole a row is: by the measure, or by requests where that does not add up."""
    if MEASURES[measure].adds:
        return MEASURES[measure].of(sums) or Decimal(0)
    return Decimal(sums.requests)
