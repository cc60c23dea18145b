"""What the spend page shows: the sums of `GET spend` by one dimension and over time, and of the days before.

Ranges are whole days of the organisation's, [first, last] with both days in. Sums go by `booked_at`, as everywhere:
what was booked late for a closed month stands where it was booked, and `corrections` tells it apart.

# Note [Few names]
However many use cases there are, the chart asks for the days of the largest few alone and for those of everything; what
is left of everything is "others". So no answer grows with names times days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import CharField, F, Value

from catalog.models import Gateway, Model, Provider, Team, Tier, UseCase
from core import periods
from usage.models import RollupDay
from usage.selectors import freshness, spend
from usage.selectors.spend import SpendAsk, Sums

DIMENSIONS = ("use_case", "model", "team", "provider", "tier", "gateway")
FILTERS = (*DIMENSIONS, "offering", "rule", "environment")
MEASURES = ("cost", "tokens", "requests")
BUCKETS = ("day", "week", "month")
MOST_DAYS = {"day": 400, "week": 1100, "month": spend.LONGEST.days}  # more bars than this are a smear
USUAL_DAYS = {"day": 92, "week": 731}
MOST_DRAWN = 6
MOST_LISTED = 100
MOST_OFFERED = 300  # names of a kind that the filter lists
ONE_DAY = timedelta(days=1)
_ZERO = Decimal(0)
_DIGITS = 80


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page is asked. A filter passes whatever has one of its values."""

    first: date
    last: date
    today: date
    zone: str
    by: str
    per: str
    measure: str = "cost"
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def until(self) -> date:
        return self.last + ONE_DAY

    @property
    def days(self) -> int:
        return (self.until - self.first).days

    @property
    def over_until(self) -> date:
        """Where the days that are over end; today is not."""
        return max(self.first, min(self.until, self.today))

    @property
    def before(self) -> date:
        """First of as many days before the range as it has days that are over."""
        return self.first - (self.over_until - self.first)

    def asked(self, first: date, until: date, *group_by: str, **only: tuple[str, ...]) -> SpendAsk:
        return SpendAsk(
            starts_at=periods.day_start(first, self.zone),
            ends_at=periods.day_start(until, self.zone),
            zone=self.zone,
            group_by=group_by,
            filters={**self.filters, **only},
        )


@dataclass(frozen=True, kw_only=True)
class Line:
    """One name of the breakdown (None: none given): all of the range, its full days, and as many days before."""

    name: str | None
    sums: Sums
    over: Sums
    before: Sums
    rest: int = 0  # of how many names, where it stands for those that are not listed


@dataclass(frozen=True, kw_only=True)
class Series:
    """What each of the largest few comes to per bucket, by the bucket's first day within the range."""

    buckets: Sequence[date]
    names: Sequence[str]
    values: Mapping[tuple[str, date], Decimal]
    totals: Mapping[date, Decimal]
    has_others: bool

    def others(self, bucket: date) -> Decimal:
        return minus(self.totals[bucket], *(self.values[name, bucket] for name in self.names))


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What was booked in the range for a month that was closed by then."""

    month: date
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The page's numbers: lines by the measure, largest first, and their total."""

    question: Question
    lines: Sequence[Line]
    total: Line
    series: Series
    corrections: Sequence[Correction]
    complete_through: datetime | None
    anything: bool  # whether any usage was ever booked


def measured(sums: Sums, measure: str) -> Decimal:
    """Return the measure of a row: USD, tokens or requests."""
    if measure == "cost":
        return sums.cost_usd
    return Decimal(sums.tokens if measure == "tokens" else sums.requests)


def minus(value: Decimal, *others: Decimal) -> Decimal:
    """Return the exact difference; a context of 28 digits would round it."""
    with localcontext() as context:
        context.prec = _DIGITS
        for other in others:
            value -= other
        return value


def plus(values: Sequence[Decimal]) -> Decimal:
    """Return the exact sum."""
    with localcontext() as context:
        context.prec = _DIGITS
        return sum(values, _ZERO)


def usual_bucket(days: int) -> str:
    """Return what a range of so many days is drawn by unless told otherwise."""
    return next((per for per, most in USUAL_DAYS.items() if days <= most), "month")


