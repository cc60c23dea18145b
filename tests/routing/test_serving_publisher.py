"""The publisher: what budgets and switches change, and time alone, is published; nothing else costs anything."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from budgets.models import Change, Crossing
from budgets.services import counters, limits
from routing.models import Environment, StateRevision
from routing.services import switches
from routing.serving import publisher
from tests.factories import NOON, make_budget, make_consumption
from tests.routing.making import make_version, stock
from tests.usage.waiting import another_connection, until

QUARTER_SECOND = timedelta(milliseconds=250)


@pytest.fixture
def environment(db):
    stock()
    return make_version().environment


def latest() -> dict:
    return json.loads(bytes(StateRevision.objects.latest("revision").canonical))


def test_what_it_finds_at_its_start_is_published(environment):
    switches.turn(kind="provider", name="google", off=True, seconds=60, reason="outage", by="tests", at=NOON)

    made = publisher.Looker().look(at=NOON + timedelta(minutes=2))

    assert made == 1
    assert latest()["switches"] == []


def test_a_look_that_finds_nothing_costs_one_query(environment):
    looker = publisher.Looker()
    looker.look(at=NOON)

    with CaptureQueriesContext(connection) as queries:
        made = [looker.look(at=NOON + QUARTER_SECOND * step) for step in range(1, 5)]

    assert (made, len(queries)) == ([None] * 4, 4)


def test_an_exceeded_budget_is_published_at_the_next_look_and_its_end_when_the_period_ends(environment):
    make_budget(action="downgrade", scope={"use_case": ["support-routing"]}, amount=Decimal(100))
    looker = publisher.Looker()
    looker.look(at=NOON)
    counters.consume(consumptions=[make_consumption(input_tokens=200)], at=NOON)

    made = looker.look(at=NOON + QUARTER_SECOND)
    exceeded = latest()["budgets"]
    end = NOON.replace(month=7, day=1, hour=0)
    before_the_end = looker.look(at=end - QUARTER_SECOND)
    looker.look(at=end)

    assert (made, [one["state"] for one in exceeded]) == (1, ["exceeded"])
    assert exceeded[0]["until"] == "2026-07-01T00:00:00Z"
    assert not before_the_end
    assert latest()["budgets"] == []


def test_a_switch_ends_by_itself_at_its_instant_and_not_before(environment):
    looker = publisher.Looker()
    switches.turn(kind="provider", name="google", off=True, seconds=10, reason="outage", by="tests", at=NOON)
    looker.look(at=NOON)

    nine, ten, after = (looker.look(at=NOON + timedelta(seconds=seconds)) for seconds in (9, 10, 11))

    assert (nine, ten, after) == (None, 1, None)
    assert latest()["switches"] == []


def test_a_switch_turned_while_it_runs_is_known_to_end(environment):
    looker = publisher.Looker()
    looker.look(at=NOON)
    switches.turn(kind="provider", name="google", off=True, seconds=5, reason="outage", by="tests", at=NOON)

    seen, ended = (looker.look(at=NOON + timedelta(seconds=seconds)) for seconds in (1, 5))

    assert (seen, ended) == (0, 1)  # turning it published it already


def test_an_instant_that_nobody_settled_is_dealt_with_once(environment):
    looker = publisher.Looker()
    looker.look(at=NOON)
    Change.objects.update(next_at=NOON + timedelta(seconds=1))

    due = looker.look(at=NOON + timedelta(seconds=1))
    idle = [looker.look(at=NOON + timedelta(seconds=1) + QUARTER_SECOND * step) for step in range(1, 5)]

    assert due is not None
    assert idle == [None] * 4
    assert Change.objects.get().next_at is None


def test_a_limit_that_starts_by_date_is_evaluated_at_its_moment_also_of_a_budget_that_only_alerts(environment):
    budget = make_budget(amount=Decimal(100))
    counters.consume(consumptions=[make_consumption(input_tokens=60)], at=NOON)
    starts = NOON + timedelta(hours=1)
    limits.set_limit(
        budget=budget, amount=Decimal(50), starts_at=starts, reason="a quiet week", by="a@example.com",
        approved_by="b@example.com", at=NOON,
    )  # fmt: skip
    looker = publisher.Looker()
    looker.look(at=NOON + timedelta(minutes=59, seconds=59))
    before = Crossing.objects.count()

    looker.look(at=starts + QUARTER_SECOND)

    told = Crossing.objects.values_list("threshold", "limit__version", "crossed_at")
    assert before == 0
    assert set(told) == {(threshold, 2, starts + QUARTER_SECOND) for threshold in (70, 90, 100)}


def test_it_looks_again_after_a_minute_whatever_the_counters_say(environment):
    looker = publisher.Looker()
    looker.look(at=NOON)

    found = [looker.look(at=NOON + timedelta(seconds=seconds)) for seconds in (59, 60, 61)]

    assert found == [None, 0, None]


def test_a_clock_that_was_set_back_does_not_stop_it(environment):
    looker = publisher.Looker()
    looker.look(at=NOON)

    assert looker.look(at=NOON - timedelta(hours=1)) is not None


def test_two_of_them_publish_each_state_once(environment):
    one, other = publisher.Looker(), publisher.Looker()
    one.look(at=NOON)
    other.look(at=NOON)
    switches.turn(kind="provider", name="google", off=True, seconds=10, reason="outage", by="tests", at=NOON)

    made = [looker.look(at=NOON + timedelta(seconds=10)) for looker in (one, other)]

    assert made == [1, 0]
    assert Environment.objects.get().state_revision == StateRevision.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_it_goes_on_when_its_connection_is_cut_and_finds_what_it_missed():
    stock()
    make_version(at=timezone.now())
    stop, looks = threading.Event(), []
    thread = threading.Thread(
        target=publisher.run, kwargs={"stop": stop, "clock": timezone.now, "looked": lambda: looks.append(1)}
    )
    thread.start()
    try:
        until(lambda: looks, what="the first look")
        with another_connection() as cutting:
            cut = cutting.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)",
                [connection.connection.info.backend_pid],
            ).fetchone()
        looked = len(looks)
        # Ends while the publisher is away or soon after it is back.
        at = timezone.now() - timedelta(seconds=1)
        switches.turn(kind="provider", name="google", off=True, seconds=2, reason="outage", by="tests", at=at)
        until(lambda: len(looks) > looked and latest()["switches"] == [], what="the end of the switch")
    finally:
        stop.set()
        thread.join(10)

    assert cut[0] >= 1
    assert not thread.is_alive()
