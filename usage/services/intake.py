"""What the edge does with a body once it is decoded: one row, committed before the answer.

No lookups, no pricing, no queue that could lose anything: a receipt is done by the workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime

import msgspec
import zstandard
from django.db import connection, transaction

from core.errors import LimitReached, Unavailable
from usage.events import Event, Rejected
from usage.models import Receipt, ReceiptState, Source, SourceKind
from usage.services.raw import raw_cursor

# Events of one receipt are booked in one transaction, so their number bounds its length.
MOST_EVENTS = 20_000

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])
_local = threading.local()


def pack(events: Sequence[Event]) -> bytes:
    """Encode events for a receipt: msgpack, zstd at its quickest (a tenth of the size for a few microseconds each)."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=1)
    packed: bytes = compressor.compress(_encoder.encode(events))
    return packed


def unpack(packed: bytes) -> list[Event]:
    return _decoder.decode(zstandard.ZstdDecompressor().decompress(packed))


def live_source(*, gateway_id: int, at: datetime) -> int:
    """Return the source of a gateway's live stream; made on its first body. Kept in memory: it never changes."""
    known = _live_sources.get(gateway_id)
    if known is None:
        with transaction.atomic():
            source, _ = Source.objects.get_or_create(
                gateway_id=gateway_id, kind=SourceKind.LIVE, defaults={"created_at": at}
            )
        known = _live_sources[gateway_id] = source.pk
    return known


_live_sources: dict[int, int] = {}


def take(
    *,
    source_id: int,
    environment: str,
    format: str,
    events: Sequence[Event],
    rejected: Sequence[Rejected],
    received_at: datetime,
    carried_prompts: bool = False,
) -> int:
    """Keep a body's events and return the receipt's id. Once this returns (outside a transaction) they are kept.

    One INSERT. A body of which nothing was accepted is done at once. `carried_prompts` says that it held some, which
    are not among what is kept.
    """
    refusals = msgspec.json.encode(rejected).decode() if rejected else "[]"
    times = [event.occurred_at for event in events]
    with raw_cursor() as cursor:  # the events go as bytes, not as twice as much text
        cursor.execute(
            "INSERT INTO receipt (source_id, environment, format, state, received_at, first_occurred_at, "
            "last_occurred_at, events, event_count, carried_prompts, rejected, booked, duplicates, conflicts, "
            "quarantined, shadowed, attempts, try_after, error, done_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %b, %s, %s, %s::jsonb, 0, 0, 0, 0, 0, 0, %s, '', %s) RETURNING id",
            [
                source_id,
                environment,
                format,
                str(ReceiptState.PENDING if events else ReceiptState.DONE),
                received_at,
                min(times, default=None),
                max(times, default=None),
                pack(events) if events else None,
                len(events),
                carried_prompts,
                refusals,
                received_at,
                None if events else received_at,
            ],
        )
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("INSERT ... RETURNING gave no row")
    return int(row[0])


_backlog = (0.0, 0)  # (monotonic time of the look, events that waited)


def waiting_events() -> int:
    """Return how many events wait to be booked, looked up at most once a second in each process."""
    global _backlog
    looked, count = _backlog
    now = time.monotonic()
    if now - looked > 1:
        with connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(sum(event_count), 0) FROM receipt WHERE state = 'pending'")
            row = cursor.fetchone()
        count = int(row[0]) if row else 0
        _backlog = (now, count)
    return count


def check_room(*, most_waiting: int, refuse_with_503: bool) -> None:
    """Slow senders down while more than `most_waiting` events wait.

    Raises:
        LimitReached: (429) for senders that keep what was refused and come again.
        Unavailable: (503) for LiteLLM, which drops its queue on 4xx and retries only 5xx.
    """
    if waiting_events() <= most_waiting:
        return
    message = "More events wait to be booked than the backlog may hold; send this again later."
    if refuse_with_503:
        raise Unavailable(message, retry_after_seconds=5)
    raise LimitReached(message, retry_after_seconds=5)


def retry(*, receipt_id: int, at: datetime) -> bool:
    """Put a receipt that was set aside back in line. False where it is not set aside."""
    changed = Receipt.objects.filter(pk=receipt_id, state=ReceiptState.FAILED).update(
        state=ReceiptState.PENDING, attempts=0, try_after=at, error=""
    )
    return changed == 1
