import socket
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from alerts.models import Alert, Delivery, Severity
from alerts.services import channels, raising
from tests.alerts.making import FACTS, NOON, make_alert, make_channel, the_delivery

pytestmark = pytest.mark.django_db


def test_an_alert_is_written_with_a_delivery_for_each_channel_that_wants_it():
    everything = make_channel()
    this_team = make_channel(teams=[3])
    make_channel(teams=[4])
    make_channel(least_severity=Severity.CRITICAL)
    make_channel(enabled=False)
    make_channel(retired_at=NOON)

    alert = make_alert(team_ids=[3, 9])

    deliveries = list(alert.deliveries.order_by("id"))
    assert [delivery.channel_id for delivery in deliveries] == [everything.pk, this_team.pk]
    assert {delivery.state for delivery in deliveries} == {"waiting"}
    assert {delivery.due_at for delivery in deliveries} == {NOON}
    alert.refresh_from_db()
    assert (alert.state, alert.facts, alert.team_ids) == ("open", FACTS, [3, 9])


def test_an_alert_is_raised_once_per_key():
    make_channel()
    first = make_alert(dedupe_key="budget:17:70")

    with pytest.raises(AssertionError):
        make_alert(dedupe_key="budget:17:70", title="again")

    assert list(Alert.objects.values_list("pk", "title")) == [(first.pk, first.title)]
    assert Delivery.objects.count() == 1


def test_an_alert_that_no_channel_wants_has_failed_visibly():
    make_channel(kinds=["silent_gateway"])

    alert = make_alert()

    delivery = the_delivery(alert)
    assert (delivery.channel_id, delivery.state, delivery.reason) == (None, "failed", "no-channel")


@pytest.mark.parametrize("channels", [0, 2])
def test_an_alert_for_a_past_period_is_recorded_and_not_sent(channels):
    for _ in range(channels):
        make_channel()

    alert = make_alert(not_sent_because="past period")

    told = set(alert.deliveries.values_list("state", "reason"))
    assert told == {("not_sent", "not sent: past period")}
    assert alert.deliveries.count() == max(channels, 1)
    alert.refresh_from_db()
    assert (alert.state, alert.resolved_at) == ("resolved", NOON)


def test_an_alert_for_named_channels_goes_to_those_in_use_whatever_they_list():
    make_channel()
    named = make_channel(kinds=["something_else"], least_severity=Severity.CRITICAL)
    off = make_channel(enabled=False)

    alert = make_alert(channels=[named.pk, off.pk, named.pk + 1000])

    assert list(alert.deliveries.values_list("channel", "state")) == [(named.pk, "waiting")]


def test_an_alert_for_no_channel_at_all_has_failed_visibly():
    make_channel()

    alert = make_alert(channels=[])

    assert (the_delivery(alert).channel_id, the_delivery(alert).reason) == (None, "no-channel")


def test_a_notice_is_over_from_the_start_and_sent_all_the_same():
    make_channel()

    alert = make_alert(notice=True)

    alert.refresh_from_db()
    assert (alert.state, alert.resolved_at) == ("resolved", NOON)
    assert the_delivery(alert).state == "waiting"


def test_raising_is_cheap(django_assert_num_queries):
    make_channel()
    make_channel()

    with django_assert_num_queries(3):
        make_alert(dedupe_key="once")

    with django_assert_num_queries(1), pytest.raises(AssertionError):
        make_alert(dedupe_key="once")


def test_a_title_too_long_for_its_column_is_cut_and_stops_no_booking():
    alert = make_alert(title="t" * 1000)

    alert.refresh_from_db()
    assert len(alert.title) == 300


def test_raising_takes_part_in_its_callers_transaction():
    make_channel()

    with transaction.atomic():
        make_alert()
        transaction.set_rollback(True)

    assert (Alert.objects.count(), Delivery.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_eight_that_raise_the_same_alerts_at_once_write_each_once():
    make_channel()
    make_channel()
    together = threading.Barrier(8)
    raised, failed = [], []

    def book(number):
        try:
            together.wait(10)
            with transaction.atomic():
                for key in ("a", "b", "c"):
                    alert = raising.raise_alert(
                        kind="budget_crossing",
                        dedupe_key=key,
                        severity=Severity.WARNING,
                        title="70 %",
                        facts={},
                        subject_kind="budget",
                        subject_id=1,
                        team_ids=[],
                        budget_id=1,
                        at=NOON + timedelta(seconds=number),
                    )
                    raised.extend([alert.dedupe_key] if alert else [])
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=book, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failed == []
    assert sorted(raised) == ["a", "b", "c"]
    assert (Alert.objects.count(), Delivery.objects.count()) == (3, 6)


@pytest.mark.django_db(transaction=True)
def test_raising_does_not_wait_for_a_change_of_a_channel_whose_name_server_hangs(monkeypatch):
    channel = make_channel(kind="slack", secret="https://3.121.19.1/x", name="on call")
    asked, answered, real = threading.Event(), threading.Event(), socket.getaddrinfo

    def name_server(host, *rest, **given):
        if host == "hooks.slow.example":
            asked.set()
            answered.wait(10)
            raise socket.gaierror("no answer")
        return real(host, *rest, **given)

    def change():
        try:
            channels.change(channel_id=channel.pk, secret="https://hooks.slow.example/x", by="lead@example.com")
        finally:
            connection.close()

    monkeypatch.setattr(socket, "getaddrinfo", name_server)
    changing = threading.Thread(target=change)
    changing.start()
    try:
        assert asked.wait(10)
        with transaction.atomic():
            connection.cursor().execute("SET LOCAL lock_timeout = '2s'")
            alert = make_alert()
    finally:
        answered.set()
        changing.join(10)

    assert the_delivery(alert).channel_id == channel.pk
