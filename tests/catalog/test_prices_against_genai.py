"""Our rating of what genai-prices lists equals its own calculation, to the last decimal, for every model it knows.

Save the differences that are named here. Each says what the cost is instead, and each has to happen: one that nobody
meets any more fails the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache

import pytest
from genai_prices import Usage, data_snapshot, decompose, types, units
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import strategies as st

from catalog.rules import INPUT_METERS, METERS, REQUESTS
from catalog.sources import genai, providers
from tests.catalog.quoted import QuotedBook, book_of
from tests.drawing import drawn
from usage.rules import rating

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SECONDS = 4 * 365 * 86_400
MICROSECOND = timedelta(microseconds=1)

# Their names of our meters, in our order.
USED_AS = (
    "input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
    "input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens", "requests",
    "web_searches",
)  # fmt: skip
CONTEXTS = {"processing": {"batch"}, "service_tier": {"default", "flex", "priority", "fast"}, "speed": {"fast"}}


@dataclass(frozen=True)
class Scenario:
    """A call before it is known which model it is for: `limit` and `edge` choose among those of the model."""

    counts: tuple[int, ...]
    limit: int | None  # which of the model's context limits the input is brought to
    beside: int  # and how many tokens beside it
    filled: int  # by which of the input's meters
    second: int
    edge: int | None  # near which of the model's instants at which a price begins or hours change
    off: timedelta


@dataclass(frozen=True)
class Case:
    provider: types.Provider
    model: types.ModelInfo
    tier: str
    context: dict[str, str]
    at: datetime
    meters: tuple[int, ...]

    @property
    def offering(self) -> tuple[str, str]:
        return providers.of_genai(self.provider.id), providers.genai_model(self.provider.id, self.model.id)

    @property
    def used(self) -> list[str]:
        return [USED_AS[index] for index, count in enumerate(self.meters) if count and index != REQUESTS]

    def theirs(self, model: types.ModelInfo | None = None) -> Decimal:
        prices = (model or self.model).get_prices(self.at, self.context)
        return prices.calc_price(usage_of(self.meters))["total_price"]


# What differs, and why.


def before_the_tier_was_priced(case: Case) -> bool:
    """The tier has a price from a date on. Theirs is the standard price until then; we know of none."""
    begins = [
        one.constraint.start_date if one.constraint else None
        for one in case.model.price_variants or ()
        if one.when == case.context
    ]
    return case.tier != "" and None not in begins and case.at.date() < min(begins)


def a_used_meter_has_no_price(case: Case) -> bool:
    """Theirs is 0 for what has no price. Unknown is not free here: the call is unpriced as a whole."""
    registry = units._get_registry()
    priced = case.model.get_prices(case.at, case.context)
    priced_units = [unit for unit in registry.units.values() if getattr(priced, unit.price_key) is not None]
    return any(
        not any(decompose.is_descendant_or_self(unit, registry.units[key]) for unit in priced_units)
        for key in case.used
    )


def hours_before_they_came(case: Case) -> bool:
    """Hours that are listed after a dated price came with it. Theirs are charged for all of the past, too."""
    return in_their_time(case.model, case.at) is not case.model


def more_places_than_a_price_has(case: Case) -> bool:
    """Their price is a float's, such as 0.08333333333333334; ours has ten places."""
    return any(-one.as_tuple().exponent > 10 for one in amounts(case.model.get_prices(case.at, case.context)))


UNPRICED: dict[str, Callable[[Case], bool]] = {
    "a tier before its first price": before_the_tier_was_priced,
    "no price is not free": a_used_meter_has_no_price,
}
OTHERWISE: dict[str, Callable[[Case], bool]] = {
    "hours of the day in the past": hours_before_they_came,
    "prices with more than ten places": more_places_than_a_price_has,
}


