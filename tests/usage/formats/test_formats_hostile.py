"""Any bytes at all: a format answers with what it read, or with UnreadableBody, and with nothing else."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.events import STATUSES, UnreadableBody
from usage.formats import FORMATS, FormatSettings
from usage.formats.body import BodyTooLarge, decompress
from usage.formats.labels import is_name

PAYLOADS = Path(__file__).parents[2] / "payloads"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=100)
NATIVE = {
    "id": "e-1", "time": "2026-11-20T12:00:00Z", "use_case": "support", "provider": "openai", "model": "gpt-5.5",
    "input_tokens": 1200, "cache_read_input_tokens": 1024, "output_tokens": 85, "reported_cost_usd": 0.1,
    "latency_ms": 9, "status": "ok", "user": "ann@example.com", "context": {"task": "code"}, "tags": {"a": "b"},
}  # fmt: skip
USAGE = {
    "id": "e-2", "time": "2026-11-20T12:00:00Z", "model": "m",
    "usage": {
        "prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4},
        "inputTokens": 4, "input_token_details": {"cache_read": 1}, "cache_creation": {},
    },
}  # fmt: skip
FAILED = json.loads((PAYLOADS / "litellm" / "14_failure_429_then_fallback.json").read_text())
for record in FAILED:
    record.pop("model_map_information")
BODIES = {
    "native": [
        json.dumps([NATIVE, USAGE, NATIVE]).encode(),
        b"\n".join(json.dumps(event).encode() for event in (NATIVE, USAGE)),
        json.dumps(NATIVE, indent=1).encode(),
    ],
    "litellm": [json.dumps(FAILED).encode(), b"\n".join(json.dumps(record).encode() for record in FAILED)],
}
DEEP = b"[" * 20_000 + b"]" * 20_000
ODD = [
    b"", b"null", b"true", b"-1", b"1e400", b"-1e400", b"9" * 5000, b"0." + b"1" * 5000, b"NaN", b"Infinity", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"\xff", b"[]", b"{}", b"[{}]", b'{"":{}}', b'"' + b"x" * 3000 + b'"',
    DEEP, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b"\n", b"\0",
    b'"1E-999999999"', b'"NaN"', b'"sNaN"', b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b"2e308",
    b'"-0"', b"1E+999999999999999999999", b'"ann@example.com"', b"-1e307", b"1e307",
]  # fmt: skip


def check(name, body):
    try:
        parsed = FORMATS[name](body, content_type="", received_at=NOON, settings=SETTINGS)
    except UnreadableBody:
        return
    assert parsed.events or parsed.rejected
    assert all(0 < len(rejected.error) <= 160 for rejected in parsed.rejected)
    for event in parsed.events:
        assert event.event_id
        assert len(event.event_id) <= 200
        assert event.occurred_at.tzinfo is UTC
        assert event.status in STATUSES
        assert event.counted or event.status == "usage_missing"
        assert is_name(event.model) or (name == "litellm" and event.status in ("error", "blocked"))
        meters = [value for field, value in msgspec.structs.asdict(event).items() if field.endswith("_tokens")]
        assert all(value is None or (type(value) is int and value >= 0) for value in meters)
        assert event.counted or not any(meters)
        cost = event.reported_cost_usd
        assert cost is None or (cost.is_finite() and 0 <= cost < 10**12 and cost.as_tuple().exponent >= -18)
    encoded = msgspec.json.encode(parsed)
    assert msgspec.json.decode(encoded, type=type(parsed)) == parsed
    assert b"\\u0000" not in encoded


@pytest.mark.parametrize("name", BODIES)
@given(body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read_or_unreadable(name, body):
    check(name, body)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:20]))
def test_odd_bytes_alone_in_an_array_and_on_a_line_are_read_or_unreadable(name, odd):
    good = BODIES[name][1].split(b"\n")[0]

    for body in (odd, b"[" + odd + b"]", b"[" + good + b"," + odd + b"]", good + b"\n" + odd, odd + good):
        check(name, body)


@st.composite
def mutated(draw, bodies):
    """A valid body in which some stretches, mostly whole JSON values, were replaced."""
    body = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 4))):
        colons = [i + 1 for i, byte in enumerate(body) if byte in b":,[{"]
        start = draw(st.sampled_from(colons) | st.integers(0, len(body))) if colons else 0
        ends = [i for i in range(start, min(len(body), start + 400)) if body[i] in b",}]\n"]
        end = draw(st.sampled_from(ends) | st.integers(start, len(body))) if ends else len(body)
        with_ = draw(st.sampled_from(ODD) | st.binary(max_size=9))
        body = body[:start] + with_ + body[end:]
    return body


@pytest.mark.parametrize("name", BODIES)
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_a_valid_body_with_anything_in_it_is_read_or_unreadable(name, data):
    check(name, data.draw(mutated(BODIES[name])))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", BODIES)
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_value_in_any_field_leaves_the_other_event_alone(name, data):
    good, victim = (NATIVE, data.draw(st.sampled_from([NATIVE, USAGE]))) if name == "native" else FAILED
    target = victim = json.loads(json.dumps(victim))
    for _ in range(3):
        field = data.draw(st.sampled_from(sorted(target)))
        if not isinstance(target[field], dict) or not target[field]:
            break
        target = target[field]
    target[field] = data.draw(JSON)
    body = json.dumps([good, victim]).encode()

    check(name, body)
    parsed = FORMATS[name](body, content_type="", received_at=NOON, settings=SETTINGS)
    assert len(parsed.events) + len(parsed.rejected) == 2
    assert all(rejected.index == 1 for rejected in parsed.rejected)


@given(body=st.binary(max_size=200), encoding=st.sampled_from(["", "gzip", "zstd"]))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_decompressed_or_refused(body, encoding):
    magic = {"gzip": b"\x1f\x8b\x08\x00", "zstd": b"\x28\xb5\x2f\xfd", "": b""}[encoding]

    for stream in (body, magic + body):
        with contextlib.suppress(UnreadableBody, BodyTooLarge):
            assert len(decompress(stream, encoding, 150)) <= 150
