"""How a cost is worked out from an entry's meters and the prices that it was rated with, meter by meter, to the last
decimal: plain Python, no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, NamedTuple

from catalog.rules import ATTO_PER_UNIT, METERS
from usage.rules.rating import usd

_PER_MILLION = 1_000_000
_SCALE = Decimal(10) ** 10  # prices have ten places
_DIGITS = 80


class Part(NamedTuple):
    """What one meter comes to. `paid_per_1m` is the price less the discount, `amount_usd` the quantity times it."""

    meter: str
    quantity: int
    price_id: int
    usd_per_1m: Decimal
    of_contract: bool  # a contract's own price, else one of the list
    discount_percent: Decimal | None  # that a contract takes off it
    paid_per_1m: Decimal
    amount_usd: Decimal
    list_price_id: int
    list_usd_per_1m: Decimal
    list_amount_usd: Decimal


def parts(*, meters: Sequence[int], prices: Mapping[str, Any]) -> list[Part]:
    """Return a part for each meter that was used and has a price, in the order of meters.

    `prices` is what a rate keeps (`services/interning.content_of`). A request has no price of its own in most lists,
    and is then no part: it costs nothing. The amounts add up to the cost that rating came to.
    """
    contract = prices.get("contract") or {}
    percent = contract.get("discount_percent")
    found = []
    for meter, count in zip(METERS, meters, strict=True):
        kept = prices.get(meter)
        if not count or kept is None:
            continue
        price = Decimal(kept["usd_per_1m"])
        own = bool(kept.get("contract"))
        discount = None if percent is None or own else Decimal(percent)
        listed = Decimal(kept.get("list_usd_per_1m", kept["usd_per_1m"]))
        per_unit, at_list = _per_unit(price, discount), _per_unit(listed, None)
        found.append(
            Part(
                meter=meter,
                quantity=count,
                price_id=int(kept["price"]),
                usd_per_1m=price,
                of_contract=own,
                discount_percent=discount,
                paid_per_1m=usd(per_unit * _PER_MILLION),
                amount_usd=usd(per_unit * count),
                list_price_id=int(kept.get("list_price", kept["price"])),
                list_usd_per_1m=listed,
                list_amount_usd=usd(at_list * count),
            )
        )
    return found


def _per_unit(usd_per_1m: Decimal, discount_percent: Decimal | None) -> int:
    """Return attodollars per unit as rating takes them: after a discount, to the last place, half to even."""
    with localcontext() as context:
        context.prec = _DIGITS
        full = int(usd_per_1m * _SCALE) * ATTO_PER_UNIT
        if not discount_percent:
            return full
        exact = Decimal(full) * (100 - discount_percent) / 100
        return int(exact.to_integral_value(ROUND_HALF_EVEN))


def added(amounts: Sequence[Decimal]) -> Decimal:
    """Return the exact sum; a context of 28 digits would round it."""
    with localcontext() as context:
        context.prec = _DIGITS
        return sum(amounts, Decimal(0))
