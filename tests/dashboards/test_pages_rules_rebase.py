"""Bringing a draft up to date on its page: one click where nothing clashes, and no dead end where something does."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from routing.models import Proposal
from routing.services import proposals
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.routing.making import APPROVER, LEAD, PUBLISHER, make_content, make_rule

pytestmark = pytest.mark.django_db

TITLE, TIMEOUT = "/rules/code-high/title", "/rules/code-high/timeout_ms"


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def overtaken(mine: dict[str, Any], theirs: dict[str, Any], **given: Any) -> Proposal:
    version_of(make_content(make_rule()))
    draft = draft_of(make_content(make_rule(**mine)), **given)
    version_of(make_content(make_rule(**theirs)), title="the other one")
    return draft


def approved(draft: Proposal) -> Proposal:
    now = timezone.now()
    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=now)
    sha256 = bytes(submitted.sha256 or b"").hex()
    return proposals.approve(proposal_id=draft.pk, sha256=sha256, by=APPROVER, at=now)


def text_of(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def base_of(draft: Proposal) -> int | None:
    draft.refresh_from_db()
    return draft.base_version


def test_where_nothing_clashes_one_click_on_the_draft_is_enough(client):
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    signed_in(client, "engineer")
    page = client.get(at(draft)).content.decode()

    answer = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2"})

    assert f'action="{at(draft, "rebase/")}"' in page
    assert "both can be put together at once" in page
    assert (answer.status_code, answer["Location"]) == (302, at(draft))
    assert base_of(draft) == 2
    assert draft.content["rules"] == [make_rule(title="mine", timeout_ms=900)]
    after = client.get(at(draft))
    assert "up to date: it changes version 2 now" in text_of(after)
    assert "Another version went live" not in text_of(after)


def test_where_both_changed_a_thing_the_draft_leads_to_the_page_that_asks(client):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    signed_in(client, "engineer")

    page = client.get(at(draft)).content.decode()

    assert "1 thing was changed on both sides" in page
    assert f'href="{at(draft, "rebase/")}"' in page
    assert f'action="{at(draft, "rebase/")}"' not in page


def test_the_page_says_who_published_what_meanwhile_and_shows_conflicts_side_by_side(client):
    draft = overtaken({"title": "mine", "timeout_ms": 5}, {"title": "theirs"})
    signed_in(client, "engineer")

    page = text_of(client.get(at(draft, "rebase/")))

    assert "the other one" in page
    assert PUBLISHER in page
    assert "Rule code-high: title from none to theirs" in page, "what went live"
    assert "Rule code-high: title from none to mine" in page, "what the draft changes"
    assert "Rule code-high, title" in page
    assert f'name="{TITLE}" value="theirs"' in page
    assert f'name="{TITLE}" value="mine"' in page
    assert "checked" not in page.split("conflicts-title")[1], "nobody chose for her"
    assert "Rule code-high: time-out in ms from none to 5" in page.split('id="rebase-result"')[1]


def test_an_unsettled_conflict_is_pointed_at_and_what_was_chosen_stays_chosen(client):
    draft = overtaken({"title": "mine", "timeout_ms": 5}, {"title": "theirs", "timeout_ms": 6})
    signed_in(client, "engineer")

    answer = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2", TITLE: "mine"})

    page = text_of(answer)
    assert answer.status_code == 422
    assert "choose which holds: rule code-high, time-out in ms." in page
    assert f'name="{TITLE}" value="mine" checked' in page
    assert page.count("Choose one of the two.") == 1
    assert base_of(draft) == 1


def test_choices_show_what_becomes_of_the_draft_before_anything_is_done(client):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    signed_in(client, "engineer")
    sent = {"saves": "0", "live": "2", TITLE: "mine"}

    whole = client.post(at(draft, "rebase/"), sent | {"show": "1"})
    part = client.post(at(draft, "rebase/"), sent, headers={"HX-Request": "true"})

    for answer in (whole, part):
        assert answer.status_code == 200
        assert "Rule code-high: title from theirs to mine" in text_of(answer).split('id="rebase-result"')[1]
    assert "<html" not in part.content.decode()
    assert base_of(draft) == 1


def test_a_settled_conflict_is_carried_out(client):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    person = signed_in(client, "engineer")

    client.post(at(draft, "rebase/"), {"saves": "0", "live": "2", TITLE: "mine"})

    assert base_of(draft) == 2
    assert draft.content["rules"][0]["title"] == "mine"
    assert draft.contributions.filter(by=person.email).exists()


def test_whoever_was_overtaken_while_choosing_keeps_her_choices(client):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    signed_in(client, "engineer")
    proposals.save(
        proposal_id=draft.pk, saves=0, by=LEAD, at=timezone.now(), content=make_content(make_rule(title="again"))
    )

    saved = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2", TITLE: "mine"})
    version_of(make_content(make_rule(title="third")))
    published = client.post(at(draft, "rebase/"), {"saves": "1", "live": "2", TITLE: "mine"})

    assert (saved.status_code, published.status_code) == (409, 409)
    assert "Somebody saved" in text_of(saved)
    assert "Version 3 went live in production while you looked" in text_of(published)
    for answer in (saved, published):
        assert f'name="{TITLE}" value="mine" checked' in text_of(answer)
    assert 'name="live" value="3"' in text_of(published), "so that she can go on"
    assert base_of(draft) == 1


def test_a_double_click_says_that_it_is_done(client):
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    signed_in(client, "engineer")
    sent = {"saves": "0", "live": "2"}
    client.post(at(draft, "rebase/"), sent)

    again = client.post(at(draft, "rebase/"), sent)

    assert (again.status_code, again["Location"]) == (302, at(draft))
    draft.refresh_from_db()
    assert draft.saves == 1


@pytest.mark.parametrize("sent", [{}, {"saves": "x", "live": "2"}, {"saves": "0", "live": "9" * 30}, {"saves": "0"}])
def test_what_no_page_of_ours_sends_changes_nothing(client, sent):
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    signed_in(client, "engineer")

    assert client.post(at(draft, "rebase/"), sent).status_code == 409
    assert base_of(draft) == 1


def test_choices_that_mean_nothing_are_passed_over_or_refused(client):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    signed_in(client, "engineer")

    both = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2", TITLE: "both\x00"})
    unknown = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2", TITLE: "mine", "/rules/no": "mine"})

    assert (both.status_code, unknown.status_code) == (422, 422)
    assert "There is no conflict of this name." in text_of(unknown)
    assert base_of(draft) == 1


def test_an_approved_draft_says_before_that_it_is_a_draft_again_then(client):
    draft = approved(overtaken({"title": "mine"}, {"timeout_ms": 900}))
    signed_in(client, "engineer")

    on_the_draft, on_the_page = text_of(client.get(at(draft))), text_of(client.get(at(draft, "rebase/")))
    client.post(at(draft, "rebase/"), {"saves": "0", "live": "2"})

    assert "It is a draft again then, to be submitted and approved anew." in on_the_draft
    assert "It is approved. Brought up to date it is a draft again" in on_the_page
    draft.refresh_from_db()
    assert (draft.state, draft.base_version) == ("draft", 2)


def test_a_draft_that_is_up_to_date_or_settled_has_no_such_page(client):
    version_of()
    draft = draft_of(make_content(make_rule(title="mine")))
    signed_in(client, "engineer")

    fresh = client.get(at(draft, "rebase/"))
    version_of(make_content(make_rule(title="theirs")))
    proposals.withdraw(proposal_id=draft.pk, by=LEAD, at=timezone.now())
    settled = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2"})

    assert (fresh.status_code, fresh["Location"]) == (302, at(draft))
    assert (settled.status_code, settled["Location"]) == (302, at(draft))
    told = [str(one) for one in get_messages(settled.wsgi_request)]
    assert any("is withdrawn" in one for one in told)
    assert base_of(draft) == 1


def test_nothing_left_of_a_draft_is_said(client):
    draft = overtaken({"title": "the same"}, {"title": "the same"})
    signed_in(client, "engineer")

    assert "Nothing: what is in force stays." in text_of(client.get(at(draft, "rebase/")))


def test_what_cannot_be_submitted_then_is_said_before(client):
    version_of(make_content(make_rule(), make_rule("other", use_cases=["other"])))
    draft = draft_of(make_content(make_rule(use_cases=None, when=None), make_rule("other", use_cases=["other"])))
    version_of(make_content(make_rule(), make_rule("other", use_cases=["other"], timeout_ms=5)))
    signed_in(client, "engineer")

    page = text_of(client.get(at(draft, "rebase/")))

    assert "In the way of submitting it then" in page
    assert "/rules/1" in page


@pytest.mark.parametrize(
    ("role", "status"),
    [("viewer", 403), ("finance", 403), ("approver", 403), ("engineer", 200), ("platform", 200), ("admin", 200)],
)
def test_who_edits_rules_brings_drafts_up_to_date_and_nobody_else(client, role, status):
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    signed_in(client, role)

    shown = client.get(at(draft, "rebase/")).status_code
    offered = at(draft, "rebase/") in client.get(at(draft)).content.decode()
    done = client.post(at(draft, "rebase/"), {"saves": "0", "live": "2"}).status_code

    assert (shown, offered, done) == (status, status == 200, 302 if status == 200 else 403)
    assert base_of(draft) == (2 if status == 200 else 1)


def test_strangers_sign_in_first_and_other_environments_have_no_such_draft(client):
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})

    assert client.post(at(draft, "rebase/"), {"saves": "0", "live": "2"})["Location"].startswith("/accounts/login/")
    signed_in(client, "admin")
    for path in (f"/rules/staging/drafts/{draft.pk}/rebase/", f"{PRODUCTION}drafts/999999/rebase/"):
        assert client.get(path).status_code == 404
        assert client.post(path, {"saves": "0", "live": "2"}).status_code == 404
    assert base_of(draft) == 1


def test_names_that_are_markup_stay_text(client):
    draft = overtaken({"title": HOSTILE}, {"title": f"{HOSTILE} theirs"}, title=HOSTILE)
    signed_in(client, "admin")

    page = client.get(at(draft, "rebase/")).content.decode()

    assert "&lt;script&gt;" in page
    assert HOSTILE not in page


def test_the_page_asks_the_same_few_questions_however_many_rules_there_are(client, django_assert_num_queries):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    many = [make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30)]
    signed_in(client, "engineer")
    client.get(at(draft, "rebase/"))

    with django_assert_num_queries(10):
        client.get(at(draft, "rebase/"))
    version_of(make_content(*many))
    with django_assert_num_queries(10):
        client.get(at(draft, "rebase/"))
