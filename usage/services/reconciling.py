"""Every night the ledger is counted anew and compared with all that derives from it.

A difference raises an alert, and so does a check that could not be made.

It reads and locks nothing that bookings want, one day to a statement, in the background, and lets other jobs go first
after some seconds. Whether sums are right does not depend on it: it is how a person learns that they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from alerts.models import Severity
from alerts.services import raising, resolving
from core import periods
from core.errors import Invalid
from core.models import Job, JobState, Organisation
from core.periods import Period
from usage.models import Reconciliation
from usage.selectors import checks, counters, kept, past, recount
from usage.selectors.kept import Kept

KIND = checks.KIND
ALERT = "sums_differ"
FAILED = "check_failed"
NIGHT = timedelta(hours=2)  # after the organisation's midnight, when what happened the day before is mostly in
MOST_KEPT = 100
_AHEAD = timedelta(days=1)  # as far as events run ahead of their receipt
_TURN = timedelta(seconds=10)  # then whoever else waits for the background may go first


@transaction.atomic
def ask_nightly(*, at: datetime) -> Job | None:
    """Put the check of the night that began last in line, unless it was before: a missed night is caught up with.

    Safe to repeat; two schedulers at once make one.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_reconcile_nightly'))")
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    key = f"{KIND}:{periods.local_day(at - NIGHT, zone)}"
    if Job.objects.filter(kind=KIND, dedupe_key=key).exists():
        return None
    return _in_line(key=key, by="Tollkeeper", at=at)


@transaction.atomic
def ask_for(*, by: str, at: datetime) -> Job | None:
    """Put a check of every day that is kept in line; None where one that was asked for waits already."""
    key = f"{KIND}:asked"
    waiting = Job.objects.filter(kind=KIND, dedupe_key__startswith=f"{key}:", state=JobState.WAITING, checkpoint={})
    if waiting.exists():
        return None
    return _in_line(key=f"{key}:{at.timestamp()}", by=by, at=at)


def _in_line(*, key: str, by: str, at: datetime) -> Job:
    return Job.objects.create(kind=KIND, dedupe_key=key, run_after=at, created_at=at, created_by=by)


@transaction.atomic
def run(job: Job, *, at: datetime) -> bool:
    """Compare one day, or at last the counters; True when nothing is left, or when others may go first.

    Whoever holds the job's row goes on; a second runner waits for it and then sees the checkpoint moved.
    """
    job = Job.objects.select_for_update().get(pk=job.pk)
    if job.state != JobState.RUNNING:
        return True
    calendar = kept.current()
    mark = job.checkpoint
    if not mark:
        begun = _begin(calendar=calendar, first=None, last=None, by=job.created_by, at=at, job_id=job.pk)
        mark = {"reconciliation": begun.pk, "done": "", "turn": at.isoformat()}
    found = Reconciliation.objects.get(pk=mark["reconciliation"])
    days = _days(found, calendar)
    left = [day for day in days if day.isoformat() > mark["done"]]
    if left:
        _day(found, left[0], calendar)
        mark["done"] = left[0].isoformat()
    else:
        _finish(found, calendar, at=at)
        job.state, job.finished_at, job.result = JobState.DONE, at, {"differing": found.differing}
    job.done, job.total = len(days) - len(left) + 1, len(days) + 1
    over = not left
    turn = datetime.fromisoformat(mark["turn"]) if mark["turn"] else at
    if not over and at - turn >= _TURN:
        job.state, job.run_after, job.attempts, mark["turn"], over = JobState.WAITING, at, 0, "", True
    elif not mark["turn"]:
        mark["turn"] = at.isoformat()
    job.checkpoint = mark
    job.save(update_fields=["state", "run_after", "attempts", "checkpoint", "done", "total", "result", "finished_at"])
    return over


def run_now(*, first: date | None, last: date | None, by: str, clock: Callable[[], datetime]) -> Reconciliation:
    """Compare days of the organisation's at once, `last` included; where both are None, every day that is kept.

    Raises:
        Invalid: no day of these is in the ledger.
    """
    calendar = kept.current()
    found = _begin(calendar=calendar, first=first, last=last, by=by, at=clock(), job_id=None)
    for day in _days(found, calendar):
        _day(found, day, calendar)
    with transaction.atomic():
        _finish(found, calendar, at=clock())
    return found


def _begin(
    *, calendar: Kept, first: date | None, last: date | None, by: str, at: datetime, job_id: int | None
) -> Reconciliation:
    until = last or periods.local_day(at + _AHEAD, calendar.zone)
    days = [day for day in calendar.days() if (first is None or day >= first) and day <= until]
    if not days:
        raise Invalid("The ledger keeps none of these days.", [("from", "not in the ledger")])
    return Reconciliation.objects.create(
        first_day=days[0],
        last_day=days[-1],
        full=first is None and last is None,
        started_at=at,
        by=by,
        job_id=job_id,
    )


def _days(found: Reconciliation, calendar: Kept) -> list[date]:
    return [day for day in calendar.days() if found.first_day <= day <= found.last_day]


