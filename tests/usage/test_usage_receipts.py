"""Receipts: what fails is tried again, set aside where people see it, and never holds up the others."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection

from tests.usage.checks import assert_each_counts_once, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    entries,
    make_event,
    make_gateway,
    outcome,
    send,
    take,
    the_entry,
)
from tests.usage.waiting import PATIENCE_S, another_connection, until_somebody_waits_for_a_lock
from usage.models import Receipt, ReceiptState
from usage.selectors import freshness
from usage.services import booking, imports, intake, partitions

pytestmark = pytest.mark.django_db


def spoil(receipt_id, events=b"not zstd"):
    Receipt.objects.filter(pk=receipt_id).update(events=events)


def test_a_spoilt_receipt_does_not_hold_up_the_others():
    before, spoilt, after = take(make_event()), take(make_event()), take(make_event())
    spoil(spoilt)

    done = book()

    assert done == 2
    assert dict(Receipt.objects.values_list("id", "state")) == {before: "done", spoilt: "pending", after: "done"}
    assert {entry.receipt_id for entry in entries()} == {before, after}


def test_a_spoilt_receipt_is_tried_later_and_later_and_at_last_set_aside_with_its_error():
    spoilt = take(make_event())
    spoil(spoilt)
    at, tries = NOON + SECOND, []

    while Receipt.objects.get(pk=spoilt).state == ReceiptState.PENDING:
        book(at=at)
        receipt = Receipt.objects.get(pk=spoilt)
        tries.append(receipt.try_after - at)
        book(at=receipt.try_after - timedelta(microseconds=1))
        assert Receipt.objects.get(pk=spoilt).attempts == len(tries)
        at = receipt.try_after

    receipt = Receipt.objects.get(pk=spoilt)
    assert (receipt.state, receipt.attempts) == ("failed", booking.MOST_ATTEMPTS)
    assert "ZstdError" in receipt.error
    assert tries == sorted(set(tries))


def test_events_that_were_never_packed_by_us_are_set_aside_too():
    spoilt = take(make_event())
    spoil(spoilt, intake.pack([])[:-1] + b"\xff" * 4)

    for minutes in range(20):
        book(at=NOON + timedelta(minutes=minutes))

    assert Receipt.objects.get(pk=spoilt).state == "failed"


def test_a_receipt_that_was_set_aside_can_be_tried_again_and_then_counts():
    event = make_event()
    spoilt = take(event)
    sound = bytes(Receipt.objects.get(pk=spoilt).events)
    spoil(spoilt)
    for minutes in range(20):
        book(at=NOON + timedelta(minutes=minutes))
    spoil(spoilt, sound)

    assert intake.retry(receipt_id=spoilt, at=NOON + DAY)
    book(at=NOON + DAY)

    receipt = Receipt.objects.get(pk=spoilt)
    assert (receipt.state, receipt.error, outcome(receipt)) == ("done", "", {"booked": 1})
    assert not intake.retry(receipt_id=spoilt, at=NOON + DAY)
    assert_each_counts_once({event.event_id})


def test_many_receipts_are_booked_in_several_transactions_oldest_first():
    ids = [take(*(make_event() for _ in range(5))) for _ in range(20)]

    done = booking.book_pending(at=NOON + DAY, limit_events=12)

    assert done == 20
    assert [entry.receipt_id for entry in entries()] == [id_ for id_ in ids for _ in range(5)]


def test_a_receipt_with_more_events_than_a_transaction_s_worth_is_booked_whole():
    receipt_id = take(*(make_event() for _ in range(30)))

    booking.book_pending(at=NOON + DAY, limit_events=12)

    assert outcome(Receipt.objects.get(pk=receipt_id)) == {"booked": 30}


def test_ids_of_more_than_one_block_are_all_different():
    send(*(make_event() for _ in range(2100)))

    assert len({entry.id for entry in entries()}) == 2100
    assert_rollups_equal_ledger()


def test_a_body_of_which_nothing_was_accepted_is_done_at_once():
    source = intake.live_source(gateway_id=make_gateway().pk, at=NOON)

    receipt_id = intake.take(
        source_id=source, environment="production", format="native", events=[], rejected=[], received_at=NOON
    )

    receipt = Receipt.objects.get(pk=receipt_id)
    assert (receipt.state, receipt.done_at, receipt.events) == ("done", NOON, None)


def test_a_month_without_a_partition_gets_one():
    long_before = datetime(2019, 2, 28, 23, 59, tzinfo=UTC)
    source = imports.open_import(
        gateway_id=make_gateway().pk, covers=(long_before, long_before + SECOND), by="tests", at=NOON
    )
    with connection.cursor() as cursor:
        for table in ("ledger", "ledger_unsummed", "rollup_15min"):
            cursor.execute(f"DROP TABLE {table}_201902")
    partitions.forget()

    receipt = send(make_event(occurred_at=long_before), source_id=source.pk)

    assert outcome(receipt) == {"booked": 1}
    assert the_entry().booked_at == long_before
    assert datetime(2019, 2, 1).date() in partitions.months()


def test_back_pressure_counts_what_waits_and_not_what_is_set_aside():
    take(make_event(), make_event())
    Receipt.objects.update(state=ReceiptState.FAILED)
    take(make_event(), make_event(), make_event())

    assert intake.waiting_events() == 3


# --- how far the figures go ---


def test_figures_are_complete_through_the_oldest_receipt_that_waits():
    send(make_event(), received_at=NOON)
    take(make_event(), received_at=NOON + 10 * SECOND)
    take(make_event(), received_at=NOON + 20 * SECOND)

    assert freshness.complete_through(at=NOON + DAY / 2) == NOON + 10 * SECOND


def test_figures_are_complete_through_the_last_receipt_where_none_waits():
    send(make_event(), received_at=NOON)
    send(make_event(), received_at=NOON + 10 * SECOND)

    assert freshness.complete_through(at=NOON + DAY / 2) == NOON + 10 * SECOND


def test_figures_are_complete_through_the_least_of_the_gateways_heard_of_in_a_day():
    send(make_event(), received_at=NOON - DAY, gateway="asleep")
    send(make_event(), received_at=NOON, gateway="edge")
    send(make_event(), received_at=NOON + 10 * SECOND, gateway="batch")

    assert freshness.complete_through(at=NOON + SECOND) == NOON
    assert freshness.complete_through(at=NOON + 10 * SECOND) == NOON
    assert freshness.complete_through(at=NOON + DAY + SECOND) == NOON + 10 * SECOND
    assert freshness.complete_through(at=NOON + 3 * DAY) is None


def test_receipts_set_aside_do_not_hold_back_how_far_the_figures_go():
    aside = take(make_event(), received_at=NOON - SECOND)
    Receipt.objects.filter(pk=aside).update(state=ReceiptState.FAILED)
    send(make_event(), received_at=NOON)

    assert freshness.complete_through(at=NOON + SECOND) == NOON
    assert [row.set_aside for row in freshness.gateways(at=NOON + SECOND)] == [1]


# --- what is no receipt's fault ---


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_breaks_in_the_middle_is_not_held_against_the_receipt():
    receipt_id = take(make_event())
    with connection.cursor() as cursor:  # the server ends the connection that writes into the ledger
        cursor.execute(
            "CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        cursor.execute("CREATE TRIGGER hang_up BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION hang_up()")

    try:
        with pytest.raises(OperationalError):
            book()
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION hang_up CASCADE")

    receipt = Receipt.objects.get(pk=receipt_id)
    assert (receipt.state, receipt.attempts) == ("pending", 0)
    book()
    assert outcome(Receipt.objects.get(pk=receipt_id)) == {"booked": 1}


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_is_not_held_against_the_receipt():
    send(make_event(use_case="known", context={}))
    receipt_id = take(make_event(use_case="known"), make_event(use_case="known"))

    def wants_the_receipt(other):
        until_somebody_waits_for_a_lock("transactionid", "tuple")
        other.execute("SELECT 1 FROM receipt WHERE id = %s FOR UPDATE", [receipt_id])
        other.rollback()

    with another_connection() as other, ThreadPoolExecutor(1) as threads:
        other.autocommit = False
        other.execute("SET deadlock_timeout = '60s'")  # so that it is the booking that notices
        # Somebody holds the rollup row that the booking will want, and then wants what the booking holds.
        other.execute("SELECT 1 FROM rollup_day FOR UPDATE")
        wanting = threads.submit(wants_the_receipt, other)
        with pytest.raises(OperationalError, match="deadlock"):
            book()
        wanting.result(PATIENCE_S)

    receipt = Receipt.objects.get(pk=receipt_id)
    assert (receipt.state, receipt.attempts) == ("pending", 0)
