"""Questions about spend as SQL: which tables answer them, and one statement over all of these.

See Note [Where an answer comes from] in `spend`. Names and texts of a question are parameters, never SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from core import periods
from core.errors import Invalid
from core.models import Organisation
from usage.models import Status
from usage.rules.postings import LATENCY_BOUNDS_MS
from usage.selectors import past, spend_sums
from usage.selectors.spend_ask import (
    CALENDAR,
    DIMENSIONS_KEPT,
    OTHERS,
    QUARTER_HOUR,
    TAG,
    TIMES,
    UNKEPT,
    SpendAsk,
    tag_name,
    tags_of,
)
from usage.selectors.spend_names import Resolved, named, raw, wanted
from usage.selectors.spend_sums import Sums
from usage.selectors.spend_times import calendar

MOST_ROWS = 50_000

# --- which tables ---


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table to sum over: the column of time, the sums it keeps as SQL, and where a tag stands."""

    name: str
    time: str
    sums: Mapping[str, str]
    by_day: bool = False


_INPUT = (
    "r.uncached_input_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens"
    " + r.audio_input_tokens + r.image_input_tokens"
)
_OUTPUT = "r.output_tokens + r.audio_output_tokens + r.image_output_tokens"
_ANSWERED, _FAILED = f"r.status = {Status.OK.value}", f"r.status = {Status.ERROR.value}"
_BUCKETS = tuple(f"latency_{place}" for place in range(spend_sums.BUCKETS))
_COMMON = {
    "requests": "sum(r.requests)",
    "input_tokens": f"sum({_INPUT})",
    "output_tokens": f"sum({_OUTPUT})",
    "failed_requests": f"sum(r.requests) FILTER (WHERE {_FAILED})",
    "uncached_input_tokens": "sum(r.uncached_input_tokens)",
    "cache_read_input_tokens": "sum(r.cache_read_tokens)",
    "cache_write_5m_input_tokens": "sum(r.cache_write_5m_tokens)",
    "cache_write_1h_input_tokens": "sum(r.cache_write_1h_tokens)",
    **{
        name: f"sum(r.{name})"
        for name in (
            "audio_input_tokens", "image_input_tokens", "audio_output_tokens", "image_output_tokens",
            "reasoning_tokens", "web_searches", *spend_sums.MONEY,
        )
    },
}  # fmt: skip
_OF_ROLLUPS = ("unpriced_tokens", "uncounted_requests", "unpriced_requests", "fallback_requests")
_ROLLED_UP = (
    _COMMON
    | {name: f"sum(r.{name})" for name in _OF_ROLLUPS}
    | {"latency_ms": f"sum(r.latency_ms) FILTER (WHERE {_ANSWERED})"}
    | {name: f"sum(r.latency_histogram[{place + 1}]) FILTER (WHERE {_ANSWERED})" for place, name in enumerate(_BUCKETS)}
)
_ONE = "sign(r.requests)::int"  # a reversal takes away what its entry had
_BUCKET = f"width_bucket(r.latency_ms, ARRAY[{', '.join(str(bound + 1) for bound in LATENCY_BOUNDS_MS)}])"
_IN_LEDGER = (
    _COMMON
    | {
        "unpriced_tokens": f"sum({_INPUT} + {_OUTPUT}) FILTER (WHERE r.unpriced > 0)",
        "unpriced_requests": "sum(r.requests) FILTER (WHERE r.unpriced > 0)",
        "uncounted_requests": "sum(r.requests) FILTER (WHERE NOT r.counted)",
        "fallback_requests": "sum(r.requests) FILTER (WHERE r.fallback_index <> 0)",
        "latency_ms": f"sum(r.latency_ms * {_ONE}) FILTER (WHERE {_ANSWERED})",
    }
    | {name: f"sum({_ONE}) FILTER (WHERE {_ANSWERED} AND {_BUCKET} = {place})" for place, name in enumerate(_BUCKETS)}
)
_IN_TAGS = {name: f"sum(r.{name})" for name in spend_sums.IN_TAGS} | {"failed_requests": _COMMON["failed_requests"]}
QUARTERS = Table(name="rollup_15min", time="bucket", sums=_ROLLED_UP)
DAYS = Table(name="rollup_day", time="day", sums=_ROLLED_UP, by_day=True)
# As `DAYS`, for what is asked by fewer dimensions: two tables, one of which is written with the range.
COARSE_DAYS = replace(
    DAYS, name="", sums=_ROLLED_UP | {name: f"sum(r.{name}) FILTER (WHERE {_ANSWERED})" for name in _BUCKETS}
)
TAG_DAYS = Table(name="rollup_day_tag", time="day", sums=_IN_TAGS, by_day=True)
LEDGER = Table(name="ledger", time="booked_at", sums=_IN_LEDGER)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the range in one table: [lower, upper) of its column of time.

    `tagged` says whether rows of a tag rollup are wanted by value (True), or to be taken from the whole to leave what
    has no tag (False); None elsewhere.
    """

    table: Table
    lower: datetime | date
    upper: datetime | date
    tagged: bool | None = None


def why_not_from_rollups(ask: SpendAsk, organisation: Organisation, held_since: datetime | None) -> str:
    """Say why the ledger is needed; empty where rollups can tell."""
    for at in (ask.starts_at, ask.ends_at):
        if at.timestamp() % QUARTER_HOUR.total_seconds():
            return "Rollups are by quarter hours, and the range begins or ends inside one."
    tags = tags_of(ask)
    if not tags:
        return ""
    undeclared = set(tags) - set(organisation.declared_tags)
    if undeclared:
        return f"Not a declared tag: {', '.join(sorted(undeclared))}."
    if len(tags) > 1:
        return "Rollups keep tags one by one, not combined."
    unkept = [
        name
        for name in (*ask.group_by, *ask.filters)
        if not tag_name(name) and name not in CALENDAR and not DIMENSIONS_KEPT.get(name, UNKEPT).in_tags
    ]
    if unkept:
        return f"Rollups do not keep tags together with {', '.join(unkept)}."
    if any("" in values for name, values in ask.filters.items() if tag_name(name)):
        return "Rollups do not keep what has no tag."
    zone = organisation.zone
    if set(CALENDAR) & set(ask.group_by) and ask.zone != zone:
        return f"Rollups keep tags by days of {zone}."
    for at in (ask.starts_at, ask.ends_at):
        if periods.day_start(periods.local_day(at, zone), zone) != at.astimezone(UTC):
            return f"Rollups keep tags by whole days of {zone}."
    if held_since is not None and ask.starts_at < held_since:
        return f"Some of these days were closed in another zone than {zone}, so tags are not kept by its days."
    return ""


def slices_of(ask: SpendAsk, zone: str, held_since: datetime | None) -> list[Slice]:
    """Cut the range into disjoint parts. See Note [Where an answer comes from]."""
    starts_at, ends_at = ask.starts_at.astimezone(UTC), ask.ends_at.astimezone(UTC)
    by_other_times = "hour" in ask.group_by or (ask.zone != zone and set(CALENDAR) & set(ask.group_by))
    if by_other_times:
        return [Slice(table=QUARTERS, lower=starts_at, upper=ends_at)]

    # Days of months that were closed while the organisation had another zone keep that zone's edges.
    first = _first_day_from(max(starts_at, held_since or starts_at), zone)
    last = periods.local_day(ends_at, zone)  # the day that the range ends in, or before which it ends
    if first >= last:
        return [Slice(table=QUARTERS, lower=starts_at, upper=ends_at)]
    if tags_of(ask):
        tagged = Slice(table=TAG_DAYS, lower=first, upper=last, tagged=True)
        if any(tag_name(name) for name in ask.filters):
            return [tagged]
        # What has no tag is the whole without what has one.
        return [tagged, Slice(table=DAYS, lower=first, upper=last), replace(tagged, tagged=False)]
    slices = [Slice(table=_days(ask), lower=first, upper=last)]
    for lower, upper in ((starts_at, periods.day_start(first, zone)), (periods.day_start(last, zone), ends_at)):
        if lower < upper:
            slices.append(Slice(table=QUARTERS, lower=lower, upper=upper))
    return slices


def _days(ask: SpendAsk) -> Table:
    """Return the table of days with the fewest rows that tells apart what is asked."""
    named = {*ask.group_by, *ask.filters} - set(CALENDAR)
    return COARSE_DAYS if all(DIMENSIONS_KEPT[name].column in past.KEY for name in named) else DAYS


def _first_day_from(at: datetime, zone: str) -> date:
    """Return the first day that begins at an instant or after it."""
    day = periods.local_day(at, zone)
    return day if periods.day_start(day, zone) >= at else day + timedelta(days=1)


# --- the statement ---


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
    columns = [column for name in kept for column in (_BUCKETS if name == "latencies" else (name,))]
    parts = [
        _part(number, name, part, ask, columns, conditions, parameters)
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
) -> str:
    """Return the sums over what one table holds of a slice, as SQL."""
    table = part.table
    columns = {_alias(name, ask): _value(name, part, ask) for name in ask.group_by}
    sign = "-" if part.tagged is False else ""
    sums = [f"{sign}{table.sums[name]} AS {name}" for name in kept]
    parameters |= {f"lower_{number}": part.lower, f"upper_{number}": part.upper}
    conditions = [f"r.{table.time} >= %(lower_{number})s", f"r.{table.time} < %(upper_{number})s", *wanted]
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


def _value(name: str, part: Slice, ask: SpendAsk) -> str:
    """Return a dimension's value in a table, as SQL."""
    table = part.table
    if name in TIMES:
        return _in_days(name) if table.by_day else f"width_bucket(r.{table.time}, %({name}_instants)s)"
    if tag := tag_name(name):
        if table is LEDGER:
            return f"coalesce(r.tags ->> %(tag_{tags_of(ask).index(tag)})s, '')"
        return "r.value" if part.tagged else "''::text"
    if name == "correction_of" and table is LEDGER:
        return _CORRECTION_IN_LEDGER
    return f"r.{DIMENSIONS_KEPT[name].column}"
