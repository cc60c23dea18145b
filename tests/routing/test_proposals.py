"""A proposal from its start to its approval."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from catalog.models import Offering, OfferingTier, Tier
from core.errors import Invalid, NotFound
from core.models import AuditEntry, Organisation
from routing.models import Approval, Contribution, Environment, Proposal, ProposalState
from routing.rules import document
from routing.selectors import proposals as selector
from routing.services import proposals
from tests.factories import NOON
from tests.routing.making import (
    APPROVER,
    CHEAP,
    ENVIRONMENT,
    LEAD,
    MIDDLE,
    OPUS,
    make_approved,
    make_content,
    make_draft,
    make_rule,
    make_version,
    stock,
)

pytestmark = pytest.mark.django_db(transaction=True)


def problems_of(caught: pytest.ExceptionInfo[Invalid]) -> list[tuple[str, str]]:
    return caught.value.problems


def test_a_draft_starts_with_the_content_in_force_and_remembers_its_number():
    stock()
    version = make_version()

    draft = proposals.start(environment=ENVIRONMENT, title="next", by=LEAD, at=NOON)

    assert draft.base_version == version.number
    assert document.canonical(draft.content) == bytes(version.canonical)
    assert not draft.contributions.exists()


def test_the_first_draft_of_an_environment_needs_a_content():
    with pytest.raises(proposals.NeedsDefault, match="where requests go"):
        proposals.start(environment="staging", title="first", by=LEAD, at=NOON)

    assert not Environment.objects.exists()


def test_a_draft_needs_a_title_and_a_possible_environment_and_is_told_both():
    with pytest.raises(Invalid) as caught:
        proposals.start(environment="no spaces", title="  ", by=LEAD, at=NOON, content=make_content())

    assert [field for field, _ in problems_of(caught)] == ["title", "environment"]


def test_offerings_come_from_the_catalogue_where_none_are_given():
    stock()

    draft = make_draft()

    assert draft.content["offerings"] == {
        OPUS: {"model": "claude-opus-4.7", "provider": "anthropic", "tier": "frontier"},
        MIDDLE: {"model": "gemini-3.1-pro", "provider": "google", "tier": "middle"},
        CHEAP: {"model": "deepseek-v4-flash", "provider": "deepseek", "tier": "economy"},
    }


def test_a_content_that_breaks_the_schema_is_refused_with_every_place():
    broken = make_content({"id": "no targets"}, default={"targets": []})

    with pytest.raises(Invalid) as caught:
        make_draft(broken)

    places = {pointer for pointer, _ in problems_of(caught)}
    assert {"/rules/0", "/rules/0/id", "/default/targets"} <= places


@pytest.mark.parametrize("title", ["\x00", "half \ud800 a pair"])
def test_text_that_no_database_holds_is_refused_and_not_an_error_of_ours(title):
    stock()

    with pytest.raises(Invalid):
        make_draft(make_content(make_rule(title=title)))


def test_what_cannot_work_may_be_saved_and_is_refused_at_submission_with_all_reasons():
    stock()
    draft = make_draft(
        make_content(make_rule("a", rationale="", targets=[{"offering": "nobody@nowhere", "weight": 9000}]))
    )

    with pytest.raises(Invalid) as caught:
        proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)

    assert {pointer for pointer, _ in problems_of(caught)} == {
        "/rules/0/rationale", "/rules/0/targets", "/rules/0/targets/0/offering",
    }  # fmt: skip
    draft.refresh_from_db()
    assert (draft.state, draft.sha256) == (ProposalState.DRAFT, None)


def test_an_offering_without_a_price_or_retired_cannot_be_submitted():
    stock()
    draft = make_draft()
    Offering.objects.filter(name=OPUS).update(retired_at=NOON)
    later = NOON - timedelta(days=3650)  # before any price began

    with pytest.raises(Invalid, match="cannot work") as caught:
        proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)
    before_prices = selector.one(proposal_id=draft.pk, at=later)

    assert ("/rules/0/targets/0/offering", f"{OPUS} is retired") in problems_of(caught)
    assert before_prices is not None
    assert "no_price" in {problem.code for problem in before_prices.problems}


def test_submitting_freezes_a_hash_and_counts_as_a_contribution():
    stock()
    draft = make_draft(by="somebody@example.com")

    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)

    assert bytes(submitted.sha256 or b"") == document.sha256(document.canonical(draft.content))
    assert set(submitted.contributions.values_list("by", flat=True)) == {"somebody@example.com", LEAD}


def test_whoever_contributed_cannot_approve_and_the_database_says_so_too():
    stock()
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)
    sha256 = bytes(proposal.sha256 or b"")

    with pytest.raises(proposals.OwnWork):
        proposals.approve(proposal_id=proposal.pk, sha256=sha256.hex(), by=LEAD, at=NOON)
    with pytest.raises(IntegrityError, match="whoever contributed cannot approve"):
        Approval.objects.create(proposal=proposal, sha256=sha256, by=LEAD, at=NOON)

    proposal.refresh_from_db()
    assert (proposal.state, proposal.approvals.count()) == (ProposalState.IN_REVIEW, 0)


def test_a_team_of_one_may_approve_its_own_work_once_duties_are_not_separated():
    stock()
    Organisation.objects.update(separation_of_duties=False)
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)

    approved = proposals.approve(proposal_id=proposal.pk, sha256=bytes(proposal.sha256 or b"").hex(), by=LEAD, at=NOON)

    assert approved.state == ProposalState.APPROVED


def test_an_approval_is_for_the_bytes_that_were_seen():
    stock()
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)

    with pytest.raises(proposals.OtherContent):
        proposals.approve(proposal_id=proposal.pk, sha256="00" * 32, by=APPROVER, at=NOON)


def test_approving_twice_is_one_approval():
    stock()
    proposal = make_approved()

    again = proposals.approve(proposal_id=proposal.pk, sha256=bytes(proposal.sha256 or b"").hex(), by=APPROVER, at=NOON)

    assert (again.state, again.approvals.count()) == (ProposalState.APPROVED, 1)


def test_an_edit_after_approval_makes_it_a_draft_whose_approvals_count_no_more():
    stock()
    proposal = make_approved()

    edited = proposals.save(
        proposal_id=proposal.pk, saves=0, by="other@example.com", at=NOON, content=make_content(make_rule("other"))
    )

    assert (edited.state, edited.sha256) == (ProposalState.DRAFT, None)
    detail = selector.one(proposal_id=proposal.pk, at=NOON)
    assert detail is not None
    assert [approval.counts for approval in detail.approvals] == [False]
    assert detail.contributors == (LEAD, "other@example.com")


def test_a_save_that_changes_nothing_keeps_the_approval():
    stock()
    proposal = make_approved()

    saved = proposals.save(proposal_id=proposal.pk, saves=0, by=LEAD, at=NOON, content=make_content())

    assert (saved.state, saved.saves) == (ProposalState.APPROVED, 0)


def test_another_title_keeps_the_approval():
    stock()
    proposal = make_approved()

    saved = proposals.save(proposal_id=proposal.pk, saves=0, by=LEAD, at=NOON, title="a better title")

    assert (saved.state, saved.title, saved.saves) == (ProposalState.APPROVED, "a better title", 1)


def test_true_and_one_are_different_contents():
    stock()
    draft = make_draft(make_content(make_rule(params={"anthropic": {"fast": True}})))

    saved = proposals.save(
        proposal_id=draft.pk, saves=0, by=LEAD, at=NOON,
        content=make_content(make_rule(params={"anthropic": {"fast": 1}})),
    )  # fmt: skip

    assert saved.saves == 1


def test_two_who_edit_the_same_save_do_not_undo_each_other():
    stock()
    draft = make_draft()
    proposals.save(proposal_id=draft.pk, saves=0, by=LEAD, at=NOON, content=make_content(make_rule("first")))

    with pytest.raises(proposals.SavedByAnother, match="Nothing of yours was saved"):
        proposals.save(proposal_id=draft.pk, saves=0, by=APPROVER, at=NOON, content=make_content(make_rule("second")))

    draft.refresh_from_db()
    assert [rule["id"] for rule in draft.content["rules"]] == ["first"]


@pytest.mark.parametrize("sql", [
    "UPDATE routing_proposal SET content = '{}'",
    "UPDATE routing_proposal SET content = '{}', state = 'approved'",
    "UPDATE routing_proposal SET base_version = 7",
    "DELETE FROM routing_contribution",
    "UPDATE routing_approval SET sha256 = sha256(''::bytea)",
    "DELETE FROM routing_approval",
    "TRUNCATE routing_approval",
    "DELETE FROM routing_proposal",
])  # fmt: skip
def test_raw_sql_cannot_change_what_was_approved(sql):
    stock()
    make_approved()

    with pytest.raises(DatabaseError, match=r"is refused|Cannot delete|violates"), connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_rejection_needs_a_reason_and_settles():
    stock()
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)

    with pytest.raises(Invalid):
        proposals.reject(proposal_id=proposal.pk, by=APPROVER, at=NOON, why=" ")
    rejected = proposals.reject(proposal_id=proposal.pk, by=APPROVER, at=NOON, why="too dear")

    assert (rejected.state, rejected.settled_why) == (ProposalState.REJECTED, "too dear")
    with pytest.raises(proposals.NotInState):
        proposals.submit(proposal_id=proposal.pk, by=LEAD, at=NOON)
    with pytest.raises(proposals.NotInState):
        proposals.save(proposal_id=proposal.pk, saves=0, by=LEAD, at=NOON, title="again")


def test_a_settled_proposal_does_not_come_back_by_raw_sql():
    stock()
    proposal = make_draft()
    proposals.withdraw(proposal_id=proposal.pk, by=LEAD, at=NOON)

    with pytest.raises(IntegrityError, match="settled"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(state="draft")


def test_what_is_not_there_is_said():
    with pytest.raises(NotFound, match="no proposal 7"):
        proposals.submit(proposal_id=7, by=LEAD, at=NOON)


def test_every_step_is_in_the_audit_trail_with_its_actor():
    stock()
    proposal = make_approved()

    steps = AuditEntry.objects.filter(table="routing_proposal", row=str(proposal.pk)).order_by("id")
    assert [(entry.actor, entry.after["state"]) for entry in steps if entry.after] == [
        (LEAD, "draft"), (LEAD, "in_review"), (APPROVER, "approved"),
    ]  # fmt: skip


def test_a_tier_that_moved_since_the_draft_was_saved_is_named():
    stock()
    draft = make_draft()
    OfferingTier.objects.filter(offering__name=OPUS).update(tier=Tier.MIDDLE)

    with pytest.raises(Invalid) as caught:
        proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)

    assert problems_of(caught) == [
        (f"/offerings/{OPUS}/tier", f"the catalogue says middle for the tier of {OPUS}, not frontier")
    ]


def test_contributions_are_one_per_person():
    stock()
    draft = make_draft()
    proposals.save(proposal_id=draft.pk, saves=0, by=LEAD, at=NOON, content=make_content(make_rule("b")))

    assert Contribution.objects.filter(proposal=draft, by=LEAD).count() == 1


@pytest.mark.parametrize("step", ["submit", "reject", "withdraw"])
def test_a_step_taken_on_a_page_that_is_behind_is_refused(step):
    stock()
    draft = make_draft()
    proposals.save(proposal_id=draft.pk, saves=0, by="other@example.com", at=NOON, title="another title")
    before = "draft"
    if step == "reject":
        proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)
        before = "in_review"
    why = {} if step == "submit" else {"why": "no"}

    with pytest.raises(proposals.SavedByAnother):
        getattr(proposals, step)(proposal_id=draft.pk, by=LEAD, at=NOON, saves=0, **why)

    draft.refresh_from_db()
    assert draft.state == before
    getattr(proposals, step)(proposal_id=draft.pk, by=LEAD, at=NOON, saves=1, **why)
