"""Receipts as people look at them: what came in, what became of it, and what waits for somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Q

from usage.models import HeldEvent, Receipt, SourceKind

# Which receipts a list shows; those that are given up are no longer set aside.
SHOWN = {
    "all": "true",
    "pending": "r.state = 'pending'",
    "done": "r.state = 'done'",
    "failed": "r.state = 'failed' AND r.given_up_at IS NULL",
    "given_up": "r.state = 'failed' AND r.given_up_at IS NOT NULL",
    # As `models.receipts.counted_in_part` says, word for word, so that its index is found.
    "in_part": "(r.rejected_count > 0 OR r.conflicts > 0 OR r.quarantined > 0 OR r.shadowed > 0 OR r.superseded > 0)",
}
MOST_REJECTED = 200  # of one receipt that are shown


@dataclass(frozen=True, kw_only=True)
class ReceiptRow:
    """A body that came in. Counts are events; of one that waits or is set aside nothing is told apart yet."""

    id: int
    gateway_id: int
    gateway: str
    imported: bool  # a part of a file, no body of the gateway
    environment: str
    format: str
    state: str
    received_at: datetime
    first_occurred_at: datetime | None
    last_occurred_at: datetime | None
    done_at: datetime | None
    events: int
    size_bytes: int | None  # of the events as they are kept; None where they are gone
    rejected: int
    booked: int
    duplicates: int
    conflicts: int
    quarantined: int
    shadowed: int
    superseded: int
    attempts: int
    try_after: datetime
    error: str
    given_up_at: datetime | None
    given_up_by: str
    given_up_because: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An item of a body that could not be an event."""

    index: int
    error: str


@dataclass(frozen=True, kw_only=True)
class ReceiptDetail:
    row: ReceiptRow
    refusals: Sequence[Refusal]  # the first 200
    open_held: int  # held events of it that nobody settled
    held: int


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What there is, in bodies and events."""

    set_aside: int = 0
    waiting: int = 0
    waiting_events: int = 0
    conflicts: int = 0  # held events that nobody settled
    too_old: int = 0

    @property
    def held(self) -> int:
        return self.conflicts + self.too_old


_COLUMNS = """
    r.id, g.id AS gateway_id, g.name AS gateway, s.kind <> 'live' AS imported, r.environment, r.format, r.state,
    r.received_at, r.first_occurred_at, r.last_occurred_at, r.done_at, r.event_count AS events,
    octet_length(r.events) AS size_bytes, r.rejected_count AS rejected, r.booked, r.duplicates, r.conflicts,
    r.quarantined, r.shadowed, r.superseded, r.attempts, r.try_after, r.error, r.given_up_at, r.given_up_by,
    r.given_up_because
"""


def listed(
    *,
    show: str = "all",
    gateway_id: int | None = None,
    before: tuple[datetime, int] | None = None,
    most: int = 50,
) -> list[ReceiptRow]:
    """Return receipts, the last received first. One query over indexes.

    `show` is a name of `SHOWN`; `before` is (received_at, id) of the last row seen.
    """
    with connection.cursor() as cursor:
        # Of each source the newest few, and of these the newest: sources are few, receipts are millions.
        cursor.execute(
            f"""
            SELECT {_COLUMNS} FROM usage_source s
            JOIN catalog_gateway g ON g.id = s.gateway_id
            CROSS JOIN LATERAL (
                SELECT * FROM receipt r
                WHERE r.source_id = s.id AND {SHOWN[show]}
                AND (%(at)s::timestamptz IS NULL OR (r.received_at, r.id) < (%(at)s, %(id)s))
                ORDER BY r.received_at DESC, r.id DESC LIMIT %(most)s
            ) r
            WHERE %(gateway)s::bigint IS NULL OR g.id = %(gateway)s
            ORDER BY r.received_at DESC, r.id DESC LIMIT %(most)s
            """,
            {
                "at": before[0] if before else None,
                "id": before[1] if before else None,
                "gateway": gateway_id,
                "most": most,
            },
        )
        return _rows(cursor)


def longer_than(most: int, *, show: str = "all", gateway_id: int | None = None) -> bool:
    """Return whether `listed` has more rows than that in all. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM receipt r JOIN usage_source s ON s.id = r.source_id "
            f"WHERE {SHOWN[show]} AND (%(gateway)s::bigint IS NULL OR s.gateway_id = %(gateway)s) "
            "LIMIT %(most)s + 1) AS found",
            {"gateway": gateway_id, "most": most},
        )
        ((found,),) = cursor.fetchall()
    return bool(found > most)


def one(*, receipt_id: int) -> ReceiptDetail | None:
    """Return a receipt with what its body's items came to, or None. At most three queries."""
    if receipt_id >= 2**63:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM receipt r JOIN usage_source s ON s.id = r.source_id "
            "JOIN catalog_gateway g ON g.id = s.gateway_id WHERE r.id = %s",
            [receipt_id],
        )
        rows = _rows(cursor)
    if not rows:
        return None
    refused: list[dict[str, Any]] = []
    if rows[0].rejected:
        refused = Receipt.objects.values_list("rejected", flat=True).get(pk=receipt_id)
    held = HeldEvent.objects.filter(receipt=receipt_id).aggregate(
        all=Count("id"), open=Count("id", filter=Q(settled_at__isnull=True))
    )
    return ReceiptDetail(
        row=rows[0],
        refusals=[Refusal(index=int(item["index"]), error=str(item["error"])) for item in refused[:MOST_REJECTED]],
        held=held["all"],
        open_held=held["open"],
    )


def counts() -> Counts:
    """Return what waits to be booked and what waits for a person. One query over small indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM receipt WHERE state = 'failed' AND given_up_at IS NULL),
                pending.bodies, pending.events, held.conflicts, held.too_old
            FROM (
                SELECT count(*) AS bodies, coalesce(sum(event_count), 0) AS events FROM receipt WHERE state = 'pending'
            ) pending, (
                SELECT count(*) FILTER (WHERE reason = 'conflict') AS conflicts,
                    count(*) FILTER (WHERE reason = 'too_old') AS too_old
                FROM usage_heldevent WHERE settled_at IS NULL
            ) held
            """
        )
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("counts of nothing are still a row")
    set_aside, waiting, events, conflicts, too_old = map(int, row)
    return Counts(set_aside=set_aside, waiting=waiting, waiting_events=events, conflicts=conflicts, too_old=too_old)


def formats(*, gateway_id: int, most: int = 2000) -> list[tuple[str, int, datetime]]:
    """Return in which formats a gateway's last bodies came: (format, bodies, the last of them). One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT b.format, count(*), max(b.received_at) FROM usage_source s CROSS JOIN LATERAL (
                SELECT r.format, r.received_at FROM receipt r WHERE r.source_id = s.id
                ORDER BY r.received_at DESC, r.id DESC LIMIT %s
            ) b WHERE s.gateway_id = %s AND s.kind = %s GROUP BY b.format ORDER BY max(b.received_at) DESC, b.format
            """,
            [most, gateway_id, str(SourceKind.LIVE)],
        )
        return [(format, int(bodies), last) for format, bodies, last in cursor.fetchall()]


def _rows(cursor: Any) -> list[ReceiptRow]:
    names = [column.name for column in cursor.description]
    return [ReceiptRow(**dict(zip(names, values, strict=True))) for values in cursor.fetchall()]
