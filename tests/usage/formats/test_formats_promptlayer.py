"""PromptLayer's log of a request: what the capture shows, and what it does not, made from it by changing a field."""

import copy
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from usage.events import UnreadableBody
from usage.formats import FORMATS, FormatSettings

CAPTURED = Path(__file__).parents[2] / "payloads" / "promptlayer" / "0001_log-request.json"
RECEIVED_AT = datetime(2026, 11, 21, 1, tzinfo=UTC)
NO_TIME = "expected seconds since 1970 or a time with an offset"
SETTINGS = FormatSettings(user_key=b"test", max_events=50)


def logged(**changes):
    request = copy.deepcopy(json.loads(CAPTURED.read_text()))
    return {field: value for field, value in (request | changes).items() if value is not ...}


def parse(body, settings=SETTINGS):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return FORMATS["promptlayer"](body, content_type="application/json", received_at=RECEIVED_AT, settings=settings)


def one(settings=SETTINGS, **changes):
    parsed = parse(logged(**changes), settings)
    assert parsed.rejected == []
    (event,) = parsed.events
    return event


def refusal(**changes):
    (rejected,) = parse(logged(**changes)).rejected
    return rejected.error


def test_two_calls_at_one_moment_are_two_events_and_one_sent_again_is_one():
    first = one()

    compact = json.dumps(logged(), separators=(",", ":"), sort_keys=True).encode()

    assert one() == first == parse(compact).events[0]
    assert one(input={"type": "chat", "messages": ["another"]}).event_id != first.event_id
    assert one(request_start_time=1795218369.0).event_id != first.event_id
    assert one(output_tokens=86).event_id != first.event_id


@pytest.mark.parametrize(
    ("changes", "status", "counted"),
    [
        ({}, "ok", True),
        ({"status": "WARNING"}, "ok", True),
        ({"status": ...}, "ok", True),
        ({"status": "ERROR", "error_type": "PROVIDER_RATE_LIMIT"}, "error", True),
        ({"status": "ERROR", "input_tokens": 0, "output_tokens": 0}, "error", True),
        ({"input_tokens": 0, "output_tokens": 0}, "usage_missing", False),
        ({"input_tokens": ..., "output_tokens": None}, "usage_missing", False),
        ({"input_tokens": 0}, "ok", True),
    ],
)
def test_zeros_are_unknown_unless_the_call_failed(changes, status, counted):
    event = one(**changes)

    assert (event.status, event.counted) == (status, counted)


@pytest.mark.parametrize(
    ("price", "kept"),
    [(0.00047, "0.00047"), (4.2499999999999996e-05, "0.0000425"), (0, None), (None, None), (..., None)],
)
def test_a_price_of_zero_is_no_price(price, kept):
    assert one(price=price).reported_cost_usd == (kept and Decimal(kept))


def test_times_may_be_written_out_as_the_rest_api_has_them():
    event = one(request_start_time="2026-11-20T12:00:00Z", request_end_time="2026-11-20T13:00:01.5+01:00")

    assert (event.occurred_at, event.latency_ms) == (datetime(2026, 11, 20, 12, 0, 1, 500_000, UTC), 1500)
    assert one(request_start_time=1795218380).latency_ms is None  # began after it ended


def test_tags_metadata_and_the_prompts_name_become_labels():
    event = one(
        tags=["use_case:triage", "env:prod", "beta", "tollkeeper_rule:cheap@v3", 7],
        metadata={"user": "ann@example.com", "session_id": "s-1", "team": "support", "more": {"a": 1}},
    )

    assert (event.use_case, event.rule, event.rules_version) == ("triage", "cheap", 3)
    assert event.tags == {"env": "prod", "beta": "", "prompt": "triage"}
    assert event.user.startswith("h:")
    assert (event.session, event.team) == ("s-1", "support")


def test_the_use_case_is_looked_for_in_the_order_the_gateway_is_set_to():
    by_team = {"use_case_by_team": {"support": "teamed"}}
    metadata = {"use_case": "requested", "team": "support"}
    request_first = FormatSettings(user_key=b"test", use_case_from=("request", "tag"))

    assert one(FormatSettings(user_key=b"test", **by_team), metadata=metadata).use_case == "support_triage"
    assert one(request_first, metadata=metadata).use_case == "requested"
    assert one(FormatSettings(user_key=b"test", **by_team), tags=[], metadata={"team": "support"}).use_case == "teamed"
    assert one(tags=[], metadata=None).use_case == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": ...}, "model: required and missing"),
        ({"model": 5}, "model: required and missing"),
        ({"request_end_time": ...}, "request_end_time: required and missing"),
        (
            {"request_start_time": "yesterday"},
            f"request_start_time: {NO_TIME}",
        ),
        ({"request_end_time": 1e300}, f"request_end_time: {NO_TIME}"),
        ({"request_end_time": None}, f"request_end_time: {NO_TIME}"),
        ({"request_end_time": 1795400000}, "request_end_time: more than a day ahead of its arrival"),
        ({"input_tokens": -1}, "input_tokens: not a number that can be one"),
        ({"output_tokens": "many"}, "output_tokens: not a number that can be one"),
        ({"price": -1}, "price: negative"),
        ({"price": "a lot"}, "price: not a number that can be one"),
    ],
)
def test_what_would_make_a_wrong_figure_refuses_the_call(changes, reason):
    assert refusal(**changes) == reason


def test_labels_of_an_odd_shape_cost_no_call():
    event = one(provider=7, tags="beta", metadata=[1], prompt_name={"a": 1}, status=3)

    assert (event.provider, event.tags, event.uncached_input_tokens, event.status) == ("", {}, 1200, "ok")


def test_nothing_of_the_conversation_is_in_the_event():
    planted = "the merger stays between us"
    request = logged(
        input={"messages": [planted]}, output={"messages": [planted]}, prompt_input_variables={"a": planted},
        error_message=planted, parameters={"system": planted}, metadata={"note": planted}, function_name=planted,
    )  # fmt: skip

    assert planted.encode() not in msgspec.json.encode(parse(request))


@pytest.mark.parametrize("body", [b"", b"7", b"[]", b"{", b"nonsense"])
def test_a_body_that_is_no_request_is_unreadable(body):
    with pytest.raises(UnreadableBody):
        parse(body)
