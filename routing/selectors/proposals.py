"""Proposals: what is on its way to be a version, how far it is, and what is in its way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, FilteredRelation, OuterRef, Q, QuerySet, Subquery

from core.models import Organisation
from routing.models import Proposal, ProposalState, Schedule, ScheduleState
from routing.rules.differences import differences
from routing.rules.document import Problem
from routing.rules.merging import merge
from routing.selectors import checks, versions

OPEN = (ProposalState.DRAFT, ProposalState.IN_REVIEW, ProposalState.APPROVED)


@dataclass(frozen=True, kw_only=True)
class ProposalRow:
    """A proposal without its content. `stale`: another version is in force than the one it was made from."""

    id: int
    environment: str
    title: str
    state: str
    base_version: int | None
    live_version: int | None
    saves: int
    sha256: str  # hex; empty in a draft
    created_at: datetime
    created_by: str
    submitted_at: datetime | None
    submitted_by: str
    settled_at: datetime | None
    settled_by: str
    settled_why: str
    version: int | None  # what it was published as
    scheduled_at: datetime | None  # when it is to be published
    scheduled_by: str
    suspended: bool  # it waits to be published by hand: its last schedule could not be carried out

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def stale(self) -> bool:
        return self.open and self.base_version != self.live_version


@dataclass(frozen=True, kw_only=True)
class ApprovalRow:
    by: str
    at: datetime
    comment: str
    counts: bool  # it is for the bytes that are there now
    own_work: bool  # whoever gave it had a hand in the content: duties were not separated


@dataclass(frozen=True, kw_only=True)
class ProposalDetail:
    row: ProposalRow
    content: Mapping[str, Any]
    changes: tuple[str, ...]  # against the version that it was made from, in plain words
    meanwhile: tuple[str, ...]  # what went live since, where it is stale
    conflicts: int  # how many things both sides changed, where it is stale
    problems: tuple[Problem, ...]  # why it cannot be submitted or published; empty for what is settled
    contributors: tuple[str, ...]
    approvals: tuple[ApprovalRow, ...]
    separated: bool  # whoever contributed cannot approve

    def may_approve(self, by: str) -> bool:
        """Say whether somebody who has the right may use it here."""
        return self.row.state == ProposalState.IN_REVIEW and not (self.separated and by in self.contributors)


def newest(
    *, environment: str | None = None, states: Collection[str] = (), limit: int, before: int | None = None
) -> list[ProposalRow]:
    """Return proposals with an id under `before`, the latest first. One query."""
    found = _found().defer("content").order_by("-id")
    if environment is not None:
        found = found.filter(environment__name=environment)
    if states:
        found = found.filter(state__in=states)
    if before is not None:
        found = found.filter(pk__lt=before)
    return [_row(proposal) for proposal in found[:limit]]


def one(*, proposal_id: int, at: datetime, environment: str | None = None) -> ProposalDetail | None:
    """Return a proposal with all that a decision about it needs. Seven to ten queries."""
    found = _found().filter(pk=proposal_id)
    if environment is not None:
        found = found.filter(environment__name=environment)
    proposal = found.first()
    if proposal is None:
        return None
    row = _row(proposal)
    base = versions.content_of(environment=row.environment, number=row.base_version)
    meanwhile: tuple[str, ...] = ()
    conflicts = 0
    if row.stale:
        live = versions.content_of(environment=row.environment, number=row.live_version)
        meanwhile = tuple(differences(base, live))
        conflicts = len(merge(base, live, proposal.content).conflicts)
    contributed = dict(proposal.contributions.order_by("id").values_list("by", "at"))
    approvals = [
        ApprovalRow(
            by=one.by,
            at=one.at,
            comment=one.comment,
            counts=bytes(one.sha256) == bytes(proposal.sha256 or b""),
            own_work=one.by in contributed and contributed[one.by] <= one.at,
        )
        for one in proposal.approvals.order_by("id")
    ]
    return ProposalDetail(
        row=row,
        content=proposal.content,
        changes=tuple(differences(base, proposal.content)),
        meanwhile=meanwhile,
        conflicts=conflicts,
        problems=tuple(checks.problems(proposal.content, at=at, environment=row.environment)) if row.open else (),
        contributors=tuple(contributed),
        approvals=tuple(approvals),
        separated=Organisation.objects.values_list("separation_of_duties", flat=True).get(pk=1),
    )


def belongs(*, proposal_id: int, environment: str) -> bool:
    """Say whether an environment has this proposal. One query."""
    return Proposal.objects.filter(pk=proposal_id, environment__name=environment).exists()


def with_content(*, proposal_id: int, environment: str) -> tuple[ProposalRow, Mapping[str, Any]] | None:
    """Return a proposal and its content, None where the environment has no such. One query."""
    proposal = _found().filter(pk=proposal_id, environment__name=environment).first()
    return None if proposal is None else (_row(proposal), proposal.content)


def content(*, proposal_id: int) -> Mapping[str, Any]:
    """Return a proposal's content; it has to be there. One query."""
    found: Mapping[str, Any] = Proposal.objects.values_list("content", flat=True).get(pk=proposal_id)
    return found


def _found() -> QuerySet[Any]:
    """Ask for proposals with their environment, the schedule that waits (one at most) and how the last one stands."""
    waiting = FilteredRelation("schedules", condition=Q(schedules__state=ScheduleState.WAITING))
    found = Proposal.objects.select_related("environment").annotate(waiting=waiting)
    last = Schedule.objects.filter(proposal=OuterRef("pk")).order_by("-id").values("state")[:1]
    return found.annotate(
        scheduled_at=F("waiting__publish_at"), scheduled_by=F("waiting__made_by"), last_schedule=Subquery(last)
    )


def _row(proposal: Any) -> ProposalRow:
    return ProposalRow(
        id=proposal.pk,
        environment=proposal.environment.name,
        title=proposal.title,
        state=proposal.state,
        base_version=proposal.base_version,
        live_version=proposal.environment.live_version,
        saves=proposal.saves,
        sha256=bytes(proposal.sha256 or b"").hex(),
        created_at=proposal.created_at,
        created_by=proposal.created_by,
        submitted_at=proposal.submitted_at,
        submitted_by=proposal.submitted_by,
        settled_at=proposal.settled_at,
        settled_by=proposal.settled_by,
        settled_why=proposal.settled_why,
        version=proposal.version,
        scheduled_at=proposal.scheduled_at,
        scheduled_by=proposal.scheduled_by or "",
        suspended=proposal.state == ProposalState.APPROVED and proposal.last_schedule == ScheduleState.SUSPENDED,
    )
