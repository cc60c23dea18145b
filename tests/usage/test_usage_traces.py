"""One call that several spans report counts once, across bodies, in any order."""

from datetime import timedelta
from itertools import permutations

import pytest

from tests.usage.checks import assert_rollups_equal_ledger
from tests.usage.making import NOON, SECOND, entries, make_event, make_priced_offering, outcome, send
from tests.usage.test_usage_replacing import tokens_by_event
from usage.events import Span
from usage.models import HeldEvent, Trace, UnsummedEntry

pytestmark = pytest.mark.django_db
TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(name, *, above=(), trace=TRACE, response="", scope="ai", rank=0, below=(), **event):
    """Make the event of a span; its id is the event's too."""
    seen = Span(
        trace=trace, span=name, above=list(above), below=list(below), response=response, scope=scope, rank=rank,
        started_at=NOON - SECOND,
    )  # fmt: skip
    return make_event(event_id=f"{trace[:4]}-{name}", span=seen, **event)


def counted():
    return {event_id[5:] for event_id in tokens_by_event()}


def test_a_wrapper_that_was_booked_is_reversed_when_its_child_comes():
    make_priced_offering()
    send(span("wrapper", uncached_input_tokens=2400), format="otlp")

    receipt = send(span("child", above=["wrapper"], uncached_input_tokens=1200), format="otlp")

    assert outcome(receipt) == {"booked": 1}
    assert [(entry.event_id[5:], entry.kind) for entry in entries()] == [("wrapper", 1), ("child", 1), ("wrapper", 2)]
    assert counted() == {"child"}
    assert_rollups_equal_ledger()


def test_a_wrapper_that_comes_after_its_child_is_superseded():
    make_priced_offering()
    send(span("child", above=["wrapper"]), format="otlp")

    receipt = send(span("wrapper"), format="otlp")

    assert outcome(receipt) == {"superseded": 1}
    assert counted() == {"child"}
    assert not HeldEvent.objects.exists()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_in_any_order_the_calls_inside_count(order):
    make_priced_offering()
    spans = [
        span("outer"),
        span("inner", above=["outer"]),
        span("first", above=["inner", "outer"], uncached_input_tokens=1),
        span("second", above=["inner", "outer"], uncached_input_tokens=2),
    ]

    for number in order:
        send(spans[number], format="otlp")
    for number in order:
        send(spans[number], format="otlp")

    assert tokens_by_event() == {"0af7-first": (1, 1), "0af7-second": (2, 1)}
    assert_rollups_equal_ledger()


def test_two_spans_that_tell_one_answer_count_once():
    make_priced_offering()
    send(span("one", response="msg_1", output_tokens=77), format="otlp")

    receipt = send(span("two", response="msg_1", output_tokens=78, scope="other"), format="otlp")

    assert outcome(receipt) == {"superseded": 1}
    assert counted() == {"one"}
    assert not HeldEvent.objects.exists()


def test_the_same_answer_in_another_trace_is_another_call():
    make_priced_offering()
    send(span("one", response="msg_1"), format="otlp")

    send(span("two", response="msg_1", trace="b" * 32), format="otlp")

    assert counted() == {"one", "two"}


def test_the_same_answer_from_another_gateway_is_another_call():
    make_priced_offering()
    send(span("one", response="msg_1"), format="otlp", gateway="one")

    send(span("two", response="msg_1"), format="otlp", gateway="two")

    assert counted() == {"one", "two"}


def test_a_body_sent_again_is_a_duplicate_even_when_its_ancestors_came_with_others():
    make_priced_offering()
    send(span("child", above=["wrapper"]), format="otlp")

    receipt = send(span("child", above=["wrapper", "root"]), format="otlp")

    assert outcome(receipt) == {"duplicates": 1}


def test_a_wrapper_without_usage_gives_way_and_one_with_usage_takes_back_what_had_none():
    make_priced_offering()
    none = {"uncached_input_tokens": 0, "output_tokens": 0, "counted": False, "status": "usage_missing"}
    send(span("attempt", above=["call"], **none), format="otlp")

    send(span("call"), format="otlp")

    assert tokens_by_event() == {"0af7-call": (1000, 1)}


def test_calls_that_turn_out_to_lie_inside_each_other_are_settled_when_a_third_shows_it():
    make_priced_offering()
    send(
        span("outer", uncached_input_tokens=2400),
        span("inner", above=["step"], uncached_input_tokens=1200),
        format="otlp",
    )
    assert counted() == {"outer", "inner"}

    none = {"uncached_input_tokens": 0, "output_tokens": 0, "counted": False, "status": "usage_missing"}
    receipt = send(span("middle", above=["outer"], below=["step"], **none), format="otlp")

    assert outcome(receipt) == {"superseded": 1}
    assert tokens_by_event() == {"0af7-inner": (1200, 1)}
    assert_rollups_equal_ledger()


def test_spans_of_a_second_format_are_kept_aside_as_they_are():
    make_priced_offering()
    send(make_event(event_id="x"), format="native")

    send(span("wrapper"), span("child", above=["wrapper"]), format="otlp")

    assert UnsummedEntry.objects.count() == 2
    assert not Trace.objects.exists()


def test_a_trace_without_end_is_remembered_by_its_newest_calls(monkeypatch):
    make_priced_offering()
    monkeypatch.setattr("usage.services.traces.MOST_CALLS", 3)
    for number in range(5):
        send(span(f"s{number}", occurred_at=NOON - timedelta(seconds=10 - number)), format="otlp")

    repeated = send(span("s4"), format="otlp", received_at=NOON + 5 * SECOND)

    assert outcome(repeated) == {"duplicates": 1}
    assert len(counted()) == 5
