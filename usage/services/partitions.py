"""Partitions by month, made before anybody needs them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.db import connection, transaction

from core.periods import add_months

MONTHS_AHEAD = 2


def make(*, first: date, last: date) -> int:
    """Make what is missing for the UTC months from `first` to `last`, both included; returns how many tables."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT usage_make_partitions(%s, %s)", [first, last])
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def make_ahead(*, at: datetime) -> int:
    """Make this month's and the next two months' partitions."""
    this = at.astimezone(UTC).date().replace(day=1)
    return make(first=this, last=add_months(this, MONTHS_AHEAD))


def months() -> set[date]:
    """Return the UTC months, by first day, that the ledger has a partition for."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT right(c.relname, 6) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'ledger'::regclass"
        )
        return {date(int(name[:4]), int(name[4:]), 1) for (name,) in cursor.fetchall()}


_known: set[tuple[int, int]] = set()


class Missing(Exception):
    """Entries need partitions that are not there; `months` names them by first day."""

    def __init__(self, months: list[date]) -> None:
        super().__init__(", ".join(f"{month:%Y-%m}" for month in months))
        self.months = months


def require(times: Iterable[datetime]) -> None:
    """Check, from memory, that every time (UTC) has a partition.

    Raises:
        Missing: make them outside the transaction and start again; making a table inside would wait for every other
            booking, and they for this one.
    """
    needed = {(at.year, at.month) for at in times}
    if needed <= _known:
        return
    _known.update((month.year, month.month) for month in months())
    missing = sorted(needed - _known)
    if missing:
        raise Missing([date(year, month, 1) for year, month in missing])


def forget() -> None:
    """Drop what is kept in memory; for tests."""
    _known.clear()
