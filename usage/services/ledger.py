"""The one way into the ledger: postings, their rollups and the budgets' counters, in the caller's transaction.

SQL by hand and no ORM objects: this runs for every batch. Rows are sorted before they are written, so that bookings
that touch the same rollups wait for each other in one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from budgets.rules import Consumption
from budgets.selectors.definitions import tag_names
from budgets.services import counters
from catalog.models import Tier
from catalog.rules import INPUT_METERS, OUTPUT_METERS, REQUESTS
from usage.rules import postings as rules
from usage.rules.postings import COLUMNS, METER_COLUMNS, GroupKey, Groups, Posting
from usage.rules.rating import usd
from usage.selectors import drivers, past
from usage.selectors.world import World

BLOCK = 1000  # the increment of the sequence that numbers entries


def take_ids(cursor: psycopg.Cursor[Any], count: int) -> list[int]:
    """Return so many ids that nobody else has; those of a transaction that fails are never used."""
    if count == 0:
        return []
    blocks = -(-count // BLOCK)
    cursor.execute("SELECT nextval('ledger_block') FROM generate_series(1, %s)", [blocks])
    ids = [first + offset for (first,) in cursor.fetchall() for offset in range(BLOCK)]
    return ids[:count]


def hold_corrections(cursor: psycopg.Cursor[Any]) -> None:
    """Keep others who correct entries out for the rest of the transaction.

    Two runs that find the same entry wrong must not both put it right: the second looks after the first has committed.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CORRECTIONS])


_CORRECTIONS = 7_305_002  # any number, as long as nobody else uses it


def post(cursor: psycopg.Cursor[Any], *, postings: Sequence[Posting], world: World, at: datetime) -> None:
    """Write lines of the ledger, add them to the rollups, and tell budgets what was consumed.

    The lines, the sums and the crossings commit together or not at all.
    """
    if not postings:
        return
    _copy(cursor, "ledger", postings)
    groups = rules.sums_of(postings)
    days = _days(groups, world)
    _forget_past(cursor, {key[1] for key, _ in days}, at)
    _upsert(cursor, _SQL_15MIN, _quarter_hours(groups))
    _upsert(cursor, _SQL_DAY, days)
    if world.declared_tags:
        _upsert_tags(cursor, postings, world)
    # What is booked late for a closed month moves no counter.
    consumed = _consumptions(postings, groups, world)
    if consumed:
        counters.consume(consumptions=consumed, at=at, explain=drivers.explain)


def _forget_past(cursor: psycopg.Cursor[Any], days: Iterable[date], at: datetime) -> None:
    """Take away what was gathered of these days and their weeks, before any of their sums is locked.

    What is booked within a day or two, as nearly all is, was not gathered yet (`services/past.py`), and asks nothing.
    """
    recent = at.astimezone(UTC).date() - timedelta(days=1)
    if older := [day for day in days if day < recent]:
        cursor.execute(past.FORGET, past.forgotten(older))


def post_unsummed(cursor: psycopg.Cursor[Any], *, postings: Sequence[Posting]) -> None:
    """Keep shadow and audit lines where no rollup, counter or total reads them."""
    if postings:
        _copy(cursor, "ledger_unsummed", postings)