def breakdown(*, question: Question, at: datetime) -> Breakdown:
    """Answer the page's question.

    Eleven queries at most without filters: three to five over rollups, twice two for the calendar, one for the names
    that are drawn, one for freshness. Two more for each filter, and one where there is nothing.

    Raises:
        Invalid: a filter names nothing, or the range is empty or too long.
    """
    q = question
    named = _by_name(q)
    lines, total = _lines(q, named), named.total
    drawn = [line.name for line in lines if line.name and measured(line.sums, q.measure) > 0][:MOST_DRAWN]
    return Breakdown(
        question=q,
        lines=_listed(lines),
        total=total,
        series=_series(q, drawn, named),
        corrections=[
            Correction(month=date.fromisoformat(f"{month}-01"), sums=named.late[month]) for month in sorted(named.late)
        ],
        complete_through=freshness.complete_through(at=at),
        anything=not total.sums.empty or RollupDay.objects.exists(),
    )


def by_name(*, question: Question) -> tuple[list[Line], Line]:
    """Return every line of the breakdown, and their total. As `breakdown`, without what only a page shows."""
    named = _by_name(question)
    return _lines(question, named), named.total


def by_time(*, question: Question) -> list[tuple[date, str | None, Sums]]:
    """Return the sums of each bucket and name, in order of time, dearest first within each.

    Raises:
        Invalid: as `breakdown`, or there are more than `spend.MOST_ROWS` of them.
    """
    unit = _unit(question.per)
    answer = spend.spend(ask=question.asked(question.first, question.until, unit, question.by))
    found: dict[tuple[date, str | None], list[Sums]] = defaultdict(list)
    for row in answer.rows:
        found[_bucket(question, row.keys[unit]), row.keys[question.by]].append(row.sums)
    rows = [(bucket, name, spend.added(each)) for (bucket, name), each in found.items() if not _all_empty(each)]
    return sorted(rows, key=lambda row: (row[0], -row[2].cost_usd, row[1] or ""))


def _all_empty(each: Sequence[Sums]) -> bool:
    return all(sums.empty for sums in each)


@dataclass(frozen=True, kw_only=True)
class _Named:
    """Sums by name: of the range, of its days that are over, of as many before; and in the range by closed month."""

    now: Mapping[str | None, Sums]
    over: Mapping[str | None, Sums]
    before: Mapping[str | None, Sums]
    late: Mapping[str, Sums]

    @property
    def total(self) -> Line:
        now, over, before = (spend.added(list(each.values())) for each in (self.now, self.over, self.before))
        return Line(name=None, sums=now, over=over, before=before)


def _by_name(q: Question) -> _Named:
    """Ask for the range with the corrections in it, for the days before, and for those of the range not yet over."""
    compares = q.before < q.first
    asks = [q.asked(q.first, q.until, q.by, "correction_of")]
    if compares:
        asks.append(q.asked(q.before, q.first, q.by))
    if compares and q.over_until < q.until:
        asks.append(q.asked(q.over_until, q.until, q.by))
    now, *others = spend.spends(asks=asks)
    names = _folded(now, q.by)
    late = {month: sums for month, sums in _folded(now, "correction_of").items() if month}
    if not compares:
        return _Named(now=names, over={}, before={}, late=late)
    running = _folded(others[1], q.by) if len(others) > 1 else {}
    return _Named(
        now=names,
        over={name: less(sums, running.get(name)) for name, sums in names.items()},
        before=_folded(others[0], q.by),
        late=late,
    )


def _folded(answer: spend.Spend, dimension: str) -> dict[str | None, Sums]:
    """Return the sums of each value of one dimension, without those that are nothing."""
    found: dict[str | None, list[Sums]] = defaultdict(list)
    for row in answer.rows:
        found[row.keys[dimension]].append(row.sums)
    added = {value: each[0] if len(each) == 1 else spend.added(each) for value, each in found.items()}
    return {value: sums for value, sums in added.items() if not sums.empty}


