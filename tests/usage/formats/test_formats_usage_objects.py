"""Providers' usage objects inside native events: one call, told in each provider's words, is one set of meters."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from usage.formats import FORMATS, FormatSettings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAYLOADS = Path(__file__).parents[2] / "payloads"
LANGCHAIN = json.loads((PAYLOADS / "langchain" / "langchain_usage_metadata.json").read_text())["per_call"]


def read(usage, **overrides):
    event = {"id": "e-1", "time": "2026-11-20T12:00:00Z", "model": "m", "usage": usage} | overrides
    parsed = FORMATS["native"](
        json.dumps(event).encode(),
        content_type="application/json",
        received_at=NOON,
        settings=FormatSettings(user_key=b"test"),
    )
    if parsed.rejected:
        return parsed.rejected[0].error
    return parsed.events[0]


def meters(usage):
    event = read(usage)
    assert not isinstance(event, str), event
    assert (event.status, event.counted, event.flags) == ("ok", True, [])
    return (
        event.uncached_input_tokens,
        event.cache_read_tokens,
        event.cache_write_5m_tokens,
        event.cache_write_1h_tokens,
        event.output_tokens,
    )


@pytest.mark.parametrize(
    "usage",
    [
        # OpenAI chat; then with Anthropic's figures as LiteLLM adds them; then DeepSeek's and Together's words
        {
            "prompt_tokens": 6264,
            "completion_tokens": 77,
            "total_tokens": 6341,
            "prompt_tokens_details": {"cached_tokens": 4096, "cache_write_tokens": 2048},
        },
        {
            "prompt_tokens": 6264,
            "completion_tokens": 77,
            "cache_read_input_tokens": 4096,
            "cache_creation_input_tokens": 2048,
            "prompt_tokens_details": None,
        },
        # OpenAI Responses
        {
            "input_tokens": 6264,
            "input_tokens_details": {"cached_tokens": 4096, "cache_write_tokens": 2048},
            "output_tokens": 77,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 6341,
        },
        # Anthropic, with and without the split
        {
            "input_tokens": 120,
            "cache_read_input_tokens": 4096,
            "cache_creation_input_tokens": 2048,
            "cache_creation": {"ephemeral_5m_input_tokens": 2048, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 77,
            "output_tokens_details": None,
            "service_tier": "standard",
        },
        {
            "input_tokens": 120,
            "cache_read_input_tokens": 4096,
            "cache_creation_input_tokens": 2048,
            "output_tokens": 77,
        },
        # Bedrock
        {
            "inputTokens": 120,
            "outputTokens": 77,
            "cacheReadInputTokens": 4096,
            "cacheWriteInputTokens": 2048,
        },
        # LangChain: nothing written in all, and 2048 for five minutes
        {
            "input_tokens": 6264,
            "output_tokens": 77,
            "input_token_details": {
                "cache_read": 4096,
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 2048,
            },
        },
        {
            "input_tokens": 6264,
            "output_tokens": 77,
            "input_token_details": {"cache_read": 4096, "cache_creation": 2048},
        },
        # Vercel 6
        {
            "inputTokens": 6264,
            "inputTokenDetails": {"noCacheTokens": 120, "cacheReadTokens": 4096, "cacheWriteTokens": 2048},
            "outputTokens": 77,
            "outputTokenDetails": {"textTokens": 77},
            "totalTokens": 6341,
        },
        # Vercel, as a middleware of the SDK sees it
        {
            "inputTokens": {"total": 6264, "noCache": 120, "cacheRead": 4096, "cacheWrite": 2048},
            "outputTokens": {"total": 77, "text": 77, "reasoning": 0},
        },
        # OpenClaw
        {"input": 120, "output": 77, "cacheRead": 4096, "cacheWrite": 2048, "totalTokens": 6341},
    ],
)
def test_one_call_told_in_each_providers_words_is_one_set_of_meters(usage):
    assert meters(usage) == (120, 4096, 2048, 0, 77)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_eval_count": 26, "prompt_eval_cached_count": 6, "eval_count": 298}, (20, 6, 0, 0, 298)),
        ({"eval_count": 298, "done": True}, (0, 0, 0, 0, 298)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, (5, 4, 0, 0, 1)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, (5, 4, 0, 0, 1)),
        ({"prompt_tokens": 9.0, "total_tokens": 9}, (9, 0, 0, 0, 0)),
        ({"inputTokens": 9, "outputTokens": 1, "cachedInputTokens": 4}, (5, 4, 0, 0, 1)),
        ({"promptTokens": 9, "completionTokens": 1}, (9, 0, 0, 0, 1)),
        ({"input_tokens": 9, "output_tokens": 1}, (9, 0, 0, 0, 1)),
        ({"inputTokens": 9, "outputTokens": None, "totalTokens": 9}, (9, 0, 0, 0, 0)),
        ({"inputTokens": {"total": 9}, "outputTokens": {"total": 1}}, (9, 0, 0, 0, 1)),
        ({"input": 9, "output": 1, "total": 10}, (9, 0, 0, 0, 1)),
        ({"tokens": 9}, (9, 0, 0, 0, 0)),
        (
            {"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 10},
            (5, 4, 0, 0, 1),
        ),
    ],
)
def test_smaller_shapes_are_read_as_well(usage, expected):
    assert meters(usage) == expected


@pytest.mark.parametrize(
    "usage",
    [
        {
            "input_tokens": 100,
            "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
            "output_tokens": 1,
        },
        {
            "prompt_tokens": 150,
            "completion_tokens": 1,
            "cache_creation_input_tokens": 50,
            "prompt_tokens_details": {
                "cache_creation_token_details": {
                    "ephemeral_5m_input_tokens": 20,
                    "ephemeral_1h_input_tokens": 30,
                }
            },
        },
        {
            "input_tokens": 150,
            "output_tokens": 1,
            "input_token_details": {"cache_creation": 50, "ephemeral_1h_input_tokens": 30},
        },
        {
            "inputTokens": 150,
            "outputTokens": 1,
            "inputTokenDetails": {"cacheWriteTokens": 50},
            "raw": {"cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}},
        },
    ],
)
def test_cache_writes_of_an_hour_are_not_taken_for_those_of_five_minutes(usage):
    assert meters(usage) == (100, 0, 20, 30, 1)


def test_reasoning_audio_searches_and_tiers_come_along():
    event = read(
        {
            "prompt_tokens": 100,
            "completion_tokens": 60,
            "prompt_tokens_details": {"audio_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 20},
        }
    )
    assert (event.uncached_input_tokens, event.audio_input_tokens) == (60, 40)
    assert (event.output_tokens, event.audio_output_tokens, event.reasoning_tokens) == (40, 20, 7)

    event = read(
        {
            "input_tokens": 1,
            "output_tokens": 1,
            "cache_creation": None,
            "server_tool_use": {"web_search_requests": 3},
            "service_tier": "batch",
        }
    )
    assert (event.web_searches, event.service_tier, event.reasoning_tokens) == (3, "batch", None)

    event = read(
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "input_token_details": {"priority_cache_read": 4, "priority": 6},
            "output_token_details": {"priority_reasoning": 2, "priority": 3},
        }
    )
    assert (event.service_tier, event.cache_read_tokens, event.reasoning_tokens) == ("priority", 4, 2)


@pytest.mark.parametrize("count", [-1, 1.5, True, "9", 10**10 + 1, [], {}])
def test_a_count_that_is_none_refuses_the_event(count):
    assert str(read({"prompt_tokens": count})).startswith("usage.prompt_tokens: ")


@pytest.mark.parametrize("case", ["openai_chat", "openai_chat_cached_reasoning", "anthropic"])
def test_langchains_own_figures_and_the_providers_behind_them_say_the_same(case):
    message = LANGCHAIN[case]
    behind = message["response_metadata"].get("token_usage") or message["response_metadata"]["usage"]

    assert meters(message["usage_metadata"]) == meters(behind)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("openai_chat", (1200, 0, 0, 0, 85)),
        ("openai_chat_cached_reasoning", (176, 1024, 0, 0, 85)),
        ("openai_responses", (176, 1024, 0, 0, 85)),
        ("anthropic", (120, 4096, 2048, 0, 77)),
        ("openai_stream", (1200, 0, 0, 0, 85)),
        ("langgraph_last_message", (1200, 0, 0, 0, 85)),
    ],
)
def test_every_captured_langchain_message_is_read(case, expected):
    assert meters(LANGCHAIN[case]["usage_metadata"]) == expected


def _inside(value):
    """Yield every usage object in a capture of OpenClaw's."""
    if isinstance(value, dict):
        if {"input", "output", "cacheRead", "cacheWrite"} <= value.keys() and not isinstance(value["input"], float):
            yield value
        for inner in value.values():
            yield from _inside(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _inside(inner)


@pytest.mark.parametrize("path", sorted((PAYLOADS / "openclaw").iterdir()), ids=lambda path: path.stem)
def test_every_captured_openclaw_usage_is_read_with_its_cost(path):
    found = list(_inside(json.loads(path.read_text())))

    assert found
    for usage in found:
        assert meters(usage) == (1200, 0, 0, 0, 85)
        assert read(usage).reported_cost_usd == Decimal(repr(usage["cost"]["total"]))


def test_reasoning_that_was_counted_beside_the_output_is_found_by_the_total():
    beside = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 325}
    event = read(beside | {"completion_tokens_details": {"reasoning_tokens": 300}})

    assert (event.output_tokens, event.reasoning_tokens, event.flags) == (305, 300, [])

    gemini = {"promptTokenCount": 20, "candidatesTokenCount": 5, "thoughtsTokenCount": 300, "totalTokenCount": 325}
    event = read(gemini)

    assert (event.output_tokens, event.reasoning_tokens, event.flags) == (305, 300, [])


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 26},
        {"input_tokens": 20, "output_tokens": 5, "total_tokens": 24},
        {"inputTokens": 20, "outputTokens": 5, "totalTokens": 4121},
        {"input": 20, "output": 5, "cacheRead": 7, "total": 25},
    ],
)
def test_a_total_that_input_and_output_do_not_make_up_flags_the_event_and_changes_nothing(usage):
    event = read(usage)

    assert event.flags == ["meters-do-not-add-up"]
    assert event.uncached_input_tokens + event.output_tokens == 25


