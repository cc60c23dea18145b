"""Gathers the sums of days and weeks that are over. See Note [Days that are over] in `usage/selectors/past.py`."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from core import periods
from core.models import Organisation
from core.services import barrier
from usage.selectors import past

# Nearly all calls of a day are booked within a day. One day more, for clocks that differ: `ledger.post` takes away none
# of the last two days.
AFTER = timedelta(days=2)
_WEEK = timedelta(weeks=1)
_AT_ONCE = 5  # days; bookings wait meanwhile, some hundredths of a second

_DAYS = (
    "WITH fresh AS (INSERT INTO rollup_past_days SELECT unnest(%(days)s::date[]) ON CONFLICT DO NOTHING RETURNING day) "
    f"INSERT INTO rollup_past ({past.COLUMNS[past.OF_DAYS]}) {past.anew(past.OF_DAYS, 'fresh')} "
    "ORDER BY day, use_case_id"
)
_WEEKS = (
    "WITH fresh AS (INSERT INTO rollup_past_weeks VALUES (%(week)s) ON CONFLICT DO NOTHING RETURNING week), "
    f"attempts AS (INSERT INTO rollup_past_attempts ({past.COLUMNS[past.OF_ATTEMPTS]}) "
    f"{past.anew(past.OF_ATTEMPTS, 'fresh')} ORDER BY use_case_id) "
    f"INSERT INTO rollup_past_week ({past.COLUMNS[past.OF_WEEKS]}) {past.anew(past.OF_WEEKS, 'fresh')} "
    "ORDER BY use_case_id"
)
_MISSING = (
    "SELECT d::date FROM generate_series(%(first)s::date, %(last)s::date, '1 day'::interval * %(step)s) AS d "
    "WHERE NOT EXISTS (SELECT FROM {table} WHERE {column} = d::date) ORDER BY 1"
)


def gather(*, at: datetime) -> int:
    """Gather every day and week that has been over for a while and is not there yet; returns how many days.

    Safe to repeat, to break off and to do twice at once. Call it outside of a transaction: each takes a few days.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(day) FROM rollup_day")
        (first,) = cursor.fetchone()
    if first is None:
        return 0
    until = periods.local_day(at, Organisation.objects.get(pk=1).zone) - AFTER
    days = _missing("rollup_past_days", "day", first, until - timedelta(days=1), 1)
    for place in range(0, len(days), _AT_ONCE):
        _gather(_DAYS, {"days": days[place : place + _AT_ONCE]})
    for week in _missing("rollup_past_weeks", "week", periods.monday(first), until - _WEEK, 7):
        _gather(_WEEKS, {"week": week})
    return len(days)


def _missing(table: str, column: str, first: date, last: date, step: int) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING.format(table=table, column=column), {"first": first, "last": last, "step": step})
        return [day for (day,) in cursor.fetchall()]


@transaction.atomic(durable=True)
def _gather(statement: str, given: dict[str, Any]) -> None:
    barrier.hold_exclusive()
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
