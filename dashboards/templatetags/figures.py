"""Numbers, shares and instants as a page shows them.

Everything takes Decimal, int or None (shown as a dash) and refuses float: what was rounded twice does not
add up. Rounding is half up, as on an invoice. Negative numbers carry an ASCII minus, so that they paste into
a spreadsheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

Number = Decimal | int | None

ABSENT = "\N{EN DASH}"
GAP = "\N{NO-BREAK SPACE}"
# Letters as on the axes of a chart.
UNITS = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))


def _decimal(value: Decimal | int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError(f"a figure is Decimal, int or None, not {type(value).__name__}: {value!r}")
    return Decimal(value)


def _rounded(value: Decimal, places: int) -> Decimal:
    with localcontext() as context:
        context.prec = 80  # a sum over a big ledger has more digits than the default context keeps
        rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return rounded.copy_abs() if rounded == 0 else rounded  # no "-0.00"


def _signed(text: str, *, negative: bool, symbol: str = "") -> str:
    return f"{'-' if negative else ''}{symbol}{text}"


def _short(value: Decimal) -> str | None:
    """Return the magnitude with its unit, or None below a thousand."""
    size = value.copy_abs()  # abs() would round to the context's digits
    for position, (unit, letter) in enumerate(UNITS):
        scaled = size / unit
        if scaled >= 1 or _rounded(size, 0) >= unit:
            places = 0 if scaled >= 100 else 1
            rounded = _rounded(scaled, places)
            if rounded >= 1000 and position > 0:  # 999,950 is 1.0M, not 1000k
                return f"1.0{UNITS[position - 1][1]}"
            return f"{rounded:,}{letter}"
    return None


@register.filter
def usd(value: Number) -> str:
    """Return dollars with cents; below ten cents, three significant digits: "$12,345.67", "$0.000240"."""
    if value is None:
        return ABSENT
    amount = _decimal(value)
    rounded = _rounded(amount, 2)
    if amount != 0 and amount.copy_abs() < Decimal("0.1"):
        first = _rounded(amount, 2 - amount.adjusted())  # may carry into the next digit: 0.009999 is 0.0100
        rounded = _rounded(first, 2 - first.adjusted())
    return _signed(f"{rounded.copy_abs():,f}", negative=rounded < 0, symbol="$")


def usd_places(values: Iterable[Number]) -> int:
    """Return how many decimals a column of dollars has, all of it alike: cents, unless its largest is below ten."""
    largest = max((_decimal(value).copy_abs() for value in values if value is not None), default=Decimal(0))
    return 2 if largest == 0 or largest >= Decimal("0.1") else 2 - largest.adjusted()


@register.filter
def usd_in(value: Number, places: int) -> str:
    """Return dollars with so many decimals, for a column that has one precision; nearly nothing is not nothing."""
    if value is None:
        return ABSENT
    amount = _decimal(value)
    rounded = _rounded(amount, places)
    if rounded == 0 and amount != 0:
        step = Decimal(1).scaleb(-places)
        return f"<{GAP}${step:f}" if amount > 0 else f">{GAP}-${step:f}"
    return _signed(f"{rounded.copy_abs():,f}", negative=rounded < 0, symbol="$")


@register.filter
def usd_places_of(rows: Iterable[Any], path: str) -> int:
    """Return how many decimals the dollars have that stand at a path in each row, such as "sums.cost_usd"."""
    found = template.Variable(f"row.{path}")
    return usd_places(found.resolve({"row": row}) for row in rows)


@register.filter
def usd_of_call(value: Number) -> str:
    """Return what one call cost, with six decimals whatever it is: among calls a cent is much."""
    return usd_in(value, 6)


@register.filter
def usd_in_full(value: Number) -> str:
    """Return dollars with every digit, and cents at least: what is shown when a figure is pointed at."""
    return ABSENT if value is None else _full_usd(_decimal(value))


@register.filter
def usd_short(value: Number) -> str:
    """Return dollars for a card or an axis: "$1.2M", "$12.3k", "$123k"; below a thousand as `usd`."""
    if value is None:
        return ABSENT
    amount = _decimal(value)
    text = _short(amount)
    return usd(amount) if text is None else _signed(text, negative=amount < 0, symbol="$")


@register.filter
def usd_tile(value: Number) -> str:
    """Return dollars for a tile, with cents as a statement has them: "$8,455.01"; from a million on short: "$1.2M"."""
    if value is None:
        return ABSENT
    amount = _decimal(value)
    return usd_short(amount) if amount.copy_abs() >= 1_000_000 else usd(amount)


@register.filter
def tokens(value: Number) -> str:
    """Return a count for a card or an axis: "1.2M", "85.3k", "850"."""
    if value is None:
        return ABSENT
    count = _decimal(value)
    text = _short(count)
    return exact(_rounded(count, 0)) if text is None else _signed(text, negative=count < 0)


@register.filter
def exact(value: Number) -> str:
    """Return every digit, with separators of thousands and no trailing zeros: "1,234,567"."""
    if value is None:
        return ABSENT
    text = f"{_decimal(value):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@register.filter
def milliseconds(value: int | None) -> str:
    """Return how long something took: "640 ms", from a second on "1.2 s"."""
    if value is None:
        return ABSENT
    if value < 1000:
        return f"{value} ms"
    return f"{exact(_rounded(Decimal(value) / 1000, 1))} s"


@register.filter
def percent(value: Number, places: int = 1) -> str:
    """Return a share as per cent: "71.4 %".

    Nearly all is not all and nearly nothing is not nothing: what would round to 100 or 0 says "> 99.9 %" or
    "< 0.1 %".
    """
    if value is None:
        return ABSENT
    share = _decimal(value) * 100
    rounded = _rounded(share, places)
    step = Decimal(1).scaleb(-places)
    if rounded == 100 and share < 100:
        return f">{GAP}{100 - step}{GAP}%"
    if rounded == 0 and share > 0:
        return f"<{GAP}{step}{GAP}%"
    return f"{rounded:,f}{GAP}%"


SHORT: dict[str, Callable[[Number], str]] = {"tokens": tokens, "usd": usd_short}


@register.simple_tag
def exactly(value: Number, kind: str = "tokens") -> str | SafeString:
    """Render a short figure that shows the exact one when pointed at; kind is "tokens" or "usd"."""
    short = SHORT[kind](value)
    if value is None:
        return short
    full = exact(value) if kind == "tokens" else _full_usd(_decimal(value))
    return format_html('<span class="tk-number" title="{}">{}</span>', full, short)


def _full_usd(amount: Decimal) -> str:
    whole, _, fraction = exact(amount.copy_abs()).partition(".")
    return _signed(f"{whole}.{fraction:0<2}", negative=amount < 0, symbol="$")


@register.filter
def person(name: str) -> str | SafeString:
    """Render an e-mail address so that a narrow column breaks it before its @, and not inside of a word."""
    local, at_sign, domain = name.rpartition("@")
    return format_html("{}<wbr>@{}", local, domain) if at_sign else name


AGES = ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))


def relative(instant: datetime, now: datetime) -> str:
    """Return how far away an instant is, in whole units rounded down: "3 minutes ago", "in 2 days"."""
    distance = abs(now - instant)
    for unit, name in AGES:
        count = distance // unit
        if count:
            words = f"{count} {name}" if count == 1 else f"{count} {name}s"
            return f"in {words}" if instant > now else f"{words} ago"
    if distance < timedelta(seconds=10):
        return "just now"
    return f"in {distance.seconds} seconds" if instant > now else f"{distance.seconds} seconds ago"


# Whoever looks, where her clock is not the organisation's. Django's current zone stays the organisation's: days and
# months are counted in it, and forms are read in it.
_viewer: ContextVar[ZoneInfo | None] = ContextVar("viewer", default=None)


@contextmanager
def seen_from(zone: str) -> Iterator[None]:
    """Have instants written in a person's own zone; empty for the organisation's.

    One that this machine does not know (any more) is as none: on every page, also on the one where it is chosen.
    """
    try:
        known = ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError):
        known = None
    token = _viewer.set(known)
    try:
        yield
    finally:
        _viewer.reset(token)


@register.simple_tag
def ago(instant: datetime | None, now: datetime | None = None) -> str | SafeString:
    """Render an instant as a distance from now, exact when pointed at."""
    if instant is None:
        return ABSENT
    return _time(instant, relative(instant, now or timezone.now()))


@register.simple_tag
def at(instant: datetime | None) -> str | SafeString:
    """Render an instant in the viewer's zone, else the current one: "20 Nov 2026, 12:00 UTC".

    What is shown when it is pointed at has the seconds, and the organisation's time where the two differ.
    """
    if instant is None:
        return ABSENT
    local = timezone.localtime(instant, _viewer.get())
    return _time(instant, f"{local.day} {local:%b %Y, %H:%M %Z}")


def clock(instant: datetime) -> str:
    """Return an instant of today by the viewer's clock, inside of a sentence: "12:05"."""
    return f"{timezone.localtime(instant, _viewer.get()):%H:%M}"


@register.simple_tag
def now_at() -> str | SafeString:
    """Render the present instant as `at` does: for the head of what is printed."""
    return at(timezone.now())


def _time(instant: datetime, words: str) -> SafeString:
    local, theirs = timezone.localtime(instant, _viewer.get()), timezone.localtime(instant)
    exactly = f"{local:%Y-%m-%d %H:%M:%S %Z}"
    if local.utcoffset() != theirs.utcoffset():
        exactly += f"; {theirs:%Y-%m-%d %H:%M:%S %Z} for the organisation"
    machine = instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return format_html('<time datetime="{}" title="{}">{}</time>', machine, exactly, words)
