"""Budgets at a glance, one of them in full, and what people change about them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from budgets import wording
from budgets.models import Budget
from budgets.selectors.overview import BudgetRow
from budgets.services import budgets as service
from core import access, nudges
from core.errors import Conflict, Invalid
from core.models import Organisation
from core.periods import Period
from dashboards.charts import budgets as charts
from dashboards.forms import BudgetForm, LimitForm, RetireForm
from dashboards.selectors import budgets as page_of
from dashboards.templatetags.figures import exact, tokens, usd
from dashboards.views.access import page
from usage.selectors import freshness
from usage.tasks import JOBS

STATES = {
    "OK": ("ok", "OK"),
    "WARN": ("warning", "Warning"),
    "ALERT": ("warning", "Nearly used up"),
    "EXCEEDED": ("danger", "Used up"),
    "BUILDING": ("info", "Being counted"),
    "RETIRED": ("neutral", "Retired"),
}
ACTIONS = {"alert": "alerts only", "downgrade": "downgrades", "block": "blocks"}
DIMENSION_WORDS = {
    "use_case": "use case",
    "team": "team",
    "model": "model",
    "offering": "offering",
    "provider": "provider",
    "tier": "tier",
    "gateway": "gateway",
}


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """A budget as the table shows it."""

    row: BudgetRow
    scope: str
    used: str
    used_exact: str
    limit: str
    limit_exact: str
    share: Decimal | None
    expected: Decimal | None
    forecast: str
    per: str
    tone: str
    state: str
    action: str


def line_of(row: BudgetRow) -> BudgetLine:
    tone, state = STATES[row.state]
    return BudgetLine(
        row=row,
        scope=in_words(row),
        used=short(row.unit, row.used) if row.state != "BUILDING" else "\N{EN DASH}",
        used_exact=full(row.unit, row.used),
        limit=short(row.unit, row.limit),
        limit_exact=full(row.unit, row.limit) if row.limit is not None else "no limit is in force",
        # Rounded down as everywhere, so that 69.96 % never reads as a threshold of 70 passed.
        share=row.per_cent_used / 100 if row.per_cent_used is not None and row.state != "BUILDING" else None,
        expected=row.forecast.at_end / row.limit if row.forecast and row.limit else None,
        forecast=_forecast(row),
        per=f"a {row.period_kind}" if row.unit == "usd" else f"{_unit(row.unit)} a {row.period_kind}",
        tone=tone,
        state=state,
        action=ACTIONS[row.action] + (" (trial)" if row.trial else ""),
    )


def in_words(row: BudgetRow) -> str:
    """Return a scope as a sentence's part: "use case support-routing, model gpt-5.5 or gpt-5.4"."""
    if not row.scope:
        return "everything"
    parts = []
    for dimension, values in row.scope.items():
        label = DIMENSION_WORDS.get(dimension, dimension.replace("tag:", "tag "))
        parts.append(f"{label} {' or '.join(values)}")
    return ", ".join(parts)


def short(unit: str, value: Decimal | None) -> str:
    return usd(value) if unit == "usd" else tokens(value)


def full(unit: str, value: Decimal | None) -> str:
    if value is None:
        return ""
    return f"{exact(value)} {_unit(unit)}"


def _unit(unit: str) -> str:
    return "USD" if unit == "usd" else unit.replace("_", " ")


def _forecast(row: BudgetRow) -> str:
    if row.state in ("BUILDING", "RETIRED") or row.limit is None:
        return "\N{EN DASH}"
    if row.used >= row.limit:
        return "used up"
    if row.forecast is None:
        return "after 3 full days"
    if row.forecast.runs_out_on is None:
        return f"lasts the {row.period_kind}"
    return f"runs out {row.forecast.runs_out_on.day} {row.forecast.runs_out_on:%b}"


