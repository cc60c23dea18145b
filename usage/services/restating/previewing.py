"""What a change of the catalogue would do to the past, seen before it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import OperationalError, connection, transaction

from catalog.selectors import snapshot
from catalog.services import amendments
from core.errors import Conflict
from core.models import Organisation
from usage.selectors import estimating
from usage.selectors.estimating import Estimate

MOST_SECONDS = 20

_CANCELLED = ("57014", "55P03")  # PostgreSQL's query_canceled and lock_not_available


class TakesTooLong(Conflict):
    """The effect cannot be summed in the time that others can wait for; nothing was changed."""


def preview(change: Callable[[], object], *, at: datetime) -> Estimate:
    """Make a change, look what restating would come to, and take the change back.

    So the preview refuses what the change refuses, with the same errors, and sums what the run will find. Nothing of it
    is seen by others; while it lasts, other changes of the catalogue wait, and so does the closing of a month. Hence it
    is broken off after `MOST_SECONDS`, or as long of waiting for another change.

    Raises:
        TakesTooLong: it was broken off.
        whatever the change raises.
    """
    try:
        return _preview(change, at)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) not in _CANCELLED:
            raise
        sentence = f"What this does could not be summed within {MOST_SECONDS} seconds. Try a shorter time, or later."
        raise TakesTooLong(sentence) from error


def _preview(change: Callable[[], object], at: datetime) -> Estimate:
    with transaction.atomic():
        with connection.cursor() as cursor:
            limit = f"{MOST_SECONDS}s"
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
                [limit, limit],
            )
        with amendments.collecting() as noted:
            change()
        found = estimating.estimate(
            amendments=noted,
            book=snapshot.load(),
            calendar=estimating.calendar(Organisation.objects.get(pk=1).zone),
            until=at,
        )
        transaction.set_rollback(True)
    return found
