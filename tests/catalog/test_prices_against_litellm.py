"""Our rating of what LiteLLM's table says equals what LiteLLM charges, and where that and genai-prices disagree.

What LiteLLM charges is computed here anew from the raw table, call by call and in floats, as its
`litellm_core_utils/llm_cost_calc` does; so it is equal within the rounding of floats.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path

from genai_prices import data_snapshot
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import strategies as st

from catalog.rules import INPUT_METERS, METERS, REQUESTS
from catalog.sources import genai, litellm_table
from tests.catalog.quoted import QuotedBook, book_of
from tests.drawing import drawn
from usage.rules import rating

DATA = Path(__file__).parent / "data"
CONTENT = (DATA / "litellm-first-party.json").read_bytes()

OURS = {"gemini": "google"}  # the other first parties have one name everywhere
SUFFIXES = {"": "", "flex": "_flex", "priority": "_priority", "ultrafast": "_ultrafast", "balanced": "_balanced"}
EXACTLY = {"rel_tol": 1e-12, "abs_tol": 1e-18}

# Times at which the two are compared: in DeepSeek's peak, outside of it, and in those hours on a day without a peak.
TIMES = {
    "Thursday 07:00": datetime(2026, 11, 12, 7, tzinfo=UTC),
    "Thursday 20:00": datetime(2026, 11, 12, 20, tzinfo=UTC),
    "Saturday 07:00": datetime(2026, 11, 14, 7, tzinfo=UTC),
}
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Listed:
    """An entry of the table, under the name that LiteLLM looks up first."""

    provider: str
    model: str
    entry: dict

    @property
    def tiers(self) -> list[str]:
        found = [tier for tier, suffix in SUFFIXES.items() if f"input_cost_per_token{suffix}" in self.entry]
        if "fast" in self.entry.get("provider_specific_entry", {}):
            found.append("fast")
        return [*found, "batch"] if "input_cost_per_token_batches" in self.entry else found

    @property
    def limits(self) -> list[int]:
        above = {key.split("_above_")[-1].split("_tokens")[0] for key in self.entry if key.count("_tokens") == 1}
        return sorted(int(text.removesuffix("k")) * 1000 for text in above if text.endswith("k"))

    @property
    def searches(self) -> bool:
        return len(set(self.entry.get("search_context_cost_per_query", {}).values())) == 1


# What LiteLLM charges.


def charged(listed: Listed, tier: str, at: datetime, meters: tuple[int, ...]) -> float | None:
    """Return USD for a call, or None where the table has no price for something that it used."""
    used = dict(zip(METERS, meters, strict=True))
    searches = used["web_searches"] * listed.entry.get("search_context_cost_per_query", {}).get(
        "search_context_size_low", 0
    )
    if used["web_searches"] and not listed.searches:
        return None
    total = sum(meters[index] for index in INPUT_METERS)
    rates = batch_rates(listed, total) if tier == "batch" else token_rates(listed, tier, at, total)
    if any(count and rates[meter] is None for meter, count in used.items() if meter in rates):
        return None
    return searches + sum(count * rates[meter] for meter, count in used.items() if count and meter in rates)


def token_rates(listed: Listed, tier: str, at: datetime, total: int) -> dict[str, float | None]:
    entry, suffix, factor = listed.entry, SUFFIXES.get(tier, ""), 1.0
    if tier == "fast":
        factor = float(entry["provider_specific_entry"]["fast"])

    def price(key: str, otherwise: float | None = None) -> float | None:
        for one in (f"{key}{suffix}", key):
            if entry.get(one) is not None:
                return float(entry[one])
        return otherwise

    rate = {key: price(key) for key in ("input_cost_per_token", "output_cost_per_token")}
    rate |= {key: price(key) for key in ("cache_read_input_token_cost", "cache_creation_input_token_cost")}
    if not rate["output_cost_per_token"] and "output_cost_per_image_token" in entry:
        rate["output_cost_per_token"] = float(entry["output_cost_per_image_token"])
    hour = price("cache_creation_input_token_cost_above_1hr")
    for limit in listed.limits:
        if total > limit or (listed.provider == "xai" and total == limit):
            above = f"_above_{limit // 1000}k_tokens"
            for key in rate:
                rate[key] = price(f"{key}{above}", rate[key])
            own = entry.get(f"cache_creation_input_token_cost_above_1hr{above}{suffix}")
            hour = hour if own is None else float(own)
    if off_peak(entry, at):
        rate |= {key: float(entry["off_peak_pricing"][key]) for key in rate if key in entry["off_peak_pricing"]}

    text, answer = rate["input_cost_per_token"], rate["output_cost_per_token"]
    write = text if rate["cache_creation_input_token_cost"] is None else rate["cache_creation_input_token_cost"]
    found = {
        "uncached_input": text,
        "cache_read": text if rate["cache_read_input_token_cost"] is None else rate["cache_read_input_token_cost"],
        "cache_write_5m": write,
        "cache_write_1h": write if hour is None else hour,
        "output": answer,
        "audio_input": price("input_cost_per_audio_token", text),
        "image_input": price("input_cost_per_image_token", text),
        "audio_output": float(entry.get("output_cost_per_audio_token") or 0) or answer,
        "image_output": float(entry.get("output_cost_per_image_token") or 0) or answer,
    }
    return {meter: None if one is None else one * factor for meter, one in found.items()}


def batch_rates(listed: Listed, total: int) -> dict[str, float | None]:
    entry = listed.entry

    def price(key: str, otherwise: float | None = None) -> float | None:
        found = entry.get(f"{key}_batches")
        for limit in listed.limits:
            if total > limit or (listed.provider == "xai" and total == limit):
                found = entry.get(f"{key}_above_{limit // 1000}k_tokens_batches", found)
        return otherwise if found is None else float(found)

    text = price("input_cost_per_token")
    write = price("cache_creation_input_token_cost", text)
    answer = price("output_cost_per_token", half(entry.get("output_cost_per_token")))
    image = entry.get("output_cost_per_image_token_batches", half(entry.get("output_cost_per_image_token")))
    return {
        "uncached_input": text,
        "cache_read": price("cache_read_input_token_cost", text),
        "cache_write_5m": write,
        # Where an hour has a price of its own, that of five minutes is not taken for it, as LiteLLM would.
        "cache_write_1h": price(
            "cache_creation_input_token_cost_above_1hr",
            None if entry.get("cache_creation_input_token_cost_above_1hr") else write,
        ),
        "output": answer,
        "audio_input": price("input_cost_per_audio_token", text),
        "image_input": price("input_cost_per_image_token", text),
        "audio_output": answer,
        "image_output": answer if image is None else float(image),
    }


def half(price: float | None) -> float | None:
    return None if price is None else price / 2


def off_peak(entry: dict, at: datetime) -> bool:
    for rule in entry.get("off_peak_pricing", {}).get("windows", ()):
        hours = rule["hours_utc"]
        for window in [hours] if isinstance(hours, str) else hours:
            start, end = window.split("-")
            now = f"{at:%H:%M}"
            within = start <= now < end if start < end else now >= start or now < end
            if within and at.isoweekday() in rule["weekdays"]:
                return True
    return False


# The tests.


def test_every_first_party_model_costs_what_litellm_charges():
    quoted = book_of(litellm_table.read(CONTENT).quotes)
    compared: Counter[str] = Counter()

    # A failure names its model and call: there is nothing to shrink.
    @drawn(12, 200, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
    @given(calls())
    @example(((1200, 1024, 10, 20, 85, 0, 0, 0, 0, 1, 0), 0, TIMES["Thursday 07:00"]))
    @example(((1200, 1024, 10, 20, 85, 0, 0, 0, 0, 1, 0), 0, TIMES["Saturday 07:00"]))
    def every_model(call: tuple[tuple[int, ...], int, datetime]) -> None:
        counts, beside, at = call
        for listed in first_party():
            for meters in beside_limits(counts, listed.limits, beside):
                for tier in listed.tiers:
                    ours = ours_of(quoted, listed, tier, at, meters)
                    theirs = charged(listed, tier, at, meters)
                    if theirs is None:
                        assert ours is None, (listed, tier, at, meters, ours)
                    else:
                        assert ours is not None, (listed, tier, at, meters, theirs)
                        assert math.isclose(float(ours), theirs, **EXACTLY), (listed, tier, at, meters, ours, theirs)
                        compared[tier] += 1

    every_model()

    assert len(first_party()) > 300
    assert set(compared) == {"", "flex", "priority", "ultrafast", "fast", "batch"}


def test_litellm_and_genai_prices_agree_save_where_it_is_listed():
    from_genai = book_of(genai.read().quotes)
    from_litellm = book_of(litellm_table.read(CONTENT).quotes)
    differ: dict[tuple[str, ...], dict[str, tuple[str, str]]] = defaultdict(dict)

    for listed, known_as in known_to_both():
        for tier in listed.tiers:
            for (when, at), (meter, tokens, meters, rest) in product(TIMES.items(), probes(listed.limits)):
                theirs = per_million(from_litellm, listed, tier, at, meter, meters, rest)
                ours = per_million(from_genai, known_as, tier, at, meter, meters, rest)
                if theirs is not None and ours is not None and theirs != ours:
                    key = (listed.model, listed.provider, tier, str(tokens), meter)
                    differ[key][when] = (dollars(theirs), dollars(ours))

    assert len(known_to_both()) > 150
    assert as_rows(differ) == disagreements()


def as_rows(differ: dict[tuple[str, ...], dict[str, tuple[str, str]]]) -> set[tuple[str, ...]]:
    """Return one row for meters of the same figures; a disagreement at all times names none."""
    meters: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for (*key, meter), times in differ.items():
        always = len(times) == len(TIMES) and len(set(times.values())) == 1
        for when, figures in [("", times[min(times)])] if always else times.items():
            meters[*key, when, *figures].append(meter)
    return {(*one[:-2], " ".join(sorted(found)), *one[-2:]) for one, found in meters.items()}


def disagreements() -> set[tuple[str, ...]]:
    with (DATA / "disagreements.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["model", "provider", "service_tier", "input_tokens", "when", "meters", "litellm", "genai-prices"]
    assert len(rows) == len(set(map(tuple, rows)))
    return set(map(tuple, rows))


def per_million(quoted, listed, tier, at, meter, meters, rest) -> Decimal | None:
    """Return what a million of a meter costs: a call with some of it, less the call without."""
    whole, without = (ours_of(quoted, listed, tier, at, counts) for counts in (meters, rest))
    if whole is None or without is None:
        return None
    return (whole - without) * 1_000_000 / (meters[METERS.index(meter)] - rest[METERS.index(meter)])


def probes(limits: list[int]) -> Iterator[tuple[str, int, tuple[int, ...], tuple[int, ...]]]:
    """Give a call of each meter on both sides of each limit, and the same of free or absent input without it."""
    for tokens in (1000, *(limit + beside for limit in limits for beside in (0, 1))):
        for index, meter in enumerate(METERS):
            counts = [0] * len(METERS)
            if index in INPUT_METERS:
                counts[index] = tokens
                yield meter, tokens, tuple(counts), (0,) * len(METERS)
            elif index != REQUESTS:
                counts[0] = tokens
                rest = tuple(counts)
                counts[index] = 100
                yield meter, tokens, tuple(counts), rest


def dollars(price: Decimal) -> str:
    return f"{round(price, 10).normalize():f}"


def ours_of(quoted: QuotedBook, listed: Listed, tier: str, at: datetime, meters: tuple[int, ...]) -> Decimal | None:
    offering = quoted.ids.get((listed.provider, listed.model), -1)
    found = rating.rate(book=quoted.book, offering=offering, service_tier=tier, timestamp=at.timestamp(), meters=meters)
    return None if found.cost is None else rating.usd(found.cost)


def calls() -> st.SearchStrategy[tuple[tuple[int, ...], int, datetime]]:
    count = st.sampled_from([0, 0, 1, 7]) | st.integers(0, 150_000)
    tokens = st.lists(count, min_size=REQUESTS, max_size=REQUESTS)
    counts = st.builds(lambda tokens, searches: (*tokens, 1, searches), tokens, st.sampled_from([0, 0, 1, 3]))
    minutes = st.integers(0, 4 * 365 * 1440).map(lambda minute: FIRST + timedelta(minutes=minute))
    edges = st.builds(
        lambda day, hour, off: FIRST + timedelta(days=day, hours=hour, microseconds=off),
        st.integers(0, 4 * 365), st.sampled_from([0, 1, 4, 6, 10]), st.sampled_from([-1, 0, 1]),
    )  # fmt: skip
    return st.tuples(counts, st.integers(-1, 1), minutes | edges)


def beside_limits(counts: tuple[int, ...], limits: list[int], beside: int) -> Iterator[tuple[int, ...]]:
    """Give a call as it is, and with its uncached input made up so that the whole is beside each limit."""
    yield counts
    for limit in limits:
        others = sum(counts[index] // 8 for index in INPUT_METERS[1:])
        cut = [count // 8 if index in INPUT_METERS else count for index, count in enumerate(counts)]
        cut[0] = limit + beside - others
        if cut[0] >= 0:
            yield tuple(cut)


@cache
def first_party() -> list[Listed]:
    """Return the entries that have a price for tokens, one for each model."""
    found: dict[tuple[str, str], Listed] = {}
    for name, entry in json.loads(CONTENT).items():
        prefix, _, rest = name.partition("/")
        prefixed = prefix == entry["litellm_provider"] and rest
        model = rest if prefixed else name
        provider = OURS.get(entry["litellm_provider"], entry["litellm_provider"])
        if entry.get("cache_read_input_token_cost") is None and "input_cost_per_token_cache_hit" in entry:
            entry["cache_read_input_token_cost"] = entry["input_cost_per_token_cache_hit"]
        if not has_token_prices(entry):
            continue
        if prefixed or (provider, model) not in found:
            found[provider, model] = Listed(provider, model, entry)
    return list(found.values())


def has_token_prices(entry: dict) -> bool:
    """Say whether tokens are what is charged for: what lists them at 0 and seconds or images otherwise is not free."""
    prices = {key: value for key, value in entry.items() if "cost" in key and isinstance(value, int | float)}
    by_token = [value for key, value in prices.items() if "_token" in key]
    return bool(by_token) and (any(by_token) or not any(prices.values()))


@cache
def known_to_both() -> list[tuple[Listed, Listed]]:
    """Return entries of the table with what genai-prices calls the model."""
    theirs = {"google": "google", "xai": "x-ai"}
    found = []
    for listed in first_party():
        provider = next(
            one
            for one in data_snapshot.get_snapshot().providers
            if one.id == theirs.get(listed.provider, listed.provider)
        )
        model = provider.find_model(listed.model)
        if model is not None:
            found.append((listed, Listed(listed.provider, model.id, {})))
    return found
