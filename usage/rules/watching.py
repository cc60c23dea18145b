"""Whether a day's spend, a share on frontier models or a share without a price is news. Plain Python: no I/O, no clock.

# Note [What is unusual spend]
A day is held against the eight weeks before it: against the days of its kind (weekdays, or Saturdays and Sundays), and
against its own weekday where six of these are known. Both must say that it is unusual, so a job that runs on Mondays is
no news on a Monday. What is usual is a median, and how far days lie from it a median too (the MAD), so an outage or a
peak in the past changes nothing. Unusual is more than five of these deviations above it. A deviation counts as a tenth
of the median at least: a past as flat as a board still has to be passed by half. A subject that is used on fewer than
half of its days has no usual day; then it is its dearest one that has to be passed by half.

A level that held for three days (of this kind, or in a row) is no news any more: from then on a day must stand out
against that level. So a step up is told on three days, though the median follows it only after weeks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import exp, lgamma
from statistics import median
from typing import NamedTuple

WEEKS = 8  # the past of a day: two months tell a habit, and a season is no part of it
HELD_DAYS = 3  # so many days make a level
LONGEST_LOOK = timedelta(weeks=WEEKS) + timedelta(days=14)  # what `unusual` may ask of the past: held days have one too
LEAST_HISTORY_DAYS = 14
LEAST_ALIKE = 4  # days to compare with: two weekends
LEAST_OF_WEEKDAY = 6
DEVIATIONS = Decimal(5)
LEAST_DEVIATION = Decimal("0.1")  # of the median
_TO_SIGMA = Decimal("1.4826")  # what a MAD is of a normal deviation
LEAST_USD = Decimal(10)  # beyond the usual, for a day to be worth a message
LEAST_OF_WHOLE = Decimal("0.05")  # the same, of what the organisation spends on a day
EXPLAINS = Decimal(2) / 3  # of what is beyond the usual: then a part is what happened to the whole

_DAY = timedelta(days=1)
_ZERO = Decimal(0)

Spend = Mapping[date, Decimal]  # USD per day; a day that is left out cost nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What days like one cost before it: the middle one, and what 8 of 10 lie between. Above `most` is unusual."""

    median: Decimal
    low: Decimal
    high: Decimal
    most: Decimal
    days: tuple[date, ...]  # that it is held against


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusual:
    """A day that cost far more than usual."""

    spent: Decimal
    usual: Usual

    @property
    def beyond(self) -> Decimal:
        return self.spent - self.usual.median

    @property
    def times(self) -> Decimal | None:
        """How many times the usual it cost; None where nothing is usual."""
        return self.spent / self.usual.median if self.usual.median > 0 else None


def _at_weekend(day: date) -> bool:
    return day.weekday() >= 5


def usual(spend: Spend, day: date) -> Usual | None:
    """Return what is usual on such a day; None where too little is known. See Note [What is unusual spend]."""
    past = _past(spend, day)
    if len(past) < LEAST_HISTORY_DAYS:
        return None
    alike = [one for one in past if _at_weekend(one) == _at_weekend(day)]
    same = [one for one in past if one.weekday() == day.weekday()]
    if len(alike) < LEAST_ALIKE:
        return None
    found = [_of(alike, spend)]
    if len(same) >= LEAST_OF_WEEKDAY:
        found.append(_of(same, spend))
    return max(found, key=lambda one: one.most)


def _past(spend: Spend, day: date) -> list[date]:
    """Return the days of the eight weeks before a day, from the first on that cost anything."""
    first = min((one for one, cost in spend.items() if cost > 0 and one < day), default=day)
    first = max(first, day - timedelta(weeks=WEEKS))
    return [first + n * _DAY for n in range((day - first).days)]


def _of(days: Sequence[date], spend: Spend) -> Usual:
    costs = sorted(spend.get(day, _ZERO) for day in days)
    middle = median(costs)
    deviation = median(abs(cost - middle) for cost in costs) * _TO_SIGMA
    if middle > 0:
        most = middle + DEVIATIONS * max(deviation, middle * LEAST_DEVIATION)
    else:
        most = costs[-1] * (1 + DEVIATIONS * LEAST_DEVIATION)
    tenth = len(costs) // 10
    return Usual(median=middle, low=costs[tenth], high=costs[-1 - tenth], most=most, days=tuple(days))


