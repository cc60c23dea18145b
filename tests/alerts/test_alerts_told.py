"""What went out and what did not, how channels do, and which alerts find which of them."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from alerts import rules
from alerts.models import Alert, Delivery, DeliveryState
from alerts.selectors import alerts, deliveries, reach
from alerts.services import acknowledging
from tests.alerts.making import NOON, make_alert, make_channel, the_delivery

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)


def ended(delivery: Delivery, state: str, **fields) -> None:
    delivered_at = NOON + timedelta(seconds=3) if state == "delivered" else None
    given = {"state": state, "attempts": 1, "delivered_at": delivered_at, "reason": "404 no_service"} | fields
    Delivery.objects.filter(pk=delivery.pk).update(**given)


def test_deliveries_come_newest_first_in_pages_with_the_time_that_each_took(django_assert_num_queries):
    make_channel(name="on-call")
    made = [the_delivery(make_alert()) for _ in range(3)]
    ended(made[2], "delivered")

    with django_assert_num_queries(1):
        first = deliveries.newest(limit=2)
    second = deliveries.newest(limit=2, before=first.next_before)

    assert [told.delivery.id for told in first.rows + second.rows] == [each.pk for each in reversed(made)]
    assert (first.rows[0].took, first.rows[1].took) == (timedelta(seconds=3), None)
    assert second.next_before is None


def test_deliveries_are_found_by_state_by_channel_and_by_having_none():
    nobody = the_delivery(make_alert())
    on_call, nightly = make_channel(), make_channel()
    alert = make_alert()
    ended(alert.deliveries.get(channel=on_call), "failed")

    def ids(**asked) -> set[int]:
        return {told.delivery.id for told in deliveries.newest(limit=10, **asked).rows}

    assert ids(states=["failed"]) == {nobody.pk, alert.deliveries.get(channel=on_call).pk}
    assert ids(channel_id=nightly.pk) == {alert.deliveries.get(channel=nightly).pk}
    assert ids(to_nobody=True) == {nobody.pk}


def test_failures_are_counted_apart_for_channels_and_for_want_of_one():
    make_alert()
    make_channel()
    ended(the_delivery(make_alert()), "failed")
    ended(the_delivery(make_alert(at=NOON - timedelta(days=4))), "failed")

    counted = deliveries.failed(since=NOON - timedelta(days=3))

    assert (counted.to_channels, counted.to_nobody) == (1, 1)


def test_a_channel_fails_since_the_first_failure_after_what_it_took_last(django_assert_num_queries):
    good, bad, quiet = make_channel(), make_channel(), make_channel()
    for number, states in enumerate([("failed", "failed"), ("delivered", "delivered"), ("delivered", "failed")]):
        alert = make_alert(at=NOON + timedelta(minutes=number))
        alert.deliveries.filter(channel=quiet).delete()
        ended(alert.deliveries.get(channel=good), states[0])
        ended(alert.deliveries.get(channel=bad), states[1])
    alert = make_alert(at=LATER)
    alert.deliveries.filter(channel=quiet).delete()
    ended(alert.deliveries.get(channel=good), "delivered")
    ended(alert.deliveries.get(channel=bad), DeliveryState.WAITING, attempts=2)

    with django_assert_num_queries(2):
        found = deliveries.standings(channel_ids=[good.pk, bad.pk, quiet.pk])

    assert set(found) == {good.pk, bad.pk}
    assert (found[good.pk].failing_since, found[good.pk].last.delivery.state) == (None, "delivered")
    assert (found[bad.pk].failing_since, found[bad.pk].failing) == (NOON + timedelta(minutes=2), 2)
    assert (found[bad.pk].waiting, found[bad.pk].last.alert_id) == (1, alert.pk)


def test_what_would_have_come_to_a_channel_is_what_the_rule_of_routing_says():
    for severity, kind, team_ids, budget_id in itertools.product(
        (10, 20, 30), ("budget_crossing", "gateway_silent"), ([], [3], [3, 4]), (None, 17)
    ):
        make_alert(severity=severity, kind=kind, team_ids=team_ids, budget_id=budget_id)
    make_alert(kind="canary", severity=30)
    make_alert(at=NOON - timedelta(days=31))
    raised = list(Alert.objects.filter(created_at=NOON).exclude(kind="canary"))

    for teams, budgets, kinds, least in itertools.product(
        ([], [3], [4, 5]), ([], [17]), ([], ["gateway_silent"]), (10, 30)
    ):
        asked = {"teams": teams, "budgets": budgets, "kinds": kinds, "least_severity": least}
        found = reach.fitting(**asked, since=NOON - timedelta(days=30), limit=100)

        expected = {
            alert.pk
            for alert in raised
            if rules.fits(
                **asked,
                kind=alert.kind,
                severity=alert.severity,
                team_ids=alert.team_ids,
                budget_id=alert.budget_id,
            )
        }
        assert {head.id for head in found.newest} == expected, asked
        assert (found.count, found.of) == (len(expected), len(raised))


def test_what_was_told_nobody_is_counted_and_what_a_newer_channel_would_take_is_no_gap_any_more():
    make_alert(kind="gateway_silent", severity=30, team_ids=[])
    make_alert(kind="review_due", severity=10)
    make_alert(kind="review_due", severity=10)
    make_alert(kind="canary", severity=10)
    make_alert(at=NOON - timedelta(days=31))
    make_channel(least_severity=20)
    make_channel(enabled=False)

    found = reach.untold(since=NOON - timedelta(days=30))

    assert (found.count, found.still) == (3, 2)
    assert [(gap.kind, gap.severity_label, gap.count) for gap in found.gaps] == [("review_due", "info", 2)]


def test_each_alert_that_is_not_over_is_counted_once():
    make_alert()
    snoozed, taken, both, over = (make_alert() for _ in range(4))
    for alert in (snoozed, both):
        acknowledging.snooze(alert_id=alert.pk, until=LATER, by="a@example.com", at=NOON)
    for alert in (taken, both):
        acknowledging.acknowledge(alert_id=alert.pk, by="a@example.com", at=NOON)
    acknowledging.resolve(alert_id=over.pk, by="a@example.com", at=NOON)

    counted = alerts.counts(at=NOON)

    assert (counted.open, counted.snoozed, counted.acknowledged) == (1, 2, 1)
    assert {row.id for row in alerts.newest(asleep_at=NOON).rows} == {snoozed.pk, both.pk}
    assert {row.id for row in alerts.newest(states=["acknowledged"], awake_at=NOON).rows} == {taken.pk}
    assert alerts.counts(at=LATER).snoozed == 0


def test_a_snooze_is_taken_back():
    alert = make_alert()
    acknowledging.snooze(alert_id=alert.pk, until=LATER, by="a@example.com", at=NOON)

    acknowledging.wake(alert_id=alert.pk, by="b@example.com")
    acknowledging.wake(alert_id=alert.pk, by="b@example.com")

    assert alerts.count_open(at=NOON) == 1
    with pytest.raises(acknowledging.NoSuchAlert):
        acknowledging.wake(alert_id=0, by="b@example.com")
