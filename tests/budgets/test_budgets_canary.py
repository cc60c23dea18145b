"""The daily check, from its counter to the channels, and what became of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection

from alerts.models import Alert, Channel, Delivery
from alerts.services import deliveries
from budgets import tasks
from budgets.models import Budget, BudgetLimit, Counter, Crossing
from budgets.selectors import canary as checks
from budgets.selectors import definitions, overview
from budgets.services import canary
from core.models import Organisation
from tests.alerts.conftest import webhook  # noqa: F401
from tests.alerts.making import make_channel
from tests.factories import make_budget

pytestmark = pytest.mark.django_db
NINE = datetime(2026, 6, 15, 7, 0, 1, tzinfo=UTC)  # 09:00:01 in Berlin
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def berlin(db):
    Organisation.objects.filter(pk=1).update(zone="Europe/Berlin")


def test_the_check_goes_from_the_counter_to_the_channels_that_are_ticked_and_says_so_in_plain_words(webhook):  # noqa: F811
    ticked = make_channel(kind="slack", secret=webhook.url, canary=True, kinds=["budget_crossing"])
    make_channel()

    made = canary.look(at=NINE)
    deliveries.deliver_due(at=NINE + timedelta(seconds=1.2), limit=9)

    assert made
    (crossing,) = Crossing.objects.all()
    assert (crossing.threshold, crossing.used, crossing.budget.canary) == (100, 1, True)
    alert = Alert.objects.get()
    assert (alert.kind, alert.state, alert.pk) == ("canary", "resolved", crossing.alert_id)
    assert list(Delivery.objects.values_list("channel", "state")) == [(ticked.pk, "delivered")]
    said = json.dumps(webhook.posts[0])
    assert "a budget made for it was crossed at 09:00:01 (Europe/Berlin)" in said
    assert "This message took 1.2 s to leave." in said
    assert "Acknowledge" not in said


def test_there_is_one_check_a_day_from_its_hour_on_and_a_missed_one_is_made_up_for_the_same_day():
    make_channel(canary=True)

    looks = [NINE - 2 * HOUR, NINE, NINE + HOUR, NINE + DAY - HOUR, NINE + DAY + 10 * HOUR, NINE + 2 * DAY - 2 * HOUR]
    made = [canary.look(at=at) for at in looks]

    assert made == [False, True, False, False, True, False]
    assert [counter.used for counter in Counter.objects.all()] == [1, 1]
    assert (Budget.objects.count(), BudgetLimit.objects.count(), Alert.objects.count()) == (1, 1, 2)


def test_where_no_channel_is_ticked_there_is_no_check():
    make_channel()
    make_channel(canary=True, enabled=False)

    assert not canary.look(at=NINE)
    assert (Budget.objects.count(), Alert.objects.count()) == (0, 0)
    assert checks.days(at=NINE) == []


@pytest.mark.django_db(transaction=True)
def test_of_eight_schedulers_at_once_one_makes_the_check():
    Organisation.objects.filter(pk=1).update(zone="Europe/Berlin")
    make_channel(canary=True)

    def look(_):
        try:
            return canary.look(at=NINE)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(look, range(8)))

    assert sum(made) == 1
    assert (Budget.objects.count(), Crossing.objects.count(), Alert.objects.count()) == (1, 1, 1)


def test_no_booking_counts_in_it_no_list_shows_it_and_a_name_that_is_taken_is_no_hindrance():
    make_budget(name=canary.NAME, at=NINE - DAY)
    make_channel(canary=True)

    canary.look(at=NINE)

    made = Budget.objects.get(canary=True)
    assert made.pk not in definitions.current().by_id
    assert [row.name for row in overview.rows(at=NINE)] == [canary.NAME]


def test_another_zone_of_the_organisation_moves_the_check():
    make_channel(canary=True)
    canary.look(at=NINE)
    Organisation.objects.filter(pk=1).update(zone="Asia/Tokyo")

    early = canary.look(at=NINE + DAY - 8 * HOUR)
    at_nine = canary.look(at=NINE + DAY - 7 * HOUR)

    assert (early, at_nine) == (False, True)
    assert Budget.objects.get(canary=True).zone == "Asia/Tokyo"


def test_each_day_says_what_became_of_its_check(django_assert_num_queries):
    good, bad = make_channel(name="a", canary=True), make_channel(name="b", canary=True)
    for back in (3, 1):
        canary.look(at=NINE - back * DAY)
    last = Alert.objects.latest("id")
    took = NINE - DAY + timedelta(seconds=1.5)
    Delivery.objects.filter(alert=last, channel=good).update(state="delivered", delivered_at=took)
    Delivery.objects.filter(alert=last, channel=bad).update(state="failed", reason="404 no_service")

    with django_assert_num_queries(4):
        found = checks.days(at=NINE - HOUR)

    assert [(each.day.day, each.state) for each in found] == [
        (15, "to_come"), (14, "crossed"), (13, "missing"), (12, "crossed"),
    ]  # fmt: skip
    assert [(leg.delivery.channel, leg.delivery.state, leg.seconds, leg.delivery.reason) for leg in found[1].legs] == [
        ("a", "delivered", 1.5, ""),
        ("b", "failed", None, "404 no_service"),
    ]
    assert len(checks.days(at=NINE + 60 * DAY)) == 14


def test_each_ticked_channel_says_how_long_ago_it_took_a_check_last(django_assert_num_queries):
    good, bad = make_channel(name="a", canary=True), make_channel(name="b", canary=True)
    left = make_channel(name="c", canary=True)
    for back in (2, 1):
        canary.look(at=NINE - back * DAY)
        sent = Delivery.objects.filter(alert=Alert.objects.latest("id"))
        sent.filter(channel__in=[good, left]).update(state="delivered", delivered_at=NINE - back * DAY)
        sent.filter(channel=bad).update(state="failed", reason="404 no_service")
    Channel.objects.filter(pk=left.pk).update(canary=False)

    with django_assert_num_queries(1):
        found = checks.delivered_ages(at=NINE)

    assert found == {"a": DAY.total_seconds()}


def test_looking_costs_two_queries_where_there_is_nothing_to_do(django_assert_num_queries):
    make_channel(canary=True)
    canary.look(at=NINE)

    with django_assert_num_queries(4):  # a savepoint, since the test has a transaction
        canary.look(at=NINE)


def test_the_schedule_names_the_task_and_its_queue():
    entry = settings.CELERY_BEAT_SCHEDULE["look-at-canary"]

    queue = current_app.amqp.router.route({}, entry["task"])["queue"].name
    assert (entry["task"], queue) == (tasks.look_at_canary.name, "alerts")
