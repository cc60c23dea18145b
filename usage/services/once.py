"""An event counts once: repeats, conflicts and what is too old are told apart from what is new, and kept visibly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from usage.services.batch import Batch, Key, Line
from usage.services.raw import numbers

# The content of a key whose event was replaced before it came: whatever it holds, it counts for nothing.
REPLACED = bytes(16)


def digest_of(event_id: str) -> bytes:
    """Return what a key knows an event by."""
    return hashlib.sha256(event_id.encode()).digest()[:16]


def keep_new(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Keep the lines whose event was never booked: the guard of "once" is this INSERT and the key's uniqueness.

    Events that lines take the place of get keys too where they have none: they may still come.
    """
    first: dict[Key, Line] = {}
    repeats: list[Line] = []
    for line in batch.lines:
        if first.setdefault((line.source.id, line.digest), line) is not line:
            repeats.append(line)
    absent = _replaced(first)
    keys = sorted([*first, *absent]) if absent else sorted(first)
    ordered = [first.get(key) or absent[key] for key in keys]
    cursor.execute(
        "INSERT INTO event_key (source_id, digest, content, use_case_id, booked_at, entry_id, first_received_at) "
        # Hashes come as one string of bytes that is cut up there: an array of them takes ten times as long to write.
        "SELECT t.source_id, substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16), "
        "substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16), t.use_case_id, t.booked_at, t.entry_id, r.received_at "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[]) WITH ORDINALITY "
        "AS t(source_id, use_case_id, booked_at, entry_id, receipt_id, i) JOIN receipt r ON r.id = t.receipt_id "
        "ORDER BY t.i ON CONFLICT DO NOTHING",
        [
            b"".join([digest for _, digest in keys]),
            b"".join([REPLACED if key in absent else first[key].content for key in keys]),
            numbers([source for source, _ in keys]),
            numbers([line.use_case for line in ordered]),
            "{" + ",".join([line.booked_at.isoformat() for line in ordered]) + "}",
            numbers([line.id for line in ordered]),
            numbers([line.receipt.id for line in ordered]),
        ],
    )
    if cursor.rowcount < len(ordered):
        known = _known(cursor, keys, ordered)
        # In the order in which they came: of what was replaced before, the first tells what it is.
        repeats = [*(line for key, line in first.items() if key in known), *repeats]
        kept = [line for key, line in first.items() if key not in known]
    else:
        known, kept = {}, list(first.values())
    for line in kept:
        outcome = batch.outcomes[line.receipt.id]
        if line.shadow:
            outcome.shadowed += 1
        else:
            outcome.booked += 1
    if repeats:
        # Of an event that comes twice in one batch the first is new, and what the others are held against.
        contents = {key: line.content for key, line in first.items()} | known
        _tell_repeats_from_conflicts(batch, cursor, repeats, contents)
    batch.lines = kept
    if absent:
        batch.never_came = absent.keys() - known.keys()
        # Asked of every line that goes on, as several may name one event: a conflict, and a new one that replaces it.
        replaced = {
            key_named(line, event_id)
            for line in (*kept, *batch.passed_on)
            if not line.shadow
            for event_id in line.takes_back
        }
        _let_go(cursor, sorted(batch.never_came - replaced))


def key_of(line: Line) -> Key:
    return line.source.id, line.digest


def key_named(line: Line, event_id: str) -> Key:
    """Return the key of another event of a line's source."""
    return line.source.id, digest_of(event_id)


def _replaced(first: Mapping[Key, Line]) -> dict[Key, Line]:
    """Return the keys of events that lines take the place of, as far as those are not in the batch themselves."""
    absent: dict[Key, Line] = {}
    for line in first.values():
        if line.takes_back and not line.shadow:
            for event_id in line.takes_back:
                key = key_named(line, event_id)
                if key not in first:
                    absent[key] = line
    return absent


def _let_go(cursor: psycopg.Cursor[Any], keys: Sequence[Key]) -> None:
    """Drop keys that were taken for lines that turned out to be repeats or conflicts: those replace nothing."""
    if keys:
        cursor.execute(
            "DELETE FROM event_key k USING unnest(%s::bigint[], %b::bytea[]) AS t(source_id, digest) "
            "WHERE k.source_id = t.source_id AND k.digest = t.digest",
            [numbers([source for source, _ in keys]), [digest for _, digest in keys]],
        )


def _known(cursor: psycopg.Cursor[Any], keys: Sequence[Key], ordered: Sequence[Line]) -> dict[Key, bytes]:
    """Return the contents of those keys that were there before: they name another entry than ours."""
    cursor.execute(
        "SELECT k.source_id, k.digest, k.content FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY "
        "AS t(source_id, entry_id, i) JOIN event_key k ON k.source_id = t.source_id "
        "AND k.digest = substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16) AND k.entry_id <> t.entry_id",
        [
            numbers([source for source, _ in keys]),
            numbers([line.id for line in ordered]),
            b"".join([digest for _, digest in keys]),
        ],
    )
    return {(source, bytes(digest)): bytes(content) for source, digest, content in cursor.fetchall()}


def _tell_repeats_from_conflicts(
    batch: Batch, cursor: psycopg.Cursor[Any], repeats: Sequence[Line], contents: dict[Key, bytes]
) -> None:
    came: list[Line] = []
    for line in repeats:
        outcome = batch.outcomes[line.receipt.id]
        content = contents.get(key_of(line))
        if content == line.content:
            outcome.duplicates += 1
        elif content == REPLACED:
            outcome.superseded += 1
            contents[key_of(line)] = line.content
            came.append(line)
        else:
            outcome.conflicts += 1
            batch.held.append((line, "conflict"))
    if came:
        _note_content(cursor, sorted(came, key=key_of))
        batch.passed_on = [line for line in came if line.takes_back]


def _note_content(cursor: psycopg.Cursor[Any], came: Sequence[Line]) -> None:
    """Let what was replaced before it came be known by its content: from now on it is a repeat, or a conflict."""
    cursor.execute(
        "UPDATE event_key k SET content = t.content FROM unnest(%s::bigint[], %b::bytea[], %b::bytea[]) "
        "AS t(source_id, digest, content) WHERE k.source_id = t.source_id AND k.digest = t.digest",
        [numbers([line.source.id for line in came]), [line.digest for line in came], [line.content for line in came]],
    )


def hold(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Keep what was not counted where people see it, with the entry that was counted instead."""
    # In one order, so that two bookings that keep the same events wait for each other.
    for line, reason in sorted(batch.held, key=lambda held: (held[0].source.id, held[0].digest, held[0].content)):
        event = line.event
        cursor.execute(
            "INSERT INTO usage_heldevent (receipt_id, source_id, reason, event_id, occurred_at, event, content, "
            "entry_use_case_id, entry_booked_at, entry_id, held_at, settled_by) "
            "SELECT %s, %s, %s, %s, %s, %s::jsonb, %s, k.use_case_id, k.booked_at, k.entry_id, %s, '' "
            "FROM (SELECT 1) AS one LEFT JOIN event_key k ON k.source_id = %s AND k.digest = %s "
            "ON CONFLICT (source_id, reason, event_id, content) DO NOTHING",
            [
                line.receipt.id, line.source.id, reason, event.event_id, event.occurred_at,
                msgspec.json.encode(msgspec.structs.asdict(event)).decode(), line.content, batch.at,
                line.source.id, line.digest,
            ],
        )  # fmt: skip
