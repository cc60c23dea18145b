"""What waits for a person: bodies set aside, and events that were kept without being counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from core.errors import Invalid
from core.models import AuditEntry
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    make_event,
    make_gateway,
    make_priced_offering,
    outcome,
    send,
    take,
)
from tests.usage.waiting import PATIENCE_S, another_connection, until_somebody_waits_for_a_lock
from usage.events import Rejected
from usage.models import HeldEvent, Receipt
from usage.selectors import freshness
from usage.selectors import held as held_rows
from usage.selectors import receipts as receipt_rows
from usage.services import held, intake, receipts

pytestmark = pytest.mark.django_db

ANN, BOB = "ann@example.com", "bob@example.com"


def set_aside(**taking: Any) -> int:
    """Take a body that cannot be booked, and try until it is set aside."""
    receipt_id = take(make_event(), **taking)
    Receipt.objects.filter(pk=receipt_id).update(events=b"not zstd")
    for minutes in range(20):
        book(at=NOON + timedelta(minutes=minutes))
    assert Receipt.objects.get(pk=receipt_id).state == "failed"
    return receipt_id


def mend(receipt_id: int) -> None:
    Receipt.objects.filter(pk=receipt_id).update(events=intake.pack([make_event()]))


def hold_a_conflict(**later: Any) -> HeldEvent:
    known = make_event()
    send(known)
    send(make_event(event_id=known.event_id, **{"output_tokens": 700, **later}), received_at=NOON + 5 * SECOND)
    return HeldEvent.objects.get(event_id=known.event_id)


def hold_an_old_one(**overrides: Any) -> HeldEvent:
    event = make_event(occurred_at=NOON - 40 * DAY, **overrides)
    send(event)
    return HeldEvent.objects.get(event_id=event.event_id)


def in_threads(*calls: Callable[[], object]) -> list[object]:
    """Run calls at once; returns what they gave or raised."""
    ready, came = threading.Barrier(len(calls)), []

    def run(call: Callable[[], object]) -> None:
        ready.wait()
        try:
            came.append(call())
        except Exception as error:  # what a call raises is what the test looks at
            came.append(error)
        connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


# --- bodies set aside ---


def test_a_body_that_is_tried_again_counts_once_and_the_trail_says_who_did_it():
    receipt_id = set_aside()
    mend(receipt_id)

    receipts.try_again(receipt_id=receipt_id, by=ANN, at=NOON + DAY, reason="disk replaced")
    book(at=NOON + DAY)

    assert outcome(Receipt.objects.get(pk=receipt_id)) == {"booked": 1}
    entry = AuditEntry.objects.filter(table="receipt", actor=ANN).get()
    assert (entry.reason, entry.before["state"], entry.after["state"]) == ("disk replaced", "failed", "pending")
    assert "events" not in entry.before


def test_bookings_leave_no_trace_in_the_trail():
    send(make_event())
    set_aside()

    assert not AuditEntry.objects.filter(table="receipt").exists()


def test_what_is_not_set_aside_is_not_tried_again():
    done, waiting = send(make_event()).pk, take(make_event())

    with pytest.raises(receipts.NotSetAside, match="is booked"):
        receipts.try_again(receipt_id=done, by=ANN, at=NOON)
    with pytest.raises(receipts.NotSetAside, match="waits"):
        receipts.try_again(receipt_id=waiting, by=ANN, at=NOON)
    with pytest.raises(receipts.NoSuchReceipt):
        receipts.try_again(receipt_id=waiting + 1, by=ANN, at=NOON)


def test_one_that_is_given_up_asks_for_nothing_keeps_its_events_and_can_still_be_tried():
    receipt_id = set_aside(received_at=NOON - SECOND)
    send(make_event(), received_at=NOON)

    receipts.give_up(receipt_id=receipt_id, reason=" sent by a test of ours ", by=ANN, at=NOON + DAY)

    receipt = Receipt.objects.get(pk=receipt_id)
    assert (receipt.state, receipt.given_up_by, receipt.given_up_because) == ("failed", ANN, "sent by a test of ours")
    assert receipt.events is not None
    assert receipt_rows.counts().set_aside == 0
    assert freshness.gateways(at=NOON)[0].set_aside == 0
    assert freshness.complete_through(at=NOON + SECOND) == NOON
    assert AuditEntry.objects.get(table="receipt").reason == "sent by a test of ours"
    mend(receipt_id)
    receipts.try_again(receipt_id=receipt_id, by=BOB, at=NOON + DAY)
    book(at=NOON + DAY)
    receipt.refresh_from_db()
    assert (receipt.state, receipt.given_up_at, receipt.given_up_by) == ("done", None, "")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201])
def test_giving_up_needs_a_reason(reason):
    receipt_id = set_aside()

    with pytest.raises(Invalid):
        receipts.give_up(receipt_id=receipt_id, reason=reason, by=ANN, at=NOON)

    assert Receipt.objects.get(pk=receipt_id).given_up_at is None


def test_whoever_gave_up_first_stays_named_and_what_is_booked_is_not_given_up():
    receipt_id, done = set_aside(), send(make_event()).pk
    receipts.give_up(receipt_id=receipt_id, reason="first", by=ANN, at=NOON)

    receipts.give_up(receipt_id=receipt_id, reason="second", by=BOB, at=NOON + DAY)

    receipt = Receipt.objects.get(pk=receipt_id)
    assert (receipt.given_up_by, receipt.given_up_because, receipt.given_up_at) == (ANN, "first", NOON)
    with pytest.raises(receipts.NotSetAside):
        receipts.give_up(receipt_id=done, reason="why not", by=ANN, at=NOON)
    with pytest.raises(receipts.NoSuchReceipt):
        receipts.give_up(receipt_id=done + 1000, reason="why not", by=ANN, at=NOON)


def test_all_that_are_set_aside_are_tried_again_of_one_gateway_or_of_all_and_given_up_ones_stay():
    first, second, given_up = set_aside(), set_aside(gateway="other"), set_aside()
    receipts.give_up(receipt_id=given_up, reason="no use", by=ANN, at=NOON)

    assert receipts.try_all_again(by=ANN, at=NOON + DAY, gateway_id=make_gateway("other").pk) == 1
    assert Receipt.objects.get(pk=second).state == "pending"
    assert receipts.try_all_again(by=ANN, at=NOON + DAY) == 1
    assert Receipt.objects.get(pk=first).state == "pending"
    assert Receipt.objects.get(pk=given_up).state == "failed"


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_about_a_body_at_once_the_later_one_decides_about_what_the_first_left():
    receipt_id = set_aside()

    with another_connection() as other, ThreadPoolExecutor(1) as threads:
        other.autocommit = False
        other.execute(  # Bob gives it up, and has not committed yet
            "UPDATE receipt SET given_up_at = now(), given_up_by = %s, given_up_because = 'no use' WHERE id = %s",
            [BOB, receipt_id],
        )
        trying = threads.submit(in_threads, lambda: receipts.try_again(receipt_id=receipt_id, by=ANN, at=NOON + DAY))
        until_somebody_waits_for_a_lock("transactionid", "tuple")
        other.commit()
        came = trying.result(PATIENCE_S)

    receipt = Receipt.objects.get(pk=receipt_id)
    assert came == [None]
    assert (receipt.state, receipt.attempts, receipt.given_up_at) == ("pending", 0, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "done", "done_at": NOON, "given_up_at": NOON, "given_up_by": ANN, "given_up_because": "x"},
        {"state": "failed", "given_up_at": NOON, "given_up_by": "", "given_up_because": "x"},
        {"state": "failed", "given_up_at": NOON, "given_up_by": ANN, "given_up_because": ""},
    ],
)
def test_the_database_lets_no_receipt_be_half_given_up(wrong):
    receipt_id = set_aside()

    with pytest.raises(IntegrityError, match="usage_receipt_given_up_whole"), transaction.atomic():
        Receipt.objects.filter(pk=receipt_id).update(**wrong)


# --- held events ---


def test_whoever_settles_first_stays_named_and_nothing_is_booked_by_it():
    conflict, old = hold_a_conflict(), hold_an_old_one()
    before = Receipt.objects.count()

    assert held.settle(held_ids=[conflict.pk, old.pk], by=ANN, at=NOON, reason=" sent twice by a bug ") == 2
    assert held.settle(held_ids=[conflict.pk, old.pk], by=BOB, at=NOON + DAY) == 0

    conflict.refresh_from_db()
    assert (conflict.settled_by, conflict.settled_at, conflict.settled_because) == (ANN, NOON, "sent twice by a bug")
    assert held_rows.listed() == []
    assert {row.id for row in held_rows.listed(settled=True)} == {conflict.pk, old.pk}
    assert Receipt.objects.count() == before
    entry = AuditEntry.objects.filter(table="usage_heldevent").latest("id")
    assert (entry.actor, entry.reason) == (ANN, "sent twice by a bug")
    assert "event" not in entry.after


def test_a_number_that_is_no_held_event_settles_nothing():
    conflict = hold_a_conflict()

    with pytest.raises(held.NoSuchHeldEvent):
        held.settle(held_ids=[conflict.pk, conflict.pk + 1], by=ANN, at=NOON)

    conflict.refresh_from_db()
    assert conflict.settled_at is None


def test_everything_that_is_wrong_with_settling_is_told_at_once():
    with pytest.raises(Invalid) as refused:
        held.settle(held_ids=[], by=ANN, at=NOON, reason="x" * 201)
    with pytest.raises(Invalid):
        held.settle(held_ids=range(held.MOST_AT_ONCE + 1), by=ANN, at=NOON)

    assert [field for field, _ in refused.value.problems] == ["ids", "reason"]


@pytest.mark.django_db(transaction=True)
def test_two_who_settle_the_same_at_once_settle_each_once():
    ids = [hold_an_old_one().pk for _ in range(6)]

    came = in_threads(
        lambda: held.settle(held_ids=ids, by=ANN, at=NOON), lambda: held.settle(held_ids=ids[::-1], by=BOB, at=NOON)
    )

    assert sorted(came) == [0, 6]
    assert HeldEvent.objects.values("settled_by").distinct().count() == 1


def test_a_conflict_shows_what_was_counted_beside_what_came_later():
    make_priced_offering()
    hold_a_conflict(
        use_case=" SUPPORT-Routing ",
        reported_cost_usd=Decimal("0.25"),
        latency_ms=12,
        tags={"env": "prod"},
        status="error",
    )

    (row,) = held_rows.listed()

    assert row.in_totals
    assert {line.name: (line.counted, line.later) for line in row.differing} == {
        "Output tokens": (100, 700),
        "Status": ("ok", "error"),
        "Reported cost, USD": (None, Decimal("0.25")),
        "Latency, ms": (None, 12),
        "Tags": ("", "env=prod"),
    }
    same = {line.name: line.counted for line in row.lines if not line.differs}
    assert same["Uncached input tokens"] == 1000
    assert "Use case" not in {line.name for line in row.lines if line.differs}


def test_a_word_that_only_begins_like_the_other_is_another():
    known = make_event(rule="code", requested_model="x" * 300)
    send(known)
    send(make_event(event_id=known.event_id, rule="code-high", requested_model="x" * 300))

    (row,) = held_rows.listed()

    assert [(line.name, line.counted, line.later) for line in row.differing] == [("Rule", "code", "code-high")]


def test_a_conflict_with_one_that_was_kept_aside_says_so_and_one_whose_entry_is_gone_shows_what_came():
    send(make_event(), format="native")
    known = make_event()
    send(known, format="litellm")
    send(make_event(event_id=known.event_id, output_tokens=7), format="litellm")

    (row,) = held_rows.listed()
    assert (row.in_totals, [line.name for line in row.differing]) == (False, ["Output tokens"])

    HeldEvent.objects.update(entry_id=1)
    (row,) = held_rows.listed()
    assert (row.lines, row.said["output_tokens"]) == ([], 7)


def test_held_events_are_found_by_reason_gateway_and_receipt_a_page_at_a_time():
    conflict = hold_a_conflict()
    old = [hold_an_old_one().pk for _ in range(3)]
    event = make_event(occurred_at=NOON - 40 * DAY)
    other = send(event, gateway="other")

    def ids(**asked: Any) -> list[int]:
        return [row.id for row in held_rows.listed(**asked)]

    assert ids(reason="conflict") == [conflict.pk]
    assert ids(gateway_id=make_gateway("other").pk) == ids(receipt_id=other.pk) == [old[-1] + 1]
    assert ids(reason="too_old", gateway_id=make_gateway().pk, most=2) == [old[2], old[1]]
    assert ids(reason="too_old", gateway_id=make_gateway().pk, before=old[1]) == [old[0]]


def test_what_waits_for_a_person_is_counted():
    set_aside()
    hold_a_conflict()
    hold_an_old_one()
    hold_an_old_one()
    take(make_event(), make_event())

    counts = receipt_rows.counts()

    assert (counts.set_aside, counts.waiting, counts.waiting_events) == (1, 1, 2)
    assert (counts.conflicts, counts.too_old, counts.held) == (1, 2, 3)


# --- receipts as rows ---


def shown(show: str = "all", **asked: Any) -> list[int]:
    return [row.id for row in receipt_rows.listed(show=show, **asked)]


def test_receipts_are_listed_newest_first_by_what_became_of_them():
    gone, aside = set_aside(), set_aside()
    receipts.give_up(receipt_id=gone, reason="no use", by=ANN, at=NOON)
    done = send(make_event(), received_at=NOON + 2 * SECOND).pk
    part = send(make_event(occurred_at=NOON - 40 * DAY), make_event(), received_at=NOON + 3 * SECOND).pk
    waits = take(make_event(), received_at=NOON + 4 * SECOND)

    assert shown() == [waits, part, done, aside, gone]
    assert {show: shown(show) for show in ("pending", "done", "failed", "given_up", "in_part")} == {
        "pending": [waits],
        "done": [part, done],
        "failed": [aside],
        "given_up": [gone],
        "in_part": [part],
    }
    assert set(receipt_rows.SHOWN) == {"all", "pending", "done", "failed", "given_up", "in_part"}


def test_pages_of_receipts_meet_without_a_gap_also_where_many_came_at_one_instant():
    ids = [take(make_event(), gateway=f"edge-{n % 2}") for n in range(7)]

    seen, before = [], None
    while rows := receipt_rows.listed(before=before, most=3):
        seen += [row.id for row in rows]
        before = (rows[-1].received_at, rows[-1].id)

    assert seen == sorted(ids, reverse=True)
    assert shown(gateway_id=make_gateway("edge-0").pk) == sorted(ids[::2], reverse=True)


def test_a_receipt_tells_what_became_of_each_item():
    refused = [Rejected(index=n, error=f"item {n}: no model") for n in range(receipt_rows.MOST_REJECTED + 5)]
    source_id = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    receipt_id = intake.take(
        source_id=source_id, environment="production", format="native", rejected=refused, received_at=NOON,
        events=[make_event(), make_event(occurred_at=NOON - 40 * DAY), make_event(occurred_at=NOON - 50 * DAY)],
    )  # fmt: skip
    book(at=NOON + SECOND)
    held.settle(held_ids=[HeldEvent.objects.earliest("id").pk], by=ANN, at=NOON)

    found = receipt_rows.one(receipt_id=receipt_id)

    assert found is not None
    assert (found.row.events, found.row.booked, found.row.quarantined) == (3, 1, 2)
    assert (found.row.rejected, len(found.refusals)) == (len(refused), receipt_rows.MOST_REJECTED)
    assert (found.refusals[3].index, found.refusals[3].error) == (3, "item 3: no model")
    assert (found.held, found.open_held) == (2, 1)
    assert (found.row.first_occurred_at, found.row.last_occurred_at) == (NOON - 50 * DAY, NOON)
    assert receipt_rows.one(receipt_id=receipt_id + 1) is None
    assert receipt_rows.one(receipt_id=10**30) is None


def test_the_formats_of_a_gateway_s_last_bodies_are_told():
    for format, at in (("native", NOON), ("litellm", NOON + SECOND), ("native", NOON + 2 * SECOND)):
        take(make_event(), format=format, received_at=at)

    assert receipt_rows.formats(gateway_id=make_gateway().pk) == [
        ("native", 2, NOON + 2 * SECOND),
        ("litellm", 1, NOON + SECOND),
    ]
    assert receipt_rows.formats(gateway_id=make_gateway().pk, most=1) == [("native", 1, NOON + 2 * SECOND)]


def test_lists_ask_the_same_few_questions_however_much_there_is(django_assert_num_queries):
    for _ in range(3):
        hold_a_conflict()
        hold_an_old_one()
    newest = Receipt.objects.latest("id").pk

    with django_assert_num_queries(1):
        receipt_rows.listed()
    with django_assert_num_queries(1):
        receipt_rows.counts()
    with django_assert_num_queries(2):
        held_rows.listed()
    with django_assert_num_queries(2):
        receipt_rows.one(receipt_id=newest)


def test_the_moment_of_a_call_is_kept_with_its_receipt():
    def times(receipt_id: int) -> tuple[datetime | None, datetime | None]:
        receipt = Receipt.objects.get(pk=receipt_id)
        return receipt.first_occurred_at, receipt.last_occurred_at

    assert times(take(make_event(), make_event(occurred_at=NOON - DAY))) == (NOON - DAY, NOON)
    assert times(take()) == (None, None)
