"""What was spent, on what: sums by any dimensions over any time.

# Note [Where an answer comes from]
Days of the organisation's zone come from `rollup_day`, the rest of the range and everything by hour or by another
zone's days from `rollup_15min`: a range is cut into disjoint slices, so every row is read once. Tags that are declared
come from `rollup_day_tag`. What no rollup can tell (another tag, an instant inside a quarter hour) needs the ledger, in
the background: see `spend_query`. All of them are the same sums over the same entries, by `booked_at`.

# Note [One calendar]
Where days, months and hours begin is worked out here, in Python, and handed to PostgreSQL as lists of instants, so that
a label and the edge of a range can never come from two versions of the time zone database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Max
from django.db.models.functions import Lower

from catalog.models import Gateway, Model, Offering, Provider, Team, TeamAlias, Tier, UseCase, UseCaseAlias
from catalog.rules import fold
from core import money, periods
from core.errors import Invalid
from core.models import Organisation
from usage.models import Month, Status
from usage.selectors import kept

QUARTER_HOUR = timedelta(minutes=15)
LONGEST = timedelta(days=3700)
LONGEST_BY_HOUR = timedelta(days=93)
LONGEST_IN_LEDGER = timedelta(days=31)
MOST_ROWS = 50_000
MOST_GROUPS = 6
_SHARE_PLACES = Decimal("1e-6")
_DIGITS = 80  # sums have more digits than a Decimal context's usual 28


class NeedsLedger(Invalid):
    """No rollup can tell; the ledger can, in the background. The message says why."""


# --- what can be asked ---


@dataclass(frozen=True, kw_only=True)
class SpendAsk:
    """Sums over [starts_at, ends_at), one row per combination of `group_by`, of what passes every filter.

    A filter passes whatever has one of its values; the empty text stands for "none". Days, months and hours are those
    of `zone`.
    """

    starts_at: datetime
    ends_at: datetime
    zone: str
    group_by: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Dimension:
    """A column of rollups and ledger, and how its values become names: by a join (`label`) or as they are."""

    column: str
    label: str = ""
    joins: tuple[str, ...] = ()
    in_tags: bool = False  # whether `rollup_day_tag` has it


_OFFERING = "LEFT JOIN catalog_offering offering ON offering.id = p.offering_id"
_TIERS: dict[int, str] = dict(Tier.choices)
_STATUSES: dict[int, str] = dict(Status.choices)

_DIMENSIONS: dict[str, _Dimension] = {
    "use_case": _Dimension(
        column="use_case_id",
        label="use_case.name",
        joins=("LEFT JOIN catalog_usecase use_case ON use_case.id = p.use_case_id",),
        in_tags=True,
    ),
    "team": _Dimension(
        column="team_id",
        label="team.name",
        joins=("LEFT JOIN catalog_team team ON team.id = p.team_id",),
        in_tags=True,
    ),
    "model": _Dimension(
        column="offering_id",
        label="model.name",
        joins=(_OFFERING, "LEFT JOIN catalog_model model ON model.id = offering.model_id"),
        in_tags=True,
    ),
    "provider": _Dimension(
        column="offering_id",
        label="provider.name",
        joins=(_OFFERING, "LEFT JOIN catalog_provider provider ON provider.id = offering.provider_id"),
        in_tags=True,
    ),
    "offering": _Dimension(column="offering_id", label="offering.name", joins=(_OFFERING,), in_tags=True),
    "gateway": _Dimension(
        column="gateway_id",
        label="gateway.name",
        joins=("LEFT JOIN catalog_gateway gateway ON gateway.id = p.gateway_id",),
        in_tags=True,
    ),
    "tier": _Dimension(column="tier", in_tags=True),
    "status": _Dimension(column="status", in_tags=True),
    "rule": _Dimension(column="rule"),
    "reason": _Dimension(column="reason"),
    "environment": _Dimension(column="environment"),
    "task": _Dimension(column="task"),
    "requested_model": _Dimension(column="requested_model"),
    "rules_version": _Dimension(column="rules_version"),
    "correction_of": _Dimension(column="correction_of"),
}
TIMES = ("hour", "day", "month")
DIMENSIONS = (*_DIMENSIONS, *TIMES)  # and tag:NAME
_NUMBERS = ("rules_version", "correction_of")
_TAG = "tag:"


# --- what is answered ---


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Measures of a row. Cached input is counted inside `input_tokens`, reasoning inside `output_tokens`.

    Tag rollups keep fewer of them; what was not kept is None.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced_tokens: int = 0
    uncounted_requests: int = 0
    cache_read_input_tokens: int | None = 0
    cache_write_5m_input_tokens: int | None = 0
    cache_write_1h_input_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    web_searches: int | None = 0
    list_cost_usd: Decimal | None = Decimal(0)
    avoided_usd: Decimal | None = Decimal(0)
    reported_cost_usd: Decimal | None = Decimal(0)
    unpriced_requests: int | None = 0
    fallback_requests: int | None = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def priced_share(self) -> Decimal | None:
        """Tokens on priced entries over tokens, rounded down, so 1 says all of them; None where there are no tokens."""
        if self.tokens == 0:
            return None
        share = Decimal(self.tokens - self.unpriced_tokens) / self.tokens
        return share.quantize(_SHARE_PLACES, rounding=ROUND_DOWN)

    @property
    def empty(self) -> bool:
        return not any(getattr(self, name) for name in MEASURES)


MEASURES = tuple(each.name for each in fields(Sums))
_IN_TAGS = ("requests", "input_tokens", "output_tokens", "cost_usd", "unpriced_tokens", "uncounted_requests")
_MONEY = ("cost_usd", "list_cost_usd", "avoided_usd", "reported_cost_usd")


@dataclass(frozen=True, kw_only=True)
class SpendRow:
    """Sums of one combination; `keys` holds a name per dimension of `group_by`, None for "none"."""

    keys: dict[str, str | None]
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class Spend:
    """Rows in order of time, then dearest first; `total` is their sum and so that of the whole range."""

    ask: SpendAsk
    rows: list[SpendRow]
    total: Sums


def spend(*, ask: SpendAsk) -> Spend:
    """Return the sums from rollups.

    Three queries (organisation, closed months, the sums), and one per filter that names rows of the catalogue.

    Raises:
        Invalid: something is asked by that does not exist, the range is empty or too long, or the rows are too many.
        NeedsLedger: no rollup can tell.
    """
    (answer,) = spends(asks=[ask])
    return answer


def spends(*, asks: Sequence[SpendAsk]) -> list[Spend]:
    """Return the sums for several questions, each as `spend` gives it.

    Two queries, one per question, and one per filter that names rows of the catalogue and differs from those before.

    Raises:
        Invalid, NeedsLedger: as `spend`, for the first question that it is true of.
    """
    for ask in asks:
        check(ask=ask)
    organisation = Organisation.objects.get(pk=1)
    held_since = Month.objects.exclude(zone=organisation.zone).aggregate(until=Max("ends_at"))["until"]
    resolved: _Resolved = {}
    answers = []
    for ask in asks:
        if why := _why_not_from_rollups(ask, organisation, held_since):
            raise NeedsLedger(why)
        answers.append(_answered(ask, _slices(ask, organisation.zone, held_since), resolved))
    return answers


def spend_or_none(*, ask: SpendAsk) -> Spend | None:
    """Return the sums from rollups, or None where only the ledger can tell. Raises Invalid as `spend`."""
    try:
        return spend(ask=ask)
    except NeedsLedger:
        return None


def ledger_spend(*, ask: SpendAsk) -> Spend:
    """Return the same sums from the ledger, for whatever instants and tags. It reads every entry: not for pages.

    Two queries, and one per filter that names rows of the catalogue.

    Raises:
        Invalid: as `spend`; the range is longer than 31 days, or not kept any more.
    """
    check_for_ledger(ask=ask)
    check_kept(ask=ask)
    return _answered(ask, [_Slice(table=_LEDGER, lower=ask.starts_at, upper=ask.ends_at)], {})


def check_kept(*, ask: SpendAsk) -> None:
    """Refuse what the ledger cannot answer any more: a part of it would look like all. One query.

    Raises:
        Invalid: months of the range were dropped.
    """
    lost = kept.dropped_within(ask.starts_at, ask.ends_at)
    if lost:
        raise Invalid(
            f"This has to be read from the ledger, which does not keep {kept.listed(lost)} any more. Sums by whole "
            "days and declared tags are still there.",
            [("from", "not in the ledger any more")],
        )


def check_for_ledger(*, ask: SpendAsk) -> None:
    """Look at everything that can be seen without the database.

    Raises:
        Invalid: as `check`; the range is longer than 31 days.
    """
    check(ask=ask)
    if ask.ends_at - ask.starts_at > LONGEST_IN_LEDGER + timedelta(hours=2):  # a month may gain an hour or two
        raise Invalid(
            "This has to be read from the ledger, which answers for 31 days at most: ask for fewer days, or for whole "
            "days and declared tags.",
            [("to", "more than 31 days after `from`")],
        )


def check(*, ask: SpendAsk) -> None:
    """Look at everything that can be seen without the database.

    Raises:
        Invalid: with all that is wrong.
    """
    problems: list[tuple[str, str]] = []
    if ask.ends_at <= ask.starts_at:
        problems.append(("to", "The range is empty: `to` has to come after `from`."))
    elif ask.ends_at - ask.starts_at > LONGEST:
        problems.append(("to", f"A range has {LONGEST.days} days at most."))
    elif "hour" in ask.group_by and ask.ends_at - ask.starts_at > LONGEST_BY_HOUR:
        problems.append(("group_by", f"By hour a range has {LONGEST_BY_HOUR.days} days at most."))
    if len(ask.group_by) > MOST_GROUPS:
        problems.append(("group_by", f"Group by {MOST_GROUPS} dimensions at most."))
    if len(set(ask.group_by)) < len(ask.group_by):
        problems.append(("group_by", "Name each dimension once."))
    for name in ask.group_by:
        if name not in DIMENSIONS and not _tag_name(name):
            problems.append(("group_by", f"There is no dimension {name!r}: {', '.join(DIMENSIONS)}, tag:NAME."))
    for name in ask.filters:
        if name not in _DIMENSIONS and not _tag_name(name):
            problems.append((name, f"There is no filter {name!r}: {', '.join(_DIMENSIONS)}, tag:NAME."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)


def _tag_name(dimension: str) -> str:
    return dimension[len(_TAG) :] if dimension.startswith(_TAG) else ""


def _tags(ask: SpendAsk) -> set[str]:
    return {tag for tag in map(_tag_name, (*ask.group_by, *ask.filters)) if tag}


def as_json(answer: Spend, *, complete_through: datetime | None) -> dict[str, Any]:
    """Return the answer as `GET spend` writes it: money as decimal strings, instants in UTC."""
    share = answer.total.priced_share
    return {
        "from": written_instant(answer.ask.starts_at),
        "to": written_instant(answer.ask.ends_at),
        "zone": answer.ask.zone,
        "group_by": list(answer.ask.group_by),
        "rows": [{**row.keys, **_sums_as_json(row.sums)} for row in answer.rows],
        "total": _sums_as_json(answer.total),
        "priced_share": None if share is None else money.plain(share),
        "complete_through": None if complete_through is None else written_instant(complete_through),
    }


def _sums_as_json(sums: Sums) -> dict[str, Any]:
    written = {name: getattr(sums, name) for name in MEASURES}
    for name in _MONEY:
        if written[name] is not None:
            written[name] = money.plain(written[name])
    return written


def written_instant(at: datetime) -> str:
    """Return an instant as JSON carries it: RFC 3339 in UTC, with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


