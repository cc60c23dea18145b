"""The booking barrier: how a change waits until no booking that missed it is still open.

# Note [The booking barrier]
Bookings read prices, names, budgets and closed months from caches that they check at their start. Each holds this
advisory lock shared from before that check until it commits. Whoever changes something that bookings must not miss
commits the change first, then takes the lock exclusively and lets it go: from then on every booking has seen the
change, and a scan of what older ones left behind misses none. Closing a month holds it exclusively while it closes.
"""

from __future__ import annotations

from django.db import connection, transaction

from core import statements

_KEY = 7_305_001  # any number, as long as nobody else uses it


def hold_shared() -> None:
    """Enter the barrier for the rest of the transaction: the first statement of every booking."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_KEY])


def hold_exclusive() -> None:
    """Keep every booking out for the rest of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_KEY])


@transaction.atomic(durable=True)
def pass_through() -> None:
    """Return once every booking that began before this call has ended. Call it after the change has committed.

    It takes the time that it needs, also in a web process: whoever changed something must not be told that it was given
    up, for it was done.
    """
    statements.lift_in_transaction()
    hold_exclusive()
