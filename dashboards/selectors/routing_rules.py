"""What each version, rule and reason did with the requests of some days, by `usage.selectors.routing_flows`.

Everything is of answered requests, those with the status ok, unless it says otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from operator import attrgetter
from typing import Any

from django.db.models import Q

from catalog.models import Tier
from core import periods
from routing.models import Environment, Version
from routing.rules import document, evaluator
from routing.selectors.environments import console_path
from usage.selectors import routing as usage
from usage.selectors.overview import share
from usage.selectors.routing import Served
from usage.selectors.routing_flows import RuleFlow

MOST_RULES = 40
MOST_MOVES = 15
MOST_TRIED = 2  # offerings that are named as what was tried first
MOST_VERSIONS = 500
LOOKED_BACK = timedelta(days=90)  # for when a rule was last named before the range
FRONTIER = str(Tier.FRONTIER.label)
NOT_SEEN = "not known"
# A budget or a switch took the first choice away before anything was tried.
TAKEN_AWAY = frozenset({evaluator.OVER_BUDGET, evaluator.SWITCHED_OFF})


def detoured(row: Served, reason: str) -> int:
    """Return how many answered requests did not go to their first choice: a fallback answered, or it was taken away."""
    return row.answered if reason in TAKEN_AWAY else row.by_fallback


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Answered requests, and how many of them ran on frontier models or were answered by a fallback."""

    answered: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    on_frontier: int = 0
    by_fallback: int = 0
    fallback_on_frontier: int = 0
    detoured: int = 0

    @property
    def frontier_share(self) -> Decimal | None:
        return share(self.on_frontier, self.answered)

    @property
    def fallback_share(self) -> Decimal | None:
        return share(self.by_fallback, self.answered)

    @property
    def per_1000_usd(self) -> Decimal | None:
        return self.cost_usd * 1000 / self.answered if self.answered else None


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A version of the rules that came in the range: published here, or first seen on a gateway's requests."""

    environment: str
    number: int
    day: date
    at: datetime | None  # of its publication; None: not published here
    title: str
    rolls_back_to: int | None = None
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class VersionLine:
    """What was answered under one version; the version before it stands beside it, if any was seen."""

    environment: str
    number: int  # 0: no version was reported
    first_day: date
    last_day: date
    sums: Totals
    before: Totals | None
    published_at: datetime | None
    published_by: str
    title: str
    rolls_back_to: int | None


@dataclass(frozen=True, kw_only=True)
class RuleLine:
    environment: str
    number: int
    rule: str
    sums: Totals
    rest: int = 0  # of how many rules, where it stands for those that are not listed


@dataclass(frozen=True, kw_only=True)
class ReasonLine:
    reason: str
    sums: Totals


@dataclass(frozen=True, kw_only=True)
class Move:
    """Requests that did not go to their first choice: what that was, what answered, and why."""

    tried: str  # offerings that the same rule of the same version sends to first, or NOT_SEEN
    offering: str  # that answered
    tier: str
    reason: str
    requests: int
    on_one: bool  # whether `tried` is the name of one offering