# --- which tables ---


@dataclass(frozen=True, kw_only=True)
class _Table:
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
_COMMON = {
    "requests": "sum(r.requests)",
    "input_tokens": f"sum({_INPUT})",
    "output_tokens": f"sum({_OUTPUT})",
    "cache_read_input_tokens": "sum(r.cache_read_tokens)",
    "cache_write_5m_input_tokens": "sum(r.cache_write_5m_tokens)",
    "cache_write_1h_input_tokens": "sum(r.cache_write_1h_tokens)",
    "reasoning_tokens": "sum(r.reasoning_tokens)",
    "web_searches": "sum(r.web_searches)",
    **{name: f"sum(r.{name})" for name in _MONEY},
}
_ROLLED_UP = _COMMON | {
    name: f"sum(r.{name})"
    for name in ("unpriced_tokens", "uncounted_requests", "unpriced_requests", "fallback_requests")
}
_IN_LEDGER = _COMMON | {
    "unpriced_tokens": f"sum({_INPUT} + {_OUTPUT}) FILTER (WHERE r.unpriced > 0)",
    "unpriced_requests": "sum(r.requests) FILTER (WHERE r.unpriced > 0)",
    "uncounted_requests": "sum(r.requests) FILTER (WHERE NOT r.counted)",
    "fallback_requests": "sum(r.requests) FILTER (WHERE r.fallback_index <> 0)",
}
_QUARTERS = _Table(name="rollup_15min", time="bucket", sums=_ROLLED_UP)
_DAYS = _Table(name="rollup_day", time="day", sums=_ROLLED_UP, by_day=True)
_TAG_DAYS = _Table(name="rollup_day_tag", time="day", sums={name: f"sum(r.{name})" for name in _IN_TAGS}, by_day=True)
_LEDGER = _Table(name="ledger", time="booked_at", sums=_IN_LEDGER)


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """A part of the range in one table: [lower, upper) of its column of time.

    `tagged` says whether rows of a tag rollup are wanted by value (True), or to be taken from the whole to leave what
    has no tag (False); None elsewhere.
    """

    table: _Table
    lower: datetime | date
    upper: datetime | date
    tagged: bool | None = None


