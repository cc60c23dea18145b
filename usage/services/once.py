"""An event counts once: repeats, conflicts and what is too old are told apart from what is new, and kept visibly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from usage.services.batch import Batch, Line
from usage.services.raw import numbers


def keep_new(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Keep the lines whose event was never booked: the guard of "once" is this INSERT and the key's uniqueness."""
    first: dict[tuple[int, bytes], Line] = {}
    repeats: list[Line] = []
    for line in batch.lines:
        if first.setdefault((line.source.id, line.digest), line) is not line:
            repeats.append(line)
    ordered = [first[key] for key in sorted(first)]
    cursor.execute(
        "INSERT INTO event_key (source_id, digest, content, use_case_id, booked_at, entry_id, first_received_at) "
        # Hashes come as one string of bytes that is cut up there: an array of them takes ten times as long to write.
        "SELECT t.source_id, substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16), "
        "substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16), t.use_case_id, t.booked_at, t.entry_id, r.received_at "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[]) WITH ORDINALITY "
        "AS t(source_id, use_case_id, booked_at, entry_id, receipt_id, i) JOIN receipt r ON r.id = t.receipt_id "
        "ORDER BY t.i ON CONFLICT DO NOTHING RETURNING source_id, digest",
        [
            b"".join([line.digest for line in ordered]),
            b"".join([line.content for line in ordered]),
            numbers([line.source.id for line in ordered]),
            numbers([line.use_case for line in ordered]),
            "{" + ",".join([line.booked_at.isoformat() for line in ordered]) + "}",
            numbers([line.id for line in ordered]),
            numbers([line.receipt.id for line in ordered]),
        ],
    )
    if cursor.rowcount < len(ordered):
        fresh = {(source, bytes(digest)) for source, digest in cursor.fetchall()}
        repeats += [line for key, line in first.items() if key not in fresh]
        kept = [line for key, line in first.items() if key in fresh]
    else:
        kept = list(first.values())
    for line in kept:
        outcome = batch.outcomes[line.receipt.id]
        if line.shadow:
            outcome.shadowed += 1
        else:
            outcome.booked += 1
    if repeats:
        _tell_repeats_from_conflicts(batch, cursor, repeats)
    batch.lines = kept


def _tell_repeats_from_conflicts(batch: Batch, cursor: psycopg.Cursor[Any], repeats: Sequence[Line]) -> None:
    cursor.execute(
        "SELECT k.source_id, k.digest, k.content FROM event_key k "
        "JOIN unnest(%s::bigint[], %b::bytea[]) AS t(source_id, digest) USING (source_id, digest)",
        [numbers([line.source.id for line in repeats]), [line.digest for line in repeats]],
    )
    contents = {(source, bytes(digest)): bytes(content) for source, digest, content in cursor.fetchall()}
    for line in repeats:
        outcome = batch.outcomes[line.receipt.id]
        if contents.get((line.source.id, line.digest)) == line.content:
            outcome.duplicates += 1
        else:
            outcome.conflicts += 1
            batch.held.append((line, "conflict"))


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
