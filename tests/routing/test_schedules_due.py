"""A schedule whose moment has come: carried out once, or suspended and told of."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import OperationalError, connection, transaction

from alerts.models import Alert
from catalog.models import Offering
from core.models import ApiKey, AuditEntry, Organisation, User
from routing import tasks
from routing.models import Proposal, Schedule, Version
from routing.services import proposals, schedules
from routing.services.schedules import Looked
from tests.factories import NOON, make_key, make_user
from tests.routing.making import (
    APPROVER,
    LEAD,
    OPUS,
    PUBLISHER,
    make_approved,
    make_content,
    make_rule,
    make_version,
    stock,
)
from tests.routing.scheduling import (
    HOUR,
    LATER,
    NOTHING,
    PUBLISHED,
    SECOND,
    SUSPENDED,
    another,
    live,
    make_schedule,
    state_of,
)

pytestmark = pytest.mark.django_db
in_earnest = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _house() -> None:
    stock()
    make_user("platform", email=PUBLISHER)


def test_what_is_due_is_published_once_as_whoever_scheduled_it():
    make_version()
    made = make_schedule(another())

    assert schedules.publish_due(at=LATER - timedelta(microseconds=1)) == NOTHING
    assert live() == 1
    assert schedules.publish_due(at=LATER) == PUBLISHED
    assert schedules.publish_due(at=LATER) == NOTHING

    version = Version.objects.get(number=2)
    assert (version.published_by, version.approved_by, version.published_at) == (PUBLISHER, APPROVER, LATER)
    assert live() == 2
    assert (*state_of(made), made.why, made.ended_at) == ("published", "", "", LATER)
    trail = AuditEntry.objects.filter(table="routing_environment", actor=PUBLISHER).latest("id")
    assert trail.reason == "scheduled for 15 June 2026, 13:00 UTC"
    assert not Alert.objects.exists()


def test_what_was_due_while_nobody_looked_is_published_late_in_order_as_far_as_it_can():
    make_version()
    second = make_schedule(another("second"), publish_at=LATER + HOUR)
    first = make_schedule(another("first"), publish_at=LATER)

    looked = schedules.publish_due(at=LATER + 9 * HOUR)

    assert looked == Looked(published=1, suspended=1)
    assert (state_of(first)[0], state_of(second)[0]) == ("published", "suspended")
    assert Version.objects.get(number=2).title == "first"


def test_a_draft_that_goes_stale_is_suspended_at_once_with_one_alert_that_says_what_to_do():
    Organisation.objects.update(zone="Europe/Berlin")
    make_version()
    made = make_schedule(another())
    make_version(make_content(make_rule(fallbacks=[])), title="a quick fix")

    assert schedules.publish_due(at=NOON + SECOND) == SUSPENDED
    assert schedules.publish_due(at=LATER) == NOTHING

    assert state_of(made) == ("suspended", "")
    assert "published version 2 (a quick fix)" in made.why
    alert = Alert.objects.get()
    assert (alert.kind, alert.state, alert.subject_kind) == ("schedule_suspended", "open", "proposal")
    assert alert.subject_id == made.proposal_id
    assert alert.title == "Will not be published as scheduled: other"
    facts = dict(alert.facts["rows"])
    assert facts["Scheduled for"] == "15 June 2026, 15:00 Europe/Berlin"
    assert facts["Why"] == made.why
    assert "bring it up to the version in force" in alert.facts["next"]
    assert alert.facts["links"] == [["Open the draft", f"/rules/production/drafts/{made.proposal_id}/"]]
    assert alert.deliveries.count() == 1
    assert live() == 2


def take_roles() -> None:
    User.objects.filter(email=PUBLISHER).update(roles=["viewer"])


def deactivate() -> None:
    User.objects.filter(email=PUBLISHER).update(is_active=False)


def remove() -> None:
    User.objects.filter(email=PUBLISHER).delete()


@pytest.mark.parametrize(
    ("loses", "says"),
    [
        (take_roles, "holds no role any more that lets her publish what is approved"),
        (deactivate, "is not active any more"),
        (remove, "There is nobody called publisher@example.com here any more"),
    ],
)
def test_whoever_scheduled_it_has_to_be_allowed_still_when_the_moment_comes(loses, says):
    made = make_schedule()
    loses()

    assert schedules.publish_due(at=LATER) == SUSPENDED

    assert state_of(made)[0] == "suspended"
    assert says in made.why
    assert "Somebody who may publish" in Alert.objects.get().facts["next"]
    assert not Version.objects.exists()


@pytest.mark.parametrize(("scopes", "outcome"), [(["admin"], PUBLISHED), (["write"], SUSPENDED)])
def test_a_key_that_was_rotated_goes_on_and_one_that_may_less_does_not(scopes, outcome):
    make_key("admin", name="ci")
    make_schedule(by="key:ci")
    ApiKey.objects.filter(name="ci").update(revoked_at=NOON)
    make_key(*scopes, name="ci")

    assert schedules.publish_due(at=LATER) == outcome


def test_a_key_that_was_revoked_or_has_expired_publishes_nothing():
    make_key("admin", name="ci")
    made = make_schedule(by="key:ci")
    ApiKey.objects.filter(name="ci").update(expires_at=LATER)

    assert schedules.publish_due(at=LATER) == SUSPENDED

    assert state_of(made)[0] == "suspended"
    assert made.why == "No key called ci works any more."


def test_what_the_catalogue_has_against_it_at_the_moment_suspends_it_with_every_reason():
    made = make_schedule()
    Offering.objects.filter(name=OPUS).update(retired_at=NOON)

    assert schedules.publish_due(at=LATER) == SUSPENDED

    assert state_of(made)[0] == "suspended"
    assert f"{OPUS} is retired." in made.why
    assert Alert.objects.get().title == "Not published as scheduled: a change"


def test_a_proposal_that_a_hand_took_out_of_approval_is_suspended():
    made = make_schedule()
    Proposal.objects.filter(pk=made.proposal_id).update(state="in_review")

    assert schedules.publish_due(at=NOON + SECOND) == SUSPENDED

    assert state_of(made)[0] == "suspended"
    assert "have it approved" in Alert.objects.get().facts["next"]


@in_earnest
def test_one_that_breaks_in_a_way_nobody_expected_is_told_of_and_is_not_in_the_way_of_others():
    make_version()
    broken = make_schedule(another("broken"))
    other = make_elsewhere(publish_at=LATER + SECOND)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'check_violation'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER breaks BEFORE INSERT ON routing_version FOR EACH ROW "
            "WHEN (NEW.title = 'broken') EXECUTE FUNCTION breaks()"
        )
    try:
        looked = schedules.publish_due(at=LATER + HOUR)
    finally:
        _drop("breaks", "routing_version")

    assert looked == Looked(published=1, suspended=1)
    assert (state_of(broken)[0], state_of(other)[0]) == ("suspended", "published")
    assert broken.why == "An error that nobody expected: IntegrityError."


def make_elsewhere(*, publish_at: datetime) -> Schedule:
    """Make a schedule in another environment."""
    draft = proposals.start(environment="staging", title="elsewhere", by=LEAD, at=NOON, content=make_content())
    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)
    sha256 = bytes(submitted.sha256 or b"").hex()
    return make_schedule(
        proposals.approve(proposal_id=draft.pk, sha256=sha256, by=APPROVER, at=NOON), publish_at=publish_at
    )


def _drop(name: str, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name} ON {table}")
        cursor.execute(f"DROP FUNCTION {name}()")


@in_earnest
@pytest.mark.parametrize("table", ["routing_schedule", "routing_version", "routing_environment", "routing_proposal"])
def test_a_connection_that_dies_in_the_middle_leaves_nothing_half_done_and_the_next_look_does_all(table):
    made = make_schedule()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        cursor.execute(f"CREATE TRIGGER dies AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION dies()")
    try:
        with pytest.raises(OperationalError):
            schedules.publish_due(at=LATER)
    finally:
        connection.close()
        _drop("dies", table)

    assert state_of(made) == ("waiting", "")
    assert (live(), Version.objects.count(), Alert.objects.count()) == (None, 0, 0)
    assert schedules.publish_due(at=LATER + SECOND) == PUBLISHED
    assert (state_of(made)[0], live(), Version.objects.count()) == ("published", 1, 1)


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run these in threads that begin together; what they raise of ours comes back as a value."""
    together = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        try:
            together.wait()
            return work()
        except (schedules.AlreadyScheduled, schedules.NotScheduled, proposals.NotInState) as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@in_earnest
