"""The life of rules over REST, decisions and switches."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from catalog.models import Offering
from core.models import AuditEntry
from routing.models import Environment, Proposal, Switch, Version
from tests.factories import make_user
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)

DRAFTS = "rules/production/drafts"


@pytest.fixture
def writer(api):
    stock()
    return api("write")


def person(client: Client, *roles: str) -> Client:
    client.force_login(make_user(*roles))
    return client


def post(client: Client, path: str, body: object = None):
    return client.post(f"/api/v1/{path}", json.dumps(body or {}), content_type="application/json")


def test_a_version_is_made_from_draft_to_publication_by_three_hands(writer):
    drafted = writer.post(DRAFTS, {"title": "first rules", "content": make_content()}).json()
    path = f"{DRAFTS}/{drafted['id']}"
    submitted = writer.post(f"{path}/submit").json()
    approver, publisher = person(Client(), "approver"), person(Client(), "engineer")
    approved = post(approver, f"{path}/approve", {"sha256": submitted["sha256"], "comment": "fine"})
    published = post(publisher, f"{path}/publish")

    assert drafted["problems"] == []
    assert drafted["changes"][0].startswith("rule code-high added")
    assert (submitted["state"], len(submitted["sha256"])) == ("in_review", 64)
    assert (approved.status_code, approved.json()["approvals"][0]["counts"]) == (200, True)
    assert published.status_code == 201
    assert {name: published.json()[name] for name in ("number", "approved_by", "published_by", "live")} == {
        "number": 1, "approved_by": "approver@example.com", "published_by": "engineer@example.com", "live": True,
    }  # fmt: skip


def test_a_key_that_writes_drafts_neither_approves_nor_publishes_nor_rolls_back(writer):
    drafted = writer.post(DRAFTS, {"title": "first rules", "content": make_content()}).json()
    writer.post(f"{DRAFTS}/{drafted['id']}/submit")

    answers = [
        writer.post(f"{DRAFTS}/{drafted['id']}/approve", {"sha256": "0" * 64}),
        writer.post(f"{DRAFTS}/{drafted['id']}/publish"),
        writer.post("rules/production/rollback", {"to": 1, "reason": "why not"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_whoever_wrote_it_cannot_approve_it_whatever_her_roles(writer):
    admin = person(Client(), "admin")
    drafted = post(admin, DRAFTS, {"title": "first", "content": make_content()}).json()
    submitted = post(admin, f"{DRAFTS}/{drafted['id']}/submit").json()

    answer = post(admin, f"{DRAFTS}/{drafted['id']}/approve", {"sha256": submitted["sha256"]})

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tollkeeper:problem:conflict")
    assert "somebody else has to approve" in answer.json()["detail"]


def test_submission_names_every_reason_with_its_place(writer):
    drafted = writer.post(
        DRAFTS, {"title": "broken", "content": make_content(make_rule("a", owner="", fallbacks=["nobody@nowhere"]))}
    ).json()

    answer = writer.post(f"{DRAFTS}/{drafted['id']}/submit")

    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json()["errors"]} == {"#/rules/0/owner", "#/rules/0/fallbacks/0"}
    assert {each["code"] for each in drafted["problems"]} == {"missing_owner", "unknown_offering"}


@pytest.mark.parametrize(("text", "status", "word"), [
    ('{"title": "a", "title": "b"}', 400, "twice"),
    ('{"title": "a", "content": {"rules": [], "default": {"targets": [{"weight": 1.5}]}}}', 400, "decimal string"),
    ("[1]", 400, "not an object"),
    ("{", 400, "cannot be read"),
    ('{"title": "a"}', 422, "no rules yet"),
    ('{"title": " ", "content": {}}', 422, "blank"),
    ('{"title": "a", "content": {}, "extra": 1}', 422, "Unknown"),
])  # fmt: skip
def test_a_body_that_cannot_be_a_draft_is_told_why(writer, text, status, word):
    answer = writer._client.post(f"/api/v1/{DRAFTS}", text, content_type="application/json", headers=writer._headers)

    assert answer.status_code == status
    assert word in answer.content.decode()
    assert not Proposal.objects.exists()


def test_a_content_larger_than_rules_may_be_is_refused(writer):
    huge = make_content(*(make_rule(f"r{n}", rationale="x" * 4000, use_cases=[f"u{n}"]) for n in range(300)))

    answer = writer.post(DRAFTS, {"title": "huge", "content": huge})

    assert answer.status_code == 422
    assert "at most 1,000,000" in answer.json()["errors"][0]["detail"]


def test_a_save_needs_the_count_it_was_read_with(writer):
    drafted = writer.post(DRAFTS, {"title": "first", "content": make_content()}).json()
    path = f"{DRAFTS}/{drafted['id']}"

    first = writer.patch(path, {"saves": 0, "content": make_content(make_rule("other"))})
    second = writer.patch(path, {"saves": 0, "title": "mine"})

    assert (first.status_code, first.json()["saves"]) == (200, 1)
    assert second.status_code == 409


def test_a_draft_belongs_to_its_environment(writer):
    drafted = writer.post(DRAFTS, {"title": "first", "content": make_content()}).json()

    for path, verb in ((f"rules/staging/drafts/{drafted['id']}", "get"), ("rules/staging/drafts/999", "get")):
        assert getattr(writer, verb)(path).status_code == 404
    assert writer.post(f"rules/staging/drafts/{drafted['id']}/submit").status_code == 404


def test_drafts_are_listed_newest_first_and_by_state(writer):
    for number in range(3):
        writer.post(DRAFTS, {"title": f"draft {number}", "content": make_content()})
    last = Proposal.objects.order_by("-id").first()
    writer.post(f"{DRAFTS}/{last.pk}/withdraw", {"why": "no longer needed"})

    page = writer.get(DRAFTS, {"limit": 2}).json()
    rest = writer.get(page["next"].split("/api/v1/")[1]).json()
    withdrawn = writer.get(DRAFTS, {"state": "withdrawn"}).json()

    assert [row["title"] for row in page["results"]] == ["draft 2", "draft 1"]
    assert [row["title"] for row in rest["results"]] == ["draft 0"]
    assert [row["settled_why"] for row in withdrawn["results"]] == ["no longer needed"]


def test_a_stale_publication_says_what_changed(writer):
    make_version()
    drafted = writer.post(DRAFTS, {"title": "mine", "content": make_content(make_rule("mine"))}).json()
    submitted = writer.post(f"{DRAFTS}/{drafted['id']}/submit").json()
    approver = person(Client(), "approver")
    post(approver, f"{DRAFTS}/{drafted['id']}/approve", {"sha256": submitted["sha256"]})
    make_version(make_content(make_rule("theirs")))

    answer = post(approver, f"{DRAFTS}/{drafted['id']}/publish")

    assert answer.status_code == 409
    assert "rule theirs added" in answer.json()["detail"]
    assert writer.get(f"{DRAFTS}/{drafted['id']}").json()["stale"] is True


def test_a_rollback_is_one_call_with_a_reason(writer):
    make_version()
    make_version(make_content(make_rule("other")))
    engineer = person(Client(), "engineer")

    answer = post(engineer, "rules/production/rollback", {"to": 1, "reason": "too dear"})
    without = post(engineer, "rules/production/rollback", {"to": 2})
    late = post(engineer, "rules/production/rollback", {"to": 2, "reason": "back", "seen": 2})

    assert (answer.status_code, answer.json()["number"], answer.json()["rolls_back_to"]) == (201, 3, 1)
    assert (without.status_code, late.status_code) == (422, 409)
    assert AuditEntry.objects.filter(actor="engineer@example.com", reason="too dear").exists()


def test_a_published_version_is_served_whole_and_forever(api, writer):
    version = make_version()
    gateway = api("rules:read", name="gateway")

    found = gateway.get("rules/production/versions/1")
    again = gateway._client.get(
        "/api/v1/rules/production/versions/1", headers=gateway._headers | {"If-None-Match": found["ETag"]}
    )
    listed = gateway.get("rules/production/versions").json()["results"]

    body = found.json()
    assert {name: body[name] for name in ("rules", "default", "offerings")} == json.loads(bytes(version.canonical))
    assert (body["sha256"], body["version"]) == (bytes(version.sha256).hex(), 1)
    assert "immutable" in found["Cache-Control"]
    assert (again.status_code, again.content) == (304, b"")
    assert [(row["number"], row["live"]) for row in listed] == [(1, True)]
    assert gateway.get("rules/production/versions/2").status_code == 404


def test_decide_says_where_a_request_goes_by_which_rule_and_why(api, writer):
    make_version()
    gateway = api("rules:read", name="gateway")

    code = gateway.post("rules/production/decide", {"context": {"use_case": " Code-Review ", "task": "code"}}).json()
    chat = gateway.post("rules/production/decide", {"context": {"use_case": "code-review", "task": "chat"}}).json()

    assert (code["offering"], code["rule"], code["reason"], code["fallbacks"]) == (OPUS, "code-high", "rule", [MIDDLE])
    assert (chat["offering"], chat["rule"], chat["reason"], chat["fallbacks"]) == (MIDDLE, None, "default", [CHEAP])
    assert (code["version"], code["revision"]) == (1, 1)
    assert code["steps"]


def test_decide_tries_a_draft_beside_the_rules_in_force(writer):
    make_version()
    other = make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}]))
    drafted = writer.post(DRAFTS, {"title": "cheaper", "content": other}).json()
    context = {"use_case": "code-review", "task": "code"}

    live = writer.post("rules/production/decide", {"context": context}).json()
    trial = writer.post("rules/production/decide", {"context": context, "draft": drafted["id"]}).json()

    assert (live["offering"], live["version"]) == (OPUS, 1)
    assert (trial["offering"], trial["version"]) == (CHEAP, 0)


def test_decide_refuses_a_request_that_cannot_be_read_and_a_place_without_rules(writer):
    nowhere = writer.post("rules/staging/decide", {"context": {}})
    make_version()
    unreadable = writer.post("rules/production/decide", {"context": {"task": 7, "batch": "yes"}})

    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "urn:tollkeeper:problem:no-version")
    assert unreadable.status_code == 422
    assert {each["pointer"] for each in unreadable.json()["errors"]} == {"#/task", "#/batch"}


def test_a_switch_moves_the_next_decision_and_its_end_moves_it_back(writer):
    make_version()
    context = {"context": {"use_case": "code-review", "task": "code"}}

    turned = writer.post("switches", {"provider": "anthropic", "seconds": 60, "reason": "outage"})
    off = writer.post("rules/production/decide", context).json()
    after = writer.post("rules/production/decide", context | {"now": "2199-01-01T00:00:00Z"}).json()
    writer.post("switches", {"provider": "anthropic", "off": False, "reason": "well again"})
    on = writer.post("rules/production/decide", context).json()

    assert (turned.status_code, turned.json()["holds"], turned.json()["by"]) == (201, True, "key:pipeline")
    assert (off["offering"], off["reason"]) == (MIDDLE, "switched_off")
    assert (after["offering"], on["offering"]) == (OPUS, OPUS)
    assert [on["revision"], off["revision"]] == [3, 2]
    listed = writer.get("switches").json()["results"]
    assert [(row["off"], row["holds"]) for row in listed] == [(False, False), (True, False)]


@pytest.mark.parametrize(("body", "pointer"), [
    ({"seconds": 5, "reason": "x"}, "#"),
    ({"provider": "anthropic", "model": "claude-opus-4.7", "seconds": 5, "reason": "x"}, "#"),
    ({"provider": "anthropic", "reason": "x"}, "#/seconds"),
    ({"provider": "anthropic", "seconds": 0, "reason": "x"}, "#/seconds"),
    ({"provider": "anthropic", "seconds": 86_401, "reason": "x"}, "#/seconds"),
    ({"provider": "anthropic", "seconds": 5}, "#/reason"),
    ({"provider": "nobody", "seconds": 5, "reason": "x"}, "#/name"),
    ({"offering": "claude-opus-4.7", "seconds": 5, "reason": "x"}, "#/name"),
])  # fmt: skip
def test_a_switch_that_cannot_be_turned_is_told_why(writer, body, pointer):
    answer = writer.post("switches", body)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert not Switch.objects.exists()


def test_what_was_retired_since_approval_is_refused_at_publication_with_its_place(writer):
    drafted = writer.post(DRAFTS, {"title": "first", "content": make_content()}).json()
    submitted = writer.post(f"{DRAFTS}/{drafted['id']}/submit").json()
    approver = person(Client(), "approver")
    post(approver, f"{DRAFTS}/{drafted['id']}/approve", {"sha256": submitted["sha256"]})
    Offering.objects.filter(name=OPUS).update(retired_at="2020-01-01T00:00:00Z")

    answer = post(approver, f"{DRAFTS}/{drafted['id']}/publish")

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/rules/0/targets/0/offering")
    assert (Version.objects.count(), Environment.objects.get().live_version) == (0, None)
