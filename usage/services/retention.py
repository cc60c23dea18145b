"""How long the ledger is kept: months that are closed and old enough are dropped whole.

# Note [What retention leaves]
A month of the ledger goes whole, as a partition: no row is ever deleted. It goes only when everything in it belongs to
closed months older than the organisation keeps. Its sums stay: rollups of quarter hours and days are not touched, so
spend, budgets and months read as before. What needs single entries does not reach it any more: an answer from the
ledger is refused there, sums of its days are not rebuilt or checked, and a correction of the past restates what is
left.

What an import for audit brings of such months is kept as if it had happened when it was imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import structlog
from django.db import OperationalError, connection, transaction

from core import periods
from core.errors import Invalid
from core.models import Organisation
from core.services import audit
from usage.models import DroppedPartition, Month, Source, SourceKind
from usage.selectors import kept
from usage.services import partitions

log = structlog.get_logger(__name__)

LEAST_MONTHS = 12
MOST_MONTHS = 1200
MOST_DAYS = 3650


@dataclass(frozen=True, kw_only=True)
class Due:
    """A partition that retention would drop now."""

    table: str
    month: date

    @property
    def name(self) -> str:
        return f"{self.table}_{self.month:%Y%m}"


def check_settings(*, keep_ledger_months: int | None, keep_receipts_days: int, reason: str) -> None:
    """Look at settings before they are made.

    Raises:
        Invalid: all reasons at once.
    """
    problems = []
    if keep_ledger_months is not None and not LEAST_MONTHS <= keep_ledger_months <= MOST_MONTHS:
        problems.append(
            ("keep_ledger_months", f"Keep at least {LEAST_MONTHS} months, or all of them; up to {MOST_MONTHS}.")
        )
    if not 1 <= keep_receipts_days <= MOST_DAYS:
        problems.append(("keep_receipts_days", f"Keep them 1 to {MOST_DAYS} days."))
    if not reason.strip():
        problems.append(("reason", "Say why: it is kept in the audit trail."))
    if problems:
        raise Invalid("Retention cannot be set so.", problems)


@transaction.atomic(durable=True)
def change_settings(
    *, keep_ledger_months: int | None, keep_receipts_days: int, by: str, reason: str, at: datetime
) -> None:
    """Set how long the ledger (None: for good) and the events of booked receipts are kept.

    Raises:
        Invalid: all reasons at once; nothing changed.
    """
    check_settings(keep_ledger_months=keep_ledger_months, keep_receipts_days=keep_receipts_days, reason=reason)
    audit.acting(by=by, reason=reason.strip())
    Organisation.objects.filter(pk=1).update(
        keep_ledger_months=keep_ledger_months, keep_receipts_days=keep_receipts_days
    )


def due(*, keep_ledger_months: int | None, at: datetime) -> list[Due]:
    """Return the partitions that would be dropped if so many months were kept, oldest first. Five queries."""
    if keep_ledger_months is None:
        return []
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    running = periods.local_day(at, zone).replace(day=1)
    kept_from = periods.month(periods.add_months(running, -keep_ledger_months), zone).starts_at
    closed = sorted(Month.objects.values_list("starts_at", "ends_at"))
    imports = Source.objects.filter(kind=SourceKind.IMPORT, created_at__gte=kept_from)
    brought = {
        kept.LEDGER: [],
        kept.UNSUMMED: [(covers.lower, covers.upper) for covers in imports.values_list("covers", flat=True) if covers],
    }
    return [
        Due(table=table, month=month)
        for table, spans in brought.items()
        for month in sorted(kept.partition_months(table))
        if _end(month) <= kept_from
        and _covered(month, closed)
        and not any(starts_at < _end(month) and _start(month) < ends_at for starts_at, ends_at in spans)
    ]


def drop_old_months(*, at: datetime) -> list[str]:
    """Drop the partitions that are due, each with its record in one transaction; returns their names.

    Safe to repeat and to break off. One that somebody reads at the moment is left for the next time: whoever waits for
    a partition keeps every booking waiting behind him. See Note [What retention leaves].
    """
    keep = Organisation.objects.values_list("keep_ledger_months", flat=True).get(pk=1)
    dropped = []
    for one in due(keep_ledger_months=keep, at=at):
        try:
            rows = _drop(one, keep_ledger_months=keep or 0, at=at)
        except OperationalError as error:
            if not partitions.busy(error):
                raise
            log.warning("partition.busy", partition=one.name)
            continue
        log.info("partition.dropped", partition=one.name, rows=rows)
        dropped.append(one.name)
    return dropped


@transaction.atomic(durable=True)
def _drop(one: Due, *, keep_ledger_months: int, at: datetime) -> int:
    audit.acting(by="retention", reason=f"The ledger is kept for {keep_ledger_months} months.")
    with connection.cursor() as cursor:
        # Its months are closed, so what is counted here is what is dropped.
        cursor.execute(f"SELECT count(*) FROM {one.name}")
        (rows,) = cursor.fetchone() or (0,)
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [partitions.LONGEST_WAIT])
        cursor.execute(f"DROP TABLE {one.name}")
    DroppedPartition.objects.bulk_create(
        [
            DroppedPartition(
                table=one.table,
                month=one.month,
                rows=rows,
                dropped_at=at,
                by="retention",
                keep_ledger_months=keep_ledger_months,
            )
        ],
        # An import for audit made partitions of the month once more: the ledger's is empty, and was told of.
        ignore_conflicts=True,
    )
    return int(rows)


def _start(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def _end(month: date) -> datetime:
    return _start(periods.add_months(month, 1))


def _covered(month: date, closed: Sequence[tuple[datetime, datetime]]) -> bool:
    """Say whether every instant of a UTC month lies in a closed month."""
    at, ends_at = _start(month), _end(month)
    for starts_at, until in closed:
        if starts_at <= at < until:
            at = until
    return at >= ends_at
