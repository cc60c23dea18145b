"""Sums made anew from the ledger, a day at a time, while events keep coming.

# Note [A day is rebuilt]
A day is compared first, which disturbs nobody. Where it differs, one transaction keeps bookings out (it holds the
booking barrier), compares again, and replaces the rows of the tables that are wrong: whatever was booked before is in
the ledger by then and counted, and what comes after adds to the new rows. So no booking is lost or doubled, a break
anywhere leaves whole days behind, and a day that is right is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q

from budgets.services import building
from core.errors import Conflict, Invalid
from core.models import AuditEntry, Job, JobState
from core.services import audit, barrier
from usage.models import Rebuild
from usage.selectors import counters, drivers, kept, past, recount
from usage.selectors.kept import Kept
from usage.services import reconciling

KIND = "rebuild"
SETTINGS = "The organisation's zone or its declared tags changed."
_DAY = timedelta(days=1)

Told = Callable[[date, dict[str, int]], None]


class NotKept(Conflict):
    """The ledger does not hold these days any more; their sums stay as they are."""


def rebuild_day(*, day: date, calendar: Kept) -> dict[str, int]:
    """Make the sums of one day equal to the ledger; returns how many rows of which table were wrong. Safe to repeat.

    Call it outside of a transaction. See Note [A day is rebuilt].

    Raises:
        NotKept: nothing changed.
    """
    _check_kept([day], calendar)
    found = _compared(day, calendar)
    return _replaced(day, calendar) if found else {}


@transaction.atomic(durable=True)
def _replaced(day: date, calendar: Kept) -> dict[str, int]:
    barrier.hold_exclusive()
    found = _compared(day, calendar)
    if found.keys() & past.COLUMNS.keys():
        recount.forget_past(day)
    for table in [table for table in recount.TABLES if table in found]:
        recount.write_anew(table=table, day=day, spans=calendar.spans(day), tags=calendar.declared_tags)
    return found


def _compared(day: date, calendar: Kept) -> dict[str, int]:
    spans = calendar.spans(day)
    return recount.compare(day=day, spans=spans, tags=calendar.declared_tags, most=0).differing | past.wrong(day)


@transaction.atomic(durable=True)
def begin(*, first: date, last: date, by: str, reason: str, at: datetime) -> Rebuild:
    """Note a rebuild of days of the organisation's, `last` included, that the caller then runs with `go_on`.

    Raises:
        Invalid: no day, or no reason.
        NotKept: some of these days are not in the ledger any more.
    """
    return _noted(first=first, last=last, by=by, reason=reason, at=at)


@transaction.atomic(durable=True)
def ask_for(*, first: date, last: date, by: str, reason: str, at: datetime) -> Rebuild:
    """Put a rebuild of days of the organisation's, `last` included, in line. The caller nudges.

    Raises:
        as `begin`.
    """
    rebuild = _noted(first=first, last=last, by=by, reason=reason, at=at)
    return _in_line(rebuild, key=f"{KIND}:{rebuild.pk}", at=at)


@transaction.atomic(durable=True)
def follow_settings(*, at: datetime) -> Rebuild | None:
    """Where zone or declared tags changed, have the sums of kept days follow, once; two who call at once make one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('usage_follow_settings'))")
    changes = AuditEntry.objects.filter(table="core_organisation", row="1", operation="update").filter(
        ~Q(before__zone=F("after__zone")) | ~Q(before__declared_tags=F("after__declared_tags"))
    )
    newest = changes.order_by("-id").values_list("id", flat=True).first()
    key = f"{KIND}:settings:{newest}"
    if newest is None or Job.objects.filter(kind=KIND, dedupe_key=key).exists():
        return None
    days = kept.current().days()
    if not days:
        return None
    rebuild = _noted(first=days[0], last=days[-1], by="Tollkeeper", reason=SETTINGS, at=at)
    return _in_line(rebuild, key=key, at=at)


def _noted(*, first: date, last: date, by: str, reason: str, at: datetime) -> Rebuild:
    problems = []
    if last < first:
        problems.append(("last", "The last day comes before the first."))
    if not reason.strip():
        problems.append(("reason", "Say why: it is kept in the audit trail."))
    if problems:
        raise Invalid("This cannot be rebuilt.", problems)
    calendar = kept.current()
    _check_kept((day for day in calendar.lost_days() if first <= day <= last), calendar)
    audit.acting(by=by, reason=reason)
    return Rebuild.objects.create(first_day=first, last_day=last, asked_at=at, by=by, reason=reason.strip()[:300])


