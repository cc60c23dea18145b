"""Anything at all: a format answers with what it read, or with UnreadableBody, and with nothing else.

Whatever it accepts can be kept in a receipt, read again from there, and booked. Small sizes unless TOLLKEEPER_SOAK is
set.
"""

import contextlib
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.drawing import FULL, drawn
from tests.usage.checks import assert_rollups_equal_ledger
from tests.usage.making import book, take
from usage.events import STATUSES, UnreadableBody
from usage.formats import FILE_FORMATS, FORMATS, FormatSettings
from usage.formats.body import BodyTooLarge, decompress
from usage.formats.labels import is_name
from usage.models import Receipt
from usage.services import intake

pytestmark = pytest.mark.soak
attacked = drawn()

PAYLOADS = Path(__file__).parents[2] / "payloads"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=100)


def captured(path):
    return json.loads((PAYLOADS / path).read_text())


def lean(record):
    """Return a record of LiteLLM's without the prices, which nobody reads."""
    return {field: value for field, value in record.items() if field != "model_map_information"}


NATIVE = {
    "id": "e-1", "time": "2026-11-20T12:00:00Z", "use_case": "support", "provider": "openai", "model": "gpt-5.5",
    "input_tokens": 1200, "cache_read_input_tokens": 1024, "output_tokens": 85, "reported_cost_usd": 0.1,
    "latency_ms": 9, "status": "ok", "user": "ann@example.com", "context": {"task": "code"}, "tags": {"a": "b"},
    "replaces": "e-0",
}  # fmt: skip
USAGE = {
    "id": "e-2", "time": "2026-11-20T12:00:00Z", "model": "m",
    "usage": {
        "prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}, "cost": 0.1,
        "total_tokens": 15, "inputTokens": {"total": 4}, "input_token_details": {"cache_read": 1},
        "cache_creation": {}, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}], "input": 1,
    },
}  # fmt: skip
GEMINI = {
    "promptTokenCount": 9,
    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
    "thoughtsTokenCount": 1,
}
VOID = {"id": "e-3", "time": "2026-11-20T12:00:00Z", "voids": "e-1"}
CLOUDEVENT = {
    "specversion": "1.0", "id": "1", "source": "/a", "time": "2026-11-20T12:00:00Z", "type": "call",
    "data": {"model": "m", "input_tokens": 5, "replaces": "0"}, "subject": "s",
}  # fmt: skip
LITELLM = [*map(lean, captured("litellm/14_failure_429_then_fallback.json")),
           *map(lean, captured("litellm/08_chat_upstream_anthropic_cache.json"))]  # fmt: skip
SPEND = {
    "request_id": "r-1", "startTime": "2026-11-20T12:00:00Z", "endTime": "2026-11-20T12:00:01Z", "model": "gpt-5.5",
    "prompt_tokens": 12, "completion_tokens": 3, "spend": 0.1, "user": "u", "request_tags": '["a:b"]',
    "metadata": {"usage_object": {"prompt_tokens": 12, "cache_creation_input_tokens": 1}, "status": "success"},
}  # fmt: skip
CLOUDFLARE = {
    "id": "c-1", "created_at": "2026-11-20T12:00:00Z", "provider": "openai", "model": "gpt-5.5", "success": True,
    "cached": False, "tokens_in": 12, "tokens_out": 3, "cost": 0.1, "duration": 5, "metadata": '{"use_case": "a"}',
}  # fmt: skip
COLUMNS = {
    "time": "t", "model": "m", "input_tokens": "i", "output_tokens": "o", "reported_cost_usd": "c", "user": "u",
}  # fmt: skip

# Records whose format takes them in an array and one a line; and bodies of those that do not.
RECORDS = {
    "native": [NATIVE, USAGE, USAGE | {"usage": GEMINI}, VOID, CLOUDEVENT],
    "litellm": LITELLM,
    "promptlayer": [captured("promptlayer/0001_log-request.json")],
    "file spend-logs": [SPEND],
    "file cloudflare-logs": [CLOUDFLARE],
    "file native": [NATIVE],
    "file litellm": LITELLM[:1],
}
TRACES = [captured("otel/ai_v7_traces.json"), captured("otel/v2_otel133_traces.json")]
DOCUMENTS = {**RECORDS, "otlp": TRACES}
OF_SPANS = ("otlp", "file otlp")  # most of which are no calls, and passed over
READS = FORMATS | {
    f"file {name}": file.reads({"columns": COLUMNS, "zone": "UTC"} if name == "csv" else {})
    for name, file in FILE_FORMATS.items()
}


def written(records):
    """Return records as bodies: an array, lines, and the first alone over several lines."""
    lines = [json.dumps(record).encode() for record in records]
    return [b"[" + b",".join(lines) + b"]", b"\n".join(lines), json.dumps(records[0], indent=1).encode()]


