"""A month in an address, `?month=2026-10` or `?upto=2026-10`, and the links to those beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.http import Http404, HttpRequest
from django.urls import reverse

from core import periods
from core.api import FIRST_YEAR, LAST_YEAR
from dashboards.selectors.overview import Calendar


@dataclass(frozen=True, kw_only=True)
class MonthUrls:
    earlier: str
    later: str  # empty: there is none yet
    present: str


def month_of(request: HttpRequest, name: str = "month") -> date | None:
    """Return the first day of the month that a parameter asks for, None where none is.

    Raises:
        Http404: it is no month.
    """
    text = request.GET.get(name, "")
    if not text:
        return None
    try:
        month = date.fromisoformat(f"{text}-01" if len(text) == 7 else "")
    except ValueError as error:
        raise Http404("A month is written 2026-10.") from error
    if not FIRST_YEAR < month.year <= LAST_YEAR:  # the month before is shown beside it
        raise Http404("There is nothing to tell of that year.")
    return month


def month_urls(name: str, month: Calendar) -> MonthUrls:
    address = reverse(name)
    return MonthUrls(
        earlier=f"{address}?month={periods.add_months(month.first, -1):%Y-%m}",
        later="" if month.runs else f"{address}?month={periods.add_months(month.first, 1):%Y-%m}",
        present="" if month.runs else address,
    )
