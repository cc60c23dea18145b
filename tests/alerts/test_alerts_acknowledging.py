from datetime import timedelta

import pytest

from alerts.models import AlertComment
from alerts.selectors import alerts as alert_rows
from alerts.services import acknowledging
from core.errors import Invalid
from core.models import AuditEntry
from tests.alerts.making import NOON, make_alert

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(hours=1)


def test_whoever_acknowledges_first_stays_named():
    alert = make_alert()

    acknowledging.acknowledge(alert_id=alert.pk, by="first@example.com", at=NOON)
    acknowledging.acknowledge(alert_id=alert.pk, by="second@example.com", at=LATER)

    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by, alert.acknowledged_at) == ("acknowledged", "first@example.com", NOON)
    entry = AuditEntry.objects.get(table="alerts_alert", operation="update")
    assert entry.actor == "first@example.com"


def test_a_resolved_alert_can_be_neither_acknowledged_nor_snoozed():
    alert = make_alert()
    acknowledging.resolve(alert_id=alert.pk, by="first@example.com", at=NOON)

    with pytest.raises(acknowledging.AlreadyResolved):
        acknowledging.acknowledge(alert_id=alert.pk, by="second@example.com", at=LATER)
    with pytest.raises(acknowledging.AlreadyResolved):
        acknowledging.snooze(alert_id=alert.pk, by="second@example.com", until=LATER, at=NOON)

    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by, alert.snoozed_until) == ("resolved", "", None)


def test_resolving_again_keeps_the_first_moment():
    alert = make_alert()

    acknowledging.resolve(alert_id=alert.pk, by="first@example.com", at=NOON)
    acknowledging.resolve(alert_id=alert.pk, by="second@example.com", at=LATER)

    alert.refresh_from_db()
    assert (alert.state, alert.resolved_at) == ("resolved", NOON)


def test_a_snoozed_alert_is_out_of_sight_until_then():
    alert = make_alert()

    acknowledging.snooze(alert_id=alert.pk, by="first@example.com", until=LATER, at=NOON)

    assert alert_rows.open_alerts(at=LATER - timedelta(seconds=1)) == []
    assert [row.id for row in alert_rows.open_alerts(at=LATER)] == [alert.pk]


def test_an_alert_is_not_snoozed_into_the_past():
    alert = make_alert()

    with pytest.raises(Invalid):
        acknowledging.snooze(alert_id=alert.pk, by="first@example.com", until=NOON, at=NOON)


def test_a_comment_is_kept_with_its_author():
    alert = make_alert()

    acknowledging.comment(alert_id=alert.pk, by="first@example.com", text="  looking  ", at=NOON)

    comment = AlertComment.objects.get()
    assert (comment.alert_id, comment.by, comment.text, comment.at) == (alert.pk, "first@example.com", "looking", NOON)


@pytest.mark.parametrize("text", ["", "   ", "x" * 4001])
def test_a_comment_without_words_or_too_long_is_refused(text):
    alert = make_alert()

    with pytest.raises(Invalid):
        acknowledging.comment(alert_id=alert.pk, by="first@example.com", text=text, at=NOON)


def test_an_alert_that_does_not_exist_is_told_apart():
    someone = {"alert_id": 404, "by": "first@example.com", "at": NOON}

    with pytest.raises(acknowledging.NoSuchAlert):
        acknowledging.acknowledge(**someone)
    with pytest.raises(acknowledging.NoSuchAlert):
        acknowledging.resolve(**someone)
    with pytest.raises(acknowledging.NoSuchAlert):
        acknowledging.snooze(until=LATER, **someone)
    with pytest.raises(acknowledging.NoSuchAlert):
        acknowledging.comment(text="hello", **someone)
