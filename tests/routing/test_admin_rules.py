"""Rules in the Django admin: from a draft to a version and back, as people of each role."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from core.models import AuditEntry
from routing.models import Environment, Proposal, Switch, Version
from routing.rules import document
from routing.services import proposals
from tests.factories import NOON, make_user
from tests.routing.making import (
    APPROVER,
    CHEAP,
    LEAD,
    MIDDLE,
    OPUS,
    PUBLISHER,
    make_approved,
    make_content,
    make_draft,
    make_rule,
    make_version,
    stock,
)

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "/admin/routing/proposal/add/"


def as_person(*roles: str, email: str | None = None) -> Client:
    client = Client()
    client.force_login(make_user(*roles, email=email))
    return client


def lead() -> Client:
    return as_person("engineer", email=LEAD)


def page_of(proposal: Proposal) -> str:
    return reverse("admin:routing_proposal_change", args=[proposal.pk])


def step_of(proposal: Proposal, verb: str) -> str:
    return f"/admin/routing/proposal/{proposal.pk}/{verb}/"


def text_of(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def field_of(answer: Any, name: str) -> str:
    """Return what a form of the page holds in a field."""
    page = answer.content.decode()
    area = re.search(rf'<textarea[^>]*name="{name}"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL)
    if area:
        return html.unescape(area[1])
    found = re.search(rf'<input type="(?:hidden|text)"[^>]* name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name}"
    return html.unescape(found[1])


def start(client: Client, content: str | None = None, *, title: str = "less for the frontier", **fields: str) -> Any:
    shown = client.get(ADD)
    return client.post(ADD, {
        "environment": "production",
        "base": field_of(shown, "base"),
        "title": title,
        "content": field_of(shown, "content") if content is None else content,
        **fields,
    })  # fmt: skip


def save(client: Client, proposal: Proposal, content: Any, **fields: str) -> Any:
    shown = client.get(page_of(proposal))
    return client.post(page_of(proposal), {
        "title": field_of(shown, "title"),
        "saves": field_of(shown, "saves"),
        "content": content if isinstance(content, str) else json.dumps(content),
        **fields,
    })  # fmt: skip


def test_a_change_goes_all_the_way_through_the_admin():
    stock()
    make_version()
    writer, approver, publisher = lead(), as_person("approver", email=APPROVER), as_person("platform", email=PUBLISHER)

    started = start(writer)
    proposal = Proposal.objects.latest("id")
    changed = json.loads(field_of(writer.get(started.url), "content"))
    changed["rules"][0]["targets"] = [{"offering": OPUS, "weight": 7000}, {"offering": CHEAP, "weight": 3000}]
    save(writer, proposal, changed, _submit="1")
    asked = approver.get(step_of(proposal, "approve"))
    approver.post(step_of(proposal, "approve"), {"sha256": field_of(asked, "sha256"), "said": "fine"})
    publisher.post(step_of(proposal, "publish"))

    proposal.refresh_from_db()
    version = Version.objects.get(number=2)
    assert (proposal.state, proposal.version) == ("published", 2)
    assert (version.published_by, version.approved_by) == (PUBLISHER, APPROVER)
    assert f"rule code-high: {OPUS} from 100 % to 70 %" in text_of(asked)
    actors = AuditEntry.objects.filter(table="routing_proposal", row=str(proposal.pk)).order_by("id")
    assert list(actors.values_list("actor", flat=True)) == [LEAD, LEAD, LEAD, APPROVER, PUBLISHER]
    assert Environment.objects.get().live_version == 2


def test_a_draft_opens_with_the_rules_in_force_and_remembers_who_only_opened_it():
    stock()
    make_version()
    writer = lead()

    answer = start(writer)

    draft = Proposal.objects.latest("id")
    assert (answer.status_code, answer.url) == (302, page_of(draft))
    assert (draft.base_version, draft.created_by) == (1, LEAD)
    assert document.canonical(draft.content) == bytes(Version.objects.get().canonical)
    assert not draft.contributions.exists()


def test_an_environment_without_rules_starts_from_a_skeleton():
    writer = lead()

    shown = writer.get(ADD, {"environment": "staging"})

    assert field_of(shown, "environment") == "staging"
    assert field_of(shown, "base") == ""
    assert json.loads(field_of(shown, "content"))["default"]["targets"]
    assert "staging has no rules yet" in text_of(shown)


@pytest.mark.parametrize("environment", ["a b", "\x00", "x" * 65])
def test_an_impossible_environment_is_refused_with_what_was_typed(environment):
    stock()
    writer = lead()

    answer = writer.post(ADD, {
        "environment": environment, "base": "", "title": "first", "content": json.dumps(make_content()),
    })  # fmt: skip

    assert answer.status_code == 422
    assert field_of(answer, "title") == "first"
    assert not Proposal.objects.exists()


def test_a_draft_is_not_started_over_a_version_that_went_live_while_it_was_typed():
    stock()
    make_version()
    writer = lead()
    shown = writer.get(ADD)
    make_version(make_content(make_rule("newer")), title="another")

    answer = writer.post(ADD, {
        "environment": "production", "base": field_of(shown, "base"), "title": "mine",
        "content": field_of(shown, "content"),
    })  # fmt: skip

    assert answer.status_code == 409
    assert "Another version went live in production" in text_of(answer)
    assert "rule newer removed" in text_of(answer)
    assert field_of(answer, "content") == field_of(shown, "content")
    assert field_of(answer, "base") == "2"
    assert not Proposal.objects.filter(title="mine").exists()


TYPED = [
    ('{\n  "rules": [,]\n}', ["line 2", "column 13"]),
    ('{"rules": [],\n "rules": [],\n "default": {"a": 1, "a": 2}}', ["line 2", "the member rules is there twice",
                                                                     "line 3", "the member a is there twice"]),
    ('{"rules": [],\n "default": {"targets": [{"offering": "a@b", "weight": 0.5}]},\n "x": 1e3}',
     ["line 2", "0.5: write a number", "line 3", "1e3: write a number"]),
    ('{"rules": [{"id": "no targets"}],\n"default": {"targets": []}}', ["line 1", "/rules/0", "line 2",
                                                                       "/default/targets"]),
    ("[]", ["not an object"]),
    ('{"rules": [{"id": "\\ud800"}], "default": {}}', ["surrogate"]),
    ("[" * 5000, ["nested too deeply"]),
    ("", ["line 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "said"), TYPED)
def test_what_cannot_be_read_is_named_by_its_place_and_comes_back_as_it_was_typed(typed, said):
    stock()
    draft = make_draft()
    writer = lead()

    answer = save(writer, draft, typed, title="a better title")

    assert answer.status_code == 422
    page = re.sub(r"<[^>]*>", "", text_of(answer))
    assert [one for one in said if one not in page] == []
    assert field_of(answer, "content") == typed
    assert field_of(answer, "title") == "a better title"
    draft.refresh_from_db()
    assert (draft.title, draft.saves) == ("a change", 0)


def test_everything_that_keeps_a_saved_draft_from_submission_stands_beside_it_with_its_line():
    stock()
    draft = make_draft(make_content(make_rule("a", rationale="", targets=[{"offering": "no@body", "weight": 9000}])))
    writer = lead()

    shown = text_of(writer.get(page_of(draft)))

    typed = field_of(writer.get(page_of(draft)), "content").split("\n")
    line = next(number for number, text in enumerate(typed, 1) if "no@body" in text)
    for place in ("/rules/0/rationale", "/rules/0/targets", "/rules/0/targets/0/offering"):
        assert f"<code>{place}</code>" in shown
    assert f"<strong>line {line}</strong> <code>/rules/0/targets/0/offering</code>" in shown


def test_what_cannot_be_submitted_is_saved_all_the_same():
    stock()
    draft = make_draft()
    writer = lead()

    answer = save(writer, draft, make_content(make_rule(rationale="")), _submit="1")

    draft.refresh_from_db()
    assert (draft.state, draft.saves) == ("draft", 1)
    assert "Saved, but not submitted" in text_of(writer.get(answer.url))


def test_two_editors_do_not_overwrite_each_other_unseen():
    stock()
    draft = make_draft()
    one, other = lead(), as_person("platform")
    opened = other.get(page_of(draft))
    save(one, draft, make_content(make_rule("first")))

    mine = json.dumps(make_content(make_rule("second")))
    answer = other.post(page_of(draft), {
        "title": "a change", "saves": field_of(opened, "saves"), "content": mine,
    })  # fmt: skip

    draft.refresh_from_db()
    assert answer.status_code == 409
    assert [rule["id"] for rule in draft.content["rules"]] == ["first"]
    assert field_of(answer, "content") == mine
    assert "rule first removed" in text_of(answer)
    # Whoever saves again has seen what she replaces.
    assert field_of(answer, "saves") == "1"


def test_what_was_typed_into_a_proposal_that_was_settled_meanwhile_is_shown():
    stock()
    draft = make_draft()
    writer = lead()
    opened = writer.get(page_of(draft))
    proposals.withdraw(proposal_id=draft.pk, by="other@example.com", at=NOON)

    answer = writer.post(page_of(draft), {
        "title": "a change", "saves": field_of(opened, "saves"), "content": json.dumps(make_content(make_rule("lost"))),
    })  # fmt: skip

    assert answer.status_code == 409
    assert "What you typed, which was not saved" in text_of(answer)
    assert '"lost"' in text_of(answer)


def test_an_approval_is_for_what_the_approver_saw():
    stock()
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)
    approver = as_person("approver", email=APPROVER)
    seen = field_of(approver.get(step_of(proposal, "approve")), "sha256")
    proposals.save(proposal_id=proposal.pk, saves=0, by=LEAD, at=NOON, content=make_content(make_rule("other")))
    proposals.submit(proposal_id=proposal.pk, by=LEAD, at=NOON)

    answer = approver.post(step_of(proposal, "approve"), {"sha256": seen, "said": "looks good"})

    proposal.refresh_from_db()
    assert (answer.status_code, proposal.state) == (409, "in_review")
    assert "changed since you looked at it" in text_of(answer)
    assert field_of(answer, "said") == "looks good"


def test_whoever_wrote_it_is_told_that_somebody_else_approves():
    stock()
    proposal = proposals.submit(proposal_id=make_draft(by=APPROVER).pk, by=APPROVER, at=NOON)
    approver = as_person("approver", email=APPROVER)

    shown = text_of(approver.get(page_of(proposal)))
    answer = approver.post(step_of(proposal, "approve"), {"sha256": bytes(proposal.sha256 or b"").hex()})

    assert "somebody else has to approve it" in shown
    assert f"/{proposal.pk}/approve/" not in shown
    assert answer.status_code == 409
    assert not proposal.approvals.exists()


def test_a_rejection_says_why():
    stock()
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)
    approver = as_person("approver", email=APPROVER)

    without = approver.post(step_of(proposal, "reject"), {"said": " "})
    approver.post(step_of(proposal, "reject"), {"said": "too dear"})

    proposal.refresh_from_db()
    assert without.status_code == 422
    assert (proposal.state, proposal.settled_why, proposal.settled_by) == ("rejected", "too dear", APPROVER)


def test_a_stale_proposal_is_not_published_and_says_what_changed():
    stock()
    stale = make_approved(make_content(make_rule("mine")))
    make_version(make_content(make_rule("theirs")))
    publisher = as_person("platform", email=PUBLISHER)

    answer = publisher.post(step_of(stale, "publish"))

    assert answer.status_code == 409
    assert "rule theirs added" in text_of(answer)
    assert Environment.objects.get().live_version == 1


# Every step with the actions of the table that allow it, and a stranger beside each.
ROLES = ("viewer", "finance", "engineer", "approver", "platform", "admin")
MAY = {
    "start": {"engineer", "platform", "admin"},
    "save": {"engineer", "platform", "admin"},
    "approve": {"approver", "admin"},
    "reject": {"approver", "admin"},
    "publish": {"engineer", "approver", "platform", "admin"},
    "withdraw": {"engineer", "platform", "admin"},
    "roll back": {"engineer", "approver", "platform", "admin"},
    "switch": {"engineer", "platform", "admin"},
}


@pytest.mark.parametrize("what", MAY)
def test_only_those_whose_roles_allow_it_take_a_step(what):
    stock()
    version = make_version()
    make_version(make_content(make_rule("newer")))
    draft = make_draft()
    addresses = {
        "start": ADD,
        "save": page_of(draft),
        "roll back": f"/admin/routing/version/{version.pk}/roll-back/",
        "switch": "/admin/routing/switch/add/",
    }
    address = addresses.get(what, step_of(draft, what))

    posted = {role: as_person(role).post(address, {}).status_code for role in ROLES}
    shown = {role: as_person(role, email=f"{role}2@example.com").get(address).status_code for role in ROLES}
    stranger = as_person().post(address, {})
    nobody = Client().post(address, {})

    assert {role for role, status in posted.items() if status != 403} == MAY[what]
    assert {role for role, status in shown.items() if status != 403} == (set(ROLES) if what == "save" else MAY[what])
    assert stranger.status_code == 403
    assert (nobody.status_code, nobody.url.partition("?")[0]) == (302, "/admin/login/")


def test_a_version_shows_its_rules_what_it_changed_and_how_it_compares():
    stock()
    make_version()
    make_version(make_content(make_rule("code-high", fallbacks=[CHEAP])))
    third = make_version(make_content(make_rule("code-high", fallbacks=[CHEAP]), make_rule("new", when=None)))
    viewer = as_person("viewer")
    address = reverse("admin:routing_version_change", args=[third.pk])

    shown = text_of(viewer.get(address))
    compared = text_of(viewer.get(address, {"with": "1"}))

    assert "task is code" in shown
    assert "the best at hard code" in shown
    assert "rule new added, after code-high" in shown
    assert "fallbacks from" not in shown
    assert f"rule code-high: fallbacks from {MIDDLE} to {CHEAP}" in compared
    assert "Roll back" not in shown
    for strange in ("99", "x", "9" * 30, "\x00", "-1"):
        answer = viewer.get(address, {"with": strange})
        assert answer.status_code == 200
        assert "There is no version" in text_of(answer)


def test_one_goes_back_to_a_version_with_a_reason_and_against_what_was_seen():
    stock()
    first = make_version()
    make_version(make_content(make_rule("newer")))
    publisher = as_person("platform", email=PUBLISHER)
    address = f"/admin/routing/version/{first.pk}/roll-back/"

    shown = publisher.get(address)
    without = publisher.post(address, {"seen": field_of(shown, "seen"), "said": ""})
    done = publisher.post(address, {"seen": field_of(shown, "seen"), "said": "too slow"})
    again = publisher.post(address, {"seen": field_of(shown, "seen"), "said": "too slow"})

    assert "rule newer removed" in text_of(shown)
    assert (without.status_code, done.status_code, again.status_code) == (422, 302, 409)
    live = Version.objects.get(number=Environment.objects.get().live_version)
    assert (live.number, live.rolls_back_to, live.reason, live.published_by) == (3, 1, "too slow", PUBLISHER)
    assert field_of(again, "said") == "too slow"


def test_a_switch_is_turned_off_and_on_again():
    stock()
    lead_ = lead()

    lead_.post("/admin/routing/switch/add/", {
        "kind": "offering", "name": OPUS, "turn": "off", "seconds": "600", "reason": "it fails",
    })  # fmt: skip
    off = Switch.objects.get()
    page = text_of(lead_.get(reverse("admin:routing_switch_change", args=[off.pk])))
    lead_.post("/admin/routing/switch/add/", {
        "kind": "offering", "name": OPUS, "turn": "on", "seconds": "0", "reason": "it works",
    })  # fmt: skip
    refused = lead_.post("/admin/routing/switch/add/", {
        "kind": "model", "name": "nobody", "turn": "off", "seconds": "60", "reason": "why not",
    })  # fmt: skip

    assert (off.off, off.by, (off.until - off.since).total_seconds()) == (True, LEAD, 600)
    assert "Turn it on again" in page
    assert [one.off for one in Switch.objects.order_by("id")] == [True, False]
    assert refused.status_code == 422
    assert "The catalogue has no model 'nobody'" in text_of(refused)


def test_the_history_of_a_proposal_is_the_audit_trail():
    stock()
    proposal = make_approved()
    viewer = as_person("viewer")

    shown = text_of(viewer.get(reverse("admin:routing_proposal_history", args=[proposal.pk])))

    assert APPROVER in shown
    assert "<del>in_review</del> <ins>approved</ins>" in shown


def test_what_is_hostile_is_text():
    stock()
    draft = make_draft(make_content(make_rule(title="</textarea><script>alert(1)</script>")), title="<b>bold</b>")
    writer = lead()

    page = writer.get(page_of(draft)).content.decode()

    assert "<script>alert" not in page
    assert "<b>bold" not in page


def test_pages_of_rules_ask_as_often_however_much_there_is(django_assert_num_queries):
    stock()
    first = make_version()
    draft = make_draft()
    writer = lead()
    lists = ("proposal", "version", "switch", "environment", "approval", "contribution", "staterevision")

    def asked() -> None:
        for name in lists:
            assert writer.get(f"/admin/routing/{name}/").status_code == 200

    asked()
    with django_assert_num_queries(len(lists) * 4 + 3):  # session, person, count, rows; environments for the filters
        asked()
    for number in range(3):
        make_version(make_content(make_rule(f"rule-{number}")))
        make_draft(title=f"draft {number}")
    with django_assert_num_queries(len(lists) * 4 + 3):
        asked()
    with django_assert_num_queries(13):
        writer.get(page_of(draft))
    with django_assert_num_queries(5):
        writer.get(reverse("admin:routing_version_change", args=[first.pk]))


def test_a_row_that_is_not_there_is_said():
    writer = lead()

    numbers = ("77", "x", "9" * 24)
    paths = [f"{model}/{number}/change/" for model in ("proposal", "version", "switch") for number in numbers]
    for path in (*paths, "proposal/77/publish/", "version/77/roll-back/"):
        assert writer.get(f"/admin/routing/{path}").status_code == 302, path
