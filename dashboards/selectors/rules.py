"""What the pages of rules show, put together from what `routing`, `budgets` and `catalog` answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets.models import Budget
from budgets.selectors import enforced
from catalog.models import Gateway, Model, Offering, Provider, Team, UseCase
from routing.selectors import catalogue, environments, proposals, switches, versions
from routing.selectors.environments import EnvironmentRow
from routing.selectors.proposals import ProposalRow
from routing.selectors.switches import SwitchRow
from routing.selectors.versions import VersionDetail

MOST_PROPOSALS = 20
_TIERS = ("frontier", "middle", "economy", "self-hosted", "")


@dataclass(frozen=True, kw_only=True)
class OfferingChoice:
    """An offering that rules may send to: priced and not retired. Prices are USD per 1M at list."""

    name: str
    tier: str  # empty: not classified
    input_usd: Decimal | None
    output_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the editor offers: offerings by tier, the cheapest first, and the use cases that events have named."""

    offerings: Sequence[OfferingChoice]
    use_cases: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class HeldBudget:
    """A budget that gateways are held to now because it is used up."""

    id: int
    name: str
    match: Mapping[str, Sequence[str]]
    action: str  # downgrade or block
    until: datetime


@dataclass(frozen=True, kw_only=True)
class InForce:
    """An environment: its version in force, what gateways are held to besides, and what is on its way."""

    environment: EnvironmentRow
    environments: Sequence[EnvironmentRow]
    version: VersionDetail | None
    proposals: Sequence[ProposalRow]
    budgets: Sequence[HeldBudget]
    switches: Sequence[SwitchRow]


def in_force(*, environment: str, at: datetime) -> InForce | None:
    """Return what is in force in an environment, None where there is none. Ten queries, more after a change."""
    known = environments.listed()
    row = next((one for one in known if one.name == environment), None)
    if row is None:
        return None
    return InForce(
        environment=row,
        environments=known,
        version=versions.one(environment=row.name, number=row.live_version) if row.live_version else None,
        proposals=proposals.newest(environment=environment, states=proposals.OPEN, limit=MOST_PROPOSALS),
        budgets=held_budgets(at=at),
        switches=switches.in_force(at=at),
    )


def held_budgets(*, at: datetime) -> list[HeldBudget]:
    """Return the budgets that gateways are held to at an instant, by number. Up to six queries."""
    exceeded = enforced.exceeded(at=at)
    names = dict(Budget.objects.filter(pk__in=[one.budget_id for one in exceeded]).values_list("pk", "name"))
    return [
        HeldBudget(
            id=one.budget_id,
            name=names[one.budget_id],
            match=one.match,
            action=one.action,
            until=one.until,
        )
        for one in exceeded
    ]


def choices(*, at: datetime) -> Choices:
    """Return what the editor of a rule offers. Four queries, however much there is."""
    names = UseCase.objects.order_by("name").values_list("name", flat=True)
    return Choices(offerings=offerings(at=at), use_cases=list(names))


def offerings(*, at: datetime) -> list[OfferingChoice]:
    """Return the offerings that rules may send to, by tier, the cheapest first. Three queries."""
    known = catalogue.known(list(Offering.objects.values_list("name", flat=True)), at=at)
    found = [
        OfferingChoice(
            name=name,
            tier=facts.tier or "",
            input_usd=known.usd_per_1m[name].get("uncached_input"),
            output_usd=known.usd_per_1m[name].get("output"),
        )
        for name, facts in known.facts.items()
        if facts.priced and not facts.retired
    ]
    return sorted(found, key=lambda one: (_TIERS.index(one.tier), one.input_usd or Decimal(0), one.name))


def names_to_switch(*, environment: str, at: datetime) -> dict[str, list[tuple[str, str]]]:
    """Return what can be turned off, kind and name, under headings: what an environment's rules send to comes first.

    Retired offerings are left out. Five queries.
    """
    live = versions.content_of(environment=environment, number=versions.live_number(environment=environment))
    alive = Offering.objects.exclude(retired_at__lte=at).order_by("name").values_list("name", flat=True)
    offered = [("offering", name) for name in alive]
    used = [one for one in offered if one[1] in live.get("offerings", {})]
    return {
        f"Of the rules in {environment}": used,
        "Providers": [("provider", name) for name in Provider.objects.order_by("name").values_list("name", flat=True)],
        "Models": [("model", name) for name in Model.objects.order_by("name").values_list("name", flat=True)],
        "Other offerings" if used else "Offerings": [one for one in offered if one not in set(used)],
    }


def names_to_try() -> dict[str, list[str]]:
    """Return the names that a request to try may carry, by field. Three queries."""
    return {
        "use_case": list(UseCase.objects.order_by("name").values_list("name", flat=True)),
        "team": list(Team.objects.order_by("name").values_list("name", flat=True)),
        "gateway": list(Gateway.objects.order_by("name").values_list("name", flat=True)),
    }
