"""Which tables answer a question about spend, and for what part of its range.

See Note [Where an answer comes from] in `spend`.

# Note [Days of another zone]
A day of another zone is the organisation's day of that date, less what lies in it before the other one begins or after
it ends, and with what it lacks: some hours at its edges. So days, weeks and months of another zone are sums of the
organisation's days, and the quarter hours that the two calendars count for different ones are moved from where the
organisation's has them to where they are asked for. Sums are exact, so this gives what quarter hours alone would, in a
fraction of the rows; where zones are far apart it would not be a fraction, and quarter hours are read alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from core import periods
from core.models import Organisation
from usage.models import Status
from usage.rules.postings import LATENCY_BOUNDS_MS
from usage.selectors import past, spend_sums
from usage.selectors.spend_ask import (
    CALENDAR,
    DIMENSIONS_KEPT,
    QUARTER_HOUR,
    UNKEPT,
    SpendAsk,
    tag_name,
    tags_of,
)
from usage.selectors.spend_times import calendar

FARTHEST = timedelta(hours=8)  # beyond, most of a day would be read twice
FEWEST_DAYS = 3
ONE_DAY = timedelta(days=1)


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
BUCKETS = tuple(f"latency_{place}" for place in range(spend_sums.BUCKETS))
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
    | {name: f"sum(r.latency_histogram[{place + 1}]) FILTER (WHERE {_ANSWERED})" for place, name in enumerate(BUCKETS)}
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
    | {name: f"sum({_ONE}) FILTER (WHERE {_ANSWERED} AND {_BUCKET} = {place})" for place, name in enumerate(BUCKETS)}
)
_IN_TAGS = {name: f"sum(r.{name})" for name in spend_sums.IN_TAGS} | {"failed_requests": _COMMON["failed_requests"]}
QUARTERS = Table(name="rollup_15min", time="bucket", sums=_ROLLED_UP)
DAYS = Table(name="rollup_day", time="day", sums=_ROLLED_UP, by_day=True)
# As `DAYS`, for what is asked by fewer dimensions: two tables, one of which is written with the range.
COARSE_DAYS = replace(
    DAYS, name="", sums=_ROLLED_UP | {name: f"sum(r.{name}) FILTER (WHERE {_ANSWERED})" for name in BUCKETS}
)
TAG_DAYS = Table(name="rollup_day_tag", time="day", sums=_IN_TAGS, by_day=True)
LEDGER = Table(name="ledger", time="booked_at", sums=_IN_LEDGER)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the range in one table: [lower, upper) of its column of time.

    `tagged` says whether rows of a tag rollup are wanted by value (True), or to be taken from the whole to leave what
    has no tag (False); None elsewhere. `moved` are the parts [from, to) of it that are meant, where not all of it is,
    and `less` says that its sums are taken away. Its days are those of `zone`; empty: of the zone that is asked for.
    """

    table: Table
    lower: datetime | date
    upper: datetime | date
    tagged: bool | None = None
    moved: Sequence[tuple[datetime, datetime]] = ()
    less: bool = False
    zone: str = ""


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
    """Cut the range into disjoint parts. See Note [Where an answer comes from] and Note [Days of another zone]."""
    starts_at, ends_at = ask.starts_at.astimezone(UTC), ask.ends_at.astimezone(UTC)
    edges = _edges(ask, zone)
    too_far = any(upper - lower > FARTHEST for lower, upper in edges)
    too_few = edges and ends_at - starts_at < FEWEST_DAYS * ONE_DAY
    if "hour" in ask.group_by or too_far or too_few:
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
        return [tagged, Slice(table=DAYS, lower=first, upper=last), replace(tagged, tagged=False, less=True)]
    slices = [Slice(table=_days(ask), lower=first, upper=last)]
    begins, ends = periods.day_start(first, zone), periods.day_start(last, zone)
    for lower, upper in ((starts_at, begins), (ends, ends_at)):
        if lower < upper:
            slices.append(Slice(table=QUARTERS, lower=lower, upper=upper))
    moved = [(max(lower, begins), min(upper, ends)) for lower, upper in edges if lower < ends and upper > begins]
    if moved:
        there = Slice(table=QUARTERS, lower=begins, upper=ends, moved=moved)
        slices += [there, replace(there, less=True, zone=zone)]
    return slices


def _edges(ask: SpendAsk, zone: str) -> list[tuple[datetime, datetime]]:
    """Return the times that the calendars of both zones count for different days, weeks or months of those asked by."""
    if ask.zone == zone:
        return []
    begin = {
        (asked_for, periods.day_start(day, zone))
        for kind in CALENDAR
        if kind in ask.group_by
        for each in [calendar(kind, ask)]
        for day, asked_for in zip(each.dates, each.instants, strict=True)
    }
    return sorted((min(both), max(both)) for both in begin if both[0] != both[1])


def _days(ask: SpendAsk) -> Table:
    """Return the table of days with the fewest rows that tells apart what is asked."""
    named = {*ask.group_by, *ask.filters} - set(CALENDAR)
    return COARSE_DAYS if all(DIMENSIONS_KEPT[name].column in past.KEY for name in named) else DAYS


def _first_day_from(at: datetime, zone: str) -> date:
    """Return the first day that begins at an instant or after it."""
    day = periods.local_day(at, zone)
    return day if periods.day_start(day, zone) >= at else day + ONE_DAY
