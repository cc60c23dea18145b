"""Bringing a stale draft up to date: who may, what is refused, and what it is afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from core.errors import Invalid, NotFound
from core.models import AuditEntry
from routing.models import Approval, Proposal, Schedule
from routing.rules import document
from routing.selectors import rebasing as selector
from routing.services import proposals, rebasing, schedules, versions
from tests.factories import NOON
from tests.routing.making import (
    APPROVER,
    CHEAP,
    ENVIRONMENT,
    LEAD,
    MIDDLE,
    PUBLISHER,
    make_approved,
    make_content,
    make_draft,
    make_rule,
    make_version,
    stock,
)

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "other@example.com"
TITLE = "/rules/code-high/title"


def overtaken(mine: dict[str, Any], theirs: dict[str, Any], *, make: Any = make_draft) -> Proposal:
    """Have a draft whose rule says one thing and a version in force, after its base, whose rule says another."""
    stock()
    make_version(make_content(make_rule()))
    draft: Proposal = make(make_content(make_rule(**mine)))
    make_version(make_content(make_rule(**theirs)))
    return draft


def rebase(draft: Proposal, **given: Any) -> Proposal:
    asked: dict[str, Any] = {"saves": draft.saves, "live": 2, "choices": {}, "by": OTHER, "at": NOON}
    return rebasing.rebase(proposal_id=draft.pk, **{**asked, **given})


def as_it_was(draft: Proposal) -> bool:
    before = {name: getattr(draft, name) for name in ("content", "base_version", "saves", "state", "sha256")}
    draft.refresh_from_db()
    return before == {name: getattr(draft, name) for name in before}


def test_a_draft_is_put_on_the_version_in_force_with_what_both_sides_changed():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})

    done = rebase(draft)

    done.refresh_from_db()
    assert (done.base_version, done.saves, done.state) == (2, draft.saves + 1, "draft")
    assert done.content["rules"] == [make_rule(title="mine", timeout_ms=900)]
    assert set(done.contributions.values_list("by", flat=True)) == {LEAD, OTHER}
    assert AuditEntry.objects.filter(actor=OTHER, table="routing_proposal").exists()


def test_after_that_it_is_published_on_top_of_what_overtook_it():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    submitted = proposals.submit(proposal_id=rebase(draft).pk, by=LEAD, at=NOON)
    proposals.approve(
        proposal_id=draft.pk, sha256=bytes(submitted.sha256 or b"").hex(), by=APPROVER, at=NOON
    )  # fmt: skip

    version = versions.publish(proposal_id=draft.pk, by=PUBLISHER, at=NOON)

    assert (version.number, version.base) == (3, 2)
    assert document.parse(bytes(version.canonical))["rules"] == [make_rule(title="mine", timeout_ms=900)]


def test_every_conflict_without_a_choice_is_named_and_nothing_changes():
    draft = overtaken({"title": "mine", "fallbacks": [CHEAP]}, {"title": "theirs", "fallbacks": []})

    with pytest.raises(rebasing.Unsettled, match="rule code-high, fallbacks; rule code-high, title") as caught:
        rebase(draft)
    with pytest.raises(rebasing.Unsettled) as half:
        rebase(draft, choices={TITLE: "mine"})

    assert caught.value.problems == [
        (
            "/rules/code-high/fallbacks",
            f"rule code-high, fallbacks: {MIDDLE} before, none in force now, {CHEAP} here.",
        ),
        (TITLE, "rule code-high, title: none before, theirs in force now, mine here."),
    ]
    assert [one.place for one in half.value.conflicts] == ["/rules/code-high/fallbacks"]
    assert as_it_was(draft)


@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_conflicts_are_settled_by_the_choices(side):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})

    done = rebase(draft, choices={TITLE: side})

    assert done.content["rules"][0]["title"] == side


@pytest.mark.parametrize("choices", [{TITLE: "both"}, {TITLE: ""}, {TITLE: "mine", "/rules/code-high/when": "mine"}])
def test_a_choice_that_means_nothing_is_refused(choices):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})

    with pytest.raises(Invalid, match="cannot be read"):
        rebase(draft, choices=choices)

    assert as_it_was(draft)


def test_who_looked_at_an_earlier_save_is_refused():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    proposals.save(proposal_id=draft.pk, saves=0, by=LEAD, at=NOON, title="quicker")

    with pytest.raises(proposals.SavedByAnother):
        rebase(draft, saves=0)

    draft.refresh_from_db()
    assert (draft.base_version, draft.saves) == (1, 1)


def test_who_saw_another_version_in_force_is_refused():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    make_version(make_content(make_rule(timeout_ms=901)))

    with pytest.raises(rebasing.OvertakenAgain, match="Version 3 went live in production while you looked"):
        rebase(draft, live=2)

    assert as_it_was(draft)


def test_a_draft_that_is_up_to_date_stays_as_it_is():
    stock()
    make_version()
    draft = make_approved(make_content(make_rule(title="mine")))

    rebase(draft, live=1)

    assert as_it_was(draft)
    assert draft.state == "approved"


def test_what_was_approved_is_a_draft_again_and_nobody_can_publish_it():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900}, make=make_approved)

    done = rebase(draft)

    done.refresh_from_db()
    assert (done.state, done.sha256, done.submitted_at, done.submitted_by) == ("draft", None, None, "")
    with pytest.raises(versions.NotApproved):
        versions.publish(proposal_id=draft.pk, by=PUBLISHER, at=NOON)


def test_a_schedule_that_waits_ends():
    stock()
    make_version()
    draft = make_approved(make_content(make_rule(title="mine")))
    other = make_approved(make_content(make_rule(timeout_ms=900)))
    schedules.schedule(proposal_id=draft.pk, publish_at=NOON + timedelta(days=1), by=PUBLISHER, at=NOON)
    versions.publish(proposal_id=other.pk, by=PUBLISHER, at=NOON)
    draft.refresh_from_db()

    rebase(draft)

    ended = Schedule.objects.get(proposal=draft)
    assert (ended.state, ended.why) == ("cancelled", "it was brought up to date with version 2")


def test_whoever_brings_it_up_to_date_cannot_approve_it():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    rebase(draft, by=APPROVER)
    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)
    sha256 = bytes(submitted.sha256 or b"")

    with pytest.raises(proposals.OwnWork):
        proposals.approve(proposal_id=draft.pk, sha256=sha256.hex(), by=APPROVER, at=NOON)
    with pytest.raises(IntegrityError, match="whoever contributed cannot approve"):
        Approval.objects.create(proposal=submitted, sha256=sha256, by=APPROVER, at=NOON)


@pytest.mark.parametrize("settle", ["reject", "withdraw"])
def test_what_is_settled_is_not_touched(settle):
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900}, make=make_approved)
    getattr(proposals, settle)(proposal_id=draft.pk, by=APPROVER, at=NOON, why="no")

    with pytest.raises(proposals.NotInState):
        rebase(draft)
    with pytest.raises(NotFound):
        rebasing.rebase(proposal_id=999_999, saves=0, live=2, choices={}, by=OTHER, at=NOON)


def test_the_first_draft_of_an_environment_meets_the_first_version():
    stock()
    draft = make_draft(make_content(make_rule("mine"), default={"targets": [{"offering": CHEAP, "weight": 10000}]}))
    make_version(make_content(make_rule("theirs")))

    done = rebase(draft, live=1, choices={"/default/targets": "mine"})

    assert [rule["id"] for rule in done.content["rules"]] == ["theirs", "mine"]
    assert done.content["default"] == {"targets": [{"offering": CHEAP, "weight": 10000}], "fallbacks": [CHEAP]}


def test_rules_of_both_sides_that_are_too_many_together_are_refused_with_a_reason():
    def many(name: str) -> dict[str, Any]:
        return make_content(*(make_rule(f"{name}-{n}", use_cases=[f"{name}-{n}"]) for n in range(251)))

    stock()
    draft = make_draft(many("mine"))
    make_version(many("theirs"))

    with pytest.raises(Invalid, match="cannot be read as rules") as caught:
        rebase(draft, live=1)

    assert [pointer for pointer, _ in caught.value.problems] == ["/rules"]
    assert as_it_was(draft)


def test_what_it_would_be_is_shown_before_with_who_published_meanwhile(django_assert_num_queries):
    draft = overtaken({"title": "mine", "timeout_ms": 5}, {"title": "theirs"})

    with django_assert_num_queries(7):
        found = selector.one(proposal_id=draft.pk, environment=ENVIRONMENT, at=NOON)

    assert found is not None
    assert [(one.number, one.published_by) for one in found.went_live] == [(2, PUBLISHER)]
    assert found.meanwhile == ("rule code-high: title from none to theirs",)
    assert (
        found.mine == ("rule code-high: time-out in ms from none to 5", "rule code-high: title from none to mine")[::-1]
    )
    assert [one.place for one in found.merged.unsettled] == [TITLE]
    assert found.changes == ["rule code-high: time-out in ms from none to 5"]
    assert found.problems == ()
    assert selector.one(proposal_id=draft.pk, environment="staging", at=NOON) is None


def test_so_many_versions_went_live_that_only_the_latest_are_named(monkeypatch):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    make_version(make_content(make_rule(timeout_ms=3)))
    make_version(make_content(make_rule(timeout_ms=4)))
    monkeypatch.setattr(selector, "MOST_VERSIONS", 2)

    found = selector.one(proposal_id=draft.pk, environment=ENVIRONMENT, at=NOON)

    assert found is not None
    assert ([one.number for one in found.went_live], found.went_live_before) == ([4, 3], 1)


def test_a_refused_publication_leads_to_bringing_it_up_to_date():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900}, make=make_approved)

    with pytest.raises(versions.StaleDraft, match=r"Bring the draft up to date with it, then have it approved\."):
        versions.publish(proposal_id=draft.pk, by=PUBLISHER, at=NOON)


def test_a_refused_publication_ends_what_changed_with_one_full_stop():
    draft = overtaken({"title": "mine"}, {"rationale": "Opus finds more."}, make=make_approved)

    with pytest.raises(versions.StaleDraft, match=r"to Opus finds more\. Bring the draft up to date"):
        versions.publish(proposal_id=draft.pk, by=PUBLISHER, at=NOON)
