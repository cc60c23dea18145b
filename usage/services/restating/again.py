"""Putting a run that failed for good in line again."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from core.errors import Conflict, NotFound
from core.models import Job, JobState
from usage.services import rerating
from usage.services.restating import running


class NotFailed(Conflict):
    """The run has not failed: it is in line, under way, or done."""


@transaction.atomic
def again(*, job_id: int, by: str, at: datetime) -> Job:
    """Put a failed run in line once more, with all its tries; it goes on where it stopped.

    Who asked and when is kept with the job. Nothing is booked twice: batches that were booked stay booked, and the
    checkpoint says which.

    Raises:
        NotFound: there is no such run of a correction.
        NotFailed: nothing changed.
    """
    job = Job.objects.select_for_update().filter(pk=job_id, kind__in=[running.KIND, rerating.KIND]).first()
    if job is None:
        raise NotFound(f"There is no run {job_id} of a correction.")
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise NotFailed("This run has not failed: it is in line, under way, or done.")
    told = {"by": by, "at": at.isoformat()}
    job.arguments = {**job.arguments, "again": [*job.arguments.get("again", ()), told]}
    job.state, job.attempts, job.run_after, job.leased_until, job.finished_at = JobState.WAITING, 0, at, None, None
    # The same work may have been asked for anew since: then both run, and the second finds nothing left.
    job.dedupe_key = None
    job.save(update_fields=["arguments", "state", "attempts", "run_after", "leased_until", "finished_at", "dedupe_key"])
    return job
