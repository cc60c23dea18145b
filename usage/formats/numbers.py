"""Money and meters: numbers from outside, made exact and disjoint."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, Protocol

import msgspec

from usage.formats.contract import Refused

MAX_EXACT = 2**53 - 1  # what JSON carries exactly everywhere
# What is believed of one call: thousands of times the largest context. Sums are 64 bits wide, and a few calls with
# absurd counts would leave no room in them for the calls that come after.
MAX_COUNT = 10**10
MAX_INT4 = 2**31 - 1

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]

_TOO_MUCH = Decimal(10) ** 12
_TEN = Decimal(10)
_LEDGER_SCALE = Decimal("1e-18")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[])

DO_NOT_ADD_UP = "meters-do-not-add-up"


def money(field: str, amount: Decimal | None) -> Decimal | None:
    """Return an amount as the ledger's column can hold it: 18 decimals, rounded half to even, no idle zeros.

    LiteLLM prints binary floats, so `0.000042499999999999996` arrives and is kept as `0.0000425`: the column
    holds no more. The same amount written differently is the same amount, and so the same content when an
    event comes again.

    Raises:
        Refused: not a number, negative, or 1e12 and more.
    """
    if amount is None:
        return None
    if not amount.is_finite():
        raise Refused(f"{field}: not a finite number")
    if amount >= _TOO_MUCH:
        raise Refused(f"{field}: 1e12 and more is not believed")
    if not amount:
        return Decimal(0)
    if amount.is_signed():
        raise Refused(f"{field}: negative")
    amount = _EXACT.normalize(_EXACT.quantize(amount, _LEDGER_SCALE))
    if amount >= _TEN and amount == amount.to_integral_value():
        amount = _EXACT.quantize(amount, Decimal(1))  # 1E+2 is 100
    return amount


class Counts(Protocol):
    """Token counts as the outside world gives them: `input_tokens` and `output_tokens` hold all the others.

    None says "not given", which counts as 0 here.
    """

    input_tokens: int | None
    cache_read_input_tokens: int | None
    cache_write_5m_input_tokens: int | None
    cache_write_1h_input_tokens: int | None
    audio_input_tokens: int | None
    image_input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    audio_output_tokens: int | None
    image_output_tokens: int | None


def disjoint(counts: Counts) -> tuple[int, int, bool]:
    """Return uncached input, text output, and whether the parts fit into their wholes.

    Where the parts exceed the whole, one of the numbers is false and nothing tells which. Each part was
    stated and is kept; the rest of the whole is 0, so that no token enters the ledger that nobody stated.
    That may be too little (a sender who gives input beside the cached part, against the contract, loses the
    input of that event), which is why the event must be flagged: the doubt is for a person to see.
    """
    uncached = (
        (counts.input_tokens or 0)
        - (counts.cache_read_input_tokens or 0)
        - (counts.cache_write_5m_input_tokens or 0)
        - (counts.cache_write_1h_input_tokens or 0)
        - (counts.audio_input_tokens or 0)
        - (counts.image_input_tokens or 0)
    )
    output = counts.output_tokens or 0
    fits = uncached >= 0 and (counts.reasoning_tokens or 0) <= output
    output -= (counts.audio_output_tokens or 0) + (counts.image_output_tokens or 0)
    if fits and output >= 0:
        return uncached, output, True
    return max(uncached, 0), max(output, 0), False
