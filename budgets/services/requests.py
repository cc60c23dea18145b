"""Asking for another limit, and deciding on it.

A request moves once, from pending to approved, refused or withdrawn, by an UPDATE that repeats its condition: of two
people who decide at once, one does, and the other is told so.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from alerts.models import Severity
from alerts.services import raising, resolving
from budgets import wording
from budgets.models import Budget, BudgetLimit, LimitRequest, RequestState
from budgets.rules.planning import Version
from budgets.selectors import definitions, names
from budgets.services import checks, limits
from core.errors import Conflict, NotFound
from core.models import Organisation
from core.periods import clock_text
from core.services.audit import acting

ALERT_KIND = "limit_requested"
MOST_NOTE = 300


class AlreadyAsked(Conflict):
    """The same person waits for an answer about the same budget."""


class Settled(Conflict):
    """Somebody decided before, or it was withdrawn."""


class OwnRequest(Conflict):
    """Whoever asks cannot approve, while the organisation separates duties."""


class NotYours(Conflict):
    """Only whoever asked takes a request back."""


class TooLate(Conflict):
    """The time that was asked for has passed."""


@transaction.atomic(durable=True)
def ask(
    *,
    budget: Budget,
    amount: Decimal,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    reason: str,
    by: str,
    at: datetime,
) -> LimitRequest:
    """Ask for another limit: from the approval on, or from `starts_at`; until `ends_at`, or until a later version.

    Those who want to hear of it are told: an alert of kind `limit_requested`, resolved with the decision. The edge
    nudges its delivery after the commit.

    Raises:
        Invalid: with everything that is wrong at once.
        AlreadyAsked: one request of one person for one budget waits at a time.
        Retired
    """
    current = limits.locked(budget.pk)  # nobody retires it meanwhile, and a second click waits and finds the first
    problems: checks.Problems = []
    reason = checks.checked_text("reason", reason, 300, problems)
    checks.check_amount(amount, current.unit, problems)
    checks.check_times(starts_at, ends_at, at, problems)
    checks.refuse(problems)
    if LimitRequest.objects.filter(budget=current, requested_by=by, state=RequestState.PENDING).exists():
        raise AlreadyAsked("You have asked for another limit of this budget already. Withdraw that request first.")

    acting(by=by, reason=reason)
    request = LimitRequest.objects.create(
        budget=current,
        amount=amount,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        requested_by=by,
        requested_at=at,
    )
    _tell(request, current, at)
    return request


def approve(*, request_id: int, by: str, at: datetime, note: str = "") -> BudgetLimit:
    """Make a request a version of the limit, exactly as it was asked for, and evaluate it at once.

    A start that has passed meanwhile is now. Where it ends, the version below holds again. Two transactions, as in
    `limits.set_limit`.

    Raises:
        NotFound, Invalid
        Settled: somebody decided before; nothing changed.
        OwnRequest: `by` asked for it, and the organisation separates duties.
        TooLate: it ends before it could begin.
        Retired
    """
    limit = _approve(request_id=request_id, by=by, at=at, note=note)
    limits.evaluate_after_change(budget_ids=[limit.budget_id], at=at)
    return limit


@transaction.atomic(durable=True)
def _approve(*, request_id: int, by: str, at: datetime, note: str) -> BudgetLimit:
    request = _pending(request_id)
    note = _checked_note(note, needed=False)
    if request.requested_by == by and Organisation.objects.get(pk=1).separation_of_duties:
        raise OwnRequest("You asked for this, so somebody else has to approve it.")
    budget = limits.locked(request.budget_id)
    if request.ends_at is not None and request.ends_at <= at:
        raise TooLate("The time that was asked for has passed. Ask again for a time to come.")

    acting(by=by, reason=note or request.reason)
    _resolve(request, at=at)  # before the version, which takes `budgets_change`: alerts come first
    starts_at = request.starts_at if request.starts_at and request.starts_at > at else None
    (limit,) = limits.add(
        budget=budget,
        versions=[Version(amount=request.amount, starts_at=starts_at, ends_at=request.ends_at)],
        reason=request.reason,
        by=request.requested_by,
        approved_by=by,
        at=at,
    )
    _settle(request, RequestState.APPROVED, by=by, at=at, note=note, limit=limit)
    return limit


@transaction.atomic(durable=True)
def refuse(*, request_id: int, by: str, at: datetime, note: str) -> LimitRequest:
    """Turn a request down, with a note for whoever asked.

    Raises:
        NotFound
        Invalid: no note.
        Settled: somebody decided before; nothing changed.
    """
    request = _pending(request_id)
    note = _checked_note(note, needed=True)
    acting(by=by, reason=note)
    _resolve(request, at=at)
    _settle(request, RequestState.REFUSED, by=by, at=at, note=note)
    return request


@transaction.atomic(durable=True)
def withdraw(*, request_id: int, by: str, at: datetime) -> LimitRequest:
    """Take one's own request back.

    Raises:
        NotFound
        NotYours: somebody else asked.
        Settled: somebody decided before; nothing changed.
    """
    request = _pending(request_id)
    if request.requested_by != by:
        raise NotYours(f"{request.requested_by} asked for this. Refuse it instead, with a note.")
    acting(by=by, reason="withdrawn")
    _resolve(request, at=at)
    _settle(request, RequestState.WITHDRAWN, by=by, at=at, note="")
    return request


@transaction.atomic
def refuse_all(*, budget_id: int, by: str, at: datetime, note: str) -> None:
    """Turn down whatever waits for a budget, for a caller that holds it (`limits.locked`) and has named the actor."""
    for request in LimitRequest.objects.filter(budget=budget_id, state=RequestState.PENDING).order_by("id"):
        _resolve(request, at=at)
        # One that is withdrawn in this moment stays withdrawn.
        LimitRequest.objects.filter(pk=request.pk, state=RequestState.PENDING).update(
            state=RequestState.REFUSED, decided_by=by, decided_at=at, note=note
        )


def _pending(request_id: int) -> LimitRequest:
    request = LimitRequest.objects.filter(pk=request_id).first()
    if request is None:
        raise NotFound(f"There is no request {request_id}.")
    if request.state != RequestState.PENDING:
        raise _settled(request)
    return request


def _resolve(request: LimitRequest, *, at: datetime) -> None:
    resolving.resolve(kind=ALERT_KIND, dedupe_key_prefix=_key(request), at=at)


def _settle(
    request: LimitRequest, state: RequestState, *, by: str, at: datetime, note: str, limit: BudgetLimit | None = None
) -> None:
    waiting = LimitRequest.objects.filter(pk=request.pk, state=RequestState.PENDING)
    if waiting.update(state=state, decided_by=by, decided_at=at, note=note, limit=limit) == 0:
        request.refresh_from_db()
        raise _settled(request)
    request.refresh_from_db()


def _settled(request: LimitRequest) -> Settled:
    return Settled(f"This request was {request.state} by {request.decided_by} before.")


def _checked_note(note: str, *, needed: bool) -> str:
    problems: checks.Problems = []
    if note.strip() or needed:
        note = checks.checked_text("note", note, MOST_NOTE, problems)
    checks.refuse(problems)
    return note.strip()


def _key(request: LimitRequest) -> str:
    return f"limit_requested:{request.pk}:"  # ends with a colon, so that no other request's key begins so


def _tell(request: LimitRequest, budget: Budget, at: datetime) -> None:
    asked = wording.quantity(budget.unit, request.amount)
    raising.raise_alert(
        kind=ALERT_KIND,
        dedupe_key=_key(request),
        severity=Severity.INFO,
        title=f"{budget.name}: {request.requested_by} asks for a limit of {asked}",
        facts={
            "summary": f"{request.requested_by} asks that {budget.name} may use {asked} a {budget.period}.",
            "rows": [
                ["Why", request.reason],
                ["From", clock_text(request.starts_at, budget.zone) if request.starts_at else "its approval on"],
                ["Until", clock_text(request.ends_at, budget.zone) if request.ends_at else "a later limit"],
            ],
            "next": "Somebody who sets limits approves or refuses it. Until then the present limit holds.",
            "links": [
                ["Decide on it", f"/budgets/requests/{request.pk}/"],
                ["Budget", f"/budgets/{budget.pk}/"],
            ],
        },
        subject_kind="budget",
        subject_id=budget.pk,
        team_ids=names.team_ids(definitions.current().by_id[budget.pk].scope, at=at),
        budget_id=budget.pk,
        at=at,
    )