BODIES = {name: written(records) for name, records in RECORDS.items()} | {
    "otlp": [
        json.dumps(TRACES[0]).encode(),
        (PAYLOADS / "otel" / "openllmetry_traces.pb.bin").read_bytes(),
        (PAYLOADS / "otel" / "v2_otel133_traces.pb.bin").read_bytes(),
    ],
    "file csv": [b't,m,i,o,c,u\n2026-11-20T12:00:00Z,gpt,12,3,0.1,ann\n"2026-11-20T12:00:01Z","g",1,,,"a ""b"""\n'],
}
BODIES["file otlp"] = BODIES["otlp"]
BODIES["file spend-logs"].append(b"request_id,startTime,model,prompt_tokens\nr-1,2026-11-20T12:00:00Z,gpt,12\n")

DEEP = b"[" * 20_000 + b"]" * 20_000
ODD = [
    b"", b"null", b"true", b"-1", b"1e400", b"-1e400", b"9" * 5000, b"0." + b"1" * 5000, b"NaN", b"Infinity", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"\xff", b"[]", b"{}", b"[{}]", b'{"":{}}', b'"' + b"x" * 3000 + b'"',
    DEEP, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b"\n", b"\0",
    b'"1E-999999999"', b'"NaN"', b'"sNaN"', b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b"2e308",
    b'"-0"', b"1E+999999999999999999999", b'"ann@example.com"', b"-1e307", b"1e307", b'{"specversion":"1.0"}',
    b'"\xe2\x80\xae\xf0\x9f\x98\x80"', b'"1_000"', b'" "', b'"=1+1"', b"18446744073709551616", b"-9223372036854775809",
]  # fmt: skip

TEXTS = {"use_case": 128, "team": 128, "provider": 128, "model": 128, "requested_model": 128, "service_tier": 128,
         "call_group": 200, "rule": 128, "route_reason": 128, "session": 200, "user": 200, "replaces": 200,
         "voids": 200}  # fmt: skip


def check(name, body, **given):
    """Read a body and hold what comes of it to what every event promises; return the accepted ones."""
    try:
        parsed = READS[name](body, content_type="", received_at=NOON, settings=SETTINGS, **given)
    except UnreadableBody:
        return []
    assert parsed.events or parsed.rejected or name in OF_SPANS
    assert all(0 < len(rejected.error) <= 160 and rejected.index >= 0 for rejected in parsed.rejected)
    for event in parsed.events:
        assert 0 < len(event.event_id) <= 200
        assert event.occurred_at.tzinfo is UTC
        assert event.status in STATUSES
        assert event.counted or event.status == "usage_missing"
        assert is_name(event.model) or event.status in ("error", "blocked") or event.voids
        assert event.event_id not in (event.replaces, event.voids)
        assert not (event.replaces and event.voids)
        assert all(len(getattr(event, field)) <= most for field, most in TEXTS.items())
        for labels in (event.tags, event.context):
            assert len(labels) <= 32
            assert all(0 < len(key) <= 64 and len(value) <= 256 for key, value in labels.items())
        assert all(len(flag) <= 32 for flag in event.flags)
        meters = [value for field, value in msgspec.structs.asdict(event).items() if field.endswith("_tokens")]
        assert all(value is None or (type(value) is int and 0 <= value <= 3 * 10**10) for value in meters)
        assert event.counted or not any(meters)
        assert 0 <= event.fallback_index <= 1000
        assert 0 <= event.rules_version < 2**31
        assert 0 <= event.state_revision < 2**53
        assert event.latency_ms is None or 0 <= event.latency_ms < 2**31
        cost = event.reported_cost_usd
        assert cost is None or (cost.is_finite() and 0 <= cost < 10**12 and cost.as_tuple().exponent >= -18)
    assert intake.unpack(intake.pack(parsed.events)) == parsed.events
    # Without the backslashes that stand for one: those six characters may be written out in a file.
    assert b"\\u0000" not in msgspec.json.encode(parsed).replace(b"\\\\", b"")
    return parsed.events


def test_every_format_is_attacked():
    assert BODIES.keys() == READS.keys(), "a new format has no bodies here"
    for name, bodies in BODIES.items():
        assert all(check(name, body) for body in bodies), name


