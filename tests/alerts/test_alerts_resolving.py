"""Alerts that end by themselves, because what they told of is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert
from alerts.selectors import alerts as alert_rows
from alerts.services import acknowledging, resolving
from tests.alerts.making import NOON, make_alert

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(hours=1)


def states() -> list[str]:
    return list(Alert.objects.order_by("id").values_list("state", flat=True))


def test_what_is_over_is_resolved_for_its_subject_alone():
    make_alert(kind="gateway_silent", subject_id=1)
    make_alert(kind="gateway_silent", subject_id=2)
    make_alert(kind="second_format", subject_id=1)

    ended = resolving.resolve(kind="gateway_silent", subject_id=1, at=LATER)

    assert (ended, states()) == (1, ["resolved", "open", "open"])
    assert Alert.objects.earliest("id").resolved_at == LATER


def test_alerts_can_be_found_by_how_their_dedupe_key_begins():
    make_alert(kind="drift", dedupe_key="drift:2026-06-14")
    make_alert(kind="drift", dedupe_key="drift:2026-06-15")
    make_alert(kind="other", dedupe_key="drift:2026-06-14:other")

    ended = resolving.resolve(kind="drift", dedupe_key_prefix="drift:2026-06-14", at=LATER)

    assert (ended, states()) == (1, ["resolved", "open", "open"])


def test_one_that_somebody_took_care_of_or_put_to_sleep_is_resolved_too():
    seen, asleep = make_alert(kind="drift"), make_alert(kind="drift")
    acknowledging.acknowledge(alert_id=seen.pk, by="lead@example.com", at=NOON)
    acknowledging.snooze(alert_id=asleep.pk, until=LATER + timedelta(days=2), by="lead@example.com", at=NOON)

    resolving.resolve(kind="drift", subject_id=17, at=LATER)

    assert states() == ["resolved", "resolved"]
    assert alert_rows.open_alerts(at=LATER + timedelta(days=1)) == []


def test_resolving_again_keeps_the_first_moment_and_counts_nothing():
    alert = make_alert(kind="drift")
    resolving.resolve(kind="drift", subject_id=17, at=LATER)

    again = resolving.resolve(kind="drift", subject_id=17, at=LATER + timedelta(hours=1))

    alert.refresh_from_db()
    assert (again, alert.resolved_at) == (0, LATER)


def test_an_alert_of_a_later_cause_stays():
    make_alert(kind="drift", at=LATER)

    ended = resolving.resolve(kind="drift", subject_id=17, at=NOON)

    assert (ended, states()) == (0, ["open"])


def test_nobody_resolves_every_alert_of_a_kind_by_leaving_out_which():
    make_alert(kind="drift")

    with pytest.raises(ValueError, match="Name the subject"):
        resolving.resolve(kind="drift", at=LATER)

    assert states() == ["open"]


def test_it_is_one_question(django_assert_num_queries):
    make_alert(kind="drift")

    with django_assert_num_queries(1):
        resolving.resolve(kind="drift", subject_id=17, at=LATER)
