"""Entries that give way: an event that replaces or voids an earlier one takes back what stands for that one.

# Note [What stands for an event]
The key of an event names the entry that stands for it. Where another event takes its place the key moves on to that
one's entry, and where it is voided to the reversal, so that whoever names the same event next takes back what counts
now, and nothing twice. A correction that moved the entry meanwhile is found by the event's id and time.

The lock of corrections is held (`ledger.hold_corrections`), so that no run corrects an entry that is taken back here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import psycopg

from usage.rules.postings import COLUMNS, USAGE, Posting, reversal
from usage.selectors.entries import NOTHING_SINCE, posting_of, since
from usage.services import ledger, once
from usage.services.batch import Batch, Key, Line
from usage.services.raw import numbers

Place = tuple[int, Any, int]  # of a line in the ledger: use case, moment of booking, id


def take_back(batch: Batch, cursor: psycopg.Cursor[Any], *, booked: Sequence[Posting]) -> list[Posting]:
    """Return the reversals of what the batch's lines take the place of, and move the keys of those events on.

    `booked` are the batch's own postings, which the ledger does not hold yet. No statement where nothing is replaced.
    """
    wanted = [
        (line, event_id) for line in (*batch.lines, *batch.passed_on) if not line.shadow for event_id in line.takes_back
    ]
    wanted += batch.withdrawn
    if not wanted:
        return []
    own = {posting.id: posting for posting in booked}
    stands: dict[Key, Place] = {(line.source.id, line.digest): _place(line) for line in batch.lines}
    asked = [_key(line, event_id) for line, event_id in wanted]
    asked += [(line.source.id, line.digest) for line in batch.passed_on]
    stands |= _keys(cursor, [key for key in asked if key not in stands and key not in batch.never_came])
    ids = iter(ledger.take_ids(cursor, len(wanted)))
    gone: set[int] = set()
    reversals: list[Posting] = []
    for line, event_id in wanted:
        key, own_key = _key(line, event_id), (line.source.id, line.digest)
        # A line that counts takes the place itself. What a superseded one replaces gives way to what counts in its own
        # place; and where nothing takes the place, the reversal stands there.
        now = stands.get(own_key)
        leaves = bool(line.event.voids) or now is None
        for entry in _standing(cursor, stands.get(key), own):
            if entry.id in gone:
                continue
            gone.add(entry.id)
            taken = _reversal(batch, line, entry, ids)
            reversals.append(taken)
            if leaves:
                now = (taken.use_case_id, taken.booked_at, taken.id)
            if now is not None:
                stands[entry.source_id, once.digest_of(entry.event_id)] = now
        if now is not None:
            stands[key] = now
            if line.event.voids:
                stands[own_key] = now
    _move(cursor, stands)
    return reversals


def _key(line: Line, event_id: str) -> Key:
    return line.source.id, once.digest_of(event_id)


def _place(line: Line) -> Place:
    return line.use_case, line.booked_at, line.id


def _keys(cursor: psycopg.Cursor[Any], keys: Sequence[Key]) -> dict[Key, Place]:
    cursor.execute(
        "SELECT k.source_id, k.digest, k.use_case_id, k.booked_at, k.entry_id FROM event_key k "
        "JOIN unnest(%s::bigint[], %b::bytea[]) AS t(source_id, digest) USING (source_id, digest)",
        [numbers([source for source, _ in keys]), [digest for _, digest in keys]],
    )
    return {(source, bytes(digest)): (use_case, booked_at, id_) for source, digest, use_case, booked_at, id_ in cursor}


def _standing(cursor: psycopg.Cursor[Any], place: Place | None, own: dict[int, Posting]) -> Iterator[Posting]:
    """Give what counts for the event whose key names a place, with its adjustments; see Note [What stands ...]."""
    if place is None:
        return
    if place[2] in own:
        yield own[place[2]]
        return
    named = _read(cursor, "use_case_id = %s AND booked_at = %s AND id = %s", place)
    if not named or named[0].kind != USAGE:
        return  # never counted, or taken back already
    entry = named[0]
    for one in _read(
        cursor,
        "kind = 1 AND occurred_at = %s AND booked_at >= %s AND source_id = %s AND event_id = %s",
        (entry.occurred_at, entry.booked_at, entry.source_id, entry.event_id),
    ):
        later = since(cursor, use_case_id=one.use_case_id, ids=[one.id], booked_from=one.booked_at)
        held = later.get(one.id, NOTHING_SINCE)
        if held.reversed:
            continue
        if one.cost is None:
            yield one
            continue
        yield msgspec.structs.replace(
            one,
            cost=one.cost + held.cost,
            list_cost=(one.list_cost or 0) + held.list_cost,
            avoided=one.avoided + held.avoided,
            rate_id=held.rate_id or one.rate_id,
        )


def _read(cursor: psycopg.Cursor[Any], condition: str, parameters: Sequence[Any]) -> list[Posting]:
    cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM ledger WHERE {condition} ORDER BY id", parameters)
    return [posting_of(row) for row in cursor.fetchall()]


def _reversal(batch: Batch, line: Line, entry: Posting, ids: Iterator[int]) -> Posting:
    closed = batch.world.closed_month(entry.occurred_at)
    booked_at = entry.occurred_at if closed is None else batch.world.open_from(batch.at)
    taken = reversal(entry, id_=next(ids), booked_at=booked_at, correction_of=closed, restatement_id=None)
    # Not the receipt that brought the entry: the one that took it back.
    return msgspec.structs.replace(taken, receipt_id=line.receipt.id)


def _move(cursor: psycopg.Cursor[Any], stands: dict[Key, Place]) -> None:
    keys = sorted(stands)
    cursor.execute(
        "UPDATE event_key k SET use_case_id = t.use_case_id, booked_at = t.booked_at, entry_id = t.entry_id "
        "FROM unnest(%s::bigint[], %b::bytea[], %s::bigint[], %s::timestamptz[], %s::bigint[]) "
        "AS t(source_id, digest, use_case_id, booked_at, entry_id) "
        "WHERE k.source_id = t.source_id AND k.digest = t.digest AND k.entry_id <> t.entry_id",
        [
            numbers([source for source, _ in keys]),
            [digest for _, digest in keys],
            numbers([stands[key][0] for key in keys]),
            "{" + ",".join([stands[key][1].isoformat() for key in keys]) + "}",
            numbers([stands[key][2] for key in keys]),
        ],
    )
