"""The full form of a budget: a new one, a copy, and what may change in one's life."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from budgets.models import Unit
from budgets.selectors import names, overview
from budgets.selectors.overview import BudgetRow
from budgets.services import budgets as service
from budgets.tasks import tell
from core import access
from core.errors import Conflict, Invalid
from core.models import Organisation
from dashboards.forms_budgets import MONTHS, BudgetForm, ChangeForm, amount_text
from dashboards.views.access import page
from dashboards.views.budgets_parts import budget_of
from dashboards.views.budgets_words import in_words, unit_words
from dashboards.views.links import number


@page("limits.approve", "GET", "HEAD", "POST")
def create(request: HttpRequest) -> HttpResponse:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    given: dict[str, Any] = {
        "names": names.known(), "tags": organisation.declared_tags, "zone": organisation.zone,
    }  # fmt: skip
    if request.method != "POST":
        copied = number(request.GET, "from")
        of = overview.one(budget_id=copied, at=timezone.now()) if copied is not None else None
        if copied is not None and of is None:
            raise Http404("There is no such budget.")
        form = BudgetForm(initial=_copy(of), **given) if of else BudgetForm(**given)
        return render(request, "dashboards/budget_new.html", {"form": form, "of": of})
    form = BudgetForm(request.POST, **given)
    if form.is_valid():  # else a choice was sent that is none of the choices
        data = form.cleaned_data
        try:
            made = service.create(
                name=data["name"],
                scope=form.scope,
                unit=data["unit"],
                period=data["period"],
                zone=data["zone"].strip() or organisation.zone,
                fiscal_start_month=data["fiscal_start_month"] or 1,
                action=data["action"],
                trial=data["trial"],
                thresholds=data["thresholds"],
                forecast_thresholds=data["forecast_thresholds"],
                amount=data["amount"],
                reason=data["reason"],
                owner=data["owner"],
                by=access.label(request.user),
                at=timezone.now(),
            )
        except Invalid as error:
            form.show(error.problems)
        except service.NameTaken as error:
            form.show([("name", str(error))])
        else:
            tell()
            messages.success(
                request, f"The budget {made.name!r} is made. What was used before is being summed; that takes a moment."
            )
            return redirect("budget", pk=made.pk)
    return render(request, "dashboards/budget_new.html", {"form": form, "of": None}, status=422)


@page("budgets.edit", "GET", "HEAD", "POST")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = overview.one(budget_id=pk, at=timezone.now())
    if row is None or row.retired_at is not None:
        raise Http404("There is no such budget.")
    form = ChangeForm(request.POST if request.method == "POST" else None, initial=_what_may_change(row))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            service.change(
                budget=budget_of(pk),
                by=access.label(request.user),
                at=timezone.now(),
                **{name: data[name] for name in (*_what_may_change(row), "reason")},
            )
        except Invalid as error:
            form.show(error.problems)
        except service.NameTaken as error:
            form.show([("name", str(error))])
        except Conflict as error:
            messages.error(request, str(error))
            return redirect("budget", pk=pk)
        else:
            tell()
            messages.success(request, "Changed. Thresholds that are passed already are told now.")
            return redirect("budget", pk=pk)
    context = {
        "row": row,
        "form": form,
        "for_life": [
            ("Covers", in_words(row.scope)),
            ("Counted in", unit_words(row.unit)),
            ("Per", row.period_kind),
            ("Time zone", row.zone),
            *(
                [("The year begins in", MONTHS[row.fiscal_start_month - 1])]
                if row.period_kind in ("quarter", "year")
                else []
            ),
        ],
        "may_copy": request.user.has_perm("limits.approve"),
    }
    return render(request, "dashboards/budget_edit.html", context, status=422 if request.method == "POST" else 200)


def _what_may_change(row: BudgetRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "owner": row.owner,
        "thresholds": ", ".join(map(str, row.thresholds)),
        "forecast_thresholds": ", ".join(map(str, row.forecast_thresholds)),
        "action": row.action,
        "trial": row.trial,
    }


def _copy(row: BudgetRow) -> dict[str, Any]:
    """Return what the form of a new budget begins with where another one is copied: all but its name."""
    scope = {name: "\n".join(values) if name.startswith("tag:") else list(values) for name, values in row.scope.items()}
    if row.unit == Unit.FRONTIER_TOKENS:
        scope.pop("tier", None)
    return {
        **_what_may_change(row),
        **scope,
        "name": f"{row.name} (copy)",
        "unit": row.unit,
        "period": row.period_kind,
        "zone": row.zone,
        "fiscal_start_month": row.fiscal_start_month,
        "amount": amount_text(row.limit),
    }
