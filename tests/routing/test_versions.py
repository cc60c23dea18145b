"""Publishing and rolling back: by compare-and-swap, forward only, and never changed afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from catalog.models import Offering
from core.errors import Invalid, NotFound
from routing.models import Environment, Proposal, StateRevision, Version
from routing.rules import document
from routing.selectors import versions as selector
from routing.services import proposals, versions
from tests.factories import NOON
from tests.routing.making import (
    APPROVER,
    ENVIRONMENT,
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

LEADS = 8


def environment() -> Environment:
    return Environment.objects.get(name=ENVIRONMENT)


def test_what_is_published_is_the_approved_bytes_with_their_hash_and_both_names():
    stock()
    proposal = make_approved()

    version = versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)

    assert bytes(version.canonical) == document.canonical(proposal.content)
    assert bytes(version.sha256) == bytes(proposal.sha256 or b"") == document.sha256(bytes(version.canonical))
    assert (version.number, version.base, version.published_by, version.approved_by) == (1, None, PUBLISHER, APPROVER)
    assert environment().live_version == 1
    proposal.refresh_from_db()
    assert (proposal.state, proposal.version) == ("published", 1)


def test_publishing_twice_is_one_version():
    stock()
    proposal = make_approved()
    first = versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)

    again = versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON + timedelta(hours=1))

    assert (again.pk, Version.objects.count()) == (first.pk, 1)


@pytest.mark.parametrize("step", ["draft", "in_review"])
def test_only_what_is_approved_is_published(step):
    stock()
    proposal = make_draft()
    if step == "in_review":
        proposals.submit(proposal_id=proposal.pk, by=LEAD, at=NOON)

    with pytest.raises(versions.NotApproved):
        versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)

    assert not Version.objects.exists()


def test_a_state_set_by_hand_does_not_make_an_approval():
    stock()
    proposal = proposals.submit(proposal_id=make_draft().pk, by=LEAD, at=NOON)
    Proposal.objects.filter(pk=proposal.pk).update(state="approved")

    with pytest.raises(versions.NotApproved):
        versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)


def test_what_was_retired_since_its_approval_is_not_published():
    stock()
    proposal = make_approved()
    Offering.objects.filter(name=OPUS).update(retired_at=NOON)

    with pytest.raises(Invalid, match="cannot now") as caught:
        versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)

    assert caught.value.problems == [("/rules/0/targets/0/offering", f"{OPUS} is retired")]


def test_a_stale_draft_is_refused_says_what_changed_and_leaves_no_trace():
    stock()
    make_version()
    stale = make_approved(make_content(make_rule(), make_rule("stale", when=None, use_cases=["other"])))
    make_version(make_content(make_rule(targets=[{"offering": MIDDLE, "weight": 10000}], fallbacks=[])))

    with pytest.raises(versions.StaleDraft) as caught:
        versions.publish(proposal_id=stale.pk, by=PUBLISHER, at=NOON)

    assert f"rule code-high: {MIDDLE} added with 100 %" in caught.value.changes
    assert f"{MIDDLE} added with 100 %" in str(caught.value)
    assert (environment().live_version, Version.objects.count()) == (2, 2)
    stale.refresh_from_db()
    assert (stale.state, stale.version) == ("approved", None)


def test_of_eight_leads_who_publish_at_once_one_wins_and_seven_are_told_what_changed():
    stock()
    make_version()
    waiting = [
        make_approved(make_content(make_rule(), make_rule(f"of-{lead}", use_cases=[f"case-{lead}"], when=None)))
        for lead in range(LEADS)
    ]
    together = Barrier(LEADS)

    def publish(proposal: Proposal) -> Version | versions.StaleDraft:
        try:
            together.wait()
            return versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)
        except versions.StaleDraft as stale:
            return stale
        finally:
            connection.close()

    with ThreadPoolExecutor(LEADS) as pool:
        outcomes = list(pool.map(publish, waiting))

    won = [outcome for outcome in outcomes if isinstance(outcome, Version)]
    told = [outcome for outcome in outcomes if isinstance(outcome, versions.StaleDraft)]
    assert (len(won), len(told)) == (1, LEADS - 1)
    winner = document.parse(bytes(won[0].canonical))["rules"][1]["id"]
    assert all(f"rule {winner} added, after code-high: 100 % {OPUS}" in one.changes for one in told)
    assert (environment().live_version, Version.objects.count()) == (2, 2)


def test_rolling_back_is_a_new_version_with_the_old_bytes_and_a_reason():
    stock()
    first = make_version()
    make_version(make_content(make_rule("other")))

    back = versions.roll_back(environment=ENVIRONMENT, to=1, seen=2, reason="too dear", by=PUBLISHER, at=NOON)

    assert (back.number, back.base, back.rolls_back_to, back.approved_by) == (3, 2, 1, "")
    assert bytes(back.canonical) == bytes(first.canonical)
    assert environment().live_version == 3


def test_a_rollback_is_held_up_by_nothing_that_validation_finds():
    stock()
    make_version()
    make_version(make_content(make_rule("other")))
    Offering.objects.filter(name=OPUS).update(retired_at=NOON)

    back = versions.roll_back(environment=ENVIRONMENT, to=1, seen=2, reason="too dear", by=PUBLISHER, at=NOON)

    assert back.number == 3


def test_a_rollback_needs_a_reason_and_another_version_than_the_one_in_force():
    stock()
    make_version()

    with pytest.raises(Invalid, match="reason"):
        versions.roll_back(environment=ENVIRONMENT, to=1, seen=1, reason=" \x00", by=PUBLISHER, at=NOON)
    with pytest.raises(Invalid, match="in force already"):
        versions.roll_back(environment=ENVIRONMENT, to=1, seen=1, reason="why not", by=PUBLISHER, at=NOON)
    with pytest.raises(NotFound):
        versions.roll_back(environment=ENVIRONMENT, to=9, seen=1, reason="why not", by=PUBLISHER, at=NOON)
    with pytest.raises(NotFound):
        versions.roll_back(environment="nowhere", to=1, seen=1, reason="why not", by=PUBLISHER, at=NOON)

    assert Version.objects.count() == 1


def test_a_rollback_is_refused_to_whoever_saw_another_version_in_force():
    stock()
    make_version()
    make_version(make_content(make_rule("other")))

    with pytest.raises(versions.StaleDraft):
        versions.roll_back(environment=ENVIRONMENT, to=1, seen=1, reason="too dear", by=PUBLISHER, at=NOON)


@pytest.mark.parametrize("sql", [
    "UPDATE routing_version SET title = 'other'",
    "UPDATE routing_version SET canonical = 'x'",
    "DELETE FROM routing_version",
    "TRUNCATE routing_version CASCADE",
    "UPDATE routing_staterevision SET canonical = 'x'",
    "DELETE FROM routing_staterevision",
    "TRUNCATE routing_staterevision",
    "DELETE FROM routing_environment",
    "UPDATE routing_environment SET live_version = 1",
    "UPDATE routing_environment SET live_version = NULL",
    "UPDATE routing_environment SET live_version = 7",
    "UPDATE routing_environment SET state_revision = 0",
    "UPDATE routing_environment SET name = 'other'",
])  # fmt: skip
def test_raw_sql_cannot_change_a_published_version_or_move_the_pointer_back(sql):
    stock()
    make_version()
    make_version(make_content(make_rule("other")))
    before = list(Version.objects.order_by("id").values())

    with pytest.raises(DatabaseError, match=r"is refused|Cannot delete"), connection.cursor() as cursor:
        cursor.execute(sql)

    assert list(Version.objects.order_by("id").values()) == before
    assert environment().live_version == 2


@pytest.mark.parametrize(("constraint", "changed"), [
    ("routing_version_hash_is_of_its_bytes", {"sha256": b"x" * 32}),
    ("routing_version_approved_or_back", {"approved_by": ""}),
    ("routing_version_after_its_base", {"base": 9}),
    ("routing_version_once", {"number": 1, "base": None}),
])  # fmt: skip
def test_a_version_that_nobody_approved_or_that_lies_about_its_bytes_is_refused(constraint, changed):
    stock()
    version = make_version()
    given = {"number": 2, "base": 1, **changed}

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Version.objects.create(**{
            **{name: getattr(version, name) for name in ("environment", "canonical", "sha256", "published_at",
               "published_by", "approved_by", "title")},
            **given,
        })  # fmt: skip


def test_each_publication_is_a_state_revision_of_its_own():
    stock()
    make_version()
    make_version(make_content(make_rule("other")))

    revisions = StateRevision.objects.order_by("revision").values_list("revision", "version")
    assert list(revisions) == [(1, 1), (2, 2)]


def test_any_two_versions_are_compared_in_plain_words():
    stock()
    make_version()
    make_version(make_content(make_rule(timeout_ms=900)))
    make_version(make_content(make_rule(timeout_ms=900), make_rule("b", use_cases=["b"], when=None)))

    assert selector.compared(environment=ENVIRONMENT, before=1, after=3) == (
        "rule code-high: time-out in ms from none to 900", f"rule b added, after code-high: 100 % {OPUS}",
    )  # fmt: skip
    assert selector.compared(environment=ENVIRONMENT, before=1, after=9) is None


def test_the_history_is_read_a_page_at_a_time_without_contents(django_assert_num_queries):
    stock()
    for number in range(3):
        make_version(make_content(make_rule(f"rule-{number}")))

    with django_assert_num_queries(1):
        rows = selector.newest(environment=ENVIRONMENT, limit=2, before=3)

    assert [(row.number, row.live) for row in rows] == [(2, False), (1, False)]