def less(whole: Sums, part: Sums | None) -> Sums:
    """Return the exact rest of a whole."""
    if part is None:
        return whole
    with localcontext() as context:
        context.prec = _DIGITS
        return Sums(**{name: getattr(whole, name) - getattr(part, name) for name in spend.MEASURES})


def _lines(q: Question, named: _Named) -> list[Line]:
    """Return a line per name that has anything now or had before, largest first."""
    none = Sums()
    lines = [
        Line(
            name=name,
            sums=named.now.get(name, none),
            over=named.over.get(name, none),
            before=named.before.get(name, none),
        )
        for name in {**named.now, **named.before}
    ]
    return sorted(
        lines,
        key=lambda line: (-measured(line.sums, q.measure), -line.sums.cost_usd, -line.sums.tokens, line.name or ""),
    )


def _listed(lines: list[Line]) -> list[Line]:
    """Return the lines that a page has room for; what does not fit is one line, so that they add up."""
    if len(lines) <= MOST_LISTED + 1:
        return lines
    rest = lines[MOST_LISTED:]
    return [
        *lines[:MOST_LISTED],
        Line(
            name=None,
            sums=spend.added([line.sums for line in rest]),
            over=spend.added([line.over for line in rest]),
            before=spend.added([line.before for line in rest]),
            rest=len(rest),
        ),
    ]


def _series(q: Question, names: list[str], named: _Named) -> Series:
    """Return the buckets of the largest few and of everything. See Note [Few names]."""
    unit = _unit(q.per)
    asks = [q.asked(q.first, q.until, unit)]
    if names:
        asks.append(q.asked(q.first, q.until, unit, q.by, **{q.by: tuple(names)}))
    everything, *of_names = spend.spends(asks=asks)
    buckets = sorted({_bucket_of(q, q.first + ONE_DAY * n) for n in range(q.days)})
    totals: dict[date, Decimal] = dict.fromkeys(buckets, _ZERO)
    for row in everything.rows:
        bucket = _bucket(q, row.keys[unit])
        totals[bucket] = plus([totals[bucket], measured(row.sums, q.measure)])
    values: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for row in of_names[0].rows if of_names else []:
        name = row.keys[q.by]
        if name in names:  # names that differ in case alone pass the same filter
            at = name, _bucket(q, row.keys[unit])
            values[at] = plus([values[at], measured(row.sums, q.measure)])
    others = {name for name, sums in named.now.items() if measured(sums, q.measure)} - set(names)
    return Series(buckets=buckets, names=names, values=values, totals=totals, has_others=bool(others))


def _unit(per: str) -> str:
    return "month" if per == "month" else "day"  # weeks are days, added


def _bucket(q: Question, label: str | None) -> date:
    """Return the bucket of a day or month as `GET spend` names it."""
    return _bucket_of(q, date.fromisoformat(f"{label}-01" if q.per == "month" else label or ""))


def _bucket_of(q: Question, day: date) -> date:
    """Return the first day of a day's week or month that lies in the range."""
    if q.per == "week":
        day -= timedelta(days=day.weekday())
    if q.per == "month":
        day = day.replace(day=1)
    return max(day, q.first)


# --- what can be filtered by ---


def names() -> dict[str, list[str]]:
    """Return the names that each filter knows, in order, `MOST_OFFERED` of each at most. One query."""
    found: dict[str, list[str]] = {kind: [] for kind in DIMENSIONS}
    of_kinds = [
        _names("use_case", UseCase.objects.all()),
        _names("model", Model.objects.all()),
        _names("team", Team.objects.all()),
        _names("provider", Provider.objects.all()),
        _names("gateway", Gateway.objects.all()),
    ]
    first, *others = of_kinds
    for kind, name in first.union(*others, all=True):
        found[kind].append(name)
    found["tier"] = [str(label) for label in Tier.labels]
    for kind in ("use_case", "model", "team", "provider", "gateway"):
        found[kind].sort(key=str.casefold)
    return found


def _names(kind: str, rows: Any) -> Any:
    return (
        rows.annotate(of_kind=Value(kind, output_field=CharField()), label=F("name"))
        .order_by("name")
        .values_list("of_kind", "label")[:MOST_OFFERED]
    )
