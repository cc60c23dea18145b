"""Dated rows that move on to another owner: names, labels, and the teams that answer for use cases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import QuerySet

from catalog.services.labels import since


def move_on(rows: QuerySet[Any], *, field: str, into: Any, since_at: datetime) -> bool:
    """Let what the rows say from an instant on be said of `into`; before it, all stays. Says whether there was any.

    Takes part in the caller's transaction; `field` names the column of the owner.
    """
    held = list(rows.select_for_update().filter(valid__overlap=since(since_at)).order_by("pk"))
    for one in held:
        if one.valid.lower is not None and one.valid.lower >= since_at:
            setattr(one, field, into)
            one.save(update_fields=[field])
            continue
        later = since(since_at, one.valid.upper)
        one.valid = since(one.valid.lower, since_at)
        one.save(update_fields=["valid"])
        one.pk, one._state.adding, one.valid = None, True, later
        setattr(one, field, into)
        one.save()
    return bool(held)


def gaps(rows: QuerySet[Any], *, since_at: datetime | None) -> list[DateTimeTZRange]:
    """Return the parts of [since_at, forever) that none of the rows, which do not overlap, is about; None is open."""
    found = []
    reached = since_at
    for one in rows.filter(valid__overlap=since(since_at)).order_by("valid"):
        lower, upper = one.valid.lower, one.valid.upper
        if lower is not None and (reached is None or lower > reached):
            found.append(since(reached, lower))
        if upper is None:
            return found
        reached = upper
    return [*found, since(reached)]
