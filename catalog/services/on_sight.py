"""Rows that booking makes for names it has not met: they wait for an owner, and nothing an event says is lost.

All of it takes part in the booking's transaction. Names come sorted, so that two bookings that meet the same ones wait
for each other instead of deadlocking. The ids may be cached only once that transaction has committed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import connection

from catalog.rules import UNKNOWN, clean_name, offering_name

# A gateway that writes a request id where a use case belongs would fill the catalogue: past this many waiting rows a
# new name counts as none.
MOST_WAITING = 5000

_LABELLED = {"use_case": "catalog_usecase", "team": "catalog_team"}
_COLUMNS = {"use_case": ", title, owner, data_class", "team": ""}
_VALUES = {"use_case": ", '', '', ''", "team": ""}


def _room(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE state = 'waiting'")
        row = cursor.fetchone()
    return max(0, MOST_WAITING - int(row[0])) if row else 0


def labels(*, kind: str, names: Mapping[str, str], at: datetime) -> dict[str, int]:
    """Make use cases (or teams) and return ids by folded label; `names` gives each label as first written.

    Labels for which there is no room are left out: their events belong to `unassigned`.
    """
    table = _LABELLED[kind]
    wanted = dict(sorted(names.items())[: _room(table)])
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (name, folded, state, first_seen_at{_COLUMNS[kind]}) "
            f"SELECT n, f, 'waiting', %s{_VALUES[kind]} FROM unnest(%s::text[], %s::text[]) AS t(n, f) "
            "ON CONFLICT (folded) DO NOTHING",
            [at, list(wanted.values()), list(wanted)],
        )
        cursor.execute(f"SELECT folded, id FROM {table} WHERE folded = ANY(%s)", [list(wanted)])
        return {str(folded): int(id_) for folded, id_ in cursor.fetchall()}


def offerings(*, names: Collection[str], at: datetime) -> dict[str, int]:
    """Make offerings, with model and provider where these are new too, and return ids by name in lower case.

    Past `MOST_WAITING`, new names share the offering `unknown@unknown`.
    """
    wanted = {name.lower(): name for name in names}
    room = _room("catalog_offering")
    made = sorted(wanted)[:room] if len(wanted) > room else sorted(wanted)
    overflow = [name for name in wanted if name not in set(made)]
    nowhere = offering_name(UNKNOWN, UNKNOWN)
    if overflow and nowhere not in made:
        made.append(nowhere)
    pairs = sorted((clean_name(name.rpartition("@")[0]), clean_name(name.rpartition("@")[2])) for name in made)
    models, providers = [model for model, _ in pairs], [provider for _, provider in pairs]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO catalog_provider (name, title) SELECT DISTINCT p, '' FROM unnest(%s::text[]) AS t(p) "
            "WHERE NOT EXISTS (SELECT 1 FROM catalog_provider WHERE lower(name) = p) "
            "ORDER BY p ON CONFLICT (name) DO NOTHING",
            [providers],
        )
        cursor.execute(
            "INSERT INTO catalog_model (name, lab, open_weights, licence, known_for) "
            "SELECT DISTINCT m, '', false, '', '' FROM unnest(%s::text[]) AS t(m) "
            "WHERE NOT EXISTS (SELECT 1 FROM catalog_model WHERE lower(name) = m) "
            "ORDER BY m ON CONFLICT (name) DO NOTHING",
            [models],
        )
        cursor.execute(
            "INSERT INTO catalog_offering (model_id, provider_id, name, region, data_class, gateway_names, state, "
            "first_seen_at) SELECT m.id, p.id, m.name || '@' || p.name, '', '', '{}', 'waiting', %s "
            "FROM unnest(%s::text[], %s::text[]) AS t(model, provider) "
            "JOIN catalog_model m ON lower(m.name) = t.model JOIN catalog_provider p ON lower(p.name) = t.provider "
            "ORDER BY m.name, p.name ON CONFLICT DO NOTHING",
            [at, models, providers],
        )
        cursor.execute(
            "SELECT lower(name), id FROM catalog_offering WHERE lower(name) = ANY(%s)",
            [[offering_name(model, provider) for model, provider in pairs]],
        )
        found = {str(name): int(id_) for name, id_ in cursor.fetchall()}
    return found | dict.fromkeys(overflow, found.get(nowhere, 0))
