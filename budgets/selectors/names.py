"""What the names in a scope are called now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from budgets.rules import TIERS
from catalog.models import Gateway, Model, Offering, Provider, Team, UseCase, UseCaseTeam
from catalog.rules import fold
from catalog.selectors import labels

_LABELLED: dict[str, Any] = {"use_case": UseCase, "team": Team}
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

    return {label: one.name for label, one in labels.meant(dimension, names).items()}


def known() -> dict[str, list[str]]:
    """Return what a scope may name, by dimension, for a form; tiers and tags are not in the catalogue. Six queries."""
    tables = {**_NAMES, **_LABELLED}
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