def test_of_several_schedulers_at_once_each_due_one_is_published_by_one():
    make_schedule()
    make_elsewhere(publish_at=LATER)

    looked = at_once(*[lambda: schedules.publish_due(at=LATER)] * 4)

    while schedules.publish_due(at=LATER) != NOTHING:
        pass
    assert sum(one.published for one in looked) <= 2
    assert (Version.objects.count(), Alert.objects.count()) == (2, 0)
    assert set(Schedule.objects.values_list("state", flat=True)) == {"published"}


@in_earnest
def test_a_proposal_that_somebody_holds_is_skipped_and_holds_nobody_up():
    held = make_schedule()
    free = make_elsewhere(publish_at=LATER + SECOND)

    with transaction.atomic():
        Proposal.objects.select_for_update().get(pk=held.proposal_id)
        [looked] = at_once(lambda: schedules.publish_due(at=LATER + HOUR))

    assert looked == PUBLISHED
    assert (state_of(held)[0], state_of(free)[0]) == ("waiting", "published")
    assert schedules.publish_due(at=LATER + HOUR) == PUBLISHED


@in_earnest
@pytest.mark.parametrize("attempt", range(4))
def test_a_schedule_that_is_cancelled_as_it_comes_due_ends_one_way(attempt):
    made = make_schedule()

    looked, cancelled = at_once(
        lambda: schedules.publish_due(at=LATER),
        lambda: schedules.cancel(proposal_id=made.proposal_id, why="stop", by=LEAD, at=LATER),
    )

    state = state_of(made)[0]
    if isinstance(cancelled, schedules.NotScheduled):
        assert (state, looked, Version.objects.count()) == ("published", PUBLISHED, 1)
    else:
        assert (state, looked, Version.objects.count()) == ("cancelled", NOTHING, 0)


