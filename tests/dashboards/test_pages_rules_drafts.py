from __future__ import annotations

import random
from typing import Any

import pytest

from catalog.models import Offering, Tier
from core.models import Organisation
from routing.models import Environment, Proposal, Version
from routing.services import proposals
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.drawing import rounds
from tests.factories import NOON, make_user
from tests.routing.making import APPROVER, CHEAP, LEAD, MIDDLE, OPUS, make_content, make_rule
from tests.usage.making import make_offering, set_price

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def in_review(**given: Any) -> Proposal:
    return proposals.submit(proposal_id=draft_of(**given).pk, by=LEAD, at=NOON)


def approved(**given: Any) -> Proposal:
    draft = in_review(**given)
    return proposals.approve(proposal_id=draft.pk, sha256=hash_of(draft), by=APPROVER, at=NOON)


def hash_of(draft: Proposal) -> str:
    return bytes(draft.sha256 or b"").hex()


def three() -> dict[str, Any]:
    return make_content(*(make_rule(name, use_cases=[name]) for name in ("a", "b", "c")))


def ids(draft: Proposal) -> list[str]:
    draft.refresh_from_db()
    return [rule["id"] for rule in draft.content["rules"]]


RIGHTS = {
    "submit": "rules.edit", "withdraw": "rules.edit", "title": "rules.edit", "move": "rules.edit", "copy": "rules.edit",
    "remove": "rules.edit", "renew": "rules.edit", "approve": "rules.approve", "reject": "rules.approve",
    "publish": "rules.publish",
}  # fmt: skip


# --- The whole way


def test_a_change_goes_from_a_click_to_the_version_in_force_through_two_people(client):
    version_of()
    engineer = signed_in(client, "engineer")
    place = client.post(f"{PRODUCTION}drafts/change/", {"rule": "code-high"})["Location"]
    draft = Proposal.objects.latest("id")
    editor = {
        "saves": "0", "was": "code-high", "id": "code-high", "use_cases": "code-review", "match": "all",
        "condition-0-field": "task", "condition-0-op": "eq", "condition-0-value": "code", "choose": "weight",
        "target-0-offering": OPUS, "target-0-weight": "60", "target-1-offering": MIDDLE, "target-1-weight": "40",
        "sticky_by": "request_id", "fallback-0-offering": CHEAP, "use_default": "on", "over_choose": "weight",
        "rationale": "half is enough", "owner": "platform", "review_by": "2027-02-20",
    }  # fmt: skip
    assert client.post(place, editor).status_code == 302
    assert client.post(at(draft, "submit/"), {"saves": "1"}).status_code == 302
    approver = signed_in(client, "approver")
    page = client.get(at(draft)).content.decode()
    draft.refresh_from_db()
    assert hash_of(draft) in page
    assert f"Rule code-high: {OPUS} from 100 % to 60 %" in page

    client.post(at(draft, "approve/"), {"saves": "1", "sha256": hash_of(draft), "comment": "fine"})
    answer = client.post(at(draft, "publish/"), {"saves": "1"})

    assert answer["Location"] == PRODUCTION
    live = Version.objects.get(number=Environment.objects.get(name="production").live_version)
    assert (live.number, live.published_by, live.approved_by) == (2, approver.email, approver.email)
    assert engineer.email != approver.email


@pytest.mark.parametrize(
    ("state", "role", "steps"),
    [
        ("draft", "viewer", set()),
        ("draft", "engineer", {"submit", "title", "withdraw", "move", "copy", "remove"}),
        ("draft", "approver", set()),
        ("in_review", "engineer", {"title", "withdraw", "move", "copy", "remove"}),
        ("in_review", "approver", {"approve", "reject"}),
        ("approved", "finance", set()),
        ("approved", "platform", {"title", "withdraw", "move", "copy", "remove", "publish"}),
        ("approved", "approver", {"reject", "publish"}),
    ],
)
def test_a_person_is_offered_the_steps_that_are_hers_and_no_others(client, state, role, steps):
    draft = {"draft": draft_of, "in_review": in_review, "approved": approved}[state]()
    signed_in(client, role)

    page = client.get(at(draft)).content.decode()

    offered = {name for name in RIGHTS if f'action="{at(draft, name)}/"' in page}
    assert offered == steps


@pytest.mark.parametrize("role", ["viewer", "finance", "engineer", "approver", "platform"])
def test_a_step_that_is_not_hers_is_refused_and_changes_nothing(client, role):
    draft = approved()
    person = signed_in(client, role)

    for step, right in RIGHTS.items():
        if not person.has_perm(right):
            sent = {"saves": "0", "place": "1", "title": "x", "why": "x", "sha256": hash_of(draft)}
            assert client.post(at(draft, f"{step}/"), sent).status_code == 403, step
    draft.refresh_from_db()
    assert (draft.state, draft.saves) == ("approved", 0)


