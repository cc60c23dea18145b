"""Imports: a range of a gateway's past, taken in as a source of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core.errors import Conflict, Invalid
from core.services import audit, barrier
from usage.models import Source, SourceKind
from usage.services import partitions


class RangeIsCounted(Conflict):
    """The ledger already counts entries of that gateway in the range; an import for audit is possible."""


def open_import(
    *,
    gateway_id: int,
    covers: tuple[datetime, datetime],
    by: str,
    at: datetime,
    audit_only: bool = False,
    note: str = "",
) -> Source:
    """Make a source for events of [covers[0], covers[1]) of a gateway, and the partitions they need.

    From then on live events of that gateway inside the range are kept aside as shadow, unless the import is for audit.

    Raises:
        Invalid: the range is empty or not in whole instants of a zone.
        RangeIsCounted: nothing changed.
    """
    make_room(covers)
    with transaction.atomic(durable=True):
        hold_still(by=by, reason=note)
        return open_held(gateway_id=gateway_id, covers=covers, at=at, audit_only=audit_only, note=note)


def make_room(covers: tuple[datetime, datetime]) -> None:
    """Make the partitions that a range needs: outside of the transaction that opens it.

    Raises:
        Invalid: the range is empty.
    """
    starts_at, ends_at = covers
    if starts_at >= ends_at:
        raise Invalid("The range ends before it starts.", [("covers", "Give a start before the end.")])
    partitions.make(first=starts_at.astimezone(UTC).date(), last=ends_at.astimezone(UTC).date())


def hold_still(*, by: str, reason: str) -> None:
    """Keep bookings out for the rest of the transaction: one could count a live event of a range after we looked."""
    barrier.hold_exclusive()
    audit.acting(by=by, reason=reason)


def open_held(
    *, gateway_id: int, covers: tuple[datetime, datetime], at: datetime, audit_only: bool, note: str
) -> Source:
    """Make the source while bookings are held out. See `open_import`."""
    starts_at, ends_at = covers
    if not audit_only and _is_counted(gateway_id=gateway_id, starts_at=starts_at, ends_at=ends_at):
        raise RangeIsCounted("The ledger already holds counted entries of this gateway in that range.")
    try:
        with transaction.atomic():
            return Source.objects.create(
                gateway_id=gateway_id,
                kind=SourceKind.IMPORT,
                covers=DateTimeTZRange(starts_at, ends_at),
                audit=audit_only,
                note=note,
                created_at=at,
            )
    except IntegrityError as error:
        raise RangeIsCounted("Another counted import of this gateway overlaps the range.") from error


def _is_counted(*, gateway_id: int, starts_at: datetime, ends_at: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM ledger WHERE gateway_id = %s AND occurred_at >= %s AND occurred_at < %s)",
            [gateway_id, starts_at, ends_at],
        )
        row = cursor.fetchone()
    return bool(row and row[0])
