"""What the spend page can be filtered by."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Value

from catalog.models import Gateway, Model, Offering, Provider, Team, Tier, UseCase
from usage.models import Status

MOST_OFFERED = 300  # names of a kind that the filter lists


def names() -> dict[str, list[str]]:
    """Return the names that each filter knows, in order, `MOST_OFFERED` of each at most. One query."""
    tables: dict[str, Any] = {
        "use_case": UseCase, "model": Model, "team": Team, "provider": Provider, "gateway": Gateway,
        "offering": Offering,
    }  # fmt: skip
    found: dict[str, list[str]] = {kind: [] for kind in tables}
    first, *others = [_names(kind, table.objects.all()) for kind, table in tables.items()]
    for kind, name in first.union(*others, all=True):
        found[kind].append(name)
    for each in found.values():
        each.sort(key=str.casefold)
    return found | {
        "tier": [str(label) for label in Tier.labels],
        "status": [str(label) for label in Status.labels],
    }


def _names(kind: str, rows: Any) -> Any:
    return (
        rows.annotate(of_kind=Value(kind, output_field=CharField()), label=F("name"))
        .order_by("name")
        .values_list("of_kind", "label")[:MOST_OFFERED]
    )
