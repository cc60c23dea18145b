from datetime import timedelta

import pytest

from alerts.models import Severity
from alerts.selectors import alerts
from alerts.services import acknowledging
from tests.alerts.making import NOON, make_alert, make_channel

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def test_open_alerts_come_gravest_first_and_then_newest():
    old_warning = make_alert()
    critical = make_alert(severity=Severity.CRITICAL)
    new_warning = make_alert()
    acknowledged = make_alert()
    acknowledging.acknowledge(alert_id=acknowledged.pk, by="lead@example.com", at=NOON)
    make_alert(not_sent_because="past period")

    rows = alerts.open_alerts(at=NOON)

    assert [row.id for row in rows] == [critical.pk, new_warning.pk, old_warning.pk]
    assert rows[0].severity_label == "critical"
    assert alerts.count_open(at=NOON) == 3


def test_pages_give_every_alert_once_even_at_the_same_instant_and_while_new_ones_come():
    made = [make_alert(at=NOON + (number // 3) * SECOND).pk for number in range(8)]

    first = alerts.newest(limit=3)
    make_alert(at=NOON + 60 * SECOND)
    second = alerts.newest(limit=3, before=first.next_before)
    third = alerts.newest(limit=3, before=second.next_before)

    seen = [row.id for page in (first, second, third) for row in page.rows]
    assert seen == made[::-1]
    assert third.next_before is None


def test_a_page_that_is_just_full_has_none_after_it():
    make_alert()
    make_alert()

    page = alerts.newest(limit=2)

    assert (len(page.rows), page.next_before) == (2, None)


def test_alerts_are_filtered_by_state_kind_severity_team_and_budget():
    make_alert(kind="silent_gateway", budget_id=None, team_ids=[])
    wanted = make_alert(kind="budget_crossing", severity=Severity.CRITICAL, budget_id=5, team_ids=[3, 4])

    found = [
        alerts.newest(kinds=["budget_crossing"]),
        alerts.newest(severities=[Severity.CRITICAL]),
        alerts.newest(team_id=4),
        alerts.newest(budget_id=5),
        alerts.newest(states=["open"], budget_id=5),
    ]

    assert [[row.id for row in page.rows] for page in found] == [[wanted.pk]] * 5
    assert alerts.newest(states=["resolved"]).rows == ()


def test_one_alert_has_its_deliveries_and_comments():
    make_channel(name="Finance")
    alert = make_alert()
    for text in ("first", "second"):
        acknowledging.comment(alert_id=alert.pk, by="lead@example.com", text=text, at=NOON)

    detail = alerts.one(alert_id=alert.pk)

    (delivery,) = detail.alert.deliveries
    assert (delivery.channel, delivery.channel_kind, delivery.state) == ("Finance", "email", "waiting")
    assert [comment.text for comment in detail.comments] == ["first", "second"]
    assert alerts.one(alert_id=alert.pk + 1) is None


def test_an_alert_without_a_channel_says_so_in_its_row():
    alert = make_alert()

    (delivery,) = alerts.one(alert_id=alert.pk).alert.deliveries

    assert (delivery.channel_id, delivery.channel, delivery.reason) == (None, "", "no-channel")


def test_the_number_of_queries_does_not_grow_with_the_rows(django_assert_num_queries):
    make_channel()
    make_channel()
    made = [make_alert() for _ in range(5)]

    with django_assert_num_queries(2):
        alerts.open_alerts(at=NOON)
    with django_assert_num_queries(2):
        alerts.newest()
    with django_assert_num_queries(3):
        alerts.one(alert_id=made[0].pk)
