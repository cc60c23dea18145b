"""Which price holds for a call: plain Python, no I/O, no clock.

# Note [Which price holds]
Of all prices that hold at the time of a call, each meter takes the one of the most specific series: a contract's own
before list, hours of the day before any hour, a region's before any region. Within such a layer the context tier
decides, and a meter that a tier does not name keeps the layer's price below it. A call has one contract at most: its
gateway's, else its offering's, else its provider's, each only where it has a word on the offering at that time; of two
with the same one, the contract that was made later. Where a contract has no price of its own for a meter, its discount
is taken off the list price.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from catalog.rules.meters import METERS, REQUESTS

# Costs are counted in whole attodollars (1e-18 USD, the last place of the ledger's columns), so that the hot path adds
# integers. A price of 10 places per million units is `price * 1e10` times 100 of them per unit.
ATTO_PER_UNIT = 100

_DAY_S = 86_400
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of weekdays on a zone's clock, such as a provider's peak: [starts, ends), past midnight if ends <= starts.

    `weekdays` are the days on which the hours begin, Monday 0.
    """

    id: int
    name: str
    zone: str
    weekdays: frozenset[int]
    starts: time
    ends: time

    def hold(self, timestamp: float) -> bool:
        """Say whether a POSIX time lies within the hours."""
        if self.zone == "UTC":  # without the objects of a calendar: nearly every provider's hours are UTC
            day, second = divmod(int(timestamp // 1), _DAY_S)
            weekday = (day + _FIRST_WEEKDAY) % 7
        else:
            local = datetime.fromtimestamp(timestamp, ZoneInfo(self.zone))
            weekday, second = local.weekday(), local.hour * 3600 + local.minute * 60 + local.second
        starts, ends = _seconds(self.starts), _seconds(self.ends)
        if starts < ends:
            return weekday in self.weekdays and starts <= second < ends
        return (weekday in self.weekdays and second >= starts) or ((weekday - 1) % 7 in self.weekdays and second < ends)


def _seconds(of_day: time) -> int:
    return of_day.hour * 3600 + of_day.minute * 60 + of_day.second


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """A price as recorded now. `scaled` is USD per 1M times 1e10, a whole number."""

    id: int
    meter: int
    usd_per_1m: Decimal
    scaled: int
    starts_at: datetime | None
    ends_at: datetime | None
    context_over: int | None
    context_inclusive: bool
    service_tier: str
    hours: Hours | None = None
    region: str = ""

    @property
    def level(self) -> int:
        """Return the least number of input tokens that the price is for."""
        if self.context_over is None:
            return 0
        return self.context_over if self.context_inclusive else self.context_over + 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What a contract says of one offering over a time: prices of its own, a discount on list, or both."""

    id: int
    name: str
    starts_at: datetime | None
    ends_at: datetime | None
    discount_percent: Decimal | None
    prices: tuple[ListedPrice, ...] = ()


@dataclass(frozen=True, slots=True)
class RateCard:
    """One price per meter: what a request is rated with once its time and its size are known."""

    prices: tuple[ListedPrice | None, ...]  # by meter index: what is paid
    per_unit: tuple[int | None, ...]  # attodollars per unit, by meter index; a contract's discount is taken off
    listed: tuple[ListedPrice | None, ...] = ()  # what the list says, where a contract says otherwise
    listed_per_unit: tuple[int | None, ...] | None = None  # None: nothing but list prices
    contract: Terms | None = None

    @classmethod
    def of(cls, prices: Sequence[ListedPrice | None]) -> RateCard:
        return cls(tuple(prices), _per_unit(prices))

    @classmethod
    def under(cls, terms: Terms, own: Sequence[ListedPrice | None], listed: Sequence[ListedPrice | None]) -> RateCard:
        """Make the card of a contract: its own price, else the list price less its discount.

        A meter that only the contract prices has its price as list price too: what is not listed saves nothing.
        """
        paid = [mine if mine is not None else theirs for mine, theirs in zip(own, listed, strict=True)]
        per_unit = [
            None if p is None else p.scaled * ATTO_PER_UNIT if mine is not None else _discounted(p, terms)
            for p, mine in zip(paid, own, strict=True)
        ]
        list_prices = [theirs if theirs is not None else mine for mine, theirs in zip(own, listed, strict=True)]
        if per_unit[REQUESTS] is None:
            per_unit[REQUESTS] = 0
        return cls(tuple(paid), tuple(per_unit), tuple(list_prices), _per_unit(list_prices), terms)


def _per_unit(prices: Sequence[ListedPrice | None]) -> tuple[int | None, ...]:
    per_unit = [None if p is None else p.scaled * ATTO_PER_UNIT for p in prices]
    if per_unit[REQUESTS] is None:
        per_unit[REQUESTS] = 0  # every call is a request, and most price lists charge only for what it used
    return tuple(per_unit)


def _discounted(price: ListedPrice, terms: Terms) -> int:
    """Return attodollars per unit after the discount."""
    return discounted(price.scaled * ATTO_PER_UNIT, terms.discount_percent)


def discounted(per_unit: int, percent: Decimal | None) -> int:
    """Take a discount off attodollars per unit, to the last place of the ledger, half to even."""
    if not percent:
        return per_unit
    exact = Decimal(per_unit) * (100 - percent) / 100
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class Cliff:
    """From so many input tokens on, all of a request is priced with another card."""

    level: int  # the least number of input tokens it is for
    card: RateCard


@dataclass(frozen=True, slots=True)
class Face:
    """The cards of a moment: one for ordinary requests, and one per context tier."""

    card: RateCard
    cliffs: tuple[Cliff, ...]  # the highest first

    def card_for(self, input_tokens: int) -> RateCard:
        for cliff in self.cliffs:
            if input_tokens >= cliff.level:
                return cliff.card
        return self.card


@dataclass(frozen=True, slots=True)
class Span:
    """What an offering and service tier cost while no price of it begins or ends."""

    face: Face  # at hours that no price names
    hours: tuple[Hours, ...]  # those that some price names
    prices: tuple[ListedPrice, ...]
    terms: Terms | None
    faces: dict[tuple[bool, ...], Face] = field(default_factory=dict)  # by which of the hours hold, made when met

    def at(self, timestamp: float) -> Face:
        """Return the cards that hold at a POSIX time inside the span."""
        if not self.hours:
            return self.face
        return self.within(tuple([hours.hold(timestamp) for hours in self.hours]))

    def within(self, holding: tuple[bool, ...]) -> Face:
        """Return the cards where, of the span's hours, these hold."""
        face = self.faces.get(holding)
        if face is None:
            names = {hours.id for hours, holds in zip(self.hours, holding, strict=True) if holds}
            face = self.faces[holding] = _face(self.prices, self.terms, names)
        return face


@dataclass(frozen=True, slots=True)
class PriceTable:
    """All prices of one offering and service tier over time, under the contracts that may apply."""

    starts: tuple[float, ...]  # POSIX seconds at which a span begins, rising; the first is minus infinity
    spans: tuple[Span | None, ...]  # None where nothing is priced

    def at(self, timestamp: float) -> Span | None:
        return self.spans[bisect_right(self.starts, timestamp) - 1]

    @classmethod
    def of(cls, prices: Sequence[ListedPrice], terms: Sequence[Terms] = ()) -> PriceTable:
        """Cut time where any price or contract begins or ends; of contracts, the first that has a word counts.

        Prices of one series never overlap: the database sees to it.
        """
        dated: list[ListedPrice | Terms] = [*prices, *terms, *(price for one in terms for price in one.prices)]
        edges = {one.starts_at.timestamp() for one in dated if one.starts_at is not None}
        edges |= {one.ends_at.timestamp() for one in dated if one.ends_at is not None}
        starts = (float("-inf"), *sorted(edges))
        return cls(starts, tuple(_span(prices, terms, start) for start in starts))


def _lives(one: ListedPrice | Terms, at: float) -> bool:
    return (one.starts_at is None or one.starts_at.timestamp() <= at) and (
        one.ends_at is None or at < one.ends_at.timestamp()
    )


def _span(prices: Sequence[ListedPrice], terms: Sequence[Terms], start: float) -> Span | None:
    live = tuple(p for p in prices if _lives(p, start))
    applies: Terms | None = None
    for one in terms:
        own = tuple(p for p in one.prices if _lives(p, start))
        if _lives(one, start) and (own or one.discount_percent is not None):
            applies = Terms(one.id, one.name, one.starts_at, one.ends_at, one.discount_percent, own)
            break
    every = (*live, *applies.prices) if applies is not None else live
    if not every:
        return None
    hours = tuple(sorted({p.hours for p in every if p.hours is not None}, key=lambda one: one.id))
    return Span(_face(live, applies, set()), hours, live, applies)


def _face(prices: Sequence[ListedPrice], terms: Terms | None, holding: set[int]) -> Face:
    """Make the cards for the hours that hold; see Note [Which price holds]."""
    listed = [p for p in prices if p.hours is None or p.hours.id in holding]
    own = [p for p in terms.prices if p.hours is None or p.hours.id in holding] if terms is not None else []
    levels = sorted({0, *(p.level for p in listed), *(p.level for p in own)})
    cards = []
    for level in levels:
        at_list = _at_level(listed, level)
        card = RateCard.of(at_list) if terms is None else RateCard.under(terms, _at_level(own, level), at_list)
        cards.append(Cliff(level, card))
    return Face(cards[0].card, tuple(reversed(cards[1:])))


def _rank(price: ListedPrice) -> tuple[bool, bool, int, int]:
    """Order prices of a meter, the one that holds last. Of hours that overlap, those recorded later hold."""
    return (price.hours is not None, bool(price.region), 0 if price.hours is None else price.hours.id, price.level)


def _at_level(prices: Iterable[ListedPrice], level: int) -> list[ListedPrice | None]:
    found: list[ListedPrice | None] = [None] * len(METERS)
    for price in sorted((p for p in prices if p.level <= level), key=_rank):
        found[price.meter] = price
    return found


class ContextEdges(NamedTuple):
    """Where the cards of some tables change: for whoever sums many calls before pricing them."""

    instants: tuple[datetime, ...]
    levels: tuple[int, ...]  # of input tokens, rising, without 0
    hours: tuple[Hours, ...]


def edges(tables: Iterable[PriceTable]) -> ContextEdges:
    """Return every instant, size and hours at which one of the tables changes its cards."""
    instants: set[float] = set()
    levels: set[int] = set()
    hours: set[Hours] = set()
    for table in tables:
        instants |= set(table.starts[1:])
        for span in table.spans:
            if span is not None:
                own = span.terms.prices if span.terms is not None else ()
                levels |= {p.level for p in (*span.prices, *own)}
                hours |= set(span.hours)
    return ContextEdges(
        tuple(datetime.fromtimestamp(one, UTC) for one in sorted(instants)),
        tuple(sorted(levels - {0})),
        tuple(sorted(hours, key=lambda one: one.id)),
    )