def test_every_model_costs_what_genai_prices_says_save_for_the_named_differences():
    quoted = book_of(genai.read().quotes)
    met: Counter[str] = Counter()
    compared: Counter[tuple[str, str]] = Counter()

    # A failure names its model and call: there is nothing to shrink.
    @drawn(3, 200, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
    @given(scenarios())
    @example(calm(at=datetime(2026, 2, 3, 2, 30, tzinfo=UTC)))  # peak hours before there were any
    @example(calm(at=datetime(2026, 11, 3, 2, 30, tzinfo=UTC)))
    @example(calm(at=datetime(2026, 11, 3, 12, tzinfo=UTC), limit=0, beside=0))
    @example(calm(at=datetime(2026, 11, 3, 12, tzinfo=UTC), limit=0, beside=1))
    def every_model(scenario: Scenario) -> None:
        for case in cases(scenario):
            compare(case, quoted, met)
            compared[case.provider.id, case.model.id] += 1

    every_model()

    assert len(compared) == len({(one.id, model.id) for one in listed() for model in one.models}) > 2000
    assert min(compared.values()) >= 3
    assert set(met) == {*UNPRICED, *OTHERWISE}, "a difference that no longer is has to go from the list"


@pytest.mark.parametrize("difference", [*UNPRICED.values(), *OTHERWISE.values()])
def test_every_difference_says_why(difference):
    assert len(difference.__doc__ or "") > 40


def test_a_context_that_nobody_knows_has_no_price_and_is_told():
    table = genai.read()
    unknown = {
        f"{model.id}@{providers.of_genai(one.id)}"
        for one in listed()
        for model in one.models
        for variant in model.price_variants or ()
        if any(value not in CONTEXTS.get(key, ()) for key, value in variant.when.items())
    }

    told = {name for name, problem in table.problems if "no service tier is known" in problem}

    assert told == unknown != set()
    assert {quote.service_tier for quote in table.quotes} == {"", "batch", "flex", "priority", "fast"}
    assert not {quote.service_tier for quote in table.quotes if f"{quote.model}@{quote.provider}" in unknown} - {""}


def compare(case: Case, quoted: QuotedBook, met: Counter[str]) -> None:
    ours = rating.rate(
        book=quoted.book,
        offering=quoted.ids.get(case.offering, -1),
        service_tier=case.tier,
        timestamp=case.at.timestamp(),
        meters=case.meters,
    )
    if ours.cost is None:
        named = [name for name, differs in UNPRICED.items() if differs(case)]
        assert named, f"{case} is unpriced here, and {case.theirs()} there"
        met[named[0]] += 1
        return
    cost, theirs = rating.usd(ours.cost), case.theirs()
    if cost == theirs:
        return
    named = [name for name, differs in OTHERWISE.items() if differs(case)]
    assert named, f"{case} is {cost} here, and {theirs} there"
    assert cost == case.theirs(with_ten_places(in_their_time(case.model, case.at))), f"{case} differs by more: {named}"
    met.update(named)


def in_their_time(model: types.ModelInfo, at: datetime) -> types.ModelInfo:
    """Return the model without hours that are listed after a price not in force yet; itself if it has none."""
    if not isinstance(model.prices, list):
        return model
    kept, waiting = [], False
    for one in model.prices:
        if not isinstance(one.constraint, types.TimeOfDateConstraint):
            waiting = one.constraint is not None and not one.constraint.active(at)
            kept.append(one)
        elif not waiting:
            kept.append(one)
    return model if len(kept) == len(model.prices) else replace(model, prices=kept)


def with_ten_places(model: types.ModelInfo) -> types.ModelInfo:
    def rounded(prices: types.ModelPrice) -> types.ModelPrice:
        return types.ModelPrice(**{key: ten(value) for key, value in vars(prices).items()})

    def ten(value):
        if isinstance(value, types.TieredPrices):
            tiers = [types.Tier(start=tier.start, price=ten(tier.price)) for tier in value.tiers]
            return types.TieredPrices(base=ten(value.base), tiers=tiers)
        return value if value is None else value.quantize(Decimal("1e-10"), ROUND_HALF_EVEN)

    if not isinstance(model.prices, list):
        return replace(model, prices=rounded(model.prices))
    return replace(model, prices=[replace(one, prices=rounded(one.prices)) for one in model.prices])


def amounts(prices: types.ModelPrice) -> Iterator[Decimal]:
    for value in vars(prices).values():
        if isinstance(value, types.TieredPrices):
            yield from (value.base, *(tier.price for tier in value.tiers))
        elif value is not None:
            yield value


# Calls to compare.


def scenarios() -> st.SearchStrategy[Scenario]:
    count = st.sampled_from([0, 0, 1, 7]) | st.integers(0, 150_000)
    tokens = st.lists(count, min_size=REQUESTS, max_size=REQUESTS)
    searches = st.sampled_from([0, 0, 0, 1, 4])
    return st.builds(
        Scenario,
        counts=st.builds(lambda tokens, searches: (*tokens, 1, searches), tokens, searches),
        limit=st.none() | st.integers(0, 2),
        beside=st.integers(-1, 2),
        filled=st.sampled_from(INPUT_METERS),
        second=st.integers(0, SECONDS - 1),
        edge=st.none() | st.integers(0, 11),
        off=st.sampled_from([timedelta(0), -MICROSECOND, MICROSECOND, timedelta(seconds=-1), timedelta(seconds=1)]),
    )


def calm(*, at: datetime, limit: int | None = None, beside: int = 0) -> Scenario:
    """Make a call of tokens alone, every price of which most models have."""
    counts = (1200, 1024, 10, 20, 85, 0, 0, 0, 0, 1, 0)
    return Scenario(counts, limit, beside, 0, int((at - FIRST).total_seconds()), None, timedelta(0))


def cases(scenario: Scenario) -> Iterator[Case]:
    for provider in listed():
        for model in provider.models:
            limits, instants, contexts = shape(provider.id, model.id)
            meters = scenario.counts
            if scenario.limit is not None and limits:
                meters = filled(meters, limits[scenario.limit % len(limits)] + scenario.beside, scenario.filled)
            at = FIRST + timedelta(seconds=scenario.second)
            if scenario.edge is not None and instants:
                edge = instants[scenario.edge % len(instants)]
                # Midnight stands for a time of day: that time on the day of the scenario.
                at = edge if isinstance(edge, datetime) else datetime.combine(at.date(), edge, tzinfo=UTC)
                at += scenario.off
            for tier, context in contexts:
                yield Case(provider, model, tier, context, at, meters)


def filled(meters: tuple[int, ...], total: int, by: int) -> tuple[int, ...]:
    """Return counts whose input is so many tokens in all: one meter makes up for the others, which are cut to fit."""
    changed = list(meters)
    left = total
    for index in INPUT_METERS:
        if index != by:
            changed[index] = min(changed[index], left)
            left -= changed[index]
    changed[by] = left
    return tuple(changed)


@cache
def usage_of(meters: tuple[int, ...]) -> Usage:
    counts = dict(zip(USED_AS, meters, strict=True))
    counts["input_tokens"] = sum(meters[index] for index in INPUT_METERS)
    counts["output_tokens"] = (
        meters[METERS.index("output")] + counts["output_audio_tokens"] + counts["output_image_tokens"]
    )
    counts["cache_write_tokens"] = counts["cache_write_5m_tokens"] + counts["cache_write_1h_tokens"]
    del counts["requests"]  # theirs is always one
    # What nothing is said of is guessed, or refused where it could be two things at once.
    return Usage(**counts, cache_audio_read_tokens=0, cache_image_read_tokens=0)


@cache
def listed() -> list[types.Provider]:
    return data_snapshot.get_snapshot().providers


@cache
def shape(provider: str, model: str) -> tuple[list[int], list[object], list[tuple[str, dict[str, str]]]]:
    """Return a model's context limits, the instants and times of day at which it changes, and its service tiers."""
    (info,) = (info for one in listed() if one.id == provider for info in one.models if info.id == model)
    conditional = info.prices if isinstance(info.prices, list) else [types.ConditionalPrice(prices=info.prices)]
    variants = info.price_variants or []
    limits = {
        tier.start
        for one in (*conditional, *variants)
        for price in vars(one.prices).values()
        if isinstance(price, types.TieredPrices)
        for tier in price.tiers
    }
    instants: list[object] = []
    contexts = [("", {})]
    for one in (*conditional, *variants):
        if isinstance(one.constraint, types.StartDateConstraint):
            instants.append(datetime.combine(one.constraint.start_date, datetime.min.time(), tzinfo=UTC))
        elif one.constraint is not None:
            instants += [one.constraint.start_time.replace(tzinfo=None), one.constraint.end_time.replace(tzinfo=None)]
    for variant in variants:
        ((key, value),) = variant.when.items()
        context = ("" if value == "default" else value, variant.when)
        if value in CONTEXTS.get(key, ()) and context not in contexts:
            contexts.append(context)
    return sorted(limits), instants, contexts