def _why_not_from_rollups(ask: SpendAsk, organisation: Organisation, held_since: datetime | None) -> str:
    """Say why the ledger is needed; empty where rollups can tell."""
    for at in (ask.starts_at, ask.ends_at):
        if at.timestamp() % QUARTER_HOUR.total_seconds():
            return "Rollups are by quarter hours, and the range begins or ends inside one."
    tags = _tags(ask)
    if not tags:
        return ""
    undeclared = tags - set(organisation.declared_tags)
    if undeclared:
        return f"Not a declared tag: {', '.join(sorted(undeclared))}."
    if len(tags) > 1:
        return "Rollups keep tags one by one, not combined."
    unkept = [
        name
        for name in (*ask.group_by, *ask.filters)
        if not _tag_name(name) and name not in ("day", "month") and not _DIMENSIONS.get(name, _UNKEPT).in_tags
    ]
    if unkept:
        return f"Rollups do not keep tags together with {', '.join(unkept)}."
    if any("" in values for name, values in ask.filters.items() if _tag_name(name)):
        return "Rollups do not keep what has no tag."
    zone = organisation.zone
    if {"day", "month"} & set(ask.group_by) and ask.zone != zone:
        return f"Rollups keep tags by days of {zone}."
    for at in (ask.starts_at, ask.ends_at):
        if periods.day_start(periods.local_day(at, zone), zone) != at.astimezone(UTC):
            return f"Rollups keep tags by whole days of {zone}."
    if held_since is not None and ask.starts_at < held_since:
        return f"Some of these days were closed in another zone than {zone}, so tags are not kept by its days."
    return ""


