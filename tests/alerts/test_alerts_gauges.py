"""What /metrics says of alerts that go out, or do not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from alerts.models import Alert, Delivery
from alerts.selectors import deliveries
from budgets.services import canary
from core.models import Organisation
from tests.alerts.making import NOON, make_alert, make_channel, the_delivery
from tests.factories import make_key

pytestmark = pytest.mark.django_db


def metrics() -> dict[str, float]:
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {make_key('read')}"})
    assert answer.status_code == 200
    lines = [line for line in answer.content.decode().splitlines() if line.startswith("tollkeeper_d")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_say_what_waits_what_failed_and_how_old_the_last_daily_check_is():
    now = timezone.now()
    zone = "Pacific/Kiritimati" if now.hour < 10 else "UTC"  # where it is after nine today
    Organisation.objects.filter(pk=1).update(zone=zone)
    make_channel(name='on "call"', canary=True)
    waiting, failed = make_alert(at=now - timedelta(minutes=5)), make_alert(at=now)
    failed.deliveries.update(state="failed", reason="404")
    canary.look(at=now)
    Delivery.objects.filter(alert=Alert.objects.get(kind="canary")).update(state="delivered", delivered_at=now)

    said = metrics()

    assert said["tollkeeper_deliveries_waiting"] == 1
    assert 300 <= said["tollkeeper_deliveries_oldest_waiting_seconds"] < 330
    assert said["tollkeeper_deliveries_failed_24h"] == 1
    assert 0 <= said['tollkeeper_daily_check_delivered_age_seconds{channel="on \\"call\\""}'] < 30
    assert the_delivery(waiting).state == "waiting"


def test_what_was_asked_for_again_is_as_old_as_the_asking(django_assert_num_queries):
    make_channel()
    alert = make_alert()
    alert.deliveries.update(asked_again_at=NOON + timedelta(hours=2))

    with django_assert_num_queries(2):
        found = deliveries.backlog(at=NOON + timedelta(hours=3))

    assert (found.waiting, found.oldest_waiting_seconds, found.failed) == (1, 3600, 0)
    assert deliveries.backlog(at=NOON).oldest_waiting_seconds == 0
