"""Any bytes at all: a trace request is read, or unreadable, and nothing else ever happens."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.drawing import drawn
from usage.events import STATUSES, UnreadableBody
from usage.formats import FORMATS, FormatSettings
from usage.formats.labels import is_name
from usage.formats.otlp import words

PAYLOADS = Path(__file__).parents[2] / "payloads"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=100)
IN_JSON = [
    json.dumps(json.loads(path.read_bytes())).encode() for path in sorted((PAYLOADS / "otel_written").glob("*.json"))
]
IN_PROTOBUF = [
    (PAYLOADS / "otel" / name).read_bytes()
    for name in ("genai_openai_anthropic_traces.pb.bin", "openllmetry_traces.pb.bin", "promptlayer_traces.pb.bin")
]
ATTRIBUTES = sorted(name for names in words.NAMES.values() for name in names)
DEEP = b"[" * 20_000 + b"]" * 20_000
ODD = [
    b"", b"null", b"true", b"-1", b"1e400", b"9" * 5000, b"0." + b"1" * 5000, b"NaN", b'""', b'"\\ud800"', b'"\\u0000"',
    b'"\xff"', b"\xff", b"[]", b"{}", b"[{}]", b'"' + b"x" * 3000 + b'"', DEEP, b'{"a":' * 20_000, b"[", b"]", b"{",
    b"}", b'"', b"\\", b",", b":", b"\n", b"\0", b'"1E-999999999"', b'"NaN"', b"2e308", b'"-0"', b"-1e307", b"1e307",
    b'{"stringValue":"\\u0000"}', b'{"intValue":"9223372036854775808"}', b'{"doubleValue":"-Infinity"}',
    b'{"kvlistValue":{"values":[]}}', b'"SPAN_KIND_CLIENT"', b'{"code":"STATUS_CODE_ERROR"}',
]  # fmt: skip


def check(body):
    try:
        parsed = FORMATS["otlp"](body, content_type="", received_at=NOON, settings=SETTINGS)
    except UnreadableBody:
        return
    assert all(0 < len(rejected.error) <= 160 for rejected in parsed.rejected)
    assert len({event.event_id for event in parsed.events}) <= len(parsed.events) <= SETTINGS.max_events
    for event in parsed.events:
        assert len(event.event_id) == 64
        assert event.occurred_at.tzinfo is UTC
        assert event.status in STATUSES
        assert event.counted or event.status == "usage_missing"
        assert is_name(event.model) or event.status in ("error", "blocked")
        meters = [value for field, value in msgspec.structs.asdict(event).items() if field.endswith("_tokens")]
        assert all(value is None or (type(value) is int and value >= 0) for value in meters)
        assert event.counted or not event.tokens()
        assert len(event.tags) <= 32
        cost = event.reported_cost_usd
        assert cost is None or (cost.is_finite() and 0 <= cost < 10**12 and cost.as_tuple().exponent >= -18)
        assert (len(event.span.trace), len(event.span.span)) == (32, 16)
        assert len(event.span.above) <= 64
        assert len(event.span.below) <= 256
    encoded = msgspec.json.encode(parsed)
    assert msgspec.json.decode(encoded, type=type(parsed)) == parsed
    assert b"\\u0000" not in encoded


@given(body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@drawn(40, 2000)
def test_any_bytes_are_read_or_unreadable(body):
    check(body)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:20]))
def test_odd_json_in_any_place_is_read_or_unreadable(odd):
    for body in (
        odd, b"{%s}" % odd, b'{"resourceSpans":%s}' % odd, b'{"resourceSpans":[%s]}' % odd,
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}' % odd,
        b'{"resourceSpans":[{"resource":%s,"scopeSpans":[{"scope":%s,"spans":[]}]}]}' % (odd, odd),
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"use_case","value":%s}]}]}]}]}' % odd,
    ):  # fmt: skip
        check(body)


@st.composite
def mutated(draw, bodies, replacements, cuts):
    """A valid body in which some stretches were replaced, mostly from one of the bytes in `cuts` to another."""
    body = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 4))):
        places = [at + 1 for at, byte in enumerate(body) if byte in cuts]
        start = draw(st.sampled_from(places) | st.integers(0, len(body))) if places else 0
        ends = [at for at in range(start, min(len(body), start + 300)) if body[at] in cuts]
        end = draw(st.sampled_from(ends) | st.integers(start, len(body))) if ends else len(body)
        body = body[:start] + draw(replacements) + body[end:]
    return body


@given(body=mutated(IN_JSON, st.sampled_from(ODD) | st.binary(max_size=9), b":,[{}]"))
@drawn(40, 2000)
def test_valid_json_with_anything_in_it_is_read_or_unreadable(body):
    check(body)


@given(body=mutated(IN_PROTOBUF, st.binary(max_size=12), b"\x08\x09\x0a\x12\x1a\x22\x4a"))
@drawn(40, 2000)
def test_valid_protobuf_with_anything_in_it_is_read_or_unreadable(body):
    check(body)


VALUES = (
    st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=30) | st.booleans()
    | st.sampled_from(["{'a': 1}", '{"model": 1}', "{" * 300, "sk-abc123def456ghi789", "ann@example.com"])
    | st.sampled_from(["\x00", "1" * 25])
)  # fmt: skip


@given(data=st.data())
@drawn(40, 2000)
def test_any_values_of_any_attributes_leave_the_other_spans_alone(data):
    request = ExportTraceServiceRequest.FromString(IN_PROTOBUF[0])
    spans = request.resource_spans[0].scope_spans[0].spans
    good = {event.event_id for event in parsed(request).events}
    victim = data.draw(st.integers(0, len(spans) - 1))
    own = parsed_id(request, victim)
    for key, value in data.draw(st.dictionaries(st.sampled_from(ATTRIBUTES), VALUES, max_size=8)).items():
        any_value = spans[victim].attributes.add(key=key).value
        if isinstance(value, bool):
            any_value.bool_value = value
        elif isinstance(value, int):
            any_value.int_value = value
        elif isinstance(value, float):
            any_value.double_value = value
        else:
            any_value.string_value = value

    body = request.SerializeToString()

    check(body)
    assert {event.event_id for event in parsed(request).events} | {own} >= good


def parsed(request):
    return FORMATS["otlp"](request.SerializeToString(), content_type="", received_at=NOON, settings=SETTINGS)


def parsed_id(request, number):
    """Return the event id of one span, by reading it alone."""
    alone = ExportTraceServiceRequest()
    alone.resource_spans.add().scope_spans.add().spans.append(request.resource_spans[0].scope_spans[0].spans[number])
    (event,) = parsed(alone).events
    return event.event_id


@given(links=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12), st.booleans()), max_size=40))
@drawn()
def test_spans_in_any_relation_are_read(links):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, parent, call in links:
        span = spans.add(
            trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), parent_span_id=parent.to_bytes(8, "big"), kind=3,
            start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 1,
        )  # fmt: skip
        if call:
            span.attributes.add(key="gen_ai.request.model").value.string_value = "m"
            span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = number

    check(request.SerializeToString())
    if any(call for _, _, call in links):
        assert parsed(request).events
