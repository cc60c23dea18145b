"""What has to be done now and then so that the rest never waits for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from core.models import Organisation
from usage.services import analysing, partitions, past, rebuilding, reconciling, retention

log = structlog.get_logger(__name__)

# Two days more than the window in which a repeat is recognised: an event may be dated a day ahead of its receipt, and a
# repeat of it must meet either its key or the quarantine of what is too old.
KEEP_KEYS = timedelta(days=37)

_KEYS_AT_ONCE = 10_000
_RECEIPTS_AT_ONCE = 500  # they hold up to some hundred kilobytes each


def keep(*, at: datetime) -> dict[str, object]:
    """Do every chore, and say what each did; safe to repeat, to break off anywhere and to do twice at once.

    A chore that the database refuses is logged and left for the next time; the others are done all the same.
    """
    chores: dict[str, Callable[[], object]] = {
        "partitions": lambda: partitions.make_ahead(at=at),
        "partitions_missing": lambda: partitions.look_ahead(at=at),
        "rebuild": lambda: getattr(rebuilding.follow_settings(at=at), "pk", None),
        "reconcile": lambda: getattr(reconciling.ask_nightly(at=at), "pk", None),
        "past": lambda: past.gather(at=at),
        "keys": lambda: prune_keys(at=at),
        "traces": lambda: prune_traces(at=at),
        "receipts": lambda: forget_receipts(at=at),
        "dropped": lambda: retention.drop_old_months(at=at),
        "analysed": analysing.analyse,
    }
    done: dict[str, object] = {}
    for name, chore in chores.items():
        try:
            done[name] = chore()
        except (DatabaseError, InterfaceError) as error:
            if isinstance(error, OperationalError | InterfaceError) and not partitions.busy(error):
                raise  # the database went away, or broke a deadlock: all of it is tried again
            log.exception("housekeeping.failed", chore=name)
            done[name] = f"{type(error).__name__}: {error}"
    return done


def forget_receipts(*, at: datetime) -> int:
    """Let go of what receipts hold that were done long enough ago; the receipts stay. Returns how many."""
    days = Organisation.objects.values_list("keep_receipts_days", flat=True).get(pk=1)
    return _in_batches(
        "UPDATE receipt SET events = NULL WHERE id IN (SELECT id FROM receipt WHERE state = 'done' "
        "AND events IS NOT NULL AND done_at < %s ORDER BY done_at LIMIT %s FOR UPDATE SKIP LOCKED)",
        before=at - timedelta(days=days),
        at_once=_RECEIPTS_AT_ONCE,
    )


def prune_keys(*, at: datetime) -> int:
    """Delete keys of live sources that were first received more than 37 days ago; returns how many."""
    return _in_batches(
        "DELETE FROM event_key WHERE ctid IN (SELECT k.ctid FROM event_key k JOIN usage_source s "
        "ON s.id = k.source_id AND s.kind = 'live' WHERE k.first_received_at < %s LIMIT %s "
        "FOR UPDATE OF k SKIP LOCKED)",
        before=at - KEEP_KEYS,
        at_once=_KEYS_AT_ONCE,
    )


def prune_traces(*, at: datetime) -> int:
    """Delete traces that no span has touched for 37 days, as long as keys are kept; returns how many."""
    return _in_batches(
        "DELETE FROM usage_trace WHERE ctid IN (SELECT ctid FROM usage_trace WHERE touched_at < %s "
        "ORDER BY touched_at LIMIT %s FOR UPDATE SKIP LOCKED)",
        before=at - KEEP_KEYS,
        at_once=_KEYS_AT_ONCE,
    )


def _in_batches(statement: str, *, before: datetime, at_once: int) -> int:
    """Run a statement until it finds less than a batch, each a transaction of its own; returns how many rows it took.

    Rows that a booking holds are passed over: it would wait for the batch, and the batch for it.
    """
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [before, at_once])
            found = int(cursor.rowcount)
        total += found
        if found < at_once:
            return total
