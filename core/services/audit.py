"""Who acts, told to the database, whose triggers write the audit trail."""

from __future__ import annotations

from django.db import connection


def acting(*, by: str, reason: str = "") -> None:
    """Name the actor for the rest of the present transaction; call it first inside the service's `atomic` block.

    `by` is an e-mail address, `key:NAME` or the name of a process, such as `manage.py close_month`.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an actor holds for a transaction, and there is none")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('tollkeeper.actor', %s, true), set_config('tollkeeper.reason', %s, true)",
            [by, reason.replace("\x00", "")],  # which no text of PostgreSQL holds
        )
