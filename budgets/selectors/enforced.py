"""Budgets that gateways are held to, with an action and no trial: those used up, and the limits of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets import rules
from budgets.models import Counter, CounterState
from budgets.rules import Definition
from budgets.selectors import definitions
from catalog.models import TeamAlias, UseCaseAlias


@dataclass(frozen=True, kw_only=True)
class Exceeded:
    """A budget whose use has reached its limit. `match` says what it applies to, as a rules document writes it."""

    budget_id: int
    match: Mapping[str, Sequence[str]]  # dimensions and values; one counted in frontier tokens always names the tier
    action: str  # downgrade or block
    until: datetime  # when it ends by time alone: with the period, or where another limit begins that is not used up


def exceeded(*, at: datetime) -> list[Exceeded]:
    """Return the budgets whose present period's use has reached the limit in force, by id.

    A use case and a team are named by every label that means them at `at`: gateways compare labels and know no aliases.
    Two queries beside those of the definitions, two more where labels are in a scope. A counter that is still being
    built is not exceeded.
    """
    wanted = {id_: one for id_, one in definitions.current().by_id.items() if one.enforces}
    if not wanted:
        return []
    present = Counter.objects.filter(
        budget__in=wanted, period_start__lte=at, period_end__gt=at, state=CounterState.LIVE
    )
    found = []
    for budget_id, period_end, used in present.order_by("budget_id").values_list("budget_id", "period_end", "used"):
        definition = wanted[budget_id]
        limit = definition.limit_at(at)
        if limit is not None and used >= limit.amount:
            found.append((definition, _until(definition, at, period_end, used)))
    labels = _labels([definition for definition, _ in found], at)
    return [
        Exceeded(
            budget_id=definition.id, match=_match(definition, labels), action=definition.action, until=until
        )
        for definition, until in found
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Held:
    """A budget that gateways are held to and the limit in force, used up or not. `match` is as of `Exceeded`."""

    budget_id: int
    name: str
    match: Mapping[str, Sequence[str]]
    unit: str
    amount: Decimal
    period: str
    zone: str
    fiscal_start_month: int
    action: str  # downgrade or block


def limits(*, at: datetime) -> list[Held]:
    """Return the budgets that gateways are held to with their limits at an instant, by id.

    One without a limit at that time is left out. The queries of the definitions, two more where labels are in a scope.
    """
    wanted = [(one, one.limit_at(at)) for _, one in sorted(definitions.current().by_id.items()) if one.enforces]
    labels = _labels([definition for definition, _ in wanted], at)
    return [
        Held(
            budget_id=one.id, name=one.name, match=_match(one, labels), unit=one.unit, amount=limit.amount,
            period=one.period, zone=one.zone, fiscal_start_month=one.fiscal_start_month, action=one.action,
        )
        for one, limit in wanted
        if limit is not None
    ]  # fmt: skip


def _until(definition: Definition, at: datetime, period_end: datetime, used: Decimal) -> datetime:
    for edge in sorted(edge for edge in definition.edges if at < edge < period_end):
        limit = definition.limit_at(edge)
        if limit is None or used < limit.amount:
            return edge
    return period_end


def _match(definition: Definition, labels: Mapping[tuple[str, str], Sequence[str]]) -> dict[str, list[str]]:
    match = {
        dimension: sorted({label for value in values for label in (value, *labels.get((dimension, value), ()))})
        for dimension, values in sorted(definition.scope.items())
    }
    if definition.unit == rules.FRONTIER_TOKENS:
        match["tier"] = ["frontier"]
    return match


def _labels(wanted: Iterable[Definition], at: datetime) -> dict[tuple[str, str], list[str]]:
    names: dict[str, set[str]] = {"use_case": set(), "team": set()}
    for definition in wanted:
        for dimension, known in names.items():
            known.update(definition.scope.get(dimension, ()))
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    if names["use_case"]:
        aliases = UseCaseAlias.objects.filter(use_case__name__in=names["use_case"], valid__contains=at)
        for name, folded in aliases.values_list("use_case__name", "folded"):
            labels["use_case", name].append(folded)
    if names["team"]:
        of_teams = TeamAlias.objects.filter(team__name__in=names["team"], valid__contains=at)
        for name, folded in of_teams.values_list("team__name", "folded"):
            labels["team", name].append(folded)
    return labels
