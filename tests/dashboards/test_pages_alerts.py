from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts.models import AlertState
from alerts.services import acknowledging
from tests.alerts.making import make_alert, make_channel
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import make_budget

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def test_open_alerts_stand_on_the_page_and_others_under_their_state(client):
    make_alert(title="first", dedupe_key="1")
    taken = make_alert(title="second", dedupe_key="2")
    acknowledging.acknowledge(alert_id=taken.pk, by="on-call@example.com", at=NOON)
    signed_in(client, "viewer")

    opened = client.get("/alerts/").content.decode()
    acknowledged = client.get("/alerts/?state=acknowledged").content.decode()
    everything = client.get("/alerts/?state=all").content.decode()

    assert (">first<" in opened, ">second<" in opened) == (True, False)
    assert (">first<" in acknowledged, ">second<" in acknowledged) == (False, True)
    assert "on-call@example.com" in acknowledged
    assert everything.index(">second<") < everything.index(">first<")


def test_pages_follow_each_other_without_a_gap_while_new_alerts_come(client):
    for n in range(60):
        make_alert(title=f"alert {n:02}", dedupe_key=f"{n}", at=NOON + timedelta(minutes=n // 2))
    signed_in(client, "viewer")

    first = client.get("/alerts/")
    make_alert(title="meanwhile", dedupe_key="new", at=NOON + timedelta(hours=2))
    second = client.get(first.context["next_url"])

    shown = [line["row"].title for page in (first, second) for line in page.context["lines"]]
    assert shown == [f"alert {n:02}" for n in reversed(range(60))]
    assert second.context["next_url"] == ""


@pytest.mark.parametrize("query", ["state=odd", "before=x", "before=2026-06-15T12:00:00~1", "before=~"])
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/alerts/?{query}").status_code == 404


def test_without_alerts_the_page_says_so(client):
    signed_in(client, "viewer")

    assert "No alerts here" in client.get("/alerts/").content.decode()


def test_one_alert_shows_facts_and_what_became_of_each_delivery(client):
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
            ],
        },
    )
    signed_in(client, "viewer")

    page = client.get(f"/alerts/{alert.pk}/").content.decode()

    assert "It is nearly gone." in page
    assert "1,420,000 tokens" in page
    assert f'href="/budgets/{budget.pk}/"' in page
    assert "evil" not in page
    assert "on-call" in page
    assert "waiting" in page
    assert "Acknowledge" not in page.split("<main", 1)[1].split("</main>", 1)[0]  # a viewer cannot


def test_an_engineer_takes_an_alert_and_says_so(client):
    alert = make_alert()
    person = signed_in(client, "engineer")

    client.post(f"/alerts/{alert.pk}/acknowledge/")
    client.post(f"/alerts/{alert.pk}/comments/", {"text": "The fallback fires too often."})

    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, person.email)
    page = client.get(f"/alerts/{alert.pk}/").content.decode()
    assert "The fallback fires too often." in page


def test_an_empty_comment_is_refused_at_its_field(client):
    alert = make_alert()
    signed_in(client, "engineer")

    answer = client.post(f"/alerts/{alert.pk}/comments/", {"text": " "})

    assert (answer.status_code, list(answer.context["form"].errors)) == (422, ["text"])
    assert not alert.comments.exists()


def test_a_viewer_and_a_stranger_change_nothing(client):
    alert = make_alert()

    assert client.post(f"/alerts/{alert.pk}/acknowledge/").status_code == 302
    signed_in(client, "viewer")
    assert client.post(f"/alerts/{alert.pk}/acknowledge/").status_code == 403
    assert client.post(f"/alerts/{alert.pk}/comments/", {"text": "me"}).status_code == 403

    alert.refresh_from_db()
    assert (alert.state, alert.comments.count()) == (AlertState.OPEN, 0)


def test_a_resolved_alert_cannot_be_taken_and_the_page_says_why(client):
    alert = make_alert()
    acknowledging.resolve(alert_id=alert.pk, by="on-call@example.com", at=NOON)
    signed_in(client, "engineer")

    page = client.post(f"/alerts/{alert.pk}/acknowledge/", follow=True).content.decode()

    assert f"Alert {alert.pk} is resolved." in page


def test_what_is_no_alert_is_not_found(client):
    signed_in(client, "admin")

    assert client.get("/alerts/999/").status_code == 404
    assert client.post("/alerts/999/acknowledge/").status_code == 404
    assert client.post("/alerts/999/comments/", {"text": "x"}).status_code == 404


def test_text_that_is_markup_stays_text(client):
    alert = make_alert(title=HOSTILE, facts={"summary": HOSTILE, "rows": [[HOSTILE, HOSTILE]], "next": HOSTILE})
    signed_in(client, "engineer")
    client.post(f"/alerts/{alert.pk}/comments/", {"text": HOSTILE})

    for path in ("/", "/alerts/", f"/alerts/{alert.pk}/"):
        page = client.get(path).content.decode()

        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


def test_the_list_asks_the_same_few_questions_however_many_alerts_there_are(client, django_assert_num_queries):
    make_alert(dedupe_key="0")
    signed_in(client, "viewer")
    client.get("/alerts/")

    with django_assert_num_queries(6):
        client.get("/alerts/")
    for n in range(1, 20):
        make_alert(dedupe_key=f"{n}")
    with django_assert_num_queries(6):
        client.get("/alerts/")
