"""Native events: each field's rule, and how a body's items stand for themselves."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from usage.events import UnreadableBody
from usage.formats import FORMATS, FormatSettings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=50)
FULL = {
    "id": "e-1",
    "time": "2026-11-20T12:00:00Z",
    "use_case": "support-routing",
    "team": "support",
    "provider": "openai",
    "model": "gpt-5.5-2026-04-23",
    "requested_model": "auto",
    "input_tokens": 1200,
    "cache_read_input_tokens": 1024,
    "cache_write_5m_input_tokens": 16,
    "cache_write_1h_input_tokens": 8,
    "output_tokens": 85,
    "reasoning_tokens": 64,
    "service_tier": "standard",
    "reported_cost_usd": "0.0002396",
    "latency_ms": 910,
    "status": "ok",
    "call_group": "c-7",
    "rules_version": 42,
    "state_revision": 881,
    "rule_id": "code-high",
    "fallback_index": 0,
    "route_reason": "rule",
    "session": "s-91",
    "user": "u-42",
    "context": {"task": "code", "complexity": "0.4", "user_tier": "paid"},
    "tags": {"env": "prod"},
}


def native(**overrides):
    event = {
        "id": "e-1",
        "time": "2026-11-20T12:00:00Z",
        "model": "gpt-5.5",
        "input_tokens": 1200,
        "output_tokens": 85,
    }
    return {key: value for key, value in (event | overrides).items() if value is not ...}


def parse(body, settings=SETTINGS):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return FORMATS["native"](body, content_type="text/plain", received_at=NOON, settings=settings)


def one(**overrides):
    parsed = parse(native(**overrides))
    assert parsed.rejected == []
    (event,) = parsed.events
    return event


def refusal(**overrides):
    parsed = parse([native(**overrides), native(id="good")])
    assert [event.event_id for event in parsed.events] == ["good"]
    (rejected,) = parsed.rejected
    assert rejected.index == 0
    return rejected.error


def test_an_event_as_large_as_it_gets_is_read_field_by_field():
    (event,) = parse(FULL).events

    assert msgspec.structs.asdict(event) == {
        "event_id": "e-1",
        "occurred_at": NOON,
        "use_case": "support-routing",
        "team": "support",
        "provider": "openai",
        "model": "gpt-5.5-2026-04-23",
        "requested_model": "auto",
        "status": "ok",
        "counted": True,
        "uncached_input_tokens": 152,
        "cache_read_tokens": 1024,
        "cache_write_5m_tokens": 16,
        "cache_write_1h_tokens": 8,
        "output_tokens": 85,
        "audio_input_tokens": 0,
        "audio_output_tokens": 0,
        "image_input_tokens": 0,
        "image_output_tokens": 0,
        "web_searches": 0,
        "reasoning_tokens": 64,
        "service_tier": "",
        "reported_cost_usd": Decimal("0.0002396"),
        "latency_ms": 910,
        "call_group": "c-7",
        "rules_version": 42,
        "state_revision": 881,
        "rule": "code-high",
        "route_reason": "rule",
        "fallback_index": 0,
        "session": "s-91",
        "user": "u-42",
        "context": {"task": "code", "complexity": "0.4", "user_tier": "paid"},
        "tags": {"env": "prod"},
        "flags": [],
        "replaces": "",
        "voids": "",
        "span": None,
    }


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([FULL, native(id="e-2")]),
        json.dumps(FULL) + "\n" + json.dumps(native(id="e-2")),
        json.dumps(FULL) + "\r\n\r\n" + json.dumps(native(id="e-2")) + "\r\n",
        "\ufeff \n" + json.dumps([FULL, native(id="e-2")], indent=1) + " \n",
    ],
)
def test_an_array_and_ndjson_are_told_apart_by_looking(body):
    parsed = parse(body.encode())

    assert [event.event_id for event in parsed.events] == ["e-1", "e-2"]
    assert parsed.rejected == []


def test_one_object_may_span_lines():
    assert len(parse(json.dumps(FULL, indent=2).encode()).events) == 1


def test_an_unknown_field_is_ignored_and_null_says_not_given():
    assert one(colour="blue", nested={"a": [1, 2]}, team=None, tags=None, usage=None) == one()


@pytest.mark.parametrize("field", ["id", "time", "model"])
def test_a_required_field_that_is_missing_or_misspelt_is_named(field):
    assert refusal(**{field: ..., field + "s": "x"}) == f"{field}: required and missing"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"id": ""}, "id: "),
        ({"id": "  "}, "id: "),
        ({"id": 7}, "id: expected text, got a whole number"),
        ({"id": "x" * 201}, "id: "),
        ({"id": "a\0b"}, "id: holds control characters"),
        ({"time": "2026-11-20T12:00:00"}, "time: "),
        ({"time": "yesterday"}, "time: "),
        ({"time": 1795216923}, "time: expected a time, got a whole number"),
        ({"time": "0001-01-01T00:00:00+01:00"}, "time: outside the calendar"),
        ({"time": "2026-11-21T12:00:01Z"}, "time: more than a day ahead"),
        ({"model": ""}, "model: "),
        ({"model": "gpt 5"}, "model: "),
        ({"model": "gpt-5\n"}, None),
        ({"model": "m" * 129}, "model: "),
        ({"provider": "open ai"}, "provider: "),
        ({"requested_model": "mödel"}, "requested_model: "),
        ({"input_tokens": -1}, "input_tokens: "),
        ({"input_tokens": 10**10 + 1}, "input_tokens: "),
        ({"input_tokens": 10**40}, "input_tokens: "),
        ({"input_tokens": True}, "input_tokens: "),
        ({"input_tokens": 1.5}, "input_tokens: "),
        ({"input_tokens": "12"}, "input_tokens: expected a whole number, got text"),
        ({"output_tokens": []}, "output_tokens: "),
        ({"reported_cost_usd": "-0.01"}, "reported_cost_usd: negative"),
        ({"reported_cost_usd": "NaN"}, "reported_cost_usd: "),
        ({"reported_cost_usd": "-Infinity"}, "reported_cost_usd: "),
        ({"reported_cost_usd": "1e12"}, "reported_cost_usd: "),
        ({"reported_cost_usd": "1e999999999999999999999"}, "reported_cost_usd: "),
        ({"reported_cost_usd": "a lot"}, "reported_cost_usd: "),
        ({"status": "fine"}, "status: "),
        ({"latency_ms": -1}, "latency_ms: "),
        ({"latency_ms": 1e300}, "latency_ms: "),
        ({"rules_version": -1}, "rules_version: "),
        ({"fallback_index": 1001}, "fallback_index: "),
        ({"use_case": "x" * 129}, "use_case: "),
        ({"use_case": "a\x07b"}, "use_case: holds control characters"),
        ({"session": "x" * 201}, "session: "),
        ({"user": 42}, "user: expected text, got a whole number"),
        ({"tags": {"k" * 65: ""}}, "tags, a key: expected text of length <= 64"),
        ({"tags": {"k": "v" * 257}}, "tags, a value: expected text of length <= 256"),
        ({"tags": {"k": "v\0"}}, "tags, a value: holds control characters"),
        ({"tags": {"k\0": "v"}}, "tags, a key: holds control characters"),
        ({"tags": {" ": "v"}}, "tags"),
        ({"tags": {str(i): "" for i in range(33)}}, "tags: more than 32 keys"),
        ({"tags": ["a:b"]}, "tags: expected an object, got an array"),
        ({"context": {"complexity": 0.4}}, "context"),
        ({"context": {"c": "v" * 257}}, "context"),
        ({"usage": {"input_tokens": 1}}, "usage: give either"),
        ({"usage": {"tokens_in": 5}, "input_tokens": ..., "output_tokens": ...}, "usage: not the usage"),
    ],
)
def test_a_wrong_value_refuses_its_event_alone_and_names_the_field(overrides, reason):
    if reason is None:  # margins are trimmed, not refused
        assert one(**overrides).model == "gpt-5"
        return

    assert refusal(**overrides).startswith(reason)


def test_a_refusal_never_quotes_what_was_sent():
    secret = "PROMPT-" + "x" * 500

    reasons = [
        refusal(**overrides)
        for overrides in (
            {"id": secret},
            {"time": secret},
            {"model": secret + " "},
            {"status": secret},
            {"reported_cost_usd": secret},
            {"tags": {secret: "v"}},
            {"tags": {"k": 5, secret: 6}},
            {"input_tokens": secret},
            {secret: "x", "model": ...},
            {"usage": {secret: 1}, "input_tokens": ..., "output_tokens": ...},
        )
    ]

    assert all("PROMPT" not in reason and len(reason) <= 160 for reason in reasons)


def test_one_bad_event_in_the_middle_holds_up_nobody():
    events = [native(id=f"e-{i}") for i in range(10)]
    events[3]["input_tokens"] = "many"
    events[7] = "not an object"

    parsed = parse(events)

    assert [event.event_id for event in parsed.events] == [f"e-{i}" for i in range(10) if i not in (3, 7)]
    assert [(r.index, r.error) for r in parsed.rejected] == [
        (3, "input_tokens: expected a whole number, got text"),
        (7, "the item: expected an object, got text"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b'{"id": "e-2", "time": "2026',
        b"nonsense",
        b'{"id": "e-2", "x": NaN, "time": "2026-11-20T12:00:00Z", "model": "m"}',
        b'{"id": "\\ud800", "time": "2026-11-20T12:00:00Z", "model": "m"}',
        b'{"id": "\xff", "time": "2026-11-20T12:00:00Z", "model": "m"}',
        b'{"id": "e-2", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_broken_item_is_rejected_and_the_others_are_kept(broken):
    good = [json.dumps(native(id=f"e-{i}")).encode() for i in (1, 3)]

    lines = parse(b"\n".join([good[0], broken, good[1]]))

    assert [event.event_id for event in lines.events] == ["e-1", "e-3"]
    assert [rejected.index for rejected in lines.rejected] == [1]
    if broken.endswith(b"}"):
        assert parse(b"[" + b",".join([good[0], broken, good[1]]) + b"]") == lines


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n\t ",
        b"[]",
        b"[ ]",
        b"{",
        b"null",
        b"12",
        b'"text"',
        b"hello",
        b"[abc]",
        b"<html></html>",
        b"\xff\xfe{\x00}\x00",
        b"\x1f\x8b\x08",
        json.dumps([native()]).encode()[:-1],
        json.dumps([native()]).encode()[:-20],
        json.dumps(native()).encode()[:-1],
        json.dumps(native(id=5)).encode()[:-20],
        json.dumps([native()]).encode() + b"]",
        b"[" * 1_000_000,
        b"[" * 10_000_010,
        b'{"a":' * 100_000,
        json.dumps([native(id=f"e-{i}") for i in range(51)]).encode(),
        b"\n".join(json.dumps(native(id=f"e-{i}")).encode() for i in range(51)),
        b"[" + b"{}," * 1_000_000 + b"{}]",
        json.dumps([native(id=f"e-{i}") for i in range(51)]).replace('"time"', '"\\u0074ime"').encode(),
    ],
)
def test_a_body_that_cannot_be_read_as_a_whole_is_unreadable(body):
    with pytest.raises(UnreadableBody):
        parse(body)


def test_as_many_events_as_allowed_are_taken():
    assert len(parse([native(id=f"e-{i}") for i in range(50)]).events) == 50


def test_a_key_that_looks_like_the_marker_does_not_make_a_body_too_long():
    events = [native(tags={"time": "a"}, context={"time": "b"}, id=f"e-{i}") for i in range(30)]

    assert len(parse(events).events) == 30


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b'"0.0002396"', "0.0002396"),
        (b"0.1", "0.1"),
        (b"4.2499999999999996e-05", "0.0000425"),
        (b"0.30000000000000004", "0.30000000000000004"),
        (b"999999999999.999999999999999999", "999999999999.999999999999999999"),
        (b"0.0000000000000000005", "0"),
        (b"0.0000000000000000015", "2E-18"),
        (b"0.0000000000000000025", "2E-18"),
        (b"1e-999999999", "0"),
        (b'"100.00"', "100"),
        (b"1e2", "100"),
        (b"0", "0"),
        (b"-0.0", "0"),
    ],
)
def test_money_is_read_from_its_digits_and_rounded_to_the_ledgers_eighteenth_half_to_even(text, kept):
    body = json.dumps(native(reported_cost_usd="COST")).encode().replace(b'"COST"', text)

    (event,) = parse(body).events

    assert str(event.reported_cost_usd) == str(Decimal(kept))


def test_times_become_utc_and_a_day_ahead_is_still_believed():
    assert one(time="2026-11-20T13:30:00.250+01:30").occurred_at == NOON.replace(microsecond=250_000)
    assert one(time="2026-11-20T13:30:00.250+01:30").occurred_at.tzinfo is UTC
    assert one(time="2026-11-21T12:00:00Z").occurred_at == NOON.replace(day=21)
    assert one(time="1999-01-01T00:00:00Z").occurred_at.year == 1999


def test_audio_and_images_are_taken_out_of_both_wholes():
    event = one(
        input_tokens=100,
        audio_input_tokens=30,
        image_input_tokens=20,
        output_tokens=50,
        audio_output_tokens=10,
        image_output_tokens=5,
        web_searches=2,
    )

    assert (event.uncached_input_tokens, event.audio_input_tokens, event.image_input_tokens) == (50, 30, 20)
    assert (event.output_tokens, event.audio_output_tokens, event.image_output_tokens) == (35, 10, 5)
    assert (event.web_searches, event.flags) == (2, [])


@pytest.mark.parametrize(
    ("overrides", "meters"),
    [
        ({"input_tokens": 120, "cache_read_input_tokens": 4096}, (0, 4096, 85)),
        ({"input_tokens": ..., "cache_read_input_tokens": 5}, (0, 5, 85)),
        ({"output_tokens": 10, "audio_output_tokens": 11}, (1200, 0, 0)),
        ({"output_tokens": 10, "reasoning_tokens": 11}, (1200, 0, 10)),
    ],
)
def test_parts_that_exceed_their_whole_are_kept_and_flagged_and_nothing_is_made_up(overrides, meters):
    event = one(**overrides)

    assert (event.uncached_input_tokens, event.cache_read_tokens, event.output_tokens) == meters
    assert event.flags == ["meters-do-not-add-up"]
    assert event.counted


@pytest.mark.parametrize(
    ("given", "status", "counted"),
    [
        ({}, "usage_missing", False),
        ({"status": "ok"}, "usage_missing", False),
        ({"status": "usage_missing"}, "usage_missing", False),
        ({"status": "error"}, "error", True),
        ({"status": "blocked"}, "blocked", True),
        ({"status": "cache_hit"}, "cache_hit", True),
        ({"usage": {}}, "usage_missing", False),
        ({"usage": {"inputTokens": None}}, "usage_missing", False),
        ({"input_tokens": 0, "output_tokens": 0}, "ok", True),
        ({"input_tokens": 5}, "ok", True),
        ({"output_tokens": 5}, "ok", True),
        ({"input_tokens": 0, "status": "usage_missing"}, "usage_missing", False),
        ({"input_tokens": 5, "status": "usage_missing"}, "usage_missing", True),
    ],
)
def test_no_token_counts_at_all_is_missing_usage_unless_nothing_was_used(given, status, counted):
    event = one(**{"input_tokens": ..., "output_tokens": ...} | given)

    assert (event.status, event.counted) == (status, counted)


def test_a_cache_hit_keeps_its_tokens():
    event = one(status="cache_hit")

    assert (event.uncached_input_tokens, event.output_tokens, event.counted) == (1200, 85, True)


def test_the_text_of_a_request_is_not_kept_with_the_rest_of_its_context():
    event = one(context={"task": "code", "text": "Why is my parcel late?"})

    assert event.context == {"task": "code"}


def test_a_users_address_becomes_a_stable_keyed_hash_wherever_it_stands():
    event = one(
        user=" Ann@Example.com ",
        session="ann@example.com",
        tags={"owner": "ann@example.com", "Ann <ann@example.com>": "x"},
        context={"who": "ann@example.com"},
    )

    assert event.user == "h:8e5a263e9ce70db95fe8a5bd15685fe6" == event.session == event.tags["owner"]
    assert "example" not in msgspec.json.encode(event).decode().lower()
    other = parse(native(user="ann@example.com"), FormatSettings(user_key=b"other")).events[0]
    assert other.user.startswith("h:")
    assert other.user != event.user
    assert one(user="ann@localhost", model="claude-opus-4.7@anthropic").user == "ann@localhost"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-4f9ab8c7d6e5f4a3",
        "tk_4f9ab8c7d6e5f4a3b2c1d0",
        "gsk_4f9ab8c7d6e5f4a3b2c1d0",
        "AIzaSyD4f9ab8c7d6e5f4a3b2c1d04f9ab8c7d6",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
        "Bearer sk-ant-api03-4f9ab8c7d6e5f4a3",
    ],
)
def test_a_key_that_strayed_into_a_label_becomes_a_hash_and_is_no_name(secret):
    event = one(session=secret, tags={"a": secret, "b": "risk-assessment-2026"}, use_case=f"desk {secret}")

    assert secret not in msgspec.json.encode(event).decode()
    assert (event.session[:2], event.tags["a"], event.tags["b"]) == ("h:", event.session, "risk-assessment-2026")
    assert " " in secret or refusal(model=secret[:128]).startswith("model: not a name")


def test_labels_are_trimmed():
    event = one(use_case=" Support Routing\t", tags={" env ": " prod "})

    assert (event.use_case, event.tags) == ("Support Routing", {"env": "prod"})


@pytest.mark.parametrize(
    ("given", "kept"), [("standard", ""), ("Default", ""), ("auto", ""), ("Flex", "flex"), (None, "")]
)
def test_the_standard_service_tier_is_the_empty_text(given, kept):
    assert one(service_tier=given).service_tier == kept


def test_of_a_duplicate_key_the_last_value_holds_as_everywhere_in_json():
    body = json.dumps(native()).replace('"input_tokens": 1200', '"input_tokens": 1, "input_tokens": 7').encode()

    assert parse(body).events[0].uncached_input_tokens == 7


# --- events that take the place of others ---


def test_an_event_names_the_one_that_it_replaces():
    assert one(id="e-2", replaces=" e-1 ").replaces == "e-1"
    assert one(id="e-2", replaces=None, voids=None) == one(id="e-2")


def test_an_event_that_voids_another_needs_no_more_than_an_id_and_a_time_and_keeps_no_more():
    bare = {"id": "e-2", "time": "2026-11-20T12:00:00Z", "voids": "e-1"}

    (event,) = parse(bare).events
    (whole,) = parse(native(id="e-2", voids="e-1", use_case="support", tags={"a": "b"})).events

    assert event == whole
    assert (event.event_id, event.occurred_at, event.voids, event.model) == ("e-2", NOON, "e-1", "")
    assert (event.uncached_input_tokens, event.output_tokens, event.use_case) == (0, 0, "")


@pytest.mark.parametrize("field", ["replaces", "voids"])
@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("", "not 1 to 200 characters"),
        ("  ", "not 1 to 200 characters"),
        ("x" * 201, "not 1 to 200 characters"),
        ("a\0b", "holds control characters"),
        (7, "expected text, got a whole number"),
        ("e-1", "names the event itself"),
        (" e-1 ", "names the event itself"),
    ],
)
def test_an_id_that_cannot_be_another_events_refuses_the_event(field, other, reason):
    assert refusal(**{field: other}) == f"{field}: {reason}"


def test_an_event_replaces_or_voids_but_not_both():
    assert refusal(replaces="e-7", voids="e-8") == "voids: give either replaces or voids, not both"
