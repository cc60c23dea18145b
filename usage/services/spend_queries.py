"""Asking the ledger about spend, in the background."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec
from django.db import transaction

from core.models import Job, JobState
from usage.selectors import spend, spend_query
from usage.selectors.spend_query import Query

# Whoever asks the same again this soon, such as a script that repeats its GET until it gets rows, gets the same query.
ANSWERS_KEPT = timedelta(minutes=1)


@transaction.atomic
def ask_for(*, ask: spend.SpendAsk, complete_through: datetime | None, by: str, at: datetime) -> Query:
    """Put a question in line, and return it. The same question that waits, runs or was answered just now is returned.

    Raises:
        Invalid: the ledger does not answer for so long a range, or does not keep it any more.
    """
    spend.check_for_ledger(ask=ask)
    spend.check_kept(ask=ask)
    arguments = spend_query.arguments(ask=ask, complete_through=complete_through)
    said = {name: value for name, value in arguments.items() if name != "complete_through"}
    key = f"{spend_query.KIND}:{hashlib.sha256(msgspec.json.encode(said, order='sorted')).hexdigest()}"
    same = Job.objects.filter(kind=spend_query.KIND, dedupe_key=key).order_by("-id")
    known = same.filter(state__in=[JobState.WAITING, JobState.RUNNING]).first()
    known = known or same.filter(state=JobState.DONE, finished_at__gt=at - ANSWERS_KEPT).first()
    if known is None:
        job = Job(
            kind=spend_query.KIND,
            arguments=arguments,
            dedupe_key=key,
            run_after=at,
            created_at=at,
            created_by=by,
        )
        # Two who ask at the same moment: the second finds the first one's row.
        Job.objects.bulk_create([job], ignore_conflicts=True)
        known = same.first()
    if known is None:
        raise RuntimeError("a job that was just written is not there")
    return spend_query.get(query_id=known.pk)
