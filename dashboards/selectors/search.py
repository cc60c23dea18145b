"""Finds whatever has a name and a page: use cases, teams, models, budgets, channels, gateways, rules and so on, and an
event by the whole of its id.

`KINDS` is the registry. What is to be found besides gets a function that takes the text and how many hits are wanted
and answers with them, best first, in one query, and a line there with the action of `core/access.py` that its page
asks for.

# Note [Best first]
A name that is the text comes before one that begins with it, and that before one that holds it somewhere; then models
that were ever used before those that are only listed, then the shorter name, then the alphabet. Upper and lower case
are the same, and `%`, `_` and `\\` are characters like others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, Exists, F, IntegerField, Min, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Length, Lower
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from alerts.models import Alert, Channel
from budgets.models import Budget
from catalog.models import ClaimState, Contract, Gateway, Model, Offering, Price, Provider, Team, UseCase
from dashboards.models import SavedView
from routing.models import Proposal, Version
from routing.models.proposals import ProposalState
from routing.rules import document
from usage.formats.labels import MAX_ID
from usage.models import RollupDay
from usage.selectors import stories
from usage.services.once import digest_of

LONGEST = MAX_ID  # an event is found by the whole of its id
MOST_ALERTS = 2000  # the newest, whose titles are looked through
EXACT, PREFIX, INSIDE = range(3)
_PRICE = re.compile(r"price[/ #]([1-9][0-9]{0,17})", re.ASCII)


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


def meant(found: Sequence[Found]) -> Hit | None:
    """Return the one thing whose name, or id, is the text itself; None where there is none or another of that name."""
    exact = [hit for one in found for hit in one.hits if hit.rank == EXACT]
    return exact[0] if len(exact) == 1 else None


def _matching(
    rows: QuerySet[Any], text: str, most: int, *, also: Sequence[str] = (), used: Exists | None = None
) -> Sequence[Any]:
    """Return rows whose name, or a column of `also`, holds the text, with their `rank`. See Note [Best first].

    `used` says of which rows there are sums; those come before others of their rank.
    """
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
    first = [] if used is None else [used.desc()]
    return list(found.order_by("rank", *first, Length("name"), Lower("name"), "id")[:most])


def _address(name: str, *arguments: Any) -> str:
    """Return the address of a page, or nothing where this console has no such page."""
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def _spend(**filters: str) -> str:
    return f"{reverse('spend')}?{urlencode(filters)}"


def events(text: str, most: int) -> list[Hit]:
    """Find events by the whole of their id, as long as it is known; an id that two sources have finds both."""
    return [
        Hit(
            name=text,
            url=reverse("event", args=[one.source.id, one.digest]),
            note=_joined(one.source.gateway, "" if one.source.live else "an import"),
            rank=EXACT,
        )
        for one in stories.named(digest=digest_of(text))[:most]
    ]


def use_cases(text: str, most: int) -> list[Hit]:
    return [
        Hit(
            name=row.name, url=reverse("use-case", args=[row.pk]), note=_joined(row.title, _waiting(row)), rank=row.rank
        )
        for row in _matching(UseCase.objects.all(), text, most, also=("title",))
    ]


def teams(text: str, most: int) -> list[Hit]:
    return [
        Hit(name=row.name, url=reverse("team", args=[row.pk]), note=_waiting(row), rank=row.rank)
        for row in _matching(Team.objects.all(), text, most)
    ]


def models(text: str, most: int) -> list[Hit]:
    used = Exists(RollupDay.objects.filter(offering__model=OuterRef("pk")))
    return [
        Hit(name=row.name, url=_address("model", row.name) or _spend(model=row.name), note=row.lab, rank=row.rank)
        for row in _matching(Model.objects.all(), text, most, used=used)
    ]


def offerings(text: str, most: int) -> list[Hit]:
    """Find models at providers: prices, regions and tiers are theirs."""
    used = Exists(RollupDay.objects.filter(offering=OuterRef("pk")))
    return [
        Hit(
            name=row.name,
            url=_address("offering", row.name) or _spend(offering=row.name),
            note=_joined("retired" if row.retired_at else "", _waiting(row)),
            rank=row.rank,
        )
        for row in _matching(Offering.objects.all(), text, most, used=used)
    ]


def providers(text: str, most: int) -> list[Hit]:
    return [
        Hit(name=row.name, url=_spend(provider=row.name), note=row.title, rank=row.rank)
        for row in _matching(Provider.objects.all(), text, most, also=("title",))
    ]


def prices(text: str, most: int) -> list[Hit]:
    """Find a price by the number that files and exports name it by: `price/200`. No query where the text is none."""
    named = _PRICE.fullmatch(text.casefold())
    if named is None:
        return []
    found = Price.objects.filter(pk=int(named[1])).select_related("series__model", "series__provider")
    return [
        Hit(
            name=f"price/{row.pk}",
            url=f"{_address('offering', offering) or reverse('prices')}#price-{row.pk}",
            note=f"{row.series.get_meter_display()} of {offering}, from {row.source}",
            rank=EXACT,
        )
        for row in found[:most]
        for offering in [f"{row.series.model.name}@{row.series.provider.name}"]
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
        for row in _matching(Budget.objects.filter(canary=False), text, most)
    ]


def channels(text: str, most: int) -> list[Hit]:
    return [
        Hit(
            name=row.name,
            url=reverse("channel", args=[row.pk]),
            note=_joined(row.kind.replace("_", " "), "retired" if row.retired_at else ""),
            rank=row.rank,
        )
        for row in _matching(Channel.objects.defer("secret"), text, most)
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
                rank = min(_rank(name, folded) for name in names)
                url = f"{reverse('rules-environment', args=[environment])}#rule-{place}"
                note = _joined(rule.get("title") or "", environment)
                found.append(Hit(name=rule["id"], url=url, note=note, rank=rank))
    return sorted(found, key=lambda hit: (hit.rank, len(hit.name), hit.name))[:most]


def versions(text: str, most: int) -> list[Hit]:
    """Find published versions by title, or by number: `42`, `version 42`."""
    number = text.casefold().removeprefix("version").strip()
    asked = Q(title__icontains=text)
    if number.isascii() and number.isdecimal() and len(number) < 10:
        asked |= Q(number=int(number))
    rows = Version.objects.filter(asked).select_related("environment").defer("canonical")
    return [
        Hit(
            name=row.title or f"Version {row.number}",
            url=reverse("rules-version", args=[row.environment.name, row.number]),
            note=f"version {row.number}, {row.environment.name}",
            rank=EXACT if str(row.number) == number else _rank(row.title, text),
        )
        for row in rows.order_by("-published_at", "-id")[:most]
    ]


def drafts(text: str, most: int) -> list[Hit]:
    """Find what is on its way to become a version, by title."""
    open_states = (ProposalState.DRAFT, ProposalState.IN_REVIEW, ProposalState.APPROVED)
    rows = Proposal.objects.filter(title__icontains=text, state__in=open_states).select_related("environment")
    return [
        Hit(
            name=row.title,
            url=reverse("rules-draft", args=[row.environment.name, row.pk]),
            note=_joined(str(row.get_state_display()), row.environment.name),
            rank=_rank(row.title, text),
        )
        for row in rows.defer("content").order_by("-id")[:most]
    ]


def alerts(text: str, most: int) -> list[Hit]:
    """Find alerts by title, the newest first, among the newest `MOST_ALERTS`."""
    newest = Alert.objects.order_by("-created_at", "-id").values("pk")[:MOST_ALERTS]
    rows = Alert.objects.filter(pk__in=newest, title__icontains=text).order_by("-created_at", "-id")
    return [
        Hit(
            name=row.title,
            url=reverse("alert", args=[row.pk]),
            note=_joined(str(row.get_state_display()), f"{timezone.localtime(row.created_at):%-d %b %Y}"),
            rank=_rank(row.title, text),
        )
        for row in rows.only("title", "state", "created_at")[:most]
    ]


def views(text: str, most: int) -> list[Hit]:
    """Find saved views of pages that are shared with everybody."""
    return [
        Hit(name=row.name, url=f"{reverse(row.page)}?{row.query}", note=str(row.get_page_display()), rank=row.rank)
        for row in _matching(SavedView.objects.filter(shared=True), text, most)
    ]


def _rank(name: str, text: str) -> int:
    name, text = name.casefold(), text.casefold()
    return EXACT if name == text else PREFIX if name.startswith(text) else INSIDE


def _waiting(row: UseCase | Team | Offering) -> str:
    return "waits for an owner" if row.state == ClaimState.WAITING else ""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


KINDS = (
    Kind(title="Events", icon="search", action="view", find=events),
    Kind(title="Use cases", icon="spend", action="view", find=use_cases),
    Kind(title="Teams", icon="user", action="view", find=teams),
    Kind(title="Models", icon="catalog", action="view", find=models),
    Kind(title="Offerings", icon="coins", action="view", find=offerings),
    Kind(title="Providers", icon="external", action="view", find=providers),
    Kind(title="Prices", icon="coins", action="view", find=prices),
    Kind(title="Contracts", icon="document", action="view", find=contracts),
    Kind(title="Budgets", icon="budgets", action="view", find=budgets),
    Kind(title="Channels", icon="mail", action="view", find=channels),
    Kind(title="Gateways", icon="gateways", action="view", find=gateways),
    Kind(title="Rules", icon="rules", action="rules.read", find=rules),
    Kind(title="Drafts of rules", icon="document", action="rules.read", find=drafts),
    Kind(title="Versions of rules", icon="rules", action="rules.read", find=versions),
    Kind(title="Saved views", icon="chart", action="view", find=views),
    Kind(title="Alerts", icon="alerts", action="view", find=alerts),
)
