"""Rows that booking makes for names it has not met: they wait for an owner, and nothing an event says is lost.

All of it takes part in the booking's transaction. Names come sorted, so that two bookings that meet the same ones wait
for each other instead of deadlocking. The ids may be cached only once that transaction has committed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import connection

from catalog.rules import UNKNOWN, offering_name

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


def labels(*, kind: str, names: Mapping[str, str], at: datetime) -> dict[str, tuple[int, str]]:
    """Return id and name by folded label, of use cases or teams that are made where nobody made them before.

    `names` gives each label as first written. Labels for which there is no room are left out: their events belong to
    `unassigned`. One query where another process made all of them meanwhile.
    """
    table = _LABELLED[kind]
    found = _labelled(table, names)
    new = sorted(names.keys() - found.keys())
    if new:
        new = new[: _room(table)]
    if new:
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} (name, folded, state, first_seen_at{_COLUMNS[kind]}) "
                f"SELECT n, f, 'waiting', %s{_VALUES[kind]} FROM unnest(%s::text[], %s::text[]) AS t(n, f) "
                "ON CONFLICT (folded) DO NOTHING",
                [at, [names[folded] for folded in new], new],
            )
        found |= _labelled(table, new)
    return found


def _labelled(table: str, folded: Collection[str]) -> dict[str, tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT folded, id, name FROM {table} WHERE folded = ANY(%s)", [list(folded)])
        return {str(one): (int(id_), str(name)) for one, id_, name in cursor.fetchall()}


def offerings(*, names: Collection[str], at: datetime) -> dict[str, int]:
    """Return ids by name in lower case, of offerings made, with model and provider, where nobody made them before.

    Past `MOST_WAITING`, new names share the offering `unknown@unknown`.
    """
    wanted = {name.lower() for name in names}
    found = _offered(wanted)
    new = sorted(wanted - found.keys())
    overflow: list[str] = []
    if new:
        room = _room("catalog_offering")
        new, overflow = new[:room], new[room:]
    nowhere = offering_name(UNKNOWN, UNKNOWN)
    if overflow and nowhere not in new:
        new.append(nowhere)
    if not new:
        return found
    pairs = sorted((model, provider) for model, _, provider in (name.rpartition("@") for name in new))
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
    found |= _offered(new)
    return found | dict.fromkeys(overflow, found.get(nowhere, 0))


def _offered(names: Collection[str]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT lower(name), id FROM catalog_offering WHERE lower(name) = ANY(%s)", [list(names)])
        return {str(name): int(id_) for name, id_ in cursor.fetchall()}