def _copy(cursor: psycopg.Cursor[Any], table: str, postings: Sequence[Posting]) -> None:
    with cursor.copy(f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN ({rules.COPY_AS})") as copy:
        copy.write(rules.copy_lines(postings))


_KEY = (
    ("offering_id", "bigint"),
    ("team_id", "bigint"),
    ("gateway_id", "bigint"),
    ("tier", "smallint"),
    ("status", "smallint"),
    ("rules_version", "integer"),
    ("correction_of", "integer"),
    ("environment", "text"),
    ("rule", "text"),
    ("reason", "text"),
    ("task", "text"),
    ("requested_model", "text"),
)
_SUMS = (
    *((name, "bigint") for name in METER_COLUMNS),
    ("reasoning_tokens", "bigint"),
    ("cost_usd", "numeric"),
    ("list_cost_usd", "numeric"),
    ("avoided_usd", "numeric"),
    ("reported_cost_usd", "numeric"),
    ("compared_cost_usd", "numeric"),
    ("compared_list_usd", "numeric"),
    ("compared_reported_usd", "numeric"),
    ("unpriced_tokens", "bigint"),
    ("unpriced_requests", "bigint"),
    ("uncounted_requests", "bigint"),
    ("fallback_requests", "bigint"),
    ("latency_ms", "bigint"),
)
_MONEY = {
    rules.COST,
    rules.LIST_COST,
    rules.AVOIDED,
    rules.REPORTED,
    rules.COMPARED,
    rules.COMPARED_LIST,
    rules.COMPARED_REPORTED,
}


def _sql(table: str, time_column: str, time_value: str, time_type: str) -> str:
    key = ("use_case_id", time_column, *(name for name, _ in _KEY))
    sums = tuple(name for name, _ in _SUMS)
    types = ("bigint", time_type, *(kind for _, kind in _KEY), *(kind for _, kind in _SUMS), "text")
    names = (*key, *sums, "latency_histogram")
    histogram = ", ".join(f"r.latency_histogram[{i}] + excluded.latency_histogram[{i}]" for i in range(1, 17))
    return (
        f"INSERT INTO {table} AS r ({', '.join(names)}) "
        f"SELECT use_case_id, {time_value}, {', '.join(name for name, _ in _KEY)}, {', '.join(sums)}, "
        f"latency_histogram::bigint[] FROM unnest({', '.join(f'%s::{kind}[]' for kind in types)}) "
        f"AS t({', '.join(names)}) ON CONFLICT ({', '.join(key)}) DO UPDATE SET "
        f"{', '.join(f'{name} = r.{name} + excluded.{name}' for name in sums)}, "
        f"latency_histogram = ARRAY[{histogram}]"
    )


_SQL_15MIN = _sql("rollup_15min", "bucket", "to_timestamp(bucket)", "bigint")
_SQL_DAY = _sql("rollup_day", "day", "day", "date")


def _numbers(values: Iterable[Any]) -> str:
    """Write an array literal of numbers (or dates); PostgreSQL casts it, whatever their size."""
    return "{" + ",".join(map(str, values)) + "}"


def _upsert(cursor: psycopg.Cursor[Any], sql: str, rows: list[tuple[tuple[Any, ...], list[int]]]) -> None:
    keys = list(zip(*(key for key, _ in rows), strict=True))
    sums = list(zip(*(row for _, row in rows), strict=True))
    parameters: list[Any] = [
        list(column) if index > 8 else _numbers(column)
        for index, column in enumerate(keys)  # the last five are text
    ]
    for index in range(rules.HISTOGRAM):
        column = sums[index]
        parameters.append("{" + ",".join([f"{v}e-18" for v in column]) + "}" if index in _MONEY else _numbers(column))
    histograms = zip(*sums[rules.HISTOGRAM :], strict=True)
    parameters.append("{" + ",".join([f'"{_numbers(h)}"' for h in histograms]) + "}")
    cursor.execute(sql, parameters)


def _quarter_hours(groups: Groups) -> list[tuple[tuple[Any, ...], list[int]]]:
    return sorted(groups.items())


def _days(groups: Groups, world: World) -> list[tuple[tuple[Any, ...], list[int]]]:
    days: dict[tuple[Any, ...], list[int]] = {}
    for key, sums in groups.items():
        day = (key[0], world.day_of(key.bucket), *key[2:])
        seen = days.get(day)
        days[day] = sums if seen is None else list(map(int.__add__, seen, sums))
    return sorted(days.items())


def _tokens(meters: Sequence[int], which: Iterable[int]) -> int:
    return sum([meters[index] for index in which])


def _upsert_tags(cursor: psycopg.Cursor[Any], postings: Iterable[Posting], world: World) -> None:
    sums: dict[tuple[Any, ...], list[int]] = {}
    for p in postings:
        for tag in world.declared_tags:
            value = p.tags.get(tag)
            if value is None:
                continue
            day = world.day_of(int(p.booked_at.timestamp()) // rules.QUARTER_HOUR_S * rules.QUARTER_HOUR_S)
            key = (p.use_case_id, day, tag, value, p.offering_id, p.team_id, p.gateway_id, p.tier, p.status)
            row = sums.setdefault(key, [0] * 6)
            requests = p.meters[9]
            row[0] += requests
            row[1] += _tokens(p.meters, INPUT_METERS)
            row[2] += _tokens(p.meters, OUTPUT_METERS)
            row[3] += p.cost or 0
            row[4] += 0 if p.cost is not None else sum(p.meters[:REQUESTS])
            row[5] += 0 if p.counted else requests
    if not sums:
        return
    ordered = sorted(sums.items())
    keys = list(zip(*(key for key, _ in ordered), strict=True))
    values = list(zip(*(row for _, row in ordered), strict=True))
    cursor.execute(
        _SQL_TAGS,
        [
            *(list(column) if index in (2, 3) else _numbers(column) for index, column in enumerate(keys)),
            *("{" + ",".join([f"{v}e-18" for v in c]) + "}" if i == 3 else _numbers(c) for i, c in enumerate(values)),
        ],
    )


_TAG_KEY = (
    ("use_case_id", "bigint"), ("day", "date"), ("tag", "text"), ("value", "text"), ("offering_id", "bigint"),
    ("team_id", "bigint"), ("gateway_id", "bigint"), ("tier", "smallint"), ("status", "smallint"),
)  # fmt: skip
_TAG_SUMS = (
    ("requests", "bigint"), ("input_tokens", "bigint"), ("output_tokens", "bigint"), ("cost_usd", "numeric"),
    ("unpriced_tokens", "bigint"), ("uncounted_requests", "bigint"),
)  # fmt: skip
_SQL_TAGS = (
    f"INSERT INTO rollup_day_tag AS r ({', '.join(n for n, _ in (*_TAG_KEY, *_TAG_SUMS))}) "
    f"SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in (*_TAG_KEY, *_TAG_SUMS))}) "
    f"ON CONFLICT ({', '.join(n for n, _ in _TAG_KEY)}) DO UPDATE SET "
    f"{', '.join(f'{n} = r.{n} + excluded.{n}' for n, _ in _TAG_SUMS)}"
)


def _consumptions(postings: Sequence[Posting], groups: Groups, world: World) -> list[Consumption]:
    wanted = tag_names()
    if not wanted:
        return [_consumption(key, sums, {}, world) for key, sums in groups.items() if not key.correction_of]
    # Budgets with tags in their scope need the sums apart by those tags as well.
    by_tags: dict[tuple[tuple[str, str], ...], list[Posting]] = {}
    for p in postings:
        tags = tuple((tag, p.tags[tag]) for tag in sorted(wanted) if tag in p.tags)
        by_tags.setdefault(tags, []).append(p)
    return [
        _consumption(key, sums, dict(tags), world)
        for tags, some in by_tags.items()
        for key, sums in rules.sums_of(some).items()
        if not key.correction_of
    ]


_TIERS = {tier.value: str(tier.label) for tier in Tier}


def _consumption(key: GroupKey, sums: list[int], tags: dict[str, str], world: World) -> Consumption:
    book = world.book
    offering = book.offerings.get(key.offering_id)
    return Consumption(
        occurred_at=datetime.fromtimestamp(key.bucket, UTC),
        use_case=book.use_case_names.get(key.use_case_id, ""),
        team=book.team_names.get(key.team_id, ""),
        model=offering.model if offering else "",
        offering=offering.name if offering else "",
        provider=offering.provider if offering else "",
        tier=_TIERS[key.tier],
        gateway=book.gateways.get(key.gateway_id, ""),
        tags=tags,
        status=rules.STATUS_NAMES[key.status],
        requests=sums[rules._REQUESTS],
        input_tokens=_tokens(sums, INPUT_METERS),
        output_tokens=_tokens(sums, OUTPUT_METERS),
        cost_usd=usd(sums[rules.COST]),
    )
