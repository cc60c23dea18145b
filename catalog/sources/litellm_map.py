"""LiteLLM's table of prices with our list prices in it, for proxies to reckon with.

Besides prices LiteLLM's table holds what each model can do and how much it reads, and LiteLLM refuses one with less
than half of the models that it was shipped with. So a table of its own is taken as it is, and what the book says of a
model replaces what the table says of it, meter by meter. Models that the table lacks are added under the name that the
catalogue has for LiteLLM.

What only the book knows is left out: regions, hours of the day, contracts. They are no matter of a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from catalog.rules import METERS, Book, ListedPrice
from catalog.sources import providers

_KEYS: Mapping[str, str] = {
    "uncached_input": "input_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "output": "output_cost_per_token",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
    "image_output": "output_cost_per_image_token",
}
_TIERED = frozenset(("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h", "output"))
_SUFFIXES: Mapping[str, str] = {"": "", "flex": "_flex", "priority": "_priority", "batch": "_batches"}
_VARIANT = r"(?:_above_(?:\d+k|\d+)_tokens)?(?:_(?:flex|balanced|priority|ultrafast|batches))?"
# Other words of the table for what a meter costs: they would stand beside our price and go before it.
_ALSO: Mapping[str, tuple[str, ...]] = {
    "uncached_input": ("tiered_pricing", "off_peak_pricing"),
    "cache_read": ("input_cost_per_token_cache_hit",),
    "output": ("output_cost_per_reasoning_token",),
}
_NOT_MODELS = frozenset(("sample_spec", "fallback_generalizations"))


def merged(table: bytes, *, book: Book, names: Mapping[int, str], at: datetime) -> bytes:
    """Return the table with the book's list prices of `at`, in USD per token.

    `names` are offerings' names for LiteLLM, by id. `table` was read by `litellm_table.read` once.
    """
    entries: dict[str, Any] = json.loads(table)
    named = {name: offering for offering, name in names.items()}
    listed: set[int] = set()
    for name, entry in entries.items():
        if name in _NOT_MODELS or not isinstance(entry, dict):
            continue
        offering = named.get(name) or named.get(f"{entry.get('litellm_provider')}/{name}")
        offering = offering or _offering(book, name, entry, at)
        prices = {} if offering is None else prices_of(book, offering, at)
        if offering is not None and prices:
            entries[name] = _without(entry, prices) | prices
            listed.add(offering)
    for name, offering in named.items():
        prices = {} if offering in listed else prices_of(book, offering, at)
        if prices and name not in entries:
            entries[name] = {"litellm_provider": name.partition("/")[0], "mode": "chat", **prices}
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()


def prices_of(book: Book, offering: int, at: datetime) -> dict[str, float]:
    """Return what LiteLLM calls the list prices of an offering; none where input or output has no price."""
    found: dict[str, float] = {}
    for tier, suffix in _SUFFIXES.items():
        for price in _in_force(book.listed.get((offering, tier), ()), at):
            meter = METERS[price.meter]
            key = _KEYS.get(meter)
            if key is None or (price.context_over is not None and meter not in _TIERED):
                continue
            above = "" if price.context_over is None else f"_above_{_thousands(price.context_over)}_tokens"
            found[f"{key}{above}{suffix}"] = float(price.usd_per_1m / Decimal(1_000_000))
    return found if _KEYS["uncached_input"] in found and _KEYS["output"] in found else {}


def _in_force(prices: Iterable[ListedPrice], at: datetime) -> Iterable[ListedPrice]:
    """Give the prices for any hour, those of the offering's own region last: they go before those of any."""
    held = (
        price
        for price in prices
        if price.hours is None
        and (price.starts_at is None or price.starts_at <= at)
        and (price.ends_at is None or at < price.ends_at)
    )
    return sorted(held, key=lambda price: bool(price.region))


def _thousands(tokens: int) -> str:
    return f"{tokens // 1000}k" if tokens % 1000 == 0 else str(tokens)


def _offering(book: Book, name: str, entry: Mapping[str, Any], at: datetime) -> int | None:
    """Return what an event that reported the name would be booked as; None where nobody knows it."""
    listed_by = entry.get("litellm_provider")
    if not isinstance(listed_by, str):
        return None
    provider = providers.of_litellm(listed_by)
    prefix, _, rest = name.partition("/")
    found = book.offering(provider, rest if rest and providers.of_litellm(prefix) == provider else name, at)
    return found if isinstance(found, int) else None


def _without(entry: Mapping[str, Any], prices: Mapping[str, float]) -> dict[str, Any]:
    """Return an entry without what it says of the meters that have a price in `prices`."""
    ours = {meter for meter, key in _KEYS.items() if key in prices}
    keys = "|".join(re.escape(key) for meter, key in _KEYS.items() if meter in ours)
    also = {name for meter in ours for name in _ALSO.get(meter, ())}
    gone = re.compile(rf"(?:{keys}){_VARIANT}")
    return {
        name: value
        for name, value in entry.items()
        if not gone.fullmatch(name) and not name.startswith("output_cost_per_reasoning_token") and name not in also
    }
