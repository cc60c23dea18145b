"""Sums of days that are looked at for what is unusual: spend, shares on frontier models, tokens without a price.

Days are the organisation's, ranges are half-open [first, until). What was booked late for a closed month is left out:
it is no day's use. Each question is one read of `rollup_day`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from catalog.models import UNASSIGNED_ID, Tier
from usage.models import RollupDay, Status
from usage.rules.watching import Counted
from usage.selectors.routing import BY_FALLBACK, TOKENS

_ANSWERED = Q(status=Status.OK)
_ON_FRONTIER = Q(status=Status.OK, tier=Tier.FRONTIER)
_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the organisation, each use case, each team, and each team with each use case cost per day, in USD."""

    organisation: Mapping[date, Decimal]
    use_cases: Mapping[int, Mapping[date, Decimal]]
    teams: Mapping[int, Mapping[date, Decimal]]  # without the team of what names none
    together: Mapping[tuple[int, int], Mapping[date, Decimal]]  # use case and team
    names: Mapping[tuple[str, int], str]  # ("use_case" or "team", id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one value of a dimension cost: on the day, and on all of the days that it is held against together."""

    name: str
    cost_usd: Decimal
    past_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    requests: int
    tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOfDay:
    """Answered requests of a use case in an environment, by the version of the rules that gateways said they ran."""

    day: date
    use_case_id: int
    use_case: str
    environment: str
    rules_version: int  # 0: not reported
    counted: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleShare:
    """Requests that a frontier model answered by one rule and for one reason, on the days before and after."""

    rule: str
    reason: str
    by_fallback: int  # of those after
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPerRequest:
    """What an answered request cost, where any was answered with a price."""

    on_frontier: Decimal | None
    elsewhere: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedOf:
    offering_id: int
    offering: str
    tokens: int  # without a price
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedDay:
    tokens: int = 0
    unpriced_tokens: int = 0
    offerings: Sequence[UnpricedOf] = ()  # those with tokens that have no price, most first


def _between(first: date, until: date) -> QuerySet[RollupDay]:
    return RollupDay.objects.filter(day__gte=first, day__lt=until, correction_of=0)


def spent(*, first: date, until: date) -> Spent:
    """Return what was spent per day. One query."""
    rows: Any = (
        _between(first, until)
        .values_list("day", "use_case_id", "use_case__name", "team_id", "team__name")
        .annotate(cost=Sum("cost_usd"))
    )
    organisation: dict[date, Decimal] = {}
    use_cases: dict[int, dict[date, Decimal]] = {}
    teams: dict[int, dict[date, Decimal]] = {}
    together: dict[tuple[int, int], dict[date, Decimal]] = {}
    names: dict[tuple[str, int], str] = {}
    with localcontext() as context:
        context.prec = 80  # sums have more digits than the default context keeps
        for day, use_case_id, use_case, team_id, team, cost in rows:
            names["use_case", use_case_id] = use_case
            sums = [organisation, use_cases.setdefault(use_case_id, {})]
            if team_id != UNASSIGNED_ID:
                names["team", team_id] = team
                sums += [teams.setdefault(team_id, {}), together.setdefault((use_case_id, team_id), {})]
            for each in sums:
                each[day] = each.get(day, _ZERO) + cost
    return Spent(organisation=organisation, use_cases=use_cases, teams=teams, together=together, names=names)


PARTS = {
    "model": "offering__model__name",
    "use_case": "use_case__name",
    "team": "team__name",
    "gateway": "gateway__name",
    "rules_version": "rules_version",
}


def parts(
    *, day: date, past: Collection[date], use_case_id: int | None = None, team_id: int | None = None
) -> tuple[dict[str, list[Part]], Volume, Volume]:
    """Return what made a day and those it is held against cost what they did: by each of `PARTS`, what rose most first.

    The volumes are those of the day, and of all the others together. One query.
    """
    here, then = Q(day=day), Q(day__in=list(past))
    asked = RollupDay.objects.filter(here | then, correction_of=0)
    if use_case_id is not None:
        asked = asked.filter(use_case_id=use_case_id)
    if team_id is not None:
        asked = asked.filter(team_id=team_id)
    measures = {"requests": F("requests"), "tokens": TOKENS, "cost": F("cost_usd")}
    # Named apart from the columns: Django would take a name that is a column's for the column in what follows.
    sums = {
        f"{name}_{side}": Sum(measure, filter=days, default=0)
        for name, measure in measures.items()
        for side, days in (("here", here), ("then", then))
    }
    rows = list(asked.values(*PARTS.values()).annotate(**sums))
    found: dict[str, list[Part]] = {}
    with localcontext() as context:
        context.prec = 80
        for kind, column in PARTS.items():
            costs: dict[str, list[Decimal]] = {}
            for row in rows:
                of = costs.setdefault(str(row[column]), [_ZERO, _ZERO])
                of[0] += Decimal(row["cost_here"])
                of[1] += Decimal(row["cost_then"])
            each = [Part(name=name, cost_usd=now, past_usd=before) for name, (now, before) in costs.items()]
            days = max(1, len(past))
            found[kind] = sorted(each, key=lambda part: (part.past_usd / days - part.cost_usd, part.name))
        volumes = [
            Volume(
                requests=sum(int(row[f"requests_{side}"]) for row in rows),
                tokens=sum(int(row[f"tokens_{side}"]) for row in rows),
                cost_usd=sum((Decimal(row[f"cost_{side}"]) for row in rows), _ZERO),
            )
            for side in ("here", "then")
        ]
    return found, volumes[0], volumes[1]


