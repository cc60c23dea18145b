"""What a table says of one offering beside what the book says: plain Python, no I/O, no clock.

# Note [What counts as a difference]
Quotes that are in force, or will be, are compared with the list prices of the same series over the time that the quote
names; one without a date is compared as of now, and would hold from its acceptance until the book's next price begins.
Time before the book's first price of a series is not filled in. Where the book has no price of a series, the quote is
compared with what the book charges in its place: a meter that a context tier or certain hours do not name keeps the
price below. A meter for which the book charges nothing at all is a difference, unless the table only repeats the price
of what the meter is a kind of (uncached input for caches, audio and images that go in, output for what comes out): that
is how tables spell out what price lists leave out. A price of the book that the table does not name stands; it is shown
and is no difference. An offering without any list price takes all of the table, its history too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from catalog.rules.meters import METERS
from catalog.rules.names import tidy_service_tier
from catalog.rules.pricing import Hours, ListedPrice, PriceTable
from catalog.sources.quotes import Quote, QuotedHours

# From when on a quote without a date holds for an offering that is new: as the standard catalogue has it.
UNDATED_SINCE = datetime(2025, 1, 1, tzinfo=UTC)

_KIND_OF = {
    "cache_read": "uncached_input",
    "cache_write_5m": "uncached_input",
    "cache_write_1h": "uncached_input",
    "audio_input": "uncached_input",
    "image_input": "uncached_input",
    "audio_output": "output",
    "image_output": "output",
}
_FOREVER = datetime.max.replace(tzinfo=UTC)
_EVER = datetime.min.replace(tzinfo=UTC)


class SeriesKey(NamedTuple):
    """What a price is for, whoever names it: a context tier goes by the least number of input tokens it is for."""

    meter: str
    level: int
    service_tier: str
    region: str
    hours: QuotedHours | None

    @property
    def ordinary(self) -> bool:
        return not (self.level or self.service_tier or self.region or self.hours)


@dataclass(frozen=True, slots=True)
class Booked:
    """A list price of the book, as recorded now, and where it came from."""

    price: ListedPrice
    source: str

    @property
    def key(self) -> SeriesKey:
        one = self.price
        return SeriesKey(METERS[one.meter], one.level, one.service_tier, one.region, quoted_hours(one.hours))

    @property
    def starts(self) -> datetime:
        return self.price.starts_at or _EVER

    @property
    def ends(self) -> datetime:
        return self.price.ends_at or _FOREVER


@dataclass(frozen=True, slots=True)
class Line:
    """One price of an offering: in the table, in the book, in other tables.

    `usd_per_1m` is None where the table does not name the series; if such a line differs, the table named it once.
    `valid_from` None is the moment of acceptance. `book_ids` are all prices of the series: whether any has been set
    since is seen by them.
    """

    key: SeriesKey
    context_over: int | None
    context_inclusive: bool
    usd_per_1m: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    differs: bool
    book: Booked | None = None
    book_ids: tuple[int, ...] = ()
    others: Mapping[str, Decimal] = field(default_factory=dict)
    note: str = ""
    source_url: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a table says of an offering: `kind` is new, changed, gone or disputed, or empty where all agree."""

    kind: str
    lines: tuple[Line, ...]
    disputed: bool = False


def quoted_hours(hours: Hours | None) -> QuotedHours | None:
    """Return a window of the catalogue as tables write it; equal hours are one, whatever they are called."""
    if hours is None:
        return None
    return QuotedHours(hours.zone, tuple(sorted(hours.weekdays)), hours.starts, hours.ends)


def key_of(quote: Quote) -> SeriesKey:
    """Return what a quote is for, in the words of the book."""
    level = 0
    if quote.context_over is not None:
        level = quote.context_over if quote.context_inclusive else quote.context_over + 1
    hours = quote.hours and replace(quote.hours, weekdays=tuple(sorted(quote.hours.weekdays)))
    region = quote.region.strip().lower()
    return SeriesKey(quote.meter, level, tidy_service_tier(quote.service_tier), region, hours)


def merged(names: Mapping[str, Sequence[Quote]]) -> tuple[tuple[Quote, ...], str]:
    """Make one of what a table says of an offering under several names, and say what contradicts itself.

    Names add up: what one of them says and another does not is taken. The sentence is empty where nothing contradicts.
    """
    found: dict[SeriesKey, list[tuple[Quote, str]]] = {}
    for name, quotes in names.items():
        for quote in quotes:
            same = found.setdefault(key_of(quote), [])
            for held, under in same:
                if not _overlap(held, quote):
                    continue
                if held.usd_per_1m != quote.usd_per_1m:
                    both = under if under == name else f"{under} and {name}"
                    return (), (
                        f"{both} would be one offering, and {'has' if under == name else 'have'} two prices of "
                        f"{quote.meter} for one time: {held.usd_per_1m:f} and {quote.usd_per_1m:f}."
                    )
                break
            else:
                same.append((quote, name))
    return tuple(quote for quotes in found.values() for quote, _ in quotes), ""


