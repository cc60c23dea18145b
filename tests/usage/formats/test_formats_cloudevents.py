"""CloudEvents around native events: structured, in batches, one a line, and in the headers of the request."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest

from usage.events import UnreadableBody
from usage.formats import FORMATS, FormatSettings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=50)
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
DATA = {"use_case": "support", "model": "gpt-5.5", "input_tokens": 1200, "output_tokens": 85}
IN_HEADERS = {
    "ce-specversion": "1.0", "ce-id": "A-1", "ce-source": "/billing/eu", "ce-time": "2026-11-20T11:59:00Z",
    "ce-type": "llm.call", "content-type": "application/json",
}  # fmt: skip


def enveloped(**overrides):
    event = {
        "specversion": "1.0", "type": "llm.call", "source": "/billing/eu", "id": "A-1", "subject": "customer-7",
        "time": "2026-11-20T11:59:00Z", "datacontenttype": "application/json", "data": DATA,
    }  # fmt: skip
    return {key: value for key, value in (event | overrides).items() if value is not ...}


def parse(body, content_type=STRUCTURED, headers=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return FORMATS["native"](
        body, content_type=content_type, received_at=NOON, settings=SETTINGS, headers=headers or {}
    )


def one(body, content_type=STRUCTURED, headers=None):
    parsed = parse(body, content_type, headers)
    assert parsed.rejected == []
    (event,) = parsed.events
    return event


def refusal(**overrides):
    parsed = parse([enveloped(**overrides), enveloped(id="good")], BATCH)
    assert len(parsed.events) == 1
    (rejected,) = parsed.rejected
    assert rejected.index == 0
    return rejected.error


def derived(source, id_):
    return "ce:" + hashlib.sha256(f"{source}\n{id_}".encode()).hexdigest()


def test_id_and_time_of_the_envelope_stand_in_where_the_data_has_none():
    event = one(enveloped())

    assert event.event_id == derived("/billing/eu", "A-1")
    assert event.occurred_at == datetime(2026, 11, 20, 11, 59, tzinfo=UTC)
    assert (event.use_case, event.model) == ("support", "gpt-5.5")
    assert (event.uncached_input_tokens, event.output_tokens) == (1200, 85)


def test_what_the_data_has_of_its_own_goes_before_the_envelope():
    event = one(enveloped(data=DATA | {"id": "e-1", "time": "2026-11-20T10:00:00+01:00"}, source=..., id=...))

    assert (event.event_id, event.occurred_at.hour) == ("e-1", 9)


def test_one_id_from_two_sources_is_two_events_and_comes_again_as_the_same():
    sources = [("a", "b"), ("b", "b"), ("a/b", "c"), ("a", "b/c"), ("a", "b")]

    ids = [one(enveloped(source=source, id=id_)).event_id for source, id_ in sources]

    assert len(set(ids)) == 4
    assert ids[0] == ids[-1]


@pytest.mark.parametrize("content_type", [STRUCTURED, BATCH, "application/x-ndjson", "application/json", ""])
def test_an_array_of_envelopes_and_one_a_line_are_read_whatever_they_are_called(content_type):
    events = [enveloped(id="A-1"), enveloped(id="A-2")]

    array = parse(events, content_type)
    lines = parse("\n".join(map(json.dumps, events)).encode(), content_type)

    assert [event.event_id for event in array.events] == [derived("/billing/eu", id_) for id_ in ("A-1", "A-2")]
    assert lines == array


def test_bare_events_and_envelopes_may_stand_side_by_side():
    bare = DATA | {"id": "e-1", "time": "2026-11-20T12:00:00Z", "tags": {"specversion": "7"}}

    parsed = parse([enveloped(), bare, enveloped(data=7), bare | {"id": ""}], "application/json")

    assert [event.event_id for event in parsed.events] == [derived("/billing/eu", "A-1"), "e-1"]
    assert [(item.index, item.error) for item in parsed.rejected] == [
        (2, "the item: expected an object, got a whole number"),
        (3, "id: not 1 to 200 characters"),
    ]


def test_data_in_base64_is_read_as_well():
    encoded = base64.b64encode(json.dumps(DATA).encode()).decode()

    assert one(enveloped(data=..., data_base64=encoded)) == one(enveloped())


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", ""])
def test_in_binary_mode_the_headers_are_the_envelope(content_type):
    assert one(DATA, content_type, IN_HEADERS) == one(enveloped())


def test_headers_carry_in_per_cent_what_they_cannot_carry_otherwise():
    headers = IN_HEADERS | {"ce-source": "%2Fbilling%2Feu%20m%C3%BCnchen", "ce-id": '"A \\"1\\""'}

    assert one(DATA, "", headers).event_id == derived("/billing/eu münchen", 'A "1"')


def test_headers_are_no_envelope_around_a_structured_body_or_around_several_events():
    events = [DATA | {"id": f"e-{number}", "time": "2026-11-20T12:00:00Z"} for number in (1, 2)]

    assert one(enveloped(id="inner"), STRUCTURED, IN_HEADERS).event_id == derived("/billing/eu", "inner")
    assert [event.event_id for event in parse(events, "application/json", IN_HEADERS).events] == ["e-1", "e-2"]
    assert [item.error for item in parse([DATA, DATA], "application/json", IN_HEADERS).rejected] == [
        "id: required and missing"
    ] * 2


def test_a_time_in_the_headers_that_is_none_makes_the_body_unreadable():
    with pytest.raises(UnreadableBody, match="ce-time"):
        parse(DATA, "application/json", IN_HEADERS | {"ce-time": "yesterday"})


def test_what_an_event_replaces_or_voids_is_named_by_the_same_kind_of_id_as_its_own():
    by_envelope = one(enveloped(id="A-2", data=DATA | {"replaces": "A-1"}))
    by_data = one(enveloped(data=DATA | {"id": "e-2", "replaces": "e-1"}))
    voiding = one(enveloped(id="A-3", data={"voids": "A-1"}))

    assert by_envelope.replaces == voiding.voids == one(enveloped()).event_id
    assert by_data.replaces == "e-1"
    assert refusal(data=DATA | {"voids": "A-1"}) == "voids: names the event itself"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"data": ...}, "data: required and missing"),
        ({"data": None}, "data: required and missing"),
        ({"data": "text"}, "the item: expected an object, got text"),
        ({"data": [DATA]}, "the item: expected an object, got an array"),
        ({"data": DATA | {"input_tokens": "12"}}, "input_tokens: expected a whole number, got text"),
        ({"data": {"input_tokens": 12}}, "model: required and missing"),
        ({"data_base64": "e30="}, "data: give either data or data_base64, not both"),
        ({"data": ..., "data_base64": "not base64!"}, "data_base64: not text in base64"),
        ({"data": ..., "data_base64": "bm90IGpzb24="}, "not JSON"),
        ({"data": ..., "data_base64": 5}, "data_base64: not text in base64"),
        ({"id": ...}, "id: required and missing, in the event and around it"),
        ({"id": " "}, "id: required and missing, in the event and around it"),
        ({"id": 7}, "id: expected text"),
        ({"id": "a\nb"}, "id: holds control characters"),
        ({"source": ...}, "source: required and missing, in the event and around it"),
        ({"source": "x" * 2001}, "source: longer than 2000 characters"),
        ({"source": "a\0"}, "source: holds control characters"),
        ({"time": ...}, "time: required and missing"),
        ({"time": "2026-11-20T12:00:00"}, "time: expected a time with an offset"),
        ({"time": 5}, "time: expected a time with an offset"),
        ({"time": "2026-11-22T12:00:00Z"}, "time: more than a day ahead of its arrival"),
    ],
)
def test_an_envelope_that_lacks_something_is_refused_alone_and_told_what(overrides, reason):
    assert refusal(**overrides) == reason


@pytest.mark.parametrize("body", [b"", b"7", b"[]", b'"specversion"', b'{"specversion": "1.0"', b'[7, "specversion"]'])
def test_a_body_that_is_no_cloudevent_is_unreadable(body):
    with pytest.raises(UnreadableBody):
        parse(body)


def test_more_envelopes_than_a_body_may_hold_make_it_unreadable():
    with pytest.raises(UnreadableBody, match="more than 50"):
        parse([enveloped(id=str(number)) for number in range(51)], BATCH)