def unusual(spend: Spend, day: date, *, least_usd: Decimal = LEAST_USD) -> Unusual | None:
    """Return what is unusual about a day's spend, by at least `least_usd`; None where nothing is, or may be said.

    The day may still run: what it cost so far is held against whole days.
    """
    spent = spend.get(day, _ZERO)
    if spent < least_usd or spent <= 0:
        return None
    known = usual(spend, day)
    if known is None or spent <= known.most or spent - known.median < least_usd:
        return None
    if spent <= known.most * _level(spend, day):
        return None
    return Unusual(spent=spent, usual=known)


def _level(spend: Spend, day: date) -> Decimal:
    """Return how many times the usual days have come to cost, 1 where the last ones were no other than before."""
    row = [day - n * _DAY for n in range(1, HELD_DAYS + 1)]
    alike = [one for one in (day - n * _DAY for n in range(1, 15)) if _at_weekend(one) == _at_weekend(day)]
    found = Decimal(1)
    for last in (row, alike[:HELD_DAYS]):
        times = []
        for one in last:
            known = usual(spend, one)
            spent = spend.get(one, _ZERO)
            if known is None or spent <= known.most:
                break
            times.append(spent / (known.median or known.most))
        else:
            found = max(found, median(times))
    return found


def least_usd(organisation: Spend, day: date) -> Decimal:
    """Return what a day has to cost beyond the usual to matter to the organisation, whatever it is that cost it."""
    costs = [organisation.get(one, _ZERO) for one in _past(organisation, day)]
    return max(LEAST_USD, median(costs) * LEAST_OF_WHOLE) if costs else LEAST_USD


def explaining(whole: Unusual, parts: Mapping[int, Unusual]) -> int | None:
    """Return the part that is what happened to the whole: two thirds of what is beyond its usual; None for none."""
    found = max(parts, key=lambda part: (parts[part].beyond, -part), default=None)
    return found if found is not None and parts[found].beyond >= whole.beyond * EXPLAINS else None


# Shares on frontier models --------------------------------------------------------------------------------------------

# Note [What is drift]
# Days are compared with days of the same weekdays, so both sides have the same mix of them. Three things must hold. The
# share rose by three points: that takes the 5 per cent of a tiered stack to 8, and a frontier request costs some ten
# times another. There were enough answered requests. And chance alone would do that once in a thousand looks, however
# many use cases are looked at: Fisher's exact test, right at small numbers too, its level divided by their number.
# Calls come in sessions that go one way together and are no draws of a lot, so both sides count for less by as much as
# their days differ more than by chance (`going_together`). So one odd day is no drift either.
#
# A version of the rules is held against the one before it, by the first days that it had for itself, a week at most.
# What the share rose by in the week before that is taken off: a version is not blamed for what was under way. Without
# any version, the last week is held against the four before it.

LEAST_RISE = Decimal("0.03")
LEAST_ANSWERED = 100
CHANCE = 0.001
LEAST_DAYS = 4  # that say how much days differ
WHOLE_DAY = Decimal("0.9")  # of a day's answered requests: then the day is one version's
WEEK = timedelta(days=7)
RECENT_VERSION = timedelta(days=21)
WEEKS_BEFORE = 4
SHARES_LOOK = RECENT_VERSION + WEEKS_BEFORE * WEEK + WEEK  # how far back shares are asked for


class Counted(NamedTuple):
    """Answered requests, and those of them that a frontier model answered."""

    answered: int
    on_frontier: int

    @property
    def share(self) -> Decimal:
        return Decimal(self.on_frontier) / self.answered if self.answered else _ZERO

    def less(self, times: float) -> Counted:
        return Counted(round(self.answered / times), round(self.on_frontier / times))

    def __add__(self, other: object) -> Counted:
        return Counted(self.answered + other[0], self.on_frontier + other[1]) if isinstance(other, Counted) else self


NOTHING = Counted(0, 0)


def added(counts: Iterable[Counted]) -> Counted:
    return sum(counts, NOTHING)


def rose(*, before: Sequence[Counted], after: Sequence[Counted], looks: int, under_way: Decimal = _ZERO) -> bool:
    """Say whether a share rose, by one count per day; see Note [What is drift].

    `looks` is how many pairs are compared, `under_way` what is taken off the rise.
    """
    was, now = added(before), added(after)
    rise = now.share - was.share - under_way
    if min(was.answered, now.answered) < LEAST_ANSWERED or rise < LEAST_RISE:
        return False
    together = max(1.0, going_together(before), going_together(after))
    return chance(before=was.less(together), after=now.less(together)) < CHANCE / max(1, looks)


