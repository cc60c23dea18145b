import base64
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from alerts.channels import FailedForGood, RetryLater
from alerts.channels import webhook as signed
from alerts.messages import Bar, Origin, Section
from alerts.selectors import channels as channel_rows
from alerts.services import channels, deliveries
from core.errors import Invalid
from tests.alerts.far_sides import CloseEarly, Reply
from tests.alerts.making import NOON, make_alert, make_channel, make_message, the_delivery

KIND = signed.Webhook()
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()  # the same in each run: tests are named by it
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def is_from_tollkeeper():
    """What the README tells receivers to run, line by line."""
    text = (Path(django_settings.BASE_DIR) / "alerts" / "README.md").read_text()
    (example,) = re.findall(r"```python\n(import base64.*?)```", text, re.DOTALL)
    names = {}
    exec(example, names)
    return names["is_from_tollkeeper"]


def send(server, *, secret=SECRET, key=None, **message):
    message = make_message(**{"sent_at": timezone.now()} | message)
    return KIND.send(message, {"url": server.url}, secret, key or uuid.uuid4())


def test_the_signature_is_that_of_the_specifications_own_example():
    given = signed.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )

    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_verifies_with_the_lines_of_the_readme_and_refuses_what_was_tampered_with_or_is_old(
    webhook, is_from_tollkeeper
):
    send(webhook, title="Größer als 70 %")
    send(webhook, sent_at=timezone.now() - timedelta(minutes=6))

    (headers, old), (body, old_body) = webhook.headers, webhook.bodies
    assert is_from_tollkeeper(headers, body, SECRET)
    assert not is_from_tollkeeper(headers, body.replace(b"70", b"10"), SECRET)
    assert not is_from_tollkeeper(headers | {"webhook-id": str(uuid.uuid4())}, body, SECRET)
    assert not is_from_tollkeeper(headers, body, KIND.make_secret())
    assert not is_from_tollkeeper(headers | {"webhook-signature": "v1,ü v1a,x"}, body, SECRET)
    assert not is_from_tollkeeper(old, old_body, SECRET)


def test_the_body_says_what_the_alert_says(webhook):
    key = uuid.uuid4()
    section = Section(title="By use case", bars=(Bar(label="a", value="9 USD", share=Decimal("0.75")),))

    send(webhook, key=key, sections=(section,), sent_at=NOON, origin=Origin(alert_id=42, kind="digest", raised_at=NOON))

    assert webhook.headers[0]["webhook-id"] == str(key)
    assert webhook.headers[0]["webhook-timestamp"] == str(int(NOON.timestamp()))
    assert webhook.posts[0] == {
        "version": 1,
        "id": str(key),
        "type": "alert.digest",
        "timestamp": "2026-06-15T12:00:00+00:00",
        "sent_at": "2026-06-15T12:00:00+00:00",
        "possibly_repeated": False,
        "data": {
            "alert_id": 42,
            "kind": "digest",
            "severity": "warning",
            "title": "70 % used",
            "summary": "support-routing has used 71 %.",
            "rows": [["Used", "71 %"]],
            "sections": [{"title": "By use case", "rows": [], "bars": [["a", "9 USD", "0.75"]]}],
            "next": "Nothing is blocked.",
            "links": [["Open the budget", "http://tollkeeper.example/budgets/17"]],
        },
    }


@pytest.mark.django_db
def test_a_repetition_bears_the_same_id_and_is_signed_anew(webhook, is_from_tollkeeper):
    make_channel(kind="webhook", config={"url": webhook.url}, secret=SECRET)
    now = timezone.now()
    alert = make_alert(at=now)
    webhook.script.append(CloseEarly())

    deliveries.deliver_due(at=now, limit=9)
    deliveries.deliver_due(at=now + 2 * timedelta(minutes=1), limit=9)

    first, second = webhook.headers
    assert first["webhook-id"] == second["webhook-id"] == str(the_delivery(alert).idempotency_key)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 120
    assert all(is_from_tollkeeper(*sent, SECRET) for sent in zip(webhook.headers, webhook.bodies, strict=True))
    assert [post["possibly_repeated"] for post in webhook.posts] == [False, True]
    assert webhook.posts[1]["data"]["links"][-1][0] == "Acknowledge"


