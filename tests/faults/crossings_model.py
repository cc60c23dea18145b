"""What a sequential run tells of budgets, in plain Python that shares nothing with the code that is tested.

One event after the other, in the order in which the database committed them: after each booking whatever threshold is
reached and was not told for the limit in force is told. Where a limit is changed meanwhile, bookings compare with the
old or the new one until the change is settled: what may be told there and what must be are kept apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

ACTUAL, MAY_HAVE = "actual", "may_have"
FRONTIER = {"gpt-5.5"}
UNKNOWN = {"nobody-knows"}  # without a tier and without a price
# USD per million tokens of input and of output.
PRICES = {"gpt-5.5": (5, 30), "gpt-5.4-mini": (2, 12)}
NOTHING = (Decimal(0), Decimal(0))

Event = Mapping[str, Any]
Counter = tuple[str, datetime]  # name of a budget, start of the period
Told = tuple[int, str, int]  # version of the limit, basis, threshold


@dataclass(frozen=True, kw_only=True)
class Budget:
    name: str
    unit: str
    scope: Mapping[str, Sequence[str]]
    period: str
    zone: str
    thresholds: Sequence[int]
    action: str = "alert"
    trial: bool = False
    fiscal_start_month: int = 1


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A version of a limit: every booking that commits after `settled` compares with it, and none before `since`."""

    version: int
    amount: Decimal
    since: datetime
    settled: datetime


@dataclass(frozen=True, kw_only=True)
class State:
    """What a counter held from `at` on: the sum of what was booked until then."""

    at: datetime
    booked_by: str  # the transaction
    used: Decimal
    unclassified: Decimal


