"""Limits of periods ahead: what holds in each, and which versions bring about what somebody wants to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from budgets.rules.scopes import Definition
from core.periods import Period

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version that is to be written; no start: from now on, no end: until a later one."""

    amount: Decimal
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The limit from an instant on; None: there is none."""

    starts_at: datetime
    amount: Decimal | None


def periods_from(definition: Definition, at: datetime, count: int) -> list[Period]:
    """Return the period that holds an instant and those that follow it, `count` in all."""
    found = [definition.period_of(at)]
    while len(found) < count:
        found.append(definition.period_of(found[-1].ends_at))
    return found


def periods_before(definition: Definition, at: datetime, count: int) -> list[Period]:
    """Return the periods before the one that holds an instant, the latest first."""
    found: list[Period] = []
    start = definition.period_of(at).starts_at
    while len(found) < count:
        found.append(definition.period_of(start - _INSTANT))
        start = found[-1].starts_at
    return found


def steps(definition: Definition, *, starts_at: datetime, ends_at: datetime) -> list[Step]:
    """Return the limit in [starts_at, ends_at): at its start, and wherever it becomes another one."""
    found: list[Step] = []
    for instant in (starts_at, *sorted(edge for edge in definition.edges if starts_at < edge < ends_at)):
        amount = _amount_at(definition, instant)
        if not found or found[-1].amount != amount:
            found.append(Step(instant, amount))
    return found


def _amount_at(definition: Definition, instant: datetime) -> Decimal | None:
    limit = definition.limit_at(instant)
    return limit.amount if limit else None


def settled_from(definition: Definition, wanted: Iterable[Period], at: datetime) -> datetime:
    """Return the instant from which on neither a version nor a wanted period begins or ends."""
    return max([at, *definition.edges, *(period.ends_at for period in wanted)])


def needed(
    definition: Definition, wanted: Mapping[Period, Decimal], *, after: Decimal | None = None, at: datetime
) -> list[Version]:
    """Return the versions to write, in their order, so that each wanted period begins with its amount.

    `after` is wanted from there on where no version and no wanted period begins or ends any more. What holds already
    needs no version, so the same again gives none. A period that has begun is changed from now on; what changes in the
    middle of a period whose beginning is right already stays.
    """
    found: list[Version] = []
    # None of these overlaps another, so what holds is asked of the versions that are there.
    if after is not None:
        settled = settled_from(definition, wanted, at)
        if _amount_at(definition, settled) != after:
            found.append(Version(amount=after, starts_at=settled if settled > at else None))
    for period in sorted(wanted):
        begins = max(period.starts_at, at)
        if _amount_at(definition, begins) != wanted[period]:
            ahead = begins if begins > at else None
            found.append(Version(amount=wanted[period], starts_at=ahead, ends_at=period.ends_at))
    return found


def a_year_before(definition: Definition, period: Period) -> Period:
    """Return the period of the same name a year before; of days and weeks the one 52 weeks before."""
    middle = period.starts_at + (period.ends_at - period.starts_at) / 2
    if definition.period in ("day", "week"):
        return definition.period_of(middle - timedelta(weeks=52))
    # The middle of a month, a quarter or a year lies in the same one a year before, leap years or not.
    return definition.period_of(middle - timedelta(days=365))


def rounded_up(amount: Decimal, *, whole: bool) -> Decimal:
    """Return a plan's amount: up to three digits that count, and whole where the unit has no fractions."""
    if amount <= 0:
        return Decimal(0)
    place = amount.adjusted() - 2
    if whole:
        place = max(place, 0)
    unit = Decimal(1).scaleb(place)
    return (amount / unit).to_integral_value(rounding="ROUND_CEILING") * unit


def mean(amounts: Sequence[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0)) / len(amounts) if amounts else Decimal(0)
