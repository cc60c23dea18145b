"""Where traffic went, as pages about routing ask: sums of days from `rollup_day`. `routing_flows` has the page's reads.

Days are the organisation's, ranges are half-open [first, until). A request is an attempt as a gateway reported it; an
answered one has the status ok. One that was answered by a fallback has a fallback index above 0, or the reason
`fallback` where a gateway reports no index. Tokens and spend are those of answered requests. Sums go by `booked_at`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Case, F, Max, Min, Q, QuerySet, Sum, When

from catalog.models import Tier
from usage.models import RollupDay, Status
from usage.selectors.drivers import INPUT, OUTPUT

FALLBACK = "fallback"  # the reason
_ANSWERED = Q(status=Status.OK)
BY_FALLBACK = Case(When(reason=FALLBACK, then=F("requests")), default=F("fallback_requests"))
TIERS: dict[int, str] = {number: str(label) for number, label in Tier.choices}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which entries are asked about; an empty environment, no use case and no team are all of them."""

    first: date
    until: date
    environment: str = ""
    use_case_id: int | None = None
    team_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Measures of answered requests."""

    answered: int
    tokens: int
    cost_usd: Decimal
    by_fallback: int  # of those answered


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSums(Served):
    """What one rule of one version did in a tier for a reason. Empty texts and version 0: not reported."""

    environment: str
    rules_version: int
    rule: str
    reason: str
    tier: str
    first_choices: int  # attempts that were no fallback, whatever became of them
    first_day: date
    last_day: date


def _added(columns: Sequence[str]) -> Any:
    result: Any = F(columns[0])
    for name in columns[1:]:
        result = result + F(name)
    return result


TOKENS = _added((*INPUT, *OUTPUT))
# Named apart from the columns: Django would take a name that is a column's for the column in what follows.
_SERVED = {
    "sum_answered": Sum("requests", filter=_ANSWERED, default=0),
    "sum_tokens": Sum(TOKENS, filter=_ANSWERED, default=0),
    "sum_cost": Sum("cost_usd", filter=_ANSWERED, default=Decimal(0)),
    "sum_by_fallback": Sum(BY_FALLBACK, filter=_ANSWERED, default=0),
}


def _served(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "answered": int(row["sum_answered"]),
        "tokens": int(row["sum_tokens"]),
        "cost_usd": row["sum_cost"],
        "by_fallback": int(row["sum_by_fallback"]),
    }


def _in(scope: Scope) -> QuerySet[RollupDay]:
    rows = RollupDay.objects.filter(day__gte=scope.first, day__lt=scope.until)
    if scope.environment:
        rows = rows.filter(environment=scope.environment)
    if scope.use_case_id is not None:
        rows = rows.filter(use_case_id=scope.use_case_id)
    if scope.team_id is not None:
        rows = rows.filter(team_id=scope.team_id)
    return rows


def rules(scope: Scope) -> list[RuleSums]:
    """Return what each rule of each version did, by environment, version and rule. One query."""
    rows: Any = (
        _in(scope)
        .values("environment", "rules_version", "rule", "reason", "tier")
        .annotate(**_SERVED, first_choices=Sum(F("requests") - BY_FALLBACK), first_day=Min("day"), last_day=Max("day"))
        .order_by("environment", "rules_version", "rule", "reason", "tier")
    )
    return [
        RuleSums(
            environment=row["environment"],
            rules_version=row["rules_version"],
            rule=row["rule"],
            reason=row["reason"],
            tier=TIERS[row["tier"]],
            first_choices=int(row["first_choices"]),
            first_day=row["first_day"],
            last_day=row["last_day"],
            **_served(row),
        )
        for row in rows
    ]


def last_fired(*, rules: Collection[str], since: date, until: date) -> dict[tuple[str, str], date]:
    """Return the last day in [since, until) on which a request named each of these rules, by environment and rule.

    One query, none for no rules.
    """
    if not rules:
        return {}
    rows: Any = (
        RollupDay.objects.filter(day__gte=since, day__lt=until, rule__in=rules, requests__gt=0)
        .values("environment", "rule")
        .annotate(last_day=Max("day"))
    )
    return {(row["environment"], row["rule"]): row["last_day"] for row in rows}