@pytest.mark.parametrize("name", BODIES)
@given(body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@attacked
def test_any_bytes_are_read_or_unreadable(name, body):
    check(name, body)


@pytest.mark.parametrize("name", BODIES)
def test_odd_bytes_alone_in_an_array_and_on_a_line_are_read_or_unreadable(name):
    good = BODIES[name][-1 if name in (*OF_SPANS, "file csv") else 1].split(b"\n")[0]

    for odd in ODD:
        for body in (odd, b"[" + odd + b"]", b"[" + good + b"," + odd + b"]", good + b"\n" + odd, odd + good):
            check(name, body)


def replaced(rng, body):
    """Return a body in which some stretches, mostly whole values, were replaced."""
    for _ in range(rng.randint(1, 4)):
        starts = [i + 1 for i, byte in enumerate(body) if byte in b":,[{\n"]
        start = rng.choice(starts) if starts and rng.random() < 0.8 else rng.randint(0, len(body))
        ends = [i for i in range(start, min(len(body), start + 400)) if body[i] in b",}]\n"]
        end = rng.choice(ends[:3]) if ends and rng.random() < 0.8 else rng.randint(start, len(body))
        with_ = rng.choice(ODD) if rng.random() < 0.7 else rng.randbytes(rng.randint(0, 9))
        body = body[:start] + with_ + body[end:]
    return body


@pytest.mark.parametrize("name", BODIES)
@given(rng=st.randoms(use_true_random=False), which=st.integers(0, 9))
@attacked
def test_a_valid_body_with_anything_in_it_is_read_or_unreadable(name, rng, which):
    bodies = BODIES[name]

    check(name, replaced(rng, bodies[which % len(bodies)]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(document, above=()):
    """Yield the path to every value in a document."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


PLACES = {name: [list(places(document)) for document in documents] for name, documents in DOCUMENTS.items()}


def put(document, path, value):
    """Return a copy of a document with another value at a place."""
    document = json.loads(json.dumps(document))
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return document


@pytest.mark.parametrize("name", RECORDS)
@given(data=st.data())
@attacked
def test_any_value_anywhere_in_a_record_leaves_the_other_one_alone(name, data):
    records = RECORDS[name]
    which = data.draw(st.integers(0, len(records) - 1))
    victim = put(records[which], data.draw(st.sampled_from(PLACES[name][which])), data.draw(JSON))
    body = json.dumps([records[0], victim]).encode()

    check(name, body)
    parsed = READS[name](body, content_type="", received_at=NOON, settings=SETTINGS)
    assert len(parsed.events) + len(parsed.rejected) == 2
    assert all(rejected.index == 1 for rejected in parsed.rejected)


@given(data=st.data())
@attacked
def test_any_value_anywhere_in_a_trace_is_read_or_unreadable(data):
    which = data.draw(st.integers(0, len(TRACES) - 1))
    trace = put(TRACES[which], data.draw(st.sampled_from(PLACES["otlp"][which])), data.draw(JSON))

    check("otlp", json.dumps(trace).encode())
    with contextlib.suppress(Exception):  # what protobuf cannot hold cannot come as protobuf
        check("otlp", ParseDict(trace, ExportTraceServiceRequest()).SerializeToString())


@given(
    headers=st.dictionaries(
        st.sampled_from(["ce-id", "ce-source", "ce-time", "ce-specversion", "ce-type"]),
        st.text(max_size=40) | st.sampled_from(["2026-11-20T12:00:00Z", '"a', '"a\\"', "%zz%00", "%ff%fe", "\0"]),
    ),
    body=st.sampled_from([CLOUDEVENT["data"], NATIVE, [NATIVE, NATIVE], CLOUDEVENT, {}, 5]),
)
@attacked
def test_any_headers_of_a_cloudevent_are_read_or_unreadable(headers, body):
    check("native", json.dumps(body).encode(), headers=headers)


@pytest.mark.django_db
@pytest.mark.parametrize("name", BODIES)
def test_whatever_is_accepted_can_be_booked(name):
    rng = random.Random(name)
    odd = ["\u202e\U0001f600" * 60, "a\0b", 10**10, "x" * 3000, 0, -0.0, "9" * 30, {"a": [1]}, None]
    accepted = []
    for number in range(2000 if FULL else 100):
        if name in DOCUMENTS and number % 2:
            which = rng.randrange(len(DOCUMENTS[name]))
            document = put(DOCUMENTS[name][which], rng.choice(PLACES[name][which]), rng.choice(odd))
            body = json.dumps(document if name == "otlp" else [document]).encode()
        else:
            body = replaced(rng, rng.choice(BODIES[name]))
        accepted += check(name, body)
    for number, event in enumerate(accepted):
        if number % 3:  # else most would be the same event with other content
            event.event_id = f"{number} {event.event_id}"[:200]

    assert len(accepted) >= 10
    take(*accepted, received_at=NOON, gateway="hostile", format=name)
    book(at=NOON)

    receipt = Receipt.objects.get()
    assert (receipt.state, receipt.error) == ("done", "")
    assert receipt.booked > 0
    assert_rollups_equal_ledger()


@given(body=st.binary(max_size=200), encoding=st.sampled_from(["", "gzip", "zstd"]))
@attacked
def test_any_bytes_are_decompressed_or_refused(body, encoding):
    magic = {"gzip": b"\x1f\x8b\x08\x00", "zstd": b"\x28\xb5\x2f\xfd", "": b""}[encoding]

    for stream in (body, magic + body):
        with contextlib.suppress(UnreadableBody, BodyTooLarge):
            assert len(decompress(stream, encoding, 150)) <= 150
