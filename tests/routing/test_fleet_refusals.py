"""A version that a gateway refuses is told of once, ends by itself, and whoever is long gone is forgotten."""

from __future__ import annotations

import threading

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection
from django.utils import timezone

from alerts.models import Alert, Delivery, Severity
from catalog.services import gateways
from core.models import Organisation
from routing import tasks
from routing.models import GatewayPoll
from routing.services import fleet
from routing.services.fleet import Looked
from tests.alerts.making import make_channel
from tests.factories import NOON, make_key
from tests.routing.making import make_version, stock
from tests.routing.making_fleet import DAY, HOUR, MINUTE, make_poll

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_versions():
    stock()
    make_key("rules:read")
    make_version(at=NOON - DAY)
    make_version(at=NOON)


def states():
    return list(Alert.objects.order_by("id").values_list("state", flat=True))


def test_a_refusal_is_told_once_with_reason_instances_and_what_the_gateway_goes_on_with():
    channel = make_channel()
    for name in ("a", "b"):
        make_poll(1, refuses=2, why="unknown operator: near", instance=name, client="own/2", spec=0, at=NOON + MINUTE)
    make_poll(2, instance="c", at=NOON + MINUTE)

    first = fleet.look(at=NOON + MINUTE)
    again = fleet.look(at=NOON + 2 * MINUTE)

    assert (first, again) == (Looked(raised=1, resolved=0), Looked(raised=0, resolved=0))
    alert = Alert.objects.get()
    edge = gateways.get("edge").pk
    assert (alert.kind, alert.severity, alert.subject_kind, alert.subject_id) == (
        "rules_refused", Severity.WARNING, "gateway", edge,
    )  # fmt: skip
    assert alert.title == "edge refuses version 2 of the rules in production"
    assert alert.facts["summary"] == (
        "2 instances of the gateway edge refuse to run version 2 of the rules in production, and go on with version 1."
    )
    assert alert.facts["rows"] == [
        ["Reason, in its words", "unknown operator: near"],
        ["Instances", "a, b"],
        ["Goes on with", "version 1"],
        ["In force", "15 June 2026, 12:00 UTC"],
        ["Client", "own/2"],
        ["Specification", "it understands 0; the version needs 1"],
    ]
    assert alert.facts["links"] == [
        ["Open the fleet", "/rules/production/fleet/"],
        ["Open version 2", "/rules/production/versions/2/"],
        ["Roll back to version 1", "/rules/production/versions/1/back/"],
    ]
    assert [each.channel_id for each in Delivery.objects.all()] == [channel.pk]


def test_an_instance_without_any_rules_that_refuses_the_first_ones_is_critical():
    make_poll(None, refuses=2, at=NOON)

    fleet.look(at=NOON)

    alert = Alert.objects.get()
    assert alert.severity == Severity.CRITICAL
    assert alert.facts["summary"].endswith("and goes on with no rules at all.")
    assert dict(alert.facts["rows"])["Reason, in its words"] == "none given"
    assert dict(alert.facts["rows"])["Instances"] == "unnamed"
    assert len(alert.facts["links"]) == 2  # there is nothing to go back to


def test_what_a_gateway_says_is_one_line_of_bounded_text():
    for number in range(9):
        make_poll(1, refuses=2, why=f"{number}\n\x07<b>" + "x" * 290, instance=f"pod-{number}", at=NOON)

    fleet.look(at=NOON)

    rows = dict(Alert.objects.get().facts["rows"])
    assert rows["Instances"] == "pod-0, pod-1, pod-2, pod-3, pod-4 and 4 more"
    assert rows["Reason, in its words"].startswith("0 <b>xxx")
    assert "\n" not in rows["Reason, in its words"]
    assert len(rows["Reason, in its words"]) < 1000
    assert "8 <b>" not in rows["Reason, in its words"]


def test_each_gateway_and_each_version_has_an_alert_of_its_own():
    make_key("rules:read", gateway="other")
    make_poll(1, refuses=2, at=NOON)
    make_poll(1, refuses=2, gateway="other", at=NOON)
    fleet.look(at=NOON)
    make_version(at=NOON + HOUR)
    make_poll(1, refuses=3, at=NOON + HOUR)
    make_poll(3, gateway="other", at=NOON + HOUR)

    assert fleet.look(at=NOON + HOUR) == Looked(raised=1, resolved=2)

    assert sorted((one.title.partition(" of ")[0], one.state) for one in Alert.objects.all()) == [
        ("edge refuses version 2", "resolved"),
        ("edge refuses version 3", "open"),
        ("other refuses version 2", "resolved"),
    ]


