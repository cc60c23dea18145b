"""Where a budget's use leads: what its days usually use, carried on to the end of the period, with a band.

# Note [How a forecast is made]
1. `profile_of` says what a day is expected to use. With three weeks of full days: what each weekday used on the middle
   half of its days in the last eight weeks (a holiday or an outage lies outside of that half), times how the last two
   weeks compare with it (the median of their days), so that growth is followed. With less, from three full days on, the
   mean of all days since the first use. So too where use comes in bursts, which a middle half would leave out.
2. `forecast` adds to what is used now what the days left are expected to use; today counts by what is left of it.
3. Its band is where eight of ten periods end: eight of ten past days lay within `Profile.spread` of what was expected
   of them. Days that go their own ways widen a sum with the root of their number. That the expectation itself was
   learned from few days widens it with their number: n days by the root of n + n * n / days that it is worth.

Days are those of the budget's zone, whatever their length. A day that reversals left below zero counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from budgets.rules.exact import EXACT, add, seconds
from core import periods
from core.periods import Period

FULL_DAYS_FOR_FORECAST = 3
FULL_DAYS_FOR_WEEKDAYS = 21
DAYS_LOOKED_AT = 56
DAY = timedelta(days=1)

WEEKDAYS, MEAN, EVEN = "weekdays", "mean", "even"  # how a forecast was made; the last without its days

METHODS = (WEEKDAYS, MEAN, EVEN)

_DAYS_OF_LEVEL = 14
_LEVEL_IS_WORTH = 8  # days: a median of fourteen says as much as a mean of nine, and what it scales is not exact either
_DAYS_OF_SPREAD = 28
_MOST_SPIKES = 2
_ZERO = Decimal(0)
_PLACES = Decimal("1e-18")
_ROOTS = Context(prec=40)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a day is expected to use, by its past. Amounts are in the budget's unit."""

    method: str  # WEEKDAYS or MEAN
    weekdays: tuple[Decimal, ...]  # Monday first
    spread: Decimal  # eight of ten days lay within this of what was expected of them
    days: int  # how many days' mean the level is worth

    def written(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        weekdays = [format(one, "f") for one in self.weekdays]
        return {"method": self.method, "weekdays": weekdays, "spread": format(self.spread, "f"), "days": self.days}


def read(written: Mapping[str, Any]) -> Profile | None:
    """Return what `Profile.written` gave; nothing was written where there were too few days."""
    if not written:
        return None
    weekdays = tuple(Decimal(one) for one in written["weekdays"])
    return Profile(written["method"], weekdays, Decimal(written["spread"]), written["days"])


def profile_of(days: Mapping[date, Decimal], today: date) -> Profile | None:
    """Return what is expected of a day, see Note [How a forecast is made]; None before three full days of use.

    `days` has what was used per day, days without use may be missing; today and later days are not looked at. Days
    before the first use do not slow the pace.
    """
    looked_at = [today - n * DAY for n in range(DAYS_LOOKED_AT, 0, -1)]
    first = next((day for day in looked_at if days.get(day, _ZERO) > 0), today)
    past = [(day.weekday(), max(days.get(day, _ZERO), _ZERO)) for day in looked_at if day >= first]
    if len(past) < FULL_DAYS_FOR_FORECAST:
        return None
    return _by_weekdays(past) or _by_mean(past)


def _by_weekdays(past: Sequence[tuple[int, Decimal]]) -> Profile | None:
    if len(past) < FULL_DAYS_FOR_WEEKDAYS:
        return None
    usual = [_middle_mean([used for weekday, used in past if weekday == one]) for one in range(7)]
    usually = _sum([usual[weekday] for weekday, _ in past])
    really = _sum(sorted(used for _, used in past)[:-_MOST_SPIKES])
    if EXACT.multiply(usually, Decimal(2)) < really:
        return None  # most of it comes on days that a middle half leaves out
    recent = [(weekday, used) for weekday, used in past[-_DAYS_OF_LEVEL:] if usual[weekday] > 0]
    level = _median([EXACT.divide(used, usual[weekday]) for weekday, used in recent]) if recent else Decimal(1)
    weekdays = tuple(_kept(EXACT.multiply(one, level)) for one in usual)
    return Profile(WEEKDAYS, weekdays, _spread(past[-_DAYS_OF_SPREAD:], weekdays), _LEVEL_IS_WORTH)


def _by_mean(past: Sequence[tuple[int, Decimal]]) -> Profile:
    mean = _kept(EXACT.divide(_sum([used for _, used in past]), Decimal(len(past))))
    weekdays = (mean,) * 7
    return Profile(MEAN, weekdays, _spread(past, weekdays), len(past))


def _middle_mean(values: Sequence[Decimal]) -> Decimal:
    """Return the mean without the highest and the lowest quarter, rounded so that of three one stays."""
    left_out = (len(values) + 1) // 4
    middle = sorted(values)[left_out : len(values) - left_out]
    return EXACT.divide(_sum(middle), Decimal(len(middle)))


def _median(values: Sequence[Decimal]) -> Decimal:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else EXACT.divide(add(ordered[half - 1], ordered[half]), Decimal(2))


def _spread(past: Sequence[tuple[int, Decimal]], weekdays: Sequence[Decimal]) -> Decimal:
    off = sorted(abs(EXACT.subtract(used, weekdays[weekday])) for weekday, used in past)
    return _kept(off[-(-len(off) * 8 // 10) - 1])


def _sum(values: Sequence[Decimal]) -> Decimal:
    total = _ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def _kept(value: Decimal) -> Decimal:
    return value.quantize(_PLACES, context=EXACT)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where the present pace leads. Days are the budget's; None where the limit lasts, or is used up already."""

    method: str
    per_day: Decimal
    at_end: Decimal  # what will be used when the period ends
    low: Decimal | None  # eight of ten periods end between these two; None where nothing is known of its days
    high: Decimal | None
    runs_out_on: date | None  # the day on which the limit is reached
    earliest: date | None  # where use is as high as the band goes
    latest: date | None  # where it is as low as the band goes; None also where the limit may last
    made_at: datetime  # what is left of that day counts as still to come


@dataclass(frozen=True, slots=True)
class Ahead:
    """What will be used when a day ends."""

    day: date
    expected: Decimal
    low: Decimal
    high: Decimal


def path(*, period: Period, zone: str, at: datetime, used: Decimal, profile: Profile) -> Iterator[Ahead]:
    """Yield what will be used at the end of today and of each day left in the period. Nothing outside of it."""
    if at not in period:
        return
    today, last = periods.local_day(at, zone), periods.last_day(period, zone)
    begins, ends = periods.day_start(today, zone), periods.day_start(today + DAY, zone)
    # Both grow with each day: their number, of which today counts by what is left of it, and what they use.
    number = part = EXACT.divide(seconds(ends - at), seconds(ends - begins))
    more, day = EXACT.multiply(part, profile.weekdays[today.weekday()]), today
    learned_from = Decimal(profile.days)
    while True:
        root = _ROOTS.sqrt(_ROOTS.add(number, _ROOTS.divide(_ROOTS.multiply(number, number), learned_from)))
        expected, off = _kept(add(used, more)), _kept(_ROOTS.multiply(profile.spread, root))
        yield Ahead(day, expected, max(used, EXACT.subtract(expected, off)), add(expected, off))
        if day >= last:
            return
        day += DAY
        number, more = add(number, Decimal(1)), add(more, profile.weekdays[day.weekday()])


# The limit that holds when a day ends, None where none does: for limits that start or end before the period does.
LimitOn = Callable[[date], Decimal | None]


def forecast(
    *,
    period: Period,
    zone: str,
    at: datetime,
    used: Decimal,
    limit: Decimal | None,
    profile: Profile | None,
    limit_on: LimitOn | None = None,
) -> Forecast | None:
    """Return where the use leads by what is expected of days; None where there is no profile, or outside the period.

    `limit` is the one in force now, and holds until the period ends where `limit_on` knows no better.
    """
    if profile is None or at not in period:
        return None
    runs_out_on = earliest = latest = None
    for ahead in path(period=period, zone=zone, at=at, used=used, profile=profile):
        holds = limit_on(ahead.day) if limit_on is not None else limit
        if limit is not None and used < limit and holds is not None:
            earliest = earliest or (ahead.day if ahead.high >= holds else None)
            runs_out_on = runs_out_on or (ahead.day if ahead.expected >= holds else None)
            latest = latest or (ahead.day if ahead.low >= holds else None)
    per_day = _kept(EXACT.divide(_sum(profile.weekdays), Decimal(7)))
    return Forecast(profile.method, per_day, ahead.expected, ahead.low, ahead.high, runs_out_on, earliest, latest, at)


def even_forecast(
    *,
    period: Period,
    zone: str,
    at: datetime,
    used: Decimal,
    limit: Decimal | None,
    limit_on: LimitOn | None = None,
) -> Forecast | None:
    """Return where the use leads if it goes on as it did over the time gone, for scopes whose days nobody sums.

    Without a band; None before three days of the period.
    """
    if at not in period or at - period.starts_at < FULL_DAYS_FOR_FORECAST * DAY:
        return None
    per_day = _kept(EXACT.divide(EXACT.multiply(max(used, _ZERO), Decimal(86_400)), seconds(at - period.starts_at)))
    profile = Profile(EVEN, (per_day,) * 7, _ZERO, 1)
    found = forecast(period=period, zone=zone, at=at, used=used, limit=limit, profile=profile, limit_on=limit_on)
    if found is None:
        return None
    return Forecast(EVEN, per_day, found.at_end, None, None, found.runs_out_on, None, None, at)
