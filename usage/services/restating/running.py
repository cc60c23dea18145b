"""The background run that restates what an amendment concerns.

Each batch is one transaction that also moves the job's checkpoint, so a crash repeats nothing and skips nothing, and
the restatement at the end adds up to exactly what was booked. An entry is compared with what it should be by the
catalogue as it is, so a batch that finds it right books nothing: two runs over the same entries do the work once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import psycopg
from django.db import connection, transaction

from catalog.models import Amendment
from catalog.rules import REQUESTS, RateCard
from core.models import Job, JobState
from core.money import plain
from core.services import audit
from usage.models import Correction, Restatement
from usage.rules.postings import COLUMNS, QUARTER_HOUR_S, Posting
from usage.rules.rating import usd
from usage.rules.restating import Cost, corrected, differs
from usage.selectors import concerned as concerns
from usage.selectors import kept
from usage.selectors import world as worlds
from usage.selectors.entries import NOTHING_SINCE, Since, posting_of, since
from usage.selectors.world import World
from usage.services import interning, ledger, partitions, pricing
from usage.services.restating.steps import restatement_id, step

KIND = "restate"
BATCH = 2000


def take_up(*, at: datetime) -> int:
    """Put amendments that nobody has taken up in line, each with a job of its own; returns how many.

    Two processes that look at once take each amendment up once.
    """
    waiting = Amendment.objects.exclude(pk__in=Correction.objects.values("amendment_id")).order_by("pk")
    taken = 0
    for amendment in waiting:
        with transaction.atomic():
            job = Job.objects.create(
                kind=KIND,
                arguments={"amendment": amendment.pk},
                run_after=at,
                created_at=at,
                created_by=amendment.by,
            )
            made = Correction.objects.bulk_create(
                [Correction(amendment_id=amendment.pk, job_id=job.pk, taken_up_at=at)], ignore_conflicts=True
            )
            if Correction.objects.filter(amendment_id=amendment.pk, job_id=job.pk).exists():
                taken += len(made)
            else:
                job.delete()  # somebody else was first
    return taken


def run(job: Job, *, at: datetime) -> bool:
    """Book one batch; True when nothing is left. See `steps.step`."""
    return step(job, _batch, at=at)


def _batch(job: Job, cursor: psycopg.Cursor[Any], at: datetime) -> bool:
    amendment = Amendment.objects.get(pk=job.arguments["amendment"])
    if not job.checkpoint:
        job.checkpoint, job.total = _first_mark(amendment), _count(amendment)
    finished = _go_on(job, amendment, cursor, at)
    if finished:
        _finish(job, amendment, at)
    job.save(update_fields=["checkpoint", "done", "total", "state", "result", "finished_at"])
    return finished


def _first_mark(amendment: Amendment) -> dict[str, Any]:
    """Start at the first entry."""
    return {
        "use_cases": concerns.use_cases(amendment),  # those left to do, the first one under way
        "after": None,  # booked_at and id of the last entry looked at, of that use case
        "restatement": restatement_id(),
        "entries": 0,
        "tokens": [0, 0],  # unpriced ones, before and after
        "cost": ["0", "0"],  # attodollars, before and after
        "months": {},  # by label: entries, cost before, cost after
        "by_use_case": {},
    }


def _count(amendment: Amendment) -> int:
    """Count the entries that will be looked at, for showing how far the run is."""
    concerned = concerns.by(amendment)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ledger e WHERE e.kind = 1 AND {concerned.sql()}", concerned.parameters)
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _go_on(job: Job, amendment: Amendment, cursor: psycopg.Cursor[Any], at: datetime) -> bool:
    """Look at up to a batch of entries and book what they lack; True where no use case is left."""
    mark = job.checkpoint
    world = worlds.current()
    partitions.require([world.open_from(at)])
    cards: dict[int, RateCard] = {}
    lines: list[Posting] = []
    rated: list[Posting] = []  # those of them that were rated anew, and carry the key of a card
    left = BATCH
    while mark["use_cases"] and left > 0:
        entries = _next(cursor, amendment, mark, left)
        made, anew = _correct(amendment, entries, cursor=cursor, world=world, cards=cards, mark=mark, at=at)
        lines += made
        rated += anew
        job.done += len(entries)
        if len(entries) < left:
            mark["use_cases"], mark["after"] = mark["use_cases"][1:], None
        else:
            mark["after"] = [entries[-1].booked_at.isoformat(), entries[-1].id]
        left -= len(entries)
    interning.set_rates(cursor, rated, cards)
    ledger.post(cursor, postings=lines, world=world, at=at)
    return not mark["use_cases"]


def _next(cursor: psycopg.Cursor[Any], amendment: Amendment, mark: dict[str, Any], most: int) -> list[Posting]:
    """Read entries in the order of the ledger's key: the primary key finds where to go on, whatever its size.

    What this run booked anew comes later in that order, and is left out: it is right.
    """
    concerned = concerns.by(amendment)
    further = "AND (e.booked_at, e.id) > (%(booked_at)s, %(id)s)" if mark["after"] else ""
    parameters = concerned.parameters | {
        "use_case": mark["use_cases"][0],
        "restatement": mark["restatement"],
        "most": most,
    }
    if mark["after"]:
        booked_at, id_ = mark["after"]
        parameters |= {"booked_at": datetime.fromisoformat(booked_at), "id": id_}
    cursor.execute(
        f"SELECT {', '.join(f'e.{name}' for name in COLUMNS)} FROM ledger e WHERE e.use_case_id = %(use_case)s "
        f"AND e.kind = 1 AND e.restatement_id IS DISTINCT FROM %(restatement)s {further} AND {concerned.sql()} "
        "ORDER BY e.booked_at, e.id LIMIT %(most)s",
        parameters,
    )
    return [posting_of(row) for row in cursor.fetchall()]


def _correct(
    amendment: Amendment,
    entries: Sequence[Posting],
    *,
    cursor: psycopg.Cursor[Any],
    world: World,
    cards: dict[int, RateCard],
    mark: dict[str, Any],
    at: datetime,
) -> tuple[list[Posting], list[Posting]]:
    """Return the lines that entries of one use case lack, and those of them that carry the keys of their cards."""
    lines: list[Posting] = []
    rated: list[Posting] = []
    if not entries:
        return lines, rated
    later = since(
        cursor,
        use_case_id=entries[0].use_case_id,
        ids=[entry.id for entry in entries],
        booked_from=entries[0].booked_at,
    )
    ids = iter(ledger.take_ids(cursor, 2 * len(entries)))
    for entry in entries:
        what_came = later.get(entry.id, NOTHING_SINCE)
        if what_came.reversed:
            continue
        held = _held(entry, what_came)
        place = concerns.place(
            amendment, world.book, use_case_id=entry.use_case_id, team_id=entry.team_id,
            offering_id=entry.offering_id, tier=entry.tier, reported_model=entry.reported_model,
            occurred_at=entry.occurred_at,
        )  # fmt: skip
        due = held
        repriced = concerns.reprices(amendment, entry.offering_id, place)
        if repriced:
            due = pricing.due(entry, offering_id=place.offering_id, world=world, cards=cards)
        closed = world.closed_month(entry.occurred_at)
        if not differs(entry, held=held, due=due, place=place, closed=closed is not None):
            continue
        made = corrected(
            entry, held=held, due=due, place=place, ids=ids, correction_of=closed,
            booked_at=entry.occurred_at if closed is None else world.open_from(at),
            restatement_id=mark["restatement"],
        )  # fmt: skip
        lines += made
        if repriced:
            rated.append(made[-1])  # the adjustment, or the entry that is booked anew
        _add(mark, entry, held, due, closed or _month(world, entry.occurred_at))
    return lines, rated


def _held(entry: Posting, later: Since) -> Cost:
    if entry.cost is None:
        return Cost(None, None, entry.avoided, None, entry.unpriced)
    return Cost(
        entry.cost + later.cost,
        (entry.list_cost or 0) + later.list_cost,
        entry.avoided + later.avoided,
        entry.rate_id if later.rate_id is None else later.rate_id,
        entry.unpriced,
    )


def _month(world: World, at: datetime) -> date:
    return world.day_of(int(at.timestamp()) // QUARTER_HOUR_S * QUARTER_HOUR_S).replace(day=1)


def _add(mark: dict[str, Any], entry: Posting, held: Cost, due: Cost, month: date) -> None:
    """Add a corrected entry to what the restatement will say."""
    mark["entries"] += 1
    for index, cost in enumerate((held.cost, due.cost)):
        mark["cost"][index] = str(int(mark["cost"][index]) + (cost or 0))
        if cost is None:
            mark["tokens"][index] += sum(entry.meters[:REQUESTS])
    for group, key in (("months", f"{month:%Y-%m}"), ("by_use_case", str(entry.use_case_id))):
        entries, before, after = mark[group].get(key, (0, "0", "0"))
        mark[group][key] = [entries + 1, str(int(before) + (held.cost or 0)), str(int(after) + (due.cost or 0))]


def _finish(job: Job, amendment: Amendment, at: datetime) -> None:
    mark = job.checkpoint
    # Months that retention dropped hold nothing that could be restated: said, so that nobody takes it for all.
    lost = kept.dropped_within(amendment.starts_at, amendment.ends_at)
    job.state, job.finished_at = JobState.DONE, at
    job.result = {"entries": mark["entries"], "not_kept": [month.isoformat() for month in lost]}
    if not mark["entries"]:
        return

    def sums(index: int) -> dict[str, Any]:
        return {
            "entries": mark["entries"],
            "cost_usd": _usd(mark["cost"][index]),
            "unpriced_tokens": mark["tokens"][index],
            "months": _each(mark["months"], 1 + index),
            "use_cases": _each(mark["by_use_case"], 1 + index),
        }

    audit.acting(by=amendment.by, reason=amendment.reason)
    Restatement.objects.create(
        id=mark["restatement"],
        kind=amendment.kind,
        reason=amendment.reason,
        by=amendment.by,
        at=at,
        subject={"amendment": amendment.pk, "summary": amendment.summary},
        before=sums(0),
        after=sums(1),
        job_id=job.pk,
    )


def _each(group: dict[str, list[Any]], column: int) -> dict[str, dict[str, Any]]:
    return {key: {"entries": row[0], "cost_usd": _usd(row[column])} for key, row in sorted(group.items())}


def _usd(atto: str) -> str:
    return plain(usd(int(atto)))