@page("view")
def budgets_page(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    lines = [line_of(row) for row in page_of.at_a_glance(at=now, zone=organisation.zone)]
    context = {
        "lines": lines,
        "may_edit": request.user.has_perm("limits.approve"),  # a new budget comes with a limit
        "counts": {
            "exceeded": sum(line.row.state == "EXCEEDED" for line in lines),
            "near": sum(line.row.state in ("WARN", "ALERT") for line in lines),
            "running_out": sum(bool(line.row.forecast and line.row.forecast.runs_out_on) for line in lines),
            "all": len(lines),
        },
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/budgets.html", context)


@page("view")
def budget(request: HttpRequest, pk: int) -> HttpResponse:
    return _budget(request, pk, limit_form=LimitForm(), retire_form=RetireForm())


def _budget(request: HttpRequest, pk: int, *, status: int = 200, **forms: Any) -> HttpResponse:
    now = timezone.now()
    shown = page_of.one(budget_id=pk, at=now)
    if shown is None:
        raise Http404("There is no such budget.")
    row = shown.row
    line = line_of(row)
    alive = row.retired_at is None
    left = None if row.limit is None or row.state == "BUILDING" else max(row.limit - row.used, Decimal(0))
    context = {
        "page": shown,
        "row": row,
        "line": line,
        "chart": charts.burn_down(
            definition=shown.definition,
            period=row.period,
            daily=shown.daily,
            used=row.used,
            forecast=row.forecast,
            at=now,
        ),
        "period_days": wording.days(row.period, row.zone),
        "left_words": short(row.unit, left),
        "left_exact": full(row.unit, left),
        "limit_note": f"version {row.limit_version}, per {row.period_kind}" if row.limit_version else "",
        "used_note": _unit(row.unit) if row.per_cent_used is None else f"{row.per_cent_used} % of the limit",
        "gone_note": f"{row.per_cent_gone} % of the {row.period_kind} is gone",
        "pace_note": f"{short(row.unit, row.forecast.at_end)} at the end of the {row.period_kind}, "
        f"{short(row.unit, row.forecast.per_day)} a day"
        if row.forecast
        else "",
        "at_the_limit": wording.at_the_limit(
            shown.definition, row.period, reached=row.state == "EXCEEDED", over=now >= row.period.ends_at
        ),
        "bound": _bound(row),
        "limits": [(limit, short(row.unit, limit.amount), full(row.unit, limit.amount)) for limit in row.limits],
        "drivers": [
            (title, [(one, short(row.unit, one.used), full(row.unit, one.used)) for one in shown.drivers.get(kind, ())])
            for kind, title in (("offering", "By model"), ("rules_version", "By version of the rules"))
        ],
        "told": [
            (one, short(row.unit, one.crossing.used), full(row.unit, one.crossing.used), _deliveries(one))
            for one in shown.told
        ],
        "past": [(_named(period, row), short(row.unit, used), full(row.unit, used)) for period, used in shown.past],
        "unclassified": short(row.unit, row.unclassified) if row.unclassified else "",
        "may_edit": alive and request.user.has_perm("budgets.edit"),
        "may_set_limit": alive and request.user.has_perm("limits.approve"),
        "complete_through": freshness.complete_through(at=now),
        **forms,
    }
    return render(request, "dashboards/budget.html", context, status=status)


def _named(period: Period, row: BudgetRow) -> str:
    return f"{period.first_day:%B %Y}" if row.period_kind == "month" else wording.days(period, row.zone)


def _deliveries(told: page_of.Told) -> list[str]:
    if told.alert is None:
        return []
    found = []
    for one in told.alert.deliveries:
        if one.channel_id is None:
            found.append("not sent: past period" if one.state == "not_sent" else "nobody: no channel wants it")
        else:
            found.append(f"{one.channel}: {one.state.replace('_', ' ')}{f' ({one.reason})' if one.reason else ''}")
    return found


def _bound(row: BudgetRow) -> str:
    """Say what is used in a minute at the mean pace: by how much a soft limit is overshot per minute of delay."""
    if row.forecast is None or row.unit == "requests":
        return ""
    per_minute = row.forecast.per_day / (24 * 60)
    return short(row.unit, per_minute.quantize(Decimal("0.0001") if row.unit == "usd" else Decimal(1)))


@page("limits.approve", "GET", "POST")
def create(request: HttpRequest) -> HttpResponse:
    names = page_of.names()
    if request.method != "POST":
        return render(request, "dashboards/budget_new.html", {"form": BudgetForm(names=names)})
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    form = BudgetForm(request.POST, names=names)
    if form.is_valid():  # else a choice was sent that is none of the choices
        data = form.cleaned_data
        try:
            made = service.create(
                name=data["name"],
                scope=form.scope,
                unit=data["unit"],
                period=data["period"],
                zone=organisation.zone,
                action=data["action"],
                trial=data["trial"],
                thresholds=data["thresholds"],
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
            _tell()
            messages.success(
                request, f"The budget {made.name!r} is made. What was used before is being summed; that takes a moment."
            )
            return redirect("budget", pk=made.pk)
    return render(request, "dashboards/budget_new.html", {"form": form}, status=422)


@page("limits.approve", "POST")
def set_limit(request: HttpRequest, pk: int) -> HttpResponse:
    form = LimitForm(request.POST)
    found = _found(pk)
    if not form.is_valid():  # a NUL character, which no text holds
        return _budget(request, pk, status=422, limit_form=form, retire_form=RetireForm())
    by = access.label(request.user)
    try:
        limit = service.set_limit(
            budget=found,
            amount=form.cleaned_data["amount"],
            reason=form.cleaned_data["reason"],
            by=by,
            approved_by=by,
            at=timezone.now(),
        )
    except Invalid as error:
        form.show(error.problems)
        return _budget(request, pk, status=422, limit_form=form, retire_form=RetireForm())
    except Conflict as error:
        messages.error(request, str(error))
        return redirect("budget", pk=pk)
    _tell()
    messages.success(request, f"Version {limit.version} of the limit is in force: {full(found.unit, limit.amount)}.")
    return redirect("budget", pk=pk)


@page("budgets.edit", "POST")
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    form = RetireForm(request.POST)
    found = _found(pk)
    if not form.is_valid():
        return _budget(request, pk, status=422, limit_form=LimitForm(), retire_form=form)
    reason = form.cleaned_data["reason"].strip()
    if not reason:
        form.show([("reason", "This is needed.")])
        return _budget(request, pk, status=422, limit_form=LimitForm(), retire_form=form)
    service.retire(budget=found, reason=reason, by=access.label(request.user), at=timezone.now())
    _tell()
    messages.success(request, f"The budget {found.name!r} is retired. What it counted and told stays.")
    return redirect(reverse("budgets"))


def _found(pk: int) -> Budget:
    found = Budget.objects.filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such budget.")
    return found


def _tell() -> None:
    """Ask the workers to look now: for counters to build, and for alerts that a change of a limit raised."""
    nudges.nudge(JOBS, "background")
    nudges.nudge("alerts.tasks.deliver_due", "alerts")
