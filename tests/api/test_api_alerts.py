"""Alerts and channels over REST."""

from __future__ import annotations

import json

import pytest

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
