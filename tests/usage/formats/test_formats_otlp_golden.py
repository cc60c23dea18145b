"""Captured trace requests against events read by eye, and against somebody else's reading of the same bodies.

The bodies below `otel_written` are no captures: they were written after what their senders document.

The golden files hold each event without the fields that are as if not given. After a change on purpose, write them anew
with `PYTHONPATH=. python tests/usage/formats/test_formats_otlp_golden.py`, and read the difference.
"""

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from usage.events import Event, UnreadableBody
from usage.formats import FORMATS, FormatSettings
from usage.formats.body import decompress

PAYLOADS = Path(__file__).parents[2] / "payloads"
RECEIVED_AT = datetime(2026, 11, 21, 1, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"golden")
CAPTURED = sorted((PAYLOADS / "otel").iterdir())
METRICS = [path for path in CAPTURED if "metrics" in path.name]
TRACES = [path for path in CAPTURED if path not in METRICS]
WRITTEN = sorted((PAYLOADS / "otel_written").iterdir())


def read(path):
    parsed = FORMATS["otlp"](
        decompress(path.read_bytes(), "", 10**7),
        content_type="application/json",
        received_at=RECEIVED_AT,
        settings=SETTINGS,
    )
    assert parsed.rejected == []
    return parsed.events


def as_written(event):
    blank = msgspec.to_builtins(msgspec.structs.asdict(Event(event_id="", occurred_at=RECEIVED_AT)))
    given = msgspec.to_builtins(msgspec.structs.asdict(event))
    return {field: value for field, value in given.items() if value != blank[field]}


def golden_file(path):
    return PAYLOADS / "golden" / path.parent.name / f"{path.name}.json"


@pytest.mark.parametrize("path", TRACES + WRITTEN, ids=lambda path: path.name)
def test_a_body_gives_its_golden_events(path):
    assert [as_written(event) for event in read(path)] == json.loads(golden_file(path).read_text())


# Where the independent reading says otherwise than ours, and why ours stays.
DISAGREEMENTS = {
    "served_model": (
        "theirs keeps LiteLLM's prefix (openai/gpt-5-mini), ours has the provider's own name for it, as from LiteLLM's"
        " callback; and says nothing of Vercel's embeddings, which tell no model that answered: ours takes the one"
        " that was asked for, as it has to be priced."
    ),
    "provider": (
        "theirs says nothing where LiteLLM leaves it empty (embeddings, Responses); ours takes the prefix of LiteLLM's"
        " own name of the model, without which the call could not be priced."
    ),
    "tokens": (
        "theirs says null for errors and missing output, ours 0, as a meter has a number; whether tokens were told at"
        " all is the status. And theirs takes cache and reasoning of LiteLLM's first instrumentation as 0, which has no"
        " attributes for them: ours reads them in the copy of the usage object that it sends along. The cost that"
        " LiteLLM reports fits ours alone."
    ),
    "reasoning_tokens": "theirs says 0 where no figure was given, ours says nothing: absent is not 0.",
    "reported_cost_usd": (
        "theirs keeps a binary float to its 21st decimal, ours is rounded to the ledger's 18; and theirs misses what"
        " LiteLLM's first instrumentation has in its hidden parameters alone: OpenRouter's price, and 0 for errors."
    ),
    "latency_ms": "theirs has nanoseconds, ours whole milliseconds, which is what the event has.",
    "call_group": (
        "theirs is the trace, ours LiteLLM's call id where there is one: its first instrumentation gives an attempt and"
        " its fallback two traces, and a trace of a client may hold many calls. It is also what its callback tells."
    ),
    "which_span": (
        "of the two spans of one failed call to Anthropic in OpenLLMetry's body theirs counts OpenLLMetry's, ours the"
        " SDK's, as theirs does where the call is answered: the same event, 4 ms earlier."
    ),
}


def theirs():
    for path in TRACES:
        rows = PAYLOADS / "expected" / f"otel_{path.name.replace('.', '_')}.jsonl"
        if rows.exists():
            for line in rows.read_text().splitlines():
                row = json.loads(line)
                yield pytest.param(path, row, id=f"{path.name}-{row['timestamp']}")