@dataclass(frozen=True, kw_only=True)
class IdleRule:
    """A rule in force that no request of the range names."""

    environment: str
    place: int  # from 1 on
    rule: str
    title: str
    version: int  # in force
    new: bool  # it came with a version of the range
    active_from: datetime | None
    active_until: datetime | None
    last_day: date | None  # on which a request named it; None: on none of the days that were looked at


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Rules in force that took nothing, and how far back was looked for when they last did."""

    rules: Sequence[IdleRule] = ()
    in_force: int = 0  # how many rules were asked about
    silent: Sequence[str] = ()  # environments with rules of whose requests none names one
    looked_from: date | None = None


def published(environment: str, until: datetime) -> list[Version]:
    """Return the versions published before `until`, without their contents, newest first. One query."""
    rows = Version.objects.filter(published_at__lt=until)
    if environment:
        rows = rows.filter(environment__name=environment)
    rows = rows.select_related("environment").defer("canonical").order_by("-published_at", "-id")
    return list(rows[:MOST_VERSIONS])


def marks(rows: Sequence[RuleFlow], known: Sequence[Version], *, first: date, zone: str) -> list[Mark]:
    """Return what came from `first` on, oldest first: what was published, and what gateways alone knew of."""
    found = [
        Mark(
            environment=one.environment.name, number=one.number, title=one.title, at=one.published_at,
            day=periods.local_day(one.published_at, zone), rolls_back_to=one.rolls_back_to,
            url=f"{console_path(one.environment.name)}versions/{one.number}/",
        )
        for one in known
    ]  # fmt: skip
    there = {(one.environment, one.number) for one in found}
    seen: dict[tuple[str, int], date] = {}
    begins: dict[str, date] = {}  # of each environment, the first day that has anything
    for row in rows:
        begins[row.environment] = min(begins.get(row.environment, row.first_day), row.first_day)
        key = row.environment, row.rules_version
        if row.rules_version and key not in there:
            seen[key] = min(seen.get(key, row.first_day), row.first_day)
    # What was there from the first day on may have been there long before.
    found += [
        Mark(environment=environment, number=number, day=day, at=None, title="")
        for (environment, number), day in seen.items()
        if day > begins[environment]
    ]
    return sorted((one for one in found if one.day >= first), key=lambda one: (one.day, one.environment, one.number))


def totals(rows: Iterable[tuple[Served, str, str]]) -> Totals:
    """Return the exact sums of what was answered, each with the tier that answered and the reason."""
    answered = tokens = on_frontier = by_fallback = fallback_on_frontier = away = 0
    cost = Decimal(0)
    with localcontext(prec=80):
        for row, tier, reason in rows:
            answered += row.answered
            tokens += row.tokens
            by_fallback += row.by_fallback
            away += detoured(row, reason)
            if tier == FRONTIER:
                on_frontier += row.answered
                fallback_on_frontier += row.by_fallback
            cost += row.cost_usd
    return Totals(
        answered=answered, tokens=tokens, cost_usd=cost, on_frontier=on_frontier, by_fallback=by_fallback,
        fallback_on_frontier=fallback_on_frontier, detoured=away,
    )  # fmt: skip


def sum_of(rows: Iterable[RuleFlow]) -> Totals:
    return totals((row, row.tier, row.reason) for row in rows)


def _grouped(rows: Iterable[RuleFlow], *names: str) -> dict[Any, list[RuleFlow]]:
    """Return the rows by what they have of these names: one value, or a tuple of several."""
    groups: dict[Any, list[RuleFlow]] = defaultdict(list)
    key = attrgetter(*names)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def versions(rows: Sequence[RuleFlow], known: Sequence[Version]) -> list[VersionLine]:
    """Return what was answered under each version, by environment, the newest first.

    A version of which there is only what came late, after a newer one had begun, is not what went before that.
    """
    by_number = {(one.environment.name, one.number): one for one in known}
    lines: list[VersionLine] = []
    before: dict[str, VersionLine] = {}
    for (environment, number), those in sorted(_grouped(rows, "environment", "rules_version").items()):
        version, first_day = by_number.get((environment, number)), min(row.first_day for row in those)
        older = before.get(environment) if number else None
        lines.append(
            VersionLine(
                environment=environment,
                number=number,
                first_day=first_day,
                last_day=max(row.last_day for row in those),
                sums=sum_of(those),
                before=older.sums if older and older.first_day <= first_day else None,
                published_at=version.published_at if version else None,
                published_by=version.published_by if version else "",
                title=version.title if version else "",
                rolls_back_to=version.rolls_back_to if version else None,
            )
        )
        if number:
            before[environment] = lines[-1]
    return sorted(lines, key=lambda line: (line.environment, -line.number))


def rules(rows: Sequence[RuleFlow]) -> list[RuleLine]:
    """Return the rules that answered most, by version; those beyond are one line, so that they add up."""
    groups = _grouped(rows, "environment", "rules_version", "rule")

    def busiest(group: tuple[tuple[str, int, str], list[RuleFlow]]) -> tuple[int, Decimal, str, int, str]:
        (environment, number, rule), those = group
        answered, cost = sum(row.answered for row in those), sum((row.cost_usd for row in those), Decimal(0))
        return -answered, -cost, environment, -number, rule

    # Few of hundreds are shown: what they did is only added up for these.
    ranked = sorted(groups.items(), key=busiest)
    listed = len(ranked) if len(ranked) <= MOST_RULES + 1 else MOST_RULES
    lines = [
        RuleLine(environment=environment, number=number, rule=rule, sums=sum_of(those))
        for (environment, number, rule), those in ranked[:listed]
    ]
    if left := ranked[listed:]:
        rest = sum_of(row for _, those in left for row in those)
        lines.append(RuleLine(environment="", number=0, rule="", sums=rest, rest=len(left)))
    return lines


def reasons(rows: Sequence[RuleFlow]) -> list[ReasonLine]:
    """Return what was answered for each reason, most frequent first."""
    lines = [ReasonLine(reason=reason, sums=sum_of(those)) for reason, those in _grouped(rows, "reason").items()]
    return sorted((line for line in lines if line.sums.answered), key=lambda line: (-line.sums.answered, line.reason))


def moves(rows: Sequence[RuleFlow]) -> list[Move]:
    """Return from which offering to which requests were led away from their first choice, most frequent first.

    Rollups do not know which attempt a fallback followed. They know what the same rule of the same version sends to
    first: where that is one offering, the request came from there.
    """
    moved: dict[tuple[str, str, str, str, bool], int] = defaultdict(int)
    for those in _grouped(rows, "environment", "rules_version", "rule").values():
        first = sorted({row.offering for row in those if row.first_choices > 0 and row.reason not in TAKEN_AWAY})
        tried = NOT_SEEN if not first or not those[0].rule else " or ".join(first[:MOST_TRIED])
        if len(first) > MOST_TRIED:
            tried = f"one of {len(first)} offerings"
        for row in those:
            on_one = len(first) == 1 and tried != NOT_SEEN
            moved[tried, row.offering, row.tier, row.reason, on_one] += detoured(row, row.reason)
    found = [
        Move(tried=tried, offering=offering, tier=tier, reason=reason, requests=count, on_one=on_one)
        for (tried, offering, tier, reason, on_one), count in moved.items()
        if count > 0
    ]
    return sorted(found, key=lambda move: (-move.requests, move.tried, move.offering, move.tier, move.reason))


def idle(
    rows: Sequence[RuleFlow], known: Sequence[Version], *, environment: str, first: date, begins: datetime
) -> Idle:
    """Return the rules in force that no request of the range names, in their order.

    `known` are the versions that were published up to the end of the range, `begins` is the instant of its beginning.
    Three queries at most: what is in force, its contents, and when those that took nothing last did.
    """
    live = Environment.objects.filter(live_version__isnull=False)
    if environment:
        live = live.filter(name=environment)
    in_force = {name: number for name, number in live.values_list("name", "live_version") if number}
    named = {(row.environment, row.rule) for row in rows if row.rule}
    silent = sorted(name for name in in_force if name not in {one for one, _ in named})
    asked = {name: number for name, number in in_force.items() if name not in silent}
    if not asked:
        return Idle(silent=silent)
    # What was in force when the range began, to tell what came since.
    before: dict[str, int] = {}
    for one in known:
        if one.published_at < begins:
            before.setdefault(one.environment.name, one.number)
    contents = _contents({*asked.items(), *((name, before[name]) for name in asked if name in before)})
    found: list[tuple[str, int, Mapping[str, Any]]] = []
    count = 0
    for name, number in sorted(asked.items()):
        for place, rule in enumerate(contents.get((name, number), ()), 1):
            count += 1
            if (name, rule["id"]) not in named:
                found.append((name, place, rule))
    looked_from = first - LOOKED_BACK
    last = usage.last_fired(rules={rule["id"] for _, _, rule in found}, since=looked_from, until=first)
    return Idle(
        rules=[
            IdleRule(
                environment=name,
                place=place,
                rule=rule["id"],
                title=rule.get("title", ""),
                version=asked[name],
                new=rule["id"] not in {old["id"] for old in contents.get((name, before.get(name, 0)), ())},
                active_from=evaluator.instant(rule.get("active_from")),
                active_until=evaluator.instant(rule.get("active_until")),
                last_day=last.get((name, rule["id"])),
            )
            for name, place, rule in found
        ],
        in_force=count,
        silent=silent,
        looked_from=looked_from,
    )


def _contents(wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    condition = Q(pk__in=[])
    for name, number in wanted:
        condition |= Q(environment__name=name, number=number)
    rows = Version.objects.filter(condition).values_list("environment__name", "number", "canonical")
    return {(name, number): document.parse(bytes(canonical))["rules"] for name, number, canonical in rows}
