"""Every kind of channel over HTTP against the same bad behaviour: nothing is lost, what is repeated says so."""

from __future__ import annotations

import json
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest

from alerts.channels import KINDS, Delivered, RetryLater, posting
from alerts.models import Delivery
from alerts.services import deliveries
from tests.alerts.far_sides import CloseEarly, CloseUnread, Drip, Endless, Hang, Reply, closed_port
from tests.alerts.making import NOON, make_alert, make_channel, make_message, the_delivery

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
TOKEN = "xoxb-1-2-very-secret"
SIGNING = "whsec_" + "c2VjcmV0" * 5
AHEAD = {"Date": "Fri, 31 Dec 2027 23:00:00 GMT", "Retry-After": "Fri, 31 Dec 2027 23:10:00 GMT"}


class Far:
    """A kind of channel and the server that it leads to."""

    def __init__(self, kind: str, server: Any) -> None:
        self.kind, self.server = kind, server
        self.config = {"webhook": {"url": server.url}, "slack_bot": {"channel": "C1"}}.get(kind, {})
        self.secret = {"webhook": SIGNING, "slack_bot": TOKEN, "slack": server.url}[kind]
        if kind == "slack_bot":
            server.fine = Reply(200, json.dumps({"ok": True, "channel": "C1", "ts": "1.2"}))

    def channel(self) -> None:
        make_channel(kind=self.kind, config=self.config, secret=self.secret)

    def send(self, **message: Any) -> Any:
        return KINDS[self.kind].send(make_message(**message), self.config, self.secret, uuid.uuid4())


@pytest.fixture(params=["slack", "slack_bot", "webhook"])
def far(request, webhook, settings):
    settings.SLACK_API_URL = webhook.url
    return Far(request.param, webhook)


@pytest.mark.parametrize(
    ("behaviour", "waits", "may_have_come"),
    [
        (Reply(429, "slow", {"Retry-After": "600"}), 600 * SECOND, False),
        (Reply(429, "slow", AHEAD), 600 * SECOND, False),
        (Reply(503, "soon", {"Retry-After": "7200"}), 7200 * SECOND, False),
        (Reply(500, "broken"), 30 * SECOND, False),
        (Reply(504, "lost"), 30 * SECOND, True),
        (CloseUnread(), 30 * SECOND, True),
        (CloseEarly(), 30 * SECOND, True),
        (Hang(), 30 * SECOND, True),
        (Drip(), 30 * SECOND, True),
    ],
)
def test_after_trouble_the_alert_is_told_once_more_when_it_is_time_and_says_so_if_it_may_have_come(
    far, monkeypatch, behaviour, waits, may_have_come
):
    far.channel()
    alert = make_alert()
    far.server.script.append(behaviour)

    with monkeypatch.context() as patched:
        if isinstance(behaviour, Hang | Drip):
            patched.setattr(posting, "TOTAL_SECONDS", 0.7)
        deliveries.deliver_due(at=NOON, limit=9, chance=lambda: 0.0)
    waiting = the_delivery(alert)
    too_early = deliveries.deliver_due(at=NOON + waits - SECOND, limit=9)
    deliveries.deliver_due(at=waiting.due_at, limit=9)
    deliveries.deliver_due(at=NOON + 2 * DAY, limit=9)

    assert (waiting.state, too_early) == ("waiting", 0)
    assert waits <= waiting.due_at - NOON < waits + 25 * SECOND
    delivery = the_delivery(alert)
    assert (delivery.state, delivery.attempts, delivery.possibly_repeated) == ("delivered", 2, may_have_come)
    assert len(far.server.posts) == (1 if isinstance(behaviour, CloseUnread) else 2)
    told = json.dumps(far.server.posts[-1]["data" if far.kind == "webhook" else "blocks"])
    assert "1,420,000 of 2,000,000" in told
    assert ("ossibly repeated" in told or far.server.posts[-1].get("possibly_repeated", False)) == may_have_come


def test_what_nobody_takes_for_a_day_is_given_up_visibly(far):
    far.channel()
    alert = make_alert()
    far.server.fine = Reply(500, "broken")

    deliveries.deliver_due(at=NOON, limit=9)
    Delivery.objects.update(due_at=NOON + DAY)
    deliveries.deliver_due(at=NOON + DAY, limit=9)

    delivery = the_delivery(alert)
    assert (delivery.state, delivery.reason) == ("failed", "given up after a day and 2 attempts: 500 broken")


def test_nobody_listening_means_that_nothing_was_received(far, settings):
    nowhere = f"http://127.0.0.1:{closed_port()}/x"
    settings.SLACK_API_URL = nowhere
    far.config = {"url": nowhere} if far.kind == "webhook" else far.config
    far.secret = nowhere if far.kind == "slack" else far.secret

    outcome = far.send()

    assert isinstance(outcome, RetryLater)
    assert not outcome.maybe_received


def test_a_redirect_is_not_followed(far):
    far.server.script.append(Reply(307, "elsewhere", {"Location": far.server.url}))

    outcome = far.send()

    assert not isinstance(outcome, Delivered)
    assert len(far.server.posts) == 1


def test_internal_addresses_are_refused_where_not_allowed(far, settings):
    settings.ALLOW_INTERNAL_WEBHOOKS = False

    outcome = far.send()

    assert not isinstance(outcome, Delivered)
    assert far.server.posts == []


def test_what_is_secret_is_in_no_answer_and_no_log(far, caplog):
    caplog.set_level("DEBUG")
    for status in (200, 400, 500):
        far.server.script.append(Reply(status, f"you sent {far.secret}"))

    outcomes = [far.send() for _ in range(3)]

    assert far.secret not in repr(outcomes) + caplog.text
    assert "***" in repr(outcomes)


def test_an_endless_answer_is_read_only_at_its_beginning(far):
    far.server.script.append(Endless())
    began = time.monotonic()

    outcome = far.send()

    assert len(repr(outcome)) < 3000
    assert time.monotonic() - began < 5
