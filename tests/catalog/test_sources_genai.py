"""How what genai-prices says becomes quotes: what is inherited, dated, tiered, and what is left out aloud."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import types

from catalog.rules import METERS
from catalog.sources import genai, series
from catalog.sources.quotes import QuotedHours, UnreadableTable

AUGUST, OCTOBER = date(2026, 8, 1), date(2026, 10, 1)


@pytest.fixture(scope="module")
def installed():
    return genai.read()


def instant(day):
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def price(**usd):
    return types.ModelPrice(**{key: Decimal(value) if isinstance(value, str) else value for key, value in usd.items()})


def cliff(base, start, above):
    return types.TieredPrices(base=Decimal(base), tiers=[types.Tier(start=start, price=Decimal(above))])


def since(day, **usd):
    return types.ConditionalPrice(types.StartDateConstraint(day), prices=price(**usd))


def at_hours(start, end, **usd):
    return types.ConditionalPrice(types.TimeOfDateConstraint(time(start), time(end)), prices=price(**usd))


def always(**usd):
    return types.ConditionalPrice(prices=price(**usd))


def variant(key, value, constraint=None, **usd):
    return types.PriceVariant(when={key: value}, prices=price(**usd), constraint=constraint)


def table(*prices, variants=None, provider="openai"):
    model = types.ModelInfo(
        id="gpt", match=types.ClauseEquals("gpt"), prices=prices[0] if len(prices) == 1 else list(prices),
        price_variants=variants,
    )  # fmt: skip
    return genai.of([types.Provider(id=provider, name=provider, api_pattern="", models=[model])], version="1")


def quoted(found, *meters, **of):
    """Return the quotes of some meters, as text and without what is empty."""
    return [
        (quote.meter, f"{quote.usd_per_1m:f}", quote.valid_from, quote.valid_until)
        for quote in found.quotes
        if quote.meter in meters and all(getattr(quote, key) == value for key, value in of.items())
    ]


def test_the_installed_table_is_read_whole_and_no_two_of_its_quotes_hold_at_once(installed):
    assert (installed.source, installed.version) == ("genai-prices", genai_prices.__version__)
    assert installed.models > 2000
    assert len({(quote.provider, quote.model) for quote in installed.quotes}) > 2000
    assert {quote.meter for quote in installed.quotes} == set(METERS)
    assert series.overlapping(installed.quotes) == []


def test_providers_have_our_names(installed):
    found = {quote.provider for quote in installed.quotes}

    assert {"xai", "moonshot", "bedrock", "google", "openai", "azure", "together", "fireworks", "zai"} <= found
    assert not {"x-ai", "moonshotai", "aws"} & found


def test_a_regional_endpoint_of_bedrock_has_the_name_that_aws_gives_it():
    found = genai.of([
        types.Provider(id=provider, name="", api_pattern="", models=[
            types.ModelInfo(id=name, match=types.ClauseEquals(name), prices=price(output_mtok="5")) for name in names
        ])
        for provider, names in {"aws": ["regional.zai.glm", "global.zai.glm"], "azure": ["regional.glm"]}.items()
    ], version="1")  # fmt: skip

    assert {(quote.provider, quote.model) for quote in found.quotes} == {
        ("bedrock", "zai.glm"), ("bedrock", "global.zai.glm"), ("azure", "regional.glm")
    }  # fmt: skip


def test_a_meter_without_a_price_costs_what_contains_it():
    found = table(price(input_mtok="5", output_mtok="30", cache_write_mtok="6"))

    assert {quote.meter: str(quote.usd_per_1m) for quote in found.quotes} == {
        "uncached_input": "5",
        "cache_read": "5",
        "cache_write_5m": "6",
        "cache_write_1h": "6",
        "audio_input": "5",
        "image_input": "5",
        "output": "30",
        "audio_output": "30",
        "image_output": "30",
    }


def test_what_is_inherited_has_the_context_tiers_too():
    found = table(price(input_mtok=cliff("5", 272_000, "10")))

    tiers = [(quote.context_over, quote.context_inclusive, str(quote.usd_per_1m)) for quote in found.quotes]
    assert tiers == [(None, False, "5"), (272_000, False, "10")] * 6


def test_a_tier_that_starts_one_short_of_a_thousand_includes_its_limit():
    found = table(price(output_mtok=cliff("5", 199_999, "10")))

    (above,) = [quote for quote in found.quotes if quote.meter == "output" and quote.context_over]
    assert (above.context_over, above.context_inclusive) == (200_000, True)


def test_prices_per_thousand_become_prices_per_million():
    found = table(price(input_mtok="1", requests_kcount="5", web_searches_kcount="2.5"))

    assert quoted(found, "requests", "web_searches") == [
        ("requests", "5000", None, None),
        ("web_searches", "2500", None, None),
    ]


def test_dated_prices_abut_and_one_that_stays_is_one_quote():
    found = table(
        always(input_mtok="5", output_mtok="30"),
        since(AUGUST, input_mtok="4", output_mtok="30"),
        since(OCTOBER, input_mtok="3", output_mtok="30"),
    )

    assert quoted(found, "uncached_input", "output") == [
        ("output", "30", None, None),
        ("uncached_input", "5", None, instant(AUGUST)),
        ("uncached_input", "4", instant(AUGUST), instant(OCTOBER)),
        ("uncached_input", "3", instant(OCTOBER), None),
    ]


def test_hours_hold_from_the_dated_price_before_them_on():
    found = table(
        always(input_mtok="5"), since(AUGUST, input_mtok="1"), at_hours(22, 4, input_mtok="2"),
        since(OCTOBER, input_mtok="3"),
    )  # fmt: skip

    night = QuotedHours("UTC", (0, 1, 2, 3, 4, 5, 6), time(22), time(4))
    assert quoted(found, "uncached_input", hours=night) == [
        ("uncached_input", "2", instant(AUGUST), instant(OCTOBER)),
    ]


def test_a_service_tier_is_quoted_with_every_meter_and_only_from_its_own_date_on():
    found = table(
        price(input_mtok="5", cache_read_mtok="0.5", output_mtok="30", web_searches_kcount="10"),
        variants=[variant("processing", "batch", types.StartDateConstraint(OCTOBER), input_mtok="2", output_mtok="15")],
    )

    batch = {quote.meter: str(quote.usd_per_1m) for quote in found.quotes if quote.service_tier == "batch"}
    assert batch == {
        "uncached_input": "2", "cache_read": "0.5", "cache_write_5m": "2", "cache_write_1h": "2", "audio_input": "2",
        "image_input": "2", "output": "15", "audio_output": "15", "image_output": "15", "web_searches": "10000",
    }  # fmt: skip
    assert {quote.valid_from for quote in found.quotes if quote.service_tier} == {instant(OCTOBER)}


def test_a_service_tier_has_the_hours_too_save_where_it_has_a_price_of_its_own():
    found = table(
        always(input_mtok="1", output_mtok="4"),
        at_hours(1, 4, input_mtok="2", output_mtok="8"),
        variants=[variant("service_tier", "flex", input_mtok="0.5")],
    )

    assert quoted(found, "uncached_input", service_tier="flex") == [("uncached_input", "0.5", None, None)]
    assert [one[1] for one in quoted(found, "output", service_tier="flex")] == ["4", "8"]


def test_of_two_variants_for_one_tier_the_first_that_holds_counts():
    found = table(
        price(input_mtok="5"),
        variants=[
            variant("speed", "fast", types.StartDateConstraint(OCTOBER), input_mtok="8"),
            variant("speed", "fast", input_mtok="10"),
        ],
    )

    assert quoted(found, "uncached_input", service_tier="fast") == [
        ("uncached_input", "10", None, instant(OCTOBER)),
        ("uncached_input", "8", instant(OCTOBER), None),
    ]


@pytest.mark.parametrize(
    ("variants", "problem"),
    [
        ([variant("route", "mistral/eu", input_mtok="6")], "no service tier is known for route mistral/eu"),
        ([variant("service_tier", "turbo", input_mtok="6")], "no service tier is known for service_tier turbo"),
        (
            [types.PriceVariant(when={"speed": "fast", "processing": "batch"}, prices=price(input_mtok="6"))],
            "no service tier is known for processing batch and speed fast",
        ),
        (
            [variant("speed", "fast", input_mtok="6"), variant("service_tier", "fast", input_mtok="7")],
            "the tier fast is named in two ways",
        ),
        (
            [variant("service_tier", "default", input_mtok="6")],
            "service_tier default has prices of its own, beside the standard ones",
        ),
        (
            [variant("processing", "batch", types.TimeOfDateConstraint(time(1), time(4)), input_mtok="6")],
            "hours of processing batch are not read",
        ),
    ],
)
def test_a_context_that_is_not_known_is_a_problem_and_never_the_standard_price(variants, problem):
    found = table(price(input_mtok="5"), variants=variants)

    assert found.problems == (("gpt@openai", problem),)
    assert {(quote.service_tier, str(quote.usd_per_1m)) for quote in found.quotes} == {("", "5")}


def test_a_default_tier_without_prices_says_nothing():
    found = table(price(input_mtok="5"), variants=[variant("service_tier", "default")])

    assert (found.problems, {quote.service_tier for quote in found.quotes}) == ((), {""})


def test_what_no_meter_counts_is_told_beside_the_quotes():
    found = table(price(input_mtok="5", storage_searches_kcount="2", input_audio_hours="0"))

    assert found.problems == (("gpt@openai", "no meter for storage_searches_kcount"),)
    assert found.quotes


def test_a_model_that_has_no_price_for_a_meter_is_a_problem_only():
    found = table(price(audio_hours="0.1"))

    assert found.quotes == ()
    assert found.problems == (("gpt@openai", "no meter for audio_hours; no price that a meter here could have"),)


def test_a_price_with_too_many_places_is_rounded_and_says_so():
    found = table(price(output_mtok="0.08333333333333334"))

    assert {(str(quote.usd_per_1m), quote.note) for quote in found.quotes} == {
        ("0.0833333333", "rounded from 0.08333333333333334")
    }


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity", "1E+9"])
def test_a_price_that_is_none_makes_the_whole_table_unreadable(usd):
    with pytest.raises(UnreadableTable, match=f"gpt of openai: input_mtok is {re.escape(usd)}, which is no price"):
        table(price(input_mtok=usd))


def test_a_table_without_models_is_unreadable():
    with pytest.raises(UnreadableTable, match="names no model"):
        genai.of([], version="1")


def test_the_digest_is_of_what_the_quotes_say_in_any_order():
    one, same = table(price(input_mtok="5", output_mtok="30")), table(price(output_mtok="30.0", input_mtok="5"))
    other = table(price(input_mtok="5", output_mtok="31"))

    assert one.digest == same.digest != other.digest
