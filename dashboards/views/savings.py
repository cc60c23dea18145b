"""What routing saved against one model per use case: by month, how it is worked out, and what is told against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from catalog.models import Offering, UseCase
from catalog.selectors import lists
from catalog.services import baselines
from core import access, periods
from core.errors import Invalid, NotFound
from core.models import Organisation
from dashboards.downloads import DAY, NUMBER, SHARE, TEXT, USD, Column, Table, offers
from dashboards.forms_goals import BaselineForm
from dashboards.selectors import overview as page_of
from dashboards.selectors.overview import Calendar
from dashboards.views.access import demand, page
from dashboards.views.changes_words import spend_url
from dashboards.views.month_address import month_of, month_urls
from usage.selectors import savings as selector
from usage.selectors.bridge import Days
from usage.selectors.savings import MonthSaved, Savings, Sums

EDIT = "catalog.edit"
ALL_WITHOUT = "all"
MONTHS, FILE_MONTHS = 2, 12  # that the page and its files tell of: the one shown and those before
METERS = {
    "uncached_input": "input", "cache_read": "read from prompt cache", "cache_write_5m": "written to it, 5 minutes",
    "cache_write_1h": "written to it, 1 hour", "output": "output", "audio_input": "audio in",
    "audio_output": "audio out", "image_input": "images in", "image_output": "images out", "requests": "requests",
    "web_searches": "web searches",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """A use case in the month shown."""

    use_case_id: int
    name: str
    baseline: str
    sums: Sums
    explain: str  # empty: nothing to explain


def _calendar(request: HttpRequest) -> Calendar:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return page_of.calendar_of(month=month_of(request), zone=organisation.zone, at=timezone.now())


def _saved(request: HttpRequest, month: Calendar, months: int) -> Savings:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    first = periods.add_months(month.first, 1 - months)
    return selector.saved(first=first, until=month.until, zone=organisation.zone)


def _table(request: HttpRequest) -> Table:
    month = _calendar(request)
    found = _saved(request, month, FILE_MONTHS)
    amounts = ("spend_usd", "paid_usd", "at_baseline_usd", "cache_lost_usd", "net_usd")
    counts = ("requests", "own_requests", "left_out_requests")
    return Table(
        name=f"savings-{month.first:%Y-%m}",
        title=f"Estimated savings against one model per use case, twelve months up to {month.name}",
        columns=[
            Column("month", DAY), Column("use_case", TEXT), Column("baseline", TEXT),
            *(Column(name, USD) for name in amounts), Column("covered", SHARE),
            *(Column(name, NUMBER) for name in counts),
        ],
        rows=[
            [row.month, row.use_case, row.baseline, *(getattr(row, name) for name in amounts), row.covered,
             *(getattr(row, name) for name in counts)]
            for row in sorted(found.rows, key=lambda row: (row.month, row.use_case))
        ],
    )  # fmt: skip


@page("view", "GET", "HEAD", "POST")
@offers(_table)
def savings(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _shown(request)
    demand(request, EDIT)
    form = _form(request.POST)
    if not form.is_valid():
        return _shown(request, form, status=422)
    chosen = form.cleaned_data["use_case"]
    cases = UseCase.objects.all() if chosen == ALL_WITHOUT else UseCase.objects.filter(pk=int(chosen))
    name = form.cleaned_data["baseline"]
    try:
        changed = baselines.choose(
            use_cases=list(cases),
            offering=Offering.objects.get(name=name) if name else None,
            by=access.label(request.user),
            reason=form.cleaned_data["reason"],
            only_without=chosen == ALL_WITHOUT,
        )
    except (Invalid, NotFound) as error:
        form.show(getattr(error, "problems", [("", str(error))]))
        return _shown(request, form, status=422)
    told = f"{changed} use case{'' if changed == 1 else 's'} changed." if changed else "It was so already."
    messages.success(request, told)
    return redirect("savings")


def _form(data: Any = None, initial: dict[str, Any] | None = None) -> BaselineForm:
    cases = UseCase.objects.order_by("name").values_list("id", "name", "baseline__name")
    choices = [(ALL_WITHOUT, "all that have none")]
    choices += [(str(pk), f"{name}, now {baseline}" if baseline else name) for pk, name, baseline in cases]
    return BaselineForm(data, use_cases=choices, offerings=lists.priced_offerings(), initial=initial)


def _shown(request: HttpRequest, form: BaselineForm | None = None, *, status: int = 200) -> HttpResponse:
    month = _calendar(request)
    found = _saved(request, month, MONTHS)
    rows = [row for row in found.rows if row.month == month.first]
    explained = _explained(request, rows)
    suggestions: list[tuple[str, str, str]] = []
    may_edit = access.may(request.user, EDIT)
    if found.without_baseline and may_edit:
        names = {row.use_case_id: row.use_case for row in found.rows}
        guessed = selector.suggested(first=month.first, until=month.until)
        suggestions = [
            (str(use_case), names[use_case], offering) for use_case, offering in guessed.items() if use_case in names
        ]
    asked = request.GET.get("use_case", "")
    if form is None and may_edit:
        guess = {use_case: offering for use_case, _, offering in suggestions}
        form = _form(initial={"use_case": asked or ALL_WITHOUT, "baseline": guess.get(asked, "")})
    total = selector.total(rows)
    context = {
        "calendar": month,
        "month_urls": month_urls("savings", month),
        "total": total,
        "without": [row.use_case for row in rows if row.baseline_id is None and row.spend_usd],
        "months": [(label, sums) for label, sums in found.by_month.items() if sums.spend_usd],
        "lines": [
            Line(
                use_case_id=row.use_case_id,
                name=row.use_case,
                baseline=row.baseline,
                sums=row,
                explain=f"?month={month.first:%Y-%m}&use_case={row.use_case_id}#worked-out" if row.requests else "",
            )
            for row in sorted(rows, key=lambda row: (-row.net_usd, row.use_case))
            if row.spend_usd or row.requests
        ],
        "explained": explained,
        "meters": [(METERS[line.meter], line) for line in explained.lines] if explained else [],
        "spend_url": spend_url(
            Days(first=month.first, until=min(month.until, month.today + timedelta(days=1))), by="model",
            **({"use_case": explained.use_case} if explained else {}),
        ),
        "suggestions": suggestions,
        "anything": bool(found.rows),
        "may_edit": may_edit,
        "form": form,
    }  # fmt: skip
    return render(request, "dashboards/savings.html", context, status=status)


def _explained(request: HttpRequest, rows: list[MonthSaved]) -> MonthSaved | None:
    """Return the use case whose numbers are worked out: the one asked for, else the one that shows most."""
    compared = [row for row in rows if row.requests]
    asked = request.GET.get("use_case", "")
    named = next((row for row in compared if str(row.use_case_id) == asked), None)
    return named or max(compared, key=lambda row: (row.cache_lost_usd, row.at_baseline_usd), default=None)