def period_of(budget: Budget, instant: datetime) -> tuple[datetime, datetime]:
    """Return when the budget's period that holds an instant starts and ends."""
    zone = ZoneInfo(budget.zone)
    day = instant.astimezone(zone).date()
    if budget.period == "day":
        first, after = day, day + timedelta(days=1)
    elif budget.period == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        months = {"month": 1, "quarter": 3, "year": 12}[budget.period]
        number = day.year * 12 + day.month - 1
        number -= (number - budget.fiscal_start_month + 1) % months
        first, after = (date(one // 12, one % 12 + 1, 1) for one in (number, number + months))
    return tuple(datetime.combine(one, time(), zone).astimezone(UTC) for one in (first, after))  # type: ignore[return-value]


def cost(event: Event) -> Decimal:
    prices = PRICES.get(event["model"], (0, 0))
    return Decimal(event["input"] * prices[0] + event["output"] * prices[1]) / 1_000_000


def amount(budget: Budget, event: Event) -> tuple[Decimal, Decimal]:
    """Return what an event adds to a budget in whose scope it is: used, and unclassified beside it."""
    if budget.unit == "usd":
        return cost(event), Decimal(0)
    if event["status"] == "blocked":
        return NOTHING
    if budget.unit == "requests":
        return Decimal(1), Decimal(0)
    tokens = Decimal(event["input"] + event["output"])
    if budget.unit == "tokens" or event["model"] in FRONTIER:
        return tokens, Decimal(0)
    return Decimal(0), tokens if event["model"] in UNKNOWN else Decimal(0)


def concerns(budget: Budget, event: Event) -> bool:
    values = {**event, **{f"tag:{name}": value for name, value in event["tags"].items()}}
    return all(values.get(dimension) in wanted for dimension, wanted in budget.scope.items())


def states(
    budgets: Iterable[Budget], events: Mapping[str, Event], booked: Sequence[tuple[datetime, str, str, int]]
) -> dict[Counter, list[State]]:
    """Add up what was booked: commit, transaction, event and its sign, in the order of commits."""
    budgets = list(budgets)
    kept: dict[Counter, list[State]] = defaultdict(list)
    for at, transaction, event_id, sign in booked:
        event = events[event_id]
        happened = datetime.fromisoformat(event["at"])
        for budget in budgets:
            used, unclassified = amount(budget, event)
            if not concerns(budget, event) or not (used or unclassified):
                continue
            before = kept[budget.name, period_of(budget, happened)[0]]
            last = before[-1] if before else State(at=at, booked_by="", used=Decimal(0), unclassified=Decimal(0))
            now = State(
                at=at,
                booked_by=transaction,
                used=last.used + sign * used,
                unclassified=last.unclassified + sign * unclassified,
            )
            if last.booked_by == transaction:
                before.pop()
            before.append(now)
    return kept


def reached(budget: Budget, limit: Limit, state: State) -> tuple[set[int], set[int]]:
    """Return the thresholds that are reached for sure, and those that are with the unclassified tokens alone."""
    sure = {one for one in budget.thresholds if state.used * 100 >= limit.amount * one}
    both = {one for one in budget.thresholds if (state.used + state.unclassified) * 100 >= limit.amount * one}
    return sure, both - sure


def at(kept: Sequence[State], instant: datetime) -> State:
    """Return what a counter held at an instant."""
    found = State(at=instant, booked_by="", used=Decimal(0), unclassified=Decimal(0))
    for one in kept:
        if one.at > instant:
            break
        found = one
    return found


def told(
    budget: Budget, limits: Sequence[Limit], kept: Sequence[State], *, period_end: datetime
) -> tuple[set[Told], set[Told]]:
    """Return what must be told of one counter, and what may be: the same but for changes of the limit on the way.

    A booking tells what it moved past. A change of the limit tells what is reached already, of a period that runs.
    """
    must: set[Told] = set()
    may: set[Told] = set()

    def tell(limit: Limit, sure: set[int], perhaps: set[int], *, certain: bool) -> None:
        for basis, thresholds in ((ACTUAL, sure), (MAY_HAVE, perhaps)):
            for one in thresholds:
                passed = (limit.version, ACTUAL, one)  # once that was told, "may have" is no news
                if basis == ACTUAL or passed not in must:
                    may.add((limit.version, basis, one))
                if certain and (basis == ACTUAL or passed not in may):
                    must.add((limit.version, basis, one))

    def book(limit: Limit, before: State, after: State, *, certain: bool) -> None:
        sure_before, perhaps_before = reached(budget, limit, before)
        sure, perhaps = reached(budget, limit, after)
        tell(limit, sure - sure_before, perhaps - perhaps_before - sure_before, certain=certain)

    first = State(at=kept[0].at, booked_by="", used=Decimal(0), unclassified=Decimal(0))
    steps = list(pairwise([first, *kept]))
    for limit, following in pairwise([*limits, None]):
        assert limit is not None
        if period_end > limit.since:
            # Somebody looks once, at one of these; and nobody has left anything untold when the change is settled.
            found = [at(kept, limit.since), *(one for one in kept if limit.since < one.at <= limit.settled)]
            for state in found:
                tell(limit, *reached(budget, limit, state), certain=False)
            if period_end > limit.settled:
                sure, perhaps = zip(*(reached(budget, limit, state) for state in found), strict=True)
                tell(limit, set.intersection(*sure), set.intersection(*perhaps), certain=True)
                tell(limit, reached(budget, limit, found[-1])[0], set(), certain=True)
        for before, after in steps:
            if after.at > limit.since and (following is None or after.at <= following.settled):
                certain = after.at > limit.settled and (following is None or after.at <= following.since)
                book(limit, before, after, certain=certain)
    return must, may


def tells_all(limits: Sequence[Limit], version: int, instant: datetime, *, period_end: datetime) -> bool:
    """Say whether whoever tells something at an instant tells all that is reached for this version and was not told.

    Not so while a change is under way: a booking tells then what it moved past, and no more; nor of a period that was
    over when the limit came.
    """
    limit = limits[version - 1]
    return period_end > limit.settled and not any(one.since < instant <= one.settled for one in limits)