@in_earnest
def test_two_people_who_schedule_at_once_make_one_schedule():
    proposal = make_approved()

    outcomes = at_once(
        lambda: make_schedule(proposal, by="one@example.com"), lambda: make_schedule(proposal, by="two@example.com")
    )

    assert sorted(type(one).__name__ for one in outcomes) == ["AlreadyScheduled", "Schedule"]
    assert Schedule.objects.count() == 1


def test_nothing_due_is_found_in_one_question_however_much_was_scheduled(django_assert_num_queries):
    made = make_schedule()
    ended = {"proposal": made.proposal, "publish_at": NOON, "made_at": NOON, "made_by": LEAD}
    Schedule.objects.bulk_create(Schedule(**ended, state="cancelled", ended_at=NOON) for _ in range(200))

    with django_assert_num_queries(1):
        assert schedules.publish_due(at=LATER - SECOND) == NOTHING


# --- The task


def test_beat_sends_the_look_every_five_seconds_to_the_queue_of_what_is_short():
    sweep = settings.CELERY_BEAT_SCHEDULE["publish-scheduled"]

    assert (sweep["task"], sweep["schedule"]) == (tasks.publish_due.name, 5.0)
    assert current_app.amqp.router.route({}, sweep["task"])["queue"].name == "alerts"


def test_the_task_publishes_what_is_due_by_the_clock():
    make_schedule()

    tasks.publish_due()

    assert live() == 1, "June 2026 has passed"
