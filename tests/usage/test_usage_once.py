"""Promise 2: an event counts once, however often and however oddly it is sent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connection
from django.db.models import Sum

from tests.usage.checks import assert_each_counts_once, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    entries,
    make_event,
    make_gateway,
    make_offering,
    make_priced_offering,
    outcome,
    send,
    take,
    the_entry,
)
from usage.models import EventKey, HeldEvent, LedgerEntry, Receipt
from usage.services import booking, housekeeping, imports, intake, partitions

pytestmark = pytest.mark.django_db
PATIENCE_S = 60


def test_an_event_is_booked_with_everything_it_said():
    make_priced_offering()
    event = make_event(
        event_id="e-1", team="Support", requested_model="auto", status="error", cache_read_tokens=10,
        reasoning_tokens=64, reported_cost_usd=Decimal("0.0002396"), latency_ms=910, call_group="c-7",
        rules_version=42, state_revision=881, rule="code-high", route_reason="rule", fallback_index=2, session="s-91",
        user="u-42", context={"task": "code", "complexity": "0.4"}, tags={"env": 'a "quoted\\ tag"', "tab": "a\tb"},
        flags=["meters-do-not-add-up"],
    )  # fmt: skip

    receipt = send(event, environment="staging")

    entry = the_entry()
    assert outcome(receipt) == {"booked": 1}
    assert (entry.occurred_at, entry.booked_at, entry.environment) == (NOON, NOON, "staging")
    assert (entry.use_case.name, entry.team.name, entry.offering.name) == (
        "support-routing", "Support", "gpt-5.5@openai",
    )  # fmt: skip
    assert (entry.status, entry.tier, entry.requested_model, entry.task) == (2, 1, "auto", "code")
    assert (entry.uncached_input_tokens, entry.cache_read_tokens, entry.output_tokens, entry.requests) == (
        1000, 10, 100, 1,
    )  # fmt: skip
    assert entry.cost_usd == entry.list_cost_usd == Decimal("0.008005")
    assert (entry.reported_cost_usd, entry.latency_ms, entry.reasoning_tokens) == (Decimal("0.0002396"), 910, 64)
    assert (entry.rules_version, entry.state_revision, entry.rule, entry.reason) == (42, 881, "code-high", "rule")
    assert (entry.fallback_index, entry.call_group, entry.sticky_key, entry.user_key) == (2, "c-7", "s-91", "u-42")
    assert (entry.tags, entry.flags) == ({"env": 'a "quoted\\ tag"', "tab": "a\tb"}, ["meters-do-not-add-up"])
    assert (entry.event_id, entry.receipt_id, entry.correction_of) == ("e-1", receipt.pk, None)


def test_an_event_sent_again_is_a_duplicate_and_a_success():
    event = make_event()
    send(event)

    again = send(event, received_at=NOON + 5 * SECOND)

    assert (again.state, outcome(again)) == ("done", {"duplicates": 1})
    assert_each_counts_once({event.event_id})
    assert HeldEvent.objects.count() == 0


def test_an_event_twice_in_one_body_counts_once():
    event, other = make_event(), make_event()

    receipt = send(event, other, event)

    assert outcome(receipt) == {"booked": 2, "duplicates": 1}
    assert_each_counts_once({event.event_id, other.event_id})


def test_an_event_in_two_bodies_of_one_transaction_counts_once():
    event = make_event()
    first, second = take(event), take(event, make_event())

    book()

    receipts = Receipt.objects.in_bulk()
    assert (outcome(receipts[first]), outcome(receipts[second])) == ({"booked": 1}, {"booked": 1, "duplicates": 1})


def test_an_event_sent_again_with_another_time_counts_once_at_its_first_time():
    send(make_event(event_id="e-1"))

    again = send(make_event(event_id="e-1", occurred_at=NOON + timedelta(hours=3)), received_at=NOON + DAY)

    assert outcome(again) == {"duplicates": 1}
    assert the_entry().occurred_at == NOON


def test_the_same_id_with_other_content_is_kept_once_where_people_see_it():
    send(make_event(event_id="e-1", output_tokens=100))
    other = make_event(event_id="e-1", output_tokens=101)

    first, again = send(other), send(other)

    assert outcome(first) == outcome(again) == {"conflicts": 1}
    entry, held = the_entry(), HeldEvent.objects.get()
    assert entry.output_tokens == 100
    assert (held.reason, held.event_id, held.event["output_tokens"]) == ("conflict", "e-1", 101)
    assert (held.entry_use_case_id, held.entry_booked_at, held.entry_id) == entry.pk
    assert held.receipt_id == first.pk


def test_of_two_contents_in_one_body_the_first_counts():
    receipt = send(make_event(event_id="e-1", output_tokens=1), make_event(event_id="e-1", output_tokens=2))

    assert outcome(receipt) == {"booked": 1, "conflicts": 1}
    assert the_entry().output_tokens == 1


def test_each_other_content_of_an_id_is_kept_for_itself():
    send(*(make_event(event_id="e-1", output_tokens=count) for count in (1, 2, 3, 2)))

    assert sorted(held.event["output_tokens"] for held in HeldEvent.objects.all()) == [2, 3]


def test_the_same_id_from_two_gateways_is_two_events():
    event = make_event(event_id="e-1")

    send(event, gateway="edge")
    send(event, gateway="batch")

    assert sorted(entry.gateway.name for entry in entries()) == ["batch", "edge"]


def test_ids_are_told_apart_to_the_last_character():
    ids = ["e-1", "E-1", "e-1x", "x" * 200, "x" * 199 + "y", "é"]

    receipt = send(*(make_event(event_id=id_) for id_ in ids))

    assert outcome(receipt) == {"booked": 6}


@pytest.mark.parametrize(
    ("late", "expected"),
    [(35 * DAY, {"booked": 1}), (35 * DAY + timedelta(microseconds=1), {"quarantined": 1})],
)
def test_a_live_event_more_than_35_days_older_than_its_receipt_is_held_visibly(late, expected):
    receipt = send(make_event(event_id="e-1"), received_at=NOON + late)

    assert outcome(receipt) == expected
    assert [(one.reason, one.event_id) for one in HeldEvent.objects.all()] == (
        [("too_old", "e-1")] if "quarantined" in expected else []
    )
    assert LedgerEntry.objects.count() == expected.get("booked", 0)


def test_what_is_held_as_too_old_is_held_once_however_often_it_is_sent():
    event = make_event()

    for days in (40, 41):
        send(event, received_at=NOON + days * DAY)

    assert HeldEvent.objects.count() == 1


def test_a_repeat_is_recognised_until_its_key_is_pruned_after_37_days():
    event = make_event(event_id="e-1")
    send(event)
    received_at = NOON + SECOND

    assert housekeeping.prune_keys(at=received_at + 37 * DAY) == 0
    again = make_event(event_id="e-1", occurred_at=NOON + 34 * DAY)
    assert outcome(send(again, received_at=received_at + 35 * DAY)) == {"duplicates": 1}
    assert housekeeping.prune_keys(at=received_at + 37 * DAY + SECOND) == 1


def test_keys_of_an_import_are_never_pruned():
    source = imports.open_import(gateway_id=make_gateway().pk, covers=(NOON, NOON + DAY), by="tests", at=NOON)
    send(make_event(), source_id=source.pk)

    assert housekeeping.prune_keys(at=NOON + 1000 * DAY) == 0
    assert EventKey.objects.count() == 1


def test_an_import_may_be_older_than_the_window_of_live_events():
    source = imports.open_import(gateway_id=make_gateway().pk, covers=(NOON - 90 * DAY, NOON), by="tests", at=NOON)

    receipt = send(make_event(occurred_at=NOON - 90 * DAY), source_id=source.pk)

    assert outcome(receipt) == {"booked": 1}


def in_threads(count, work):
    """Run `work(number)` in so many threads that begin at the same moment."""
    together = Barrier(count)

    def one(number):
        try:
            together.wait(PATIENCE_S)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


@pytest.mark.django_db(transaction=True)
def test_eight_clients_and_workers_at_once_count_each_event_once():
    make_priced_offering()
    make_gateway()
    source = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    # Half of what each of them sends is new names, which all of them make on sight at once.
    events = [
        make_event(
            use_case=f"use case {number % 7}", team=f"team {number % 5}", context={"n": str(number % 11)},
            model="gpt-5.5" if number % 2 else f"model-{number % 6}", occurred_at=NOON + number * timedelta(minutes=7),
        )
        for number in range(120)
    ]  # fmt: skip

    def client(number):
        mine = events[number:] + events[:number]
        for start in range(0, len(mine), 15):
            take(*mine[start : start + 15][:: 1 if number % 2 else -1], source_id=source, received_at=NOON + DAY)
            book(at=NOON + DAY + SECOND)

    in_threads(8, client)
    book(at=NOON + 2 * DAY)

    receipts = Receipt.objects.aggregate(Sum("booked"), Sum("duplicates"), Sum("conflicts"), Sum("attempts"))
    assert set(Receipt.objects.values_list("state", flat=True)) == {"done"}
    assert receipts == {
        "booked__sum": 120, "duplicates__sum": 7 * 120, "conflicts__sum": 0, "attempts__sum": 0,
    }  # fmt: skip
    assert_each_counts_once({event.event_id for event in events})
    assert_rollups_equal_ledger()


@pytest.mark.django_db(transaction=True)
def test_eight_contents_of_one_id_at_once_give_one_entry_and_seven_conflicts():
    make_offering()
    partitions.make(first=NOON.date(), last=NOON.date())
    source = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    for number in range(8):
        take(make_event(event_id="e-1", output_tokens=number), source_id=source)

    ids = list(Receipt.objects.values_list("id", flat=True))
    partitions.make(first=NOON.date(), last=(NOON + DAY).date())
    in_threads(8, lambda number: booking._book(ids=[ids[number]], at=NOON + DAY))

    totals = Receipt.objects.aggregate(Sum("booked"), Sum("conflicts"))
    assert totals == {"booked__sum": 1, "conflicts__sum": 7}
    assert HeldEvent.objects.count() == 7
    assert_rollups_equal_ledger()
