"""Putting a draft that another version overtook on the version that is in force now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from core.errors import Conflict, Invalid
from core.services import audit
from routing.models import Proposal
from routing.rules import merging
from routing.rules.merging import MINE, THEIRS
from routing.selectors import versions
from routing.selectors.proposals import OPEN
from routing.services import proposals

_FIELDS = ["content", "base_version", "saves", "state", "sha256", "submitted_at", "submitted_by"]


class OvertakenAgain(Conflict):
    """Another version is in force than the one that was looked at; nothing changed."""


class Unsettled(Invalid):
    """Both sides changed the same things, and nobody said which holds. `conflicts` are all of them."""

    def __init__(self, conflicts: Sequence[merging.Conflict]) -> None:
        names = "; ".join(one.title for one in conflicts)
        super().__init__(
            f"Both this draft and what went live changed these, so choose which holds: {names}.",
            [
                (one.place, f"{one.title}: {one.base} before, {one.theirs} in force now, {one.mine} here.")
                for one in conflicts
            ],
        )
        self.conflicts = tuple(conflicts)


@transaction.atomic(durable=True)
def rebase(
    *, proposal_id: int, saves: int, live: int | None, choices: Mapping[str, str], by: str, at: datetime
) -> Proposal:
    """Merge a draft with what went live since it was started, and make the version in force its base.

    `saves` is the count that whoever does it had before her, `live` the version that she saw in force. `choices` says
    `theirs` or `mine` for the place of each conflict (`routing.rules.merging`). It is a draft again, wherever it stood
    before publication: approvals were for other bytes, and so was a schedule. Whoever rebases contributes. A draft that
    is on the version in force already stays as it is.

    Raises:
        NotFound: there is no such proposal.
        SavedByAnother, NotInState, OvertakenAgain: nothing changed.
        Unsettled: nothing changed; every conflict without a choice is named.
        Invalid: a choice of something else than a side, or for what is no conflict; rules that are too many together.
    """
    audit.acting(by=by)
    # Publishing takes the proposal's row first, too. The environment's is only read: a version that goes live after
    # this look leaves a stale draft, as any version does.
    proposal = proposals.locked(proposal_id)
    proposals.require_state(proposal, *OPEN)
    proposals.require_saves(proposal, saves)
    environment = proposal.environment
    if environment.live_version != live:
        raise OvertakenAgain(
            f"Version {environment.live_version} went live in {environment.name} while you looked. Nothing was "
            "changed: look at what it changes, then bring the draft up to date."
        )
    if proposal.base_version == live:
        return proposal
    merged = merging.merge(
        versions.content_of(environment=environment.name, number=proposal.base_version),
        versions.content_of(environment=environment.name, number=live),
        proposal.content,
        choices,
    )
    _check(choices, merged)
    proposal.content = proposals.readable(merged.content, at=at)
    proposal.base_version, proposal.saves = live, saves + 1
    proposals.make_draft(proposal, why=f"it was brought up to date with version {live}", by=by, at=at)
    proposal.save(update_fields=_FIELDS)
    return proposal


def _check(choices: Mapping[str, str], merged: merging.Merged) -> None:
    places = {one.place for one in merged.conflicts}
    problems = [(place, "There is no conflict of this name.") for place in choices if place not in places]
    problems += [
        (place, f"Choose {THEIRS} or {MINE}.")
        for place, side in choices.items()
        if place in places and side not in (THEIRS, MINE)
    ]
    if problems:
        raise Invalid("These choices cannot be read.", problems)
    if merged.unsettled:
        raise Unsettled(merged.unsettled)