def test_the_alert_ends_when_the_last_instance_runs_the_version():
    make_poll(1, refuses=2, instance="a", at=NOON)
    make_poll(1, refuses=2, instance="b", at=NOON)
    fleet.look(at=NOON)

    make_poll(2, instance="a", at=NOON + MINUTE)
    assert fleet.look(at=NOON + MINUTE) == Looked(raised=0, resolved=0)
    make_poll(2, instance="b", at=NOON + 2 * MINUTE)
    assert fleet.look(at=NOON + 2 * MINUTE) == Looked(raised=0, resolved=1)

    assert Alert.objects.get().resolved_at == NOON + 2 * MINUTE


def test_of_versions_whose_numbers_begin_alike_only_the_one_that_is_over_is_resolved():
    for hour in range(1, 9):
        make_version(at=NOON + hour * HOUR)
    make_version(at=NOON + 9 * HOUR)
    at = NOON + 10 * HOUR
    assert make_version(at=at).number == 12
    make_poll(None, refuses=1, instance="a", at=at)
    make_poll(None, refuses=12, instance="b", at=at)
    fleet.look(at=at)

    make_poll(12, instance="a", at=at + MINUTE)
    fleet.look(at=at + MINUTE)

    found = Alert.objects.order_by("title").values_list("title", "state")
    assert [(title.split()[3], state) for title, state in found] == [("1", "resolved"), ("12", "open")]


def test_a_retired_gateway_refuses_nothing_any_more():
    make_poll(1, refuses=2, at=NOON)
    fleet.look(at=NOON)
    gateways.retire(gateway=gateways.get("edge"), by="ann", at=NOON)

    assert fleet.look(at=NOON + MINUTE).resolved == 1


def test_what_is_refused_again_is_told_again_after_a_quiet_hour_and_not_at_every_turn():
    make_poll(1, refuses=2, at=NOON)
    fleet.look(at=NOON)
    for minute in range(1, 60, 2):  # processes that share a name take turns
        make_poll(2, at=NOON + minute * MINUTE)
        fleet.look(at=NOON + minute * MINUTE)
        make_poll(1, refuses=2, at=NOON + (minute + 1) * MINUTE)
        fleet.look(at=NOON + (minute + 1) * MINUTE)

    assert states() == ["resolved"]
    make_poll(1, refuses=2, at=NOON + 61 * MINUTE)
    assert fleet.look(at=NOON + 61 * MINUTE) == Looked(raised=1, resolved=0)
    assert fleet.look(at=NOON + 62 * MINUTE) == Looked(raised=0, resolved=0)
    assert states() == ["resolved", "open"]


@pytest.mark.django_db(transaction=True)
def test_schedulers_that_look_at_once_tell_once():
    make_poll(1, refuses=2, at=NOON)
    looked = []

    def look():
        looked.append(fleet.look(at=NOON))
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(each.raised for each in looked) == Alert.objects.count() == 1


def test_a_look_at_a_fleet_that_refuses_nothing_takes_two_queries(django_assert_num_queries):
    for number in range(20):
        make_poll(2, instance=f"pod-{number}", at=NOON)

    with django_assert_num_queries(4):  # two of them are the test's savepoint
        fleet.look(at=NOON)


def test_times_are_those_of_the_organisation():
    Organisation.objects.filter(pk=1).update(zone="Europe/Berlin")
    make_poll(1, refuses=2, at=NOON)

    fleet.look(at=NOON)

    assert dict(Alert.objects.get().facts["rows"])["In force"] == "15 June 2026, 14:00 Europe/Berlin"


def test_instances_that_were_not_heard_of_for_seven_days_are_forgotten_in_batches():
    for number in range(5):
        make_poll(2, instance=f"old-{number}", at=NOON - 7 * DAY - MINUTE)
    make_poll(2, instance="kept", at=NOON - 7 * DAY)

    assert fleet.forget(at=NOON, at_once=2) == 5
    assert fleet.forget(at=NOON, at_once=2) == 0

    assert list(GatewayPoll.objects.values_list("instance", flat=True)) == ["kept"]


def test_refusals_are_looked_for_every_few_seconds_before_long_jobs_and_polls_forgotten_behind_them():
    look, forget = (settings.CELERY_BEAT_SCHEDULE[name] for name in ("look-at-fleet", "forget-polls"))

    queues = [current_app.amqp.router.route({}, one["task"])["queue"].name for one in (look, forget)]
    assert (look["task"], look["schedule"]) == (tasks.look_at_fleet.name, 5.0)
    assert forget["task"] == tasks.forget_polls.name
    assert queues == ["alerts", "background"]


def test_the_tasks_tell_and_forget_as_of_now():
    make_poll(1, refuses=2, at=timezone.now())
    make_poll(2, instance="old", at=timezone.now() - 8 * DAY)

    tasks.look_at_fleet()
    tasks.forget_polls()

    assert states() == ["open"]
    assert list(GatewayPoll.objects.values_list("instance", flat=True)) == [""]
