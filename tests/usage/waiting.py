"""Waiting for what must come to pass, and giving up loudly when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from django.db import connection

PATIENCE_S = 30

Found = TypeVar("Found")


def until(look: Callable[[], Found], *, patience_s: float = PATIENCE_S, what: str = "what was waited for") -> Found:
    """Look until what is found is true, and return it."""
    deadline = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {patience_s:.0f} s; last seen: {found!r}")
        time.sleep(0.005)


def another_connection() -> psycopg.Connection:
    """Return a connection of the driver's own to the database of the tests, in autocommit."""
    settings = connection.settings_dict
    parts = {"dbname": settings["NAME"], "user": settings["USER"], "password": settings["PASSWORD"]}
    parts |= {"host": settings["HOST"], "port": settings["PORT"]}
    return psycopg.connect(**{name: value for name, value in parts.items() if value}, autocommit=True)


def until_somebody_waits_for_a_lock(*kinds: str) -> None:
    """Return once some session of this database waits for a lock of one of the kinds (`pg_locks.locktype`)."""
    with another_connection() as looking:
        until(
            lambda: looking.execute(
                "SELECT pid FROM pg_locks WHERE NOT granted AND locktype = ANY(%s)", [list(kinds)]
            ).fetchall(),
            what="a session that waits for a lock",
        )
