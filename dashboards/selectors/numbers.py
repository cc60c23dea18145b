"""Numbers of what charts draw by name, so that a name looks the same in every chart (`dashboards.charts.looks`).

# Note [What is used comes first]
The catalogue comes with far more models than a house uses, and ten looks are plain. So models, offerings and providers
are numbered by the first day of their use, those of one day by id, and what was never used comes last. That day never
moves, save when events of an earlier time are imported. Each is one look into the index of `rollup_day` by offering.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.models import Model as Table

from catalog.models import Gateway, Model, Offering, Provider, Team, UseCase

# The first day of each offering's use, null where it never was.
_FIRST_DAYS = (
    "SELECT id, model_id, provider_id, (SELECT min(day) FROM rollup_day WHERE offering_id = offering.id) AS day "
    "FROM catalog_offering offering"
)
# How a row of a kind finds its offerings; kinds that are made on sight or by people are in order already.
_OFFERINGS = {"model": "model_id", "offering": "id", "provider": "provider_id"}
TABLES: dict[str, type[Table]] = {
    "model": Model,
    "offering": Offering,
    "provider": Provider,
    "use_case": UseCase,
    "team": Team,
    "gateway": Gateway,
}


def numbers(kind: str, names: Iterable[str] | None = None) -> dict[str, int]:
    """Return the place of each name among all of its kind, the first made or used being 1. One query.

    Places and not ids: an id is used up by each insert that comes to nothing, so a house of eight models may have ids
    in the hundreds, and all of them would be drawn with patterns. Rows of the catalogue are never deleted, so a place
    stays; see Note [What is used comes first]. `names` leaves the others out, for kinds with thousands. A kind without
    a table (tier, task, environment and others) has no numbers, and asks nothing.
    """
    if kind not in TABLES:
        return {}
    table = connection.ops.quote_name(TABLES[kind]._meta.db_table)
    asked = f"SELECT name, row_number() OVER (ORDER BY id) FROM {table}"  # a table of ours
    if kind in _OFFERINGS:
        asked = (
            f"SELECT name, row_number() OVER (ORDER BY min(used.day) NULLS LAST, {table}.id) FROM {table} "
            f"LEFT JOIN ({_FIRST_DAYS}) used ON used.{_OFFERINGS[kind]} = {table}.id GROUP BY {table}.id"
        )
    with connection.cursor() as cursor:
        if names is None:
            cursor.execute(asked)
        else:
            cursor.execute(f"SELECT * FROM ({asked}) AS numbered (name, place) WHERE name = ANY(%s)", [list(names)])
        return dict(cursor.fetchall())
