"""How LiteLLM's table becomes quotes: fields, suffixes and hours, and what is left out aloud or refused."""

from __future__ import annotations

import hashlib
import json
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from catalog.sources import litellm_table, series
from catalog.sources.quotes import QuotedHours, UnreadableTable

CONTENT = (Path(__file__).parent / "data" / "litellm-first-party.json").read_bytes()
WORKDAYS, WEEKEND = (0, 1, 2, 3, 4), (5, 6)


def read(**entries):
    return litellm_table.read(json.dumps(entries).encode())


def entry(*, by="openai", **fields):
    return {"litellm_provider": by, "mode": "chat", **fields}


def prices(table, tier="", over=None, hours=None):
    """Return USD per million by meter, as text, of one tier."""
    return {
        quote.meter: f"{quote.usd_per_1m:f}"
        for quote in table.quotes
        if (quote.service_tier, quote.context_over, quote.hours) == (tier, over, hours)
    }


def off_peak(*windows, **fields):
    """Return an entry whose input costs 2 USD per million, and 1 in some windows."""
    block = {"input_cost_per_token": 1e-6, "windows": list(windows), **fields}
    return {"m": entry(input_cost_per_token=2e-6, off_peak_pricing=block)}


def hours_of(table):
    return {(quote.hours.zone, quote.hours.weekdays, quote.hours.starts, quote.hours.ends)
            for quote in table.quotes if quote.hours}  # fmt: skip


def test_the_first_party_table_is_read_whole_and_no_two_of_its_quotes_hold_at_once():
    table = litellm_table.read(CONTENT)

    assert (table.source, table.version) == ("litellm", "")
    assert table.digest == hashlib.sha256(CONTENT).hexdigest()
    assert table.models == len(json.loads(CONTENT))
    assert {quote.provider for quote in table.quotes} == {"openai", "anthropic", "google", "deepseek", "mistral", "xai"}
    assert series.overlapping(table.quotes) == []


def test_prices_per_token_become_prices_per_million_to_the_last_decimal():
    table = read(
        m=entry(input_cost_per_token=1.5e-07, output_cost_per_token=6e-07, cache_read_input_token_cost=7.5e-08)
    )

    assert prices(table) == {
        "uncached_input": "0.15", "cache_read": "0.075", "cache_write_5m": "0.15", "cache_write_1h": "0.15",
        "audio_input": "0.15", "image_input": "0.15", "output": "0.6", "audio_output": "0.6", "image_output": "0.6",
    }  # fmt: skip


def test_every_meter_that_has_a_price_of_its_own_is_quoted_with_it():
    table = read(
        m=entry(
            input_cost_per_token=1e-6, output_cost_per_token=2e-6, cache_read_input_token_cost=3e-6,
            cache_creation_input_token_cost=4e-6, cache_creation_input_token_cost_above_1hr=5e-6,
            input_cost_per_audio_token=6e-6, output_cost_per_audio_token=7e-6, input_cost_per_image_token=8e-6,
            output_cost_per_image_token=9e-6, input_cost_per_request=0.01,
            search_context_cost_per_query={"search_context_size_low": 0.02, "search_context_size_high": 0.02},
        )
    )  # fmt: skip

    assert prices(table) == {
        "uncached_input": "1", "output": "2", "cache_read": "3", "cache_write_5m": "4", "cache_write_1h": "5",
        "audio_input": "6", "audio_output": "7", "image_input": "8", "image_output": "9", "requests": "10000",
        "web_searches": "20000",
    }  # fmt: skip


def test_a_context_tier_changes_what_it_names_and_what_is_charged_as_that():
    table = read(
        m=entry(
            input_cost_per_token=1e-6, output_cost_per_token=2e-6, input_cost_per_audio_token=5e-6,
            input_cost_per_token_above_200k_tokens=2e-6,
        )
    )  # fmt: skip

    above = prices(table, over=200_000)
    assert above == dict.fromkeys(
        ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h", "image_input"), "2"
    )
    assert {quote.context_inclusive for quote in table.quotes} == {False}


def test_the_limit_belongs_to_the_higher_tier_at_xai():
    table = read(m=entry(by="xai", input_cost_per_token=1e-6, input_cost_per_token_above_128k_tokens=2e-6))

    assert {quote.context_inclusive for quote in table.quotes if quote.context_over == 128_000} == {True}


