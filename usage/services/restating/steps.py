"""A step of a job that corrects entries: one transaction, which others who correct wait for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from django.db import connection, transaction

from core.models import Job, JobState
from core.services import barrier
from usage.selectors import world as worlds
from usage.services import ledger, partitions
from usage.services.raw import raw_cursor

# Does a batch with the job's row held, moves the job's checkpoint and saves it; says whether nothing is left.
Batch = Callable[[Job, psycopg.Cursor[Any], datetime], bool]


def step(job: Job, batch: Batch, *, at: datetime) -> bool:
    """Do one batch of a job; True when nothing is left. Call it again until then.

    Whoever holds the job's row goes on; a second runner waits for it and then sees the checkpoint moved.
    """
    if not Job.objects.filter(pk=job.pk).exclude(checkpoint={}).exists():
        # Whatever was booked before bookings knew the change is in the ledger from here on.
        barrier.pass_through()
    try:
        return _locked(job.pk, batch, at)
    except partitions.Missing as missing:
        for month in missing.months:
            partitions.make(first=month, last=month)
        return False
    except BaseException:
        worlds.forget()
        raise


@transaction.atomic(durable=True)
def _locked(job_id: int, batch: Batch, at: datetime) -> bool:
    barrier.hold_shared()
    job = Job.objects.select_for_update().get(pk=job_id)
    if job.state in (JobState.DONE, JobState.CANCELLED):
        return True
    with raw_cursor() as cursor:
        ledger.hold_corrections(cursor)
        return batch(job, cursor, at)


def restatement_id() -> int:
    """Take the number of a restatement ahead of its writing: entries name it. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('usage_restatement', 'id'))")
        row = cursor.fetchone()
    return int(row[0]) if row else 0
