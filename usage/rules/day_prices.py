"""What sums of many calls cost at an offering on a day: plain Python, whole attodollars, no I/O, no clock.

# Note [Prices of a day]
Sums of days know neither the hour of a call, nor its size, nor its service tier, and prices go by all three. So what
sums would cost is an estimate, by these rules: the price is the one in force at noon of the day on the organisation's
clock, at hours that no price names, for the standard service tier, and for the context tier of a call of the mean size.
Where an offering has no price for tokens that are read from or written to a prompt cache, they cost what its other
input costs. A contract's price goes before list, as in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from catalog.rules import INPUT_METERS, METERS, REQUESTS, PriceTable, RateCard

CACHED = tuple(METERS.index(name) for name in ("cache_read", "cache_write_5m", "cache_write_1h"))
UNCACHED = METERS.index("uncached_input")

_NOON = time(12)


def first_day_of(instant: datetime, zone: str) -> date:
    """Return the first day whose noon is not before an instant: the first on which a price that begins then counts."""
    local = instant.astimezone(ZoneInfo(zone))
    return local.date() + timedelta(days=local.time() > _NOON)


def noon(day: date, zone: str) -> datetime:
    return datetime.combine(day, _NOON, tzinfo=ZoneInfo(zone))


def mean_size(meters: Sequence[int], requests: int) -> int:
    """Return the input of a mean call in tokens: what context tiers go by."""
    return sum(meters[index] for index in INPUT_METERS) // requests if requests > 0 else 0


def card_at(table: PriceTable | None, at: datetime, size: int) -> RateCard | None:
    """Return the card of an instant for calls of a size, at hours that no price names; None where nothing is priced."""
    span = None if table is None else table.at(at.timestamp())
    return None if span is None else span.face.card_for(size)


def per_unit(card: RateCard) -> tuple[int | None, ...]:
    """Return attodollars per unit by meter; see Note [Prices of a day] on what has no price for a prompt cache."""
    prices = list(card.per_unit)
    for index in CACHED:
        if prices[index] is None:
            prices[index] = prices[UNCACHED]
    return tuple(prices)


def costs(card: RateCard, meters: Sequence[int]) -> tuple[int, ...] | None:
    """Return what each meter costs, in attodollars; None where one that was used has no price."""
    found = []
    for count, price in zip(meters, per_unit(card), strict=True):
        if count and price is None:
            return None
        found.append(count * (price or 0))
    return tuple(found)


Prices = tuple[Fraction | int | None, ...]  # by meter, attodollars per unit


def mean_prices(cards: Sequence[Prices]) -> Prices | None:
    """Return the mean price of each meter over the prices of some days; None of no day.

    Where all days have the same prices these are given back as they are, so that `is` tells that nothing changed.
    """
    if not cards or all(card is cards[0] for card in cards):
        return cards[0] if cards else None
    means: list[Fraction | int | None] = []
    for index in range(len(METERS)):
        known = [price for prices in cards if (price := prices[index]) is not None]
        means.append(Fraction(sum(known)) / len(known) if known else None)
    return tuple(means)


def worth(prices: Prices | None, meters: Sequence[int | Fraction]) -> Fraction | None:
    """Return what counts cost at mean prices, in attodollars; None where one that was used has no price."""
    if prices is None:
        return None
    total: Fraction | int = 0
    for count, price in zip(meters, prices, strict=True):
        if count:
            if price is None:
                return None
            total += count * price
    return Fraction(total)


def tokens(meters: Sequence[int]) -> int:
    """Return the tokens among counts by meter."""
    return sum(meters[:REQUESTS])