def test_strangers_are_sent_to_sign_in(client):
    draft = draft_of()

    assert client.get(at(draft)).status_code == 302
    assert client.post(at(draft, "withdraw/"), {"saves": "0"})["Location"].startswith("/accounts/login/")
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_steps_are_posted_and_there_are_no_others(client):
    draft = draft_of()
    signed_in(client, "admin")

    assert client.get(at(draft, "submit/")).status_code == 405
    assert client.post(at(draft, "explode/"), {"saves": "0"}).status_code == 404
    assert client.post(f"{PRODUCTION}drafts/999999/submit/", {"saves": "0"}).status_code == 404
    assert client.get(f"/rules/staging/drafts/{draft.pk}/").status_code == 404


# --- Approving


def test_who_contributed_is_told_why_she_cannot_approve(client):
    person = make_user("approver", "engineer", email=LEAD)
    draft = in_review()
    client.force_login(person)

    page = client.get(at(draft)).content.decode()
    answer = client.post(at(draft, "approve/"), {"saves": "0", "sha256": hash_of(draft), "comment": "mine"})

    assert "You contributed to this content, so somebody else has to approve it." in page
    assert ">Approve<" not in page
    assert answer.status_code == 409
    draft.refresh_from_db()
    assert draft.state == "in_review"
    Organisation.objects.update(separation_of_duties=False)
    assert ">Approve<" in client.get(at(draft)).content.decode()


def test_an_approval_is_of_the_bytes_that_the_page_showed(client):
    draft = in_review()
    signed_in(client, "approver")

    for sha256 in ("", "0" * 64, "x\x00", "é"):
        answer = client.post(at(draft, "approve/"), {"saves": "0", "sha256": sha256, "comment": "looks good"})
        assert answer.status_code == 409, sha256
        assert "changed since you looked at it" in answer.content.decode()
        assert 'value="looks good"' in answer.content.decode()
    draft.refresh_from_db()
    assert draft.state == "in_review"


def test_a_rejection_needs_a_reason_and_keeps_it(client):
    draft = in_review()
    signed_in(client, "approver")

    silent = client.post(at(draft, "reject/"), {"saves": "0", "why": ""})
    answer = client.post(at(draft, "reject/"), {"saves": "0", "why": "too dear"})

    assert (silent.status_code, set(silent.context["why_form"].errors)) == (422, {"why"})
    assert answer.status_code == 302
    assert "too dear" in client.get(at(draft)).content.decode()


# --- In the way


def test_all_that_is_in_the_way_is_shown_at_once_and_leads_to_its_rule(client):
    draft = draft_of(make_content(make_rule("a"), make_rule("b", owner="", use_cases=["other"], fallbacks=["no@one"])))
    signed_in(client, "engineer")

    page = client.get(at(draft)).content.decode()
    answer = client.post(at(draft, "submit/"), {"saves": "0"})

    assert "2 things in the way of submitting" in page
    assert page.count(f'href="{at(draft, "rules/2/")}#rule-form"') == 2
    assert answer.status_code == 422
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_a_draft_that_another_version_overtook_says_which_and_how_it_goes_on(client):
    draft = draft_of(title="mine")
    version_of(make_content(make_rule(title="theirs")), title="the other one")
    signed_in(client, "engineer")

    page = client.get(at(draft)).content.decode()

    assert "Another version went live since this was started" in page
    assert "the other one" in page
    assert "published by publisher@example.com" in page
    assert "Rule code-high added" in page
    assert f'href="{at(draft, "rebase/")}"' in page


def test_publishing_what_was_overtaken_says_what_went_live_and_publishes_nothing(client):
    draft = approved()
    version_of(make_content(make_rule(title="theirs")))
    signed_in(client, "engineer")

    answer = client.post(at(draft, "publish/"), {"saves": "0"})

    assert answer.status_code == 409
    assert "published version 1" in answer.content.decode()
    assert Version.objects.count() == 1


def test_what_retired_since_the_approval_is_said_and_not_published(client):
    draft = approved()
    Offering.objects.filter(name=OPUS).update(retired_at=NOON)
    signed_in(client, "platform")

    answer = client.post(at(draft, "publish/"), {"saves": "0"})

    assert answer.status_code == 422
    assert f"<p>{OPUS} is retired</p>" in answer.content.decode()  # a name is no beginning of a sentence
    assert not Version.objects.exists()


def test_offerings_are_described_anew_when_the_catalogue_moved_on(client):
    draft = draft_of()
    Offering.objects.filter(name=OPUS).update(region="eu")
    signed_in(client, "engineer")
    before = client.get(at(draft)).content.decode()

    client.post(at(draft, "renew/"), {"saves": "0"})

    draft.refresh_from_db()
    assert "The catalogue says eu for the region" in before
    assert draft.content["offerings"][OPUS]["region"] == "eu"
    assert "in the way" not in client.get(at(draft)).content.decode()


# --- Arranging


@pytest.mark.parametrize(
    ("place", "to", "order"),
    [("1", "down", "bac"), ("3", "up", "acb"), ("1", "up", "abc"), ("3", "down", "abc"), ("2", "", "bac")],
)
def test_a_rule_is_moved(client, place, to, order):
    draft = draft_of(three())
    signed_in(client, "engineer")

    client.post(at(draft, "move/"), {"saves": "0", "place": place, "to": to})

    assert "".join(ids(draft)) == order


