"""What has to be done now and then so that the rest never waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction

from usage.services import partitions

# Two days more than the window in which a repeat is recognised: an event may be dated a day ahead of its receipt, and a
# repeat of it must meet either its key or the quarantine of what is too old.
KEEP_KEYS = timedelta(days=37)
_AT_ONCE = 10_000


def keep(*, at: datetime) -> dict[str, int]:
    """Make partitions ahead and prune event keys of live sources; safe to repeat and to break off anywhere."""
    return {"partitions": partitions.make_ahead(at=at), "keys": prune_keys(at=at)}


def prune_keys(*, at: datetime) -> int:
    """Delete keys of live sources that were first received more than 37 days ago, some thousand per transaction."""
    pruned = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM event_key WHERE ctid IN (SELECT k.ctid FROM event_key k JOIN usage_source s "
                "ON s.id = k.source_id AND s.kind = 'live' WHERE k.first_received_at < %s LIMIT %s)",
                [at - KEEP_KEYS, _AT_ONCE],
            )
            deleted = int(cursor.rowcount)
        pruned += deleted
        if deleted < _AT_ONCE:
            return pruned
