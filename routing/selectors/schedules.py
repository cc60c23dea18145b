"""What is scheduled to be published, what was, and what has to be looked at now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from routing.models import ProposalState, Schedule, ScheduleState

_MOST_OF_ONE = 20


@dataclass(frozen=True, kw_only=True)
class ScheduleRow:
    id: int
    proposal_id: int
    environment: str
    title: str  # the proposal's
    publish_at: datetime
    state: str
    made_at: datetime
    made_by: str
    ended_at: datetime | None
    ended_by: str  # empty where its moment ended it
    why: str  # it was suspended or cancelled


def of_proposal(*, proposal_id: int) -> list[ScheduleRow]:
    """Return a proposal's schedules, the latest first, twenty at most. One query."""
    return [_row(one) for one in _found().filter(proposal_id=proposal_id).order_by("-id")[:_MOST_OF_ONE]]


def waiting(*, environment: str) -> list[ScheduleRow]:
    """Return what is to be published in an environment, in the order in which it is due. One query."""
    found = _found().filter(proposal__environment__name=environment, state=ScheduleState.WAITING)
    return [_row(one) for one in found.order_by("publish_at", "id")]


def newest(
    *, environment: str, states: Collection[str] = (), limit: int, before: int | None = None
) -> list[ScheduleRow]:
    """Return an environment's schedules with an id under `before`, the latest first. One query."""
    found = _found().filter(proposal__environment__name=environment).order_by("-id")
    if states:
        found = found.filter(state__in=states)
    if before is not None:
        found = found.filter(pk__lt=before)
    return [_row(one) for one in found[:limit]]


def to_look_at(*, at: datetime) -> list[int]:
    """Return the ids of proposals whose schedule is due at `at` or can never be carried out, the first due first.

    A draft from another version than the one in force will be stale at its moment too, so whoever waits for it is
    better told now. One query, over what waits.
    """
    found = Schedule.objects.filter(state=ScheduleState.WAITING).order_by("publish_at", "id")
    rows = found.values_list(
        "proposal_id", "publish_at", "proposal__state", "proposal__base_version", "proposal__environment__live_version"
    )
    return [
        proposal_id
        for proposal_id, publish_at, state, base_version, live_version in rows
        if publish_at <= at or state != ProposalState.APPROVED or base_version != live_version
    ]


def _found() -> QuerySet[Schedule]:
    return Schedule.objects.select_related("proposal__environment").defer("proposal__content", "proposal__sha256")


def _row(schedule: Schedule) -> ScheduleRow:
    return ScheduleRow(
        id=schedule.pk,
        proposal_id=schedule.proposal_id,
        environment=schedule.proposal.environment.name,
        title=schedule.proposal.title,
        publish_at=schedule.publish_at,
        state=schedule.state,
        made_at=schedule.made_at,
        made_by=schedule.made_by,
        ended_at=schedule.ended_at,
        ended_by=schedule.ended_by,
        why=schedule.why,
    )
