"""What a person decides about a file that was read: to book a range of it, or to drop it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core.errors import Conflict, Invalid, NotFound
from core.models import Job, JobState
from usage.models import ImportState, Receipt, ReceiptState, UsageImport
from usage.services import intake
from usage.services.imports import running
from usage.services.imports.opening import hold_still, make_room, open_held

_HOUR = timedelta(hours=1)
# A range may say more than the file's events do ("all of October"), and not any range: each of its months is a table.
MOST_BEYOND = timedelta(days=31)


class Settled(Conflict):
    """Somebody decided about this import before, or its file is not read to its end yet."""


class NotFailed(Conflict):
    """The import goes on by itself, or is done."""


def usual_range(*, first_at: datetime, last_at: datetime) -> tuple[datetime, datetime]:
    """Return the range that an import has unless somebody says otherwise: its events' times, widened to whole hours.

    Hours and not days: live events inside a counted range are kept aside, and a gateway whose live stream began in the
    afternoon shall keep that afternoon.
    """
    starts_at = first_at.replace(minute=0, second=0, microsecond=0)
    return starts_at, last_at.replace(minute=0, second=0, microsecond=0) + _HOUR


def confirm(
    *,
    import_id: int,
    by: str,
    at: datetime,
    covers: tuple[datetime | None, datetime | None] = (None, None),
    audit_only: bool = False,
    note: str = "",
) -> None:
    """Have an import booked for the half-open range `covers`; an end that is not given is that of its `usual_range`.

    Events outside of the range are kept aside, and so are live events inside of it that come later; of an import for
    audit everything is. What of it is booked, and when, is shown with the import.

    Raises:
        NotFound: there is no such import.
        Invalid: the file has no events, or the range is empty or holds none of them.
        RangeIsCounted: nothing changed; an import for audit is possible.
        Settled: somebody was first.
    """
    found = UsageImport.objects.filter(pk=import_id).first()
    if found is None:
        raise NotFound(f"There is no import {import_id}.")
    _demand_ready(found)
    if found.first_at is None or found.last_at is None:
        raise Invalid("The file holds no events, so there is nothing to book.")
    usual = usual_range(first_at=found.first_at, last_at=found.last_at)
    range_ = (covers[0] or usual[0], covers[1] or usual[1])
    _check_range(range_, found.first_at, found.last_at)
    make_room(range_)
    with transaction.atomic(durable=True):
        hold_still(by=by, reason=note)
        found = UsageImport.objects.select_for_update().get(pk=import_id)
        _demand_ready(found)
        source = open_held(
            gateway_id=found.gateway_id, covers=range_, at=at, audit_only=audit_only,
            note=(note or found.file_name)[:200],
        )  # fmt: skip
        UsageImport.objects.filter(pk=found.pk).update(
            state=ImportState.BOOKING,
            source=source,
            covers=DateTimeTZRange(*range_),
            audit=audit_only,
            note=note[:200],
            confirmed_at=at,
            confirmed_by=by,
            job_id=running.ask_for(found=found, by=by, at=at),
        )


def _demand_ready(found: UsageImport) -> None:
    if found.state == ImportState.READY:
        return
    if found.state == ImportState.DROPPED:
        raise Settled(f"{found.dropped_by or 'Somebody'} dropped this import.")
    if found.confirmed_at is not None:
        raise Settled(f"{found.confirmed_by} confirmed this import already.")
    raise Settled("The file is not read to its end yet: give it again, and reading goes on where it stopped.")


def _check_range(covers: tuple[datetime, datetime], first_at: datetime, last_at: datetime) -> None:
    starts_at, ends_at = covers
    if starts_at >= ends_at:
        raise Invalid("The range ends before it starts.", [("until", "Give an end after the start.")])
    if ends_at <= first_at or starts_at > last_at:
        raise Invalid("The range holds none of the file's events.", [("since", "None of the events is in the range.")])
    if first_at - starts_at > MOST_BEYOND or ends_at - last_at > MOST_BEYOND:
        sentence = "The range reaches more than a month beyond the file's events."
        raise Invalid(sentence, [("until" if ends_at - last_at > MOST_BEYOND else "since", sentence)])


@transaction.atomic(durable=True)
def drop(*, import_id: int, by: str, at: datetime) -> None:
    """Give an import up before anything of it is booked: its parts are deleted, and its file may be given again.

    Safe to repeat.

    Raises:
        NotFound: there is no such import.
        Settled: it is confirmed.
    """
    found = UsageImport.objects.select_for_update().filter(pk=import_id).first()
    if found is None:
        raise NotFound(f"There is no import {import_id}.")
    if found.state == ImportState.DROPPED:
        return
    if found.confirmed_at is not None:
        raise Settled(f"{found.confirmed_by} confirmed this import already.")
    found.parts.all().delete()
    found.state, found.dropped_by, found.finished_at = ImportState.DROPPED, by, at
    found.save(update_fields=["state", "dropped_by", "finished_at"])


@transaction.atomic(durable=True)
def again(*, import_id: int, by: str, at: datetime) -> int:
    """Go on with an import that stopped, and put its bodies that could not be booked in line again; returns how many.

    Raises:
        NotFound: there is no such import.
        NotFailed: it goes on, or is done.
    """
    found = UsageImport.objects.select_for_update().filter(pk=import_id).first()
    if found is None:
        raise NotFound(f"There is no import {import_id}.")
    stopped = Job.objects.filter(pk=found.job_id or 0, state__in=[JobState.FAILED, JobState.CANCELLED]).exists()
    if found.source_id is None or not (found.state == ImportState.FAILED or stopped):
        raise NotFailed("Nothing of this import was set aside, and it has not stopped.")
    failed = Receipt.objects.filter(source_id=found.source_id, state=ReceiptState.FAILED).values_list("pk", flat=True)
    retried = sum(intake.retry(receipt_id=pk, at=at) for pk in list(failed))
    found.state, found.finished_at, found.error = ImportState.BOOKING, None, ""
    found.job_id = running.ask_for(found=found, by=by, at=at)
    found.save(update_fields=["state", "job_id", "finished_at", "error"])
    return retried
