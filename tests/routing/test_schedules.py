"""A schedule: made, moved, cancelled and ended by other steps; what is due is in test_schedules_due.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from alerts.models import Alert
from catalog.models import Offering
from core.errors import Invalid, NotFound
from core.models import AuditEntry
from routing.models import Proposal, Schedule, Version
from routing.selectors import proposals as proposal_rows
from routing.selectors import schedules as rows
from routing.services import proposals, schedules, versions
from tests.factories import NOON, make_user
from tests.routing.making import (
    ENVIRONMENT,
    LEAD,
    OPUS,
    PUBLISHER,
    make_approved,
    make_content,
    make_draft,
    make_rule,
    make_version,
    stock,
)
from tests.routing.scheduling import (
    HOUR,
    LATER,
    NOTHING,
    SECOND,
    another,
    make_schedule,
    state_of,
)

pytestmark = pytest.mark.django_db
in_earnest = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _house() -> None:
    stock()
    make_user("platform", email=PUBLISHER)


# --- Making, moving, cancelling


def test_what_is_scheduled_is_told_with_the_proposal_and_changes_nothing_yet():
    made = make_schedule()

    [row] = proposal_rows.newest(limit=9)
    assert (row.state, row.scheduled_at, row.scheduled_by) == ("approved", LATER, PUBLISHER)
    [waiting] = rows.waiting(environment=ENVIRONMENT)
    assert (waiting.id, waiting.title, waiting.publish_at) == (made.pk, "a change", LATER)
    assert not Version.objects.exists()


def test_scheduling_again_as_before_is_one_schedule():
    proposal = make_approved()
    first = make_schedule(proposal)

    assert make_schedule(proposal, at=NOON + SECOND).pk == first.pk
    assert Schedule.objects.count() == 1


@pytest.mark.parametrize("given", [{"publish_at": LATER + HOUR}, {"by": "other@example.com"}])
def test_a_second_schedule_beside_the_first_is_refused_and_says_whose_it_is(given):
    proposal = make_approved()
    make_schedule(proposal)

    with pytest.raises(schedules.AlreadyScheduled, match=f"{PUBLISHER} .* 15 June 2026, 13:00 UTC"):
        make_schedule(proposal, **given)

    assert Schedule.objects.count() == 1


@pytest.mark.parametrize(
    ("publish_at", "says"),
    [
        (NOON - SECOND, "has passed"),
        (NOON, "has passed"),
        (NOON + schedules.LONGEST + SECOND, "a year ahead"),
    ],
)
def test_a_moment_that_has_passed_or_is_over_a_year_ahead_is_refused(publish_at, says):
    proposal = make_approved()

    with pytest.raises(Invalid) as caught:
        make_schedule(proposal, publish_at=publish_at)

    assert [at for at, _ in caught.value.problems] == ["publish_at"]
    assert says in caught.value.problems[0][1]


@pytest.mark.parametrize("publish_at", [NOON + timedelta(microseconds=1), NOON + schedules.LONGEST])
def test_the_first_and_the_last_moment_are_taken(publish_at):
    assert make_schedule(publish_at=publish_at).publish_at == publish_at


@pytest.mark.parametrize("step", ["draft", "in_review"])
def test_only_what_is_approved_is_scheduled(step):
    draft = make_draft()
    if step == "in_review":
        proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)

    with pytest.raises(versions.NotApproved):
        make_schedule(draft)

    assert not Schedule.objects.exists()


def test_a_stale_draft_is_not_scheduled():
    stale = another()
    make_version()

    with pytest.raises(versions.StaleDraft):
        make_schedule(stale)


@pytest.mark.parametrize("retired_at", [NOON, LATER])
def test_what_the_catalogue_has_against_the_rules_now_or_then_is_told_when_it_is_scheduled(retired_at):
    proposal = make_approved()
    Offering.objects.filter(name=OPUS).update(retired_at=retired_at)

    with pytest.raises(Invalid) as caught:
        make_schedule(proposal, publish_at=LATER)

    assert caught.value.problems == [("/rules/0/targets/0/offering", f"{OPUS} is retired")]


def test_there_is_nothing_to_schedule_of_a_proposal_that_is_not_there():
    for step in (
        lambda: schedules.schedule(proposal_id=999, publish_at=LATER, by=PUBLISHER, at=NOON),
        lambda: schedules.move(proposal_id=999, publish_at=LATER, by=PUBLISHER, at=NOON),
        lambda: schedules.cancel(proposal_id=999, why="no", by=PUBLISHER, at=NOON),
    ):
        with pytest.raises(NotFound):
            step()


def test_a_schedule_that_is_moved_stays_to_be_read_and_belongs_to_the_mover():
    first = make_schedule()

    moved = schedules.move(
        proposal_id=first.proposal_id, publish_at=LATER + HOUR, by="other@example.com", at=NOON, seen=LATER
    )

    assert state_of(first) == ("cancelled", "other@example.com")
    assert first.why == "moved to 15 June 2026, 14:00 UTC"
    assert (moved.state, moved.publish_at, moved.made_by) == ("waiting", LATER + HOUR, "other@example.com")


def test_moving_what_somebody_else_moved_meanwhile_changes_nothing():
    first = make_schedule()
    moved = schedules.move(proposal_id=first.proposal_id, publish_at=LATER + HOUR, by=PUBLISHER, at=NOON, seen=LATER)

    with pytest.raises(schedules.MovedByAnother):
        schedules.move(proposal_id=first.proposal_id, publish_at=LATER + 2 * HOUR, by=LEAD, at=NOON, seen=LATER)

    assert state_of(moved) == ("waiting", "")


def test_moving_into_the_past_leaves_the_schedule_as_it_was():
    first = make_schedule()

    with pytest.raises(Invalid):
        schedules.move(proposal_id=first.proposal_id, publish_at=NOON, by=LEAD, at=NOON)

    assert state_of(first) == ("waiting", "")


def test_what_is_cancelled_is_not_published_and_can_be_scheduled_again():
    made = make_schedule()

    schedules.cancel(proposal_id=made.proposal_id, why="not this week", by=LEAD, at=NOON)

    assert (*state_of(made), made.why, made.ended_at) == ("cancelled", LEAD, "not this week", NOON)
    assert schedules.publish_due(at=LATER) == NOTHING
    assert AuditEntry.objects.filter(table="routing_schedule", reason="not this week", actor=LEAD).exists()
    again = make_schedule(made.proposal, publish_at=LATER + HOUR, at=LATER)
    assert again.state == "waiting"


@pytest.mark.parametrize("why", ["", "  ", "\x00", "x" * 2001])
def test_a_schedule_is_cancelled_with_a_reason_only(why):
    made = make_schedule()

    with pytest.raises(Invalid) as caught:
        schedules.cancel(proposal_id=made.proposal_id, why=why, by=LEAD, at=NOON)

    assert [at for at, _ in caught.value.problems] == ["why"]
    assert state_of(made) == ("waiting", "")


def test_without_a_schedule_there_is_nothing_to_move_or_cancel():
    proposal = make_approved()

    with pytest.raises(schedules.NotScheduled):
        schedules.move(proposal_id=proposal.pk, publish_at=LATER, by=LEAD, at=NOON)
    with pytest.raises(schedules.NotScheduled):
        schedules.cancel(proposal_id=proposal.pk, why="none", by=LEAD, at=NOON)


# --- Ended by another step


def _save(proposal: Proposal) -> object:
    content = make_content(make_rule(targets=[{"offering": OPUS, "weight": 10000}], rationale="otherwise"))
    return proposals.save(proposal_id=proposal.pk, saves=proposal.saves, by=LEAD, at=NOON, content=content)


STEPS: dict[str, tuple[Callable[[Proposal], Any], str]] = {
    "save": (_save, "another content was saved"),
    "reject": (
        lambda proposal: proposals.reject(proposal_id=proposal.pk, by=LEAD, at=NOON, why="no"),
        "the draft was rejected",
    ),
    "withdraw": (
        lambda proposal: proposals.withdraw(proposal_id=proposal.pk, by=LEAD, at=NOON),
        "the draft was withdrawn",
    ),
    "publish": (
        lambda proposal: versions.publish(proposal_id=proposal.pk, by=LEAD, at=NOON),
        "published by hand as version 1",
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_makes_a_schedule_pointless_ends_it_with_the_reason(name):
    take, why = STEPS[name]
    made = make_schedule()

    take(made.proposal)

    assert (*state_of(made), made.why, made.ended_at) == ("cancelled", LEAD, why, NOON)
    assert schedules.publish_due(at=LATER) == NOTHING
    assert not Alert.objects.exists()


def test_another_title_leaves_the_schedule():
    made = make_schedule()

    proposals.save(proposal_id=made.proposal_id, saves=0, by=LEAD, at=NOON, title="a better title")

    assert state_of(made) == ("waiting", "")


def test_a_refused_step_leaves_the_schedule():
    made = make_schedule()

    with pytest.raises(proposals.SavedByAnother):
        proposals.withdraw(proposal_id=made.proposal_id, by=LEAD, at=NOON, saves=7)

    assert state_of(made) == ("waiting", "")


@pytest.mark.parametrize("name", [*STEPS, "schedule"])
def test_the_alert_of_a_suspended_one_ends_when_somebody_goes_on_with_it(name):
    made = make_schedule()
    Offering.objects.filter(name=OPUS).update(retired_at=LATER)
    schedules.publish_due(at=LATER)
    Offering.objects.filter(name=OPUS).update(retired_at=None)
    Alert.objects.update(created_at=NOON)

    if name == "schedule":
        make_schedule(made.proposal, publish_at=LATER + HOUR, at=LATER)
    else:
        STEPS[name][0](made.proposal)

    assert Alert.objects.get().state == "resolved"
    assert state_of(made)[0] == "suspended"


# --- Listed


def test_the_lists_are_one_question_each(django_assert_num_queries):
    made = make_schedule()

    with django_assert_num_queries(1):
        assert [one.id for one in rows.of_proposal(proposal_id=made.proposal_id)] == [made.pk]
    with django_assert_num_queries(1):
        assert [one.id for one in rows.newest(environment=ENVIRONMENT, limit=9)] == [made.pk]
    with django_assert_num_queries(1):
        assert rows.newest(environment=ENVIRONMENT, states=["published"], limit=9, before=made.pk) == []
    with django_assert_num_queries(1):
        assert rows.waiting(environment="staging") == []


# --- What the database holds to


def given(**overrides: Any) -> Schedule:
    proposal = Proposal.objects.first() or make_draft()
    return Schedule(**{"proposal": proposal, "publish_at": LATER, "made_at": NOON, "made_by": LEAD, **overrides})


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({}, "routing_schedule_one_waits"),
        ({"state": "soon", "ended_at": NOON}, "routing_schedule_state_known"),
        ({"ended_at": NOON}, "routing_schedule_ended_or_waits"),
        ({"state": "cancelled"}, "routing_schedule_ended_or_waits"),
    ],
)
def test_the_database_refuses_a_schedule_that_cannot_be(overrides, name):
    wrong = given(**overrides)
    if name == "routing_schedule_one_waits":
        given().save()

    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        wrong.save()


@in_earnest
def test_a_schedule_is_never_deleted():
    made = given()
    made.save()

    with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic():
        Schedule.objects.filter(pk=made.pk).delete()
    with pytest.raises(DatabaseError, match="refused"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE routing_schedule")
