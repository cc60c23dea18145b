"""Finds whatever has a name and a page: use cases, teams, models, offerings, providers, budgets, gateways, rules.

`KINDS` is the registry. What is to be found besides gets a function that takes the text and how many hits are wanted
and answers with them, best first, in one query, and a line there with the action of `core/access.py` that its page
asks for.

# Note [Best first]
A name that is the text comes before one that begins with it, and that before one that holds it somewhere; then the
shorter name, then the alphabet. Upper and lower case are the same, and `%`, `_` and `\\` are characters like others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, F, IntegerField, Min, Q, QuerySet, Value, When
from django.db.models.functions import Length, Lower
from django.urls import NoReverseMatch, reverse

from budgets.models import Budget
from catalog.models import ClaimState, Contract, Gateway, Model, Offering, Provider, Team, UseCase
from routing.models import Version
from routing.rules import document

LONGEST = 100
EXACT, PREFIX, INSIDE = range(3)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One thing that was found, the page that shows it, and what tells it from others of a like name."""

    name: str
    url: str
    note: str
    rank: int  # EXACT, PREFIX or INSIDE


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of thing that can be found; whoever may not do `action` does not find it."""

    title: str
    icon: str
    action: str
    find: Callable[[str, int], Sequence[Hit]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The best hits of a kind; `more` says that there are others."""

    kind: Kind
    hits: Sequence[Hit]
    more: bool


def find(*, text: str, may: Callable[[str], bool], most: int) -> list[Found]:
    """Return what has the text in its name, `most` of each kind at most, kinds with the best hit first.

    One query per kind that the person may see. Text without anything in it finds nothing, in no query.
    """
    text = text.strip()
    if not text:
        return []
    found = []
    for kind in KINDS:
        if may(kind.action):
            hits = kind.find(text, most + 1)
            if hits:
                found.append(Found(kind=kind, hits=hits[:most], more=len(hits) > most))
    return sorted(found, key=lambda one: one.hits[0].rank)  # stable: among equals the order of KINDS


def _matching(rows: QuerySet[Any], text: str, most: int, *, also: Sequence[str] = ()) -> Sequence[Any]:
    """Return rows whose name, or a column of `also`, holds the text, with their `rank`. See Note [Best first]."""
    columns = ("name", *also)

    def any_of(lookup: str) -> Q:
        condition = Q()
        for column in columns:
            condition |= Q(**{f"{column}__{lookup}": text})
        return condition

    rank = Case(
        When(any_of("iexact"), then=Value(EXACT)),
        When(any_of("istartswith"), then=Value(PREFIX)),
        default=Value(INSIDE),
        output_field=IntegerField(),
    )
    found = rows.filter(any_of("icontains")).annotate(rank=rank)
    return list(found.order_by("rank", Length("name"), Lower("name"), "id")[:most])


def _address(name: str, *arguments: Any) -> str:
    """Return the address of a page, or nothing where this console has no such page."""
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def _spend(**filters: str) -> str:
    return f"{reverse('spend')}?{urlencode(filters)}"


def use_cases(text: str, most: int) -> list[Hit]:
    return [
        Hit(name=row.name, url=_spend(use_case=row.name), note=_joined(row.title, _waiting(row)), rank=row.rank)
        for row in _matching(UseCase.objects.all(), text, most, also=("title",))
    ]


def teams(text: str, most: int) -> list[Hit]:
    return [
        Hit(name=row.name, url=_spend(team=row.name), note=_waiting(row), rank=row.rank)
        for row in _matching(Team.objects.all(), text, most)
    ]


def models(text: str, most: int) -> list[Hit]:
    return [
        Hit(name=row.name, url=_spend(model=row.name), note=row.lab, rank=row.rank)
        for row in _matching(Model.objects.all(), text, most)
    ]


def offerings(text: str, most: int) -> list[Hit]:
    """Find models at providers: prices, regions and tiers are theirs."""
    return [
        Hit(
            name=row.name,
            url=_address("offering", row.name) or _spend(offering=row.name),
            note=_joined("retired" if row.retired_at else "", _waiting(row)),
            rank=row.rank,
        )
        for row in _matching(Offering.objects.all(), text, most)
    ]


def providers(text: str, most: int) -> list[Hit]:
    return [
        Hit(name=row.name, url=_spend(provider=row.name), note=row.title, rank=row.rank)
        for row in _matching(Provider.objects.all(), text, most, also=("title",))
    ]


def contracts(text: str, most: int) -> list[Hit]:
    """Find contracts about prices by their name; a contract has a row for each of its terms, and the first stands."""
    first = Contract.objects.order_by().values("name").annotate(first=Min("id")).values("first")
    return [
        Hit(name=row.name, url=reverse("prices-contract", args=[row.pk]), note="", rank=row.rank)
        for row in _matching(Contract.objects.filter(pk__in=first), text, most)
    ]


def budgets(text: str, most: int) -> list[Hit]:
    return [
        Hit(
            name=row.name,
            url=reverse("budget", args=[row.pk]),
            note=_joined(f"per {row.period}", "retired" if row.retired_at else ""),
            rank=row.rank,
        )
        for row in _matching(Budget.objects.all(), text, most)
    ]


def gateways(text: str, most: int) -> list[Hit]:
    return [
        Hit(
            name=row.name,
            url=_address("gateway", row.pk) or _address("gateways") or _spend(gateway=row.name),
            note=_joined(row.kind, "retired" if row.retired_at else ""),
            rank=row.rank,
        )
        for row in _matching(Gateway.objects.all(), text, most)
    ]


def rules(text: str, most: int) -> list[Hit]:
    """Find rules of the versions in force by id or title; what is only in a draft or was replaced is not found."""
    folded = text.casefold()
    found = []
    in_force = Version.objects.filter(environment__live_version=F("number")).select_related("environment")
    for version in in_force.order_by("environment__name"):
        environment = version.environment.name
        for place, rule in enumerate(document.parse(bytes(version.canonical))["rules"], start=1):
            names = [name.casefold() for name in (rule["id"], rule.get("title") or "")]
            if any(folded in name for name in names):
                rank = min(EXACT if name == folded else PREFIX if name.startswith(folded) else INSIDE for name in names)
                url = f"{reverse('rules-environment', args=[environment])}#rule-{place}"
                note = _joined(rule.get("title") or "", environment)
                found.append(Hit(name=rule["id"], url=url, note=note, rank=rank))
    return sorted(found, key=lambda hit: (hit.rank, len(hit.name), hit.name))[:most]


def _waiting(row: UseCase | Team | Offering) -> str:
    return "waits for an owner" if row.state == ClaimState.WAITING else ""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


KINDS = (
    Kind(title="Use cases", icon="spend", action="view", find=use_cases),
    Kind(title="Teams", icon="user", action="view", find=teams),
    Kind(title="Models", icon="catalog", action="view", find=models),
    Kind(title="Offerings", icon="coins", action="view", find=offerings),
    Kind(title="Providers", icon="external", action="view", find=providers),
    Kind(title="Contracts", icon="document", action="view", find=contracts),
    Kind(title="Budgets", icon="budgets", action="view", find=budgets),
    Kind(title="Gateways", icon="gateways", action="view", find=gateways),
    Kind(title="Rules", icon="rules", action="rules.read", find=rules),
)
