"""Setting a budget's limit, asking for another one, deciding on that, and retiring a budget."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from budgets.rules import per_cent
from budgets.selectors import overview
from budgets.selectors import requests as selector
from budgets.selectors.requests import RequestRow
from budgets.services import budgets as service
from budgets.services import requests
from budgets.tasks import tell
from core import access
from core.errors import Conflict, Invalid
from dashboards.change_words import relative, told
from dashboards.downloads import Table, offers
from dashboards.forms_budgets import ApproveForm, AskForm, LimitForm, RefuseForm, RetireForm
from dashboards.views import files_running
from dashboards.views.access import page
from dashboards.views.budgets import show
from dashboards.views.budgets_parts import budget_of, times
from dashboards.views.budgets_words import full, line_of, short
from dashboards.views.links import number

PER_PAGE = 50
STATES = {
    "pending": ("info", "Waiting"),
    "approved": ("ok", "Approved"),
    "refused": ("danger", "Refused"),
    "withdrawn": ("neutral", "Withdrawn"),
}


@page("limits.approve", "POST")
def set_limit(request: HttpRequest, pk: int) -> HttpResponse:
    found = budget_of(pk)
    form = LimitForm(request.POST, zone=found.zone)
    form.full_clean()  # what cannot be read, such as a day that is none
    by, data = access.label(request.user), form.cleaned_data
    if not form.errors:
        try:
            limit = service.set_limit(
                budget=found, amount=data["amount"], starts_at=data["starts"], ends_at=data["ends"],
                reason=data["reason"], by=by, approved_by=by, at=timezone.now(),
            )  # fmt: skip
        except Invalid as error:
            form.show(error.problems)
        except Conflict as error:
            messages.error(request, str(error))
            return redirect("budget", pk=pk)
        else:
            tell()
            held = "is in force" if limit.starts_at is None else "is planned"
            messages.success(request, f"Version {limit.version} of the limit {held}: {full(found.unit, limit.amount)}.")
            return redirect("budget", pk=pk)
    return show(request, pk, status=422, limit_form=form)


@page("budgets.edit", "POST")
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    form = RetireForm(request.POST)
    found = budget_of(pk)
    if not form.is_valid():
        return show(request, pk, status=422, retire_form=form)
    reason = form.cleaned_data["reason"].strip()
    if not reason:
        form.show([("reason", "This is needed.")])
        return show(request, pk, status=422, retire_form=form)
    service.retire(budget=found, reason=reason, by=access.label(request.user), at=timezone.now())
    tell()
    messages.success(request, f"The budget {found.name!r} is retired. What it counted and told stays.")
    return redirect(reverse("budgets"))


@page("limits.request", "GET", "HEAD", "POST")
def ask(request: HttpRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    row = overview.one(budget_id=pk, at=now)
    if row is None or row.retired_at is not None:
        raise Http404("There is no such budget.")
    form = AskForm(request.POST if request.method == "POST" else None, zone=row.zone)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            requests.ask(
                budget=budget_of(pk), amount=data["amount"], starts_at=data["starts"], ends_at=data["ends"],
                reason=data["reason"], by=access.label(request.user), at=now,
            )  # fmt: skip
        except Invalid as error:
            form.show(error.problems)
        except Conflict as error:
            form.show([("", str(error))])
        else:
            tell()
            messages.success(request, "You have asked. Whoever sets limits is told, and decides.")
            return redirect("budget", pk=pk)
    context = {"row": row, "line": line_of(row), "form": form}
    status = 422 if request.method == "POST" else 200
    return render(request, "dashboards/budget_ask.html", context, status=status)


def _table(request: HttpRequest) -> Table:
    return files_running.requests_of_limits(at=timezone.now())


@page("view")
@offers(_table)
def requests_page(request: HttpRequest) -> HttpResponse:
    now, before = timezone.now(), number(request.GET, "before")
    waiting = selector.waiting(at=now) if before is None else []
    rows = selector.newest(at=now, settled=True, before=before, most=PER_PAGE + 1)
    by = access.label(request.user)
    separated = selector.separated()
    context = {
        "waiting": [(row, effect_of(row), times(row), separated and row.requested_by == by) for row in waiting],
        "settled": [(row, short(row.unit, row.amount), full(row.unit, row.amount), STATES[row.state], times(row))
                    for row in rows[:PER_PAGE]],
        "first_page": before is None,
        "earlier_url": f"{reverse('limit-requests')}?before={rows[PER_PAGE - 1].id}" if len(rows) > PER_PAGE else "",
        "may_decide": request.user.has_perm("limits.approve"),
    }  # fmt: skip
    return render(request, "dashboards/budget_requests.html", context)


@page("view")
def request_page(request: HttpRequest, pk: int) -> HttpResponse:
    return _one(request, pk)


def _one(request: HttpRequest, pk: int, *, status: int = 200, **forms: Any) -> HttpResponse:
    now = timezone.now()
    row = selector.one(request_id=pk, at=now)
    if row is None:
        raise Http404("There is no such request.")
    by, waits = access.label(request.user), row.state == "pending"
    own = row.requested_by == by
    blocked = own and selector.separated()
    context = {
        "asked": row,
        "effect": effect_of(row),
        "times": times(row),
        "badge": STATES[row.state],
        "line": line_of(row.budget) if row.budget else None,
        "own": own,
        "blocked": blocked,
        "may_decide": waits and request.user.has_perm("limits.approve"),
        "may_approve": waits and request.user.has_perm("limits.approve") and not blocked and not row.too_late,
        "may_withdraw": waits and own and request.user.has_perm("limits.request"),
        "approve_form": ApproveForm(),
        "refuse_form": RefuseForm(),
        **forms,
    }
    return render(request, "dashboards/budget_request.html", context, status=status)


@page("limits.approve", "POST")
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    form = ApproveForm(request.POST)

    def decide(by: str, at: datetime) -> str:
        limit = requests.approve(request_id=pk, by=by, at=at, note=form.cleaned_data["note"])
        tell()
        return f"Approved. Version {limit.version} of the limit is {full(limit.budget.unit, limit.amount)}."

    return _decided(request, pk, form, decide, name="approve_form")


@page("limits.approve", "POST")
def refuse(request: HttpRequest, pk: int) -> HttpResponse:
    form = RefuseForm(request.POST)

    def decide(by: str, at: datetime) -> str:
        requests.refuse(request_id=pk, by=by, at=at, note=form.cleaned_data["note"])
        return "Refused. The present limit goes on."

    return _decided(request, pk, form, decide, name="refuse_form")


@page("limits.request", "POST")
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    def decide(by: str, at: datetime) -> str:
        requests.withdraw(request_id=pk, by=by, at=at)
        return "Taken back. Nobody needs to decide on it any more."

    return _decided(request, pk, ApproveForm({}), decide, name="approve_form")


def _decided(
    request: HttpRequest,
    pk: int,
    form: ApproveForm | RefuseForm,
    decide: Callable[[str, datetime], str],
    *,
    name: str,
) -> HttpResponse:
    if selector.one(request_id=pk, at=timezone.now()) is None:
        raise Http404("There is no such request.")
    if form.is_valid():
        try:
            messages.success(request, decide(access.label(request.user), timezone.now()))
        except Invalid as error:
            form.show(error.problems)
        except Conflict as error:
            messages.error(request, str(error))
            return redirect("limit-request", pk=pk)
        else:
            return redirect("limit-requests" if request.user.has_perm("limits.approve") else "budgets")
    return _one(request, pk, status=422, **{name: form})


def effect_of(row: RequestRow) -> dict[str, Any]:
    """Return what an approval would make of the budget's present figures."""
    budget = row.budget
    amount = {"amount": short(row.unit, row.amount), "amount_exact": full(row.unit, row.amount)}
    if budget is None:
        return amount
    counted = budget.state != "BUILDING"
    at_end = budget.forecast.at_end if budget.forecast else None
    return amount | {
        "limit": short(row.unit, budget.limit),
        "limit_exact": full(row.unit, budget.limit),
        "used": short(row.unit, budget.used) if counted else "being counted",
        "used_exact": full(row.unit, budget.used) if counted else "",
        "change": "" if budget.limit == row.amount else told(relative(row.amount, budget.limit)),
        "share_before": budget.per_cent_used,
        "share_after": per_cent(budget.used, row.amount) if counted else None,
        "meter": per_cent(budget.used, row.amount) / 100 if counted else None,
        "thresholds": budget.thresholds,
        "expected": short(row.unit, at_end) if at_end is not None else "",
        "expected_exact": full(row.unit, at_end) if at_end is not None else "",
        "expected_after": per_cent(at_end, row.amount) if at_end is not None else None,
        "expected_share": per_cent(at_end, row.amount) / 100 if at_end is not None else None,
    }
