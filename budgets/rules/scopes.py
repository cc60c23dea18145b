"""What a budget covers and how much of a consumption it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from core import periods
from core.periods import Period

FRONTIER_TOKENS, TOKENS, USD, REQUESTS = "frontier_tokens", "tokens", "usd", "requests"
ALERT, DOWNGRADE, BLOCK = "alert", "downgrade", "block"
ACTUAL, FORECAST, MAY_HAVE = "actual", "forecast", "may_have"
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
    """One version of a limit; no start: since it was set; no end: until a higher version takes over."""

    id: int
    version: int
    amount: Decimal
    starts_at: datetime | None
    ends_at: datetime | None
    set_at: datetime | None = None  # None: with its budget

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
    forecast_thresholds: tuple[int, ...] = ()  # per cent that the forecast may reach, ascending

    @property
    def enforces(self) -> bool:
        """Whether gateways are told once the limit is reached."""
        return self.action != ALERT and not self.trial

    @property
    def tags(self) -> list[str]:
        """The tags that its scope names; sums that are kept know none, or one."""
        return [dimension.removeprefix(TAG) for dimension in self.scope if dimension.startswith(TAG)]

    @property
    def edges(self) -> set[datetime]:
        """The instants at which versions of the limit start or end by date."""
        return {edge for limit in self.limits for edge in (limit.starts_at, limit.ends_at) if edge is not None}

    def limit_at(self, at: datetime) -> Limit | None:
        """Return the highest version in force at an instant."""
        return next((limit for limit in self.limits if limit.holds(at)), None)

    def limit_then(self, at: datetime) -> Limit | None:
        """Return the version that was in force at an instant that may be over.

        Unlike `limit_at`, which asks what is known now, it leaves out what was set after that instant.
        """
        return next((one for one in self.limits if one.holds(at) and (one.set_at is None or one.set_at <= at)), None)

    def limit_of(self, period: Period, at: datetime) -> Limit | None:
        """Return the version in force at an instant, or as it was when the period ended, where that is over."""
        return self.limit_at(at) if at < period.ends_at else self.limit_then(period.ends_at - timedelta.resolution)

    def period_of(self, instant: datetime) -> Period:
        return periods.containing(instant, self.period, self.zone, fiscal_start_month=self.fiscal_start_month)

    def called(self, period: Period) -> str:
        """Return a period of it as people call it: `October 2026`."""
        return periods.called(period.first_day, self.period, fiscal_start_month=self.fiscal_start_month)

    def counts(self, period: Period) -> bool:
        """Whether the budget counts a period: not those that were over before it was made."""
        return period.ends_at > self.created_at


# What a scope is compared with: a value for each dimension it may name, `tag:NAME` among them.
Values = Mapping[str, str]


def values_of(consumption: Consumption) -> dict[str, str]:
    """Return what scopes are compared with; a dimension that the call has no value of is an empty text."""
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


def periods_to_build(definition: Definition) -> list[Period]:
    """Return the periods that events may already have been booked for when the budget was made.

    The one it was made in, and any that begins within the time that events may run ahead.
    """
    found = [definition.period_of(definition.created_at)]
    while found[-1].ends_at < definition.created_at + AHEAD:
        found.append(definition.period_of(found[-1].ends_at))
    return found