_UNKEPT = _Dimension(column="")


def _slices(ask: SpendAsk, zone: str, held_since: datetime | None) -> list[_Slice]:
    """Cut the range into disjoint parts. See Note [Where an answer comes from]."""
    starts_at, ends_at = ask.starts_at.astimezone(UTC), ask.ends_at.astimezone(UTC)
    by_other_times = "hour" in ask.group_by or (ask.zone != zone and {"day", "month"} & set(ask.group_by))
    if by_other_times:
        return [_Slice(table=_QUARTERS, lower=starts_at, upper=ends_at)]

    # Days of months that were closed while the organisation had another zone keep that zone's edges.
    first = _first_day_from(max(starts_at, held_since or starts_at), zone)
    last = periods.local_day(ends_at, zone)  # the day that the range ends in, or before which it ends
    if first >= last:
        return [_Slice(table=_QUARTERS, lower=starts_at, upper=ends_at)]
    if _tags(ask):
        tagged = _Slice(table=_TAG_DAYS, lower=first, upper=last, tagged=True)
        if any(_tag_name(name) for name in ask.filters):
            return [tagged]
        # What has no tag is the whole without what has one.
        return [tagged, _Slice(table=_DAYS, lower=first, upper=last), replace(tagged, tagged=False)]
    slices = [_Slice(table=_DAYS, lower=first, upper=last)]
    for lower, upper in ((starts_at, periods.day_start(first, zone)), (periods.day_start(last, zone), ends_at)):
        if lower < upper:
            slices.append(_Slice(table=_QUARTERS, lower=lower, upper=upper))
    return slices


