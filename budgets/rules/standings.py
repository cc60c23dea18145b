"""Thresholds, per cents and the state of a budget: where its use stands against its limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from budgets.rules.exact import EXACT, add, seconds
from core.periods import Period

_ZERO = Decimal(0)


def passed(thresholds: Iterable[int], used: Decimal, limit: Decimal) -> tuple[int, ...]:
    """Return the thresholds (per cent of the limit) that are reached or passed, in the order given."""
    hundredfold = EXACT.multiply(used, Decimal(100))
    return tuple(one for one in thresholds if hundredfold >= EXACT.multiply(limit, Decimal(one)))


def may_have_passed(thresholds: Iterable[int], used: Decimal, unclassified: Decimal, limit: Decimal) -> tuple[int, ...]:
    """Return the thresholds that are reached only if the unclassified tokens were frontier."""
    with_them = passed(thresholds, add(used, unclassified), limit)
    surely = passed(with_them, used, limit)
    return tuple(one for one in with_them if one not in surely)


def part(limit: Decimal, threshold: int) -> Decimal:
    """Return a threshold (per cent of the limit) as an amount."""
    return EXACT.multiply(limit, Decimal(threshold).scaleb(-2))


def per_cent(part: Decimal, whole: Decimal) -> Decimal:
    """Return per cent with one place, rounded down, so that 69.96 % never reads as a threshold of 70 passed."""
    if whole == 0:
        return _ZERO
    tenths = EXACT.divide_int(EXACT.multiply(part, Decimal(1000)), whole)
    return tenths.scaleb(-1)


def per_cent_gone(period: Period, at: datetime) -> Decimal:
    """Return how much of a period is over, 0.0 to 100.0 per cent."""
    gone = min(max(at - period.starts_at, timedelta()), period.ends_at - period.starts_at)
    return per_cent(seconds(gone), seconds(period.ends_at - period.starts_at))


def standing(*, used: Decimal, limit: Decimal | None, thresholds: Sequence[int]) -> str:
    """Return OK, WARN (the lowest threshold is passed), ALERT (the last one below 100 too) or EXCEEDED."""
    if limit is None:
        return "OK"
    if used >= limit:
        return "EXCEEDED"
    early = [one for one in thresholds if one < 100]
    reached = passed(early, used, limit)
    if not reached:
        return "OK"
    return "ALERT" if len(early) > 1 and reached[-1] == early[-1] else "WARN"
