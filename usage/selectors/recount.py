"""The sums of a day, counted anew from the ledger: what rollups are checked against, and rebuilt from.

Everything is said once, in SQL over the ledger's rows; the code that keeps the sums (`rules/postings.py`) has no part
in it, so that a mistake in one shows in the other. A comparison is one statement: the ledger and all its sums as of
one snapshot, however many bookings commit meanwhile. It locks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection, transaction

from core import periods
from core.money import plain
from usage.rules.postings import LATENCY_BOUNDS_MS, METER_COLUMNS
from usage.selectors import past
from usage.selectors.drivers import INPUT, OUTPUT
from usage.selectors.kept import Span

QUARTERS, DAYS, TAGS = "rollup_15min", "rollup_day", "rollup_day_tag"
TABLES = (QUARTERS, DAYS, TAGS)

_DIMENSIONS = (
    "offering_id", "team_id", "gateway_id", "tier", "status", "rules_version", "correction_of", "environment", "rule",
    "reason", "task", "requested_model",
)  # fmt: skip
_KEYS = {
    QUARTERS: ("use_case_id", "bucket", *_DIMENSIONS),
    DAYS: ("use_case_id", "day", *_DIMENSIONS),
    TAGS: ("use_case_id", "day", "tag", "value", "offering_id", "team_id", "gateway_id", "tier", "status"),
}
# Over `entries`, whose columns are those of the ledger and some that follow from them.
_COUNTS = {
    **{name: f"sum({name})" for name in METER_COLUMNS},
    "reasoning_tokens": "sum(reasoning_tokens)",
    "unpriced_tokens": "sum(tokens) FILTER (WHERE cost_usd IS NULL)",
    "unpriced_requests": "sum(requests) FILTER (WHERE cost_usd IS NULL)",
    "uncounted_requests": "sum(requests) FILTER (WHERE NOT counted)",
    "fallback_requests": "sum(requests) FILTER (WHERE fallback_index > 0)",
    "latency_ms": "sum(latency_ms * one)",
}
_MONEY = {
    "cost_usd": "sum(cost_usd)",
    "list_cost_usd": "sum(list_cost_usd)",
    "avoided_usd": "sum(avoided_usd)",
    "reported_cost_usd": "sum(reported_cost_usd)",
    "compared_cost_usd": "sum(cost_usd) FILTER (WHERE reported_cost_usd IS NOT NULL)",
    "compared_list_usd": "sum(list_cost_usd) FILTER (WHERE reported_cost_usd IS NOT NULL)",
    "compared_reported_usd": "sum(reported_cost_usd) FILTER (WHERE cost_usd IS NOT NULL)",
}
_HISTOGRAM = "latency_histogram"
_BUCKETS = range(len(LATENCY_BOUNDS_MS) + 1)
_MEASURES = {
    QUARTERS: (*_COUNTS, *_MONEY, _HISTOGRAM),
    DAYS: (*_COUNTS, *_MONEY, _HISTOGRAM),
    TAGS: ("requests", "input_tokens", "output_tokens", "cost_usd", "unpriced_tokens", "uncounted_requests"),
}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a comparison of one day found. `differing` counts rows by table, `differences` are the first of them.

    A difference says `what` table, `which` row (its key), and the values `held` and `recounted` where they differ;
    None for a row that is only on the other side.
    """

    entries: int
    rows: int
    differing: dict[str, int]
    differences: list[dict[str, Any]]


