import json
from datetime import timedelta

import pytest
from django.db import connection

from alerts.channels import Delivered, RetryLater
from alerts.models import Alert, Channel, Delivery, Severity
from alerts.selectors import channels as channel_rows
from alerts.services import channels
from core import secrets
from core.errors import Invalid
from core.models import AuditEntry
from tests.alerts.far_sides import Reply
from tests.alerts.making import NOON, make_alert, make_channel

pytestmark = pytest.mark.django_db

HOOK = "https://3.121.19.1/services/T/B/very-secret"


def create(**overrides):
    asked = {"name": "On call", "kind": "slack", "config": {}, "secret": HOOK, "by": "lead@example.com", "at": NOON}
    return channels.create(**asked | overrides)


def test_a_channel_keeps_its_secret_encrypted_and_out_of_the_audit_trail():
    channel = create()

    channel.refresh_from_db()
    assert secrets.decrypt(bytes(channel.secret)).decode() == HOOK
    with connection.cursor() as cursor:
        cursor.execute("SELECT alerts_channel::text FROM alerts_channel WHERE id = %s", [channel.pk])
        stored = cursor.fetchone()[0]
    entry = AuditEntry.objects.get(table="alerts_channel", row=str(channel.pk))
    assert "very-secret" not in stored
    assert "very-secret" not in json.dumps(entry.after)
    assert (entry.actor, entry.operation, "secret" in entry.after) == ("lead@example.com", "insert", False)


def test_what_people_see_of_a_channel_is_its_host_alone():
    create()

    (row,) = channel_rows.every()

    assert (row.target, row.kind_label, row.has_secret) == ("3.121.19.1", "Slack webhook", True)
    assert "very-secret" not in repr(row)


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(Invalid) as caught:
        create(name=" ", secret="http://127.0.0.1/x", teams=[999], kinds=["k" * 33], least_severity=15)

    fields = [field for field, _ in caught.value.problems]
    assert fields == ["name", "secret", "secret", "least_severity", "kinds", "teams"]
    assert Channel.objects.count() == 0


def test_lists_that_every_alert_would_have_to_read_are_kept_short():
    many = list(range(1, 502))

    with pytest.raises(Invalid) as caught:
        create(budgets=many, kinds=[str(each) for each in many])

    assert [field for field, _ in caught.value.problems] == ["budgets", "kinds"]


def test_an_unknown_kind_is_refused():
    with pytest.raises(Invalid) as caught:
        create(kind="pager")

    assert caught.value.problems == [("kind", "Choose one of slack, slack_bot, email, webhook.")]


def test_two_channels_in_use_cannot_share_a_name_but_a_retired_one_gives_it_back():
    first = create()
    with pytest.raises(channels.NameTaken):
        create()

    channels.retire(channel_id=first.pk, by="lead@example.com", at=NOON)
    second = create()

    assert second.pk != first.pk


def test_a_change_leaves_what_is_not_given_as_it_is():
    channel = create(least_severity=Severity.WARNING)

    channels.change(channel_id=channel.pk, by="lead@example.com", reason="new name", name="Night", enabled=False)

    channel.refresh_from_db()
    assert (channel.name, channel.enabled, channel.least_severity) == ("Night", False, Severity.WARNING)
    assert secrets.decrypt(bytes(channel.secret)).decode() == HOOK
    entry = AuditEntry.objects.filter(table="alerts_channel", operation="update").get()
    assert (entry.actor, entry.reason) == ("lead@example.com", "new name")


def test_a_new_secret_leaves_a_trace_without_the_secret():
    channel = create()

    channels.change(channel_id=channel.pk, by="lead@example.com", secret=HOOK + "-2")

    channel.refresh_from_db()
    assert secrets.decrypt(bytes(channel.secret)).decode() == HOOK + "-2"
    assert AuditEntry.objects.filter(table="alerts_channel", operation="update").count() == 1


def test_a_change_that_would_break_a_channel_is_refused_whole():
    channel = create()

    with pytest.raises(Invalid):
        channels.change(channel_id=channel.pk, by="lead@example.com", name="Night", secret="")

    channel.refresh_from_db()
    assert channel.name == "On call"


def test_a_retired_channel_forgets_its_secret_and_cannot_be_changed():
    channel = create()

    channels.retire(channel_id=channel.pk, by="lead@example.com", at=NOON)
    channels.retire(channel_id=channel.pk, by="lead@example.com", at=NOON)

    channel.refresh_from_db()
    assert (channel.retired_at, channel.enabled, channel.secret) == (NOON, False, None)
    assert channel_rows.every() == []
    assert [row.id for row in channel_rows.every(with_retired=True)] == [channel.pk]
    with pytest.raises(channels.NoSuchChannel):
        channels.change(channel_id=channel.pk, by="lead@example.com", enabled=True)
    with pytest.raises(channels.NoSuchChannel):
        channels.retire(channel_id=channel.pk + 1, by="lead@example.com", at=NOON)


def test_a_secret_without_a_key_is_refused_with_a_sentence_that_names_the_variable(settings):
    settings.ENCRYPTION_KEYS = []

    with pytest.raises(secrets.KeysMissing, match="TOLLKEEPER_ENCRYPTION_KEYS"):
        create()

    assert Channel.objects.count() == 0


def test_a_test_message_is_sent_at_once_and_says_what_became_of_it(webhook):
    channel = make_channel(kind="slack", name="Night", secret=webhook.url)
    webhook.script += [Reply(200), Reply(500, "rollup_error")]

    outcomes = [channels.send_test(channel_id=channel.pk, by="lead@example.com", at=NOON) for _ in range(2)]

    assert outcomes == [Delivered(answer="200 ok"), RetryLater(reason="500 rollup_error")]
    assert "Test of the channel Night" in json.dumps(webhook.posts[0])
    assert (Alert.objects.count(), Delivery.objects.count()) == (0, 0)


@pytest.mark.parametrize(("reply", "due_in"), [(Reply(200), timedelta()), (Reply(500), timedelta(minutes=40))])
def test_a_test_that_is_taken_wakes_what_rests_after_a_failure(webhook, reply, due_in):
    channel = make_channel(kind="slack", secret=webhook.url)
    make_alert()
    Delivery.objects.update(due_at=NOON + timedelta(minutes=40), attempts=7)
    webhook.script.append(reply)

    channels.send_test(channel_id=channel.pk, by="lead@example.com", at=NOON)

    assert Delivery.objects.get().due_at == NOON + due_in


def test_a_channel_set_up_for_one_team_gets_its_alerts_only(webhook):
    from catalog.models import Team

    team = Team.objects.create(name="Support", folded="support")
    channel = create(secret=webhook.url, teams=[team.pk])

    theirs, others = make_alert(team_ids=[team.pk]), make_alert(team_ids=[team.pk + 1])

    assert theirs.deliveries.get().channel_id == channel.pk
    assert others.deliveries.get().reason == "no-channel"


def test_reading_channels_costs_one_query(django_assert_num_queries):
    make_channel()
    make_channel()

    with django_assert_num_queries(1):
        assert len(channel_rows.every()) == 2
