"""What the names in a scope are called now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from budgets.rules import TIERS
from catalog.models import Gateway, Model, Offering, Provider, Team, TeamAlias, UseCase, UseCaseAlias, UseCaseTeam
from catalog.rules import fold

_LABELS: dict[str, tuple[Any, Any, str]] = {
    "use_case": (UseCase, UseCaseAlias, "use_case__name"),
    "team": (Team, TeamAlias, "team__name"),
}
_NAMES: dict[str, Any] = {"model": Model, "offering": Offering, "provider": Provider, "gateway": Gateway}


def resolved(dimension: str, names: Collection[str]) -> dict[str, str]:
    """Return the catalogue's name for each of these that it knows.

    Use cases and teams are compared folded, and go by their aliases too: a team that got another name is still meant by
    the old one. One query, or two for such labels that are not anybody's own name.
    """
    if dimension == "tier":
        return {name: name for name in names if name in TIERS}
    if dimension in _NAMES:
        known = set(
            _NAMES[dimension].objects.filter(name__in=[one.strip() for one in names]).values_list("name", flat=True)
        )
        return {name: name.strip() for name in names if name.strip() in known}

    table, aliases, name_of = _LABELS[dimension]
    folded = {name: fold(name) for name in names}
    found = dict(table.objects.filter(folded__in=folded.values()).values_list("folded", "name"))
    missing = set(folded.values()) - found.keys()
    if missing:
        # Those that hold without end; of an alias that was given to several one after the other, the last.
        open_ended = aliases.objects.filter(folded__in=missing, valid__endswith__isnull=True)
        found |= dict(open_ended.order_by("id").values_list("folded", name_of))
    return {name: found[key] for name, key in folded.items() if key in found}


def known() -> dict[str, list[str]]:
    """Return what a scope may name, by dimension, for a form; tiers and tags are not in the catalogue. Six queries."""
    tables = {**_NAMES, **{dimension: table for dimension, (table, _, _) in _LABELS.items()}}
    return {
        dimension: list(table.objects.order_by("name").values_list("name", flat=True))
        for dimension, table in tables.items()
    }


def team_ids(scope: Mapping[str, Iterable[str]], *, at: datetime) -> list[int]:
    """Return the teams a budget is about: those it names, and those that answer for its use cases. Two queries."""
    found: set[int] = set()
    if teams := scope.get("team"):
        found |= set(Team.objects.filter(folded__in=map(fold, teams)).values_list("id", flat=True))
    if use_cases := scope.get("use_case"):
        answering = UseCaseTeam.objects.filter(use_case__folded__in=map(fold, use_cases), valid__contains=at)
        found |= set(answering.values_list("team_id", flat=True))
    return sorted(found)
