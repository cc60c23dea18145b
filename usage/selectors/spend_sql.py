"""Questions about spend as SQL: one statement over all tables that answer it, by `spend_slices`.

Names and texts of a question are parameters, never SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from core import periods
from core.errors import Invalid
from usage.selectors import past, spend_sums
from usage.selectors.spend_ask import DIMENSIONS_KEPT, OTHERS, TAG, TIMES, UNKEPT, SpendAsk, tag_name, tags_of
from usage.selectors.spend_names import Resolved, named, raw, wanted
from usage.selectors.spend_slices import BUCKETS, COARSE_DAYS, LEDGER, TAG_DAYS, Slice, Table
from usage.selectors.spend_sums import Sums
from usage.selectors.spend_times import Calendar, calendar

MOST_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The measures that an answer has, and its groups: their keys as names, and their sums."""

    kept: tuple[str, ...]
    rows: list[tuple[dict[str, str | None], Sums]]


def answered(ask: SpendAsk, slices: Sequence[Slice], resolved: Resolved) -> Answered:
    """Sum over the slices in one statement.

    Raises:
        Invalid: a filter names nothing, or there are more than `MOST_ROWS` groups.
    """
    parameters: dict[str, Any] = {}
    conditions = wanted(ask, parameters, resolved)
    calendars = {kind: calendar(kind, ask) for kind in TIMES if kind in ask.group_by}
    for kind, each in calendars.items():
        parameters[f"{kind}_instants"] = each.instants
        if each.dates:
            first = each.dates[0]
            parameters |= {f"{kind}_first": first, f"{kind}_before": first.year * 12 + first.month - 1}
    for number, tag in enumerate(tags_of(ask)):
        parameters[f"tag_{number}"] = tag

    kept = spend_sums.kept_of(ask.measures, bare=ask.bare, by_tag=any(part.table is TAG_DAYS for part in slices))
    columns = [column for name in kept for column in (BUCKETS if name == "latencies" else (name,))]
    parts = [
        _part(number, name, part, ask, columns, conditions, parameters, calendars)
        for number, part in enumerate(slices)
        for name in _names(number, part.table)
    ]
    labels = [_label(place, name, ask, parameters) for place, name in enumerate(ask.group_by)]
    joins = dict.fromkeys(join for name in ask.group_by for join in DIMENSIONS_KEPT.get(name, UNKEPT).joins)
    sums = ", ".join(f"sum(p.{name})" for name in columns)
    grouped = f"GROUP BY {', '.join(str(n + 1) for n in range(len(labels)))}" if labels else ""
    statement = (
        f"WITH p AS ({' UNION ALL '.join(parts)}) "  # the parts are this module's own words
        f"SELECT {', '.join([*labels, sums])} FROM p {' '.join(joins)} {grouped} LIMIT {MOST_ROWS + 1}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found = cursor.fetchall()
    if len(found) > MOST_ROWS:
        raise Invalid(
            f"That makes more than {MOST_ROWS:,} rows: ask for less at a time.", [("group_by", "too many rows")]
        )
    rows = []
    for values in found:
        keys = {
            name: OTHERS if name in ask.apart and value is None else named(name, value, calendars)
            for name, value in zip(ask.group_by, values, strict=False)
        }
        rows.append((keys, spend_sums.read(kept, values[len(keys) :])))
    return Answered(kept=kept, rows=rows)


def _label(place: int, name: str, ask: SpendAsk, parameters: dict[str, Any]) -> str:
    """Return what a group is called, as SQL; null where it is not one of those that are told apart."""
    dimension = DIMENSIONS_KEPT.get(name, UNKEPT)
    column = f"p.{_alias(name, ask)}"
    # A row of the catalogue is never deleted; should one be missing, its money must not be missing too.
    label = f"coalesce({dimension.label}, '#' || {column})" if dimension.label else column
    if name not in ask.apart:
        return label
    parameters[f"apart_{place}"] = [str(raw(name, value)) for value in ask.apart[name]]
    return f"CASE WHEN {label}::text = ANY(%(apart_{place})s) THEN {label} END"


def _alias(name: str, ask: SpendAsk) -> str:
    """Return the column of a part that holds a dimension's value."""
    if name in TIMES:
        return f"in_{name}"
    if tag := tag_name(name):
        return f"of_tag_{tags_of(ask).index(tag)}"
    return DIMENSIONS_KEPT[name].column


def _names(number: int, table: Table) -> tuple[str, ...]:
    """Return the tables that hold a slice, as SQL."""
    if table is COARSE_DAYS:
        return past.parts_of_days(first=f"%(lower_{number})s", until=f"%(upper_{number})s")
    return (table.name,)


def _part(
    number: int,
    name: str,
    part: Slice,
    ask: SpendAsk,
    kept: Sequence[str],
    wanted: list[str],
    parameters: dict[str, Any],
    calendars: Mapping[str, Calendar],
) -> str:
    """Return the sums over what one table holds of a slice, as SQL."""
    table = part.table
    if part.zone:
        parameters |= {
            f"{kind}_instants_{number}": [periods.day_start(day, part.zone) for day in each.dates]
            for kind, each in calendars.items()
        }
    columns = {_alias(name, ask): _value(name, number, part, ask) for name in ask.group_by}
    sign = "-" if part.less else ""
    sums = [f"{sign}{table.sums[name]} AS {name}" for name in kept]
    parameters |= {f"lower_{number}": part.lower, f"upper_{number}": part.upper}
    conditions = [f"r.{table.time} >= %(lower_{number})s", f"r.{table.time} < %(upper_{number})s", *wanted]
    if part.moved:
        begins, ends = zip(*part.moved, strict=True)
        parameters |= {f"begins_{number}": [*begins], f"ends_{number}": [*ends]}
        conditions.append(
            "r.bucket = ANY(ARRAY(SELECT generate_series(begins, ends - interval '15 min', '15 min') FROM "
            f"unnest(%(begins_{number})s::timestamptz[], %(ends_{number})s::timestamptz[]) AS moved (begins, ends)))"
        )
    for filtered in map(tag_name, ask.filters):
        if filtered:
            at = tags_of(ask).index(filtered)
            parameters[f"values_{at}"] = list(ask.filters[TAG + filtered])
            value = "r.value" if table is TAG_DAYS else f"coalesce(r.tags ->> %(tag_{at})s, '')"
            conditions.append(f"{value} = ANY(%(values_{at})s)")
    if table is TAG_DAYS:
        conditions.append("r.tag = %(tag_0)s")
    if table is LEDGER:
        conditions = [each.replace("r.correction_of ", f"{_CORRECTION_IN_LEDGER} ") for each in conditions]
    selected = ", ".join([*(f"{value} AS {alias}" for alias, value in columns.items()), *sums])
    grouped = f" GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}" if columns else ""
    return f"SELECT {selected} FROM {name} r WHERE {' AND '.join(conditions)}{grouped}"


_CORRECTION_IN_LEDGER = (
    "coalesce((extract(year FROM r.correction_of) * 100 + extract(month FROM r.correction_of))::int, 0)"
)


def _in_days(kind: str) -> str:
    """Return the number of a day's day, week or month, from 1 on. Whole numbers: a search in a list for each row of
    sums took as long as to add them up."""
    if kind == "month":
        return "(extract(year FROM r.day)::int * 12 + extract(month FROM r.day)::int - %(month_before)s)"
    since = f"(r.day - %({kind}_first)s::date)"
    return f"({since} / 7 + 1)" if kind == "week" else f"({since} + 1)"


def _value(name: str, number: int, part: Slice, ask: SpendAsk) -> str:
    """Return a dimension's value in a table, as SQL."""
    table = part.table
    if name in TIMES:
        if table.by_day:
            return _in_days(name)
        instants = f"{name}_instants_{number}" if part.zone else f"{name}_instants"
        return f"width_bucket(r.{table.time}, %({instants})s)"
    if tag := tag_name(name):
        if table is LEDGER:
            return f"coalesce(r.tags ->> %(tag_{tags_of(ask).index(tag)})s, '')"
        return "r.value" if part.tagged else "''::text"
    if name == "correction_of" and table is LEDGER:
        return _CORRECTION_IN_LEDGER
    return f"r.{DIMENSIONS_KEPT[name].column}"