def _day(found: Reconciliation, day: date, calendar: Kept) -> None:
    compared = recount.compare(
        day=day,
        spans=calendar.spans(day),
        tags=calendar.declared_tags,
        most=max(0, MOST_KEPT - len(found.differences)),
    )
    found.entries += compared.entries
    found.rows += compared.rows
    _note(found, day, compared.differing | past.wrong(day), compared.differences)
    found.save(update_fields=["entries", "rows", "differing", "differences", "days"])


def _note(found: Reconciliation, day: date, differing: Mapping[str, int], differences: list[dict[str, Any]]) -> None:
    if differing:
        found.differing += sum(differing.values())
        found.differences = [*found.differences, *differences][:MOST_KEPT]
        name = day.isoformat()
        of_day = found.days.get(name, {})
        found.days = found.days | {name: of_day | {what: of_day.get(what, 0) + n for what, n in differing.items()}}


def _finish(found: Reconciliation, calendar: Kept, *, at: datetime) -> None:
    """Compare the counters, keep the result, and raise or end the alert, in the caller's transaction."""
    wrong = {date.fromisoformat(day) for day, tables in found.days.items() if recount.QUARTERS in tables}
    lost = calendar.lost_days()
    lost_until = calendar.spans(lost[-1])[-1][1] if lost else None
    starts_at, ends_at = calendar.spans(found.first_day)[0][0], calendar.spans(found.last_day)[-1][1]

    def sure(period: Period) -> bool:
        # A check of some days says nothing of the others. Days before those that are kept have only their sums.
        return found.full and not any(
            span[0] < period.ends_at and period.starts_at < span[1] for day in wrong for span in calendar.spans(day)
        )

    def whole(period: Period) -> bool:
        return lost_until is None or period.starts_at >= lost_until

    within = None if found.full else (starts_at, ends_at)
    for one in counters.compare(at=at, sure=sure, kept=whole, within=within):
        found.rows += 1
        if one.differs:
            _note(found, one.period.first_day, {counters.WHAT: 1}, [one.difference()])
    found.finished_at = at
    found.save(update_fields=["finished_at", "rows", "differing", "differences", "days"])
    if found.full:
        resolving.resolve(kind=FAILED, at=at, dedupe_key_prefix=f"{FAILED}:")
    if not found.differing:
        if found.full:
            resolving.resolve(kind=ALERT, at=at, dedupe_key_prefix=f"{ALERT}:")
    elif _unheard(found):
        _alert(found, at=at)


@transaction.atomic
def tell_failure(*, error: str, at: datetime) -> None:
    """Raise an alert that a check was given up: one until a check of all days is through, however many fail before it.

    Takes part in the caller's transaction. Safe to repeat.
    """
    done = Reconciliation.objects.filter(full=True, finished_at__isnull=False).order_by("-id")
    last = done.values_list("id", "finished_at").first()
    known = periods.local_day(last[1], kept.current().zone) if last and last[1] else None
    raising.raise_alert(
        kind=FAILED,
        dedupe_key=f"{FAILED}:{last[0] if last else 0}",
        severity=Severity.WARNING,
        title="The check of sums could not be made",
        facts={
            "summary": "The recount of the ledger was tried several times and given up, so nobody knows whether the "
            "sums on the pages are right. Bookings are not concerned.",
            "rows": [["Last check", str(known or "none yet")], ["Reason", error]],
            "next": "Put right what it failed for, and check again from the page; else the next night tries.",
            "links": [["Open the checks", "/reconciliation/sums/"]],
        },
        subject_kind="reconciliation",
        subject_id=None,
        team_ids=[],
        budget_id=None,
        at=at,
    )


def _unheard(found: Reconciliation) -> bool:
    """Say whether something differs that no check has told of since all was right: each is told once."""
    done = Reconciliation.objects.exclude(pk=found.pk).filter(finished_at__isnull=False)
    right = done.filter(full=True, differing=0).order_by("-id").values_list("id", flat=True).first() or 0
    told = {
        (day, what)
        for days in done.filter(pk__gt=right).values_list("days", flat=True)
        for day in days
        for what in days[day]
    }
    return any((day, what) not in told for day, tables in found.days.items() for what in tables)


def _alert(found: Reconciliation, *, at: datetime) -> None:
    days = sorted(found.days)
    by_table: dict[str, int] = {}
    for tables in found.days.values():
        for what, count in tables.items():
            by_table[what] = by_table.get(what, 0) + count
    raising.raise_alert(
        kind=ALERT,
        dedupe_key=f"{ALERT}:{found.pk}",
        severity=Severity.CRITICAL,
        title=f"{found.differing:,} sums differ from the ledger",
        facts={
            "summary": f"A recount of the ledger from {found.first_day} to {found.last_day} found "
            f"{found.differing:,} of {found.rows:,} sums that are not what their entries add up to. The ledger itself "
            "is not concerned.",
            "rows": [
                ["Days", days[0] if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"],
                *([what, f"{count:,} rows"] for what, count in sorted(by_table.items())),
            ],
            "next": f"Rebuild these days: manage.py rebuild_rollups --from {days[0]} --to "
            f"{date.fromisoformat(days[-1]) + timedelta(days=1)}. Then find out who changed them: the product did not "
            "mean to.",
            "links": [["Open the check", f"/reconciliation/sums/?check={found.pk}"]],
        },
        subject_kind="reconciliation",
        subject_id=found.pk,
        team_ids=[],
        budget_id=None,
        at=at,
    )
