"""Schedules, reviews and whether duties are separated, over REST."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.models import Organisation
from routing.models import Proposal, Schedule
from routing.services import proposals, schedules, versions
from tests.factories import make_user
from tests.routing.making import LEAD, make_approved, make_content, make_draft, make_rule, make_version, stock

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _house() -> None:
    stock()


def person(*roles: str) -> Client:
    client = Client()
    client.force_login(make_user(*roles))
    return client


def post(client: Client, path: str, body: object = None) -> Any:
    return client.post(f"/api/v1/rules/{path}", json.dumps(body or {}), content_type="application/json")


def get(client: Client, path: str) -> Any:
    return client.get(f"/api/v1/rules/{path}")


def in_days(days: int) -> str:
    return (timezone.now() + days * DAY).isoformat()


def test_a_draft_is_scheduled_listed_moved_and_cancelled():
    publisher = person("engineer")
    path = f"production/drafts/{make_approved(at=timezone.now()).pk}"
    first, second = in_days(1), in_days(2)

    made = post(publisher, f"{path}/schedule", {"publish_at": first})
    moved = post(publisher, f"{path}/schedule/move", {"publish_at": second, "seen": made.json()["scheduled_at"]})
    behind = post(publisher, f"{path}/schedule/move", {"publish_at": second, "seen": first})
    listed = get(publisher, "production/schedules?state=waiting").json()["results"]
    cancelled = post(publisher, f"{path}/schedule/cancel", {"why": "not this week"})
    all_of_them = get(publisher, "production/schedules").json()["results"]

    assert (made.status_code, made.json()["scheduled_by"]) == (201, "engineer@example.com")
    assert made.json()["scheduled_at"][:16] == first[:16]
    assert (moved.status_code, moved.json()["scheduled_at"][:16]) == (200, second[:16])
    assert (behind.status_code, behind.json()["type"]) == (409, "urn:tollkeeper:problem:conflict")
    assert [one["publish_at"][:16] for one in listed] == [second[:16]]
    assert (cancelled.status_code, cancelled.json()["scheduled_at"]) == (200, None)
    assert [(one["state"], one["made_by"]) for one in all_of_them] == [("cancelled", "engineer@example.com")] * 2
    assert (all_of_them[0]["why"], all_of_them[1]["why"][:8]) == ("not this week", "moved to")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/publish_at"),
        ({"publish_at": "2026-11-01 06:00"}, "#/publish_at"),
        ({"publish_at": "2020-01-01T00:00:00Z"}, "#/publish_at"),
        ({"publish_at": "2190-01-01T00:00:00Z"}, "#/publish_at"),
        ({"publish_at": "2190-01-01T00:00:00Z", "by": "me"}, "#/by"),
    ],
)
def test_what_is_no_moment_to_come_is_refused_with_its_place(body, pointer):
    path = f"production/drafts/{make_approved(at=timezone.now()).pk}"

    answer = post(person("engineer"), f"{path}/schedule", body)

    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not Schedule.objects.exists()


def test_only_what_is_approved_is_scheduled_and_in_its_own_environment():
    publisher = person("engineer")
    draft = make_draft(at=timezone.now())

    answers = [
        post(publisher, f"{environment}/drafts/{draft.pk}/{rest}", body)
        for environment, rest, body in (
            ("production", "schedule", {"publish_at": in_days(1)}),
            ("staging", "schedule", {"publish_at": in_days(1)}),
            ("production", "schedule/cancel", {"why": "no"}),
            ("staging", "schedule/cancel", {"why": "no"}),
        )
    ]

    assert [answer.status_code for answer in answers] == [409, 404, 409, 404]


def test_reviews_are_listed_by_day_and_confirmed_with_a_draft():
    engineer = person("engineer")
    today = timezone.localdate()
    rules = [
        make_rule(name, use_cases=[name], review_by=(today + days * DAY).isoformat())
        for name, days in (("later", 40), ("over", -1), ("soon", 3))
    ]
    make_version(make_content(*rules), at=timezone.now())

    found = get(engineer, "production/reviews").json()
    body = {"rules": ["over"], "review_by": (today + 90 * DAY).isoformat(), "reason": "as good as ever"}
    made = post(engineer, "production/reviews/confirm", body)
    refused = post(engineer, "production/reviews/confirm", body | {"rules": ["gone"], "review_by": str(today)})

    states = [(one["rule"], one["state"], one["days_left"], one["version"]) for one in found["results"]]
    assert states == [("over", "overdue", -1, 1), ("soon", "due", 3, 1), ("later", "later", 40, 1)]
    assert made.status_code == 201
    assert made.json()["title"] == "Still right, over: as good as ever"
    assert len(made.json()["changes"]) == 1
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["#/rules", "#/review_by"]


def test_where_nothing_is_in_force_there_is_nothing_to_review():
    engineer = person("engineer")

    assert get(engineer, "production/reviews").json()["results"] == []
    assert get(engineer, "nowhere/reviews").status_code == 404
    body = {"rules": ["a"], "review_by": "2090-01-01", "reason": "r"}
    assert post(engineer, "production/reviews/confirm", body).status_code == 404


def test_an_approval_of_own_work_says_so_on_the_draft_and_the_version():
    Organisation.objects.update(separation_of_duties=False)
    alone = make_user("admin", email="alone@example.com")
    client = Client()
    client.force_login(alone)
    now = timezone.now()
    draft = make_draft(by=alone.email, at=now)
    submitted = proposals.submit(proposal_id=draft.pk, by=alone.email, at=now)
    sha256 = bytes(submitted.sha256 or b"").hex()
    proposals.approve(proposal_id=draft.pk, sha256=sha256, by=alone.email, at=now)
    versions.publish(proposal_id=draft.pk, by=alone.email, at=now)
    make_version(make_content(make_rule(fallbacks=[])), at=now)

    shown = get(client, f"production/drafts/{draft.pk}").json()
    listed = get(client, "production/versions").json()["results"]

    assert (shown["separation_of_duties"], [one["own_work"] for one in shown["approvals"]]) == (False, [True])
    assert [(one["number"], one["own_work"]) for one in listed] == [(2, False), (1, True)]


def test_an_approval_before_one_contributed_is_nobodys_own_work():
    now = timezone.now()
    proposal = make_approved(at=now)
    [approver] = proposal.approvals.values_list("by", flat=True)
    content = make_content(make_rule(rationale="another"))
    proposals.save(proposal_id=proposal.pk, saves=0, by=approver, at=now + DAY, content=content)

    shown = get(person("viewer"), f"production/drafts/{proposal.pk}").json()

    assert approver in shown["contributors"]
    assert [(one["counts"], one["own_work"]) for one in shown["approvals"]] == [(False, False)]


def test_a_suspended_schedule_tells_why_over_rest():
    now = timezone.now()
    proposal = make_approved(at=now)
    make_user("platform", email=LEAD)
    schedules.schedule(proposal_id=proposal.pk, publish_at=now + DAY, by=LEAD, at=now)
    Proposal.objects.filter(pk=proposal.pk).update(state="in_review")
    schedules.publish_due(at=now)

    [row] = get(person("viewer"), "production/schedules").json()["results"]

    assert (row["state"], row["ended_by"]) == ("suspended", "")
    assert "only what is approved is published" in row["why"]