@pytest.mark.parametrize(("path", "row"), list(theirs()))
def test_an_independent_reading_says_the_same_but_for_what_is_explained(path, row):
    other_span = (path.name, row["requested_model"]) == ("openllmetry_traces.pb.bin", "claude-fail")
    (event,) = [
        event
        for event in read(path)
        if event.span.trace == row["call_group"] or path.name.startswith("v")
        if abs(event.occurred_at.timestamp() - row["timestamp"]) < (0.005 if other_span else 2e-6)
    ]
    agreed = {
        "use_case": event.use_case or None,
        "requested_model": event.requested_model,
        "status": event.status,
        "user": event.user or None,
        "team": event.team or None,
        "rule_id": event.rule or None,
        "tags": list(event.tags),
    }
    assert agreed == {field: row[field] for field in agreed}

    first_litellm = path.name.startswith("v1_")
    litellm = path.name.startswith("v")
    written = event.cache_write_5m_tokens + event.cache_write_1h_tokens
    ours = (event.uncached_input_tokens + event.cache_read_tokens + written, event.output_tokens)
    parts = (event.cache_read_tokens, written)
    cost = Decimal(row["reported_cost_usd"] or 0)
    settled = {
        "served_model": event.model
        == ((row["served_model"] or row["requested_model"]).removeprefix(f"{event.provider}/" if litellm else "")),
        "provider": event.provider == (row["provider"] or row["served_model"].partition("/")[0]),
        "tokens": ours == (row["input_tokens"] or 0, row["output_tokens"] or 0)
        and (first_litellm or parts == (row["cache_read_input_tokens"], row["cache_write_input_tokens"])),
        "reasoning_tokens": first_litellm or (event.reasoning_tokens or 0) == row["reasoning_tokens"],
        "reported_cost_usd": (event.reported_cost_usd or 0) == round(cost, 18)
        or (first_litellm and row["reported_cost_usd"] is None),
        "latency_ms": other_span or event.latency_ms == round(row["latency_ms"]),
        "call_group": litellm or event.call_group == row["call_group"],
        "which_span": event.span.scope == "com.anthropic.sdk.python" if other_span else True,
    }
    assert settled == dict.fromkeys(DISAGREEMENTS, True)


def test_each_of_the_independent_readings_events_is_an_event_of_ours_and_none_is_left_over():
    read_by_both = {param.values[0] for param in theirs()}
    ours = [event.event_id for path in read_by_both for event in read(path)]

    assert {path.name for path in TRACES} - {path.name for path in read_by_both} == {"promptlayer_traces.pb.bin"}
    assert len(ours) == len(list(theirs())) == len(set(ours)) == 113


CLIENTS = [path for path in TRACES if path.name.startswith(("genai", "openllmetry"))]


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.name)
def test_the_same_calls_told_by_different_instrumentations_give_the_same_figures(path):
    events = read(path)

    assert Counter(event.status for event in events) == {"ok": 9, "error": 3, "usage_missing": 1}
    assert {
        "input": sum(event.tokens() - event.output_tokens for event in events),
        "cache read": sum(event.cache_read_tokens for event in events),
        "cache write": sum(event.cache_write_5m_tokens + event.cache_write_1h_tokens for event in events),
        "output": sum(event.output_tokens for event in events),
        "reasoning": sum(event.reasoning_tokens or 0 for event in events),
    } == {"input": 19_746, "cache read": 11_264, "cache write": 4_096, "output": 664, "reasoning": 192}
    assert not any(event.flags for event in events)


def test_the_same_calls_told_by_both_of_litellms_instrumentations_give_the_same_figures():
    first, second = (
        Counter(
            (event.model, event.provider, event.requested_model, event.status, event.uncached_input_tokens,
             event.cache_read_tokens, event.cache_write_5m_tokens, event.output_tokens, event.reported_cost_usd)
            for event in read(PAYLOADS / "otel" / name)
        )
        for name in ("v1_otel133_traces.pb.bin", "v2_otel133_traces.pb.bin")
    )  # fmt: skip

    assert first - second == Counter()
    assert [call[2] for call in (second - first).elements()] == [
        "up-anthropic"
    ]  # /v1/messages is not told by the first


def test_a_failed_attempt_and_its_fallback_are_two_events_of_one_call():
    for name in ("v1_otel133_traces.pb.bin", "v2_otel133_traces.json"):
        events = read(PAYLOADS / "otel" / name)
        (failed,) = [event for event in events if event.requested_model == "up-429"]
        (served,) = [event for event in events if event.call_group == failed.call_group and event is not failed]

        assert (failed.status, served.status, served.requested_model) == ("error", "ok", "cheap")


@pytest.mark.parametrize("path", METRICS, ids=lambda path: path.name)
def test_metrics_are_no_traces(path):
    with pytest.raises(UnreadableBody):
        read(path)


if __name__ == "__main__":
    for name in TRACES + WRITTEN:
        golden_file(name).parent.mkdir(parents=True, exist_ok=True)
        golden_file(name).write_text(json.dumps([as_written(event) for event in read(name)], indent=1) + "\n")
