"""Days in an address: `from` and `to`, both included, in the organisation's zone. Spend and Routing read them alike."""

from __future__ import annotations

import re
from datetime import date, timedelta

from django.http import QueryDict

from core import periods
from core.api import FIRST_YEAR, LAST_YEAR
from dashboards.charts.parts import day_of

ONE_DAY = timedelta(days=1)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def read_day(query: QueryDict, name: str, problems: list[str]) -> date | None:
    """Return the day that a parameter names, None where it is empty or means nothing; that is added to `problems`."""
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        found = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR < found.year <= LAST_YEAR:
        problems.append(f"{text!r} is no day such as 2026-11-20.")
        return None
    return found


def filled(first: date | None, last: date | None, *, today: date, usual: int) -> tuple[date, date]:
    """Return the days that are meant: with the first alone until today, else `usual` many up to the last, or today."""
    ends = last or max(today, first or today)
    return first or ends - timedelta(days=usual - 1), ends


def presets(today: date) -> dict[str, tuple[date, date]]:
    """Return the ranges that are offered, by what they are called."""
    month = today.replace(day=1)
    return {
        "This month": (month, periods.add_months(month, 1) - ONE_DAY),
        "Last month": (periods.add_months(month, -1), month - ONE_DAY),
        "Last 30 days": (today - timedelta(days=29), today),
        "Last 90 days": (today - timedelta(days=89), today),
    }


def range_words(first: date, last: date) -> str:
    if first == last:
        return day_of(first)
    return f"{day_of(first)} to {day_of(last)}, both included: {(last - first).days + 1:,} days"