def test_a_service_tier_has_the_standard_price_for_what_it_does_not_name():
    table = read(
        m=entry(
            input_cost_per_token=2e-6, output_cost_per_token=4e-6, input_cost_per_token_flex=1e-6,
            input_cost_per_token_above_272k_tokens=4e-6, cache_read_input_token_cost=2e-7,
            search_context_cost_per_query={"search_context_size_low": 0.01},
        )
    )  # fmt: skip

    flex = prices(table, "flex")
    assert (flex["uncached_input"], flex["output"], flex["cache_read"]) == ("1", "4", "0.2")
    assert flex["web_searches"] == "10000"
    assert prices(table, "flex", over=272_000)["uncached_input"] == "4"


def test_a_batch_charges_what_it_does_not_name_as_its_input():
    table = read(
        m=entry(
            input_cost_per_token=2e-6, output_cost_per_token=4e-6, input_cost_per_token_batches=1e-6,
            cache_read_input_token_cost=2e-7,
        )
    )  # fmt: skip

    batch = prices(table, "batch")
    assert (batch["uncached_input"], batch["cache_read"], batch["output"]) == ("1", "1", "2")


def test_fast_answers_of_anthropic_cost_a_multiple_of_tokens_alone():
    table = read(
        m=entry(
            by="anthropic", input_cost_per_token=5e-6, output_cost_per_token=25e-6,
            provider_specific_entry={"fast": 2.0, "us": 1.1},
            search_context_cost_per_query={"search_context_size_low": 0.01},
        )
    )  # fmt: skip

    fast = prices(table, "fast")
    assert (fast["uncached_input"], fast["output"], fast["web_searches"]) == ("10", "50", "10000")
    assert table.problems == (("m@anthropic", "no meter or tier for us times 1.1"),)


def test_ranges_of_context_are_cliffs():
    ranges = [
        {"range": [256000.0, 1000000.0], "input_cost_per_token": 3e-6, "output_cost_per_token": 6e-6},
        {"range": [0, 256000.0], "input_cost_per_token": 1e-6, "cache_read_input_token_cost": 1e-7},
    ]

    table = read(m=entry(by="dashscope", output_cost_per_token=5e-6, tiered_pricing=ranges))

    low, high = prices(table), prices(table, over=256_000)
    assert (low["uncached_input"], low["cache_read"], low["output"]) == ("1", "0.1", "5")
    assert (high["uncached_input"], high["cache_read"], high["output"]) == ("3", "3", "6")


def test_off_peak_prices_hold_in_their_hours_and_the_listed_one_at_all_others():
    window = {"hours_utc": ["16:30-00:30", "04:00-06:00"], "weekdays": [1, 2, 3, 4, 5]}

    table = read(**off_peak(window))

    # A night is cut at midnight: each part holds on the weekday that it lies on.
    assert hours_of(table) == {
        ("UTC", WORKDAYS, time(16, 30), time(0)),
        ("UTC", WORKDAYS, time(0), time(0, 30)),
        ("UTC", WORKDAYS, time(4), time(6)),
    }
    assert prices(table)["uncached_input"] == "2"
    assert prices(table, hours=QuotedHours("UTC", WORKDAYS, time(4), time(6)))["cache_read"] == "1"


def test_a_window_for_every_day_may_go_past_midnight_and_a_whole_day_is_one():
    table = read(**off_peak({"hours_utc": "00:00-00:00", "weekdays": ["sat", "Sunday"]}, hours_utc="16:30-00:30"))

    every_day = (0, 1, 2, 3, 4, 5, 6)
    assert hours_of(table) == {("UTC", every_day, time(16, 30), time(0, 30)), ("UTC", WEEKEND, time(0), time(0))}


def test_weekdays_of_another_zone_are_kept_on_its_clock():
    window = {"hours_utc": "10:00-00:00", "weekdays": [1, 2, 3, 4, 5]}

    table = read(**off_peak(window, weekday_timezone="Asia/Shanghai"))

    assert hours_of(table) == {
        ("Asia/Shanghai", WORKDAYS, time(18), time(0)),
        ("Asia/Shanghai", WORKDAYS, time(0), time(8)),
    }