def _first_day_from(at: datetime, zone: str) -> date:
    """Return the first day that begins at an instant or after it."""
    day = periods.local_day(at, zone)
    return day if periods.day_start(day, zone) >= at else day + timedelta(days=1)


# --- the calendar ---


@dataclass(frozen=True, kw_only=True)
class _Calendar:
    """Beginnings of the days, months or hours that a range touches, with what to call them."""

    instants: list[datetime]
    dates: list[date]  # the same for tables by day; empty for hours
    labels: list[str]


def _calendar(kind: str, ask: SpendAsk) -> _Calendar:
    starts_at, ends_at, zone = ask.starts_at.astimezone(UTC), ask.ends_at.astimezone(UTC), ask.zone
    if kind == "hour":
        hours = _hours(starts_at, ends_at, zone)
        return _Calendar(instants=hours, dates=[], labels=[written_instant(at) for at in hours])
    found = []
    period = periods.containing(starts_at, kind, zone)
    while period.starts_at < ends_at:
        found.append(period)
        period = periods.containing(period.ends_at, kind, zone)
    width = 10 if kind == "day" else 7
    return _Calendar(
        instants=[each.starts_at for each in found],
        dates=[each.first_day for each in found],
        labels=[each.first_day.isoformat()[:width] for each in found],
    )


def _hours(starts_at: datetime, ends_at: datetime, zone: str) -> list[datetime]:
    """Return where hours of the wall clock begin; clocks that are put forward or back begin one too."""
    local = ZoneInfo(zone)
    at = starts_at - timedelta(seconds=starts_at.timestamp() % 900) - 4 * QUARTER_HOUR
    offset = (at - QUARTER_HOUR).astimezone(local).utcoffset()
    found: list[datetime] = []
    while at < ends_at:
        there = at.astimezone(local)
        if there.minute == 0 or there.utcoffset() != offset:
            if at <= starts_at:
                found.clear()
            found.append(at)
        offset = there.utcoffset()
        at += QUARTER_HOUR
    return found


# --- the question as SQL ---


_Resolved = dict[tuple[str, tuple[str, ...]], tuple[list[Any], list[str]]]  # filters that were looked up already


def _answered(ask: SpendAsk, slices: Sequence[_Slice], resolved: _Resolved) -> Spend:
    """Sum over the slices in one statement. Names and texts of the question are parameters, never SQL."""
    parameters: dict[str, Any] = {}
    wanted = _wanted(ask, parameters, resolved)
    calendars = {kind: _calendar(kind, ask) for kind in TIMES if kind in ask.group_by}
    for kind, calendar in calendars.items():
        parameters |= {f"{kind}_instants": calendar.instants, f"{kind}_dates": calendar.dates}
    for number, tag in enumerate(sorted(_tags(ask))):
        parameters[f"tag_{number}"] = tag

    by_tag = any(part.table is _TAG_DAYS for part in slices)
    kept = _IN_TAGS if by_tag else MEASURES
    parts = [_part(number, part, ask, kept, wanted, parameters) for number, part in enumerate(slices)]
    labels, joins = [], []
    for name in ask.group_by:
        dimension = _DIMENSIONS.get(name, _UNKEPT)
        column = _alias(name, ask)
        # A row of the catalogue is never deleted; should one be missing, its money must not be missing too.
        labels.append(f"coalesce({dimension.label}, '#' || p.{column})" if dimension.label else f"p.{column}")
        joins += [join for join in dimension.joins if join not in joins]
    sums = ", ".join(f"sum(p.{name})" for name in kept)
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
        keys = {name: _named(name, value, calendars) for name, value in zip(ask.group_by, values, strict=False)}
        rows.append(SpendRow(keys=keys, sums=_sums(kept, values[len(keys) :])))
    if by_tag:  # nothing is left of a whole of which everything has the tag
        rows = [row for row in rows if not row.sums.empty]
    rows.sort(key=_order)
    return Spend(ask=ask, rows=rows, total=_added(kept, [row.sums for row in rows]))


