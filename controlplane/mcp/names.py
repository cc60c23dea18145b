"""Names as a person or a model gives them: found as the catalogue has them, or refused with what was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from budgets.rules import TIERS
from budgets.selectors import names as catalogue_names
from catalog.models import Alias, Gateway, Model, Offering, Provider, Team, UseCase, UseCaseTeam
from catalog.rules import suggesting
from core.access import Caller
from core.errors import NotFound
from routing.selectors import environments

_WORDS = {"use_case": "use case"}
_TABLES: dict[str, Any] = {
    "use_case": UseCase, "team": Team, "model": Model, "offering": Offering, "provider": Provider, "gateway": Gateway,
}  # fmt: skip
_MOST_NAMED = 10
_MOST_LOOKED_THROUGH = 5000


class UnknownName(NotFound):
    """Nobody knows this name; the sentence says what it may mean, or which there are."""


def known(dimension: str, given: Collection[str]) -> list[str]:
    """Return names of a dimension (use_case, team, model, offering, provider, gateway, tier) as the catalogue has them.

    Labels of use cases and teams are found folded and by their aliases. One query, or two.

    Raises:
        UnknownName: one is not known.
    """
    found = catalogue_names.resolved(dimension, given)
    for name in given:
        if name not in found:
            raise _unknown(dimension, name)
    return [found[name] for name in given]


def one(dimension: str, given: str) -> str:
    """Return one name, as `known` does."""
    return known(dimension, [given])[0]


def team_of(use_case: str, *, at: datetime) -> str | None:
    """Return the team that a use case belongs to at an instant. One query."""
    held = UseCaseTeam.objects.filter(use_case__name=use_case, valid__contains=at)
    return held.values_list("team__name", flat=True).first()


def offering(given: str, *, at: datetime) -> str:
    """Return the offering that a model's name means: `model@provider`, a model's default, a gateway's name for it.

    Up to three queries.

    Raises:
        UnknownName: nobody knows it.
    """
    name = given.strip().lower()
    found = (
        Offering.objects.filter(name__iexact=name).values_list("name", flat=True).first()
        or Model.objects.filter(name__iexact=name, default_offering__isnull=False)
        .values_list("default_offering__name", flat=True)
        .first()
        or Alias.objects.filter(name=name, valid__contains=at).values_list("offering__name", flat=True).first()
    )
    if found is None:
        raise _unknown("offering", given)
    return str(found)


def environment(given: str | None, caller: Caller) -> str:
    """Return an environment that has or may get rules, the key's own where none is given. Two queries.

    Raises:
        UnknownName: there is none of this name.
    """
    given = given or caller.environment or environments.USUAL
    listed = [row.name for row in environments.listed()]
    if given not in listed:
        raise UnknownName(f"There is no environment {given!r}. There are: {_quoted(listed)}.")
    return given


def _unknown(dimension: str, given: str) -> UnknownName:
    table, word = _TABLES.get(dimension), _WORDS.get(dimension, dimension)
    if table is None:
        return UnknownName(f"There is no {word} {given!r}. There are: {', '.join(TIERS)}.")
    listed = dict(table.objects.order_by("name").values_list("name", "id")[:_MOST_LOOKED_THROUGH])
    suggest = suggesting.offering if dimension in ("offering", "model") else suggesting.label
    meant = suggest(given, listed)
    sentence = f"Nobody knows the {word} {given!r}."
    if meant is not None:
        return UnknownName(f"{sentence} Did you mean {meant.name!r}?")
    more = f", and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return UnknownName(
        f"{sentence} Known are: {_quoted(listed)}{more}." if listed else f"{sentence} None are known yet."
    )


def _quoted(names: Iterable[str]) -> str:
    """Return the first of these names, quoted: whoever reports usage names use cases, and a model reads this."""
    return ", ".join(map(repr, list(names)[:_MOST_NAMED]))