def in_force(quote: Quote, at: datetime) -> bool:
    return (quote.valid_from is None or quote.valid_from <= at) and (
        quote.valid_until is None or at < quote.valid_until
    )


def disagree(one: Decimal, other: Decimal) -> bool:
    """Say whether two prices differ by more than 1 per cent of the higher one."""
    return abs(one - other) * 100 > max(one, other)


def compare(
    *,
    quotes: Sequence[Quote],
    booked: Sequence[Booked],
    at: datetime,
    others: Mapping[str, Mapping[str, Decimal]],
) -> Comparison:
    """Compare what a table says of an offering with the book; see Note [What counts as a difference].

    `booked` are all list prices of it that are recorded now, `others` what the newest tables of other sources say of
    its meters at this moment, by source.
    """
    if not booked:
        lines = _all_of(quotes)
        kind = "new"
    else:
        lines = _beside_book(quotes, booked, at)
        kind = "changed" if any(line.differs for line in lines) else ""
    lines = [replace(line, others=_said_by(others, line, at)) for line in lines]
    disputed = any(line.usd_per_1m is not None and _disputed(line.usd_per_1m, line.others) for line in lines)
    if not lines:
        return Comparison("", ())
    return Comparison(kind or ("disputed" if disputed else ""), _sorted(lines), disputed)


def gone(
    *, booked: Sequence[Booked], source: str, at: datetime, others: Mapping[str, Mapping[str, Decimal]]
) -> Comparison:
    """Say of an offering that its source lists it no more: what came from there would end, what did not stands."""
    lines = [_book_only(one, booked, differs=one.source == source) for one in booked if one.ends > at]
    return Comparison("gone", _sorted(replace(line, others=_said_by(others, line, at)) for line in lines))


def _disputed(usd: Decimal, others: Mapping[str, Decimal]) -> bool:
    return any(disagree(usd, said) for said in others.values())


def _said_by(others: Mapping[str, Mapping[str, Decimal]], line: Line, at: datetime) -> dict[str, Decimal]:
    holds = (line.valid_from is None or line.valid_from <= at) and (line.valid_until is None or at < line.valid_until)
    if not (line.key.ordinary and holds):
        return {}
    return {source: said[line.key.meter] for source, said in sorted(others.items()) if line.key.meter in said}


def _overlap(one: Quote, other: Quote) -> bool:
    return (one.valid_from or _EVER) < (other.valid_until or _FOREVER) and (other.valid_from or _EVER) < (
        one.valid_until or _FOREVER
    )


def _all_of(quotes: Iterable[Quote]) -> list[Line]:
    lines = []
    for quote in quotes:
        starts = quote.valid_from or UNDATED_SINCE
        if quote.valid_until is None or starts < quote.valid_until:
            lines.append(
                Line(
                    key=key_of(quote),
                    context_over=quote.context_over,
                    context_inclusive=quote.context_inclusive,
                    usd_per_1m=quote.usd_per_1m,
                    valid_from=starts,
                    valid_until=quote.valid_until,
                    differs=True,
                    note=quote.note,
                    source_url=quote.source_url,
                )
            )
    return lines


def _beside_book(quotes: Sequence[Quote], booked: Sequence[Booked], at: datetime) -> list[Line]:
    by_series: dict[SeriesKey, list[Booked]] = {}
    for one in booked:
        by_series.setdefault(one.key, []).append(one)
    charged = _Charged(booked)
    now_or_later = [quote for quote in quotes if quote.valid_until is None or quote.valid_until > at]
    repeated = {(key_of(quote), quote.usd_per_1m) for quote in now_or_later}
    lines = []
    for quote in now_or_later:
        line = _line(quote, by_series, booked, charged, repeated, at)
        if line is not None:
            lines.append(line)
    named = {line.key for line in lines}
    lines += [
        _book_only(one, booked, differs=False) for one in booked if one.key not in named and one.starts <= at < one.ends
    ]
    return lines


