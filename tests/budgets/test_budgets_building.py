"""Budgets made under traffic: whatever is open at whatever step, each event counts once.

The table `booked` stands for the ledger, which budgets never read: a booking writes a line there and consumes it in one
transaction, and `summed` reads its sum and the snapshot in one statement.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from threading import Barrier, Event

import pytest
from django.db import connection, transaction

from budgets.models import Change, Counter, CounterDelta, Crossing
from budgets.services import budgets, building, counters
from budgets.services.building import Summed
from core.periods import containing
from core.services import barrier
from tests.factories import NOON, make_budget, make_consumption, make_use_case

PATIENCE_S = 30


@pytest.fixture
def ledger(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE booked (used numeric NOT NULL)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE booked")


def book(tokens, *, hold=None, consumed=None):
    """Book in one transaction, which says when it has consumed and stays open while it is held."""
    try:
        with transaction.atomic():
            barrier.hold_shared()
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO booked VALUES (%s)", [tokens])
            counters.consume(consumptions=[make_consumption(input_tokens=tokens)], at=NOON)
            if consumed:
                consumed.set()
            if hold:
                assert hold.wait(PATIENCE_S)
    finally:
        connection.close()


def summed(ask):
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(used), 0), pg_current_snapshot()::text FROM booked")
        used, snapshot = cursor.fetchone()
    return Summed(used=used, unclassified=Decimal(0), snapshot=snapshot)


def build(counter_id, summed=summed):
    try:
        return building.build(counter_id=counter_id, summed=summed, at=NOON)
    finally:
        connection.close()


def wait_for_waiting(backends):
    """Return once so many connections wait for a lock."""
    with connection.cursor() as cursor:
        for _ in range(100_000):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone()[0] >= backends:
                return
    raise AssertionError(f"{backends} connections should have come to wait for a lock")


def test_each_event_counts_once_whatever_is_open_at_each_step(ledger):
    make_use_case()
    let_early_go, let_open_go, early_consumed, open_consumed = Event(), Event(), Event(), Event()
    summing, asked = Event(), []

    with ThreadPoolExecutor(8) as pool:

        def sum_amid_traffic(ask):
            asked.append(ask)
            pool.submit(book, 4).result(PATIENCE_S)  # committed between the barrier and the sum
            running.append(pool.submit(book, 2, hold=let_open_go, consumed=open_consumed))
            assert open_consumed.wait(PATIENCE_S)  # open across the sum, and committed after it
            found = summed(ask)
            running.append(pool.submit(book, 8))  # begun after the sum, waiting for the counter
            summing.set()
            return found

        # Begun before the budget was committed: it knows nothing of it.
        running = [pool.submit(book, 1, hold=let_early_go, consumed=early_consumed)]
        assert early_consumed.wait(PATIENCE_S)
        budget = make_budget(live=False, amount=Decimal(100))
        [counter_id] = building.waiting_to_build()
        built = pool.submit(build, counter_id, sum_amid_traffic)
        wait_for_waiting(1)  # the builder, at the barrier
        assert not summing.is_set()
        let_early_go.set()
        assert summing.wait(PATIENCE_S)
        wait_for_waiting(2)  # the late booking and the builder, at the counter's row
        running.append(pool.submit(book, 16))  # begun while the builder waits
        wait_for_waiting(3)
        let_open_go.set()
        for one in running:
            one.result(PATIENCE_S)
        built.result(PATIENCE_S)

    counter = Counter.objects.get(pk=counter_id)
    assert (counter.state, counter.used) == ("live", 1 + 2 + 4 + 8 + 16)
    assert CounterDelta.objects.count() == 0
    assert (asked[0].budget_id, asked[0].scope) == (budget.pk, {"use_case": {"support-routing"}})
    assert asked[0].period == containing(NOON, "month", "UTC")


def test_a_booking_that_compared_with_the_old_limit_is_waited_for_when_the_limit_is_lowered(ledger):
    budget = make_budget()
    let_go, consumed = Event(), Event()

    def lower():
        try:
            budgets.set_limit(budget=budget, amount=Decimal(50), reason="r", by="a", approved_by="b", at=NOON)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(book, 60, hold=let_go, consumed=consumed)]
        assert consumed.wait(PATIENCE_S)
        running.append(pool.submit(lower))
        wait_for_waiting(1)
        let_go.set()
        for one in running:
            one.result(PATIENCE_S)

    found = Crossing.objects.values_list("threshold", "limit__version")
    assert sorted(found) == [(70, 2), (90, 2), (100, 2)]


def test_under_steady_traffic_the_counter_ends_equal_to_the_ledger(ledger):
    make_use_case()
    begun = Barrier(7)

    def traffic(index):
        begun.wait(PATIENCE_S)
        for number in range(12):
            book(1 + index * 100 + number)

    with ThreadPoolExecutor(9) as pool:
        running = [pool.submit(traffic, index) for index in range(6)]
        begun.wait(PATIENCE_S)
        make_budget(live=False, amount=Decimal(10_000))
        [counter_id] = building.waiting_to_build()
        # Two builders at once: one of them finds the work done.
        running += [pool.submit(build, counter_id) for _ in range(2)]
        for one in running:
            one.result(PATIENCE_S)

    counter = Counter.objects.get(pk=counter_id)
    assert (counter.state, counter.used) == ("live", sum(1 + i * 100 + n for i in range(6) for n in range(12)))
    assert sorted(Crossing.objects.values_list("threshold", flat=True)) == [70, 90, 100]
    assert CounterDelta.objects.count() == 0


def as_of_now(used, unclassified=0):
    def read(ask):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_snapshot()::text")
            return Summed(used=Decimal(used), unclassified=Decimal(unclassified), snapshot=cursor.fetchone()[0])

    return read


@pytest.mark.django_db
def test_nothing_is_compared_with_the_limit_before_the_counter_lives():
    budget = make_budget(live=False, action="block")

    counters.consume(consumptions=[make_consumption(input_tokens=150)], at=NOON)

    counter = Counter.objects.get(budget=budget)
    assert (counter.state, counter.used) == ("building", 0)
    assert CounterDelta.objects.get().used == 150
    assert not Crossing.objects.exists()


@pytest.mark.django_db
def test_what_was_passed_already_is_told_when_the_counter_comes_to_life():
    make_budget(live=False, action="block")
    states = Change.objects.get().states
    [counter_id] = building.waiting_to_build()

    found = building.build(counter_id=counter_id, summed=as_of_now(75, 40), at=NOON)
    again = building.build(counter_id=counter_id, summed=as_of_now(1000), at=NOON)

    counter = Counter.objects.get(pk=counter_id)
    assert (counter.used, counter.unclassified, counter.state) == (75, 40, "live")
    assert [(one.basis, one.threshold) for one in found] == [("actual", 70), ("may_have", 90), ("may_have", 100)]
    assert again == []
    # Whoever publishes looks once more: a counter that is summed anew may have been used up before.
    assert Change.objects.get().states == states + 1


@pytest.mark.django_db
def test_a_counter_that_comes_to_life_exceeded_moves_states():
    make_budget(live=False, action="block")
    states = Change.objects.get().states
    [counter_id] = building.waiting_to_build()

    building.build(counter_id=counter_id, summed=as_of_now(100), at=NOON)

    change = Change.objects.get()
    assert (change.states, change.next_at) == (states + 1, datetime(2026, 7, 1, tzinfo=UTC))


@pytest.mark.django_db
def test_a_frontier_budget_asks_for_the_sum_without_its_tier():
    make_budget(live=False, scope={"use_case": ["support-routing"], "tier": ["frontier"]})
    [counter_id] = building.waiting_to_build()
    asked = []

    def read(ask):
        asked.append(ask)
        return as_of_now(0)(ask)

    building.build(counter_id=counter_id, summed=read, at=NOON)

    assert (asked[0].scope, asked[0].unit) == ({"use_case": {"support-routing"}}, "frontier_tokens")
    assert asked[0].statuses == {"ok", "error", "usage_missing"}


@pytest.mark.django_db
def test_a_retired_budget_is_not_built():
    budget = make_budget(live=False)
    [counter_id] = building.waiting_to_build()
    budgets.retire(budget=budget, reason="made by mistake", by="a@example.com", at=NOON)

    found = building.build(counter_id=counter_id, summed=as_of_now(1000), at=NOON)

    assert (building.waiting_to_build(), found) == ([], [])
    assert not Crossing.objects.exists()


@pytest.mark.django_db
def test_a_budget_made_on_the_last_evening_builds_the_period_ahead_too():
    budget = make_budget(live=False, at=datetime(2026, 6, 30, 23, tzinfo=UTC))

    starts = list(Counter.objects.filter(budget=budget).order_by("id").values_list("period_start", "state"))

    assert starts == [
        (datetime(2026, 6, 1, tzinfo=UTC), "building"),
        (datetime(2026, 7, 1, tzinfo=UTC), "building"),
    ]