@pytest.mark.parametrize(
    ("window", "block", "problem"),
    [
        ({"hours_utc": "9-17"}, {}, "off_peak_pricing has hours that are none: '9-17'"),
        ({"hours_utc": "25:00-26:00"}, {}, "off_peak_pricing has hours that are none: '25:00-26:00'"),
        ({"hours_utc": "01:00-04:00", "weekdays": [0]}, {}, "off_peak_pricing has a weekday that is none: 0"),
        ({"hours_utc": "01:00-04:00", "weekdays": []}, {}, "off_peak_pricing has weekdays that are none: []"),
        (
            {"hours_utc": "01:00-04:00", "weekdays": [1]}, {"weekday_timezone": "Mars/Olympus"},
            "off_peak_pricing names a zone that nobody knows: 'Mars/Olympus'",
        ),
        (
            {"hours_utc": "01:00-04:00", "weekdays": [1]}, {"weekday_timezone": "Europe/Berlin"},
            "off_peak_pricing has hours of UTC on weekdays of Europe/Berlin, whose clock changes",
        ),
        ({}, {}, "off_peak_pricing names no hours"),
        ({"hours_utc": "01:00-04:00"}, {"input_cost_per_audio_token": 1e-6},
         "off_peak_pricing has no place for input_cost_per_audio_token"),
    ],
)  # fmt: skip
def test_hours_that_cannot_be_read_leave_the_model_without_a_quote(window, block, problem):
    table = read(**off_peak(window, **block), other=entry(input_cost_per_token=1e-6))

    assert table.problems == (("m@openai", f"{problem}; no price that a meter here could have"),)
    assert {quote.model for quote in table.quotes} == {"other"}


def test_a_suffix_that_nobody_knows_is_a_problem_and_never_the_standard_price():
    table = read(m=entry(input_cost_per_token=1e-6, input_cost_per_token_turbo=3e-6))

    assert table.problems == (("m@openai", "no meter or tier for input_cost_per_token_turbo"),)
    assert set(prices(table).values()) == {"1"}
    assert {quote.service_tier for quote in table.quotes} == {""}


def test_tokens_listed_at_nothing_beside_another_price_are_not_free():
    table = read(
        m=entry(input_cost_per_token=0, output_cost_per_token=0, output_cost_per_image=0.04),
        free=entry(input_cost_per_token=0, output_cost_per_token=0),
    )

    assert {(quote.model, str(quote.usd_per_1m)) for quote in table.quotes} == {("free", "0")}
    assert table.problems == (
        ("m@openai", "no meter or tier for output_cost_per_image; no price that a meter here could have"),
    )


def test_reasoning_at_the_price_of_output_is_nothing_to_tell():
    same, other = 2e-6, 3e-6

    table = read(
        a=entry(input_cost_per_token=1e-6, output_cost_per_token=2e-6, output_cost_per_reasoning_token=same),
        b=entry(input_cost_per_token=1e-6, output_cost_per_token=2e-6, output_cost_per_reasoning_token=other),
    )

    assert table.problems == (("b@openai", "no meter or tier for output_cost_per_reasoning_token"),)


def test_searches_that_cost_by_the_size_of_their_context_are_not_quoted():
    sizes = {"search_context_size_low": 0.005, "search_context_size_high": 0.012}

    table = read(m=entry(input_cost_per_token=1e-6, search_context_cost_per_query=sizes))

    assert "web_searches" not in prices(table)
    assert table.problems == (("m@openai", "a web search costs otherwise for each size of its context"),)


@pytest.mark.parametrize(
    ("name", "by", "offering"),
    [
        ("gpt-5.5", "openai", ("openai", "gpt-5.5")),
        ("azure/eu/gpt-4o", "azure", ("azure", "eu/gpt-4o")),
        ("gemini/gemini-3.1-pro", "gemini", ("google", "gemini-3.1-pro")),
        ("vertex_ai/claude-opus-4-7", "vertex_ai-anthropic_models", ("vertex", "claude-opus-4-7")),
        ("bedrock/us-east-1/meta.llama3", "bedrock", ("bedrock", "us-east-1/meta.llama3")),
        ("global.anthropic.claude-opus-5", "bedrock_converse", ("bedrock", "global.anthropic.claude-opus-5")),
        ("groq/openai/gpt-oss-120b", "groq", ("groq", "openai/gpt-oss-120b")),
        ("together_ai/deepseek-ai/DeepSeek-V3", "together_ai", ("together", "deepseek-ai/DeepSeek-V3")),
        ("fireworks_ai/glm-5", "fireworks_ai", ("fireworks", "glm-5")),
        ("novita/glm-5", "novita", ("novita", "glm-5")),
    ],
)
def test_names_lose_the_prefix_of_their_provider_and_providers_have_ours(name, by, offering):
    table = read(**{name: entry(by=by, input_cost_per_token=1e-6)})

    assert {(quote.provider, quote.model) for quote in table.quotes} == {offering}


