"""Fills a ledger with the entries of twelve months, in minutes: what a house booked, told again and again.

What is measured on a grown house must not depend on how it was filled. So every entry is one that the house itself
booked a moment ago, with another time and ids of its own; event keys are those of the window in which a repeat is
recognised, as pruning leaves them; receipts are a thousand entries each; and the rollups are a recount of the ledger.
Counters stay what they are: a budget counts from its first event.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from usage.rules.postings import COLUMNS, LATENCY_BOUNDS_MS, METER_COLUMNS
from usage.services.housekeeping import KEEP_KEYS

SPAN = timedelta(days=365)
RECEIPT = 1000  # entries of one receipt
_AT_ONCE = 250_000

Progress = Callable[[int], None]

_SAMPLE = (
    "CREATE TEMP TABLE sample AS SELECT *, row_number() OVER (ORDER BY id) - 1 AS place FROM ledger WHERE kind = 1",
    "ALTER TABLE sample ADD PRIMARY KEY (place)",
    "ANALYZE sample",
)

# What is new in a copy. Times rise with the number, a little out of order, as events of several gateways do.
_TIME = "%(starts_at)s::timestamptz + (number + random()) * %(step)s::interval"
_NEW = {
    "booked_at": "at",
    "occurred_at": "at",
    "id": "%(first_id)s + number",
    "event_id": "md5('entry ' || number)",
    "call_group": "left(md5('group ' || number), 16)",
    "receipt_id": f"%(first_receipt)s + number / {RECEIPT}",
}
_ENTRIES = (
    f"INSERT INTO ledger ({', '.join(COLUMNS)}) SELECT {', '.join(_NEW.get(name, f's.{name}') for name in COLUMNS)} "
    f"FROM (SELECT number, {_TIME} AS at FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number) AS n "
    # A prime, so that neighbours in time are none in the sample.
    "JOIN sample s ON s.place = (number * 7919) %% %(sample)s"
)
_RECEIPTS = (
    "INSERT INTO receipt (id, source_id, environment, format, state, received_at, event_count, rejected, booked, "
    "duplicates, conflicts, quarantined, shadowed, attempts, try_after, error, done_at) "
    "SELECT %(first_receipt)s + number, s.source_id, s.environment, 'native', 'done', at, "
    f"{RECEIPT}, '[]', {RECEIPT}, 0, 0, 0, 0, 0, at, '', at FROM (SELECT number, "
    f"%(starts_at)s::timestamptz + (number + 1) * {RECEIPT} * %(step)s::interval AS at "
    "FROM generate_series(0, %(receipts)s::bigint - 1) AS number) AS n, (SELECT * FROM sample WHERE place = 0) AS s"
)
_KEYS = (
    "INSERT INTO event_key (source_id, digest, content, use_case_id, booked_at, entry_id, first_received_at) "
    "SELECT source_id, substring(sha256(event_id::bytea) FOR 16), substring(sha256(call_group::bytea) FOR 16), "
    "use_case_id, booked_at, id, booked_at FROM ledger WHERE booked_at >= %(known_from)s AND id >= %(first_id)s"
)

_DIMENSIONS = (
    "offering_id", "team_id", "gateway_id", "tier", "status", "rules_version", "environment", "rule", "reason", "task",
    "requested_model",
)  # fmt: skip
_INPUT = (
    "uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens + audio_input_tokens "
    "+ image_input_tokens"
)
_OUTPUT = "output_tokens + audio_output_tokens + image_output_tokens"
_BOTH = "FILTER (WHERE cost_usd IS NOT NULL AND reported_cost_usd IS NOT NULL)"
_SUMS = {
    **{name: f"sum({name})" for name in (*METER_COLUMNS, "avoided_usd")},
    **{
        name: f"coalesce(sum({name}), 0)"
        for name in ("reasoning_tokens", "cost_usd", "list_cost_usd", "reported_cost_usd", "latency_ms")
    },
    "compared_cost_usd": f"coalesce(sum(cost_usd) {_BOTH}, 0)",
    "compared_list_usd": f"coalesce(sum(list_cost_usd) {_BOTH}, 0)",
    "compared_reported_usd": f"coalesce(sum(reported_cost_usd) {_BOTH}, 0)",
    "unpriced_tokens": f"coalesce(sum({_INPUT} + {_OUTPUT}) FILTER (WHERE cost_usd IS NULL), 0)",
    "unpriced_requests": "coalesce(sum(requests) FILTER (WHERE cost_usd IS NULL), 0)",
    "uncounted_requests": "coalesce(sum(requests) FILTER (WHERE NOT counted), 0)",
    "fallback_requests": "coalesce(sum(requests) FILTER (WHERE fallback_index > 0), 0)",
}
_PLACE = f"width_bucket(latency_ms - 1, ARRAY[{', '.join(map(str, LATENCY_BOUNDS_MS))}])"
_HISTOGRAM = ", ".join(f"count(*) FILTER (WHERE place = {place})" for place in range(len(LATENCY_BOUNDS_MS) + 1))


def _rollup(table: str, column: str, value: str) -> str:
    key = ", ".join(("use_case_id", column, *_DIMENSIONS))
    groups = ", ".join(("use_case_id", value, *_DIMENSIONS))
    return (
        f"INSERT INTO {table} ({key}, correction_of, {', '.join(_SUMS)}, latency_histogram) "
        f"SELECT {groups}, 0, {', '.join(_SUMS.values())}, ARRAY[{_HISTOGRAM}] "
        # OFFSET keeps the place from being worked out sixteen times for each entry.
        f"FROM (SELECT *, {_PLACE} AS place FROM ledger WHERE booked_at >= %(starts_at)s AND booked_at < %(ends_at)s "
        f"AND id >= %(first_id)s OFFSET 0) AS l GROUP BY {groups}"
    )


_ROLLUPS = (
    _rollup("rollup_15min", "bucket", "date_bin('15 minutes', booked_at, '2000-01-01Z')"),
    _rollup("rollup_day", "day", "(booked_at AT TIME ZONE 'UTC')::date"),
)
_SETTLED = (
    "ledger", "event_key", "rollup_15min", "rollup_day", "receipt", "usage_heldevent", "budgets_counter",
)  # fmt: skip


def fill(*, database_url: str, entries: int, at: datetime, progress: Progress = lambda done: None) -> None:
    """Put `entries` more into the ledger, over the 365 days that end with the last midnight in UTC.

    The house has booked some already, within the last hour, for an organisation in UTC without declared tags, and books
    none meanwhile. `progress` is told how many are in. Afterwards the tables are vacuumed, analysed and on disk.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in _SAMPLE:
            connection.execute(statement)
        given = _given(connection, entries=entries, at=at)
        starts_at, ends_at = given["starts_at"], given["ends_at"]
        connection.execute("SELECT usage_make_partitions(%s, %s)", [starts_at.date(), ends_at.date()])
        for first in range(0, entries, _AT_ONCE):
            last = min(first + _AT_ONCE, entries) - 1
            connection.execute(_statement(_ENTRIES), {**given, "first": first, "last": last})
            progress(last + 1)
        connection.execute(_statement(_RECEIPTS), given)
        connection.execute(_statement(_KEYS), given)
        # A few days at a time: what is grouped stays in memory.
        for week in range(0, SPAN.days, 7):
            first_day = starts_at + timedelta(days=week)
            between = {"starts_at": first_day, "ends_at": min(first_day + timedelta(days=7), ends_at)}
            for rollup in _ROLLUPS:
                connection.execute(_statement(rollup), {**given, **between})
        connection.execute("DROP TABLE sample")
    settle(database_url)


