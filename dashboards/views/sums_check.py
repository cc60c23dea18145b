"""Our own sums against the ledger: the last check, what differs, making it anew, and how long the ledger is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access, nudges
from core.errors import Conflict, Invalid
from core.models import Organisation
from dashboards.forms_sums import RebuildForm, RetentionForm
from dashboards.templatetags.figures import exact
from dashboards.views import changing
from dashboards.views.access import demand, page
from dashboards.views.links import number
from usage.selectors import checks as selector
from usage.selectors.checks import DIFFERS, RIGHT, UNFINISHED, CheckRow, Difference
from usage.services import rebuilding, reconciling, retention
from usage.tasks import JOBS

EDIT = "organisation.edit"
PER_PAGE = 20
MOST_COLUMNS = 4  # of one difference; the API has the rest
STATES = {RIGHT: ("ok", "in order"), DIFFERS: ("danger", "differs"), UNFINISHED: ("info", "not finished")}


def line_of(row: CheckRow) -> dict[str, Any]:
    """Return a check with its words."""
    tone, words = STATES[row.state]
    return {"row": row, "tone": tone, "state": words, "url": f"{reverse('sums-check')}?check={row.id}"}


@page("view")
def sums_check(request: HttpRequest) -> HttpResponse:
    if any(name not in ("check", "before") for name in request.GET):
        raise Http404("There is no such page.")
    return _page(request, check=number(request.GET, "check"), before=number(request.GET, "before"))


def _page(
    request: HttpRequest,
    *,
    check: int | None = None,
    before: int | None = None,
    form: RebuildForm | None = None,
    status: int = 200,
) -> HttpResponse:
    found = selector.one(check)
    if check is not None and found is None:
        raise Http404("There is no such check.")
    rows = selector.listed(before=before, most=PER_PAGE + 1)
    shown = rows[:PER_PAGE]
    row = found.row if found else None
    first, last = (row.first_wrong, row.last_wrong) if row else (None, None)
    context = {
        "found": line_of(row) if row else None,
        "last": check is None,
        "days": [_day_of(day, tables) for day, tables in row.days.items()] if row else [],
        "differences": [_difference(one) for one in found.differences] if found else [],
        "first": first,
        "until": last + timedelta(days=1) if last else None,
        "failure": selector.failure(),
        "under_way": selector.under_way(),
        "lines": [line_of(one) for one in shown],
        "earlier_url": f"{reverse('sums-check')}?before={shown[-1].id}" if len(rows) > PER_PAGE else "",
        "rebuilds": selector.rebuilds(most=10),
        "may_edit": request.user.has_perm(EDIT),
        "form": form or RebuildForm(initial={"first": first, "last": last}),
        "asked": form is not None,
        **_retention(request),
    }
    return render(request, "dashboards/sums_check.html", context, status=status)


def _day_of(day: str, tables: Any) -> tuple[str, str]:
    parts = (f"{exact(count)} {selector.WORDS[what]}" for what, count in sorted(tables.items()))
    return day, ", ".join(parts)


def _difference(one: Difference) -> dict[str, Any]:
    """Return a difference with its words: the columns that differ, each with both values."""
    held, recounted = dict(one.held or {}), dict(one.recounted or {})
    names = [name for name in held or recounted if held.get(name) != recounted.get(name)]
    if one.held is None or one.recounted is None:  # a row of one side alone: what it says at all
        names = [name for name in names if (held or recounted)[name] not in (0, "0") and "histogram" not in name]
    side = "" if one.held and one.recounted else "only in the sums" if one.held else "missing in the sums"
    return {
        "what": selector.WORDS[one.what],
        "url": _url(one),
        "one": one,
        "side": side,
        "columns": [
            (name.replace("_", " "), _written(held.get(name)), _written(recounted.get(name)))
            for name in names[:MOST_COLUMNS]
        ],
        "more": max(0, len(names) - MOST_COLUMNS),
    }


def _url(one: Difference) -> str:
    """Return where the sum is shown: the budget, or what the use case cost on that day."""
    if one.budget_id is not None:
        return reverse("budget", args=[one.budget_id])
    day = one.day or (timezone.localtime(one.at).date() if one.at else None)
    names = [value for name, value in one.which if name == "use case"]
    if day is None or not names:
        return ""
    return f"{reverse('spend')}?{urlencode({'from': day, 'to': day, 'use_case': names[0]})}"


def _written(value: Any) -> str:
    if value is None:
        return "\N{EN DASH}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


@page(EDIT, "POST")
def check_now(request: HttpRequest) -> HttpResponse:
    asked = reconciling.ask_for(by=access.label(request.user), at=timezone.now())
    nudges.nudge(JOBS, "background")
    messages.success(request, "The check is in line." if asked else "A check is in line already.")
    return redirect("sums-check")


@page(EDIT, "POST")
def rebuild(request: HttpRequest) -> HttpResponse:
    form = RebuildForm(request.POST)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    data = form.cleaned_data
    try:
        rebuilding.ask_for(
            first=data["first"], last=data["last"], reason=data["reason"], by=access.label(request.user),
            at=timezone.now(),
        )  # fmt: skip
    except Invalid as error:
        form.show(error.problems)
        return _page(request, form=form, status=422)
    except Conflict as error:
        form.show([("first", str(error))])
        return _page(request, form=form, status=422)
    nudges.nudge(JOBS, "background")
    messages.success(request, "The rebuild is in line. When it is done, everything is checked once more.")
    return redirect("sums-check")


@page("view", "GET", "HEAD", "POST")
def retention_page(request: HttpRequest) -> HttpResponse:
    """Show how long the ledger is kept, and change it in two steps: what is dropped does not come back."""
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    context = {**_retention(request), "may_edit": request.user.has_perm(EDIT), "dropped": selector.dropped(most=120)}
    template = "dashboards/retention.html"
    if request.method != "POST":
        now = {
            "keep_ledger_months": organisation.keep_ledger_months,
            "keep_receipts_days": organisation.keep_receipts_days,
        }
        return render(request, template, {**context, "form": RetentionForm(initial=now)})
    demand(request, EDIT)
    form = RetentionForm(request.POST)
    if not form.is_valid():
        return render(request, template, {**context, "form": form}, status=422)
    at, data = timezone.now(), form.cleaned_data
    try:
        retention.check_settings(**data)
        if request.POST.get("confirm") == changing.digest(request):
            retention.change_settings(**data, by=access.label(request.user), at=at)
            messages.success(request, "Kept so from now on. Months that are due go within the hour.")
            return redirect("retention")
    except Invalid as error:
        form.show(error.problems)
        return render(request, template, {**context, "form": form}, status=422)
    goes = retention.due(keep_ledger_months=data["keep_ledger_months"], at=at)
    shown = {
        **context, "form": form, "confirm": changing.digest(request),
        "goes": sorted({one.month for one in goes}), "keeps": data,
    }  # fmt: skip
    return render(request, template, shown)


def _retention(request: HttpRequest) -> dict[str, Any]:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return {
        "keep_ledger_months": organisation.keep_ledger_months,
        "keep_receipts_days": organisation.keep_receipts_days,
    }