def test_geminis_audio_and_images_are_told_apart_where_they_cost_differently():
    event = read(
        {
            "promptTokenCount": 100,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 30},
                {"modality": "IMAGE", "tokenCount": 20},
                {"modality": "AUDIO", "tokenCount": 50},
            ],
            "cachedContentTokenCount": 15,
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 15}],
            "toolUsePromptTokenCount": 7,
            "candidatesTokenCount": 40,
            "candidatesTokensDetails": [
                {"modality": "IMAGE", "tokenCount": 25},
                {"modality": "TEXT", "tokenCount": 15},
            ],
            "totalTokenCount": 147,
        }
    )

    assert (event.uncached_input_tokens, event.cache_read_tokens, event.audio_input_tokens) == (57, 15, 35)
    assert (event.output_tokens, event.image_output_tokens, event.flags) == (15, 25, [])


@pytest.mark.parametrize(
    ("cost", "kept"),
    [
        ({"cost": 0.00314}, "0.00314"),
        ({"cost": 4.2499999999999996e-05}, "0.0000425"),
        ({"cost": "0.01"}, "0.01"),
        ({"cost": 0}, None),
        ({"cost": None}, None),
        ({"cost": True}, None),
        ({"cost": {"total_cost": 0.1}}, None),
        ({"cost": 0.0001, "is_byok": True}, None),  # the fee for a key of one's own, not what the call cost
        ({}, None),
    ],
)
def test_what_the_usage_object_says_that_the_call_cost_is_kept(cost, kept):
    usage = {"prompt_tokens": 20, "completion_tokens": 5} | cost

    assert read(usage).reported_cost_usd == (kept and Decimal(kept))
    assert read(usage, reported_cost_usd="7").reported_cost_usd == 7


@pytest.mark.parametrize("cost", ["a lot", -0.01, "NaN", 1e12])
def test_a_cost_that_is_none_refuses_the_event(cost):
    assert str(read({"prompt_tokens": 20, "cost": cost})).startswith("usage.cost: ")
