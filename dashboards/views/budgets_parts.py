"""What the page of a budget shows about its limits, beside what it shows of its use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest

from budgets.models import Budget
from budgets.rules import Definition
from budgets.selectors import requests
from budgets.selectors.overview import BudgetRow
from budgets.selectors.requests import RequestRow
from core import access
from core.periods import clock_text
from dashboards.forms_budgets import LimitForm, RetireForm
from dashboards.templatetags.figures import exact, tokens, usd
from dashboards.views.budgets_words import full, short
from usage.selectors import scope_sums


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """What came after the limit was reached; figures are empty where they are not known, and `why` says so."""

    trial: bool
    action: str
    over: str  # used beyond the limit, in the budget's unit
    over_exact: str
    since: str
    requests: int
    tokens: str
    tokens_exact: str
    cost: str
    why: str


def of_limits(request: HttpRequest, *, row: BudgetRow, definition: Definition, at: datetime) -> dict[str, Any]:
    """Return forms, rights and requests for the page of a budget. One query, one more where it is used up."""
    alive = row.retired_at is None
    may_set = alive and request.user.has_perm("limits.approve")
    by = access.label(request.user)
    asked = [one for one in requests.of_budget(budget_id=row.id, at=at) if one.state == "pending"]
    return {
        "may_edit": alive and request.user.has_perm("budgets.edit"),
        "may_set_limit": may_set,
        "may_ask": alive and not may_set and request.user.has_perm("limits.request"),
        "asked": [(one, short(one.unit, one.amount), full(one.unit, one.amount), times(one)) for one in asked],
        "asked_by_me": any(one.requested_by == by for one in asked),
        "planned": sum(limit.starts_at is not None and limit.starts_at > at for limit in row.limits),
        "period_ends": clock_text(row.period.ends_at, row.zone),
        "limit_form": LimitForm(zone=row.zone),
        "retire_form": RetireForm(),
        "beyond": beyond(row, definition, at),
    }


def times(one: RequestRow) -> str:
    """Say for which time a limit is asked for."""
    start = f"from {clock_text(one.starts_at, one.zone)}" if one.starts_at else "from its approval"
    end = f"until {clock_text(one.ends_at, one.zone)}" if one.ends_at else "until a later version"
    return f"{start} {end}"


def beyond(row: BudgetRow, definition: Definition, at: datetime) -> Beyond | None:
    """Say what a used up budget let through that it was to send elsewhere or refuse, or as a trial would have.

    None of a budget that only alerts, or is not used up. One query.
    """
    if row.action == "alert" or row.state != "EXCEEDED" or row.limit is None:
        return None
    reached = [
        one.crossed_at
        for one in row.crossings
        if one.basis == "actual" and one.threshold >= 100 and one.limit_version == row.limit_version
    ]
    found = scope_sums.since(definition, min(reached), at) if reached else None
    if not reached:
        why = "It has no threshold at 100 %, so it is not known when the limit was reached."
    elif not scope_sums.is_known(definition):
        why = "Calls are not told apart by tags in the sums that this is read from."
    else:
        why = "The first full quarter hour after the limit was reached is not over yet."
    over = max(row.used - row.limit, Decimal(0))
    return Beyond(
        trial=row.trial,
        action=row.action,
        over=short(row.unit, over),
        over_exact=full(row.unit, over),
        since=clock_text(found.starts_at, row.zone) if found else "",
        requests=found.requests if found else 0,
        tokens=tokens(found.tokens) if found else "",
        tokens_exact=exact(found.tokens) if found else "",
        cost=usd(found.cost_usd) if found else "",
        why="" if found else why,
    )


def budget_of(pk: int) -> Budget:
    found = Budget.objects.filter(pk=pk, canary=False).first()
    if found is None:
        raise Http404("There is no such budget.")
    return found