def shares(*, first: date, until: date) -> list[ShareOfDay]:
    """Return the answered requests of each day and how many of them a frontier model answered. One query."""
    rows: Any = (
        _between(first, until)
        .filter(_ANSWERED)
        .values_list("day", "use_case_id", "use_case__name", "environment", "rules_version")
        .annotate(answered=Sum("requests"), on_frontier=Sum("requests", filter=_ON_FRONTIER, default=0))
        .order_by("day", "use_case_id", "environment", "rules_version")
    )
    return [
        ShareOfDay(
            day=day, use_case_id=use_case_id, use_case=use_case, environment=environment, rules_version=version,
            counted=Counted(int(answered), int(on_frontier)),
        )
        for day, use_case_id, use_case, environment, version, answered, on_frontier in rows
    ]  # fmt: skip


def frontier_rules(
    *, use_case_id: int, environment: str, before: Collection[date], after: Collection[date]
) -> tuple[list[RuleShare], CostPerRequest]:
    """Return which rules and reasons sent requests to frontier models, and what requests cost after. One query."""
    then, now = Q(day__in=list(before)), Q(day__in=list(after))
    rows = list(
        RollupDay.objects.filter(
            then | now, _ANSWERED, use_case_id=use_case_id, environment=environment, correction_of=0
        )
        .values("rule", "reason", "tier")
        .annotate(
            sum_before=Sum("requests", filter=then, default=0),
            sum_after=Sum("requests", filter=now, default=0),
            sum_fallback=Sum(BY_FALLBACK, filter=now, default=0),
            sum_priced=Sum(F("requests") - F("unpriced_requests"), filter=now, default=0),
            sum_cost=Sum("cost_usd", filter=now, default=_ZERO),
        )
        .order_by("rule", "reason", "tier")
    )

    def mean(on_frontier: bool) -> Decimal | None:
        ours = [row for row in rows if (row["tier"] == Tier.FRONTIER) == on_frontier]
        priced = sum(int(row["sum_priced"]) for row in ours)
        return sum((Decimal(row["sum_cost"]) for row in ours), _ZERO) / priced if priced > 0 else None

    found = [
        RuleShare(
            rule=row["rule"],
            reason=row["reason"],
            by_fallback=int(row["sum_fallback"]),
            before=int(row["sum_before"]),
            after=int(row["sum_after"]),
        )
        for row in rows
        if row["tier"] == Tier.FRONTIER
    ]
    return found, CostPerRequest(on_frontier=mean(True), elsewhere=mean(False))


def team_ids(*, use_case_id: int, first: date, until: date) -> list[int]:
    """Return the teams that a use case's calls were booked for. One query."""
    ours = _between(first, until).filter(use_case_id=use_case_id).exclude(team_id=UNASSIGNED_ID)
    return sorted(set(ours.order_by().values_list("team_id", flat=True).distinct()))


def unpriced(*, first: date, until: date) -> dict[date, UnpricedDay]:
    """Return the tokens of each day, and those without a price by offering. One query."""
    rows: Any = (
        _between(first, until)
        .values_list("day", "offering_id", "offering__name")
        .annotate(
            sum_tokens=Sum(TOKENS),
            sum_unpriced=Sum("unpriced_tokens"),
            waiting=Sum(F("unpriced_requests") - F("uncounted_requests")),
        )
        .order_by("day", "offering_id")
    )
    tokens: dict[date, int] = {}
    offerings: dict[date, list[UnpricedOf]] = {}
    for day, offering_id, offering, all_tokens, unpriced_tokens, waiting in rows:
        tokens[day] = tokens.get(day, 0) + int(all_tokens)
        of_day = offerings.setdefault(day, [])
        if unpriced_tokens > 0:
            of_day.append(
                UnpricedOf(
                    offering_id=offering_id,
                    offering=offering,
                    tokens=int(unpriced_tokens),
                    requests=max(0, int(waiting)),
                )
            )
    return {
        day: UnpricedDay(
            tokens=tokens[day],
            unpriced_tokens=sum(one.tokens for one in offerings[day]),
            offerings=sorted(offerings[day], key=lambda one: (-one.tokens, one.offering)),
        )
        for day in tokens
    }
