"""Rotating the keys that secrets are encrypted with."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts.channels import webhook as signed
from alerts.models import Channel
from alerts.services import channels, deliveries
from core import secrets
from core.models import ApiKey, AuditEntry
from core.services import keys, rotating
from tests.alerts.conftest import webhook  # noqa: F401
from tests.alerts.making import NOON, make_alert, make_channel
from tests.factories import make_key

pytestmark = pytest.mark.django_db

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))


def rotate() -> str:
    said = StringIO()
    call_command("rotate_secrets", stdout=said)
    return said.getvalue()


def test_after_a_rotation_alerts_go_out_and_keys_sign_with_the_new_key_alone(settings, webhook):  # noqa: F811
    settings.ENCRYPTION_KEYS = [OLD]
    make_channel(kind="slack", secret=webhook.url)
    signing = make_channel(kind="webhook", config={"url": webhook.url}, secret=signed.Webhook().make_secret())
    make_channel(kind="email")
    new = channels.made_secret(kind="webhook")
    channels.rotate_secret(channel_id=signing.pk, new=new, keep_for=timedelta(hours=1), by="lead", at=NOON)
    make_key("rules:read", name="edge")
    made = keys.make_s3_secret(key=ApiKey.objects.get(), by="lead", at=timezone.now())
    settings.ENCRYPTION_KEYS = [NEW, OLD]

    first, again = rotate(), rotate()
    settings.ENCRYPTION_KEYS = [NEW]
    alert = make_alert()
    deliveries.deliver_due(at=NOON, limit=9)

    assert first == "3 secrets written anew, 0 were under the first key already.\n"
    assert again == "0 secrets written anew, 3 were under the first key already.\n"
    assert set(alert.deliveries.values_list("state", flat=True)) == {"delivered"}
    (headers,) = [one for one in webhook.headers if "webhook-signature" in one]  # Slack's may come first or last
    assert len(headers["webhook-signature"].split()) == 2
    assert secrets.decrypt(bytes(ApiKey.objects.get().secret)).decode() == made.secret_access_key
    trail = AuditEntry.objects.filter(actor="manage.py rotate_secrets", operation="update")
    assert trail.count() == 3
    assert not any("secret" in (entry.after or {}) for entry in trail)


def test_what_cannot_be_read_is_named_and_left_and_the_rest_is_written_all_the_same(settings):
    settings.ENCRYPTION_KEYS = [LOST]
    lost = make_channel(kind="slack", secret="https://hooks.slack.com/services/lost")
    kept = bytes(lost.secret)
    settings.ENCRYPTION_KEYS = [OLD]
    make_channel(kind="slack", secret="https://hooks.slack.com/services/kept")
    settings.ENCRYPTION_KEYS = [NEW, OLD]

    with pytest.raises(CommandError, match=rf"^1 cannot be read .*: alerts_channel {lost.pk} \(secret\)"):
        rotate()

    settings.ENCRYPTION_KEYS = [NEW]
    states = [secrets.is_under_first_key(bytes(channel.secret)) for channel in Channel.objects.order_by("pk")]
    assert states == [False, True]
    lost.refresh_from_db()
    assert bytes(lost.secret) == kept


def test_a_rotation_that_was_broken_off_goes_on_where_it_was(settings):
    settings.ENCRYPTION_KEYS = [OLD]
    for _ in range(5):
        make_channel(kind="slack", secret="https://hooks.slack.com/services/x")
    settings.ENCRYPTION_KEYS = [NEW, OLD]

    begun = rotating.rotate_all(by="tests", batch=2)
    broken_off = next(begun)
    begun.close()
    rest = list(rotating.rotate_all(by="tests", batch=2))

    assert broken_off.rewritten == 2
    assert [(each.rewritten, each.already) for each in rest] == [(0, 2), (2, 0), (1, 0)]


def test_without_a_key_nothing_is_written(settings):
    make_channel(kind="slack", secret="https://hooks.slack.com/services/x")
    settings.ENCRYPTION_KEYS = []

    with pytest.raises(CommandError, match="TOLLKEEPER_ENCRYPTION_KEYS"):
        rotate()


def test_every_column_that_holds_a_secret_is_known_to_the_rotation():
    found = {
        (model, field.name) for model in apps.get_models() for field in model._meta.fields if "secret" in field.name
    }

    assert found == set(secrets.columns)
