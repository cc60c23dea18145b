"""Rows that the services made once, put down again as they are: what many tests begin with costs one statement.

A service takes some ten statements for a price, and thousands of tests begin with the same few prices. The services
make them for the first test of a run. What that left in the catalogue, and its lines in the audit trail, is put down
again for the others, dated by the transaction that does it as a trigger would.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connection, transaction

from catalog.models import Provider, Revision
from core.models import AuditEntry

# A row as JSON, and a table's rows out of such JSON: PostgreSQL knows the types.
_READ = 'SELECT {1}, to_jsonb(t)::text FROM "{0}" t ORDER BY {1}'
_WRITE = 'INSERT INTO "{0}" SELECT * FROM jsonb_populate_recordset(NULL::"{0}", \'{1}\')'
_AUDITED = (
    'INSERT INTO core_auditentry (actor, reason, "table", "row", operation, before, after, transaction) '
    'SELECT actor, reason, "table", "row", operation, before, after, pg_current_xact_id()::text::bigint '
    "FROM jsonb_populate_recordset(NULL::core_auditentry, '{}') ORDER BY id"
)
_TRAIL, _REVISION = AuditEntry._meta.db_table, Revision._meta.db_table


def once(make: Callable[..., int | None]) -> Callable[..., int | None]:
    """Run the function for the first test that asks, and put down its rows again for those that follow.

    For functions that add to the catalogue alone, at fixed times, and return an id or nothing. Where offerings are
    there already the function runs itself. Ids stay those that the sequences gave the first time, so that nobody else
    has them.
    """
    known: dict[tuple[Any, ...], tuple[str, int | None]] = {}

    @functools.wraps(make)
    def made(*given: Any) -> int | None:
        if Provider.objects.exists():
            return make(*given)
        if given not in known:
            before = _rows()
            result = make(*given)
            known[given] = (_difference(before, _rows()), result)
            return result
        statement, result = known[given]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
        return result

    return made


def _rows() -> dict[str, dict[int, str]]:
    models = (*apps.get_app_config("catalog").get_models(), AuditEntry)
    found: dict[str, dict[int, str]] = {}
    with connection.cursor() as cursor:
        for meta in (model._meta for model in models):
            cursor.execute(_READ.format(meta.db_table, meta.pk.column))
            found[meta.db_table] = dict(cursor.fetchall())
    return found


def _difference(before: dict[str, dict[int, str]], after: dict[str, dict[int, str]]) -> str:
    old, new = (json.loads(rows.pop(_REVISION)[1])["number"] for rows in (before, after))
    statements = []
    for table, rows in after.items():
        assert before[table].items() <= rows.items(), f"{table}: rows that were there before were changed"
        added = [row for pk, row in rows.items() if pk not in before[table]]
        if added:
            text = f"[{','.join(added)}]".replace("'", "''")
            statements.append(_AUDITED.format(text) if table == _TRAIL else _WRITE.format(table, text))
    # With triggers off, or each row would be told of twice.
    return "; ".join((
        "SET LOCAL session_replication_role = replica",
        *statements,
        f"UPDATE {_REVISION} SET number = number + {new - old}",
        "SET LOCAL session_replication_role = origin",
    ))  # fmt: skip