def test_gone_is_for_good_and_any_other_no_may_be_a_receiver_that_is_being_deployed(webhook):
    webhook.script += [Reply(410, "gone"), Reply(404, "not yet"), Reply(401, "wrong")]

    outcomes = [send(webhook) for _ in range(3)]

    assert outcomes == [
        FailedForGood(reason="410 gone"),
        RetryLater(reason="404 not yet"),
        RetryLater(reason="401 wrong"),
    ]


@pytest.mark.django_db
def test_after_a_rotation_both_secrets_sign_until_the_former_one_ends(webhook, is_from_tollkeeper):
    channel = make_channel(kind="webhook", config={"url": webhook.url}, secret=SECRET)
    now = timezone.now()
    new = channels.made_secret(kind="webhook")

    until = channels.rotate_secret(channel_id=channel.pk, new=new, keep_for=HOUR, by="lead@example.com", at=now)
    for at in (now, until):
        make_alert(at=at)
        deliveries.deliver_due(at=at, limit=9)

    assert all(is_from_tollkeeper(webhook.headers[0], webhook.bodies[0], one) for one in (new, SECRET))
    assert [len(headers["webhook-signature"].split()) for headers in webhook.headers] == [2, 1]
    assert until == now + HOUR
    (row,) = channel_rows.every()
    assert row.former_secret_until == until
    assert SECRET not in repr(row) + repr(row.config)


@pytest.mark.django_db
def test_a_second_rotation_ends_the_first_secret_at_once_and_none_overlaps_for_ever(webhook):
    channel = make_channel(kind="webhook", config={"url": webhook.url}, secret=SECRET)

    for _ in range(2):
        new = channels.made_secret(kind="webhook")
        channels.rotate_secret(channel_id=channel.pk, new=new, keep_for=HOUR, by="lead", at=NOON)
    with pytest.raises(Invalid):
        channels.rotate_secret(channel_id=channel.pk, new=SECRET, keep_for=timedelta(days=31), by="lead", at=NOON)

    make_alert()
    deliveries.deliver_due(at=NOON, limit=9)
    wanted = signed.signature(SECRET, webhook.headers[0]["webhook-id"], NOON, webhook.bodies[0])
    assert len(webhook.headers[0]["webhook-signature"].split()) == 2
    assert wanted not in webhook.headers[0]["webhook-signature"]


@pytest.mark.django_db
def test_a_channel_that_signs_nothing_has_no_secret_to_rotate():
    channel = make_channel(kind="email")

    with pytest.raises(Invalid):
        channels.rotate_secret(channel_id=channel.pk, new=SECRET, keep_for=HOUR, by="lead", at=NOON)

    assert channels.made_secret(kind="email") == ""


def test_a_made_secret_is_another_each_time_and_a_sound_one(webhook):
    first, second = KIND.make_secret(), KIND.make_secret()

    assert first != second
    assert KIND.check({"url": webhook.url}, first) == []


@pytest.mark.parametrize(
    ("url", "secret", "fields"),
    [
        ("", SECRET, ["url"]),
        (7, SECRET, ["url"]),
        ("ftp://3.121.19.1/x", SECRET, ["url"]),
        ("https://u:p@3.121.19.1/x", SECRET, ["url"]),
        ("http://3.121.19.1/x", SECRET, ["url"]),
        ("https://127.0.0.1/x", SECRET, ["url"]),
        ("https://hooks.nowhere.invalid/x", SECRET, []),
        ("https://xn--a/x", SECRET, ["url"]),
        ("https://3.121.19.1:99999/x", SECRET, ["url"]),
        ("https://3.121.19.1/x", "", ["secret"]),
        ("https://3.121.19.1/x", SECRET.removeprefix("whsec_"), ["secret"]),
        ("https://3.121.19.1/x", "whsec_c2hvcnQ=", ["secret"]),
        ("https://3.121.19.1/x", "whsec_no-base64!", ["secret"]),
        ("https://3.121.19.1/x", f"{SECRET} {SECRET} soon", ["secret"]),
        ("https://3.121.19.1/x", f"{SECRET} whsec_x 2026-01-01T00:00:00+00:00", ["secret"]),
    ],
)
def test_settings_are_checked_and_every_problem_named(settings, url, secret, fields):
    settings.ALLOW_INTERNAL_WEBHOOKS = False

    assert [field for field, _ in KIND.check({"url": url}, secret)] == fields
