"""Ending what was scheduled, in the transaction of whatever makes it pointless."""

from __future__ import annotations

from datetime import datetime

from alerts.services import resolving
from routing.models import Schedule, ScheduleState

SUSPENDED = "schedule_suspended"  # the kind of alert


def end(*, proposal_id: int, why: str, by: str, at: datetime) -> bool:
    """End the schedule that waits for a proposal, if one does, and the alert about one that was suspended.

    Says whether one waited. Part of the transaction of the caller, who holds the proposal's row. Two queries. Safe to
    repeat.
    """
    waiting = Schedule.objects.filter(proposal_id=proposal_id, state=ScheduleState.WAITING)
    ended = waiting.update(state=ScheduleState.CANCELLED, ended_at=at, ended_by=by, why=why)
    resolving.resolve(kind=SUSPENDED, subject_id=proposal_id, at=at)
    return bool(ended)
