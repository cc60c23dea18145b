from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from alerts.models import Alert, AlertState
from alerts.services import acknowledging
from dashboards.forms_alerts import snoozes
from tests.alerts.making import make_alert, make_channel
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_team
from tests.usage import making

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
    second = client.get(first.context["older_url"])

    shown = [line.row.title for page in (first, second) for line in page.context["lines"]]
    assert shown == [f"alert {n:02}" for n in reversed(range(60))]
    assert second.context["older_url"] == ""


@pytest.mark.parametrize(
    "query",
    [
        "state=odd", "before=x", "before=2026-06-15T12:00:00~1", "before=~", "severity=odd", "team=x", "budget=0",
        "kind=%00",
    ],
)  # fmt: skip
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/alerts/?{query}").status_code == 404


def test_without_alerts_the_page_says_so(client):
    signed_in(client, "viewer")

    assert "No alerts here" in client.get("/alerts/").content.decode()


def test_text_that_is_markup_stays_text(client):
    making.make_priced_offering()
    book(call(at=timezone.now()))  # the first page of a house that was never used has its first steps alone
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

    with django_assert_num_queries(13):
        client.get("/alerts/")
    make_channel()
    for n in range(1, 20):
        make_alert(dedupe_key=f"{n}")
    with django_assert_num_queries(13):
        client.get("/alerts/")


def test_a_snoozed_alert_stands_under_its_tab_alone_until_its_time(client):
    alert = make_alert(title="asleep")
    now = timezone.now()
    acknowledging.snooze(alert_id=alert.pk, until=now + timedelta(hours=1), by="on-call@example.com", at=now)
    signed_in(client, "viewer")

    assert ">asleep<" not in client.get("/alerts/").content.decode()
    assert ">asleep<" in client.get("/alerts/?state=snoozed").content.decode()
    acknowledging.wake(alert_id=alert.pk, by="on-call@example.com")
    assert ">asleep<" in client.get("/alerts/").content.decode()


def test_filters_stand_in_the_address_narrow_the_list_and_are_taken_away_one_by_one(client):
    team, budget = make_team("support"), make_budget(at=NOON)
    fits = {"kind": "gateway_silent", "severity": 30, "team_ids": [team.pk], "budget_id": budget.pk}
    wanted = make_alert(title="wanted", **fits)
    for other in ({"kind": "review_due"}, {"severity": 10}, {"team_ids": []}, {"budget_id": None}):
        make_alert(title="other", **(fits | other))
    signed_in(client, "viewer")

    page = client.get(f"/alerts/?kind=gateway_silent&severity=critical&team={team.pk}&budget={budget.pk}")

    assert [line.row.id for line in page.context["lines"]] == [wanted.pk]
    chips = page.context["chips"]
    assert [chip.value for chip in chips] == ["Silent gateway", "critical", "support", "support frontier"]
    assert [len(client.get(chip.url).context["lines"]) for chip in chips] == [2, 2, 2, 2]


def test_digests_and_daily_checks_are_left_out_unless_asked_for(client):
    make_channel()
    make_alert(title="good morning", kind="digest_daily", notice=True)
    signed_in(client, "viewer")

    page = client.get("/alerts/?state=all")

    assert page.context["lines"] == []
    with_them = client.get(page.context["notices_url"]).content.decode()
    assert ">good morning<" in with_them
    assert "nothing to do" in with_them
    assert ">good morning<" in client.get("/alerts/?state=resolved&kind=digest_daily").content.decode()


def test_a_line_says_what_was_told_to_whom_and_who_takes_care(client):
    for name in ("finops", "on-call", "nightly"):
        make_channel(name=name)
    alert = make_alert()
    for name, state in (("finops", "delivered"), ("on-call", "failed"), ("nightly", "waiting")):
        alert.deliveries.filter(channel__name=name).update(
            state=state, reason="404 no_service", attempts=2, delivered_at=NOON if state == "delivered" else None
        )
    signed_in(client, "viewer")

    page = client.get("/alerts/").content.decode()

    for words in ("failed: on-call (404 no_service)", "trying again nightly", "delivered to finops", "nobody yet"):
        assert words in page, words


