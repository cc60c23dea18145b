"""LiteLLM's spend logs: a row says what the callback says, whichever version wrote it and however it was exported."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from usage.events import UnreadableBody
from usage.formats import FormatSettings, litellm, spend_logs

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=50)
PAYLOADS = Path(__file__).parents[2] / "payloads"
BLOCKED = {"guardrail_name": "pii", "guardrail_status": "guardrail_intervened"}
# What the table does not hold: the key's and the request's own metadata, and headers of the answer.
NOT_IN_A_ROW = {
    "event_id", "occurred_at", "latency_ms", "use_case", "fallback_index", "route_reason", "rule", "session",
}  # fmt: skip


def row(**overrides):
    """Make a row as `/spend/logs` answers: 1200 tokens of input, 85 of output, two seconds."""
    given = {
        "request_id": "chatcmpl-1", "call_type": "acompletion", "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df",
        "spend": 0.0085, "total_tokens": 1285, "prompt_tokens": 1200, "completion_tokens": 85,
        "startTime": "2026-11-20T12:00:00.000Z", "endTime": "2026-11-20T12:00:02.000Z", "completionStartTime": None,
        "model": "gpt-5.5", "model_id": "dep-1", "model_group": "frontier", "custom_llm_provider": "openai",
        "api_base": "https://api.openai.com", "user": "u-42", "metadata": {}, "cache_hit": "False", "cache_key": "x",
        "request_tags": [], "team_id": "team-support", "end_user": "", "requester_ip_address": "203.0.113.9",
        "messages": {}, "response": {}, "session_id": "s-1", "status": "success",
    }  # fmt: skip
    return {**given, **overrides}


def parse(body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return spend_logs.parse(data, content_type="", received_at=NOW, settings=SETTINGS)


def event(**overrides):
    parsed = parse(row(**overrides))
    assert parsed.rejected == []
    return parsed.events[0]


def refusal(**overrides):
    parsed = parse([row(), row(**overrides)])
    assert len(parsed.events) == 1
    return parsed.rejected[0].error


def as_csv(*rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    for one in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in one.items()})
    return out.getvalue().encode()


def test_a_row_becomes_an_event():
    made = event(request_tags=["use_case:support-routing", "env:prod", "User-Agent: x"])

    assert (made.event_id, made.occurred_at) == ("chatcmpl-1", datetime(2026, 11, 20, 12, 0, 2, tzinfo=UTC))
    assert (made.provider, made.model, made.requested_model) == ("openai", "gpt-5.5", "frontier")
    assert (made.use_case, made.team, made.user, made.tags) == (
        "support-routing",
        "team-support",
        "u-42",
        {"env": "prod"},
    )
    assert (made.uncached_input_tokens, made.output_tokens, made.latency_ms) == (1200, 85, 2000)
    assert (made.status, made.reported_cost_usd, made.call_group) == ("ok", Decimal("0.0085"), "s-1")


def captured():
    """Return the records of the callback that were captured, of whatever log format."""
    found = []
    for path in sorted((PAYLOADS / "litellm").glob("*.json")):
        body = path.read_bytes()
        records = [json.loads(line) for line in body.splitlines()] if b"}\n{" in body else json.loads(body)
        for record in records if isinstance(records, list) else [records]:
            if "startTime" in record:
                found.append(pytest.param(record, id=f"{path.stem}-{len(found)}"))
    assert found
    return found


@pytest.mark.parametrize("record", captured())
def test_a_row_of_a_captured_call_says_what_its_callback_said(record):
    metadata = record["metadata"]
    kept = ("user_api_key_alias", "user_api_key_team_id", "user_api_key_team_alias", "usage_object")
    written = row(
        request_id=record["id"], spend=record["response_cost"], prompt_tokens=record["prompt_tokens"],
        completion_tokens=record["completion_tokens"], model=record["model"], model_id=record["model_id"],
        model_group=record["model_group"], custom_llm_provider=record["custom_llm_provider"],
        startTime=datetime.fromtimestamp(record["startTime"], UTC).isoformat(timespec="milliseconds"),
        endTime=datetime.fromtimestamp(record["endTime"], UTC).isoformat(timespec="milliseconds"),
        user=metadata.get("user_api_key_user_id"), team_id=metadata.get("user_api_key_team_id"),
        end_user=record["end_user"], cache_hit=str(record["cache_hit"]), session_id=record["trace_id"],
        request_tags=json.dumps(record["request_tags"]), status=record["status"],
        metadata=json.dumps({name: metadata.get(name) for name in kept} | {
            "guardrail_information": [record.get("status_fields") or {}],
        }),
        litellm_call_id=record.get("litellm_call_id"),
    )  # fmt: skip

    (said,) = litellm.parse(json.dumps(record).encode(), content_type="", received_at=NOW, settings=SETTINGS).events
    (read,) = parse(written).events

    for field in set(read.__struct_fields__) - NOT_IN_A_ROW:
        assert getattr(read, field) == getattr(said, field), field


def test_cache_writes_beside_the_prompt_are_told_from_those_inside_it():
    details = {"cached_tokens": 4096, "cache_creation_tokens": 2048}
    inside = {"cache_creation_input_tokens": 2048, "cache_read_input_tokens": 4096, "prompt_tokens_details": details}
    beside = {**inside, "prompt_tokens_details": {"cached_tokens": 4096, "cache_write_tokens": None}}

    newer = event(prompt_tokens=6264, metadata={"usage_object": inside})
    older = event(prompt_tokens=4216, metadata={"additional_usage_values": beside})

    for made in (newer, older):
        counts = (made.uncached_input_tokens, made.cache_read_tokens, made.cache_write_5m_tokens)
        assert counts == (120, 4096, 2048)
        assert made.flags == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"status": "failure", "prompt_tokens": 0, "completion_tokens": 0}, "error"),
        ({"status": None, "metadata": {"status": "failure"}}, "error"),
        ({"cache_hit": "True", "spend": 0}, "cache_hit"),
        ({"cache_hit": "None"}, "ok"),
        ({"cache_hit": ""}, "ok"),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "usage_missing"),
        (
            {
                "status": "failure",
                "metadata": {"guardrail_information": [{"guardrail_status": "guardrail_intervened"}]},
            },
            "blocked",
        ),
    ],
)
def test_what_became_of_the_call_is_read_from_where_it_stands(given, status):
    assert event(**given).status == status


def test_a_cost_of_zero_for_tokens_is_no_cost():
    assert event(spend=0).reported_cost_usd is None
    assert event(spend="0.5").reported_cost_usd == Decimal("0.5")


def test_a_dump_of_the_table_says_what_the_api_says():
    rows = [row(), row(request_id="2", request_tags=["a:b"], metadata={"user_api_key_alias": "bot"}, spend=0.25)]

    dumped = parse(as_csv(*rows))

    assert dumped == parse(rows)
    assert len(dumped.events) == 2


def test_a_dump_of_postgres_has_its_own_times_and_nulls():
    dumped = row(startTime="2026-11-20 12:00:00.5", endTime="2026-11-20 12:00:02+00", team_id="\\N", session_id="")

    (made,) = parse(as_csv(dumped)).events

    assert (made.occurred_at.second, made.latency_ms, made.team, made.call_group) == (2, 1500, "", "")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"request_id": " "}, "request_id: empty"),
        ({"request_id": None}, "request_id: expected text"),
        ({"startTime": "yesterday"}, "startTime: not a time"),
        ({"endTime": "2026-11-23T12:00:00Z"}, "endTime: more than a day ahead"),
        ({"prompt_tokens": -1}, "prompt_tokens: expected a whole number"),
        ({"prompt_tokens": "1,200"}, "prompt_tokens: not a whole number"),
        ({"model": "", "model_group": ""}, "model: required and missing"),
        ({"status": "perhaps"}, "status: neither success nor failure"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_the_field(given, reason):
    assert refusal(**given).startswith(reason)


def test_sums_per_day_which_the_api_answers_for_a_range_of_days_are_no_rows():
    parsed = parse([{"startTime": "2026-11-20", "spend": 4.2, "models": {"gpt-5.5": 4.2}, "users": {}}])

    assert parsed.events == []
    assert parsed.rejected[0].error == "request_id: required and missing"


def test_another_table_is_no_dump_of_spend_logs():
    with pytest.raises(UnreadableBody, match="LiteLLM_SpendLogs"):
        parse(b"id,model\n1,x\n")


def test_a_long_id_becomes_a_hash_and_prompts_are_in_no_event():
    made = event(request_id="x" * 300, messages="secret words", response={"a": "secret words"})

    assert len(made.event_id) == 64
    assert "secret" not in repr(made)
    assert "203.0.113.9" not in repr(made)
