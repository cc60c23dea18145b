"""Partitions by month, made before anybody needs them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.db import connection, transaction

from alerts.models import Severity
from alerts.services import raising, resolving
from core.periods import add_months
from usage.selectors import kept

MONTHS_AHEAD = 2
LONGEST_WAIT = "1s"
SHORT = "partitions_short"
TABLES = (kept.LEDGER, kept.UNSUMMED, kept.QUARTERS)


def make(*, first: date, last: date) -> int:
    """Make what is missing for the UTC months from `first` to `last`, both included; returns how many tables."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT usage_make_partitions(%s, %s)", [first, last])
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def busy(error: Exception) -> bool:
    """Say whether a table could not be had in `LONGEST_WAIT`."""
    return getattr(error.__cause__, "sqlstate", None) == "55P03"  # PostgreSQL's lock_not_available


def make_ahead(*, at: datetime) -> int:
    """Make this month's and the next two months' partitions; raises OperationalError where the ledger is `busy`."""
    this = at.astimezone(UTC).date().replace(day=1)
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Whoever waits to make a partition, behind somebody who reads for long, keeps every booking waiting too.
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LONGEST_WAIT])
        return make(first=this, last=add_months(this, MONTHS_AHEAD))


def months() -> set[date]:
    """Return the UTC months, by first day, that the ledger has a partition for."""
    return kept.partition_months(kept.LEDGER)


@transaction.atomic
def look_ahead(*, at: datetime) -> list[date]:
    """Return which of the next two months lack a partition, and alert of them, once for each month that runs.

    Events of a month without partitions have theirs made when they come, so this costs nothing yet: it says that
    whatever makes them ahead fails, while there is time. Once all are there the alert is resolved.
    """
    this = at.astimezone(UTC).date().replace(day=1)
    ahead = [add_months(this, number) for number in range(MONTHS_AHEAD + 1)]
    missing = [month for month in ahead if any(month not in kept.partition_months(table) for table in TABLES)]
    if not missing:
        resolving.resolve(kind=SHORT, at=at, dedupe_key_prefix=f"{SHORT}:")
        return []
    named = ", ".join(f"{month:%B %Y}" for month in missing)
    raising.raise_alert(
        kind=SHORT,
        dedupe_key=f"{SHORT}:{this:%Y-%m}",
        severity=Severity.CRITICAL,
        title=f"The ledger has no partition for {named}",
        facts={
            "summary": "Partitions are made two months ahead, every hour, and that has failed. When a month begins "
            "without one, its events wait.",
            "rows": [["Missing", named]],
            "next": "Look for housekeeping.failed in the log of the background worker: the database says why. Often a "
            "table stands in the way that has the name of a partition or its range.",
            "links": [["Sums and retention", "/reconciliation/sums/"]],
        },
        subject_kind="partition",
        subject_id=None,
        team_ids=[],
        budget_id=None,
        at=at,
    )
    return missing


_known: set[tuple[int, int]] = set()
_SAFE = MONTHS_AHEAD + 12  # months from the newest partition back that retention never drops


class Missing(Exception):
    """Entries need partitions that are not there; `months` names them by first day."""

    def __init__(self, months: list[date]) -> None:
        super().__init__(", ".join(f"{month:%Y-%m}" for month in months))
        self.months = months


def require(times: Iterable[datetime]) -> None:
    """Check, from memory where retention cannot have been, that every time (UTC) has a partition.

    Raises:
        Missing: make them outside the transaction and start again; making a table inside would wait for every other
            booking, and they for this one.
    """
    needed = {(at.year, at.month) for at in times}
    if (
        needed <= _known
        and _months_of(min(needed, default=(9999, 1))) > _months_of(max(_known, default=(0, 1))) - _SAFE
    ):
        return
    _known.clear()
    _known.update((month.year, month.month) for month in months())
    missing = sorted(needed - _known)
    if missing:
        raise Missing([date(year, month, 1) for year, month in missing])


def _months_of(month: tuple[int, int]) -> int:
    return month[0] * 12 + month[1]


def forget() -> None:
    """Drop what is kept in memory; for tests."""
    _known.clear()
