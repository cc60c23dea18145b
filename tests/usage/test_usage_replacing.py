"""An event that replaces or voids an earlier one: a reversal and a new entry, in whatever order they come."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from threading import Barrier

import pytest
from django.db import connection
from django.db.models import Sum

from budgets.models import Counter
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
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
    set_price,
    take,
    the_entry,
)
from usage.models import EntryKind, HeldEvent, LedgerEntry, Receipt, UnsummedEntry
from usage.services import intake, jobs, months
from usage.services.restating import running

pytestmark = pytest.mark.django_db
PATIENCE_S = 60


def tokens_by_event():
    """Sum what the ledger holds for each event, without those that come to nothing."""
    rows = LedgerEntry.objects.values_list("event_id").annotate(
        tokens=Sum("uncached_input_tokens"), requests=Sum("requests")
    )
    return {event_id: (tokens, requests) for event_id, tokens, requests in rows if tokens or requests}


def void(event_id, voids, **overrides):
    return make_event(
        event_id=event_id, voids=voids, model="", provider="", uncached_input_tokens=0, output_tokens=0, **overrides
    )


def restate():
    running.take_up(at=NOON + DAY)
    while jobs.run_next(clock=lambda: NOON + DAY):
        pass


def test_a_replacing_event_books_a_reversal_and_a_new_entry():
    make_priced_offering()
    make_budget(unit="usd", amount=Decimal(100), scope={}, at=NOON - DAY)
    first = send(make_event(event_id="a", uncached_input_tokens=1000))

    second = send(make_event(event_id="b", replaces="a", uncached_input_tokens=400), received_at=NOON + 60 * SECOND)

    old, new, reversal = sorted(entries(), key=lambda entry: (entry.kind, entry.id))
    assert (outcome(first), outcome(second)) == ({"booked": 1}, {"booked": 1})
    assert (old.event_id, new.event_id, reversal.event_id) == ("a", "b", "a")
    assert (reversal.kind, reversal.corrects_id, reversal.receipt_id) == (EntryKind.REVERSAL, old.id, second.id)
    assert (reversal.cost_usd, reversal.requests, reversal.booked_at) == (-old.cost_usd, -1, old.booked_at)
    assert tokens_by_event() == {"b": (400, 1)}
    assert Counter.objects.get().used == new.cost_usd
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


def test_a_voiding_event_books_a_reversal_alone():
    make_priced_offering()
    send(make_event(event_id="a"))

    receipt = send(void("v", "a"))

    assert outcome(receipt) == {"booked": 1}
    assert [(entry.event_id, entry.kind) for entry in entries()] == [("a", 1), ("a", 2)]
    assert tokens_by_event() == {}
    assert_rollups_equal_ledger()


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
@pytest.mark.parametrize("bodies", [1, 3])
def test_in_any_order_and_any_bodies_the_last_of_a_chain_counts(order, bodies):
    make_priced_offering()
    chain = {
        "a": make_event(event_id="a", uncached_input_tokens=1),
        "b": make_event(event_id="b", replaces="a", uncached_input_tokens=2),
        "c": make_event(event_id="c", replaces="b", uncached_input_tokens=3),
    }

    if bodies == 1:
        send(*(chain[name] for name in order))
    else:
        for name in order:
            send(chain[name])

    assert tokens_by_event() == {"c": (3, 1)}
    assert_rollups_equal_ledger()


def test_an_event_that_was_replaced_before_it_came_counts_for_nothing_and_is_told():
    make_priced_offering()
    send(make_event(event_id="b", replaces="a"))

    receipt = send(make_event(event_id="a"))

    assert outcome(receipt) == {"superseded": 1}
    assert the_entry().event_id == "b"
    assert not HeldEvent.objects.exists()


def test_an_event_that_was_voided_before_it_came_counts_for_nothing():
    make_priced_offering()
    send(void("v", "a"))

    receipt = send(make_event(event_id="a"))

    assert outcome(receipt) == {"superseded": 1}
    assert entries() == []


def test_two_that_replace_one_event_leave_the_later():
    make_priced_offering()
    send(make_event(event_id="a"))
    send(make_event(event_id="b", replaces="a", uncached_input_tokens=2))

    send(make_event(event_id="c", replaces="a", uncached_input_tokens=3))

    assert tokens_by_event() == {"c": (3, 1)}


def test_whoever_replaces_what_was_replaced_replaces_what_counts_now():
    make_priced_offering()
    send(make_event(event_id="a"))
    send(make_event(event_id="b", replaces="a", uncached_input_tokens=2))
    send(make_event(event_id="c", replaces="a", uncached_input_tokens=3))

    send(make_event(event_id="d", replaces="b", uncached_input_tokens=4))

    assert tokens_by_event() == {"d": (4, 1)}


def test_a_voided_event_is_taken_back_once_however_often_it_is_voided():
    make_priced_offering()
    send(make_event(event_id="a"))

    send(void("v", "a"), void("w", "a"))
    send(void("x", "a"))

    assert [entry.kind for entry in entries()] == [1, 2]


def test_a_voided_event_can_be_replaced():
    make_priced_offering()
    send(make_event(event_id="a"))
    send(void("v", "a"))

    send(make_event(event_id="b", replaces="a", uncached_input_tokens=7))

    assert tokens_by_event() == {"b": (7, 1)}


def test_a_replacing_event_sent_again_changes_nothing():
    make_priced_offering()
    send(make_event(event_id="a"))
    replacing = make_event(event_id="b", replaces="a")
    send(replacing)

    receipt = send(replacing, make_event(event_id="b", replaces="a", output_tokens=5))

    assert outcome(receipt) == {"duplicates": 1, "conflicts": 1}
    assert len(entries()) == 3


def test_a_conflict_that_names_another_event_replaces_nothing():
    make_priced_offering()
    send(make_event(event_id="b"))

    send(make_event(event_id="b", replaces="a"))
    receipt = send(make_event(event_id="a"))

    assert outcome(receipt) == {"booked": 1}
    assert len(entries()) == 2


def test_an_event_of_another_gateway_is_not_replaced():
    make_priced_offering()
    send(make_event(event_id="a"), gateway="one")

    send(make_event(event_id="b", replaces="a"), gateway="two")

    assert set(tokens_by_event()) == {"a", "b"}


def test_what_a_correction_moved_is_taken_back_where_it_is():
    offering = make_offering()
    send(make_event(event_id="a"))
    for meter in ("uncached_input", "output"):
        set_price(offering, meter, "5")
    restate()
    assert [entry.kind for entry in entries()] == [1, 2, 1]

    send(make_event(event_id="b", replaces="a", uncached_input_tokens=7), received_at=NOON + DAY)

    assert tokens_by_event() == {"b": (7, 1)}
    assert LedgerEntry.objects.aggregate(cost=Sum("cost_usd"))["cost"] == Decimal("0.000535")
    assert_rollups_equal_ledger()


def test_an_adjusted_entry_is_taken_back_with_its_adjustment():
    offering = make_priced_offering()
    send(make_event(event_id="a"))
    set_price(offering, "output", "60", valid_from=NOON - DAY, at=NOON + SECOND * 30)
    restate()
    assert [entry.kind for entry in entries()] == [1, 3]

    send(void("v", "a"), received_at=NOON + DAY)

    assert LedgerEntry.objects.aggregate(cost=Sum("cost_usd"))["cost"] == 0
    assert_rollups_equal_ledger()


def test_an_entry_of_a_closed_month_is_taken_back_in_the_open_one():
    make_priced_offering()
    send(make_event(event_id="a"))
    july = NOON + timedelta(days=20)
    months.close_month(label=NOON.date().replace(day=1), by="finance@example.com", at=july)

    send(make_event(event_id="b", replaces="a", uncached_input_tokens=7), received_at=july)

    reversal = LedgerEntry.objects.get(kind=EntryKind.REVERSAL)
    assert (reversal.booked_at, reversal.correction_of) == (july + SECOND, NOON.date().replace(day=1))
    assert tokens_by_event() == {"b": (7, 1)}
    assert_rollups_equal_ledger()


def test_shadow_events_take_nothing_back():
    make_priced_offering()
    send(make_event(event_id="a"), format="native")

    send(make_event(event_id="b", replaces="a"), format="litellm")

    assert the_entry().event_id == "a"
    assert UnsummedEntry.objects.get().event_id == "b"


@pytest.mark.django_db(transaction=True)
def test_an_event_and_what_replaces_it_at_once_leave_one_that_counts():
    make_priced_offering()
    gateway = make_gateway()
    source_id = intake.live_source(gateway_id=gateway.pk, at=NOON)
    pairs = 12
    for number in range(pairs):
        take(make_event(event_id=f"old-{number}"), source_id=source_id)
        take(make_event(event_id=f"new-{number}", replaces=f"old-{number}"), source_id=source_id)
    together = Barrier(4)

    def worker():
        try:
            together.wait(PATIENCE_S)
            while book():
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(worker) for _ in range(4)]:
            one.result(PATIENCE_S)
    book()

    assert not Receipt.objects.exclude(state="done").exists()
    assert set(tokens_by_event()) == {f"new-{number}" for number in range(pairs)}
    assert_rollups_equal_ledger()