def _check_kept(days: Iterator[date] | list[date], calendar: Kept) -> None:
    lost = sorted({month for day in days for month in calendar.lost(day)})
    if lost:
        raise NotKept(
            f"The ledger does not keep {kept.listed(lost)} any more: its partitions were dropped, and sums of "
            "those days stay as they are. Rebuild days after them."
        )


def _in_line(rebuild: Rebuild, *, key: str, at: datetime) -> Rebuild:
    job = Job.objects.create(
        kind=KIND, arguments={"rebuild": rebuild.pk}, dedupe_key=key, run_after=at, created_at=at, created_by=rebuild.by
    )
    rebuild.job_id = job.pk
    rebuild.save(update_fields=["job_id"])
    return rebuild


def go_on(*, rebuild: Rebuild, clock: Callable[[], datetime], told: Told) -> None:
    """Run a rebuild that `begin` noted, to its end, and tell of each day what was wrong with it."""
    calendar = kept.current()
    for day in calendar.days():
        if rebuild.first_day <= day <= rebuild.last_day:
            mended = rebuild_day(day=day, calendar=calendar)
            with _changing(rebuild):
                _add(rebuild, day.isoformat(), mended)
            told(day, mended)
    for name, mended in _counters(rebuild, at=clock()).items():
        with _changing(rebuild):
            _add(rebuild, name, mended)
        told(date.fromisoformat(name), mended)
    with _changing(rebuild):
        rebuild.finished_at = clock()
        rebuild.save(update_fields=["finished_at"])


def run(job: Job, *, at: datetime) -> bool:
    """Rebuild one day, or at last the counters; True when nothing is left. Two at once do nothing twice."""
    rebuild = Rebuild.objects.get(pk=job.arguments["rebuild"])
    calendar = kept.current()
    days = [day for day in calendar.days() if rebuild.first_day <= day <= rebuild.last_day]
    done = job.checkpoint.get("done", "")
    left = [day for day in days if day.isoformat() > done]
    if left:
        mended = rebuild_day(day=left[0], calendar=calendar)
        with _changing(rebuild):
            _add(rebuild, left[0].isoformat(), mended)
            job.checkpoint, job.done, job.total = {"done": left[0].isoformat()}, len(days) - len(left) + 1, len(days)
            job.save(update_fields=["checkpoint", "done", "total"])
        return False
    mended_counters = _counters(rebuild, at=at)
    with _changing(rebuild):
        for name, mended in mended_counters.items():
            _add(rebuild, name, mended)
        rebuild.finished_at = at
        rebuild.save(update_fields=["finished_at"])
        job.state, job.finished_at, job.result = JobState.DONE, at, {"mended": rebuild.mended}
        job.save(update_fields=["state", "finished_at", "result"])
        reconciling.ask_for(by=rebuild.by, at=at)  # which says that all is right again, and ends the alert
    return True


@contextmanager
def _changing(rebuild: Rebuild) -> Iterator[None]:
    with transaction.atomic():
        audit.acting(by=rebuild.by, reason=rebuild.reason)
        yield


def _add(rebuild: Rebuild, day: str, mended: dict[str, int]) -> None:
    if mended:
        rebuild.mended = rebuild.mended | {day: {**rebuild.mended.get(day, {}), **mended}}
        rebuild.save(update_fields=["mended"])


def _counters(rebuild: Rebuild, *, at: datetime) -> dict[str, dict[str, int]]:
    """Have counters of periods that touch the days summed anew where they differ; by the first day of their period."""
    calendar = kept.current()
    lost = calendar.lost_days()
    starts_at, ends_at = calendar.spans(rebuild.first_day)[0][0], calendar.spans(rebuild.last_day)[-1][1]
    found: dict[str, dict[str, int]] = {}
    for one in counters.compare(
        at=at,
        sure=lambda period: starts_at <= period.starts_at and period.ends_at <= ends_at,  # their days are right by now
        kept=lambda period: not lost or period.starts_at >= calendar.spans(lost[-1])[-1][1],
        within=(starts_at, ends_at),
    ):
        if one.differs:
            building.start_again(budget_id=one.definition.id, period=one.period)
            tables = found.setdefault(one.period.first_day.isoformat(), {counters.WHAT: 0})
            tables[counters.WHAT] += 1
    for counter_id in building.waiting_to_build() if found else []:
        building.build(counter_id=counter_id, summed=drivers.sum_so_far, at=at, explain=drivers.explain)
    return found
