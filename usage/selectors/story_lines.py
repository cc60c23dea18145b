"""The lines of one event, wherever they stand in the ledger.

# Note [Finding an event]
An event is (source, digest of its id). Its key names the entry that stands for it. Keys of live sources are pruned, so
a place in the ledger does as well, which links of lists carry; where somebody has neither, `find` looks through the
lines of a use case on a day. From one line on, the others are found at the instants at which they can have been booked:
the event's own time, and the moments of whatever corrects a line of it. The ledger is only ever read by its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from usage.models import EventKey
from usage.rules.postings import COLUMNS, USAGE, Posting
from usage.selectors.entries import posting_of
from usage.selectors.lines_rows import NAMED, SELECTED, LineRow, Place, row_of

LEDGER, UNSUMMED = "ledger", "ledger_unsummed"

Lines = list[tuple[LineRow, Posting]]


def find(*, digest: bytes, use_case_id: int, starts_at: datetime, ends_at: datetime) -> list[LineRow]:
    """Return a line of each source's event of this digest among what a use case booked in [starts_at, ends_at).

    For what no key knows any more: it reads all these lines, so ask for a day or two. Two queries at most.
    """
    for table in (LEDGER, UNSUMMED):
        found = _read(
            f"FROM (SELECT DISTINCT ON (l.source_id) l.* FROM {table} l WHERE l.use_case_id = %(use_case)s "
            f"AND l.booked_at >= %(from)s AND l.booked_at < %(to)s AND {_OF_EVENT} ORDER BY l.source_id, l.id) AS l",
            {"use_case": use_case_id, "from": starts_at, "to": ends_at, "digest": digest},
        )
        if found:
            return [row for row, _ in found]
    return []


def lines_of(source_id: int, digest: bytes, key: EventKey | None, place: Place | None) -> tuple[Lines, bool]:
    """Return the lines of an event in the order of their booking, and whether they are in totals."""
    places = [one for one in (place, None if key is None else _place(key)) if one is not None]
    if places:
        for table in (LEDGER, UNSUMMED):
            moments = {row.occurred_at for row, _ in _at_places(table, places, source_id)}
            lines = _at(table, source_id, digest, moments | {one.booked_at for one in places})
            if lines and table == LEDGER:
                return _with_corrections(source_id, digest, lines, {row.place.booked_at for row, _ in lines}), True
            if lines:
                return lines, False
    return [], True


def _place(key: EventKey) -> Place:
    return Place(booked_at=key.booked_at, use_case_id=key.use_case_id, id=key.entry_id)


def _at_places(table: str, places: Sequence[Place], source_id: int) -> Lines:
    """Return the lines at places, as far as they are of the source. One query."""
    return _read(
        f"FROM unnest(%(use_cases)s::bigint[], %(moments)s::timestamptz[], %(ids)s::bigint[]) AS p(use_case, at, id) "
        f"CROSS JOIN LATERAL (SELECT * FROM {table} l WHERE l.use_case_id = p.use_case AND l.booked_at = p.at "
        "AND l.id = p.id AND l.source_id = %(source)s AND l.booked_at >= %(first)s AND l.booked_at <= %(last)s) AS l",
        {
            "use_cases": [one.use_case_id for one in places],
            "moments": [one.booked_at for one in places],
            "ids": [one.id for one in places],
            "source": source_id,
            "first": min(one.booked_at for one in places),
            "last": max(one.booked_at for one in places),
        },
    )


def _at(table: str, source_id: int, digest: bytes, moments: Iterable[datetime]) -> Lines:
    """Return the event's lines that were booked at some moments, for whatever use case. One query; none for none."""
    when = sorted(moments)
    if not when:
        return []
    return _read(
        "FROM unnest(%(moments)s::timestamptz[]) AS m(at) CROSS JOIN catalog_usecase u CROSS JOIN LATERAL "
        f"(SELECT * FROM {table} l WHERE l.use_case_id = u.id AND l.booked_at = m.at AND l.source_id = %(source)s "
        f"AND {_OF_EVENT} AND l.booked_at >= %(first)s AND l.booked_at <= %(last)s) AS l",
        {"moments": when, "source": source_id, "digest": digest, "first": when[0], "last": when[-1]},
    )


_OF_EVENT = "substring(sha256(convert_to(l.event_id, 'UTF8')) FROM 1 FOR 16) = %(digest)s"


def _with_corrections(source_id: int, digest: bytes, lines: Lines, moments: set[datetime]) -> Lines:
    """Return the lines with whatever corrects them, and what was booked in their stead. Two queries as a rule."""
    for _ in range(10):  # an event that was moved again and again
        corrected = [posting.id for _, posting in lines if posting.kind == USAGE]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT booked_at FROM ledger WHERE corrects_id = ANY(%s) AND booked_at >= %s",
                [corrected, min(row.place.booked_at for row, _ in lines)],
            )
            later = {at for (at,) in cursor.fetchall()} - moments
        if not later:
            break
        moments |= later
        lines = [*lines, *_at(LEDGER, source_id, digest, later)]
    return sorted(lines, key=lambda one: one[1].id)


def _read(source: str, given: Mapping[str, Any]) -> Lines:
    columns = ", ".join(f"l.{name}" for name in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}, {SELECTED} {source} {NAMED} ORDER BY l.id", given)
        return [(row_of(row[len(COLUMNS) :]), posting_of(row[: len(COLUMNS)])) for row in cursor.fetchall()]


def other_of(source_id: int, digest: bytes, key: EventKey) -> tuple[int, str] | None:
    """Return the event whose line stands where this one's key points: it took its place. One query."""
    for row, _ in _at_places(LEDGER, [_place(key)], source_id):
        if row.digest != digest.hex():
            return row.source_id, row.digest
    return None
