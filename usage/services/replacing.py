"""Entries that give way: an event that replaces or voids an earlier one takes back what stands for that one.

# Note [What stands for an event]
The key of an event names the entry that stands for it. Where another event takes its place the key moves on to that
one's entry, and where it is voided to the reversal, so that whoever names the same event next takes back what counts
now, and nothing twice. Where that entry was taken back in its turn, the key of its own event tells what came after. A
correction that moved the entry meanwhile is found by the event's id and time.

The lock of corrections is held (`ledger.hold_corrections`), so that no run corrects an entry that is taken back here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import psycopg

from usage.rules.postings import COLUMNS, USAGE, Posting, reversal
from usage.selectors.entries import NOTHING_SINCE, Since, posting_of, since
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
    stands: dict[Key, Place] = {once.key_of(line): _place(line) for line in batch.lines}
    asked = [once.key_named(line, event_id) for line, event_id in wanted]
    asked += [once.key_of(line) for line in batch.passed_on]
    before = _keys(cursor, [key for key in asked if key not in stands and key not in batch.never_came])
    stands |= before
    kept = _Kept(cursor, before.values())
    ids = iter(ledger.take_ids(cursor, len(wanted)))
    gone: set[int] = set()
    reversals: list[Posting] = []
    for line, event_id in wanted:
        key, own_key = once.key_named(line, event_id), once.key_of(line)
        # A line that counts takes the place itself. What a superseded one replaces gives way to what counts in its own
        # place; and where nothing takes the place, the reversal stands there.
        # So it does where a span showed two others to be one call: it takes no place itself.
        now = stands.get(own_key) if event_id in line.takes_back else None
        leaves = bool(line.event.voids) or now is None
        own_ids = set() if leaves else {entry.id for entry in _standing(kept, own_key, stands, own, gone)}
        for entry in _standing(kept, key, stands, own, gone):
            if entry.id in own_ids:
                continue  # events that name each other in a circle: one of them counts
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


def _place(line: Line) -> Place:
    return line.use_case, line.booked_at, line.id


def _keys(cursor: psycopg.Cursor[Any], keys: Sequence[Key]) -> dict[Key, Place]:
    cursor.execute(
        "SELECT k.source_id, k.digest, k.use_case_id, k.booked_at, k.entry_id FROM event_key k "
        "JOIN unnest(%s::bigint[], %b::bytea[]) AS t(source_id, digest) USING (source_id, digest)",
        [numbers([source for source, _ in keys]), [digest for _, digest in keys]],
    )
    return {(source, bytes(digest)): (use_case, booked_at, id_) for source, digest, use_case, booked_at, id_ in cursor}


def _standing(
    kept: _Kept, key: Key, stands: dict[Key, Place], own: dict[int, Posting], gone: set[int]
) -> Iterator[Posting]:
    """Give what counts for an event, with its adjustments; see Note [What stands for an event]."""
    seen: set[Key] = set()
    while key not in seen:
        seen.add(key)
        place = stands.get(key)
        if place is None:
            return
        if place[2] in own:
            entry = own[place[2]]
        else:
            named = kept.named(place)
            if named is None or named.kind != USAGE:
                return  # never counted, or taken back already
            entry = named
        counting = [one for one in _counting(kept, entry, own) if one.id not in gone]
        if counting:
            yield from counting
            return
        # Another one took that one's place in its turn.
        key = (entry.source_id, once.digest_of(entry.event_id))
        if key not in stands:
            stands |= _keys(kept.cursor, [key])


def _counting(kept: _Kept, entry: Posting, own: dict[int, Posting]) -> Iterator[Posting]:
    """Give an entry as it counts now: itself, with its adjustments, or what a correction booked in its stead."""
    if entry.id in own:
        yield entry
        return
    held = kept.since(entry)
    if not held.reversed:
        yield _adjusted(entry, held)
        return
    for one in kept.moved(entry):
        held = kept.since(one)
        if not held.reversed:
            yield _adjusted(one, held)


class _Kept:
    """What the ledger holds of entries that are taken back. A body may name thousands: they are read at once."""

    def __init__(self, cursor: psycopg.Cursor[Any], places: Iterable[Place]) -> None:
        self.cursor = cursor
        self._named: dict[int, Posting | None] = {}
        self._since: dict[int, Since] = {}
        self._look(list(places))

    def named(self, place: Place) -> Posting | None:
        if place[2] not in self._named:
            self._look([place])
        return self._named[place[2]]

    def since(self, entry: Posting) -> Since:
        if entry.id not in self._since:
            self._look_since(entry.use_case_id, [entry])
        return self._since[entry.id]

    def moved(self, entry: Posting) -> list[Posting]:
        """Return all usage that was ever booked for an entry's event."""
        return self._read(
            "kind = 1 AND occurred_at = %s AND booked_at >= %s AND source_id = %s AND event_id = %s",
            (entry.occurred_at, entry.booked_at, entry.source_id, entry.event_id),
        )

    def _look(self, places: Sequence[Place]) -> None:
        if not places:
            return
        moments = [booked_at for _, booked_at, _ in places]
        found = self._read(
            "(use_case_id, booked_at, id) IN (SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[])) "
            "AND booked_at BETWEEN %s AND %s",  # which tells the planner the partitions
            (
                numbers([use_case for use_case, _, _ in places]),
                "{" + ",".join([moment.isoformat() for moment in moments]) + "}",
                numbers([id_ for _, _, id_ in places]),
                min(moments),
                max(moments),
            ),
        )
        self._named |= {id_: None for _, _, id_ in places} | {entry.id: entry for entry in found}
        by_use_case: dict[int, list[Posting]] = {}
        for entry in found:
            by_use_case.setdefault(entry.use_case_id, []).append(entry)
        for use_case_id, entries in by_use_case.items():
            self._look_since(use_case_id, entries)

    def _look_since(self, use_case_id: int, entries: Sequence[Posting]) -> None:
        ids = [entry.id for entry in entries]
        booked_from = min(entry.booked_at for entry in entries)
        later = since(self.cursor, use_case_id=use_case_id, ids=ids, booked_from=booked_from)
        self._since |= {id_: later.get(id_, NOTHING_SINCE) for id_ in ids}

    def _read(self, condition: str, parameters: Sequence[Any]) -> list[Posting]:
        self.cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM ledger WHERE {condition} ORDER BY id", parameters)
        return [posting_of(row) for row in self.cursor.fetchall()]


def _adjusted(entry: Posting, held: Since) -> Posting:
    if entry.cost is None:
        return entry
    return msgspec.structs.replace(
        entry,
        cost=entry.cost + held.cost,
        list_cost=(entry.list_cost or 0) + held.list_cost,
        avoided=entry.avoided + held.avoided,
        rate_id=held.rate_id or entry.rate_id,
    )


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
