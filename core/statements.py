"""How long a statement of a web process may run, so that a page that reads too much gives its thread back.

`limit` is for web processes alone, and said once, when they begin: commands, migrations and workers take the time they
need. A file that is streamed has none either: while its lines are read, `lift` takes the limit from its connection,
which no other thread has, and `put_back` brings it back. Nor has the wait for open bookings (`services.barrier`), which
follows on a change that is done.
"""

from __future__ import annotations

from typing import Any

import psycopg.errors
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_UID = "core.statements"
_limit_ms = 0


def limit(*, seconds: float) -> None:
    """Hold every connection that is opened from now on; 0 lets them take what they need."""
    global _limit_ms
    _limit_ms = round(seconds * 1000)
    if _limit_ms:
        connection_created.connect(_opened, dispatch_uid=_UID)
    else:
        connection_created.disconnect(dispatch_uid=_UID)


def _opened(connection: BaseDatabaseWrapper, **_: Any) -> None:
    _hold(connection, _limit_ms)


def lift() -> None:
    """Let this thread's statements take what they need."""
    if _limit_ms:
        _hold(connection, 0)


def lift_in_transaction() -> None:
    """Let the statements of the transaction that is open take what they need."""
    if _limit_ms:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")


def put_back() -> None:
    """Hold this thread's statements again; repeating it does no harm."""
    if not _limit_ms or connection.connection is None:
        return
    try:
        _hold(connection, _limit_ms)
    except DatabaseError:  # it broke, and the next one is held from its beginning
        connection.close()


def _hold(held: BaseDatabaseWrapper, milliseconds: int) -> None:
    with held.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])


def took_too_long(error: BaseException) -> bool:
    """Say whether a statement ended because its time was over."""
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)
