"""Any two sets of rules side by side."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.utils import timezone

from routing.services import proposals
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.routing.making import CHEAP, LEAD, OPUS, make_content, make_rule

pytestmark = pytest.mark.django_db

COMPARE = f"{PRODUCTION}compare/"


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def named(*ids: str, **of_the_first: Any) -> dict[str, Any]:
    rules = [make_rule(name, use_cases=[name]) for name in ids]
    return make_content({**rules[0], **of_the_first}, *rules[1:])


def words(answer: Any) -> str:
    """Return the text of a page as it is read, without its tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())))


def test_rules_are_told_part_by_part_with_what_each_member_was_and_is(client):
    version_of(named("a", "b", "c"))
    changed = make_rule("a", use_cases=["a"], targets=[{"offering": CHEAP, "weight": 10000}])
    version_of(make_content(make_rule("c", use_cases=["c"]), changed, make_rule("new", use_cases=["new"])))
    signed_in(client, "viewer")

    answer = client.get(f"{COMPARE}?before=1&after=2")

    page = words(answer)
    assert answer.status_code == 200
    assert f"Targets 100 % {OPUS} 100 % {CHEAP}" in page
    assert "Rule c moved from place 3 to 1, first moved" in page
    assert "Rule new stands after a added" in page
    assert "Rule b stood at place 2 removed" in page
    states = [one.part.state for group in answer.context["rules"] for one in group.parts]
    assert states == ["moved", "changed", "removed", "added"]


def test_what_is_the_same_is_folded_where_it_stands(client):
    version_of(named("a", "b", "c", "d"))
    version_of(named("a", "b", "c", "d", timeout_ms=5))
    signed_in(client, "viewer")

    answer = client.get(f"{COMPARE}?before=1&after=2")

    assert [(group.same, [one.part.name for one in group.parts]) for group in answer.context["rules"]] == [
        (False, ["a"]), (True, ["b", "c", "d"]),
    ]  # fmt: skip
    assert "3 rules are the same" in words(answer)


def test_without_a_choice_it_shows_what_the_version_in_force_changed(client):
    version_of(named("a"))
    version_of(named("a", timeout_ms=5))
    signed_in(client, "viewer")

    usual = client.get(COMPARE)
    from_one = client.get(f"{COMPARE}?before=2")

    assert (usual.context["found"].before.name, usual.context["found"].after.name) == ("1", "2")
    assert "Nothing differs" in words(from_one)


def test_a_draft_is_compared_with_what_is_in_force_and_settled_ones_still_are(client):
    version_of(named("a"))
    draft = draft_of(named("a", title="mine"), title="the draft")
    signed_in(client, "viewer")

    answer = client.get(f"{COMPARE}?after=draft-{draft.pk}")
    proposals.withdraw(proposal_id=draft.pk, by=LEAD, at=timezone.now())
    settled = client.get(f"{COMPARE}?before=1&after=draft-{draft.pk}")

    assert (answer.context["found"].before.name, answer.context["lines"]) == ("1", 1)
    assert f'href="{at(draft)}"' in answer.content.decode()
    assert f'<option value="draft-{draft.pk}" selected>' in settled.content.decode()
    assert "withdrawn" in words(settled)


@pytest.mark.parametrize(
    "query",
    ["before=1&after=9", "before=x&after=1", "after=draft-9999", "before=" + "9" * 400, "before=-1&after=1",
     "before=%00&after=1", "before=%ED%A0%80"],
)  # fmt: skip
def test_a_comparison_that_cannot_be_made_is_said_clearly(client, query):
    version_of()
    signed_in(client, "viewer")

    answer = client.get(f"{COMPARE}?{query}")

    assert answer.status_code == 400
    assert "Choose two versions or drafts that there are." in words(answer)


def test_with_nothing_to_compare_it_says_what_to_do(client):
    version_of()
    signed_in(client, "viewer")

    one_version = client.get(COMPARE)

    assert one_version.status_code == 200
    assert "Nothing to compare yet" in words(one_version)
    assert client.get("/rules/staging/compare/").status_code == 404


def test_an_old_version_that_is_not_listed_stays_chosen(client):
    for number in range(3):
        version_of(named("a", timeout_ms=number + 1))
    signed_in(client, "viewer")

    page = client.get(f"{COMPARE}?before=3&after=1").content.decode()

    assert page.index('<option value="3" selected>') < page.index('<option value="1" selected>')
    assert f'href="{COMPARE}?before=1&amp;after=3"' in page


def test_history_version_and_draft_lead_to_it(client):
    version_of(named("a"))
    version_of(named("a", timeout_ms=5))
    draft = draft_of(named("a", title="mine"))
    signed_in(client, "viewer")

    history, first, second, of_draft = (
        client.get(path).content.decode()
        for path in (f"{PRODUCTION}history/", f"{PRODUCTION}versions/1/", f"{PRODUCTION}versions/2/", at(draft))
    )

    assert f'href="{COMPARE}"' in history
    assert f'href="{COMPARE}?before=1&amp;after=2"' in history
    assert f'href="{COMPARE}?before=1"' in first
    assert f'href="{COMPARE}?before=1&amp;after=2"' in second
    assert f'href="{COMPARE}?before=2&amp;after=draft-{draft.pk}"' in of_draft


@pytest.mark.parametrize("role", ["viewer", "finance", "engineer", "approver", "platform", "admin"])
def test_everybody_with_a_role_may_look(client, role):
    version_of()
    signed_in(client, role)

    assert client.get(COMPARE).status_code == 200


def test_strangers_sign_in_and_who_has_no_role_is_refused(client):
    version_of()

    assert client.get(COMPARE).status_code == 302
    signed_in(client)
    assert client.get(COMPARE).status_code == 403


def test_names_that_are_markup_stay_text(client):
    version_of(named("a"), title=HOSTILE)
    version_of(named("a", title=HOSTILE, rationale=HOSTILE), title=HOSTILE)
    signed_in(client, "viewer")

    page = client.get(COMPARE).content.decode()

    assert "&lt;script&gt;" in page
    assert HOSTILE not in page


def test_the_page_asks_the_same_few_questions_however_many_rules_there_are(client, django_assert_num_queries):
    version_of()
    version_of(named("a"))
    signed_in(client, "viewer")
    client.get(COMPARE)

    with django_assert_num_queries(9):
        client.get(f"{COMPARE}?before=1&after=2")
    version_of(named(*(f"rule-{n}" for n in range(30))))
    draft_of()
    with django_assert_num_queries(9):
        client.get(f"{COMPARE}?before=1&after=3")
