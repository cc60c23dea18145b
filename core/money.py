"""Money is Decimal from end to end, in USD, and rounded only for the eye."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

# Columns. A price is USD per million units of one meter; a cost is exact: a price has 10 places, a token is a
# millionth of its unit, and 16 places hold their product. Two more are left for a contract's discount.
PRICE: dict[str, Any] = {"max_digits": 20, "decimal_places": 10}
COST: dict[str, Any] = {"max_digits": 30, "decimal_places": 18}
SUM: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}  # of any number of costs
QUANTITY: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}  # what a budget counts: USD, tokens or requests


def plain(value: Decimal) -> str:
    """Return the value as JSON carries it: no exponent, no trailing zeros, exact."""
    if value == 0:
        return "0"
    with localcontext() as context:
        # A sum over a big ledger can have more than the default context's 28 digits, and normalize() rounds.
        context.prec = 80
        return format(value.normalize(), "f")
