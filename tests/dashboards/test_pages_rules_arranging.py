"""The rules of a draft in order: moved to a place, put back, taken back to what is in force, copied from elsewhere."""

from __future__ import annotations

import pytest

from routing.services import proposals
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, form_of, furnish, version_of
from tests.dashboards.seeing import signed_in
from tests.routing.making import LEAD, MIDDLE, NOON, OPUS, make_content, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def three(**overrides):
    rules = [make_rule(name, use_cases=[name]) for name in ("a", "b", "c")]
    return make_content(*(rule | overrides.get(rule["id"], {}) for rule in rules))


def order(draft):
    draft.refresh_from_db()
    return [rule["id"] for rule in draft.content["rules"]]


def press(client, draft, step, **sent):
    draft.refresh_from_db()
    return client.post(at(draft, f"{step}/"), {"saves": draft.saves, **sent})


@pytest.mark.parametrize(
    ("to", "made"), [("1", ["c", "a", "b"]), ("2", ["a", "c", "b"]), ("99", ["a", "b", "c"]), ("0", ["c", "a", "b"])]
)
def test_a_rule_is_moved_to_a_place(client, to, made):
    draft = draft_of(three())
    signed_in(client, "engineer")

    answer = press(client, draft, "move", place="3", to=to)

    assert answer.status_code == 302
    assert order(draft) == made


def test_a_place_that_is_no_number_moves_nothing_and_says_so(client):
    draft = draft_of(three())
    signed_in(client, "engineer")

    answer = client.post(at(draft, "move/"), {"saves": 0, "place": "3", "to": "top"}, follow=True)

    assert order(draft) == ["a", "b", "c"]
    assert "Say where to as a number from 1 to 3." in answer.content.decode()


def test_what_was_removed_is_put_back_where_it_was(client):
    draft = draft_of(three())
    signed_in(client, "engineer")

    press(client, draft, "remove", place="2")
    shown = client.get(at(draft)).content.decode()
    removed = order(draft)
    press(client, draft, "put-back", rule="b")

    assert removed == ["a", "c"]
    assert "Put it back" in shown
    assert order(draft) == ["a", "b", "c"]
    assert "Put it back" not in client.get(at(draft)).content.decode()


def test_a_rule_in_force_that_somebody_removed_is_put_back_after_those_before_it(client):
    version_of(three())
    draft = draft_of(three())
    content = make_content(make_rule("new", use_cases=["new"]), make_rule("c", use_cases=["c"]))
    proposals.save(proposal_id=draft.pk, saves=0, by=LEAD, at=NOON, content=content)
    signed_in(client, "engineer")

    press(client, draft, "put-back", rule="a")
    press(client, draft, "put-back", rule="b")
    twice = press(client, draft, "put-back", rule="b")
    unknown = press(client, draft, "put-back", rule="zzz")

    assert order(draft) == ["a", "b", "new", "c"]
    assert (twice.status_code, unknown.status_code) == (302, 404)


def test_a_rule_is_taken_back_to_what_is_in_force_and_keeps_its_place(client):
    version_of(three())
    draft = draft_of(three(b={"title": "changed", "targets": [{"offering": MIDDLE, "weight": 10000}]}))
    signed_in(client, "engineer")
    press(client, draft, "move", place="2", to="1")
    shown = client.get(at(draft)).content.decode()

    press(client, draft, "revert", rule="b")

    assert shown.count("As in force: undo its changes") == 1
    draft.refresh_from_db()
    assert order(draft) == ["b", "a", "c"]
    assert (draft.content["rules"][0]["targets"], "title" in draft.content["rules"][0]) == (
        [{"offering": OPUS, "weight": 10000}], False,
    )  # fmt: skip
    assert "As in force" not in client.get(at(draft)).content.decode()
    assert press(client, draft, "revert", rule="zzz").status_code == 404


def test_the_default_is_taken_back_to_what_is_in_force(client):
    version_of(three())
    draft = draft_of(three() | {"default": {"targets": [{"offering": OPUS, "weight": 10000}]}})
    signed_in(client, "engineer")

    press(client, draft, "revert", rule="default")

    draft.refresh_from_db()
    assert draft.content["default"] == three()["default"]


@pytest.mark.parametrize("step", ["put-back", "revert", "move", "remove"])
def test_a_page_that_is_behind_and_who_may_not_edit_arrange_nothing(client, step):
    version_of(three())
    draft = draft_of(three(b={"title": "changed"}))
    before = dict(draft.content)
    signed_in(client, "engineer")
    behind = client.post(at(draft, f"{step}/"), {"saves": 7, "place": "1", "to": "2", "rule": "b"})
    signed_in(client, "approver")
    stranger = client.post(at(draft, f"{step}/"), {"saves": 0, "place": "1", "to": "2", "rule": "b"})

    draft.refresh_from_db()
    assert (behind.status_code, stranger.status_code) == (409 if step != "put-back" else behind.status_code, 403)
    assert (draft.content, draft.saves) == (before, 0)


# --- From elsewhere


def test_a_rule_of_another_version_is_copied_under_a_free_id_and_looked_at_first(client):
    version_of(three(b={"title": "as it was"}))
    version_of(three(b={"title": "as it is"}))
    draft = draft_of(three())
    signed_in(client, "engineer")

    listed = client.get(at(draft, "rules/copy/?from=production&version=1")).content.decode()
    opened = client.get(at(draft, "rules/new/?from=production&version=1&rule=b&after=1"))
    unsaved = order(draft)
    sent = form_of(opened.content.decode())
    answer = client.post(at(draft, "rules/new/"), sent | {"anyway": "1"})

    assert "Version 1 of production" in listed
    assert "rules/new/?from=production&amp;version=1&amp;rule=b" in listed
    assert unsaved == ["a", "b", "c"]
    assert answer["Location"] == at(draft, "#rule-2")
    assert order(draft) == ["a", "b-copy", "b", "c"]
    assert draft.content["rules"][1] == three(b={"title": "as it was"})["rules"][1] | {"id": "b-copy"}


@pytest.mark.parametrize(
    "path",
    ["rules/new/?rule=zzz", "rules/new/?rule=a&from=nowhere&version=1", "rules/new/?rule=a%00",
     "rules/copy/?from=nowhere",
     "rules/new/?rule=a&from=production&version=99", "rules/copy/?from=a%00"],
)  # fmt: skip
def test_what_is_not_there_cannot_be_copied(client, path):
    draft = draft_of(three())
    signed_in(client, "engineer")

    assert client.get(at(draft, path)).status_code == 404


@pytest.mark.parametrize("number", ["x", "99", "-1", "9" * 30])
def test_a_version_that_there_is_not_is_said_so(client, number):
    version_of(three())
    draft = draft_of(three())
    signed_in(client, "engineer")

    page = client.get(at(draft, f"rules/copy/?version={number}"))

    assert page.status_code == 200
    assert "There is no version" in page.content.decode()


def test_who_may_not_edit_copies_nothing(client):
    draft = draft_of(three())
    signed_in(client, "viewer")

    assert client.get(at(draft, "rules/copy/")).status_code == 403
    assert PRODUCTION in at(draft)
