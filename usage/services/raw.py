"""The driver's own cursor, for the few statements that run for every body and every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection


@contextmanager
def raw_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """Give a cursor of the driver's own on Django's connection: prepared statements, binary parameters, COPY.

    What it raises comes out as Django's errors, so that a caller can tell a lost connection or a broken deadlock from
    a fault of the data, and Django knows that the connection may be gone.
    """
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        yield psycopg.Cursor(raw)


def numbers(values: Sequence[int]) -> str:
    """Write integers as an array of PostgreSQL: one text is sent faster than a list."""
    return "{" + ",".join(map(str, values)) + "}"
