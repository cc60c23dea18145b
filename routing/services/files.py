"""Rules kept in files, such as in git, on their way into a draft. Nothing here publishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import Conflict, NotFound
from routing.models import Contribution, Proposal, Version
from routing.rules import document
from routing.selectors import catalogue, versions
from routing.selectors.proposals import OPEN
from routing.services import proposals


class OthersWork(Conflict):
    """Somebody else worked on this draft, and would be undone unseen."""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What became of a file: a draft that was `started`, `saved` or `found`, or nothing, as it is `in force`."""

    how: str
    proposal: Proposal | None = None
    version: int | None = None  # the one in force that has this content


def apply(
    *,
    environment: str,
    content: Mapping[str, Any],
    by: str,
    at: datetime,
    title: str = "",
    draft: int | None = None,
    saves: int | None = None,
) -> Applied:
    """Have a content in a draft: in a new one, or in the open one `draft`, whose title stays where none is given.

    Safe to repeat: a content that is in force needs no draft, and one that the same person or service has brought into
    an open draft already, started from the version in force, is found there. `saves` is the count of saves that was
    looked at; without it a draft that somebody else had a hand in is left alone.

    Raises:
        Invalid: the content breaks the schema, with every place; no title for a new draft.
        NotFound: the environment has no such draft.
        OthersWork: see above.
        SavedByAnother, NotInState: nothing changed.
    """
    if draft is not None:
        return Applied(how="saved", proposal=_saved(environment, draft, content, by, at, title, saves))
    live = versions.live_number(environment=environment)
    wanted = _bytes(content, at)
    if wanted is not None and live is not None:
        in_force = Version.objects.filter(environment__name=environment, number=live)
        if in_force.filter(sha256=document.sha256(wanted)).exists():
            return Applied(how="in force", version=live)
    mine = Proposal.objects.filter(environment__name=environment, state__in=OPEN, created_by=by, base_version=live)
    for one in mine.order_by("-id"):
        if wanted is not None and document.canonical(one.content) == wanted:
            return Applied(how="found", proposal=one)
    made = proposals.start(environment=environment, title=title, by=by, at=at, content=content)
    return Applied(how="started", proposal=made)


def _bytes(content: Mapping[str, Any], at: datetime) -> bytes | None:
    try:
        return document.canonical(catalogue.filled(content, at=at))
    except document.NotADocument:
        return None  # refused with its reasons where it is saved


def _saved(
    environment: str, draft: int, content: Mapping[str, Any], by: str, at: datetime, title: str, saves: int | None
) -> Proposal:
    proposal = Proposal.objects.filter(pk=draft, environment__name=environment).first()
    if proposal is None:
        raise NotFound(f"There is no draft {draft} in {environment}.")
    others = Contribution.objects.filter(proposal=proposal).exclude(by=by).order_by("id").values_list("by", flat=True)
    if saves is None and others and _bytes(content, at) != document.canonical(proposal.content):
        raise OthersWork(
            f"{', '.join(others)} worked on draft {draft} too, and would be undone. Look at it first; "
            f"--saves {proposal.saves} writes over what is there now."
        )
    return proposals.save(
        proposal_id=draft,
        saves=proposal.saves if saves is None else saves,
        by=by,
        at=at,
        content=content,
        title=title or None,
    )
