"""Exact sums: numeric(38, 18) columns hold more digits than Decimal's default context keeps.

So everything in this package that multiplies or adds does so in a context of its own.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Context, Decimal

EXACT = Context(prec=100)


def add(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum, or difference where `other` is negative."""
    return EXACT.add(one, other)


def seconds(duration: timedelta) -> Decimal:
    """Return a duration in seconds, exact to the microsecond."""
    return Decimal(duration // timedelta(microseconds=1)).scaleb(-6)
