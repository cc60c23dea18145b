import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from alerts.channels import posting
from alerts.models import Channel, Delivery
from alerts.services import deliveries
from tests.alerts.far_sides import CloseEarly, Hang, Reply, closed_port
from tests.alerts.making import NOON, make_alert, make_channel, the_delivery

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def deliver(at=NOON, limit=100, chance=0.0):
    return deliveries.deliver_due(at=at, limit=limit, chance=lambda: chance)


def test_an_alert_goes_to_slack_and_by_email_once(webhook, mail_server):
    make_channel(kind="slack", secret=webhook.url)
    make_channel(kind="email")
    alert = make_alert()

    made = deliver()
    again = deliver(NOON + MINUTE)

    assert (made, again) == (2, 0)
    assert (len(webhook.posts), len(mail_server.letters)) == (1, 1)
    assert "1,420,000 of 2,000,000" in json.dumps(webhook.posts[0])
    told = list(alert.deliveries.order_by("id").values_list("state", "attempts", "answer", "reason"))
    assert told == [("delivered", 1, "200 ok", ""), ("delivered", 1, "250 taken as 42", "")]
    assert all(NOON <= delivery.delivered_at < NOON + 5 * SECOND for delivery in alert.deliveries.all())


def test_what_is_not_due_waits(webhook):
    make_channel(kind="slack", secret=webhook.url)
    make_alert(at=NOON)

    assert deliver(NOON - SECOND) == 0
    assert webhook.posts == []


