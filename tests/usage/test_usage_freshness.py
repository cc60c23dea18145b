"""How each gateway's stream is doing: last event, rate, lags, errors, and what waits."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from catalog.services import gateways as gateway_service
from tests.usage.making import DAY, NOON, SECOND, book, make_event, make_gateway, send, take
from usage.events import Rejected
from usage.models import Receipt, ReceiptState
from usage.selectors import freshness
from usage.selectors.freshness import GatewayFreshness, Lag
from usage.services import imports, intake

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def the_gateway(*, at: datetime = NOON) -> GatewayFreshness:
    (row,) = freshness.gateways(at=at)
    return row


def refuse(count: int, *, received_at: datetime = NOON - MINUTE) -> None:
    """Take a body of which nothing could be an event."""
    intake.take(
        source_id=intake.live_source(gateway_id=make_gateway().pk, at=received_at),
        environment="production",
        format="native",
        events=[],
        rejected=[Rejected(index=n, error="no model") for n in range(count)],
        received_at=received_at,
    )


def test_a_gateway_that_never_sent_anything_is_not_told_of():
    make_gateway()

    assert freshness.gateways(at=NOON) == []


def test_the_last_event_is_told_by_when_it_came_and_by_when_it_happened():
    send(make_event(occurred_at=NOON - 3 * MINUTE), received_at=NOON - 2 * MINUTE)
    # A late body holds an older call; a body without events says nothing about calls.
    send(make_event(occurred_at=NOON - 9 * MINUTE), received_at=NOON - MINUTE)
    refuse(1, received_at=NOON - SECOND)

    row = the_gateway()

    assert (row.last_received_at, row.last_occurred_at) == (NOON - SECOND, NOON - 3 * MINUTE)


def test_events_are_counted_over_the_last_minutes_hour_and_day_by_when_they_came():
    for ago in (MINUTE, 14 * MINUTE, 16 * MINUTE, 59 * MINUTE, 61 * MINUTE, DAY - MINUTE, DAY, 2 * DAY):
        take(make_event(), make_event(), received_at=NOON - ago)
    take(make_event(), received_at=NOON + SECOND)  # not yet, as of noon

    row = the_gateway()

    assert (row.events_15min, row.events_hour, row.events_day) == (4, 8, 12)
    assert (row.per_minute_15min, row.per_minute_hour, row.per_minute_day) == (4 / 15, 8 / 60, 12 / 1440)


def test_lags_are_those_of_the_last_bodies():
    for seconds in range(1, 22):  # from the oldest call to the receipt so many seconds, and twice that to the booking
        received_at = NOON - timedelta(minutes=30 - seconds)
        called_at = received_at - timedelta(seconds=seconds)
        send(
            make_event(occurred_at=called_at),
            make_event(occurred_at=received_at),
            received_at=received_at,
            booked_at=received_at + timedelta(seconds=2 * seconds),
        )

    row = the_gateway()

    assert row.lag == Lag(median_s=11, p95_s=20)
    assert row.booking == Lag(median_s=22, p95_s=40)


def test_lags_forget_what_is_older_than_the_last_bodies():
    source_id = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    done = {"source_id": source_id, "format": "native", "state": "done", "event_count": 1, "try_after": NOON}
    for received_at, lag in ((NOON - 60 * MINUTE, DAY), (NOON - MINUTE, 3 * SECOND)):
        times = {"received_at": received_at, "first_occurred_at": received_at - lag, "done_at": received_at + lag}
        Receipt.objects.bulk_create(Receipt(**done, **times) for _ in range(freshness.LAST_BODIES))

    row = the_gateway()

    assert (row.lag, row.booking) == (Lag(median_s=3, p95_s=3), Lag(median_s=3, p95_s=3))


def test_a_clock_that_is_ahead_makes_no_lag_below_zero():
    send(make_event(occurred_at=NOON), received_at=NOON - MINUTE)

    assert the_gateway().lag == Lag(median_s=0, p95_s=0)


def test_what_waits_has_no_lag_to_its_booking_yet():
    take(make_event(occurred_at=NOON - 3 * SECOND), received_at=NOON - SECOND)
    refuse(1)  # done at once, as there was nothing to book

    row = the_gateway()

    assert row.lag == Lag(median_s=2, p95_s=2)
    assert row.booking is None


def test_errors_of_a_day_are_told_by_kind():
    known = make_event()
    send(known, received_at=NOON - 2 * DAY)
    send(make_event(event_id=known.event_id, output_tokens=7), received_at=NOON - MINUTE)
    send(make_event(occurred_at=NOON - 40 * DAY), received_at=NOON - MINUTE)
    send(make_event(), make_event(), format="litellm", received_at=NOON - MINUTE)
    refuse(3)
    refuse(5, received_at=NOON - 2 * DAY)  # too long ago
    Receipt.objects.filter(conflicts=1).update(superseded=4)

    errors = the_gateway().errors

    assert (errors.rejected, errors.conflicts, errors.quarantined) == (3, 1, 1)
    assert (errors.shadowed, errors.superseded, errors.wrong) == (2, 4, 5)


def test_what_waits_and_what_is_set_aside_are_told_apart_and_what_is_given_up_is_neither():
    for n in range(4):
        take(make_event(), make_event(), received_at=NOON - n * MINUTE)
    first, second = Receipt.objects.order_by("id")[:2]
    Receipt.objects.filter(pk=first.pk).update(state=ReceiptState.FAILED)
    Receipt.objects.filter(pk=second.pk).update(
        state=ReceiptState.FAILED, given_up_at=NOON, given_up_by="ann@example.com", given_up_because="broken disk"
    )

    row = the_gateway()

    assert (row.waiting_events, row.oldest_waiting_at, row.set_aside) == (4, NOON - 3 * MINUTE, 1)


def test_imports_are_no_part_of_a_gateway_s_stream():
    send(make_event(), received_at=NOON - 10 * MINUTE)
    source = imports.open_import(gateway_id=make_gateway().pk, covers=(NOON - DAY, NOON), by="tests", at=NOON)
    take(make_event(), source_id=source.pk, received_at=NOON - MINUTE)

    row = the_gateway()

    assert (row.last_received_at, row.events_day, row.waiting_events) == (NOON - 10 * MINUTE, 1, 0)
    assert freshness.complete_through(at=NOON) == NOON - 10 * MINUTE


def test_one_gateway_can_be_asked_for():
    send(make_event(), received_at=NOON - MINUTE)
    send(make_event(), received_at=NOON - MINUTE, gateway="other")

    (row,) = freshness.gateways(at=NOON, only=make_gateway("other").pk)

    assert row.gateway == "other"


def test_a_retired_gateway_holds_the_figures_back_only_while_something_of_it_waits():
    send(make_event(), received_at=NOON - 60 * MINUTE, gateway="old")
    send(make_event(), received_at=NOON - MINUTE, gateway="new")
    assert freshness.complete_through(at=NOON) == NOON - 60 * MINUTE

    gateway_service.retire(gateway=make_gateway("old"), by="ann", at=NOON)

    assert freshness.complete_through(at=NOON) == NOON - MINUTE
    take(make_event(), received_at=NOON - 30 * MINUTE, gateway="old")
    assert freshness.complete_through(at=NOON) == NOON - 30 * MINUTE
    book(at=NOON)
    assert freshness.complete_through(at=NOON) == NOON - MINUTE


def test_each_is_one_question_however_many_gateways_there_are(django_assert_num_queries):
    for n in range(3):
        send(make_event(), received_at=NOON - MINUTE, gateway=f"edge-{n}")

    with django_assert_num_queries(1):
        assert len(freshness.gateways(at=NOON)) == 3
    with django_assert_num_queries(1):
        assert freshness.complete_through(at=NOON) == NOON - MINUTE
