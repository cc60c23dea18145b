"""What a budget covers, how much of it was used, where that leads: plain Python, no I/O, no clock.

Sums are Decimal and exact: numeric(38, 18) columns hold more digits than Decimal's default context keeps, so everything
that multiplies or adds here does so in a context of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal

from core import periods
from core.periods import Period

FRONTIER_TOKENS, TOKENS, USD, REQUESTS = "frontier_tokens", "tokens", "usd", "requests"
ALERT, DOWNGRADE, BLOCK = "alert", "downgrade", "block"
ACTUAL, MAY_HAVE = "actual", "may_have"
FRONTIER, UNCLASSIFIED = "frontier", "unclassified"
TIERS = (FRONTIER, "middle", "economy", "self-hosted", UNCLASSIFIED)
TAG = "tag:"

# Which statuses count, per unit. An answer from a gateway's cache and a call that was blocked used no tokens of
# anybody's; a blocked call is not a request either, or a budget that blocks would go on filling up. Money counts
# whatever it was charged for.
_SERVED = frozenset({"ok", "error", "usage_missing"})
COUNTED: Mapping[str, frozenset[str] | None] = {
    FRONTIER_TOKENS: _SERVED,
    TOKENS: _SERVED,
    USD: None,
    REQUESTS: _SERVED | {"cache_hit"},
}

# Events may be a day ahead of their receipt; an hour more for clocks and for the time that a change takes to commit.
AHEAD = timedelta(hours=25)

FULL_DAYS_FOR_FORECAST = 3
DAY = timedelta(days=1)

_EXACT = Context(prec=100)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Consumption:
    """The sum of ledger entries that share every dimension within one UTC quarter hour. Reversals make it negative."""

    occurred_at: datetime  # start of the quarter hour, UTC
    use_case: str  # names as the catalogue has them
    team: str
    model: str
    offering: str
    provider: str
    tier: str  # one of TIERS
    gateway: str
    status: str
    requests: int
    input_tokens: int  # every input meter, cached included
    output_tokens: int
    cost_usd: Decimal
    tags: Mapping[str, str] = field(default_factory=dict)  # those that `selectors.definitions.tag_names` asks for


@dataclass(frozen=True, slots=True)
class Limit:
    """One version of a limit; no start: since ever; no end: until a higher version takes over."""

    id: int
    version: int
    amount: Decimal
    starts_at: datetime | None
    ends_at: datetime | None

    def holds(self, at: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class Definition:
    """A budget with all versions of its limit, as bookings keep it in memory."""

    id: int
    name: str
    scope: Mapping[str, frozenset[str]]  # a conjunction; empty is the whole organisation
    unit: str
    period: str  # one of core.periods.KINDS
    zone: str
    fiscal_start_month: int
    action: str
    trial: bool
    thresholds: tuple[int, ...]  # per cent, ascending
    owner: str
    created_at: datetime
    limits: tuple[Limit, ...]  # the highest version first

    @property
    def enforces(self) -> bool:
        """Whether gateways are told once the limit is reached."""
        return self.action != ALERT and not self.trial

    def limit_at(self, at: datetime) -> Limit | None:
        """Return the highest version in force at an instant."""
        return next((limit for limit in self.limits if limit.holds(at)), None)

    def period_of(self, instant: datetime) -> Period:
        return periods.containing(instant, self.period, self.zone, fiscal_start_month=self.fiscal_start_month)

    def counts(self, period: Period) -> bool:
        """Whether the budget counts a period: not those that were over before it was made."""
        return period.ends_at > self.created_at


# What a scope is compared with: a value for each dimension it may name, `tag:NAME` among them.
Values = Mapping[str, str]


def values_of(consumption: Consumption) -> dict[str, str]:
    values = {
        "use_case": consumption.use_case,
        "team": consumption.team,
        "model": consumption.model,
        "offering": consumption.offering,
        "provider": consumption.provider,
        "tier": consumption.tier,
        "gateway": consumption.gateway,
    }
    values.update((TAG + name, value) for name, value in consumption.tags.items())
    return values


def in_scope(scope: Mapping[str, frozenset[str]], values: Values) -> bool:
    """Return whether every dimension of the scope lists the value; a missing value is in no list."""
    return all(values.get(dimension) in wanted for dimension, wanted in scope.items())


def concerns(definition: Definition, values: Values) -> bool:
    """Return whether a budget has anything to count here.

    One in frontier tokens looks at frontier, and at unclassified beside it, whatever its scope says about tiers.
    """
    if definition.unit != FRONTIER_TOKENS:
        return in_scope(definition.scope, values)
    rest = {dimension: wanted for dimension, wanted in definition.scope.items() if dimension != "tier"}
    return values.get("tier") in (FRONTIER, UNCLASSIFIED) and in_scope(rest, values)


def amount(unit: str, consumption: Consumption) -> tuple[Decimal, Decimal]:
    """Return what a budget of this unit counts as used, and the unclassified tokens beside it (frontier only)."""
    statuses = COUNTED[unit]
    if statuses is not None and consumption.status not in statuses:
        return _ZERO, _ZERO
    if unit == USD:
        return consumption.cost_usd, _ZERO
    if unit == REQUESTS:
        return Decimal(consumption.requests), _ZERO
    tokens = Decimal(consumption.input_tokens + consumption.output_tokens)
    if unit == TOKENS:
        return tokens, _ZERO
    if consumption.tier == FRONTIER:
        return tokens, _ZERO
    return _ZERO, tokens if consumption.tier == UNCLASSIFIED else _ZERO


def add(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum, or difference where `other` is negative."""
    return _EXACT.add(one, other)