def test_of_two_names_for_one_model_that_with_the_provider_is_quoted_and_the_other_told():
    table = read(**{
        "deepseek/chat": entry(by="deepseek", input_cost_per_token=1e-6),
        "chat": entry(by="deepseek", input_cost_per_token=2e-6),
        "deepseek/same": entry(by="deepseek", input_cost_per_token=3e-6),
        "same": entry(by="deepseek", input_cost_per_token=3e-6),
    })  # fmt: skip

    uncached = [quote for quote in table.quotes if quote.meter == "uncached_input"]
    assert [(quote.model, str(quote.usd_per_1m)) for quote in uncached] == [("chat", "1"), ("same", "3")]
    assert table.problems == (("chat@deepseek", "listed twice with other prices: those of deepseek/chat are quoted"),)


def test_the_older_name_of_a_cache_read_is_one_and_a_contradiction_is_told():
    table = read(
        a=entry(input_cost_per_token=1e-6, input_cost_per_token_cache_hit=1e-7),
        b=entry(input_cost_per_token=1e-6, input_cost_per_token_cache_hit=1e-7, cache_read_input_token_cost=2e-7),
    )

    reads = {quote.model: quote.usd_per_1m for quote in table.quotes if quote.meter == "cache_read"}
    assert reads == {"a": Decimal("0.1"), "b": Decimal("0.2")}
    assert [name for name, _ in table.problems] == ["b@openai"]


def test_an_entry_without_a_provider_is_a_problem_and_the_explanation_of_the_fields_is_none():
    table = read(
        sample_spec={"input_cost_per_token": "a number"}, m=entry(input_cost_per_token=1e-6), x={"mode": "chat"}
    )

    assert table.problems == (("x", "no provider is named"),)
    assert table.models == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<html>", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'["gpt"]', "not a mapping of models to prices"),
        (b"{}", "names no model"),
        (b'{"sample_spec": {}}', "names no model"),
        (b'{"m": 5}', "m: not a mapping of fields"),
        (b'{"m": {"input_cost_per_token": "5e-6"}}', "m: input_cost_per_token is '5e-6', where a number belongs"),
        (b'{"m": {"input_cost_per_token": true}}', "m: input_cost_per_token is True, where a number belongs"),
        (b'{"m": {"input_cost_per_token": -5e-6}}', "m: input_cost_per_token is -0.000005, which is below 0"),
        (b'{"m": {"input_cost_per_token": NaN}}', "NaN is no price"),
        (b'{"m": {"tiered_pricing": [{"input_cost_per_token": "1"}]}}', "m: tiered_pricing: .* is '1'"),
        (b'{"m": {"input_cost_per_token": 1e400}}', "more than any price"),
        (b'{"m": {"input_cost_per_token": 1e99999999999999999999}}', "not JSON|more than any price"),
        (b'{"m": {"off_peak_pricing": {"input_cost_per_token": -1}}}', "m: off_peak_pricing: .* is -1"),
        (b'{"m": {"search_context_cost_per_query": {"low": "x"}}}', "m: search_context_cost_per_query: .* is 'x'"),
        (b'{"m": {"input_cost_per_token": 1, "input_cost_per_token": 2}}', "'input_cost_per_token' stands twice"),
        (b'{"m": {"litellm_provider": "openai"}}', "No model of the table has a price"),
    ],
)  # fmt: skip
def test_a_malformed_table_is_refused_whole_with_a_sentence(content, sentence):
    with pytest.raises(UnreadableTable, match=sentence):
        litellm_table.read(content)
