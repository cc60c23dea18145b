"""Ranges of days by a name, such as `this-month`: an address that holds one stays fresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from core import periods

ONE_DAY = timedelta(days=1)
USUAL = "last-30-days"


@dataclass(frozen=True, kw_only=True)
class Range:
    title: str
    days: Callable[[date], tuple[date, date]]  # of today; both included
    offered: bool = True  # as a link; others can be had by their address and by a saved view


def _last(count: int) -> Callable[[date], tuple[date, date]]:
    return lambda today: (today - timedelta(days=count - 1), today)


def _months(back: int, count: int = 1) -> Callable[[date], tuple[date, date]]:
    """Return whole months, the first so many before the present one."""

    def days(today: date) -> tuple[date, date]:
        first = periods.add_months(today.replace(day=1), -back)
        return first, periods.add_months(first, count) - ONE_DAY

    return days


def _week(back: int) -> Callable[[date], tuple[date, date]]:
    def days(today: date) -> tuple[date, date]:
        first = today - timedelta(days=today.weekday() + 7 * back)
        return first, first + 6 * ONE_DAY

    return days


def _year(back: int) -> Callable[[date], tuple[date, date]]:
    return lambda today: (date(today.year - back, 1, 1), date(today.year - back, 12, 31))


RANGES: dict[str, Range] = {
    "today": Range(title="Today", days=_last(1), offered=False),
    "yesterday": Range(title="Yesterday", days=lambda today: (today - ONE_DAY, today - ONE_DAY), offered=False),
    "this-week": Range(title="This week", days=_week(0), offered=False),
    "last-week": Range(title="Last week", days=_week(1), offered=False),
    "last-7-days": Range(title="Last 7 days", days=_last(7)),
    USUAL: Range(title="Last 30 days", days=_last(30)),
    "last-90-days": Range(title="Last 90 days", days=_last(90)),
    "this-month": Range(title="This month", days=_months(0)),
    "last-month": Range(title="Last month", days=_months(1)),
    "last-12-months": Range(title="Last 12 months", days=_months(11, 12)),
    "this-year": Range(title="This year", days=_year(0), offered=False),
    "last-year": Range(title="Last year", days=_year(1), offered=False),
}
