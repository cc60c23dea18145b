"""Publishing: the only way a version comes to be and the pointer of an environment moves."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from core.errors import Conflict, Invalid, NotFound
from core.services import audit
from routing.models import Environment, Proposal, ProposalState, Version
from routing.rules import document
from routing.rules.differences import differences
from routing.selectors import checks
from routing.selectors import versions as rows
from routing.services import orders, proposals, states, unscheduling

_LINES_TOLD = 10


class StaleDraft(Conflict):
    """Another version went live after this proposal was started; nothing changed. `changes` says what it changed."""

    def __init__(self, message: str, changes: list[str], advice: str = "") -> None:
        told = "; ".join(changes[:_LINES_TOLD]) or "nothing in the rules themselves"
        more = f"; and {len(changes) - _LINES_TOLD} more" if len(changes) > _LINES_TOLD else ""
        end = "" if f"{told}{more}".endswith((".", "!", "?")) else "."  # as a rationale does
        super().__init__(f"{message} What changed meanwhile: {told}{more}{end}{advice}")
        self.changes = changes


class NotApproved(Conflict):
    """Nobody has said yes to exactly this content."""


@transaction.atomic(durable=True)
def publish(*, proposal_id: int, by: str, at: datetime) -> Version:
    """Freeze an approved proposal and make it the version in force; a schedule that waits for it ends.

    Safe to repeat: a proposal that is published already gives back its version.

    Raises:
        NotFound, NotApproved, StaleDraft, Invalid: as `publish_within` says.
    """
    audit.acting(by=by)
    return publish_within(proposal_id=proposal_id, by=by, at=at)


@transaction.atomic(savepoint=False)
def publish_within(*, proposal_id: int, by: str, at: datetime) -> Version:
    """Do what `publish` does as part of the transaction of a caller who has named the actor.

    Raises:
        NotFound: there is no such proposal.
        NotApproved: it is not approved, or its content is not what was approved.
        StaleDraft: another version went live since it was started.
        Invalid: something that it names was retired, moved or lost its price since it was submitted, or a gateway was
            registered that cannot be given these rules.
    """
    proposal = proposals.locked(proposal_id)
    if proposal.state == ProposalState.PUBLISHED:
        return proposal.environment.versions.get(number=proposal.version or 0)
    environment = _locked(proposal.environment_id)
    canonical, approved_by = demand_ready(proposal, environment)
    problems = checks.problems(proposal.content, at=at, environment=environment.name)
    if problems:
        raise Invalid(
            "These rules could work when they were submitted and cannot now.",
            [(one.pointer, one.text) for one in problems],
        )
    version = _freeze(
        environment,
        Version(canonical=canonical, published_at=at, published_by=by, approved_by=approved_by, title=proposal.title),
    )  # fmt: skip
    proposal.state, proposal.version = ProposalState.PUBLISHED, version.number
    proposal.settled_at, proposal.settled_by = at, by
    proposal.save(update_fields=["state", "version", "settled_at", "settled_by"])
    unscheduling.end(proposal_id=proposal.pk, why=f"published by hand as version {version.number}", by=by, at=at)
    return version


def demand_ready(proposal: Proposal, environment: Environment) -> tuple[bytes, str]:
    """Return the bytes of a proposal that would be published, and who approved them. Up to four queries.

    What the catalogue says of them at the moment is not looked at.

    Raises:
        NotApproved: it is not approved, or its content is not what was approved.
        StaleDraft: another version went live since it was started.
    """
    if proposal.state != ProposalState.APPROVED or proposal.sha256 is None:
        state = proposal.get_state_display().lower()
        raise NotApproved(f"{proposal.title} is {state}; only what is approved is published.")
    canonical = document.canonical(proposal.content)
    approval = proposal.approvals.filter(sha256=document.sha256(canonical)).order_by("-id").first()
    if approval is None or document.sha256(canonical) != bytes(proposal.sha256):
        raise NotApproved(f"{proposal.title} has another content than the one that was approved.")
    _compare(environment, proposal.base_version, " Bring the draft up to date with it, then have it approved.")
    return canonical, approval.by


@transaction.atomic(durable=True)
def roll_back(*, environment: str, to: int, seen: int | None, reason: str, by: str, at: datetime) -> Version:
    """Publish a version's content again as a new version: one publisher and a reason, no second approval.

    `seen` is the version that the publisher took for the one in force. What validation finds is not in the way.

    Raises:
        NotFound: there is no such environment or version.
        Invalid: no reason is given, or the version is in force already.
        StaleDraft: another version is in force than the one seen.
    """
    audit.acting(by=by, reason=reason)
    named = Environment.objects.filter(name=environment).values_list("pk", flat=True).first()
    version = Version.objects.filter(environment=named, number=to).first()
    if named is None or version is None:
        raise NotFound(f"There is no version {to} of {environment}.")
    reason = reason.replace("\x00", "").strip()
    if not reason:
        raise Invalid("Going back needs a reason.", [("reason", "Say why the rules go back.")])
    held = _locked(named)
    _compare(held, seen)
    if held.live_version == to:
        raise Invalid(f"Version {to} is in force already.", [("to", "This version is in force.")])
    return _freeze(
        held,
        Version(
            canonical=bytes(version.canonical), published_at=at, published_by=by, rolls_back_to=to, reason=reason,
            title=f"Back to version {to}",
        ),
    )  # fmt: skip


def _locked(environment_id: int) -> Environment:
    """Take the row that orders an environment's versions: numbers come without gaps, in the order of publication."""
    return Environment.objects.select_for_update().get(pk=environment_id)


def _compare(environment: Environment, base: int | None, advice: str = "") -> None:
    if environment.live_version == base:
        return
    live = Version.objects.get(environment=environment, number=environment.live_version or 0)
    before = rows.content_of(environment=environment.name, number=base)
    raise StaleDraft(
        f"{live.published_by} published version {live.number} ({live.title}) in {environment.name} after this was "
        f"started from {'nothing' if base is None else f'version {base}'}.",
        differences(before, document.parse(bytes(live.canonical))),
        advice,
    )


def _freeze(environment: Environment, version: Version) -> Version:
    """Write a version made from the one in force and move the pointer to it. Part of the caller's transaction."""
    last = environment.versions.order_by("-number").values_list("number", flat=True).first() or 0
    version.environment, version.number, version.base = environment, last + 1, environment.live_version
    version.sha256 = document.sha256(bytes(version.canonical))
    content = document.parse(bytes(version.canonical))
    version.spec = document.needs(content)
    version.save(force_insert=True)
    # Compare and swap: two leads who both started from version 41 cannot both publish. The lock says so already; the
    # condition is repeated where the pointer moves, and a trigger refuses any other move.
    live = Environment.objects.filter(pk=environment.pk, live_version=version.base)
    if live.update(live_version=version.number) != 1:
        raise StaleDraft(f"Another version went live in {environment.name}.", [])
    environment.live_version = version.number
    orders.settle(environment=environment, content=content, at=version.published_at)
    states.renew(environment=environment, at=version.published_at)
    return version
