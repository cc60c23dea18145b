"""Requests of limits, beside what their budgets used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db.models import Case, QuerySet, Value, When

from budgets.models import LimitRequest, RequestState
from budgets.selectors import overview
from budgets.selectors.overview import BudgetRow
from core.models import Organisation

MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request; `budget` is None where a list was asked for without the budgets."""

    id: int
    budget_id: int
    budget_name: str
    unit: str
    period_kind: str
    zone: str
    amount: Decimal
    starts_at: datetime | None
    ends_at: datetime | None
    reason: str
    requested_by: str
    requested_at: datetime
    state: str
    decided_by: str
    decided_at: datetime | None
    note: str
    limit_version: int | None
    too_late: bool  # it waits, and the time that was asked for has passed
    budget: BudgetRow | None


def waiting(*, at: datetime) -> list[RequestRow]:
    """Return the requests that wait, the oldest first, each with its budget. Seven queries at most."""
    found = [_row(one, at) for one in _all().filter(state=RequestState.PENDING).order_by("id")]
    if not found:
        return []
    budgets = {row.id: row for row in overview.rows(at=at)}
    return [_with(row, budgets.get(row.budget_id)) for row in found]


def newest(
    *,
    at: datetime,
    budget_id: int | None = None,
    state: str = "",
    settled: bool = False,
    before: int | None = None,
    most: int = MOST,
) -> list[RequestRow]:
    """Return requests by number, the latest first, without their budgets; `settled` leaves those out that wait."""
    found = _all()
    if settled:
        found = found.exclude(state=RequestState.PENDING)
    if budget_id is not None:
        found = found.filter(budget=budget_id)
    if state:
        found = found.filter(state=state)
    if before is not None:
        found = found.filter(pk__lt=before)
    return [_row(one, at) for one in found.order_by("-id")[:most]]


def of_budget(*, budget_id: int, at: datetime, most: int = 20) -> list[RequestRow]:
    """Return a budget's requests, those that wait first, then the latest, without the budget. One query."""
    waits = Case(When(state=RequestState.PENDING, then=Value(0)), default=Value(1))
    return [_row(one, at) for one in _all().filter(budget=budget_id).order_by(waits, "-id")[:most]]


def one(*, request_id: int, at: datetime) -> RequestRow | None:
    """Return one request with its budget, or None. Six queries, more after a change of budgets."""
    found = _all().filter(pk=request_id).first()
    if found is None:
        return None
    return _with(_row(found, at), overview.one(budget_id=found.budget_id, at=at))


def count_for(*, by: str) -> int:
    """Return how many requests wait for a person: not her own, where duties are separated. At most two queries."""
    waiting_for = list(LimitRequest.objects.filter(state=RequestState.PENDING).values_list("requested_by", flat=True))
    own = waiting_for.count(by)
    return len(waiting_for) - own if own and separated() else len(waiting_for)


def separated() -> bool:
    """Return whether whoever asks may not approve. One query."""
    return Organisation.objects.values_list("separation_of_duties", flat=True).get(pk=1)


def _all() -> QuerySet[LimitRequest]:
    return LimitRequest.objects.select_related("budget", "limit")


def _row(one: LimitRequest, at: datetime) -> RequestRow:
    pending = one.state == RequestState.PENDING
    return RequestRow(
        id=one.pk,
        budget_id=one.budget_id,
        budget_name=one.budget.name,
        unit=one.budget.unit,
        period_kind=one.budget.period,
        zone=one.budget.zone,
        amount=one.amount,
        starts_at=one.starts_at,
        ends_at=one.ends_at,
        reason=one.reason,
        requested_by=one.requested_by,
        requested_at=one.requested_at,
        state=one.state,
        decided_by=one.decided_by,
        decided_at=one.decided_at,
        note=one.note,
        limit_version=one.limit.version if one.limit else None,
        too_late=pending and one.ends_at is not None and one.ends_at <= at,
        budget=None,
    )


def _with(row: RequestRow, budget: BudgetRow | None) -> RequestRow:
    return replace(row, budget=budget)