def test_a_server_in_trouble_is_tried_again_with_growing_pauses_until_it_takes_the_alert(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    webhook.script += [Reply(500, "rollup_error")] * 2

    deliver(NOON, chance=0.999)
    first = the_delivery(alert)
    deliver(first.due_at, chance=0.999)
    second = the_delivery(alert)
    deliver(second.due_at)
    third = the_delivery(alert)

    assert (first.state, first.reason, first.attempts) == ("waiting", "500 rollup_error", 1)
    assert 55 * SECOND < first.due_at - NOON < 65 * SECOND
    assert 115 * SECOND < second.due_at - first.due_at < 125 * SECOND
    assert (third.state, third.attempts, third.reason) == ("delivered", 3, "")
    assert not third.possibly_repeated
    assert "Possibly repeated" not in json.dumps(webhook.posts)


def test_the_wait_that_slack_asks_for_is_honoured(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    webhook.script.append(Reply(429, "slow", {"Retry-After": "600"}))

    deliver()

    assert 600 * SECOND <= the_delivery(alert).due_at - NOON < 605 * SECOND
    assert deliver(NOON + 599 * SECOND) == 0
    assert deliver(NOON + 606 * SECOND) == 1
    assert the_delivery(alert).state == "delivered"


def test_a_revoked_webhook_fails_for_good_and_says_why(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    webhook.script.append(Reply(404, "no_service"))

    deliver()

    delivery = the_delivery(alert)
    assert (delivery.state, delivery.reason) == ("failed", "404 no_service")
    assert deliver(NOON + timedelta(hours=2)) == 0


def test_a_day_after_its_creation_a_delivery_is_given_up_visibly(webhook):
    make_channel(kind="slack", secret=f"http://127.0.0.1:{closed_port()}/x")
    alert = make_alert()

    at, made = NOON, 0
    while deliver(at, chance=0.999) and made < 100:
        made += 1
        delivery = the_delivery(alert)
        if delivery.state == "failed":
            break
        at = delivery.due_at

    delivery = the_delivery(alert)
    assert delivery.state == "failed"
    assert delivery.reason.startswith(f"given up after a day and {delivery.attempts} attempts: no connection")
    assert "Errno" not in delivery.reason
    assert at == NOON + timedelta(days=1)
    assert 24 < delivery.attempts < 40


def test_an_answer_that_never_came_makes_the_next_message_say_possibly_repeated(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    webhook.script.append(CloseEarly())

    deliver()
    deliver(NOON + 2 * MINUTE)

    assert the_delivery(alert).state == "delivered"
    assert the_delivery(alert).possibly_repeated
    assert ["Possibly repeated" in json.dumps(post) for post in webhook.posts] == [False, True]


def test_a_process_killed_between_send_and_record_leads_to_one_message_that_says_so(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    (claim,) = deliveries.claim_due(at=NOON, limit=10)
    deliveries.attempt(claim)  # and here it dies

    while_leased = deliver(NOON + deliveries.LEASE - SECOND)
    after = deliver(NOON + deliveries.LEASE)

    assert (while_leased, after) == (0, 1)
    assert ["Possibly repeated" in json.dumps(post) for post in webhook.posts] == [False, True]
    assert (the_delivery(alert).state, the_delivery(alert).attempts) == ("delivered", 2)
    assert deliver(NOON + timedelta(days=2)) == 0


def test_a_process_killed_before_it_sent_loses_nothing(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    deliveries.claim_due(at=NOON, limit=10)

    deliver(NOON + deliveries.LEASE)

    assert the_delivery(alert).state == "delivered"
    assert len(webhook.posts) == 1


def test_a_delivery_that_kills_its_process_for_a_day_is_given_up(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    deliveries.claim_due(at=NOON + timedelta(days=1), limit=10)

    deliver(NOON + timedelta(days=1) + deliveries.LEASE)

    delivery = the_delivery(alert)
    assert (delivery.state, webhook.posts) == ("failed", [])
    assert "the last attempt was lost" in delivery.reason


def test_what_waited_more_than_a_day_without_any_attempt_is_still_tried_once(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()

    deliver(NOON + timedelta(days=3))

    assert the_delivery(alert).state == "delivered"


def test_a_record_that_comes_too_late_does_not_overwrite_what_came_after(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    webhook.script.append(Reply(500))
    (slow,) = deliveries.claim_due(at=NOON, limit=10)
    outcome = deliveries.attempt(slow)
    deliver(NOON + deliveries.LEASE)

    counted = deliveries.record(slow, outcome, at=NOON + 2 * deliveries.LEASE, chance=0.0)

    assert not counted
    assert the_delivery(alert).state == "delivered"


def test_a_hanging_channel_delays_no_other_and_costs_one_attempt(webhook, mail_server, monkeypatch):
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 1.0)
    make_channel(kind="slack", secret=webhook.url)
    make_channel(kind="email")
    alerts = [make_alert() for _ in range(5)]
    webhook.script += [Hang()] * 5
    began = time.monotonic()

    made = deliver()

    assert made == 6
    assert (len(webhook.posts), len(mail_server.letters)) == (1, 5)
    assert time.monotonic() - began < 3
    mails = Delivery.objects.filter(channel__kind="email")
    assert all(delivery.delivered_at < NOON + SECOND for delivery in mails)
    resting = Delivery.objects.filter(channel__kind="slack", alert__in=alerts)
    assert {delivery.state for delivery in resting} == {"waiting"}
    assert all(delivery.due_at >= NOON + 30 * SECOND for delivery in resting)
    assert sorted(delivery.attempts for delivery in resting) == [0, 0, 0, 0, 1]


def test_a_message_that_its_channel_cannot_digest_does_not_hold_up_the_rest(webhook):
    make_channel(kind="slack", secret=webhook.url)
    poison, fine = make_alert(), make_alert()
    webhook.script.append(Reply(500, "on this one only"))
    deliver()
    webhook.script += [Reply(200), Reply(500, "on this one only")]

    deliver(NOON + MINUTE)

    assert the_delivery(fine).state == "delivered"
    assert (the_delivery(poison).state, the_delivery(poison).attempts) == ("waiting", 2)


def failed(alert, **fields):
    delivery = the_delivery(alert)
    Delivery.objects.filter(pk=delivery.pk).update(**{"state": "failed", "reason": "404", "attempts": 30} | fields)
    return delivery.pk


def test_a_failed_delivery_that_is_asked_for_again_has_another_day(webhook):
    channel = make_channel(kind="slack", secret=webhook.url)
    alert, later = make_alert(), NOON + timedelta(days=5)
    asked = failed(alert)
    webhook.script += [Reply(500)] * 2

    deliveries.ask_again(delivery_id=asked, by="lead@example.com", at=later)
    deliver(later)
    resting = the_delivery(alert)
    deliver(later + timedelta(days=1))

    assert (resting.state, resting.asked_again_at) == ("waiting", later)
    assert later < resting.due_at < later + timedelta(hours=2)
    gone = the_delivery(alert)
    assert (gone.state, gone.attempts) == ("failed", 32)
    assert gone.reason.startswith("given up after a day")
    (comment,) = alert.comments.all()
    assert (comment.by, comment.text) == (
        "lead@example.com",
        f"Asked for the delivery to {channel.name} again.",
    )


def test_a_delivery_asked_for_again_rests_with_its_channel_within_its_new_day(webhook):
    make_channel(kind="slack", secret=webhook.url)
    old, later = make_alert(), NOON + timedelta(days=5)
    deliveries.ask_again(delivery_id=failed(old), by="lead", at=later)
    make_alert(at=later)
    webhook.script.append(Reply(429, "", {"Retry-After": "600"}))

    made = deliver(later)

    assert made == 1
    assert the_delivery(old).due_at >= later + 600 * SECOND


@pytest.mark.parametrize("may_have_come", [False, True])
def test_what_is_asked_for_again_says_possibly_repeated_only_if_it_may_have_come(webhook, may_have_come):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()

    deliveries.ask_again(delivery_id=failed(alert, possibly_repeated=may_have_come), by="lead", at=NOON)
    deliver()

    assert ("ossibly repeated" in json.dumps(webhook.posts)) == may_have_come


@pytest.mark.parametrize("state", ["waiting", "delivered", "not_sent"])
def test_only_what_failed_can_be_asked_for_again(state):
    make_channel()
    alert = make_alert()
    delivered_at = NOON if state == "delivered" else None
    asked = failed(alert, state=state, delivered_at=delivered_at)

    with pytest.raises(deliveries.NotFailed):
        deliveries.ask_again(delivery_id=asked, by="lead", at=NOON)

    assert (the_delivery(alert).state, alert.comments.count()) == (state, 0)


@pytest.mark.parametrize("gone", [{"enabled": False}, {"enabled": False, "retired_at": NOON}, None])
def test_nothing_is_asked_for_again_where_there_is_no_channel_in_use(gone):
    if gone is not None:
        make_channel()
    alert = make_alert()
    Channel.objects.update(**gone or {"name": "no matter"})
    asked = failed(alert)

    with pytest.raises(deliveries.ChannelGone):
        deliveries.ask_again(delivery_id=asked, by="lead", at=NOON)

    for of_all in [one.pk for one in Channel.objects.all()] or [999]:
        with pytest.raises(deliveries.ChannelGone if gone else deliveries.NoSuchChannel):
            deliveries.ask_all_again(channel_id=of_all, seen_at=NOON, by="lead", at=NOON)

    assert the_delivery(alert).state == "failed"


def test_all_that_failed_of_a_channel_is_asked_for_once_by_a_page_that_is_sent_twice(webhook):
    channel, seen_at, later = make_channel(kind="slack", secret=webhook.url), NOON + 3600 * SECOND, NOON + 7200 * SECOND
    alerts = [make_alert() for _ in range(3)]
    other = make_channel(name="other")
    made_since = make_alert(channels=[channel.pk], at=later)
    elsewhere = make_alert(channels=[other.pk])
    for alert in (*alerts, made_since, elsewhere):
        failed(alert)
    Delivery.objects.filter(alert=alerts[2]).update(state="delivered", delivered_at=NOON)

    def ask(at):
        return deliveries.ask_all_again(channel_id=channel.pk, seen_at=seen_at, by="lead@example.com", at=at)

    first = ask(later)
    asked = [(one.state, one.asked_again_at, one.reason) for one in map(the_delivery, alerts[:2])]
    webhook.script += [Reply(410)] * 2
    deliver(later)
    deliver(later)
    again = ask(later + SECOND)

    assert (first, again) == (2, 0)
    assert asked == [("waiting", later, "")] * 2
    assert [the_delivery(one).state for one in (*alerts, made_since, elsewhere)] == [
        "failed", "failed", "delivered", "failed", "failed",
    ]  # fmt: skip
    assert [one.comments.count() for one in (*alerts, made_since, elsewhere)] == [1, 1, 0, 0, 0]
    (comment,) = alerts[0].comments.all()
    assert (comment.by, comment.at) == ("lead@example.com", later)
    assert deliveries.ask_all_again(channel_id=channel.pk, seen_at=later + SECOND, by="lead", at=later + SECOND) == 3


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_ask_for_the_same_delivery_one_does(webhook):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    asked = failed(alert)

    def ask(number):
        try:
            deliveries.ask_again(delivery_id=asked, by=f"lead {number}", at=NOON)
        except deliveries.NotFailed:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        asked_by = list(pool.map(ask, range(8)))

    assert (sum(asked_by), alert.comments.count()) == (1, 1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"enabled": False}, "switched off"),
        ({"retired_at": NOON, "enabled": False}, "retired"),
        ({"kind": "pager"}, "no kind of channel named 'pager'"),
    ],
)
def test_what_waits_for_a_channel_that_is_gone_fails_and_says_so(webhook, changed, words):
    channel = make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    Channel.objects.filter(pk=channel.pk).update(**changed)

    deliver()

    delivery = the_delivery(alert)
    assert (delivery.state, webhook.posts) == ("failed", [])
    assert words in delivery.reason


def test_a_secret_that_cannot_be_read_is_tried_again_once_the_key_is_back(webhook, settings):
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    keys = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q="]

    deliver()
    meanwhile = the_delivery(alert)
    settings.ENCRYPTION_KEYS = keys
    deliver(NOON + MINUTE)

    assert meanwhile.state == "waiting"
    assert "cannot be read" in meanwhile.reason
    assert the_delivery(alert).state == "delivered"


def test_a_mistake_of_ours_in_one_channel_stops_no_other_and_gives_no_secret_away(webhook, caplog):
    broken = make_channel(kind="slack", secret=webhook.url)
    make_channel(kind="slack", secret=webhook.url)
    alert = make_alert()
    Channel.objects.filter(pk=broken.pk).update(kind="email", config=["not a mapping"])

    deliver()

    states = dict(alert.deliveries.values_list("channel_id", "state"))
    assert states.pop(broken.pk) == "waiting"
    assert list(states.values()) == ["delivered"]
    delivery = alert.deliveries.get(channel=broken)
    assert delivery.reason == "our own fault: AttributeError"
    assert "very-secret" not in caplog.text + repr(deliveries.claim_due(at=NOON + MINUTE, limit=10))


def test_never_more_is_sent_than_the_limit(webhook):
    make_channel(kind="slack", secret=webhook.url)
    for _ in range(5):
        make_alert()

    assert deliver(limit=3) == 3
    assert len(webhook.posts) == 3
    assert deliver(limit=3) == 2


def test_looking_costs_a_lock_and_one_query_when_nothing_is_due(django_assert_num_queries):
    make_channel()

    with django_assert_num_queries(4):  # a savepoint among them, since the test has a transaction
        claimed = deliveries.claim_due(at=NOON, limit=16)

    assert claimed == []


@pytest.mark.django_db(transaction=True)
def test_four_deliverers_at_once_send_each_alert_once(webhook, mail_server):
    make_channel(kind="slack", secret=webhook.url)
    make_channel(kind="slack", secret=webhook.url)
    make_channel(kind="email")
    for _ in range(20):
        make_alert()
    together = threading.Barrier(4)

    def work():
        try:
            together.wait(10)
            made = 0
            while now := deliver():
                made += now
            return made
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        made = [future.result(60) for future in [pool.submit(work) for _ in range(4)]]

    assert sum(made) + deliver() == 60
    assert (len(webhook.posts), len(mail_server.letters)) == (40, 20)
    assert set(Delivery.objects.values_list("state", "attempts")) == {("delivered", 1)}
