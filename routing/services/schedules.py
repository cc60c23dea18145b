"""Publishing at a moment that somebody chose: a row that waits, and a look at what is due.

# Note [Locks of a schedule]
A schedule changes only under the lock of its proposal's row, so it is settled in one order with every step on the
proposal. Whoever looks at what is due skips proposals that somebody holds: that is a step that ends the schedule, or
another look that carries it out, and what is left is found by the next look.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError, transaction

from alerts.models import Severity
from alerts.services import raising, resolving
from core import periods
from core.errors import Conflict, Invalid
from core.models import Organisation
from core.selectors import actors
from core.services import audit
from routing.models import Proposal, Schedule, ScheduleState
from routing.selectors import checks, environments
from routing.selectors import schedules as rows
from routing.services import proposals, unscheduling, versions

log = structlog.get_logger(__name__)

PUBLISH = "rules.publish"
LONGEST = timedelta(days=366)
REASON_CHARACTERS = 2000
_PROBLEMS_TOLD = 5
_OPEN_IT = "Open the draft"


class AlreadyScheduled(Conflict):
    """A schedule waits for this proposal; it can be moved or cancelled."""


class NotScheduled(Conflict):
    """No schedule waits for this proposal."""


class MovedByAnother(Conflict):
    """The schedule is for another moment than the one seen; nothing changed."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    published: int
    suspended: int


@transaction.atomic(durable=True)
def schedule(*, proposal_id: int, publish_at: datetime, by: str, at: datetime) -> Schedule:
    """Have an approved proposal published at a moment that is to come, as if `by` did it then.

    Safe to repeat: the same person and moment give back what waits already.

    Raises:
        NotFound: there is no such proposal.
        AlreadyScheduled: it waits for another moment, or for somebody else.
        NotApproved, StaleDraft: it could not be published now, so neither then.
        Invalid: no moment of the year to come; or what the catalogue has against these rules, now or at that moment.
    """
    audit.acting(by=by)
    proposal = proposals.locked(proposal_id)
    present = _waiting(proposal)
    if present is not None:
        if (present.publish_at, present.made_by) == (publish_at, by):
            return present
        raise AlreadyScheduled(
            f"{present.made_by} has scheduled {proposal.title} already, for {_moment(present.publish_at)}. "
            "Move that, or cancel it first."
        )
    return _made(proposal, publish_at, by=by, at=at)


@transaction.atomic(durable=True)
def move(*, proposal_id: int, publish_at: datetime, by: str, at: datetime, seen: datetime | None = None) -> Schedule:
    """Have a scheduled proposal published at another moment, as if `by` did it then.

    `seen` is the moment that the mover took for the present one; None takes what is there. The schedule so far ends and
    another begins, so both stay to be read. Moving to the moment it has changes nothing.

    Raises:
        NotFound, NotApproved, StaleDraft, Invalid: as `schedule` says.
        NotScheduled: none waits.
        MovedByAnother: it is for another moment than the one seen.
    """
    audit.acting(by=by)
    proposal = proposals.locked(proposal_id)
    present = _present(proposal)
    if seen is not None and present.publish_at != seen:
        raise MovedByAnother(
            f"{present.made_by} moved this to {_moment(present.publish_at)} since you looked. Nothing changed."
        )
    if present.publish_at == publish_at:
        return present
    unscheduling.end(proposal_id=proposal.pk, why=f"moved to {_moment(publish_at)}", by=by, at=at)
    return _made(proposal, publish_at, by=by, at=at)


@transaction.atomic(durable=True)
def cancel(*, proposal_id: int, why: str, by: str, at: datetime) -> None:
    """Take a schedule back, with a reason; the proposal stays approved.

    Raises:
        NotFound: there is no such proposal.
        Invalid: no reason, or one that is too long.
        NotScheduled: none waits.
    """
    why = why.replace("\x00", "").strip()
    if not why or len(why) > REASON_CHARACTERS:
        text = f"At most {REASON_CHARACTERS} characters." if why else "Say why, for whoever counts on it."
        raise Invalid("Taking a schedule back needs a reason.", [("why", text)])
    audit.acting(by=by, reason=why)
    proposal = proposals.locked(proposal_id)
    _present(proposal)
    unscheduling.end(proposal_id=proposal.pk, why=why, by=by, at=at)


def publish_due(*, at: datetime) -> Looked:
    """Publish every proposal whose moment has come by `at`, each in a transaction of its own.

    What cannot be published (stale, not approved any more, something of the catalogue in the way, or whoever scheduled
    it may not publish any more) is suspended with the reason, and one alert tells of it; a draft that went stale is
    suspended as soon as it did. None is in the way of others.

    Safe to repeat, to break off anywhere, and for any number of schedulers at once: Note [Locks of a schedule]. One
    query where nothing is due.

    Raises:
        OperationalError, InterfaceError: the database went away or refused one for now; what was not done waits.
    """
    done = {ScheduleState.PUBLISHED: 0, ScheduleState.SUSPENDED: 0}
    trouble: OperationalError | InterfaceError | None = None
    for proposal_id in rows.to_look_at(at=at):
        try:
            outcome = _carry_out(proposal_id, at)
        except (OperationalError, InterfaceError) as error:
            trouble = error  # of this one, perhaps, and not of those behind it
        else:
            if outcome is not None:
                done[outcome] += 1
    if trouble is not None:
        raise trouble
    return Looked(published=done[ScheduleState.PUBLISHED], suspended=done[ScheduleState.SUSPENDED])


