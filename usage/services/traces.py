"""Spans of one trace that report one call, told apart before anything is booked. Part of the booking's transaction.

The row of a trace is locked by whoever books spans of it, in the order of source and trace, so that a wrapper and its
child in two bookings at once meet.
"""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from usage.rules import traces as rules
from usage.rules.traces import Call
from usage.services.batch import Batch, Line
from usage.services.raw import numbers

MOST_CALLS = 1000  # of a trace that are remembered, the newest: an agent's session may go on for weeks

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Call]).decode

Key = tuple[int, str]


def settle(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Leave in the batch what counts once; note which events of before give way, to its lines or to each other.

    Two statements where the batch has spans, else none. Shadow lines are left as they are: nothing sums them.
    """
    lines: dict[Key, list[Line]] = {}
    for line in batch.lines:
        if line.event.span is not None and not line.shadow:
            lines.setdefault((line.source.id, line.event.span.trace), []).append(line)
    if not lines:
        return
    remembered = _lock(batch, cursor, sorted(lines))
    changed: dict[Key, bytes] = {}
    lost: set[int] = set()
    for key, spans in lines.items():
        before = remembered[key]
        known = _unpack(before) if before else []
        settled = rules.settle(known, [rules.call_of(line.event, line.event.span) for line in spans if line.event.span])
        takes_back = {call.event_id: ids for call, ids in settled.counting}
        batch.withdrawn += [(spans[-1], event_id) for event_id in settled.withdrawn]
        for line in spans:
            ids = takes_back.get(line.event.event_id)
            if ids is None:
                batch.outcomes[line.receipt.id].superseded += 1
                lost.add(id(line))
            else:
                line.takes_back = ids
        newest = sorted(settled.known, key=lambda call: (call.ended_at, call.event_id))[-MOST_CALLS:]
        after = _pack(newest)
        if after != before:
            changed[key] = after
    batch.lines = [line for line in batch.lines if id(line) not in lost]
    _remember(cursor, changed)


def _lock(batch: Batch, cursor: psycopg.Cursor[Any], keys: list[Key]) -> dict[Key, bytes]:
    cursor.execute(
        "INSERT INTO usage_trace AS t (source_id, trace_id, spans, touched_at) "
        "SELECT source_id, trace_id, ''::bytea, %s FROM unnest(%s::bigint[], %s::text[]) AS n(source_id, trace_id) "
        "ON CONFLICT (source_id, trace_id) DO UPDATE SET touched_at = excluded.touched_at "
        "RETURNING source_id, trace_id, spans",
        [batch.at, numbers([source for source, _ in keys]), [trace for _, trace in keys]],
        binary=True,
    )
    return {(source, trace): bytes(spans) for source, trace, spans in cursor.fetchall()}


def _remember(cursor: psycopg.Cursor[Any], changed: dict[Key, bytes]) -> None:
    if changed:
        cursor.execute(
            "UPDATE usage_trace t SET spans = n.spans "
            "FROM unnest(%s::bigint[], %s::text[], %b::bytea[]) AS n(source_id, trace_id, spans) "
            "WHERE t.source_id = n.source_id AND t.trace_id = n.trace_id",
            [numbers([source for source, _ in changed]), [trace for _, trace in changed], list(changed.values())],
        )
