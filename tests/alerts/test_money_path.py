"""From the call that passes 70 per cent to one post in Slack and one e-mail, over the real parts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from alerts import tasks as alert_tasks
from alerts.models import Alert, Delivery
from budgets.models import Counter, Crossing
from catalog.models import Tier
from catalog.services import offerings, prices
from tests.alerts.making import make_channel
from tests.factories import make_budget, make_key, make_use_case
from usage import tasks as usage_tasks

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def frontier_model():
    offering = offerings.ensure(model="gpt-5.5", provider="openai", by="tests", default=True)
    offerings.set_tier(offering=offering, tier=Tier.FRONTIER, since_at=LONG_AGO, by="tests")
    for meter, usd in (("uncached_input", "5"), ("output", "30")):
        prices.set_price(
            offering=offering, meter=meter, usd_per_1m=Decimal(usd), valid_from=LONG_AGO, source="list", by="tests",
            approved_by="tests", at=LONG_AGO,
        )  # fmt: skip
    return offering


def post(secret: str, *events: dict[str, object]) -> None:
    answer = Client().post(
        "/api/v1/usage/events",
        json.dumps(events),
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 202, answer.content


def event(id_: str, tokens: int, **given: object) -> dict[str, object]:
    return {
        "id": id_, "time": timezone.now().isoformat(), "use_case": "Support-Routing ", "model": "gpt-5.5",
        "input_tokens": tokens, "output_tokens": 0, "rules_version": 42,
    } | given  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_the_call_that_passes_70_per_cent_is_told_once_in_slack_and_once_by_mail(webhook, mail_server, frontier_model):
    make_use_case()
    budget = make_budget(amount=Decimal(1000), at=timezone.now() - timedelta(days=400), action="downgrade")
    make_channel(kind="slack", secret=webhook.url, name="Slack")
    make_channel(kind="email", config={"recipients": ["oncall@example.com"]}, name="Mail")
    secret = make_key("usage:write")
    post(secret, event("before", 690))
    usage_tasks.book_pending()
    told_before = Alert.objects.count()

    crossing = event("crossing", 20)

    def send_again(_: int) -> None:
        try:
            post(secret, crossing, crossing | {"time": (timezone.now() - timedelta(seconds=3)).isoformat()})
            usage_tasks.book_pending()
            alert_tasks.deliver_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_again, range(8)))
    usage_tasks.book_pending()
    alert_tasks.deliver_due()

    assert told_before == 0
    assert Counter.objects.filter(budget=budget, used__gt=0).get().used == 710
    assert [(c.threshold, c.used) for c in Crossing.objects.all()] == [(70, 710)]
    deliveries = sorted(Delivery.objects.values_list("channel__name", "state"))
    assert deliveries == [("Mail", "delivered"), ("Slack", "delivered")]
    assert len(webhook.posts) == 1
    assert len(mail_server.letters) == 1
    told = json.dumps(webhook.posts[0], default=str)
    assert "71.0 %" in told
    assert "1,000" in told
