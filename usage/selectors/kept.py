"""Which days the ledger keeps, and when they begin and end.

A day is one of the organisation's zone, as in `rollup_day`. Days of months that were closed while it had another zone
keep that zone's edges, so a day may hold two stretches of time, and one at the seam less than 24 hours. Every instant
lies in exactly one day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from django.db import connection

from core import periods
from core.models import Organisation
from usage.models import DroppedPartition, Month

Span = tuple[datetime, datetime]  # [start, end), UTC

LEDGER, UNSUMMED, QUARTERS = "ledger", "ledger_unsummed", "rollup_15min"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """The calendar of what is kept, as of one moment; its methods ask nothing of the database."""

    zone: str
    declared_tags: tuple[str, ...]
    elsewhere: tuple[tuple[str, datetime, datetime], ...]  # closed months of another zone: zone, start, end
    months: frozenset[date]  # UTC months that the ledger has
    dropped: frozenset[date]  # UTC months that it had

    def spans(self, day: date) -> tuple[Span, ...]:
        """Return when a day is, in the order of time."""
        rest = [_bounds(day, self.zone)]
        found = []
        for zone, starts_at, ends_at in self.elsewhere:
            theirs = _common(_bounds(day, zone), (starts_at, ends_at))
            if theirs is not None:
                found.append(theirs)
            rest = [piece for span in rest for piece in _without(span, (starts_at, ends_at))]
        return tuple(sorted([*found, *rest]))

    def lost(self, day: date) -> list[date]:
        """Return the dropped months that a day reaches into; a day without any is kept whole."""
        return sorted(self._months_of(day) & self.dropped)

    def days(self) -> list[date]:
        """Return every day that is kept whole, in order."""
        return list(_whole_days(self))

    def lost_days(self) -> list[date]:
        """Return every day that is not kept any more, or not whole, in order."""
        return sorted(day for day in _days_around(self.dropped) if self.lost(day))

    def _months_of(self, day: date) -> set[date]:
        found = set()
        for starts_at, ends_at in self.spans(day):
            month = starts_at.date().replace(day=1)
            while datetime(month.year, month.month, 1, tzinfo=UTC) < ends_at:
                found.add(month)
                month = periods.add_months(month, 1)
        return found


# Runs that go day by day ask anew before each day, and mostly about the same calendar.
@lru_cache(maxsize=4)
def _whole_days(calendar: Kept) -> tuple[date, ...]:
    around = _days_around(calendar.months - calendar.dropped)
    return tuple(sorted(day for day in around if calendar._months_of(day) & calendar.months and not calendar.lost(day)))


def current() -> Kept:
    """Return what is kept now. Four queries."""
    organisation = Organisation.objects.get(pk=1)
    elsewhere = Month.objects.exclude(zone=organisation.zone).order_by("label")
    return Kept(
        zone=organisation.zone,
        declared_tags=tuple(organisation.declared_tags),
        elsewhere=tuple(elsewhere.values_list("zone", "starts_at", "ends_at")),
        months=frozenset(partition_months(LEDGER)),
        dropped=frozenset(DroppedPartition.objects.filter(table=LEDGER).values_list("month", flat=True)),
    )


def dropped_within(starts_at: datetime | None, ends_at: datetime | None) -> list[date]:
    """Return the UTC months of [starts_at, ends_at) that the ledger does not hold any more, in order. One query.

    None is without beginning or end.
    """
    months = DroppedPartition.objects.filter(table=LEDGER)
    if starts_at is not None:
        months = months.filter(month__gte=starts_at.astimezone(UTC).date().replace(day=1))
    if ends_at is not None:
        last = (ends_at.astimezone(UTC) - timedelta(microseconds=1)).date()
        months = months.filter(month__lte=last)
    return list(months.order_by("month").values_list("month", flat=True))


def listed(months: Iterable[date]) -> str:
    """Write months for a sentence."""
    return ", ".join(f"{month:%B %Y}" for month in months)


def partition_months(table: str) -> set[date]:
    """Return the UTC months, by first day, that a partitioned table has a partition for. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT right(c.relname, 6) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass AND c.relname ~ %s",
            [table, f"^{table}_[0-9]{{6}}$"],
        )
        return {date(int(name[:4]), int(name[4:]), 1) for (name,) in cursor.fetchall()}


def _days_around(months: Iterable[date]) -> set[date]:
    found = set()
    for month in months:
        day, last = month - _DAY, periods.add_months(month, 1)
        while day <= last:
            found.add(day)
            day += _DAY
    return found


def _bounds(day: date, zone: str) -> Span:
    return periods.day_start(day, zone), periods.day_start(day + _DAY, zone)


def _common(one: Span, other: Span) -> Span | None:
    starts_at, ends_at = max(one[0], other[0]), min(one[1], other[1])
    return (starts_at, ends_at) if starts_at < ends_at else None


def _without(span: Span, taken: Span) -> Iterable[Span]:
    if taken[1] <= span[0] or span[1] <= taken[0]:
        yield span
        return
    if span[0] < taken[0]:
        yield span[0], taken[0]
    if taken[1] < span[1]:
        yield taken[1], span[1]
