"""How much more or less: one way to say it, in sentences and in tables.

A change is a part of what was before: 0.25 is a quarter more. None says that nothing was before, or that one of the two
is not known. What rounds to nothing is no change.
"""

from __future__ import annotations

from decimal import Decimal

from dashboards.templatetags.figures import ABSENT, percent, usd

_LEAST = Decimal("0.0005")  # rounds to 0.0 %
_FLAT, _UP, _DOWN = "flat", "up", "down"


def relative(now: Decimal | None, before: Decimal | None) -> Decimal | None:
    """Return the change from `before` to `now`."""
    if now is None or before is None or before <= 0:
        return None
    return (now - before) / before


def direction(change: Decimal | None) -> str:
    """Return flat, up or down."""
    if change is None or abs(change) < _LEAST:
        return _FLAT
    return _UP if change > 0 else _DOWN


def told(change: Decimal | None, than: str = "") -> str:
    """Return a change for a sentence: "12.4 % more than in May", "the same as in May"; empty where there is none."""
    if change is None:
        return ""
    if direction(change) == _FLAT:
        return f"the same as {than}" if than else "the same"
    words = f"{percent(abs(change))} {'more' if change > 0 else 'less'}"
    return f"{words} than {than}" if than else words


def signed(now: Decimal | None, before: Decimal | None) -> str:
    """Return a change for a table: "+12.4 %", "new" where there was nothing; a dash where there never was anything."""
    change = relative(now, before)
    if change is None:
        return "new" if now and now > 0 and before == 0 else ABSENT
    if direction(change) == _FLAT:
        return percent(Decimal(0))
    return f"{'+' if change > 0 else ''}{percent(change)}"


def points(now: Decimal | None, before: Decimal | None) -> str:
    """Return the difference of two shares in points of per cent, with its sign; empty where one is not known."""
    if now is None or before is None:
        return ""
    moved = ((now - before) * 100).quantize(Decimal("0.1"))
    return f"{'+' if moved > 0 else ''}{moved if moved else Decimal('0.0')}"


def told_points(now: Decimal | None, before: Decimal | None, than: str) -> tuple[str, str]:
    """Return how a share moved, "3.1 points more than in May", and its direction; no words where one is not known."""
    difference = points(now, before)
    if not difference:
        return "", _FLAT
    if difference == "0.0":
        return f"the same as {than}", _FLAT
    words = f"{difference.lstrip('+-')} points {'more' if difference[0] == '+' else 'less'} than {than}"
    return words, _UP if difference[0] == "+" else _DOWN


def told_usd(difference_usd: Decimal) -> str:
    """Return an amount for a sentence: "$12.00 more"."""
    return f"{usd(abs(difference_usd))} {'more' if difference_usd > 0 else 'less'}"
