"""Fills a ledger with the entries of twelve months, in minutes: what a house booked, told again and again.

What is measured on a grown house must not depend on how it was filled. So every entry is one that the house itself
booked a moment ago, with another time and ids of its own; event keys are those of the window in which a repeat is
recognised, as pruning leaves them; receipts hold a thousand entries each; and the rollups are a recount of the ledger.
Counters stay what they are: a budget counts from its first event.

python -m controlplane.bench.growth ENTRIES fills the database of DATABASE_URL and says how far it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from usage.rules.postings import COLUMNS

DAYS = 365
RECEIPT = 1000  # entries of one receipt
_AT_ONCE = 250_000

Progress = Callable[[str], None]

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
_GROWING = ("ledger", "event_key", "rollup_15min", "rollup_day", "receipt")
_GATHERED = ("rollup_past", "rollup_past_week", "rollup_past_attempts", "rollup_past_days", "rollup_past_weeks")


def fill(*, entries: int, at: datetime, progress: Progress = lambda said: None) -> None:
    """Put `entries` more into the ledger, over the 365 days that end with the last midnight in UTC.

    The house has booked some already, within the last hour, for an organisation in UTC without declared tags, and books
    none meanwhile. Needs Django.
    """
    from django.db import connection

    from usage.selectors import recount
    from usage.services import partitions
    from usage.services.raw import raw_cursor

    with raw_cursor() as cursor:
        for statement in _SAMPLE:
            cursor.execute(as_sql(statement))
        given = _given(cursor, entries=entries, at=at)
        starts_at: datetime = given["starts_at"]
        partitions.make(first=starts_at.date(), last=at.date())
        for first in range(0, entries, _AT_ONCE):
            last = min(first + _AT_ONCE, entries) - 1
            cursor.execute(as_sql(_ENTRIES), {**given, "first": first, "last": last})
            progress(f"{last + 1:,} of {entries:,} entries")
        cursor.execute(as_sql(_RECEIPTS), given)
        cursor.execute(as_sql(_KEYS), given)
        cursor.execute("DROP TABLE sample")
        cursor.execute("ANALYZE ledger")
    days = [starts_at + timedelta(days=number) for number in range(DAYS)]
    for first in range(0, DAYS, 30):
        some = days[first : first + 30]
        # Of quarter hours many days are made at once; they do not ask which day they are of.
        _write(recount.QUARTERS, some[0], some[-1])
        for one in some:
            _write(recount.DAYS, one, one)
        progress(f"sums of {first + len(some)} of {DAYS} days")
    connection.close()


def _write(table: str, first: datetime, last: datetime) -> None:
    from usage.selectors import recount

    recount.write_anew(table=table, day=first.date(), spans=[(first, last + timedelta(days=1))], tags=[])


def settle(database_url: str) -> None:
    """Do now what the database would do on its own in the middle of a measurement: vacuum, analyse, write to disk."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(as_sql(f"VACUUM (ANALYZE) {', '.join((*_GROWING, *_GATHERED))}, budgets_counter"))
        connection.execute("CHECKPOINT")


def sizes(database_url: str) -> dict[str, tuple[int, int]]:
    """Return rows (as estimated) and bytes with indexes of the tables that grow, the largest first."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT t.name, sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind = 'r')::bigint, "
            "sum(pg_total_relation_size(c.oid))::bigint "
            "FROM unnest(%s::text[]) AS t(name) JOIN pg_class c ON c.oid = t.name::regclass "
            "OR c.oid IN (SELECT relid FROM pg_partition_tree(t.name::regclass)) GROUP BY 1 ORDER BY 3 DESC",
            [list(_GROWING)],
        ).fetchall()
    return {str(name): (int(count), int(size)) for name, count, size in rows}


def _given(cursor: psycopg.Cursor[Any], *, entries: int, at: datetime) -> dict[str, Any]:
    from usage.services.housekeeping import KEEP_KEYS

    sample, first_receipt = _row(
        cursor, "SELECT (SELECT count(*) FROM sample), (SELECT coalesce(max(id), 0) + 1 FROM receipt)"
    )
    if not sample:
        raise ValueError("the house has booked nothing that could be told again")
    receipts = -(-entries // RECEIPT)
    # Numbers are taken as whoever books takes them, so that nobody gets one of these again.
    first_id, _ = _row(
        cursor,
        "SELECT nextval('ledger_block'), setval('ledger_block', "
        f"(SELECT last_value FROM ledger_block) + 1000 + {entries}::bigint / 1000 * 1000)",
    )
    _row(cursor, f"SELECT setval(pg_get_serial_sequence('receipt', 'id'), {first_receipt + receipts})")
    # An hour back: what the house booked itself a moment ago has sums of its own day.
    ends_at = (at.astimezone(UTC) - timedelta(hours=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "sample": sample,
        "first_id": first_id,
        "first_receipt": first_receipt,
        "receipts": receipts,
        "starts_at": ends_at - timedelta(days=DAYS),
        "step": timedelta(days=DAYS) / entries,
        "known_from": at - KEEP_KEYS,
    }


def _row(cursor: psycopg.Cursor[Any], statement: str) -> tuple[int, ...]:
    row = cursor.execute(as_sql(statement)).fetchone()
    if row is None:
        raise RuntimeError("a query for one row gave none")
    return tuple(int(value) for value in row)


def as_sql(text: str) -> sql.SQL:
    """Take a text that is put together from names in the bench's modules alone."""
    literal: LiteralString = text
    return sql.SQL(literal)


def teller(filled: str) -> Progress:
    """Return what tells a person at a terminal how far the filling is; it may take minutes."""

    def tell(said: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[KFilling {filled}: {said}")
            sys.stderr.flush()

    return tell


if __name__ == "__main__":
    import django

    django.setup()
    from django.utils import timezone

    tell = teller("a ledger")
    fill(entries=int(sys.argv[1]), at=timezone.now(), progress=tell)
    tell("done\n")
