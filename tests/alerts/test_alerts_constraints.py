import uuid

import pytest
from django.db import IntegrityError, transaction

from alerts.models import Alert, Channel, Delivery
from tests.alerts.making import NOON, make_alert, make_channel

pytestmark = pytest.mark.django_db


def refused(name):
    return pytest.raises(IntegrityError, match=name)


@pytest.mark.parametrize(
    ("constraint", "changed"),
    [
        ("alerts_alert_state_known", {"state": "asleep"}),
        ("alerts_alert_acknowledged_whole", {"state": "acknowledged", "acknowledged_at": None}),
    ],
)
def test_an_alert_is_in_a_known_state_and_whole(constraint, changed):
    alert = make_alert()

    with refused(constraint), transaction.atomic():
        Alert.objects.filter(pk=alert.pk).update(**changed)


@pytest.mark.parametrize(
    ("constraint", "changed"),
    [
        ("alerts_delivery_state_known", {"state": "lost"}),
        ("alerts_delivery_delivered_whole", {"state": "delivered", "delivered_at": None}),
        ("alerts_delivery_delivered_whole", {"state": "waiting", "delivered_at": NOON}),
        ("alerts_delivery_failure_has_reason", {"state": "failed", "reason": ""}),
        ("alerts_delivery_failure_has_reason", {"state": "not_sent", "reason": ""}),
        ("alerts_delivery_sending_is_leased", {"state": "sending", "leased_until": None}),
    ],
)
def test_a_delivery_is_in_a_known_state_and_whole(constraint, changed):
    make_channel()
    alert = make_alert()

    with refused(constraint), transaction.atomic():
        alert.deliveries.update(**changed)


@pytest.mark.parametrize("with_channel", [True, False])
def test_an_alert_has_one_delivery_for_each_channel(with_channel):
    if with_channel:
        make_channel()
    delivery = make_alert().deliveries.get()

    with refused("alerts_delivery_once"), transaction.atomic():
        Delivery.objects.create(
            alert=delivery.alert,
            channel=delivery.channel,
            idempotency_key=uuid.uuid4(),
            created_at=NOON,
            due_at=NOON,
        )


def test_no_two_deliveries_share_an_idempotency_key():
    first, second = make_alert().deliveries.get(), make_alert().deliveries.get()

    with refused("alerts_delivery_key_once"), transaction.atomic():
        Delivery.objects.filter(pk=second.pk).update(idempotency_key=first.idempotency_key)


def test_an_alert_is_unique_by_its_key():
    first, second = make_alert(), make_alert()

    with refused("alerts_alert_once"), transaction.atomic():
        Alert.objects.filter(pk=second.pk).update(dedupe_key=first.dedupe_key)


def test_a_name_belongs_to_one_channel_in_use():
    channel = make_channel()

    with refused("alerts_channel_name_once"), transaction.atomic():
        Channel.objects.create(name=channel.name, kind="email", created_at=NOON)