def test_several_are_acknowledged_snoozed_and_resolved_with_a_comment_at_once(client):
    alerts = [make_alert() for _ in range(3)]
    ids = [alert.pk for alert in alerts]
    person = signed_in(client, "engineer")

    asked = {"state": "open", "kind": "budget_crossing"}
    answer = client.post("/alerts/act/", {**asked, "do": "acknowledge", "ids": ids[:2]})
    client.post("/alerts/act/", {"do": "snooze", "snooze": "hour", "all": "on", "shown": ids})
    client.post("/alerts/act/", {"do": "resolve", "comment": "A deploy.", "ids": ids[1:]})

    assert answer.url == "/alerts/?kind=budget_crossing"
    found = {alert.pk: alert for alert in Alert.objects.all()}
    assert [found[pk].state for pk in ids] == ["acknowledged", "resolved", "resolved"]
    assert found[ids[0]].acknowledged_by == person.email
    assert found[ids[0]].snoozed_until > timezone.now()
    assert [found[pk].comments.count() for pk in ids] == [0, 1, 1]


def test_what_was_resolved_meanwhile_stops_none_of_the_others(client):
    over, still = make_alert(), make_alert()
    acknowledging.resolve(alert_id=over.pk, by="on-call@example.com", at=NOON)
    signed_in(client, "engineer")

    answer = client.post("/alerts/act/", {"do": "acknowledge", "ids": [over.pk, still.pk]}, follow=True)

    still.refresh_from_db()
    assert still.state == AlertState.ACKNOWLEDGED
    assert [str(one) for one in answer.context["messages"]] == [
        "1 alert is acknowledged.", "1 was resolved meanwhile, and stays so."
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"do": "acknowledge"}, "Tick at least one alert."),
        ({"do": "", "ids": "ID"}, "Choose what to do with them."),
        ({"do": "snooze", "snooze": "chosen", "ids": "ID"}, "Choose until when."),
        ({"do": "snooze", "snooze": "chosen", "until": "2020-01-01T09:00", "ids": "ID"}, "Choose a time that is still"),
        ({"do": "resolve", "comment": "x" * 4001, "ids": "ID"}, "Write 1 to 4000 characters."),
        ({"do": "acknowledge", "ids": "ID", "comment": "a\0b"}, "Null characters are not allowed."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_with_several_is_said_and_changes_nothing(client, given, said):
    alert = make_alert()
    signed_in(client, "engineer")

    answer = client.post("/alerts/act/", {**given, **({"ids": [alert.pk]} if "ids" in given else {})})

    assert answer.status_code == 422
    assert said in answer.content.decode()
    alert.refresh_from_db()
    assert (alert.state, alert.snoozed_until, alert.comments.count()) == ("open", None, 0)


def test_a_viewer_and_a_stranger_do_nothing_with_several(client):
    alert = make_alert()

    assert client.post("/alerts/act/", {"do": "resolve", "ids": [alert.pk]}).status_code == 302
    signed_in(client, "viewer")
    assert 'name="ids"' not in client.get("/alerts/").content.decode()
    assert client.post("/alerts/act/", {"do": "resolve", "ids": [alert.pk]}).status_code == 403

    alert.refresh_from_db()
    assert alert.state == "open"


def test_what_did_not_arrive_and_what_was_told_nobody_stand_out(client):
    now = timezone.now()
    make_alert(kind="gateway_silent", severity=30, at=now)
    make_channel(least_severity=10, kinds=["budget_crossing"])
    failed = make_alert(at=now)
    failed.deliveries.update(state="failed", reason="404 no_service", attempts=1)
    signed_in(client, "engineer")

    for path in ("/alerts/", "/channels/"):
        page = client.get(path).content.decode()
        assert "1 message of the last 3 days did not arrive" in page
        assert "1 of the last 30 days' alerts was told nobody" in page.replace("&#x27;", "'")
        assert "Silent gateway" in page


def test_snoozes_are_of_the_viewers_own_clock():
    sunday_in_new_york = datetime(2026, 11, 23, 3, tzinfo=UTC)

    here = {one.key: one.until for one in snoozes(at=sunday_in_new_york, zone="America/New_York")}
    elsewhere = {one.key: one.until for one in snoozes(at=sunday_in_new_york, zone="Europe/Berlin")}

    assert here == {
        "hour": datetime(2026, 11, 23, 4, tzinfo=UTC),
        "tomorrow": datetime(2026, 11, 23, 14, tzinfo=UTC),  # which is the Monday
    }
    assert elsewhere["tomorrow"] == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert elsewhere["monday"] == datetime(2026, 11, 30, 8, tzinfo=UTC)