def _alias(name: str, ask: SpendAsk) -> str:
    """Return the column of a part that holds a dimension's value."""
    if name in TIMES:
        return f"in_{name}"
    if tag := _tag_name(name):
        return f"of_tag_{sorted(_tags(ask)).index(tag)}"
    return _DIMENSIONS[name].column


def _part(
    number: int, part: _Slice, ask: SpendAsk, kept: Sequence[str], wanted: list[str], parameters: dict[str, Any]
) -> str:
    """Return the sums over one slice, as SQL."""
    table = part.table
    columns = {_alias(name, ask): _value(name, part, ask) for name in ask.group_by}
    sign = "-" if part.tagged is False else ""
    sums = [f"{sign}{table.sums[name]} AS {name}" for name in kept]
    parameters |= {f"lower_{number}": part.lower, f"upper_{number}": part.upper}
    conditions = [f"r.{table.time} >= %(lower_{number})s", f"r.{table.time} < %(upper_{number})s", *wanted]
    for filtered in map(_tag_name, ask.filters):
        if filtered:
            at = sorted(_tags(ask)).index(filtered)
            parameters[f"values_{at}"] = list(ask.filters[_TAG + filtered])
            value = "r.value" if table is _TAG_DAYS else f"coalesce(r.tags ->> %(tag_{at})s, '')"
            conditions.append(f"{value} = ANY(%(values_{at})s)")
    if table is _TAG_DAYS:
        conditions.append("r.tag = %(tag_0)s")
    if table is _LEDGER:
        conditions = [each.replace("r.correction_of ", f"{_CORRECTION_IN_LEDGER} ") for each in conditions]
    selected = ", ".join([*(f"{value} AS {alias}" for alias, value in columns.items()), *sums])
    grouped = f" GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}" if columns else ""
    return f"SELECT {selected} FROM {table.name} r WHERE {' AND '.join(conditions)}{grouped}"


_CORRECTION_IN_LEDGER = (
    "coalesce((extract(year FROM r.correction_of) * 100 + extract(month FROM r.correction_of))::int, 0)"
)


def _value(name: str, part: _Slice, ask: SpendAsk) -> str:
    """Return a dimension's value in a table, as SQL."""
    table = part.table
    if name in TIMES:
        return f"width_bucket(r.{table.time}, %({name}_{'dates' if table.by_day else 'instants'})s)"
    if tag := _tag_name(name):
        if table is _LEDGER:
            return f"coalesce(r.tags ->> %(tag_{sorted(_tags(ask)).index(tag)})s, '')"
        return "r.value" if part.tagged else "''::text"
    if name == "correction_of" and table is _LEDGER:
        return _CORRECTION_IN_LEDGER
    return f"r.{_DIMENSIONS[name].column}"


def _wanted(ask: SpendAsk, parameters: dict[str, Any], resolved: _Resolved) -> list[str]:
    """Return the filters (tags apart) as conditions; names become ids here.

    Raises:
        Invalid: a value names nothing. To answer 0 for a slip in a name would say that nothing was spent.
    """
    conditions = []
    problems: list[tuple[str, str]] = []
    for name, values in ask.filters.items():
        if _tag_name(name):
            continue
        if (name, values) not in resolved:
            resolved[name, values] = _ids(name, values)
        found, unknown = resolved[name, values]
        problems += [(name, f"There is no {name.replace('_', ' ')} {value!r}.") for value in unknown]
        parameters[f"only_{name}"] = found
        conditions.append(f"r.{_DIMENSIONS[name].column} = ANY(%(only_{name})s)")
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    return conditions