def settle(database_url: str) -> None:
    """Do now what the database would do on its own in the middle of a measurement: vacuum, analyse, write to disk."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_statement(f"VACUUM (ANALYZE) {', '.join(_SETTLED)}"))
        connection.execute("CHECKPOINT")


def sizes(database_url: str) -> dict[str, tuple[int, int]]:
    """Return rows (as estimated) and bytes with indexes of the tables that grow."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT t.name, sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind = 'r')::bigint, "
            "sum(pg_total_relation_size(c.oid))::bigint "
            "FROM unnest(%s::text[]) AS t(name) JOIN pg_class c ON c.oid = t.name::regclass "
            "OR c.oid IN (SELECT relid FROM pg_partition_tree(t.name::regclass)) GROUP BY 1 ORDER BY 3 DESC",
            [["ledger", "event_key", "rollup_15min", "rollup_day", "receipt"]],
        ).fetchall()
    return {str(name): (int(count), int(size)) for name, count, size in rows}


def _given(connection: psycopg.Connection, *, entries: int, at: datetime) -> dict[str, Any]:
    sample, first_receipt = _row(
        connection, "SELECT (SELECT count(*) FROM sample), (SELECT coalesce(max(id), 0) + 1 FROM receipt)"
    )
    if not sample:
        raise ValueError("the house has booked nothing that could be told again")
    receipts = -(-entries // RECEIPT)
    # Numbers are taken as whoever books takes them, so that nobody gets one of these again.
    first_id, _ = _row(
        connection,
        "SELECT nextval('ledger_block'), setval('ledger_block', "
        f"(SELECT last_value FROM ledger_block) + 1000 + {entries}::bigint / 1000 * 1000)",
    )
    connection.execute(
        _statement(f"SELECT setval(pg_get_serial_sequence('receipt', 'id'), {first_receipt + receipts})")
    )
    # An hour back: what the house booked itself a moment ago has rollups of its own day.
    ends_at = (at.astimezone(UTC) - timedelta(hours=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "sample": sample,
        "first_id": first_id,
        "first_receipt": first_receipt,
        "receipts": receipts,
        "starts_at": ends_at - SPAN,
        "ends_at": ends_at,
        "step": SPAN / entries,
        "known_from": at - KEEP_KEYS,
    }


def _row(connection: psycopg.Connection, statement: str) -> tuple[int, ...]:
    row = connection.execute(_statement(statement)).fetchone()
    if row is None:
        raise RuntimeError("a query for one row gave none")
    return tuple(int(value) for value in row)


def _statement(text: str) -> sql.SQL:
    # Put together from names in this module alone.
    literal: LiteralString = text
    return sql.SQL(literal)
