"""From waiting receipts to the ledger: claimed, told apart from what was booked before, priced, posted, done.

All of it is one transaction: a process that dies in the middle leaves the receipts waiting and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import psycopg
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from alerts.models import Severity
from alerts.services import raising
from core.services import barrier
from usage.events import Event
from usage.selectors import world as worlds
from usage.selectors.world import SourceFacts, World
from usage.services import intake, ledger, naming, once, partitions, pricing, replacing, traces
from usage.services.batch import EPOCH, Batch, Claimed, Line, Outcome
from usage.services.raw import numbers, raw_cursor

log = structlog.get_logger(__name__)

DEDUPE_DAYS = 35  # live events older than this against their receipt cannot be told apart from repeats any more
MOST_ATTEMPTS = 5
LIMIT_EVENTS = 4000  # of a transaction, about
_CLAIMED_AT_ONCE = 16

_msgpack = msgspec.msgpack.Encoder(order="deterministic")


class Booked(NamedTuple):
    """What one transaction did: receipts that it took up, and those of them that are done."""

    taken: int
    done: int


def book_pending(*, at: datetime, limit_events: int = LIMIT_EVENTS) -> int:
    """Book what waits, oldest first, about `limit_events` in a transaction; returns how many receipts are done.

    Several processes may do this at once: each takes receipts that no other holds. A receipt that fails is tried again
    later, at last set aside with its error, and never holds up the others.
    """
    done = 0
    while (booked := book_next(at=at, limit_events=limit_events)).taken:
        done += booked.done
    return done


def book_next(*, at: datetime, limit_events: int = LIMIT_EVENTS) -> Booked:
    """Book one transaction's worth, for whoever has something to do after each; else as `book_pending`.

    Nothing waits any more where nothing was taken up.
    """
    ids = _waiting(at=at, limit_events=limit_events)
    if not ids:
        return Booked(0, 0)
    done = _try(ids=ids, at=at)
    if done is None:
        done = sum(_try(ids=[receipt_id], at=at) or 0 for receipt_id in ids)
    return Booked(len(ids), done)


def _try(*, ids: Sequence[int], at: datetime) -> int | None:
    """Book receipts in one transaction; None where several fail together and have to be tried one by one.

    Receipts that lack a partition stay in line and find it made.
    """
    try:
        return _book(ids=ids, at=at)
    except partitions.Missing as missing:
        worlds.forget()
        for month in missing.months:
            partitions.make(first=month, last=month)
        return 0
    except (OperationalError, InterfaceError):
        # The database went away or broke a deadlock: no receipt's fault.
        worlds.forget()
        raise
    except Exception as error:  # any fault of a receipt's content must not stop the others
        worlds.forget()
        if len(ids) > 1:
            return None
        _failed(receipt_id=ids[0], error=error, at=at)
        return 0


def _waiting(*, at: datetime, limit_events: int) -> list[int]:
    """Look, without locking, at what waits next. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, event_count FROM receipt WHERE state = 'pending' AND try_after <= %s "
            "ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
            [at, _CLAIMED_AT_ONCE],
        )
        rows = cursor.fetchall()
    ids: list[int] = []
    events = 0
    for id_, count in rows:
        if ids and events + count > limit_events:
            break
        ids.append(int(id_))
        events += count
    return ids


@transaction.atomic(durable=True)
def _book(*, ids: Sequence[int], at: datetime) -> int:
    barrier.hold_shared()
    with raw_cursor() as cursor:
        cursor.execute(
            "SELECT id, source_id, environment, format, received_at, events, event_count FROM receipt "
            "WHERE id = ANY(%s) AND state = 'pending' ORDER BY id FOR UPDATE SKIP LOCKED",
            [list(ids)],
            binary=True,  # as text, the events would be twice as much, and decoded digit by digit
        )
        claimed = [Claimed(*row) for row in cursor.fetchall()]
        if not claimed:
            return 0
        world = worlds.current()
        batch = Batch(world=world, at=at)
        _settle_formats(world, claimed)
        for receipt in claimed:
            _read(batch, receipt)
        traces.settle(batch, cursor)
        if batch.withdrawn or any(line.takes_back for line in batch.lines):
            ledger.hold_corrections(cursor)
        partitions.require([world.open_from(at), *(line.event.occurred_at for line in batch.lines)])
        naming.name(batch)
        _place(batch, cursor)
        once.keep_new(batch, cursor)
        # What both kinds intern is locked before the first line is written.
        counted = pricing.postings(
            [line for line in batch.lines if not line.shadow and not line.event.voids], world, cursor
        )
        shadow = pricing.postings([line for line in batch.lines if line.shadow], world, cursor)
        counted += replacing.take_back(batch, cursor, booked=counted)
        ledger.post(cursor, postings=counted, world=world, at=at)
        ledger.post_unsummed(cursor, postings=shadow)
        for (_, format), source in sorted(batch.other_formats.items()):
            _tell_of_other_format(batch, source, format)
        once.hold(batch, cursor)
        _finish(batch, cursor)
        return len(claimed)


def content_hash(event: Event) -> bytes:
    """Hash the normalised event without its time and its span: a repeat with others is the same event."""
    time, event.occurred_at = event.occurred_at, EPOCH
    span, event.span = event.span, None
    try:
        return hashlib.blake2b(_msgpack.encode(event), digest_size=16).digest()
    finally:
        event.occurred_at, event.span = time, span


