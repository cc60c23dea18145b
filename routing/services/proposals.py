"""The life of a proposal until it is published: draft, review, approval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from core.errors import Conflict, Invalid, NotFound
from core.models import Organisation
from core.services import audit
from routing.models import Approval, Contribution, Environment, Proposal, ProposalState, Version
from routing.rules import document
from routing.rules.validation import MAX_BYTES
from routing.selectors import catalogue, checks
from routing.selectors.proposals import OPEN
from routing.services import unscheduling

TITLE_CHARACTERS = 200


class SavedByAnother(Conflict):
    """Somebody saved since it was opened; nothing changed."""


class NotInState(Conflict):
    """The proposal is not where this step begins."""


class OtherContent(Conflict):
    """What is there now is not what was looked at."""


class OwnWork(Conflict):
    """Whoever contributed to the content cannot approve it."""


class NeedsDefault(Invalid):
    """An environment without a version has nothing to start from."""


@transaction.atomic(durable=True)
def start(*, environment: str, title: str, by: str, at: datetime, content: Mapping[str, Any] | None = None) -> Proposal:
    """Begin a draft from the version in force, with that version's content or with the one given.

    Raises:
        Invalid: no title, no possible name of an environment, or a content that breaks the schema.
        NeedsDefault: nothing is in force there yet, and no content is given.
    """
    audit.acting(by=by)
    problems = _title_problems(title)
    name = environment.strip()
    try:
        Environment._meta.get_field("name").clean(name, None)
    except ValidationError as error:
        problems.append(("environment", " ".join(error.messages)))
    if problems:
        raise Invalid("This draft cannot be started.", problems)
    # Made on its first proposal, and only if that comes to be.
    held = Environment.objects.get_or_create(name=name, defaults={"created_at": at})[0]
    kept: dict[str, Any]
    if content is not None:
        kept = readable(content, at=at)
    elif held.live_version is not None:
        live = Version.objects.get(environment=held, number=held.live_version)
        kept = document.parse(bytes(live.canonical))
    else:
        raise NeedsDefault(
            f"{name} has no rules yet: say where requests go that no rule matches.",
            [("content", "Give at least a default with its targets.")],
        )
    proposal = Proposal.objects.create(
        environment=held,
        base_version=held.live_version,
        title=title.strip(),
        content=kept,
        created_at=at,
        created_by=by,
    )
    if content is not None:
        Contribution.objects.create(proposal=proposal, by=by, at=at)
    return proposal


@transaction.atomic(durable=True)
def save(
    *,
    proposal_id: int,
    saves: int,
    by: str,
    at: datetime,
    content: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Proposal:
    """Save a proposal's content, title or both; `saves` is the count that the editor had before her.

    A content without `offerings` gets them from the catalogue. What is incomplete or cannot work may be saved, so that
    nothing is lost; what breaks the schema may not. A save that changes nothing changes nothing, not even an approval.
    Changing the content of what is in review or approved makes it a draft again: approvals are for other bytes then,
    and a schedule that waits for it ends.

    Raises:
        SavedByAnother, NotInState: nothing changed.
        Invalid: a content that breaks the schema, with every place; no title.
    """
    audit.acting(by=by)
    proposal = locked(proposal_id)
    require_state(proposal, *OPEN)
    require_saves(proposal, saves)
    problems = [] if title is None else _title_problems(title)
    if problems:
        raise Invalid("This cannot be saved.", problems)
    kept = proposal.content if content is None else readable(content, at=at)
    title = proposal.title if title is None else title.strip()
    # As bytes: to Python, true and 1 are equal.
    other = document.dumps(kept) != document.dumps(proposal.content)
    if not other and title == proposal.title:
        return proposal
    if other:
        make_draft(proposal, why="another content was saved", by=by, at=at)
    proposal.content, proposal.title, proposal.saves = kept, title, saves + 1
    proposal.save(update_fields=["content", "title", "saves", "state", "sha256", "submitted_at", "submitted_by"])
    return proposal


@transaction.atomic(durable=True)
def submit(*, proposal_id: int, by: str, at: datetime, saves: int | None = None) -> Proposal:
    """Put a draft up for review; from now on its bytes have a hash, which approvals bind to.

    `saves` is the count that whoever submits had before her; None takes what is there.

    Raises:
        Invalid: what cannot work, all reasons at once, each with its JSON pointer; it stays a draft.
        SavedByAnother, NotInState: nothing changed; in the second case it is no draft.
    """
    audit.acting(by=by)
    proposal = locked(proposal_id)
    require_saves(proposal, saves)
    require_state(proposal, ProposalState.DRAFT)
    problems = checks.problems(proposal.content, at=at, environment=proposal.environment.name)
    if problems:
        raise Invalid("These rules cannot work as they are.", [(one.pointer, one.text) for one in problems])
    proposal.state, proposal.submitted_at, proposal.submitted_by = ProposalState.IN_REVIEW, at, by
    proposal.sha256 = document.sha256(document.canonical(proposal.content))
    proposal.save(update_fields=["state", "sha256", "submitted_at", "submitted_by"])
    # Who submits stands for the content as if she had written it.
    Contribution.objects.get_or_create(proposal=proposal, by=by, defaults={"at": at})
    return proposal


@transaction.atomic(durable=True)
def approve(*, proposal_id: int, sha256: str, by: str, at: datetime, comment: str = "") -> Proposal:
    """Say yes to exactly the bytes whose hash (hex) the approver saw. Safe to repeat.

    Raises:
        NotInState: it is not in review.
        OtherContent: it changed since she looked.
        OwnWork: she had a hand in it, and the organisation separates duties.
    """
    audit.acting(by=by, reason=comment)
    proposal = locked(proposal_id)
    seen = bytes(proposal.sha256 or b"").hex() == sha256.strip().lower()
    if proposal.state == ProposalState.APPROVED and seen and proposal.approvals.filter(by=by).exists():
        return proposal
    require_state(proposal, ProposalState.IN_REVIEW)
    if not seen:
        raise OtherContent(f"{proposal.title} changed since you looked at it. Look again, then decide.")
    separated = Organisation.objects.values_list("separation_of_duties", flat=True).get(pk=1)
    if separated and proposal.contributions.filter(by=by).exists():
        raise OwnWork("You contributed to this content, so somebody else has to approve it.")
    Approval.objects.get_or_create(
        proposal=proposal, sha256=proposal.sha256, by=by, defaults={"at": at, "comment": _text(comment)}
    )
    proposal.state = ProposalState.APPROVED
    proposal.save(update_fields=["state"])
    return proposal


@transaction.atomic(durable=True)
def reject(*, proposal_id: int, by: str, at: datetime, why: str, saves: int | None = None) -> Proposal:
    """Turn a proposal down for good, with a reason. `saves` as in `submit`.

    Raises:
        Invalid: no reason.
        SavedByAnother, NotInState: nothing changed; in the second case it is a draft still, or settled.
    """
    if not _text(why):
        raise Invalid("A rejection needs a reason.", [("why", "Say why, so that whoever wrote it can do better.")])
    audit.acting(by=by, reason=why)
    states = (ProposalState.IN_REVIEW, ProposalState.APPROVED)
    return _settle(proposal_id, ProposalState.REJECTED, by, at, why, saves, *states)


@transaction.atomic(durable=True)
def withdraw(*, proposal_id: int, by: str, at: datetime, why: str = "", saves: int | None = None) -> Proposal:
    """Take a proposal back, wherever it stands before publication; it stays to be read. `saves` as in `submit`.

    Raises:
        SavedByAnother, NotInState: nothing changed; in the second case it is settled.
    """
    audit.acting(by=by, reason=why)
    return _settle(proposal_id, ProposalState.WITHDRAWN, by, at, why, saves, *OPEN)


def _settle(
    proposal_id: int, state: str, by: str, at: datetime, why: str, saves: int | None, *from_states: str
) -> Proposal:
    proposal = locked(proposal_id)
    require_saves(proposal, saves)
    require_state(proposal, *from_states)
    proposal.state, proposal.settled_at, proposal.settled_by, proposal.settled_why = state, at, by, _text(why)
    proposal.save(update_fields=["state", "settled_at", "settled_by", "settled_why"])
    unscheduling.end(proposal_id=proposal.pk, why=f"the draft was {state}", by=by, at=at)
    return proposal


# --- What services about proposals share, each within the transaction of its caller


def make_draft(proposal: Proposal, *, why: str, by: str, at: datetime) -> None:
    """Have a proposal, which the caller saves, be a draft that somebody had a hand in.

    Approvals were for other bytes, and a schedule that waits for it ends, which says why.
    """
    proposal.state, proposal.sha256 = ProposalState.DRAFT, None
    proposal.submitted_at, proposal.submitted_by = None, ""
    Contribution.objects.get_or_create(proposal=proposal, by=by, defaults={"at": at})
    unscheduling.end(proposal_id=proposal.pk, why=why, by=by, at=at)


def locked(proposal_id: int) -> Proposal:
    """Take the row of a proposal, its environment read along and not locked.

    Raises:
        NotFound
    """
    proposal = _row(proposal_id)
    if proposal is None:
        raise NotFound(f"There is no proposal {proposal_id}.")
    return proposal


def locked_if_free(proposal_id: int) -> Proposal | None:
    """Take the row of a proposal as `locked` does; None, at once, where somebody holds it or there is none."""
    return _row(proposal_id, skip_locked=True)


def _row(proposal_id: int, *, skip_locked: bool = False) -> Proposal | None:
    held = Proposal.objects.select_for_update(of=("self",), skip_locked=skip_locked).select_related("environment")
    return held.filter(pk=proposal_id).first()


def require_saves(proposal: Proposal, saves: int | None) -> None:
    """Refuse what was made from an earlier save; None takes any.

    Raises:
        SavedByAnother
    """
    if saves is not None and proposal.saves != saves:
        raise SavedByAnother(
            f"Somebody saved {proposal.title} since you opened it. Nothing of yours was saved: look at what is there "
            "now, then make your change again."
        )


def require_state(proposal: Proposal, *states: str) -> None:
    """Refuse a step that does not begin where the proposal is.

    Raises:
        NotInState
    """
    if proposal.state not in states:
        raise NotInState(f"{proposal.title} is {proposal.get_state_display().lower()}, so this is not its next step.")


def _title_problems(title: str) -> list[tuple[str, str]]:
    if not title.strip():
        return [("title", "Say in a line what the change is for.")]
    if len(title.strip()) > TITLE_CHARACTERS or "\x00" in title:
        return [("title", f"This is a line of {TITLE_CHARACTERS} characters at most.")]
    return []


def _text(text: str) -> str:
    return text.replace("\x00", "").strip()


def readable(content: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
    """Return a content that can be kept: in the schema, and with its offerings.

    Raises:
        Invalid: with every place that breaks the schema.
    """
    kept = catalogue.filled(content, at=at)
    problems = [(one.pointer, one.text) for one in document.schema_problems("content", kept)]
    if not problems:
        try:
            written = document.dumps(kept)
        except document.NotADocument as error:
            problems = [("", str(error))]
        else:
            if len(written) > MAX_BYTES:
                problems = [("", f"These are {len(written):,} bytes; at most {MAX_BYTES:,} are allowed.")]
            elif b"\\u0000" in written:
                problems = [("", "No text holds the character U+0000.")]
    if problems:
        raise Invalid("This content cannot be read as rules.", problems)
    return kept
