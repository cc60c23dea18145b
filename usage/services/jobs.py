"""Runs the rows of `core.Job`: one at a time, under a lease, in steps that each commit what they did.

A process that dies leaves a lease that runs out, and the next one goes on from the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q

from core.models import Job, JobState
from usage.selectors import spend_query
from usage.services import rebuilding, reconciling, rerating
from usage.services.imports import running as importing
from usage.services.restating import running

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 5

Clock = Callable[[], datetime]


def _answer_spend(job: Job, *, at: datetime) -> bool:
    result = spend_query.run(job.arguments)
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE, result=result, finished_at=at)
    return True


# A kind is one function: it does a step that commits on its own, and says whether that was the last.
KINDS: dict[str, Callable[..., bool]] = {
    rerating.KIND: rerating.run,
    running.KIND: running.run,
    "spend_query": _answer_spend,
    importing.KIND: importing.run,
    reconciling.KIND: reconciling.run,
    rebuilding.KIND: rebuilding.run,
}
# What else is to be done, in the same transaction, when a job of a kind is given up.
GIVEN_UP: dict[str, Callable[..., None]] = {reconciling.KIND: reconciling.tell_failure}


def run_next(*, clock: Clock) -> bool:
    """Run the next job that is due, to its end or its failure; False where none is due."""
    job = _lease(at=clock())
    if job is None:
        return False
    try:
        while not KINDS[job.kind](job, at=clock()):
            _renew(job, at=clock())
    except (OperationalError, InterfaceError):
        raise  # the database went away: the lease runs out and somebody goes on
    except Exception as error:  # whatever a job's work raises is the job's, and shown with it
        log.exception("job.failed", job=job.pk, kind=job.kind)
        _failed(job, error=error, at=clock())
    return True


@transaction.atomic
def _lease(*, at: datetime) -> Job | None:
    due = Q(state=JobState.WAITING, run_after__lte=at) | Q(state=JobState.RUNNING, leased_until__lt=at)
    job = Job.objects.select_for_update(skip_locked=True).filter(due).order_by("run_after", "id").first()
    if job is None:
        return None
    job.state, job.leased_until, job.attempts = JobState.RUNNING, at + LEASE, job.attempts + 1
    job.save(update_fields=["state", "leased_until", "attempts"])
    return job


def _renew(job: Job, *, at: datetime) -> None:
    Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(leased_until=at + LEASE)


@transaction.atomic
def _failed(job: Job, *, error: Exception, at: datetime) -> None:
    final = job.attempts >= MOST_ATTEMPTS
    why = f"{type(error).__name__}: {error}"[:500]
    # One that lost its lease long ago may fail after another process has finished the work: that stays done.
    failed = Job.objects.filter(pk=job.pk, state=JobState.RUNNING).update(
        state=JobState.FAILED if final else JobState.RUNNING,
        error=why,
        leased_until=at + timedelta(seconds=10 * 2**job.attempts),
        finished_at=at if final else F("finished_at"),
    )
    if final and failed and job.kind in GIVEN_UP:
        GIVEN_UP[job.kind](error=why, at=at)