def _ids(name: str, values: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Return what the columns hold for the values of a filter, and the values that name nothing."""
    if name in ("use_case", "team"):
        wanted = {fold(value): value for value in values}
        pairs = _by_label(name, list(wanted))
    elif name in ("model", "provider", "offering", "gateway"):
        wanted = {value.strip().lower(): value for value in values}
        pairs = _BY_NAME[name](list(wanted))
    elif name in ("tier", "status"):
        known = {text: number for number, text in (_TIERS if name == "tier" else _STATUSES).items()}
        return [known[value] for value in values if value in known], [each for each in values if each not in known]
    elif name in _NUMBERS:
        numbers = {value: value.replace("-", "") or "0" for value in values}
        unknown = [value for value, digits in numbers.items() if not (digits.isdecimal() and len(digits) < 10)]
        return [int(digits) for value, digits in numbers.items() if value not in unknown], unknown
    else:
        return list(values), []
    found = list(pairs)
    seen = {key for key, _ in found}
    return [pk for _, pk in found if pk is not None], [value for key, value in wanted.items() if key not in seen]


def _by_label(name: str, folded: list[str]) -> list[tuple[str, int]]:
    """Return ids by label: names first, then aliases that hold without end, as a renamed team's old name does."""
    table, aliases = _LABELLED[name]
    found = list(table.objects.filter(folded__in=folded).values_list("folded", "id"))
    missing = set(folded) - {label for label, _ in found}
    if missing:
        held = aliases.objects.filter(folded__in=missing, valid__endswith__isnull=True)
        found += held.values_list("folded", f"{name}_id")
    return found


_LABELLED: dict[str, tuple[Any, Any]] = {"use_case": (UseCase, UseCaseAlias), "team": (Team, TeamAlias)}


def _by_name(manager: Any, names: list[str], ids: str) -> Any:
    return manager.annotate(lower=Lower("name")).filter(lower__in=names).values_list("lower", ids)


# Of a model or provider all its offerings count; one that has none is known all the same.
_BY_NAME: dict[str, Any] = {
    "model": lambda names: _by_name(Model.objects, names, "offerings__id"),
    "provider": lambda names: _by_name(Provider.objects, names, "offerings__id"),
    "offering": lambda names: _by_name(Offering.objects, names, "id"),
    "gateway": lambda names: _by_name(Gateway.objects, names, "id"),
}


# --- the rows ---


def _named(name: str, value: Any, calendars: Mapping[str, _Calendar]) -> str | None:
    """Return a group's key as a name; None says "none"."""
    if name in TIMES:
        label: str = calendars[name].labels[value - 1]
        return label
    if name == "tier":
        return _TIERS[value]
    if name == "status":
        return _STATUSES[value]
    if not value:
        return None
    if name == "correction_of":
        return f"{value // 100}-{value % 100:02}"
    return str(value)


def _sums(kept: Sequence[str], values: Sequence[Any]) -> Sums:
    given: dict[str, Any] = {}
    for name, value in zip(kept, values, strict=True):
        given[name] = (value or Decimal(0)) if name in _MONEY else int(value or 0)
    return Sums(**(_nothing(kept) | given))


def added(each: Sequence[Sums]) -> Sums:
    """Return the exact sum of rows that keep every measure."""
    return _added(MEASURES, each)


def _added(kept: Sequence[str], each: Sequence[Sums]) -> Sums:
    with localcontext() as context:
        context.prec = _DIGITS
        given = {
            name: sum((getattr(sums, name) for sums in each), Decimal(0) if name in _MONEY else 0) for name in kept
        }
    return Sums(**(_nothing(kept) | given))


def _nothing(kept: Sequence[str]) -> dict[str, Any]:
    return {name: None for name in MEASURES if name not in kept}


def _order(row: SpendRow) -> tuple[list[str], Decimal, list[str]]:
    times = [row.keys[name] or "" for name in TIMES if name in row.keys]
    return times, -row.sums.cost_usd, [value or "" for value in row.keys.values()]
