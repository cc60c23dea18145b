"""What a reader of a provider's export is, and what it gives.

A reader is one module with one function: the bytes of an export in, a `Statement` out. It needs no database and no
clock, and knows nothing of who imports. A new export is a module and a line in the registry (`__init__.py`).

Units are ours, exactly: USD, tokens, and input that includes what was cached. Days are UTC days, as providers bill.
What cannot be read raises `Malformed`; what can be read and not used (another currency, an export of another kind)
raises `Invalid`. Either way nothing of the file is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from decimal import Decimal, localcontext

from core.errors import Invalid

MOST_LINES = 200_000
MOST_DAYS = 1100
_MOST = 2**63 - 1  # what columns hold
_MOST_USD = Decimal(10) ** 12 - 1
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A UTC day by provider, model and key. None says that the export does not tell, and is not 0."""

    day: date
    provider: str
    model: str = ""  # in the provider's words
    key: str = ""
    project: str = ""
    service_tier: str = ""  # empty for the ordinary one
    item: str = ""  # what a cost is for, or who served a reseller's call, in the provider's words
    requests: int | None = None
    input_tokens: int | None = None  # cached included
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    web_searches: int | None = None
    cost_usd: Decimal | None = None


SAID = ("day", "provider", "model", "key", "project", "service_tier", "item")
COUNTED = tuple(each.name for each in fields(Line) if each.name not in SAID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An export, read: a line for each combination of `SAID`, in its order.

    It covers every day from the first to the last, both included; those in `partial_days` not whole. A day that is
    covered and has no line is one on which nothing was used.
    """

    first_day: date
    last_day: date
    partial_days: Sequence[date]
    lines: Sequence[Line]
    notes: Sequence[str]  # what somebody should know of it, as sentences


def statement(
    lines: Iterable[Line], *, whole_days: Iterable[date], partial_days: Iterable[date] = (), notes: Sequence[str] = ()
) -> Statement:
    """Sum lines that say the same and put them in order. Days between the first and the last that are named by neither
    are partial: the file does not hold them.

    Raises:
        Invalid: there is no day in it, a sum is too large to keep, or the lines are too many.
    """
    whole, seen = set(whole_days), set(partial_days)
    seen |= whole
    if not seen:
        raise Invalid("The file has no day in it: nothing was exported.", [("file", "has no day in it")])
    first, last = min(seen), max(seen)
    if (last - first).days > MOST_DAYS:
        raise Invalid("The file spans more than three years: import it in parts.", [("file", "spans over three years")])
    days = [first + _ONE_DAY * n for n in range((last - first).days + 1)]
    summed: dict[tuple[object, ...], Line] = {}
    for line in lines:
        key = tuple(getattr(line, name) for name in SAID)
        summed[key] = _added(summed[key], line) if key in summed else line
        if len(summed) > MOST_LINES:
            raise Invalid(
                f"The file has more than {MOST_LINES:,} lines: export fewer days at a time, or group by less.",
                [("file", "too many lines")],
            )
    if any(_too_large(line) for line in summed.values()):
        raise Invalid("A sum of the file is too large to be believed.", [("file", "a sum is too large")])
    return Statement(
        first_day=first,
        last_day=last,
        partial_days=[day for day in days if day not in whole],
        lines=[summed[key] for key in sorted(summed, key=repr)],
        notes=list(notes),
    )


def _too_large(line: Line) -> bool:
    for name in COUNTED:
        value = getattr(line, name)
        if value is not None and abs(value) > (_MOST_USD if name == "cost_usd" else _MOST):
            return True
    return False


def _added(one: Line, other: Line) -> Line:
    sums: dict[str, object] = {}
    with localcontext() as context:
        context.prec = 60
        for name in COUNTED:
            mine, theirs = getattr(one, name), getattr(other, name)
            sums[name] = mine if theirs is None else theirs if mine is None else mine + theirs
    return replace(one, **sums)  # type: ignore[arg-type]