def going_together(days: Sequence[Counted]) -> float:
    """Return how many requests go one way together, by how much more than by chance the days differ; 1 for none.

    The oddest day is left out, whatever happened on it.
    """
    whole = added(days)
    share = float(whole.share)
    if len(days) < LEAST_DAYS or not 0 < share < 1:
        return 1.0
    odd = sorted((day.on_frontier - day.answered * share) ** 2 / day.answered for day in days if day.answered)
    return sum(odd[:-1]) / (share * (1 - share)) / max(1, len(odd) - 2)


def chance(*, before: Counted, after: Counted) -> float:
    """Return how likely so many on frontier, or more, are after, if nothing had changed: Fisher's exact test."""
    on_frontier = before.on_frontier + after.on_frontier
    others = before.answered + after.answered - on_frontier
    term = exp(
        _choices(on_frontier, after.on_frontier)
        + _choices(others, after.answered - after.on_frontier)
        - _choices(on_frontier + others, after.answered)
    )
    total = term
    for hits in range(after.on_frontier, min(on_frontier, after.answered)):
        misses = after.answered - hits
        term *= (on_frontier - hits) * misses / ((hits + 1) * (others - misses + 1))
        total += term
        if term < total * 1e-12:
            break
    return min(1.0, total)


def _choices(of: int, some: int) -> float:
    return lgamma(of + 1) - lgamma(some + 1) - lgamma(of - some + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Days that a version had for itself, and as many of the version before it, on the same weekdays."""

    version: int
    version_before: int
    after: tuple[date, ...]
    before: tuple[date, ...]


def change(days: Mapping[date, Mapping[int, Counted]], *, today: date) -> Change | None:
    """Return the newest version's first days, by counts per day and version (0: not reported), beside those before it.

    None where no version of the last three weeks had a whole day for itself, or the one before it none.
    """
    of = {day: version for day, counts in days.items() if day < today and (version := _whole_day(counts))}
    version = max(of.values(), default=0)
    if not version:
        return None
    began = min(day for day, counts in days.items() if version in counts)
    earlier = [day for day in of if day < began]
    if not earlier or began < today - RECENT_VERSION:
        return None
    version_before = of[max(earlier)]
    past = [day for day in earlier if of[day] == version_before and day >= began - WEEKS_BEFORE * WEEK]
    own = sorted(day for day in of if of[day] == version)[:7]
    pairs = matched(own, past)
    return Change(
        version=version,
        version_before=version_before,
        after=tuple(day for day, _ in pairs),
        before=tuple(sorted(day for _, day in pairs)),
    )


def _whole_day(counts: Mapping[int, Counted]) -> int:
    """Return the version that a day was of, 0 where it was of several or of none."""
    version = max(counts, key=lambda one: counts[one].answered, default=0)
    return version if counts and counts[version].answered >= added(counts.values()).answered * WHOLE_DAY else 0


def matched(days: Iterable[date], past: Iterable[date]) -> list[tuple[date, date]]:
    """Return (day, day of the past) in pairs: the latest of the past on the same weekday, else of the same kind.

    Each day of the past is used once; a day that finds none is left out.
    """
    left, waiting = sorted(past, reverse=True), sorted(days, reverse=True)
    found = []
    for alike in (date.weekday, _at_weekend):
        for day in tuple(waiting):
            other = next((one for one in left if alike(one) == alike(day)), None)
            if other is not None:
                left.remove(other)
                waiting.remove(day)
                found.append((day, other))
    return sorted(found)


# Shares without a price -----------------------------------------------------------------------------------------------

# At one per cent a total is off by more than two price lists that agree differ (a price from outside is taken for right
# within the same), and a budget by a threshold of its last day of a quarter.
UNPRICED_SHARE = Decimal("0.01")
UNPRICED_LEAST_TOKENS = 1_000


def lacks_prices(*, unpriced_tokens: int, tokens: int) -> bool:
    """Say whether so many tokens without a price are too many among those of a day."""
    return unpriced_tokens >= UNPRICED_LEAST_TOKENS and unpriced_tokens > tokens * UNPRICED_SHARE