def passed(thresholds: Iterable[int], used: Decimal, limit: Decimal) -> tuple[int, ...]:
    """Return the thresholds (per cent of the limit) that are reached or passed, in the order given."""
    hundredfold = _EXACT.multiply(used, Decimal(100))
    return tuple(one for one in thresholds if hundredfold >= _EXACT.multiply(limit, Decimal(one)))


def may_have_passed(thresholds: Iterable[int], used: Decimal, unclassified: Decimal, limit: Decimal) -> tuple[int, ...]:
    """Return the thresholds that are reached only if the unclassified tokens were frontier."""
    with_them = passed(thresholds, add(used, unclassified), limit)
    surely = passed(with_them, used, limit)
    return tuple(one for one in with_them if one not in surely)


def per_cent(part: Decimal, whole: Decimal) -> Decimal:
    """Return per cent with one place, rounded down, so that 69.96 % never reads as a threshold of 70 passed."""
    if whole == 0:
        return _ZERO
    tenths = _EXACT.divide_int(_EXACT.multiply(part, Decimal(1000)), whole)
    return tenths.scaleb(-1)


def per_cent_gone(period: Period, at: datetime) -> Decimal:
    """Return how much of a period is over, 0.0 to 100.0 per cent."""
    gone = min(max(at - period.starts_at, timedelta()), period.ends_at - period.starts_at)
    return per_cent(_seconds(gone), _seconds(period.ends_at - period.starts_at))


def _seconds(duration: timedelta) -> Decimal:
    return Decimal(duration // timedelta(microseconds=1)).scaleb(-6)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where the present pace leads."""

    per_day: Decimal
    at_end: Decimal  # what will be used when the period ends
    runs_out_on: date | None  # the day in the budget's zone, None where the limit lasts (or is used up already)


def forecast(
    *,
    period: Period,
    zone: str,
    at: datetime,
    used: Decimal,
    limit: Decimal | None,
    daily: Mapping[date, Decimal] | None = None,
) -> Forecast | None:
    """Return the linear forecast: the mean of the full days so far goes on until the period ends.

    `daily` has what was used per day of the budget's zone; days before the first use do not slow the pace. Without it
    the pace is all that was used over the time gone. None before three full days of data, or outside the period.
    """
    if at not in period:
        return None
    if daily is None:
        elapsed = _seconds(at - period.starts_at)
        if at - period.starts_at < FULL_DAYS_FOR_FORECAST * DAY:
            return None
        per_day = _EXACT.divide(_EXACT.multiply(used, Decimal(86_400)), elapsed)
    else:
        today = periods.local_day(at, zone)
        full = {day: value for day, value in daily.items() if period.first_day <= day < today}
        first = min((day for day, value in full.items() if value != 0), default=today)
        days = (today - first).days
        if days < FULL_DAYS_FOR_FORECAST:
            return None
        total = _ZERO
        for day, value in full.items():
            total = add(total, value) if day >= first else total
        per_day = _EXACT.divide(total, Decimal(days))
    per_day = per_day.quantize(Decimal("1e-18"), context=_EXACT)

    days_left = _EXACT.divide(_seconds(period.ends_at - at), Decimal(86_400))
    at_end = add(used, _EXACT.multiply(per_day, days_left)).quantize(Decimal("1e-18"), context=_EXACT)
    return Forecast(per_day, at_end, _runs_out_on(period, zone, at, used, limit, per_day))


def _runs_out_on(
    period: Period, zone: str, at: datetime, used: Decimal, limit: Decimal | None, per_day: Decimal
) -> date | None:
    if limit is None or used >= limit or per_day <= 0:
        return None
    seconds = _EXACT.divide(_EXACT.multiply(_EXACT.subtract(limit, used), Decimal(86_400)), per_day)
    if seconds >= _seconds(period.ends_at - at):
        return None
    return periods.local_day(at + timedelta(seconds=int(seconds)), zone)


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


def periods_to_build(definition: Definition) -> list[Period]:
    """Return the periods that events may already have been booked for when the budget was made.

    The one it was made in, and any that begins within the time that events may run ahead.
    """
    found = [definition.period_of(definition.created_at)]
    while found[-1].ends_at < definition.created_at + AHEAD:
        found.append(definition.period_of(found[-1].ends_at))
    return found