def _read(batch: Batch, receipt: Claimed) -> None:
    """Unpack a receipt, and set aside what is too old to be told from a repeat."""
    outcome = batch.outcomes[receipt.id] = Outcome()
    source = batch.world.sources[receipt.source_id]
    oldest = receipt.received_at - timedelta(days=DEDUPE_DAYS)
    other_format = bool(source.accounting_format) and source.accounting_format != receipt.format
    shadow = source.audit or (source.live and other_format)
    if source.live and other_format:
        batch.other_formats[source.id, receipt.format] = source
    imported = source.live and source.gateway_id in batch.world.imported
    for event in intake.unpack(receipt.packed):
        line = Line(event, receipt, source, shadow, once.digest_of(event.event_id), content_hash(event))
        if event.replaces or event.voids:
            line.takes_back = (event.replaces or event.voids,)
        if imported and not shadow and batch.world.counted_elsewhere(source.gateway_id, event.occurred_at):
            line.shadow = True
        if source.covers is not None and not source.covers[0] <= event.occurred_at < source.covers[1]:
            line.shadow = True  # outside an import's range nothing keeps live events from counting the same call
        if source.live and event.occurred_at < oldest:
            outcome.quarantined += 1
            batch.held.append((line, "too_old"))
            continue
        batch.lines.append(line)


def _settle_formats(world: World, claimed: Sequence[Claimed]) -> None:
    """Make the first format of each live source its accounting format, by compare-and-set.

    All of them are locked first, in their order: each change moves the catalogue's revision, and two bookings with
    bodies of the same new sources would else wait for each other.
    """
    first = {receipt.source_id: receipt.format for receipt in reversed(claimed)}
    if first.keys() - world.sources.keys():
        worlds.forget()
        world.sources.update(worlds.current().sources)
    new = sorted(id_ for id_ in first if (one := world.sources[id_]).live and not one.accounting_format)
    if not new:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM usage_source WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [new])
    for source_id in new:
        source, format = world.sources[source_id], first[source_id]
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE usage_source SET accounting_format = %s WHERE id = %s AND accounting_format = ''",
                [format, source_id],
            )
            cursor.execute("SELECT accounting_format FROM usage_source WHERE id = %s", [source_id])
            row = cursor.fetchone()
        world.sources[source_id] = SourceFacts(
            source.id, source.gateway_id, source.live, source.audit, str(row[0]) if row else ""
        )


def _tell_of_other_format(batch: Batch, source: SourceFacts, format: str) -> None:
    gateway = batch.world.book.gateways.get(source.gateway_id, "?")
    raising.raise_alert(
        kind="second_format",
        dedupe_key=f"second_format:{source.id}:{format}",
        severity=Severity.WARNING,
        title=f"{gateway} reports usage in two formats; only {source.accounting_format} is counted",
        facts={
            "summary": f"Gateway {gateway} sends {format} events beside {source.accounting_format}, the format "
            "that is counted. The others are kept aside, so that no call counts twice.",
            "rows": [["Counted", source.accounting_format], ["Kept aside", format]],
            "links": [],
            "next": "Switch one of the two off at the gateway.",
        },
        subject_kind="gateway",
        subject_id=source.gateway_id,
        team_ids=[],
        budget_id=None,
        at=batch.at,
    )


def _place(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Decide when each line is booked, and number it."""
    world = batch.world
    late = world.open_from(batch.at)
    for line, id_ in zip(batch.lines, ledger.take_ids(cursor, len(batch.lines)), strict=True):
        line.id = id_
        occurred = line.event.occurred_at
        line.correction_of = None if line.shadow else world.closed_month(occurred)
        line.booked_at = occurred if line.correction_of is None else late


def _finish(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    outcomes = sorted(batch.outcomes.items())
    cursor.execute(
        "UPDATE receipt r SET state = 'done', done_at = %s, error = '', booked = t.booked, duplicates = t.duplicates, "
        "conflicts = t.conflicts, quarantined = t.quarantined, shadowed = t.shadowed, superseded = t.superseded "
        "FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[]) "
        "AS t(id, booked, duplicates, conflicts, quarantined, shadowed, superseded) WHERE r.id = t.id",
        [
            batch.at,
            numbers([id_ for id_, _ in outcomes]),
            *(
                numbers([getattr(outcome, name) for _, outcome in outcomes])
                for name in ("booked", "duplicates", "conflicts", "quarantined", "shadowed", "superseded")
            ),
        ],
    )


def _failed(*, receipt_id: int, error: Exception, at: datetime) -> None:
    """Note a failed try; after several the receipt is set aside, visibly, and can be tried again by hand."""
    log.error("receipt.failed", receipt=receipt_id, error=type(error).__name__, exc_info=error)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE receipt SET attempts = attempts + 1, error = %s, "
            "try_after = %s + interval '10 seconds' * (2 ^ attempts), "
            "state = CASE WHEN attempts + 1 >= %s THEN 'failed' ELSE state END "
            "WHERE id = %s AND state = 'pending'",
            [f"{type(error).__name__}: {error}"[:500], at, MOST_ATTEMPTS, receipt_id],
        )
