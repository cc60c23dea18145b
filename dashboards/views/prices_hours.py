"""Hours of the day that prices can be for, such as a provider's off-peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from catalog.selectors import proposals
from catalog.services import hour_windows
from core import access
from core.errors import Conflict, Invalid
from dashboards.forms_prices import WEEKDAYS, HoursForm
from dashboards.selectors import prices as page_of
from dashboards.selectors.prices import HoursRow
from dashboards.views import changing
from dashboards.views.access import demand, page


@dataclass(frozen=True, kw_only=True)
class HoursLine:
    """A window as the table shows it."""

    row: HoursRow
    days: str
    next_day: bool  # it ends on the day after


def days_words(weekdays: Sequence[int]) -> str:
    """Return weekdays in words: "every day", "Mon to Fri", "Mon, Wed"."""
    if len(weekdays) == 7:
        return "every day"
    names = [WEEKDAYS[day][:3] for day in weekdays]
    if len(weekdays) > 2 and list(weekdays) == list(range(weekdays[0], weekdays[-1] + 1)):
        return f"{names[0]} to {names[-1]}"
    return ", ".join(names)


@page("view", "GET", "HEAD", "POST")
def hours_page(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _hours(request, HoursForm())
    demand(request, "prices.approve")
    form = HoursForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            missing = [name for name in ("starts", "ends") if data[name] is None]
            if missing:
                raise Invalid("Give both times.", [(name, "Give a time such as 16:30.") for name in missing])
            made = hour_windows.ensure(
                name=data["name"].strip(),
                zone=data["zone"].strip(),
                weekdays=data["weekdays"],
                starts=data["starts"],
                ends=data["ends"],
                by=access.label(request.user),
            )
        except Invalid as error:
            form.show(error.problems)
        except Conflict as error:
            form.show([("name", str(error))])
        else:
            changing.settled()
            messages.success(request, f"Prices can be set for the hours {made.name} now.")
            return redirect("prices-hours")
    return _hours(request, form, status=422)


def _hours(request: HttpRequest, form: HoursForm, *, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "lines": [
            HoursLine(row=row, days=days_words(row.weekdays), next_day=row.ends <= row.starts)
            for row in page_of.hours()
        ],
        "may_set": request.user.has_perm("prices.approve"),
        "waiting": proposals.known_count(),
    }
    return render(request, "dashboards/prices_hours.html", context, status=status)
