"""The job that turns a confirmed import's parts into receipts, a few at a time, until all of them are booked.

A part's receipt and the part's mark are one transaction, so a crash repeats no part and skips none. Receipts are booked
in the order in which they came, so live events wait behind what an import has in line: that is kept short.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Sum

from core.models import Job, JobState
from usage.models import ImportPart, ImportState, Receipt, ReceiptState, Source, UsageImport
from usage.services import intake

KIND = "import_usage"
# Of whatever source: a second or two of work, which is how long an import holds a live event up.
MOST_WAITING = 8_000
REST = timedelta(milliseconds=200)  # workers that book call before it is over; without a call a sweep comes


def run(job: Job, *, at: datetime) -> bool:
    """Put one part into a receipt, or put the job off while enough waits; True when this run has no more to do.

    Whoever holds the job's row goes on; a second runner waits for it and then sees what it did.
    """
    with transaction.atomic(durable=True):
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.state in (JobState.DONE, JobState.CANCELLED):
            return True
        found = UsageImport.objects.select_for_update().get(pk=job.arguments["import"])
        source_id = found.source_id
        if found.state != ImportState.BOOKING or source_id is None:
            return _end(job, found, at)
        part = found.parts.filter(receipt=None, events__isnull=False).order_by("number").first()
        if part is not None and _room_for(part.event_count):
            _take(found, part, source_id, at)
            job.done += part.event_count
            job.save(update_fields=["done"])
            return False
        if part is None and not _waits(source_id):
            _finish(found, source_id, at)
            return _end(job, found, at)
        # Put off, and not waited for here: other jobs have their turn, and a rest is no failed try.
        job.state, job.run_after, job.leased_until, job.attempts = JobState.WAITING, at + REST, None, 0
        job.save(update_fields=["state", "run_after", "leased_until", "attempts"])
        return True


def ask_for(*, found: UsageImport, by: str, at: datetime) -> int:
    """Put the booking of an import in line; returns the job's id. Part of the caller's transaction."""
    return Job.objects.create(
        kind=KIND, arguments={"import": found.pk}, total=found.events, dedupe_key=f"{KIND}:{found.pk}", run_after=at,
        created_at=at, created_by=by,
    ).pk  # fmt: skip


def feeds() -> bool:
    """Say whether an import waits for room, so that whoever makes some may call. One query over an index."""
    return Job.objects.filter(kind=KIND, state=JobState.WAITING).exists()


def _room_for(events: int) -> bool:
    waiting = Receipt.objects.filter(state=ReceiptState.PENDING).aggregate(events=Sum("event_count"))["events"] or 0
    return not waiting or waiting + events <= MOST_WAITING


def _waits(source_id: int) -> bool:
    return Receipt.objects.filter(source_id=source_id, state=ReceiptState.PENDING).exists()


def _take(found: UsageImport, part: ImportPart, source_id: int, at: datetime) -> None:
    part.receipt_id = intake.take(
        source_id=source_id,
        environment=found.environment,
        format=found.format,
        events=intake.unpack(bytes(part.events or b"")),
        rejected=[],
        received_at=at,
    )
    part.events = None
    part.save(update_fields=["receipt_id", "events"])


def _finish(found: UsageImport, source_id: int, at: datetime) -> None:
    failed = Receipt.objects.filter(source_id=source_id, state=ReceiptState.FAILED).count()
    found.state = ImportState.FAILED if failed else ImportState.DONE
    found.error = f"{failed} bodies of events could not be booked." if failed else ""
    found.finished_at = at
    found.save(update_fields=["state", "error", "finished_at"])
    if not failed:
        Source.objects.filter(pk=source_id).update(closed_at=at)


def _end(job: Job, found: UsageImport, at: datetime) -> bool:
    job.state, job.finished_at, job.result = JobState.DONE, at, {"state": found.state}
    job.save(update_fields=["state", "finished_at", "result"])
    return True
