"""What the spend page shows: the sums of `GET spend` by up to two dimensions and over time, and of the days before.

Sums go by `booked_at`, as everywhere: what was booked late for a closed month stands where it was booked, and
`corrections` tells it apart.

# Note [Few names]
However many use cases there are, the chart asks for the buckets of the largest few, and of all others as one. So no
answer grows with names times days. Where everything is one line the lines are the buckets, and the chart shows them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from dashboards.selectors.spend_measures import measured, weight
from dashboards.selectors.spend_question import BARS, BEFORE, MONTH, TABLE, TREEMAP, Bucket, Question, months_before
from usage.models import RollupDay
from usage.selectors import freshness, spend
from usage.selectors.spend import OTHERS, Sums
from usage.selectors.spend_sums import added, less

MOST_DRAWN = 9  # names of a chart; what is more is one
MOST_PARTS = 6  # names of the second dimension below each of the first
MOST_LISTED, MOST_LISTED_IN_PARTS = 100, 40
_DIGITS = 80
_ZERO = Decimal(0)
_NOTHING = Sums()

Key = tuple[str | None, ...]  # a name per dimension; None: none given
REST: Key = (OTHERS,)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One name of the breakdown: all of the range, its days that are over, and the days that they are compared with.

    `parts` are its names of the second dimension. Where everything is one line, lines are the buckets of the range.
    """

    name: str | None  # None: none given
    sums: Sums
    over: Sums
    before: Sums
    parts: Sequence[Line] = ()
    rest: int = 0  # of how many names, where it stands for those that are not listed
    bucket: Bucket | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    """What each of the largest few names comes to per bucket, and everything; the rest is under the key `REST`."""

    buckets: Sequence[Bucket]
    names: Sequence[Key]
    sums: Mapping[tuple[Key, str], Sums]  # by name and label of the bucket
    totals: Mapping[str, Sums]
    before: Mapping[str, Sums]  # of the days before, by the bucket that they are compared with

    @property
    def has_others(self) -> bool:
        return any(name == REST and not sums.empty for (name, _), sums in self.sums.items())


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What was booked in the range for a month that was closed by then."""

    month: date
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The page's numbers: lines by the measure, largest first, and their total.

    `series` is None where no chart over time is drawn.
    """

    question: Question
    lines: Sequence[Line]
    total: Line
    series: Series | None
    corrections: Sequence[Correction]
    complete_through: datetime | None
    anything: bool  # whether any usage was ever booked


