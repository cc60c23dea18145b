"""Alerts and channels over REST."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.models import Channel
from tests.alerts.far_sides import Webhook
from tests.alerts.making import make_alert, make_channel

ADDRESS = "https://hooks.slack.com/services/T0/B0/very-secret-part"


@pytest.fixture
def writer(api):
    return api("write")


@pytest.fixture
def webhook(settings):
    settings.ALLOW_INTERNAL_WEBHOOKS = True
    server = Webhook()
    yield server
    server.stop()


def test_alerts_come_newest_first_with_their_deliveries_in_pages(writer):
    make_channel(name="on-call")
    made = [make_alert(title=f"alert {number}") for number in range(5)]

    seen, path = [], "alerts?limit=2"
    while path:
        page = writer.get(path).json()
        seen += page["results"]
        path = page["next"] and page["next"].partition("/api/v1/")[2]

    assert [row["id"] for row in seen] == [alert.pk for alert in reversed(made)]
    assert seen[0]["severity"] == "warning"
    assert [(each["channel"], each["state"]) for each in seen[0]["deliveries"]] == [("on-call", "waiting")]


def test_alerts_are_filtered_by_state_kind_severity_team_and_budget(writer):
    wanted = make_alert(kind="silent_gateway", budget_id=None, team_ids=[9])
    make_alert()

    for query in ({"kind": "silent_gateway"}, {"team_id": 9}):
        assert [row["id"] for row in writer.get("alerts", query).json()["results"]] == [wanted.pk]
    assert len(writer.get("alerts", {"budget_id": 17, "severity": "warning", "state": "open"}).json()["results"]) == 1
    assert writer.get("alerts", {"severity": "urgent"}).status_code == 400


def test_an_alert_is_acknowledged_by_whoever_was_first(writer, api):
    alert = make_alert()

    first = writer.post(f"alerts/{alert.pk}/acknowledge", {"comment": "on it"})
    second = api("write", name="another").post(f"alerts/{alert.pk}/acknowledge")

    assert first.status_code == second.status_code == 200
    assert second.json()["acknowledged_by"] == "key:pipeline"
    assert [(each["by"], each["text"]) for each in second.json()["comments"]] == [("key:pipeline", "on it")]
    assert writer.get(f"alerts/{alert.pk}").json()["state"] == "acknowledged"


def test_an_alert_that_is_not_there_is_404(writer):
    assert writer.get("alerts/999999").status_code == 404
    assert writer.post("alerts/999999/acknowledge").status_code == 404


def test_the_secret_of_a_channel_goes_in_and_never_comes_out(writer):
    made = writer.post("channels", {"name": "ops", "kind": "slack", "secret": ADDRESS, "least_severity": "warning"})
    answers = [
        made,
        writer.get("channels"),
        writer.get(f"channels/{made.json()['id']}"),
        writer.patch(f"channels/{made.json()['id']}", {"enabled": False}),
    ]

    assert made.status_code == 201
    assert (made.json()["has_secret"], made.json()["target"], made.json()["least_severity"]) == (
        True, "hooks.slack.com", "warning",
    )  # fmt: skip
    for answer in answers:
        assert "very-secret-part" not in json.dumps(answer.json())
    assert b"very-secret-part" not in bytes(Channel.objects.get().secret)
    assert answers[-1].json()["has_secret"]  # what is not given stays


def test_a_channel_that_cannot_work_is_refused_by_field(writer):
    answer = writer.post("channels", {"name": "ops", "kind": "slack", "secret": "hooks.slack.com"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/secret"


def test_a_retired_channel_is_left_out_and_its_secret_is_gone(writer):
    channel = make_channel(kind="slack", secret=ADDRESS)

    gone = writer.delete(f"channels/{channel.pk}")
    again = writer.delete(f"channels/{channel.pk}")

    assert (gone.status_code, again.status_code) == (204, 204)
    assert writer.get("channels").json()["results"] == []
    assert writer.get("channels", {"retired": "true"}).json()["results"][0]["has_secret"] is False
    assert writer.patch(f"channels/{channel.pk}", {"enabled": True}).status_code == 404


def test_a_test_message_says_what_became_of_it(writer, webhook):
    channel = make_channel(kind="slack", secret=webhook.url)

    answer = writer.post(f"channels/{channel.pk}/test")

    assert answer.json() == {"outcome": "delivered", "detail": "200 ok"}
    assert "key:pipeline" in json.dumps(webhook.posts)


def test_an_alert_is_snoozed_commented_on_and_resolved(writer, api):
    alert = make_alert()
    later = timezone.now() + timedelta(hours=1)

    snoozed = writer.post(f"alerts/{alert.pk}/snooze", {"until": later.isoformat()})
    past = writer.post(f"alerts/{alert.pk}/snooze", {"until": "2020-01-01T00:00:00Z"})
    said = writer.post(f"alerts/{alert.pk}/comments", {"text": "looking"})
    resolved = [writer.post(f"alerts/{alert.pk}/resolve") for _ in range(2)]

    assert (snoozed.status_code, snoozed.json()["state"]) == (200, "open")
    assert past.status_code == 422
    assert (said.status_code, [each["text"] for each in said.json()["comments"]]) == (201, ["looking"])
    assert [(each.status_code, each.json()["state"]) for each in resolved] == [(200, "resolved")] * 2
    assert resolved[0].json()["resolved_at"] == resolved[1].json()["resolved_at"]
    stranger = api("read", name="stranger")
    for verb in ("snooze", "comments", "resolve"):
        assert stranger.post(f"alerts/{alert.pk}/{verb}").status_code == 403


def test_a_failed_delivery_is_sent_again_by_whoever_may(writer, api):
    make_channel(name="on-call")
    alert, another = make_alert(), make_alert()
    alert.deliveries.update(state="failed", reason="404 no_service")
    path = f"alerts/{alert.pk}/deliveries/{alert.deliveries.get().pk}/retry"

    refused = api("read", name="stranger").post(path)
    asked = writer.post(path)
    again = writer.post(path)

    assert (refused.status_code, asked.status_code, again.status_code) == (403, 200, 409)
    (delivery,) = asked.json()["deliveries"]
    assert (delivery["state"], delivery["asked_again_at"] is None) == ("waiting", False)
    assert asked.json()["comments"][0]["text"] == "Asked for the delivery to on-call again."
    assert writer.post(f"alerts/{another.pk}/deliveries/{delivery['id']}/retry").status_code == 404
    assert writer.post("alerts/999999/deliveries/1/retry").status_code == 404


def test_a_signing_secret_is_made_shown_once_and_rotated(writer, api):
    made = writer.post("channels", {"name": "hook", "kind": "webhook", "config": {"url": "https://3.121.19.1/x"}})
    path = f"channels/{made.json()['id']}"
    rotated = writer.post(f"{path}/rotate-secret", {"keep_hours": 48})

    first, second = made.json()["made_secret"], rotated.json()["made_secret"]
    assert first.startswith("whsec_")
    assert second.startswith("whsec_")
    assert first != second
    shown = json.dumps([writer.get("channels").json(), writer.get(path).json(), writer.patch(path, {}).json()])
    assert first not in shown
    assert second not in shown
    assert writer.get(path).json()["former_secret_until"] == rotated.json()["former_secret_until"]
    assert writer.post(f"{path}/rotate-secret", {"keep_hours": 721}).status_code == 422
    assert api("read", name="stranger").post(f"{path}/rotate-secret").status_code == 403
    assert writer.post(f"channels/{make_channel().pk}/rotate-secret").status_code == 422


def test_a_channel_takes_digests_and_the_daily_check(writer):
    given = {"digests": ["weekly", "daily"], "digest_hour": 7, "canary": True}
    made = writer.post(
        "channels", {"name": "mail", "kind": "email", "config": {"recipients": ["lead@example.com"]}} | given
    )
    changed = writer.patch(f"channels/{made.json()['id']}", {"digests": [], "digest_hour": 0})

    assert [made.json()[name] for name in given] == [["daily", "weekly"], 7, True]
    assert [changed.json()[name] for name in given] == [[], 0, True]
    for wrong in ({"digests": ["hourly"]}, {"digest_hour": 24}):
        assert writer.patch(f"channels/{made.json()['id']}", wrong).status_code == 422