def test_a_rule_is_copied_beside_itself_and_taken_out(client):
    draft = draft_of(make_content(make_rule("x" * 64), make_rule("b", use_cases=["b"])))
    signed_in(client, "engineer")

    client.post(at(draft, "copy/"), {"saves": "0", "place": "1"})
    client.post(at(draft, "copy/"), {"saves": "1", "place": "1"})
    client.post(at(draft, "remove/"), {"saves": "2", "place": "1"})

    assert ids(draft) == ["x" * 57 + "-copy-2", "x" * 59 + "-copy", "b"]


@pytest.mark.parametrize("place", ["0", "4", "", "x", "-1", "9" * 30])
def test_there_is_nothing_to_arrange_where_no_rule_is(client, place):
    draft = draft_of(three())
    signed_in(client, "engineer")

    for step in ("move", "copy", "remove"):
        assert client.post(at(draft, f"{step}/"), {"saves": "0", "place": place}).status_code == 404
    assert ids(draft) == ["a", "b", "c"]


# --- Others at the same time


@pytest.mark.parametrize("step", ["submit", "withdraw", "title", "move", "copy", "remove", "renew"])
@pytest.mark.parametrize("saves", ["0", "", "x", "9" * 40])
def test_a_step_from_a_page_that_is_behind_is_refused_and_said(client, step, saves):
    draft = draft_of(three())
    proposals.save(proposal_id=draft.pk, saves=0, by="other@example.com", at=NOON, title="theirs")
    signed_in(client, "engineer")

    answer = client.post(at(draft, f"{step}/"), {"saves": saves, "place": "1", "title": "my own title"})

    page = answer.content.decode()
    draft.refresh_from_db()
    assert answer.status_code == 409
    assert "Somebody saved theirs since you opened it" in page
    assert (draft.state, draft.title, draft.saves) == ("draft", "theirs", 1)
    assert ("my own title" in page) == (step == "title")


def test_what_was_renamed_since_the_page_was_made_is_not_published_unseen(client):
    draft = approved()
    proposals.save(proposal_id=draft.pk, saves=0, by="other@example.com", at=NOON, title="theirs")
    signed_in(client, "platform")

    behind = client.post(at(draft, "publish/"), {"saves": "0"})
    answer = client.post(at(draft, "publish/"), {"saves": "1"})

    assert (behind.status_code, answer.status_code) == (409, 302)
    assert "Somebody saved theirs since you opened it" in behind.content.decode()


def test_a_title_is_saved_and_an_empty_one_is_not(client):
    draft = draft_of()
    signed_in(client, "engineer")

    wrong = client.post(at(draft, "title/"), {"saves": "0", "title": " "})
    client.post(at(draft, "title/"), {"saves": "0", "title": "better"})

    draft.refresh_from_db()
    assert (wrong.status_code, set(wrong.context["title_form"].errors)) == (422, {"title"})
    assert draft.title == "better"


def test_what_is_settled_is_read_and_offers_no_step(client):
    draft = draft_of()
    signed_in(client, "admin")

    client.post(at(draft, "withdraw/"), {"saves": "0"})
    again = client.post(at(draft, "withdraw/"), {"saves": "0"})

    page = client.get(at(draft)).content.decode()
    assert again.status_code == 409
    assert "Withdrawn by admin@example.com" in page
    assert f'action="{at(draft)}' not in page


@pytest.mark.soak
def test_nothing_that_can_be_sent_breaks_a_draft(client):
    chance = random.Random(7)
    signed_in(client, "admin")
    soup = [
        "",
        "0",
        "1",
        "-1",
        "9" * 100,
        "x",
        "\x00",
        "\ud7ff",
        HOSTILE,
        "up",
        "a" * 5000,
        "\N{ARABIC-INDIC DIGIT THREE}",
        "null",
        "{}",
    ]
    names = ["saves", "place", "to", "title", "why", "comment", "sha256", "rule", "offering"]

    for _ in rounds(20, 1000):
        draft = Proposal.objects.order_by("-id").first()
        if draft is None or draft.settled_at is not None:
            draft = draft_of(three())
        sent = {name: chance.choice(soup) for name in names}
        if chance.random() < 0.7:
            sent["saves"] = str(draft.saves)
        step = chance.choice([*RIGHTS, "new", "change"])
        path = f"{PRODUCTION}drafts/{step}/" if step in ("new", "change") else at(draft, f"{step}/")
        answer = client.post(path, sent)
        assert answer.status_code in (200, 302, 404, 409, 422), (path, sent)
        assert client.get(at(draft)).status_code == 200, (path, sent)


def test_a_draft_asks_the_same_few_questions_however_many_rules_there_are(client, django_assert_num_queries):
    draft = draft_of()
    larger = draft_of(make_content(*(make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30))))
    for n in range(4):
        offering = make_offering(f"model-{n}@anthropic", tier=Tier.MIDDLE)
        set_price(offering, "uncached_input", "1")
    signed_in(client, "engineer")

    for one in (draft, larger):
        with django_assert_num_queries(12):
            client.get(at(one))