def plus(values: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    with localcontext() as context:
        context.prec = _DIGITS
        return sum(values, _ZERO)


def breakdown(*, question: Question, at: datetime) -> Breakdown:
    """Answer the page's question.

    Nine queries at most without filters: two to four over rollups, twice two for the calendar, one for freshness. Two
    more for each filter that names rows of the catalogue, and one where there is nothing.

    Raises:
        Invalid: a filter names nothing, the range is empty or too long, or no sums are kept of what is asked.
    """
    q = question
    read = _read(q)
    lines = _lines(q, read)
    total = Line(name=None, sums=_all(read.now), over=_all(read.over), before=_all(read.before))
    return Breakdown(
        question=q,
        lines=_listed(lines, MOST_LISTED_IN_PARTS if q.then else MOST_LISTED),
        total=total,
        series=_series(q, read),
        corrections=[
            Correction(month=date.fromisoformat(f"{month}-01"), sums=read.late[month]) for month in sorted(read.late)
        ],
        complete_through=freshness.complete_through(at=at),
        anything=not total.sums.empty or RollupDay.objects.exists(),
    )


def by_name(*, question: Question) -> tuple[list[Line], Line]:
    """Return every line of the breakdown, and their total. As `breakdown`, without what only a page shows."""
    read = _read(question)
    total = Line(name=None, sums=_all(read.now), over=_all(read.over), before=_all(read.before))
    return _lines(question, read, most_parts=None), total


def by_time(*, question: Question) -> list[tuple[Bucket, Key, Sums]]:
    """Return the sums of each bucket and name, in order of time, largest first within each.

    Raises:
        Invalid: as `breakdown`, or there are more than `spend.MOST_ROWS` of them.
    """
    q = question
    answer = spend.spend(ask=q.asked(q.first, q.until, q.per, *q.dimensions, measures=_needs(q)))
    places = {bucket.label: (place, bucket) for place, bucket in enumerate(q.buckets)}
    rows = [
        (*places[row.keys[q.per] or ""], tuple(row.keys[name] for name in q.dimensions), row.sums)
        for row in answer.rows
        if not row.sums.empty
    ]
    rows.sort(key=lambda row: (row[0], -weight(row[3], q.measure), [name or "" for name in row[2]]))
    return [(bucket, key, sums) for _, bucket, key, sums in rows]


# --- what is read ---

_Sums = dict[Key, Sums]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Sums by key (of everything as one: by label of the bucket): of the range, of its days that are over, of the days
    before; and in the range by closed month."""

    now: _Sums
    over: _Sums
    before: _Sums
    late: Mapping[str, Sums]


def _needs(q: Question) -> tuple[str, ...]:
    return (*q.measures.needs, "unpriced_requests")


def _read(q: Question) -> _Read:
    """Ask for the range with the corrections in it, for the days before, and for those of the range not yet over."""
    needs = _needs(q)
    keys = q.dimensions or (q.per,)
    asks = [q.asked(q.first, q.until, *keys, *([] if q.by_tag else ["correction_of"]), measures=needs)]
    if q.compares:
        # Days and not weeks or months: those of the days before need not begin where those of the range do.
        first, until = q.before
        asks.append(q.asked(first, until, *(q.dimensions or (_fine(q),)), measures=needs))
        if q.over_until < q.until:
            asks.append(q.asked(q.over_until, q.until, *keys, measures=needs))
    now, *others = spend.spends(asks=asks)
    names = _folded(now.rows, keys)
    late = {} if q.by_tag else {key[0]: sums for key, sums in _folded(now.rows, ("correction_of",)).items() if key[0]}
    if not q.compares:
        return _Read(now=names, over={}, before={}, late=late)
    before = _folded(others[0].rows, keys) if q.dimensions else _as_of(q, others[0].rows)
    running = _folded(others[1].rows, keys) if len(others) > 1 else {}
    over = {key: less(sums, running.get(key)) for key, sums in names.items()}
    return _Read(now=names, over=over, before=before, late=late)


def _folded(rows: Sequence[spend.SpendRow], dimensions: Sequence[str]) -> _Sums:
    """Return the sums of each combination of names, without those that are nothing."""
    found: dict[Key, list[Sums]] = defaultdict(list)
    for row in rows:
        found[tuple(row.keys[name] for name in dimensions)].append(row.sums)
    return {key: sums for key, each in found.items() if not (sums := added(each)).empty}


def _all(sums: _Sums) -> Sums:
    return added(list(sums.values())) if sums else _NOTHING


def _fine(q: Question) -> str:
    return "hour" if q.per == "hour" else "day"


def _as_of(q: Question, rows: Sequence[spend.SpendRow]) -> _Sums:
    """Return the sums of the days before by the bucket of the range that they are compared with."""
    buckets = q.buckets
    starts: list[Any] = [bucket.hour.replace(tzinfo=None) if bucket.hour else bucket.first for bucket in buckets]
    found: dict[Key, list[Sums]] = defaultdict(list)
    for row in rows:
        at = _moved(q, _local(q, row.keys[_fine(q)] or ""))
        place = bisect_right(starts, at) - 1
        found[buckets[min(max(place, 0), len(buckets) - 1)].label,].append(row.sums)
    return {key: added(each) for key, each in found.items()}


def _local(q: Question, label: str) -> Any:
    """Return a day, or an hour as the organisation's clock showed it: a day of 23 hours stays beside a usual one."""
    if q.per != "hour":
        return date.fromisoformat(label)
    return datetime.fromisoformat(label).astimezone(ZoneInfo(q.zone)).replace(tzinfo=None)


def _moved(q: Question, at: Any) -> Any:
    """Return the day (or hour) of the range that one of the days before is compared with."""
    if q.against == BEFORE:
        return at + (q.first - q.before[0])
    day = at.date() if isinstance(at, datetime) else at
    return at + (months_before(day, -1 if q.against == MONTH else -12) - day)


# --- lines ---


def _lines(q: Question, read: _Read, *, most_parts: int | None = MOST_PARTS) -> list[Line]:
    """Return a line per name that has anything now or had before, largest first; buckets the last one first."""
    if not q.dimensions:
        return [
            _line(read, (bucket.label,), bucket=bucket)
            for bucket in reversed(q.buckets)
        ]  # fmt: skip
    if not q.then:
        return _sorted(q, [_line(read, key) for key in {**read.now, **read.before}])
    parts: dict[str | None, list[Line]] = defaultdict(list)
    for key in {**read.now, **read.before}:
        parts[key[0]].append(_line(read, key))
    return _sorted(
        q,
        [
            replace(
                _together(each), name=name, rest=0, parts=_listed(_sorted(q, each), most_parts or len(each))
            )
            for name, each in parts.items()
        ],
    )  # fmt: skip


def _line(read: _Read, key: Key, *, bucket: Bucket | None = None) -> Line:
    now, over, before = (sums.get(key, _NOTHING) for sums in (read.now, read.over, read.before))
    return Line(name=key[-1], sums=now, over=over, before=before, bucket=bucket)


def _sorted(q: Question, lines: list[Line]) -> list[Line]:
    def order(line: Line) -> tuple[bool, Decimal, Decimal, int, str]:
        value = measured(line.sums, q.measure)
        return value is None, -(value or _ZERO), -line.sums.cost_usd, -line.sums.tokens, line.name or ""

    return sorted(lines, key=order)


def _together(lines: Sequence[Line]) -> Line:
    return Line(
        name=None,
        sums=added([line.sums for line in lines]),
        over=added([line.over for line in lines]),
        before=added([line.before for line in lines]),
        rest=len(lines),
    )


def _listed(lines: list[Line], most: int) -> list[Line]:
    """Return the lines that there is room for; what does not fit is one line, so that they add up."""
    return lines if len(lines) <= most + 1 else [*lines[:most], _together(lines[most:])]


# --- the chart ---


def _series(q: Question, read: _Read) -> Series | None:
    """Return the buckets of the largest few, of the rest and of everything. See Note [Few names]."""
    if not q.dimensions:
        now = {key[0] or "": sums for key, sums in read.now.items()}
        before = {key[0] or "": sums for key, sums in read.before.items()}
        return Series(buckets=q.buckets, names=[], sums={}, totals=now, before=before)
    if q.chart in (TABLE, TREEMAP) or (q.then and q.chart == BARS):
        return None
    names = drawn(q, read.now)
    apart = {name: tuple({key[place]: None for key in names}) for place, name in enumerate(q.dimensions)}
    ask = q.asked(q.first, q.until, q.per, *q.dimensions, measures=q.measures.reads, bare=True, apart=apart)
    sums: dict[tuple[Key, str], list[Sums]] = defaultdict(list)
    totals: dict[str, list[Sums]] = defaultdict(list)
    for row in spend.spend(ask=ask).rows:
        key, label = tuple(row.keys[name] for name in q.dimensions), row.keys[q.per] or ""
        sums[key if key in names else REST, label].append(row.sums)
        totals[label].append(row.sums)
    return Series(
        buckets=q.buckets,
        names=names,
        sums={at: added(each) for at, each in sums.items()},
        totals={label: added(each) for label, each in totals.items()},
        before={},
    )


def drawn(q: Question, sums: Mapping[Key, Sums]) -> list[Key]:
    """Return the names that a chart tells apart, largest first."""
    large = [(weight(each, q.measure), key) for key, each in sums.items()]
    large.sort(key=lambda one: (-one[0], [name or "" for name in one[1]]))
    return [key for size, key in large[:MOST_DRAWN] if size > 0]
