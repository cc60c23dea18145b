"""Limits of the periods ahead, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from budgets import wording
from budgets.rules import USD, Definition, planning
from budgets.rules import per_cent as share_of
from budgets.selectors import plans
from budgets.selectors.plans import PastPeriod, Plan, PlannedPeriod
from budgets.services import planning as service
from budgets.tasks import tell
from core import access
from core.errors import Conflict, Invalid
from core.periods import Period, clock_text
from dashboards.forms_budgets import FillForm, PlanForm, amount_text
from dashboards.views.access import page
from dashboards.views.budgets_words import full, short, unit_words
from usage.selectors import scope_sums

EDIT = "limits.approve"


@page("view", "GET", "HEAD", "POST")
def plan(request: HttpRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    found = plans.plan(budget_id=pk, at=now)
    if found is None:
        raise Http404("There is no such budget.")
    may_edit = request.user.has_perm(EDIT) and not found.retired
    year_before = _used_a_year_before(found)
    if request.method == "POST":
        return _save(request, found, year_before, now)

    fill = FillForm(request.GET if "use" in request.GET else None)
    filled: dict[str, str] = {}
    if fill.is_bound and fill.is_valid():
        filled = _filled(found, year_before, fill.cleaned_data["use"], fill.cleaned_data["percent"] or Decimal(0))
    initial = {str(one.period.first_day): amount_text(one.amount) for one in found.ahead}
    form = _form(found, initial=initial | filled | {"version": found.version})
    return _page(request, found, year_before, form, fill, filled=filled, may_edit=may_edit)


def _save(request: HttpRequest, found: Plan, year_before: Mapping[Period, Decimal], now: datetime) -> HttpResponse:
    if not request.user.has_perm(EDIT):
        return _page(request, found, year_before, _form(found), FillForm(), filled={}, may_edit=False, status=403)
    form = _form(found, request.POST)
    if form.is_valid():
        data, by = form.cleaned_data, access.label(request.user)
        typed = {
            one.period.first_day: data[str(one.period.first_day)]
            for one in found.ahead
            if request.POST.get(str(one.period.first_day), "").strip()
        }
        try:
            written = service.save(
                budget_id=found.budget_id, amounts=typed, reason=data["reason"], by=by, approved_by=by, at=now,
                seen_version=data["version"],
            )  # fmt: skip
        except Invalid as error:
            form.show(error.problems)
        except Conflict as error:
            form.show([("", str(error))])
        else:
            tell()
            if not written:
                messages.info(request, "That is the plan already. Nothing was written.")
            elif len(written) == 1:
                messages.success(request, f"Version {written[0].version} of the limit was written.")
            else:
                versions = f"{written[0].version} to {written[-1].version}"
                messages.success(request, f"{len(written)} limits were written: versions {versions}.")
            return redirect("budget-plan", pk=found.budget_id)
    return _page(request, found, year_before, form, FillForm(), filled={}, may_edit=True, status=422)


def _form(found: Plan, data: Any = None, **given: Any) -> PlanForm:
    return PlanForm(
        data, periods=[(str(one.period.first_day), _named(one.period, found)) for one in found.ahead], **given
    )


def _page(
    request: HttpRequest,
    found: Plan,
    year_before: Mapping[Period, Decimal],
    form: PlanForm,
    fill: FillForm,
    *,
    filled: Mapping[str, str],
    may_edit: bool,
    status: int = 200,
) -> HttpResponse:
    unit = found.definition.unit
    context = {
        "plan": found,
        "unit": unit_words(unit),
        "kind": found.definition.period,
        "ahead": [_line(one, found, year_before, form, filled) for one in found.ahead],
        "past": [_past(one, found) for one in found.past],
        "after": short(unit, found.after),
        "after_exact": full(unit, found.after),
        "form": form,
        "fill": fill,
        "filled": bool(filled),
        "could_not_fill": fill.is_bound and fill.is_valid() and not filled,
        "knows_past": scope_sums.is_known(found.definition),
        "may_edit": may_edit,
    }
    return render(request, "dashboards/budget_plan.html", context, status=status)


def _line(
    one: PlannedPeriod, found: Plan, year_before: Mapping[Period, Decimal], form: PlanForm, filled: Mapping[str, str]
) -> dict[str, Any]:
    unit, day = found.definition.unit, str(one.period.first_day)
    before = year_before.get(planning.a_year_before(found.definition, one.period))
    later = [
        f"{short(unit, step.amount)} from {clock_text(step.starts_at, found.definition.zone)}" for step in one.later
    ]
    return {
        "name": _named(one.period, found),
        "days": wording.days(one.period, found.definition.zone),
        "amount": short(unit, one.amount),
        "amount_exact": full(unit, one.amount),
        "version": one.version,
        "own": one.own,
        "later": later,
        "year_before": short(unit, before) if before is not None else "",
        "year_before_exact": full(unit, before),
        "field": form[day],
        "filled": day in filled and filled[day] != amount_text(one.amount),
    }


def _past(one: PastPeriod, found: Plan) -> dict[str, Any]:
    unit = found.definition.unit
    return {
        "name": _named(one.period, found),
        "used": short(unit, one.used) if one.used is not None else "",
        "used_exact": full(unit, one.used),
        "limit": short(unit, one.limit),
        "limit_exact": full(unit, one.limit),
        "share": share_of(one.used, one.limit) if one.used is not None and one.limit else None,
    }


def _named(period: Period, found: Plan) -> str:
    if found.definition.period == "month":
        return f"{period.first_day:%B %Y}"
    if found.definition.period == "year" and period.first_day.month == 1:
        return f"{period.first_day:%Y}"
    return wording.days(period, found.definition.zone).partition(" (")[0]


def _used_a_year_before(found: Plan) -> dict[Period, Decimal]:
    """Return what was used in the periods a year before those ahead, where anything was. One query."""
    asked = [planning.a_year_before(found.definition, one.period) for one in found.ahead]
    over = [period for period in asked if period.ends_at <= found.ahead[0].period.starts_at]
    return {period: used for period, used in scope_sums.per_period(found.definition, over).items() if used}


def _filled(found: Plan, year_before: Mapping[Period, Decimal], use: str, percent: Decimal) -> dict[str, str]:
    """Return amounts for the periods after the present one, by their first day; none where nothing is known."""
    definition = found.definition
    if use == "year":
        bases = {one.period: year_before.get(planning.a_year_before(definition, one.period)) for one in found.ahead[1:]}
    else:
        used = _full_periods(found, definition)
        base = (used[0] if use == "last" else planning.mean(used)) if used else None
        bases = {one.period: base for one in found.ahead[1:]}
    more = (100 + percent) / 100
    wanted: dict[date, Decimal] = {
        period.first_day: planning.rounded_up(base * more, whole=definition.unit != USD)
        for period, base in bases.items()
        if base is not None and base > 0
    }
    return {str(day): amount_text(amount) for day, amount in wanted.items() if amount > 0}


def _full_periods(found: Plan, definition: Definition) -> list[Decimal]:
    """Return what was used in the periods that are over, the latest first. One query where some were not counted."""
    used = [one.used for one in found.past if one.used is not None]
    if not used:
        before = planning.periods_before(definition, found.ahead[0].period.starts_at, plans.PAST)
        sums = scope_sums.per_period(definition, before)
        used = [sums[period] for period in before if period in sums]
    while used and not used[-1]:  # before the first use
        used.pop()
    return used
