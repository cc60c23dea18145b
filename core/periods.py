"""Periods in IANA zones, as half-open ranges of instants. No clock: the instant is an argument.

A period starts at midnight of its first day on the zone's wall clock. Where that midnight does not exist (clocks jump
over it) the period starts at the first instant after the gap, where it comes twice at the first of the two, so periods
abut exactly and every instant lies in exactly one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

KINDS = ("day", "week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """[starts_at, ends_at) in UTC, with its first day on the wall clock."""

    starts_at: datetime
    ends_at: datetime
    first_day: date

    def __contains__(self, instant: datetime) -> bool:
        return self.starts_at <= instant < self.ends_at


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Return the names of the IANA database. Looking for them reads hundreds of files, so it is done once."""
    # Whatever this machine's own clock is set to: a name that PostgreSQL does not know.
    return frozenset(available_timezones() - {"localtime"})


@lru_cache(maxsize=4096)
def day_start(day: date, zone: str) -> datetime:
    """Return the instant (UTC) at which a day begins in a zone."""
    local = ZoneInfo(zone)
    first = datetime.combine(day, time(), tzinfo=local).astimezone(UTC)
    if first.astimezone(local).date() == day and first.astimezone(local).time() == time():
        return first
    # Midnight falls into a gap: zoneinfo reads it with the offset before (fold 0) and lands after the jump by the
    # part of the gap already gone. The day begins where the new offset begins, which is midnight read with fold 1
    # plus the gap; look for the first quarter hour that belongs to the day.
    probe = first - timedelta(hours=3)
    while probe.astimezone(local).date() < day:
        probe += timedelta(minutes=15)
    return probe


def local_day(instant: datetime, zone: str) -> date:
    """Return the day that an instant falls on in a zone."""
    return instant.astimezone(ZoneInfo(zone)).date()


def last_day(period: Period, zone: str) -> date:
    """Return the last day of a period on the wall clock of its zone."""
    return local_day(period.ends_at - timedelta.resolution, zone)


def clock_text(instant: datetime, zone: str) -> str:
    """Return what a clock in a zone shows, for people: `3 June 2026, 14:05 Europe/Berlin`."""
    return f"{instant.astimezone(ZoneInfo(zone)):%-d %B %Y, %H:%M} {zone}"


def monday(day: date) -> date:
    """Return the first day of a day's week."""
    return day - timedelta(days=day.weekday())


def called(first_day: date, kind: str, *, fiscal_start_month: int = 1) -> str:
    """Return the period of a kind that begins on a day, as people call it: `12 October 2026`, `Q4 2026`.

    Quarters and years that begin with another month than January are told by their months: whoever hears of Q1 would
    not know which.
    """
    if kind == "day":
        return f"{first_day:%-d %B %Y}"
    if kind == "month":
        return f"{first_day:%B %Y}"
    if kind == "year" and fiscal_start_month == 1:
        return f"{first_day:%Y}"
    if kind == "quarter" and fiscal_start_month == 1:
        return f"Q{(first_day.month + 2) // 3} {first_day:%Y}"
    last = _next_first_day(first_day, kind) - timedelta(days=1)
    day = "%-d " if kind == "week" else ""
    if first_day.year != last.year:
        return f"{first_day:{day}%B %Y} to {last:{day}%B %Y}"
    if first_day.month != last.month:
        return f"{first_day:{day}%B} to {last:{day}%B %Y}"
    return f"{first_day.day} to {last:%-d %B %Y}"


def _first_day(day: date, kind: str, fiscal_start_month: int) -> date:
    if kind == "day":
        return day
    if kind == "week":
        return monday(day)
    if kind == "month":
        return day.replace(day=1)
    months = 3 if kind == "quarter" else 12
    since = (day.month - fiscal_start_month) % months
    return add_months(day.replace(day=1), -since)


def add_months(first: date, months: int) -> date:
    """Move the first day of a month by whole months."""
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _next_first_day(first: date, kind: str) -> date:
    if kind == "day":
        return first + timedelta(days=1)
    if kind == "week":
        return first + timedelta(days=7)
    return add_months(first, {"month": 1, "quarter": 3, "year": 12}[kind])


@lru_cache(maxsize=4096)
def starting(first: date, kind: str, zone: str) -> Period:
    """Return the period of a kind whose first day is given."""
    return Period(day_start(first, zone), day_start(_next_first_day(first, kind), zone), first)


def containing(instant: datetime, kind: str, zone: str, *, fiscal_start_month: int = 1) -> Period:
    """Return the period of a kind that holds an instant.

    Weeks begin on Monday. Quarters and years begin with the fiscal start month.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of period: {kind!r}")
    return starting(_first_day(local_day(instant, zone), kind, fiscal_start_month), kind, zone)


def month(first: date, zone: str) -> Period:
    """Return the calendar month that begins on a day."""
    return starting(first, "month", zone)
