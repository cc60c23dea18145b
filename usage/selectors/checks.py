"""Checks of the sums against the ledger, and what was made anew or dropped of it, as pages and the API tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from catalog.models import Gateway, Offering, Team, Tier, UseCase
from core.models import Job, JobState
from usage.models import DroppedPartition, Rebuild, Reconciliation, Status
from usage.selectors import counters, kept, past, recount

RIGHT, DIFFERS, UNFINISHED = "right", "differs", "unfinished"
KIND = "reconcile"  # of the job; its service is `reconciling`

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One comparison of the organisation's days from `first_day` to `last_day`, included, with the ledger."""

    id: int
    state: str  # right, differs, or unfinished
    first_day: date
    last_day: date
    full: bool  # every day that the ledger keeps
    started_at: datetime
    finished_at: datetime | None
    by: str
    entries: int
    rows: int
    differing: int
    days: Mapping[str, Mapping[str, int]]  # what differs: rows by day and table

    @property
    def first_wrong(self) -> date | None:
        return min(map(date.fromisoformat, self.days), default=None)

    @property
    def last_wrong(self) -> date | None:
        return max(map(date.fromisoformat, self.days), default=None)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A sum that is not what the ledger says. Of a row that only one side has, the other side is None."""

    what: str  # the table
    day: date | None  # the organisation's; None for quarter hours, which say `at`
    at: datetime | None
    which: tuple[tuple[str, str], ...]  # its key, with names, use case first; without what says nothing
    budget_id: int | None  # of a counter
    held: Values | None
    recounted: Values | None


@dataclass(frozen=True, kw_only=True)
class Check:
    row: CheckRow
    differences: tuple[Difference, ...]  # the first hundred


@dataclass(frozen=True, kw_only=True)
class RebuildRow:
    id: int
    first_day: date
    last_day: date
    asked_at: datetime
    by: str
    reason: str
    finished_at: datetime | None
    rows: int  # that were wrong, counters among them
    error: str  # of its job, if that failed


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A UTC month of the ledger that is not kept any more."""

    month: date
    rows: int
    dropped_at: datetime
    by: str


def listed(*, before: int | None = None, most: int) -> list[CheckRow]:
    """Return checks, the newest first. One query."""
    found = Reconciliation.objects.defer("differences").order_by("-id")
    return [_row(one) for one in (found.filter(pk__lt=before) if before else found)[:most]]


def one(pk: int | None = None) -> Check | None:
    """Return a check in full, the last that is finished where none is named. Five queries at most."""
    checks = (
        Reconciliation.objects.filter(pk=pk)
        if pk is not None
        else Reconciliation.objects.filter(finished_at__isnull=False)
    )
    found = checks.order_by("-id").first()
    if found is None:
        return None
    return Check(row=_row(found), differences=tuple(_differences(found.differences)))


def failure() -> str:
    """Return why the last check that was to run did not, if it failed. One query."""
    job = Job.objects.filter(kind=KIND).order_by("-id").values_list("state", "error").first()
    return str(job[1]) if job and job[0] == JobState.FAILED else ""


def under_way() -> bool:
    """Say whether a check waits or runs. One query."""
    return Job.objects.filter(kind=KIND, state__in=[JobState.WAITING, JobState.RUNNING]).exists()


def rebuilds(*, most: int) -> list[RebuildRow]:
    """Return rebuilds, the newest first. Two queries."""
    found = list(Rebuild.objects.order_by("-id")[:most])
    failed = Job.objects.filter(pk__in=[one.job_id for one in found], state=JobState.FAILED)
    errors = dict(failed.values_list("id", "error"))
    return [
        RebuildRow(
            id=one.pk,
            first_day=one.first_day,
            last_day=one.last_day,
            asked_at=one.asked_at,
            by=one.by,
            reason=one.reason,
            finished_at=one.finished_at,
            rows=sum(count for tables in one.mended.values() for count in tables.values()),
            error=errors.get(one.job_id or 0, ""),
        )
        for one in found
    ]


def dropped(*, most: int) -> list[Dropped]:
    """Return months that were dropped, the newest first. One query."""
    found = DroppedPartition.objects.filter(table=kept.LEDGER).order_by("-month")[:most]
    return [Dropped(month=one.month, rows=one.rows, dropped_at=one.dropped_at, by=one.by) for one in found]


def _row(found: Reconciliation) -> CheckRow:
    state = UNFINISHED if found.finished_at is None else DIFFERS if found.differing else RIGHT
    return CheckRow(
        id=found.pk,
        state=state,
        first_day=found.first_day,
        last_day=found.last_day,
        full=found.full,
        started_at=found.started_at,
        finished_at=found.finished_at,
        by=found.by,
        entries=found.entries,
        rows=found.rows,
        differing=found.differing,
        days=dict(sorted(found.days.items())),
    )


_NAMED = {
    "use_case_id": ("use case", UseCase),
    "offering_id": ("model", Offering),
    "team_id": ("team", Team),
    "gateway_id": ("gateway", Gateway),
}
_ORDER = {name: place for place, name in enumerate((*_NAMED, "tag", "value", "tier", "status"))}
_CHOSEN: dict[str, dict[int, str]] = {
    "tier": {one.value: str(one.label) for one in Tier},
    "status": {one.value: str(one.label) for one in Status},
}
_TIMES = ("day", "bucket", "period_start")


def _differences(kept: list[dict[str, Any]]) -> Iterable[Difference]:
    names: dict[str, dict[int, str]] = {}
    for column, (_, model) in _NAMED.items():
        ids = {one["which"][column] for one in kept if column in one["which"]}
        if ids:
            names[column] = dict(model.objects.filter(pk__in=ids).values_list("id", "name"))  # type: ignore[attr-defined]
    for one in kept:
        which = one["which"]
        at = which.get("bucket") if one["what"] == recount.QUARTERS else which.get("period_start")
        yield Difference(
            what=one["what"],
            day=date.fromisoformat(which["day"]) if "day" in which else None,
            at=datetime.fromisoformat(at) if at else None,
            which=tuple(_named(which, names)),
            budget_id=which.get("budget_id"),
            held=one["held"],
            recounted=one["recounted"],
        )


def _named(which: Values, names: Mapping[str, Mapping[int, str]]) -> Iterable[tuple[str, str]]:
    # The database keeps the keys of a document in an order of its own.
    for column, value in sorted(which.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0])):
        if column in _TIMES or column in ("budget_id", "counter_id") or value in ("", None):
            continue
        if column in _NAMED:
            yield _NAMED[column][0], names.get(column, {}).get(value, f"#{value}")
        elif column in _CHOSEN:
            yield column, _CHOSEN[column].get(value, str(value))
        elif value != 0:
            yield column.replace("_", " "), str(value)


WORDS = {
    recount.QUARTERS: "by quarter hour",
    recount.DAYS: "by day",
    recount.TAGS: "by day and tag",
    past.OF_DAYS: "of days that are over",
    past.OF_WEEKS: "of weeks that are over",
    past.OF_ATTEMPTS: "of attempts of weeks that are over",
    counters.WHAT: "of budgets",
}
