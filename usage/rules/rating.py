"""From meters and list prices to a cost, exactly and fast: whole attodollars (1e-18 USD), no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from catalog.rules import REQUESTS, Book, RateCard

ATTO = Decimal("1e-18")

# The numbers of usage.models.Unpriced, which this module cannot import.
PRICED, NO_PRICE, METER_WITHOUT_PRICE, NOT_COUNTED, UNKNOWN_CONTEXT = range(5)


class Rated(NamedTuple):
    """What a call cost in attodollars, what it costs at list, and the card it was rated with; or why nobody knows."""

    cost: int | None
    list_cost: int | None
    card: RateCard | None
    unpriced: int


_NOTHING_USED = Rated(0, 0, None, PRICED)


def rate(
    *,
    book: Book,
    offering: int,
    service_tier: str,
    timestamp: float,
    meters: tuple[int, ...],
    gateway: int = 0,
    input_tokens: int | None = None,
) -> Rated:
    """Price one call with the prices in force at its time, at list or under the contract that holds for it.

    `meters` are counts by meter index (`catalog.rules.METERS`), `timestamp` is POSIX seconds, `gateway` the id of the
    one that reported it. `input_tokens` is the size that context tiers go by, where the meters are sums of many calls
    of about that size. A call that used nothing cost nothing. A call that used a meter without a price is unpriced
    as a whole: a part of a cost would look like all of it. A request itself costs only where its price is listed.
    """
    if gateway not in book.contract_gateways:
        gateway = 0
    table = book.tables.get((offering, service_tier, gateway)) or book.table(offering, service_tier, gateway)
    if table is None:
        if not any(meters[:REQUESTS]) and not meters[REQUESTS + 1]:
            return _NOTHING_USED
        return Rated(None, None, None, UNKNOWN_CONTEXT if offering in book.priced_offerings else NO_PRICE)
    span = table.at(timestamp)
    if span is None:
        if not any(meters[:REQUESTS]) and not meters[REQUESTS + 1]:
            return _NOTHING_USED
        return Rated(None, None, None, NO_PRICE)
    face = span.at(timestamp) if span.hours else span.face
    card = face.card
    if face.cliffs:
        if input_tokens is None:
            # Written out: the sum over INPUT_METERS, a microsecond quicker.
            input_tokens = meters[0] + meters[1] + meters[2] + meters[3] + meters[5] + meters[7]
        card = face.card_for(input_tokens)
    return with_card(card, meters)


def with_card(card: RateCard, meters: Iterable[int]) -> Rated:
    """Price counts with a card: those of one call, or the sums of many that it holds for alike."""
    total = 0
    for count, per_unit in zip(meters, card.per_unit):  # noqa: B905 (both have a place per meter)
        if count:
            if per_unit is None:
                return Rated(None, None, None, METER_WITHOUT_PRICE)
            total += count * per_unit
    if card.listed_per_unit is None:
        return Rated(total, total, card, PRICED)
    at_list = sum([count * (each or 0) for count, each in zip(meters, card.listed_per_unit, strict=True)])
    return Rated(total, at_list, card, PRICED)


def price_of(
    *,
    book: Book,
    offering: int,
    service_tier: str,
    occurred_at: datetime,
    meters: tuple[int, ...],
    counted: bool,
    gateway: int,
) -> Rated:
    """Rate a call as of its time; one whose tokens nobody counted has no known cost."""
    if not counted:
        return Rated(None, None, None, NOT_COUNTED)
    return rate(
        book=book,
        offering=offering,
        service_tier=service_tier,
        timestamp=occurred_at.timestamp(),
        meters=meters,
        gateway=gateway,
    )


def usd(atto: int) -> Decimal:
    """Return attodollars as dollars, exactly."""
    with localcontext() as context:
        context.prec = 60
        return Decimal(atto) * ATTO


def atto(usd_: Decimal) -> int:
    """Return dollars as whole attodollars; places beyond the 18th are rounded half to even."""
    with localcontext() as context:
        context.prec = 60
        return int((usd_ / ATTO).to_integral_value())