@transaction.atomic(durable=True)
def _carry_out(proposal_id: int, at: datetime) -> ScheduleState | None:
    """Publish or suspend what waits for a proposal; None where there is nothing to do, or somebody is at it."""
    proposal = proposals.locked_if_free(proposal_id)
    waiting = None if proposal is None else _waiting(proposal)
    if proposal is None or waiting is None:
        return None
    audit.acting(by=waiting.made_by, reason=f"scheduled for {_moment(waiting.publish_at)}")
    try:
        # What a refused publication wrote goes with its savepoint.
        with transaction.atomic():
            if waiting.publish_at > at:
                versions.demand_ready(proposal, proposal.environment)
                return None  # it was moved, or brought up to date, since the look
            lost = actors.why_not(label=waiting.made_by, action=PUBLISH, at=at)
            if not lost:
                _end(waiting, ScheduleState.PUBLISHED, at=at)
                versions.publish_within(proposal_id=proposal.pk, by=waiting.made_by, at=at)
                return ScheduleState.PUBLISHED
            why, advice = lost, "Somebody who may publish can do so by hand, or schedule it again."
    except versions.StaleDraft as error:
        why = str(error)
        advice = f"{_OPEN_IT}, bring it up to the version in force, have that approved, and schedule it again."
    except versions.NotApproved as error:
        why, advice = str(error), f"{_OPEN_IT}, have it approved, and schedule it again."
    except Invalid as error:
        told = [text for _, text in error.problems[:_PROBLEMS_TOLD]]
        more = len(error.problems) - len(told)
        why = f"{error} {'; '.join(told)}{f'; and {more} more' if more > 0 else ''}."
        advice = f"{_OPEN_IT}, settle what is in the way, have it approved, and schedule it again."
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # Nobody expected it. Whoever counts on the schedule is told, and those behind it go on.
        log.exception("schedule.failed", proposal=proposal.pk)
        why = f"An error that nobody expected: {type(error).__name__}."
        advice = "Publish it by hand; if that fails as well, the log of the alerts worker has the cause."
    _suspend(waiting, proposal, why=why, advice=advice, at=at)
    return ScheduleState.SUSPENDED


def _suspend(waiting: Schedule, proposal: Proposal, *, why: str, advice: str, at: datetime) -> None:
    _end(waiting, ScheduleState.SUSPENDED, why=why, at=at)
    environment = proposal.environment.name
    moment = _moment(waiting.publish_at)
    early = waiting.publish_at > at
    raising.raise_alert(
        kind=unscheduling.SUSPENDED,
        dedupe_key=f"{unscheduling.SUSPENDED}:{waiting.pk}",
        severity=Severity.WARNING,
        title=f"{'Will not be' if early else 'Not'} published as scheduled: {proposal.title}",
        facts={
            "summary": f"{proposal.title} {'is' if early else 'was'} scheduled for {moment} in {environment}, and "
            f"{'cannot be published then' if early else 'could not be published'}. The rules in force stay.",
            "rows": [
                ["Why", why],
                ["Environment", environment],
                ["Scheduled for", moment],
                ["Scheduled by", waiting.made_by],
            ],
            "next": advice,
            "links": [[_OPEN_IT, f"{environments.console_path(environment)}drafts/{proposal.pk}/"]],
        },
        subject_kind="proposal",
        subject_id=proposal.pk,
        team_ids=[],
        budget_id=None,
        at=at,
    )


def _end(waiting: Schedule, state: ScheduleState, *, at: datetime, why: str = "") -> None:
    Schedule.objects.filter(pk=waiting.pk).update(state=state, ended_at=at, why=why)


def _made(proposal: Proposal, publish_at: datetime, *, by: str, at: datetime) -> Schedule:
    """Write a schedule for a proposal whose row is held and for which none waits.

    Raises:
        NotApproved, StaleDraft, Invalid
    """
    if not at < publish_at <= at + LONGEST:
        text = "This has passed: choose a moment to come." if publish_at <= at else "At most a year ahead."
        raise Invalid("This cannot be scheduled for then.", [("publish_at", text)])
    versions.demand_ready(proposal, proposal.environment)
    # What use cases send changes until then, so what a most in USD says then is asked then.
    found = {
        (one.pointer, one.text): None
        for moment in (at, publish_at)
        for one in checks.problems(proposal.content, at=moment, environment=proposal.environment.name)
        if moment == at or one.code != "too_dear"
    }
    if found:
        raise Invalid("These rules cannot work now, or not at that moment.", list(found))
    # An alert about one that was suspended has done its work.
    resolving.resolve(kind=unscheduling.SUSPENDED, subject_id=proposal.pk, at=at)
    return Schedule.objects.create(proposal=proposal, publish_at=publish_at, made_at=at, made_by=by)


def _waiting(proposal: Proposal) -> Schedule | None:
    return Schedule.objects.filter(proposal=proposal, state=ScheduleState.WAITING).first()


def _present(proposal: Proposal) -> Schedule:
    present = _waiting(proposal)
    if present is None:
        raise NotScheduled(f"{proposal.title} is not scheduled, or not any more.")
    return present


def _moment(instant: datetime) -> str:
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    return periods.clock_text(instant, zone)