def compare(*, day: date, spans: Sequence[Span], tags: Sequence[str], most: int = 100) -> Compared:
    """Compare the sums of a day with a recount of the ledger. One statement, of one snapshot.

    `spans` is when the day is (`kept.Kept.spans`), `tags` the declared ones: sums of others are nobody's.
    """
    parameters: dict[str, Any] = {}
    withs = [*_recounts(day, spans, tags, parameters), *_held(spans)]
    for table in TABLES:
        key, measures = ", ".join(_KEYS[table]), _MEASURES[table]
        withs.append(
            f"differs_{table} AS (SELECT '{table}' AS what, {key}, h, r, "
            f"ROW({', '.join(f'h.{name}' for name in measures)}) IS DISTINCT FROM "
            f"ROW({', '.join(f'r.{name}' for name in measures)}) AS differs "
            f"FROM held_{table} h FULL JOIN {table}_anew r USING ({key}))"
        )
    alike = " UNION ALL ".join(
        f"SELECT what, differs, CASE WHEN differs THEN to_jsonb(h) END AS held, "
        f"CASE WHEN differs THEN to_jsonb(r) END AS recounted FROM differs_{table}"
        for table in TABLES
    )
    parameters["most"] = most
    sql = (
        f"WITH {', '.join(withs)}, alike AS MATERIALIZED ({alike}) SELECT "
        f"(SELECT coalesce(sum(entries), 0)::bigint FROM {QUARTERS}_anew), count(*), "
        + ", ".join(f"count(*) FILTER (WHERE differs AND what = '{table}')" for table in TABLES)
        + ", (SELECT coalesce(jsonb_agg(jsonb_build_object('what', what, 'held', held, 'recounted', recounted)), '[]') "
        "FROM (SELECT * FROM alike WHERE differs LIMIT %(most)s) AS first)::text FROM alike"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        _with_room(cursor)
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    entries, rows, *differing, found = row
    return Compared(
        entries=entries,
        rows=rows,
        differing={table: count for table, count in zip(TABLES, differing, strict=True) if count},
        differences=[_difference(one) for one in _decoder.decode(found)],
    )


def forget_past(day: date) -> None:
    """Take away what was gathered of a day and its week, in the caller's transaction: it is gathered anew."""
    with connection.cursor() as cursor:
        cursor.execute(past.FORGET, past.forgotten([day]))


def write_anew(*, table: str, day: date, spans: Sequence[Span], tags: Sequence[str]) -> None:
    """Replace the rows of a day in one table by a recount, in the caller's transaction.

    The caller keeps bookings out until it commits (`barrier.hold_exclusive`): one that adds to a row in between would
    be counted twice, or not at all.
    """
    parameters: dict[str, Any] = {}
    withs = _recounts(day, spans, tags, parameters)
    names = ", ".join((*_KEYS[table], *_MEASURES[table]))
    with connection.cursor() as cursor:
        _with_room(cursor)
        if table == DAYS:
            forget_past(day)
        cursor.execute(f"DELETE FROM {table} WHERE {_of_day(table, spans, any_tag=True)}", parameters)
        cursor.execute(
            f"WITH {', '.join(withs)} INSERT INTO {table} ({names}) SELECT {names} FROM {table}_anew", parameters
        )


def write_many_anew(*, first: date, last: date, zone: str, tags: Sequence[str]) -> None:
    """Replace the sums of many days of one zone, `last` included, at once; else as `write_anew`.

    The ledger is read twice for all of them, where each day by itself would read its entries three times. It needs
    room for the sums of all of these days: take a few at a time where there are many entries.
    """
    spans = [(periods.day_start(first, zone), periods.day_start(last + timedelta(days=1), zone))]
    parameters: dict[str, Any] = {"first": first, "last": last, "zone": zone}
    withs = _recounts(first, spans, tags, parameters, day_of="({column} AT TIME ZONE %(zone)s)::date")
    with connection.cursor() as cursor:
        _with_room(cursor)
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        cursor.execute(past.FORGET, past.forgotten(days))
        cursor.execute(f"DELETE FROM {QUARTERS} WHERE {_of_day(QUARTERS, spans)}", parameters)
        for table in (DAYS, TAGS):
            cursor.execute(f"DELETE FROM {table} WHERE day BETWEEN %(first)s AND %(last)s", parameters)
        for table in TABLES:
            names = ", ".join((*_KEYS[table], *_MEASURES[table]))
            withs.append(f"written_{table} AS (INSERT INTO {table} ({names}) SELECT {names} FROM {table}_anew)")
        cursor.execute(f"WITH {', '.join(withs)} SELECT", parameters)


def _recounts(
    day: date,
    spans: Sequence[Span],
    tags: Sequence[str],
    parameters: dict[str, Any],
    day_of: str = "%(day)s::date",
) -> list[str]:
    """Write the ledger's entries of a day, and what follows from them, as tables named like the rollups.

    `day_of` says which day it is at a `{column}`.
    """
    parameters |= {"day": day, "tags": list(tags)}
    for index, (starts_at, ends_at) in enumerate(spans):
        parameters |= {f"starts{index}": starts_at, f"ends{index}": ends_at}
    bounds = ", ".join(str(bound + 1) for bound in LATENCY_BOUNDS_MS)
    columns = (
        f"use_case_id, booked_at, {', '.join(name for name in _DIMENSIONS if name != 'correction_of')}, "
        "coalesce(extract(year FROM correction_of) * 100 + extract(month FROM correction_of), 0)::integer "
        f"AS correction_of, {', '.join(METER_COLUMNS)}, {_plus(INPUT)} AS tokens_in, {_plus(OUTPUT)} AS "
        f"tokens_out, {_plus((*INPUT, *OUTPUT))} AS tokens, reasoning_tokens, cost_usd, list_cost_usd, avoided_usd, "
        "reported_cost_usd, counted, fallback_index, latency_ms, tags, "
        "CASE WHEN requests > 0 THEN 1 WHEN requests < 0 THEN -1 ELSE 0 END AS one, "
        f"width_bucket(latency_ms, ARRAY[{bounds}]) AS latency_bucket"
    )
    # Booked when it happened, save what came late for a closed month: so the small index of time finds a day.
    at_once = _within("booked_at", spans) + " AND " + _within("occurred_at", spans) + " AND correction_of IS NULL"
    late = _within("booked_at", spans) + " AND correction_of IS NOT NULL"
    sums = {name: f"coalesce({sql}, 0)::bigint" for name, sql in _COUNTS.items()}
    sums |= {name: f"coalesce({sql}, 0)" for name, sql in _MONEY.items()}
    buckets = (f"coalesce(sum(one) FILTER (WHERE latency_bucket = {place}), 0)::bigint" for place in _BUCKETS)
    sums[_HISTOGRAM] = f"ARRAY[{', '.join(buckets)}]"
    added = {name: f"sum({name})::bigint" for name in _COUNTS} | {name: f"sum({name})" for name in _MONEY}
    added[_HISTOGRAM] = f"ARRAY[{', '.join(f'sum({_HISTOGRAM}[{place + 1}])::bigint' for place in _BUCKETS)}]"
    of_tags = {"cost_usd": "coalesce(sum(cost_usd), 0)", "input_tokens": "sum(tokens_in)::bigint"}
    of_tags |= {"output_tokens": "sum(tokens_out)::bigint"}
    entries = (
        f"entries AS NOT MATERIALIZED (SELECT {columns} FROM ledger WHERE {at_once} "
        f"UNION ALL SELECT {columns} FROM ledger WHERE {late})"
    )
    quarters = (
        f"{QUARTERS}_anew AS MATERIALIZED (SELECT use_case_id, date_bin('15 minutes', booked_at, '2000-01-01Z') AS "
        f"bucket, {', '.join(_DIMENSIONS)}, {_named(sums)}, count(*) AS entries FROM entries "
        f"GROUP BY use_case_id, bucket, {', '.join(_DIMENSIONS)})"
    )
    days = (
        f"{DAYS}_anew AS (SELECT use_case_id, {day_of.format(column='bucket')} AS day, {', '.join(_DIMENSIONS)}, "
        f"{_named(added)} FROM {QUARTERS}_anew GROUP BY use_case_id, 2, {', '.join(_DIMENSIONS)})"
    )
    of_day = (
        f"{TAGS}_anew AS (SELECT use_case_id, {day_of.format(column='booked_at')} AS day, t.key AS tag, t.value, "
        "offering_id, team_id, gateway_id, tier, status, "
        f"{_named({name: of_tags.get(name) or sums[name] for name in _MEASURES[TAGS]})} "
        "FROM entries, jsonb_each_text(tags) AS t WHERE t.key = ANY(%(tags)s::text[]) "
        "GROUP BY use_case_id, 2, t.key, t.value, offering_id, team_id, gateway_id, tier, status)"
    )
    return [entries, quarters, days, of_day]


def _held(spans: Sequence[Span]) -> list[str]:
    return [
        f"held_{table} AS (SELECT {', '.join((*_KEYS[table], *_MEASURES[table]))} FROM {table} "
        f"WHERE {_of_day(table, spans)})"
        for table in TABLES
    ]


def _of_day(table: str, spans: Sequence[Span], *, any_tag: bool = False) -> str:
    """Write the condition that finds the rows of the day, those of undeclared tags only where `any_tag` is set."""
    if table == QUARTERS:
        return _within("bucket", spans)
    return "day = %(day)s::date" + (" AND tag = ANY(%(tags)s::text[])" if table == TAGS and not any_tag else "")


def _within(column: str, spans: Sequence[Span]) -> str:
    parts = (f"{column} >= %(starts{i})s AND {column} < %(ends{i})s" for i in range(len(spans)))
    return f"({' OR '.join(parts) or 'false'})"


def _plus(columns: Sequence[str]) -> str:
    return " + ".join(columns)


def _named(sums: Mapping[str, str]) -> str:
    return ", ".join(f"{sql} AS {name}" for name, sql in sums.items())


def _with_room(cursor: Any) -> None:
    # The planner takes groups by so many columns for nearly as many as entries, and would sort; with room it hashes.
    cursor.execute("SELECT set_config('work_mem', '64MB', true)")


class _Found(msgspec.Struct):
    what: str
    held: dict[str, Any] | None
    recounted: dict[str, Any] | None


_decoder = msgspec.json.Decoder(list[_Found], float_hook=Decimal)


def _difference(found: _Found) -> dict[str, Any]:
    either = found.held or found.recounted or {}
    held, recounted = _values(found.what, found.held), _values(found.what, found.recounted)
    if held is not None and recounted is not None:
        differing = [name for name in held if held[name] != recounted[name]]
        held = {name: held[name] for name in differing}
        recounted = {name: recounted[name] for name in differing}
    return {
        "what": found.what,
        "which": {name: either[name] for name in _KEYS[found.what]},
        "held": held,
        "recounted": recounted,
    }


def _values(table: str, row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a row's measures as JSON keeps them exactly: money as text."""
    if row is None:
        return None
    return {name: plain(Decimal(row[name])) if name.endswith("_usd") else row[name] for name in _MEASURES[table]}