def _line(
    quote: Quote,
    by_series: Mapping[SeriesKey, Sequence[Booked]],
    booked: Sequence[Booked],
    charged: _Charged,
    repeated: set[tuple[SeriesKey, Decimal]],
    at: datetime,
) -> Line | None:
    key = key_of(quote)
    rows = sorted(by_series.get(key, ()), key=lambda one: one.starts)
    starts, ends = at, quote.valid_until or _FOREVER
    if quote.valid_from is not None:
        starts = max(quote.valid_from, rows[0].starts) if rows else quote.valid_from
    elif quote.valid_until is None:
        ends = min((one.starts for one in rows if one.starts > at), default=_FOREVER)
    if starts >= ends:
        return None

    held = [one for one in rows if one.starts < ends and starts < one.ends]
    if held:
        others = [one for one in held if one.price.usd_per_1m != quote.usd_per_1m]
        shown = _at(others, max(starts, at)) or (others[0] if others else None)
        differs = shown is not None or not _cover(held, starts, ends)
        shown = shown or _at(held, max(starts, at))
    else:
        shown = charged.instead(key, max(starts, at))
        if shown is not None:
            differs = shown.price.usd_per_1m != quote.usd_per_1m
        elif key.meter == "requests" and not quote.usd_per_1m:
            differs = False  # a request as such costs nothing unless a price says so
        else:
            kind_of = _KIND_OF.get(key.meter)
            differs = kind_of is None or (key._replace(meter=kind_of), quote.usd_per_1m) not in repeated
    over, inclusive = _limit(quote, key, booked)
    return Line(
        key=key,
        context_over=over,
        context_inclusive=inclusive,
        usd_per_1m=quote.usd_per_1m,
        valid_from=None if quote.valid_from is None else starts,
        valid_until=None if ends == _FOREVER else ends,
        differs=differs,
        book=shown,
        book_ids=tuple(sorted(one.price.id for one in rows)),
        note=quote.note,
        source_url=quote.source_url,
    )


def _book_only(one: Booked, booked: Sequence[Booked], *, differs: bool) -> Line:
    return Line(
        key=one.key,
        context_over=one.price.context_over,
        context_inclusive=one.price.context_inclusive,
        usd_per_1m=None,
        valid_from=one.price.starts_at,
        valid_until=one.price.ends_at,
        differs=differs,
        book=one,
        book_ids=tuple(sorted(each.price.id for each in booked if each.key == one.key)),
    )


def _at(rows: Iterable[Booked], instant: datetime) -> Booked | None:
    return next((one for one in rows if one.starts <= instant < one.ends), None)


def _cover(rows: Iterable[Booked], starts: datetime, ends: datetime) -> bool:
    """Say whether prices, in order, fill all of [starts, ends)."""
    reached = starts
    for one in rows:
        if one.starts > reached:
            return False
        reached = max(reached, one.ends)
    return reached >= ends


def _limit(quote: Quote, key: SeriesKey, booked: Sequence[Booked]) -> tuple[int | None, bool]:
    """Write a context tier as the book does: a number of tokens is the limit of one kind of tier, above or from on."""
    if quote.context_over is None:
        return None, False
    for one in booked:
        if one.key == key:
            return one.price.context_over, one.price.context_inclusive
    otherwise = any(
        one.price.context_over == quote.context_over and one.price.context_inclusive != quote.context_inclusive
        for one in booked
    )
    if not otherwise:
        return quote.context_over, quote.context_inclusive
    return (quote.context_over - 1, False) if quote.context_inclusive else (quote.context_over + 1, True)


class _Charged:
    """What the book charges for a series of which it has no price of its own."""

    def __init__(self, booked: Sequence[Booked]) -> None:
        self._booked = booked
        self._tables: dict[tuple[str, str], PriceTable | None] = {}

    def instead(self, key: SeriesKey, at: datetime) -> Booked | None:
        service = (key.service_tier, key.region)
        if service not in self._tables:
            prices = [
                one.price
                for one in self._booked
                if one.price.service_tier == key.service_tier and one.price.region in ("", key.region)
            ]
            self._tables[service] = PriceTable.of(prices) if prices else None
        table = self._tables[service]
        span = table.at(at.timestamp()) if table is not None else None
        if span is None:
            return None
        face = span.within(tuple(quoted_hours(one) == key.hours for one in span.hours)) if span.hours else span.face
        price = face.card_for(key.level).prices[METERS.index(key.meter)]
        return next((one for one in self._booked if one.price is price), None)


def _sorted(lines: Iterable[Line]) -> tuple[Line, ...]:
    def order(line: Line) -> tuple[object, ...]:
        key = line.key
        hours = key.hours.name if key.hours else ""
        starts = line.valid_from or _EVER
        return (key.service_tier, key.region, hours, key.level, METERS.index(key.meter), starts)

    return tuple(sorted(lines, key=order))
