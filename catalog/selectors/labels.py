"""What a label of a use case or a team means: its own name in any case, else an alias."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from catalog.models import Team, TeamAlias, UseCase, UseCaseAlias
from catalog.rules import fold

_TABLES: dict[str, tuple[Any, Any]] = {"use_case": (UseCase, UseCaseAlias), "team": (Team, TeamAlias)}


class Meant(NamedTuple):
    id: int
    name: str


def meant(dimension: str, labels: Collection[str], *, at: datetime | None = None) -> dict[str, Meant]:
    """Return what each of these labels means, as far as anything does. `dimension` is use_case or team.

    Aliases are those in force at an instant. Without one they are those that hold without end, as a renamed team's old
    name does; of several, the last. One query, or two where a label is nobody's own name.
    """
    table, aliases = _TABLES[dimension]
    folded = {label: fold(label) for label in labels if "\0" not in label}  # PostgreSQL holds no such text
    own = table.objects.filter(folded__in=folded.values())
    found = {key: Meant(id_, name) for key, id_, name in own.values_list("folded", "id", "name")}
    missing = set(folded.values()) - found.keys()
    if missing:
        in_force = {"valid__endswith__isnull": True} if at is None else {"valid__contains": at}
        held = aliases.objects.filter(folded__in=missing, **in_force).order_by("id")
        for key, id_, name in held.values_list("folded", f"{dimension}_id", f"{dimension}__name"):
            found[key] = Meant(id_, name)
    return {label: found[key] for label, key in folded.items() if key in found}


def id_of(dimension: str, label: str, *, at: datetime | None = None) -> int | None:
    """Return the id of what a label means, as `meant` does; None where it means nothing."""
    found = meant(dimension, [label], at=at).get(label)
    return None if found is None else found.id
