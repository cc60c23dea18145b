"""Pricing what had to wait: entries that were booked without a price are reversed and booked anew when one arrives.

Each batch is one transaction that also moves the job's checkpoint, so a crash repeats nothing and skips nothing, and
the restatement at the end adds up to exactly what was booked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import psycopg
from django.db import connection

from catalog.rules import REQUESTS, RateCard
from catalog.selectors import snapshot
from core.models import Job, JobState
from core.money import plain
from core.services import barrier
from usage.models import PRICE_ARRIVED, Restatement
from usage.rules.postings import COLUMNS, USAGE, Posting, reversal
from usage.rules.rating import usd
from usage.selectors import world as worlds
from usage.selectors.entries import posting_of
from usage.selectors.world import World
from usage.services import interning, ledger, partitions, pricing
from usage.services.restating.steps import restatement_id, step

KIND = PRICE_ARRIVED
BATCH = 1000

# Whatever waits for a price and was not taken back since. `unpriced` 3 (not counted) waits for nothing.
_WAITS = (
    "e.kind = 1 AND e.unpriced IN (1, 2, 4) "
    "AND NOT EXISTS (SELECT 1 FROM ledger c WHERE c.corrects_id = e.id AND c.kind = 2)"
)


def offerings_with_prices() -> list[int]:
    """Return offerings with entries that wait for a price, and with some price now.

    Reads the partial index of unpriced entries, an offering at a time; for when the catalogue changed, not for pages.
    """
    priced = sorted(worlds.current().book.priced_offerings)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.id FROM unnest(%s::bigint[]) AS o(id) "
            f"WHERE EXISTS (SELECT 1 FROM ledger e WHERE e.offering_id = o.id AND {_WAITS})",
            [priced],
        )
        return [int(id_) for (id_,) in cursor.fetchall()]


def ask_for(*, offering_id: int, by: str, at: datetime) -> None:
    """Put the work for one offering in line, once while it waits."""
    Job.objects.bulk_create(
        [
            Job(
                kind=KIND,
                arguments={"offering": offering_id},
                dedupe_key=f"{KIND}:{offering_id}",
                run_after=at,
                created_at=at,
                created_by=by,
            )
        ],
        ignore_conflicts=True,
    )


def run(job: Job, *, at: datetime) -> bool:
    """Book one batch; True when nothing is left. See `steps.step`."""
    return step(job, _go_on, at=at)


def _go_on(job: Job, cursor: psycopg.Cursor[Any], at: datetime) -> bool:
    mark = job.checkpoint or {
        "after": 0, "entries": 0, "tokens": 0, "cost": "0", "restatement": restatement_id(),
    }  # fmt: skip
    world = worlds.current()
    partitions.require([world.open_from(at)])
    entries = _waiting(cursor, offering=job.arguments["offering"], after=mark["after"])
    postings: list[Posting] = []
    cards: dict[int, RateCard] = {}
    ids = iter(ledger.take_ids(cursor, 2 * len(entries)))
    for entry in entries:
        mark["after"] = entry.id
        anew = _rated_anew(entry, world, cards)
        if anew is None:
            continue
        closed = world.closed_month(entry.occurred_at)
        booked_at = entry.occurred_at if closed is None else world.open_from(at)
        taken_back = reversal(
            entry, id_=next(ids), booked_at=booked_at, correction_of=closed, restatement_id=mark["restatement"]
        )
        anew = msgspec.structs.replace(
            anew, id=next(ids), booked_at=booked_at, correction_of=closed, restatement_id=mark["restatement"]
        )
        postings += [taken_back, anew]
        mark["entries"] += 1
        mark["tokens"] += sum(entry.meters[:REQUESTS])
        mark["cost"] = str(int(mark["cost"]) + (anew.cost or 0))
    interning.set_rates(cursor, [p for p in postings if p.kind == USAGE], cards)
    ledger.post(cursor, postings=postings, world=world, at=at)
    job.checkpoint = mark
    job.done = mark["entries"]
    finished = len(entries) < BATCH
    if finished:
        _restate(job, mark, at)
    job.save(update_fields=["checkpoint", "done", "state", "result", "finished_at"])
    return finished


def _waiting(cursor: psycopg.Cursor[Any], *, offering: int, after: int) -> list[Posting]:
    cursor.execute(
        f"SELECT {', '.join(f'e.{name}' for name in COLUMNS)} FROM ledger e "
        f"WHERE e.offering_id = %s AND e.id > %s AND {_WAITS} ORDER BY e.id LIMIT {BATCH}",
        [offering, after],
    )
    return [posting_of(row) for row in cursor.fetchall()]


def _rated_anew(entry: Posting, world: World, cards: dict[int, RateCard]) -> Posting | None:
    """Price an entry with what holds for its time now; None where that is still nothing."""
    due = pricing.due(entry, offering_id=entry.offering_id, world=world, cards=cards)
    return None if due.cost is None else msgspec.structs.replace(entry, kind=USAGE, corrects=None, **due._asdict())


def _restate(job: Job, mark: dict[str, Any], at: datetime) -> None:
    job.state, job.finished_at, job.result = JobState.DONE, at, {"entries": mark["entries"]}
    if not mark["entries"]:
        return
    Restatement.objects.create(
        id=mark["restatement"],
        kind=KIND,
        reason="A price arrived for entries that were booked without one.",
        by=job.created_by,
        at=at,
        subject={"offering": job.arguments["offering"]},
        before={"entries": mark["entries"], "cost_usd": "0", "unpriced_tokens": mark["tokens"]},
        after={"entries": mark["entries"], "cost_usd": plain(usd(int(mark["cost"]))), "unpriced_tokens": 0},
        job_id=job.pk,
    )


def look_for_prices(*, since_revision: int, at: datetime) -> int:
    """Ask for the pricing of whatever waits and can be priced now, if the catalogue changed; returns its revision."""
    revision = snapshot.revision()
    if revision != since_revision:
        barrier.pass_through()
        for offering_id in offerings_with_prices():
            ask_for(offering_id=offering_id, by="price book", at=at)
    return revision
