"""One alert, and the page that a message's link opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from alerts.models import AlertState
from alerts.services import acknowledging
from budgets.models import Counter
from tests.alerts.making import make_alert, make_channel
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import make_budget

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def test_it_shows_facts_and_what_became_of_each_delivery(client):
    make_channel(name="on-call")
    budget = make_budget(at=NOON)
    alert = make_alert(
        budget_id=budget.pk,
        facts={
            "summary": "It is nearly gone.",
            "rows": [["Used", "1,420,000 tokens"]],
            "next": "Gateways go on.",
            "links": [
                ["Open the budget", f"/budgets/{budget.pk}/"],
                ["Elsewhere", "https://evil.example/"],
                ["x", "//evil"],
                ["x", "/\\evil"],
            ],
        },
    )
    signed_in(client, "viewer")

    page = client.get(f"/alerts/{alert.pk}/").content.decode()

    assert "It is nearly gone." in page
    assert "1,420,000 tokens" in page
    assert f'href="/budgets/{budget.pk}/"' in page
    assert "evil" not in page
    assert "Waiting: on-call" in page
    assert "Acknowledge" not in page.split("<main", 1)[1].split("</main>", 1)[0]  # a viewer cannot


@pytest.mark.parametrize("share", ["0.5", "1", "2", "-1", "NaN", "x", ""])
def test_parts_of_a_digest_are_shown_whatever_they_hold(client, share):
    sections = [
        {"title": "By team", "bars": [["support", "$12.00", share], ["odd"]], "rows": [["Open alerts", "3"], "odd"]},
        "odd",
    ]
    alert = make_alert(kind="digest_weekly", facts={"sections": sections, "rows": "odd", "links": {}})
    signed_in(client, "viewer")

    page = client.get(f"/alerts/{alert.pk}/").content.decode()

    assert "By team" in page
    assert "$12.00" in page
    widths = {"0.5": "50%", "1": "100%", "2": "100%"}
    assert f'width="{widths.get(share, "0%")}"' in page


def test_its_time_line_says_who_did_what_in_the_order_of_time(client):
    make_channel(name="on-call")
    alert = make_alert(at=timezone.now() - timedelta(hours=3))
    alert.deliveries.update(state="failed", reason="404 no_service", attempts=1)
    now, by = timezone.now(), "lead@example.com"
    acknowledging.snooze(alert_id=alert.pk, until=now + timedelta(hours=1), by=by, at=now)
    acknowledging.wake(alert_id=alert.pk, by=by)
    acknowledging.acknowledge(alert_id=alert.pk, by=by, at=now)
    acknowledging.comment(alert_id=alert.pk, text="A deploy.", by=by, at=timezone.now())
    acknowledging.resolve(alert_id=alert.pk, by=by, at=now)
    signed_in(client, "engineer")

    page = client.get(f"/alerts/{alert.pk}/")

    assert [(moment.title, moment.by) for moment in page.context["moments"]] == [
        ("Raised", ""),
        ("Not delivered to on-call", ""),
        ("Snoozed", by),
        ("Snooze taken back", by),
        ("Acknowledged", by),
        ("Comment", by),
        ("Resolved", by),
    ]
    said = page.content.decode()
    assert "404 no_service" in said
    assert "1 attempt" in said


def test_a_crossing_shows_how_its_budget_stands_now(client):
    budget = make_budget(at=timezone.now() - timedelta(days=1))
    Counter.objects.filter(budget=budget).update(used=Decimal(42))
    signed_in(client, "viewer")

    page = client.get(f"/alerts/{make_alert(budget_id=budget.pk).pk}/").content.decode()

    assert "The budget now" in page
    assert "42 frontier tokens of 100 frontier tokens used, 42.0 %" in page


def test_an_engineer_takes_an_alert_and_says_so(client):
    alert = make_alert()
    person = signed_in(client, "engineer")

    client.post(f"/alerts/{alert.pk}/acknowledge/")
    client.post(f"/alerts/{alert.pk}/comments/", {"text": "The fallback fires too often."})

    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, person.email)
    page = client.get(f"/alerts/{alert.pk}/").content.decode()
    assert "The fallback fires too often." in page


def test_a_look_at_the_page_of_a_messages_link_changes_nothing(client):
    alert = make_alert()
    signed_in(client, "engineer")

    page = client.get(f"/alerts/{alert.pk}/acknowledge/").content.decode()

    alert.refresh_from_db()
    assert alert.state == "open"
    assert alert.title in page
    assert "Acknowledge: I take care of it" in page
    assert "Until tomorrow" in page


def test_a_stranger_is_brought_back_to_the_link_after_signing_in_and_a_viewer_is_told_who_can(client):
    alert = make_alert()

    assert (
        client.get(f"/alerts/{alert.pk}/acknowledge/").url == f"/accounts/login/?next=/alerts/{alert.pk}/acknowledge/"
    )
    signed_in(client, "viewer")
    page = client.get(f"/alerts/{alert.pk}/acknowledge/").content.decode()
    assert "I take care of it" not in page
    assert "Your role only looks" in page


def test_what_is_over_says_so_and_asks_for_nothing(client):
    alert = make_alert()
    acknowledging.resolve(alert_id=alert.pk, by="on-call@example.com", at=NOON)
    signed_in(client, "engineer")

    page = client.get(f"/alerts/{alert.pk}/acknowledge/").content.decode()
    refused = client.post(f"/alerts/{alert.pk}/acknowledge/", follow=True).content.decode()

    assert "This is over" in page
    assert "<button" not in page.split("<main", 1)[1].split("</main>", 1)[0]
    assert f"Alert {alert.pk} is resolved." in refused


def test_it_is_snoozed_on_the_clock_of_whoever_does_it_and_woken(client):
    alert = make_alert()
    person = signed_in(client, "engineer")
    person.zone = "Asia/Kolkata"
    person.save(update_fields=["zone"])

    client.post(f"/alerts/{alert.pk}/snooze/", {"until": "2099-01-01T09:00"})
    alert.refresh_from_db()
    assert alert.snoozed_until == datetime(2099, 1, 1, 3, 30, tzinfo=UTC)
    client.post(f"/alerts/{alert.pk}/wake/")
    alert.refresh_from_db()
    assert alert.snoozed_until is None


@pytest.mark.parametrize(
    ("step", "given", "said"),
    [
        ("snooze", {"snooze": "tuesday"}, "Select a valid choice"),
        ("snooze", {"until": "tomorrow"}, "Write a day as 2026-11-01"),
        ("snooze", {}, "Choose until when."),
        ("snooze", {"until": "2020-01-01"}, "Choose a time that is still to come."),
        ("comments", {"text": " "}, "Write 1 to 4000 characters."),
        ("comments", {"text": "a\0b"}, "Null characters are not allowed."),
        ("resolve", {"comment": "x" * 4001}, "Write 1 to 4000 characters."),
    ],
)
def test_what_cannot_be_done_is_said_at_its_field_and_changes_nothing(client, step, given, said):
    alert = make_alert()
    signed_in(client, "engineer")

    answer = client.post(f"/alerts/{alert.pk}/{step}/", given)

    assert answer.status_code == 422
    assert said in answer.content.decode()
    alert.refresh_from_db()
    assert (alert.state, alert.snoozed_until, alert.comments.count()) == ("open", None, 0)


STEPS = ("acknowledge", "snooze", "wake", "resolve", "comments")


def test_a_viewer_and_a_stranger_change_nothing(client):
    alert = make_alert()
    given = {"text": "me", "snooze": "hour"}

    assert {client.post(f"/alerts/{alert.pk}/{step}/", given).status_code for step in STEPS} == {302}
    signed_in(client, "viewer")
    assert {client.post(f"/alerts/{alert.pk}/{step}/", given).status_code for step in STEPS} == {403}

    alert.refresh_from_db()
    assert (alert.state, alert.snoozed_until, alert.comments.count()) == (AlertState.OPEN, None, 0)


def test_what_is_no_alert_is_not_found(client):
    signed_in(client, "admin")

    assert client.get("/alerts/999/").status_code == 404
    assert client.get("/alerts/999/acknowledge/").status_code == 404
    for step in STEPS:
        assert client.post(f"/alerts/999/{step}/", {"text": "x", "snooze": "hour"}).status_code == 404, step


def test_text_that_is_markup_stays_text(client):
    make_channel(name=HOSTILE)
    alert = make_alert(title=HOSTILE, facts={"sections": [{"title": HOSTILE, "bars": [[HOSTILE, HOSTILE, HOSTILE]]}]})
    alert.deliveries.update(state="failed", reason=HOSTILE, answer=f"{HOSTILE} 2", attempts=1)
    signed_in(client, "admin")

    for path in (f"/alerts/{alert.pk}/", f"/alerts/{alert.pk}/acknowledge/", "/alerts/deliveries/", "/channels/"):
        page = client.get(path).content.decode()

        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


def test_it_asks_the_same_few_questions_however_much_happened(client, django_assert_num_queries):
    alert = make_alert(budget_id=None)
    signed_in(client, "engineer")

    with django_assert_num_queries(9):
        client.get(f"/alerts/{alert.pk}/")
    for n in range(5):
        acknowledging.comment(alert_id=alert.pk, text=f"{n}", by="a@example.com", at=NOON)
    with django_assert_num_queries(9):
        client.get(f"/alerts/{alert.pk}/")
