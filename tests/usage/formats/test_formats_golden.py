"""Captured bodies of gateways against events read by eye, and against somebody else's reading of the same bodies.

The golden files hold each event without the fields that are as if not given. After a change on purpose, write them anew
with `PYTHONPATH=. python tests/usage/formats/test_formats_golden.py`, and read the difference.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from usage.events import Event
from usage.formats import FORMATS, FormatSettings

PAYLOADS = Path(__file__).parents[2] / "payloads"
RECEIVED_AT = datetime(2026, 11, 21, 1, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"golden")
FORMAT_OF = {"litellm": "litellm", "litellm_1.74.9": "litellm", "promptlayer": "promptlayer"}
FOLDERS = ("litellm", "litellm_1.74.9")  # that somebody else read as well
BODIES = sorted(path.relative_to(PAYLOADS) for folder in FORMAT_OF for path in (PAYLOADS / folder).iterdir())


def read(body):
    parsed = FORMATS[FORMAT_OF[body.parent.name]](
        (PAYLOADS / body).read_bytes(),
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


def golden_file(body):
    return PAYLOADS / "golden" / body.parent / f"{body.stem}.json"


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_captured_body_gives_its_golden_events(body):
    assert [as_written(event) for event in read(body)] == json.loads(golden_file(body).read_text())


# Where the independent reading says otherwise than ours, and who is right. Left: theirs as a function of ours, so that
# the comparison stays exact; right: why ours stays.
DISAGREEMENTS = {
    "served_model": (
        "theirs keeps the deployment's prefix (openai/gpt-5-mini), ours has the provider's own name for it. A name with"
        " its provider in front is no offering, and the provider is a field of its own. LiteLLM itself drops the"
        " prefix on a cache hit, so that theirs has two names for one model."
    ),
    "reasoning_tokens": ("theirs says 0 where the gateway gave no figure, ours says nothing: absent is not 0."),
    "reported_cost_usd": (
        "theirs keeps LiteLLM's binary float to its 21st decimal, ours is rounded to the ledger's 18; and where LiteLLM"
        " says 0 for tokens that it has no price for, theirs keeps the 0 and marks it untrusted, ours says unknown."
    ),
    "latency_ms": "theirs has microseconds, ours whole milliseconds, which is what the event has.",
    "rule_id": "theirs is the tag's value, ours is parted into rule and version of the rules.",
    "tags": (
        "theirs is the list, with the use case and the rule still in it; ours has names and values, without what became"
        " fields of the event."
    ),
    "fallback_attempts": "theirs says null where the header is absent (streams, failures), ours 0: the first attempt.",
}


def theirs():
    for folder in FOLDERS:
        for line in (PAYLOADS / "expected" / f"{folder}.jsonl").read_text().splitlines():
            row = json.loads(line)
            yield pytest.param(folder, row, id=f"{row['source']}-{row['timestamp']}")


@pytest.mark.parametrize(("folder", "row"), list(theirs()))
def test_an_independent_reading_says_the_same_but_for_what_is_explained(folder, row):
    (event,) = [
        event
        for event in read(Path(folder, row["source"]))
        if event.call_group == row["call_group"] and abs(event.occurred_at.timestamp() - row["timestamp"]) < 1e-6
    ]
    prompt = event.uncached_input_tokens + event.cache_read_tokens + event.cache_write_5m_tokens
    agreed = {
        "use_case": event.use_case or None,
        "requested_model": event.requested_model,
        "provider": event.provider or None,
        "input_tokens": prompt + event.cache_write_1h_tokens,
        "cache_read_input_tokens": event.cache_read_tokens,
        "cache_write_input_tokens": event.cache_write_5m_tokens + event.cache_write_1h_tokens,
        "output_tokens": event.output_tokens,
        "status": event.status,
        "user": event.user or None,
        "team": event.team or None,
    }
    assert agreed == {field: row[field] for field in agreed}

    prefix = f"{row['provider']}/"
    cost = Decimal(row["reported_cost_usd"]) if row["reported_cost_trusted"] else None
    tags = (tag.partition(":") for tag in row["tags"] if not tag.startswith(("use_case:", "tollkeeper_rule:")))
    rule = f"{event.rule}@v{event.rules_version}" if event.rule else None
    settled = {
        "served_model": event.model == row["served_model"].removeprefix(prefix),
        "reasoning_tokens": (event.reasoning_tokens or 0) == row["reasoning_tokens"],
        "reported_cost_usd": event.reported_cost_usd == (cost if cost is None else round(cost, 18)),
        "latency_ms": event.latency_ms == round(row["latency_ms"]),
        "rule_id": rule == row["rule_id"],
        "tags": event.tags == {name: value for name, _, value in tags},
        "fallback_attempts": event.fallback_index == (row["fallback_attempts"] or 0),
    }
    assert settled == dict.fromkeys(DISAGREEMENTS, True)


def test_each_of_the_independent_readings_events_is_an_event_of_ours_and_none_is_left_over():
    ours = [(path.name, event.event_id) for path in BODIES if path.parent.name in FOLDERS for event in read(path)]

    assert len(ours) == len(list(theirs())) == len(set(ours))


def test_the_same_events_in_other_bodies_are_the_same_events():
    batch = {event.event_id for event in read(Path("litellm/30_batch_ndjson.ndjson"))}

    for single in ("32_single_cache_hit.json", "32_single_cache_miss.json"):
        (event,) = read(Path("litellm", single))
        assert event.event_id in batch


def test_a_failed_attempt_and_its_fallback_are_two_events_of_one_call():
    failed, served = read(Path("litellm/14_failure_429_then_fallback.json"))

    assert (failed.status, served.status) == ("error", "ok")
    assert failed.call_group == served.call_group
    assert failed.event_id != served.event_id
    assert (failed.fallback_index, served.fallback_index) == (0, 1)


if __name__ == "__main__":
    for name in BODIES:
        golden_file(name).parent.mkdir(parents=True, exist_ok=True)
        written = json.dumps([as_written(event) for event in read(name)], indent=1)
        golden_file(name).write_text(written + "\n")
