"""Cloudflare AI Gateway's logs: rows of the logs API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from usage.events import UnreadableBody
from usage.formats import FormatSettings, cloudflare_logs

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=50)


def row(**overrides):
    given = {
        "id": "01KAJ7YB3Z", "created_at": "2026-11-20T12:00:00.000Z", "provider": "openai", "model": "gpt-5.5",
        "model_type": "chat", "path": "chat/completions", "success": True, "cached": False, "status_code": 200,
        "tokens_in": 1200, "tokens_out": 85, "cost": 0.0085, "custom_cost": False, "duration": 910, "step": 0,
        "metadata": json.dumps({"use_case": "support-routing", "team": "support", "user": "u-1", "env": "prod"}),
        "request_head": "a prompt", "response_head": "an answer",
    }  # fmt: skip
    return {**given, **overrides}


def parse(*rows):
    body = b"\n".join(json.dumps(one).encode() for one in rows)
    return cloudflare_logs.parse(body, content_type="", received_at=NOW, settings=SETTINGS)


def event(**overrides):
    parsed = parse(row(**overrides))
    assert parsed.rejected == []
    return parsed.events[0]


def test_a_row_becomes_an_event():
    made = event()

    assert made.event_id == "cf:01KAJ7YB3Z"
    assert made.occurred_at == datetime(2026, 11, 20, 12, 0, 0, 910_000, UTC)
    assert (made.provider, made.model, made.use_case, made.team, made.user) == (
        "openai", "gpt-5.5", "support-routing", "support", "u-1",
    )  # fmt: skip
    assert (made.uncached_input_tokens, made.output_tokens) == (1200, 85)
    assert (made.status, made.latency_ms, made.reported_cost_usd) == ("ok", 910, Decimal("0.0085"))
    assert made.tags == {"env": "prod"}
    assert "prompt" not in repr(made)


@pytest.mark.parametrize(
    ("given", "status", "counted"),
    [
        ({"success": False, "status_code": 429, "tokens_in": 0, "tokens_out": 0, "cost": 0}, "error", True),
        ({"success": False, "model": None, "tokens_in": None, "tokens_out": None}, "error", True),
        ({"cached": True, "cost": 0}, "cache_hit", True),
        ({"cached": True, "tokens_in": 0, "tokens_out": 0}, "cache_hit", True),
        ({"tokens_in": 0, "tokens_out": 0}, "usage_missing", False),
        ({"tokens_in": None, "tokens_out": None}, "usage_missing", False),
    ],
)
def test_what_became_of_the_call(given, status, counted):
    made = event(**given)

    assert (made.status, made.counted) == (status, counted)


def test_a_cost_of_zero_for_tokens_is_no_cost_and_one_of_a_cached_answer_is():
    assert event(cost=0).reported_cost_usd is None
    assert event(cost=0, cached=True).reported_cost_usd == 0


def test_the_step_of_a_universal_request_is_the_fallback():
    assert event(step=2).fallback_index == 2
    assert event(step=-1).fallback_index == 0


@pytest.mark.parametrize("metadata", [None, "", "no json", "[1]", {"use_case": "direct"}, '{"use_case": null}', "7"])
def test_metadata_of_any_shape_costs_no_event(metadata):
    assert event(metadata=metadata).use_case in ("", "direct")


def test_addresses_and_keys_in_metadata_become_pseudonyms():
    made = event(metadata={"user": "ada@example.com", "note": "sk-abcdef1234567890", "use_case": "x", "flag": True})

    assert made.user.startswith("h:")
    assert made.tags["note"].startswith("h:")
    assert made.tags["flag"] == "true"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"id": ""}, "id: empty"),
        ({"created_at": "yesterday"}, "created_at: not a time"),
        ({"created_at": "2026-11-25T12:00:00Z"}, "time: more than a day ahead"),
        ({"model": ""}, "model: empty"),
        ({"tokens_in": -5}, "tokens_in: expected a whole number"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_the_field(given, reason):
    parsed = parse(row(), row(**given))

    assert len(parsed.events) == 1
    assert parsed.rejected[0].error.startswith(reason)
    assert parsed.rejected[0].index == 1


def test_what_is_no_json_is_unreadable():
    with pytest.raises(UnreadableBody):
        cloudflare_logs.parse(b"hello", content_type="", received_at=NOW, settings=SETTINGS)
