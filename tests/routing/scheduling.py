"""Schedules for tests, and how they stand."""

from __future__ import annotations

from datetime import datetime, timedelta

from routing.models import Environment, Proposal, Schedule
from routing.services import schedules
from routing.services.schedules import Looked
from tests.factories import NOON
from tests.routing.making import (
    ENVIRONMENT,
    PUBLISHER,
    make_approved,
    make_content,
    make_rule,
)

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
LATER = NOON + HOUR
NOTHING = Looked(published=0, suspended=0)
PUBLISHED = Looked(published=1, suspended=0)
SUSPENDED = Looked(published=0, suspended=1)


def make_schedule(
    proposal: Proposal | None = None, *, publish_at: datetime = LATER, by: str = PUBLISHER, at: datetime = NOON
) -> Schedule:
    """Make a schedule of an approved proposal, of the environment's first rules unless told otherwise."""
    proposal = make_approved() if proposal is None else proposal
    return schedules.schedule(proposal_id=proposal.pk, publish_at=publish_at, by=by, at=at)


def another(rule: str = "other") -> Proposal:
    """Make an approved proposal beside the first."""
    return make_approved(make_content(make_rule(), make_rule(rule, use_cases=[rule], when=None)), title=rule)


def state_of(schedule: Schedule) -> tuple[str, str]:
    schedule.refresh_from_db()
    return schedule.state, schedule.ended_by


def live() -> int | None:
    return Environment.objects.get(name=ENVIRONMENT).live_version
