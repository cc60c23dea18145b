"""Channels: how they do, setting them up and changing them, a test message, and what would have come there."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from alerts.models import Channel, Delivery
from alerts.selectors import channels as rows
from budgets.services import canary
from core import secrets
from tests.alerts.conftest import webhook  # noqa: F401 - a server that takes what is posted
from tests.alerts.far_sides import Reply
from tests.alerts.making import make_alert, make_channel
from tests.dashboards.seeing import signed_in
from tests.factories import make_budget, make_team

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
HOOK = "https://hooks.slack.example/services/T0/B0/very-secret"


def filled(**overrides):
    given = {"kind": "email", "name": "finops", "config_recipients": "lead@example.com", "least_severity": "10",
             "digest_hour": "8"}  # fmt: skip
    return given | overrides


def secret_of(channel: Channel) -> str:
    return secrets.decrypt(bytes(channel.secret)).decode()


def test_without_channels_the_page_says_that_nobody_is_told_and_who_can_change_it(client):
    signed_in(client, "engineer")

    page = client.get("/channels/").content.decode()

    assert "No channel yet: alerts are told nobody" in page
    assert "Set up the first channel" in page


def test_the_list_says_what_each_takes_and_how_it_does(client, django_assert_num_queries):
    now, team = timezone.now(), make_team("support")
    make_channel(name="finops", kinds=["gateway_silent"], teams=[team.pk, 999], least_severity=20, digests=["daily"])
    make_channel(name="on-call", canary=True)
    make_channel(name="paused", enabled=False)
    make_channel(name="gone", retired_at=NOON, enabled=False)
    noon = now.replace(hour=12)
    canary.look(at=noon - timedelta(days=3))
    Delivery.objects.update(state="delivered", delivered_at=noon, attempts=1)
    canary.look(at=noon - timedelta(days=1))
    make_alert(at=now)
    Delivery.objects.filter(state="waiting").update(state="failed", reason="404 no_service", attempts=1)
    signed_in(client, "engineer")

    with django_assert_num_queries(15):
        page = client.get("/channels/")

    lines = {line.row.name: line for line in page.context["lines"]}
    assert list(lines) == ["finops", "on-call", "paused"]
    assert lines["finops"].wants == ["Warnings and what is critical", "Silent gateway", "of teams support, number 999"]
    assert (lines["finops"].digests, lines["finops"].last) == ("Daily, at 08:00", None)
    assert lines["on-call"].checked == "1 of 3 daily checks of the last 14 days arrived"
    assert [mark.tone for mark in lines["on-call"].marks] == ["none"] * 10 + ["ok", "failed", "failed", "none"]
    assert "no check was made" in lines["on-call"].marks[-3].words
    assert (lines["on-call"].failing_since, lines["on-call"].failing) == (noon - timedelta(days=1), 2)
    said = page.content.decode()
    assert "<span>Warnings and what is critical</span>" in said
    assert "1 channel fails" in said
    assert "switched off" in said
    assert "1 retired channel" in said


def test_a_kind_is_chosen_first_and_names_its_fields(client):
    signed_in(client, "engineer")

    assert "?kind=slack" in client.get("/channels/new/").content.decode()
    assert client.get("/channels/new/?kind=fax").status_code == 404
    page = client.get("/channels/new/?kind=slack").content.decode()
    assert 'type="password"' in page
    assert "Webhook address" in page


def test_a_channel_is_set_up_with_all_that_it_takes(client):
    team, budget = make_team("support"), make_budget(at=NOON)
    signed_in(client, "platform")

    answer = client.post(
        "/channels/new/",
        filled(
            config_recipients="lead@example.com, team@example.com\nx@example.com",
            least_severity="20",
            kinds=["budget_crossing", "spend_unusual"],
            teams=[team.pk],
            budgets=[budget.pk],
            digests=["daily", "weekly"],
            digest_hour="7",
            canary="on",
        ),
    )

    channel = Channel.objects.get()
    assert answer.url == f"/channels/{channel.pk}/"
    assert channel.config == {"recipients": ["lead@example.com", "team@example.com", "x@example.com"]}
    assert (channel.least_severity, channel.kinds) == (20, ["budget_crossing", "spend_unusual"])
    assert (channel.teams, channel.budgets) == ([team.pk], [budget.pk])
    assert (channel.digests, channel.digest_hour, channel.canary) == (["daily", "weekly"], 7, True)


def test_a_secret_goes_in_is_kept_encrypted_and_never_comes_out(client):
    signed_in(client, "platform")

    refused = client.post("/channels/new/", filled(kind="slack", name="", secret=HOOK))
    client.post("/channels/new/", filled(kind="slack", secret=HOOK))

    channel = Channel.objects.get()
    assert (refused.status_code, secret_of(channel)) == (422, HOOK)
    pages = [refused, *(client.get(f"/channels/{path}") for path in ("", f"{channel.pk}/", f"{channel.pk}/edit/"))]
    assert [page for page in pages if "very-secret" in page.content.decode()] == []


def test_everything_that_is_wrong_is_said_at_its_field_at_once(client):
    make_channel(name="taken")
    signed_in(client, "platform")

    answer = client.post("/channels/new/", filled(name="", config_recipients="nobody"))
    taken = client.post("/channels/new/", filled(name="taken"))
    odd = client.post("/channels/new/", filled(least_severity="7", kinds=["odd"], teams=["x"], digest_hour="24"))

    assert (answer.status_code, set(answer.context["form"].errors)) == (422, {"name", "config_recipients"})
    assert (taken.status_code, list(taken.context["form"].errors)) == (422, ["name"])
    assert (odd.status_code, set(odd.context["form"].errors)) == (
        422, {"least_severity", "kinds", "teams", "digest_hour"}
    )  # fmt: skip
    assert Channel.objects.count() == 1


def test_a_change_keeps_the_secret_and_what_the_form_does_not_know(client):
    channel = make_channel(kind="slack", secret=HOOK, kinds=["of_a_later_release"], budgets=[999])
    signed_in(client, "engineer")
    shown = client.get(f"/channels/{channel.pk}/edit/").context["form"]

    given = {name: value for name, value in shown.initial.items() if value} | {"reason": "quieter"}
    answer = client.post(f"/channels/{channel.pk}/edit/", given | {"least_severity": 30})

    channel.refresh_from_db()
    assert answer.status_code == 302, answer.context["form"].errors
    assert (channel.least_severity, channel.kinds, channel.budgets) == (30, ["of_a_later_release"], [999])
    assert secret_of(channel) == HOOK
    client.post(f"/channels/{channel.pk}/edit/", given | {"secret": f"{HOOK}-2"})
    channel.refresh_from_db()
    assert secret_of(channel) == f"{HOOK}-2"


def test_a_signing_secret_that_we_made_is_shown_once_and_rotated(client, settings):
    settings.ALLOW_INTERNAL_WEBHOOKS = True
    signed_in(client, "platform")
    given = filled(kind="webhook", name="rota", config_url="http://127.0.0.1:9/alerts")

    made = client.post("/channels/new/", given)
    again = client.post("/channels/new/", given)
    channel = Channel.objects.get()
    rotated = client.post(f"/channels/{channel.pk}/rotate/", {"keep_hours": "24", "seen": ""})
    stale = client.post(f"/channels/{channel.pk}/rotate/", {"keep_hours": "24", "seen": ""})

    first, second = made.context["secret"], rotated.context["secret"]
    assert (made.status_code, again.status_code, "no-store" in made["Cache-Control"]) == (200, 422, True)
    assert first.startswith("whsec_")
    lines = (settings.BASE_DIR / "alerts" / "README.md").read_text().partition("```python\n")[2].partition("\n```")[0]
    assert lines in html.unescape(made.content.decode())
    assert first != second
    assert stale.url == f"/channels/{channel.pk}/"
    channel.refresh_from_db()
    assert second in secret_of(channel)
    row = rows.one(channel_id=channel.pk)
    assert row is not None
    assert row.former_secret_until > timezone.now() + timedelta(hours=23)
    assert "secret" not in client.get(f"/channels/{channel.pk}/edit/").context["form"].fields


@pytest.mark.parametrize(
    ("reply", "tone", "said"),
    [
        (Reply(), "success", "It arrived"),
        (Reply(404, "no_service"), "error", "404 no_service"),
        (Reply(500, "oops"), "warning", "It did not work now"),
    ],
)
def test_a_test_message_says_at_once_what_became_of_it_with_scripts_and_without(client, webhook, reply, tone, said):  # noqa: F811
    channel = make_channel(kind="slack", secret=webhook.url)
    signed_in(client, "engineer")
    webhook.script.extend([reply, reply])

    fragment = client.post(f"/channels/{channel.pk}/test/", headers={"HX-Request": "true"})
    page = client.post(f"/channels/{channel.pk}/test/")

    for answer in (fragment, page):
        assert answer.context["tested"]["tone"] == tone
        assert said in answer.content.decode()
    assert "<html" not in fragment.content.decode()
    assert "<html" in page.content.decode()
    assert len(webhook.posts) == 2
    assert not Delivery.objects.exists()


def test_a_secret_that_cannot_be_read_is_said_by_the_test(client, settings):
    channel = make_channel(kind="slack", secret=HOOK)
    Channel.objects.filter(pk=channel.pk).update(secret=b"odd")
    signed_in(client, "engineer")

    answer = client.post(f"/channels/{channel.pk}/test/")

    assert answer.context["tested"]["tone"] == "error"
    assert "Nothing was sent." in answer.content.decode()


def test_a_preview_shows_what_would_have_come_by_choices_that_are_not_kept_yet(client):
    make_alert(title="grave", severity=30, at=timezone.now())
    make_alert(title="slight", severity=10, at=timezone.now())
    signed_in(client, "engineer")

    page = client.get("/channels/preview/?least_severity=20").content.decode()
    odd = client.get("/channels/preview/?least_severity=x&teams=y").content.decode()

    assert "<strong>1</strong> of the last 30 days&#x27; 2 alerts" in page or "<strong>1</strong> of the last" in page
    assert ("grave" in page, "slight" in page) == (True, False)
    assert "cannot be read" in odd


def test_a_channel_is_switched_off_and_on_and_retired_with_a_reason(client):
    channel = make_channel(kind="slack", secret=HOOK)
    signed_in(client, "engineer")

    client.post(f"/channels/{channel.pk}/switch/")
    channel.refresh_from_db()
    assert not channel.enabled
    client.post(f"/channels/{channel.pk}/switch/", {"on": "yes"})
    channel.refresh_from_db()
    assert channel.enabled
    assert client.post(f"/channels/{channel.pk}/retire/", {"reason": " "}).status_code == 422
    client.post(f"/channels/{channel.pk}/retire/", {"reason": "the team is gone"})
    channel.refresh_from_db()
    assert (channel.retired_at is None, channel.secret) == (False, None)
    page = client.get(f"/channels/{channel.pk}/").content.decode()
    assert "Send a test" not in page
    assert client.get(f"/channels/{channel.pk}/edit/").status_code == 404


def test_a_viewer_sees_channels_and_changes_none_and_a_stranger_sees_nothing(client):
    channel = make_channel(name="finops")
    asked = ["new/", "new/?kind=email", "preview/?least_severity=10", f"{channel.pk}/edit/", f"{channel.pk}/retire/"]
    sent = ["new/", *(f"{channel.pk}/{step}/" for step in ("edit", "test", "switch", "rotate", "retire"))]

    assert {client.get(f"/channels/{path}").status_code for path in ("", f"{channel.pk}/", *asked)} == {302}
    signed_in(client, "finance")
    assert "New channel" not in client.get("/channels/").content.decode()
    page = client.get(f"/channels/{channel.pk}/").content.decode()
    assert "finops" in page
    assert "Send a test" not in page
    assert {client.get(f"/channels/{path}").status_code for path in asked} == {403}
    assert {client.post(f"/channels/{path}", filled(reason="x")).status_code for path in sent} == {403}

    channel.refresh_from_db()
    assert (channel.enabled, channel.retired_at, Channel.objects.count()) == (True, None, 1)


def test_what_is_no_channel_is_not_found(client):
    signed_in(client, "admin")

    assert client.get("/channels/999/").status_code == 404
    assert client.get("/channels/999/edit/").status_code == 404
    assert client.post("/channels/999/test/").status_code == 404
    assert client.post("/channels/999/switch/").status_code == 404
    assert client.get(f"/channels/{make_channel().pk}/rotate/").status_code == 404  # it signs nothing
