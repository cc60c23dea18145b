"""All that is known of one event: what was booked of it in which order, what it was priced with, and who says so.

# Note [Finding an event]
An event is (source, digest of its id). Its key names the entry that stands for it. Keys of live sources are pruned, so
a place in the ledger does as well, which links of lists carry; where somebody has neither, `find` looks through the
lines of a use case on a day. From one line on, the others are found at the instants at which they can have been booked:
the event's own time, and the moments of whatever corrects a line of it. The ledger is only ever read by its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from catalog.models import Contract, Price
from catalog.selectors.price_rows import READ_WITH, PriceRow, price_row
from usage.models import (
    Correction,
    EventKey,
    HeldEvent,
    HeldReason,
    Rate,
    Receipt,
    RequestContext,
    Restatement,
    Source,
    SourceKind,
)
from usage.rules.postings import COLUMNS, REVERSAL, USAGE, Posting
from usage.rules.worked_out import Part, added, parts
from usage.selectors.entries import posting_of
from usage.selectors.lines_rows import NAMED, SELECTED, LineRow, Place, row_of

LEDGER, UNSUMMED = "ledger", "ledger_unsummed"
KEPT_DAYS = 36  # for which a live source's events are known by their ids
NEAR = timedelta(minutes=15)  # attempts of one call lie closer together
MOST_ATTEMPTS = 20
_COMES_BEFORE = bytes(16)  # the content of a key whose event was named by another one before it came


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    id: int
    gateway: str
    gateway_id: int
    live: bool  # a gateway's stream, else an import into it
    audit: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class ContractFacts:
    id: int
    name: str
    discount_percent: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    recorded_at: datetime | None
    approved_by: str
    note: str


@dataclass(frozen=True, kw_only=True)
class RestatementFacts:
    """Why a line was booked later; `key` is that of its page."""

    id: int
    key: str
    kind: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ReceiptFacts:
    """The body that an event came in; counts are its events."""

    id: int
    state: str
    format: str
    environment: str
    received_at: datetime
    done_at: datetime | None
    events: int
    booked: int
    duplicates: int
    conflicts: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class Told:
    """A line of the event: what it is, why it was booked, and where the cost stands after it (None: no price)."""

    row: LineRow
    posting: Posting
    running_usd: Decimal | None
    restatement: RestatementFacts | None


@dataclass(frozen=True, kw_only=True)
class WorkedOut:
    """How a cost follows from an entry's meters: the parts add up to `total_usd`, at list to `list_usd`."""

    rate_id: int
    parts: Sequence[Part]
    total_usd: Decimal
    list_usd: Decimal
    contract: ContractFacts | None
    priced_by: int  # the line that it was priced by: the entry, or the last adjustment of it


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Another attempt at the same call, with what it costs after all corrections."""

    row: LineRow
    cost_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class HeldFacts:
    """An event of the same id with other content, or one too old: kept, never counted."""

    id: int
    reason: str
    held_at: datetime
    receipt_id: int
    settled: bool


@dataclass(frozen=True, kw_only=True)
class Story:
    """One event. `lines` are in the order of their booking; `entry` is the one that counts now, None where none does.

    `first` is what was booked of it first. `other` names the event that counts in its place, where one does.
    """

    source: SourceFacts
    digest: str
    event_id: str
    summed: bool  # its lines are in totals: it is no shadow and no import for audit
    lines: Sequence[Told]
    first: Told
    entry: Told | None
    cost_usd: Decimal | None  # of all lines together; None: it counts and has no price
    worked_out: WorkedOut | None
    prices: Mapping[int, PriceRow]
    receipts: Mapping[int, ReceiptFacts]
    attempts: Sequence[Attempt]
    held: Sequence[HeldFacts]
    context: Mapping[str, Any] | None
    first_received_at: datetime | None  # None: its key is pruned
    other: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """An event of which nothing was found: whether its source is known at all, and what is known of its key."""

    source: SourceFacts | None
    never_came: bool = False  # another event named it, and it never came itself
    other: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """A source that knows an event by an id, and where the entry that stands for it is."""

    source: SourceFacts
    digest: str


def named(*, digest: bytes, gateway: str = "") -> list[Named]:
    """Return the sources that know an event of this digest, each once; of one gateway where it is named. One query."""
    keys = EventKey.objects.filter(
        digest=digest, source__in=Source.objects.values("pk")
    ).select_related("source__gateway")  # fmt: skip
    if gateway:
        keys = keys.filter(source__gateway__name__iexact=gateway)
    return [
        Named(source=_source(key.source), digest=digest.hex())
        for key in sorted(keys[:50], key=lambda one: one.source_id)
    ]


def find(*, digest: bytes, use_case_id: int, starts_at: datetime, ends_at: datetime) -> list[LineRow]:
    """Return a line of each source's event of this digest among what a use case booked in [starts_at, ends_at).

    For what no key knows any more: it reads all these lines, so ask for a day or two. Two queries at most.
    """
    for table in (LEDGER, UNSUMMED):
        found = _read(
            f"FROM (SELECT DISTINCT ON (l.source_id) l.* FROM {table} l WHERE l.use_case_id = %(use_case)s "
            f"AND l.booked_at >= %(from)s AND l.booked_at < %(to)s AND {_OF_EVENT} ORDER BY l.source_id, l.id) AS l",
            {"use_case": use_case_id, "from": starts_at, "to": ends_at, "digest": digest},
        )
        if found:
            return [row for row, _ in found]
    return []


def one(*, source_id: int, digest: bytes, place: Place | None = None) -> Story | Unknown:
    """Return all that is known of an event; `place` is where a line of it stands. See Note [Finding an event].

    At most nineteen queries, none of which grows with the ledger.
    """
    source = Source.objects.select_related("gateway").filter(pk=source_id).first()
    if source is None:
        return Unknown(source=None)
    facts = _source(source)
    key = EventKey.objects.filter(source=source_id, digest=digest).first()
    found, summed = _found(source_id, digest, key, place)
    other = None
    if key is not None and (not found or all(key.entry_id != row.place.id for row, _ in found)):
        other = _other(source_id, digest, key)
    if not found:
        never = key is not None and bytes(key.content) == _COMES_BEFORE
        return Unknown(source=facts, never_came=never, other=other)
    return _told(facts, digest, key, found, summed, other)


_Lines = list[tuple[LineRow, Posting]]


def _found(source_id: int, digest: bytes, key: EventKey | None, place: Place | None) -> tuple[_Lines, bool]:
    """Return the lines of an event in the order of their booking, and whether they are in totals."""
    places = [one for one in (place, None if key is None else _place(key)) if one is not None]
    if places:
        for table in (LEDGER, UNSUMMED):
            moments = {row.occurred_at for row, _ in _at_places(table, places, source_id)}
            lines = _at(table, source_id, digest, moments | {one.booked_at for one in places})
            if lines and table == LEDGER:
                return _with_corrections(source_id, digest, lines, {row.place.booked_at for row, _ in lines}), True
            if lines:
                return lines, False
    return [], True


def _place(key: EventKey) -> Place:
    return Place(booked_at=key.booked_at, use_case_id=key.use_case_id, id=key.entry_id)


def _at_places(table: str, places: Sequence[Place], source_id: int) -> _Lines:
    """Return the lines at places, as far as they are of the source. One query."""
    return _read(
        f"FROM unnest(%(use_cases)s::bigint[], %(moments)s::timestamptz[], %(ids)s::bigint[]) AS p(use_case, at, id) "
        f"CROSS JOIN LATERAL (SELECT * FROM {table} l WHERE l.use_case_id = p.use_case AND l.booked_at = p.at "
        "AND l.id = p.id AND l.source_id = %(source)s AND l.booked_at >= %(first)s AND l.booked_at <= %(last)s) AS l",
        {
            "use_cases": [one.use_case_id for one in places],
            "moments": [one.booked_at for one in places],
            "ids": [one.id for one in places],
            "source": source_id,
            "first": min(one.booked_at for one in places),
            "last": max(one.booked_at for one in places),
        },
    )


def _at(table: str, source_id: int, digest: bytes, moments: Iterable[datetime]) -> _Lines:
    """Return the event's lines that were booked at some moments, for whatever use case. One query; none for none."""
    when = sorted(moments)
    if not when:
        return []
    return _read(
        "FROM unnest(%(moments)s::timestamptz[]) AS m(at) CROSS JOIN catalog_usecase u CROSS JOIN LATERAL "
        f"(SELECT * FROM {table} l WHERE l.use_case_id = u.id AND l.booked_at = m.at AND l.source_id = %(source)s "
        f"AND {_OF_EVENT} AND l.booked_at >= %(first)s AND l.booked_at <= %(last)s) AS l",
        {"moments": when, "source": source_id, "digest": digest, "first": when[0], "last": when[-1]},
    )


_OF_EVENT = "substring(sha256(convert_to(l.event_id, 'UTF8')) FROM 1 FOR 16) = %(digest)s"


def _with_corrections(source_id: int, digest: bytes, lines: _Lines, moments: set[datetime]) -> _Lines:
    """Return the lines with whatever corrects them, and what was booked in their stead. Two queries as a rule."""
    for _ in range(10):  # an event that was moved again and again
        corrected = [posting.id for _, posting in lines if posting.kind == USAGE]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT booked_at FROM ledger WHERE corrects_id = ANY(%s) AND booked_at >= %s",
                [corrected, min(row.place.booked_at for row, _ in lines)],
            )
            later = {at for (at,) in cursor.fetchall()} - moments
        if not later:
            break
        moments |= later
        lines = [*lines, *_at(LEDGER, source_id, digest, later)]
    return sorted(lines, key=lambda one: one[1].id)


def _read(source: str, given: Mapping[str, Any]) -> _Lines:
    columns = ", ".join(f"l.{name}" for name in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}, {SELECTED} {source} {NAMED} ORDER BY l.id", given)
        return [(row_of(row[len(COLUMNS) :]), posting_of(row[: len(COLUMNS)])) for row in cursor.fetchall()]


def _other(source_id: int, digest: bytes, key: EventKey) -> tuple[int, str] | None:
    """Return the event whose line stands where this one's key points: it took its place. One query."""
    for row, _ in _at_places(LEDGER, [_place(key)], source_id):
        if row.digest != digest.hex():
            return row.source_id, row.digest
    return None


# --- the story ---


def _told(
    source: SourceFacts, digest: bytes, key: EventKey | None, found: _Lines, summed: bool, other: tuple[int, str] | None
) -> Story:
    restatements = _restatements({posting.restatement_id for _, posting in found} - {None})
    told, running = [], Decimal(0)
    for row, posting in found:
        running = added([running, row.cost_usd or Decimal(0)])
        told.append(
            Told(
                row=row,
                posting=posting,
                running_usd=running,
                restatement=restatements.get(posting.restatement_id or 0),
            )
        )
    gone = {one.posting.corrects[2] for one in told if one.posting.kind == REVERSAL and one.posting.corrects}
    standing = [one for one in told if one.posting.kind == USAGE and one.posting.id not in gone]
    entry = standing[-1] if standing else None
    worked_out, prices = _worked_out(entry or told[0], told)
    return Story(
        source=source,
        digest=digest.hex(),
        event_id=found[0][0].event_id,
        summed=summed,
        lines=told,
        first=told[0],
        entry=entry,
        cost_usd=None if entry is not None and entry.row.cost_usd is None else running,
        worked_out=worked_out,
        prices=prices,
        receipts=_receipts({posting.receipt_id for _, posting in found} - {None}),
        attempts=_attempts(entry or told[0]) if summed else [],
        held=_held(source.id, found[0][0].event_id),
        context=_context((entry or told[0]).posting.context_id),
        first_received_at=None if key is None else key.first_received_at,
        other=other,
    )


def _worked_out(entry: Told, told: Sequence[Told]) -> tuple[WorkedOut | None, dict[int, PriceRow]]:
    """Return how an entry's cost follows from its meters and the prices it was rated with last. Three queries."""
    priced = [one for one in told if one is entry or (one.posting.corrects or (0, 0, 0))[2] == entry.posting.id]
    priced = [one for one in priced if one.posting.rate_id is not None and one.posting.kind != REVERSAL]
    if not priced:
        return None, {}
    by = priced[-1]
    rate = Rate.objects.get(pk=by.posting.rate_id or 0)
    found = parts(meters=entry.posting.meters, prices=rate.prices)
    prices = _prices({id_ for one in found for id_ in (one.price_id, one.list_price_id)})
    return WorkedOut(
        rate_id=rate.pk,
        parts=found,
        total_usd=added([one.amount_usd for one in found]),
        list_usd=added([one.list_amount_usd for one in found]),
        contract=_contract(rate.contract_id),
        priced_by=by.posting.id,
    ), prices


def _prices(ids: Iterable[int]) -> dict[int, PriceRow]:
    return {row.pk: price_row(row) for row in Price.objects.filter(pk__in=ids).select_related(*READ_WITH)}


def _contract(pk: int | None) -> ContractFacts | None:
    row = Contract.objects.filter(pk=pk).first() if pk is not None else None
    if row is None:
        return None
    return ContractFacts(
        id=row.pk,
        name=row.name,
        discount_percent=row.discount_percent,
        valid_from=row.valid.lower,
        valid_until=row.valid.upper,
        recorded_at=row.recorded.lower,
        approved_by=row.approved_by,
        note=row.note,
    )


def _restatements(ids: Iterable[int | None]) -> dict[int, RestatementFacts]:
    wanted = sorted(id_ for id_ in ids if id_ is not None)
    if not wanted:
        return {}
    rows = list(Restatement.objects.filter(pk__in=wanted))
    jobs = [row.job_id for row in rows if row.job_id is not None]
    amendments = dict(Correction.objects.filter(job_id__in=jobs).values_list("job_id", "amendment_id"))
    return {
        row.pk: RestatementFacts(
            id=row.pk,
            key=f"a{amendments[row.job_id]}" if row.job_id in amendments else f"j{row.job_id}" if row.job_id else "",
            kind=row.kind,
            reason=row.reason,
            by=row.by,
            at=row.at,
        )
        for row in rows
    }


def _receipts(ids: Iterable[int | None]) -> dict[int, ReceiptFacts]:
    rows = Receipt.objects.filter(pk__in=[id_ for id_ in ids if id_ is not None]).defer("events", "rejected")
    return {
        row.pk: ReceiptFacts(
            id=row.pk,
            state=row.state,
            format=row.format,
            environment=row.environment,
            received_at=row.received_at,
            done_at=row.done_at,
            events=row.event_count,
            booked=row.booked,
            duplicates=row.duplicates,
            conflicts=row.conflicts,
            rejected=row.rejected_count,
        )
        for row in rows
    }


def _attempts(entry: Told) -> list[Attempt]:
    """Return the other attempts of the same call that count, in the order of time. One query; none without a group."""
    posting = entry.posting
    if not posting.call_group:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT adjusted.usd, {SELECTED} FROM (SELECT * FROM ledger l WHERE l.use_case_id = %(use_case)s "
            "AND l.booked_at >= %(from)s AND l.booked_at < %(to)s AND l.call_group = %(group)s "
            "AND l.gateway_id = %(gateway)s AND l.kind = 1 AND l.event_id <> %(event)s AND NOT EXISTS ("
            "SELECT FROM ledger c WHERE c.corrects_id = l.id AND c.kind = 2 AND c.use_case_id = l.use_case_id "
            "AND c.booked_at >= l.booked_at) LIMIT %(most)s) AS l CROSS JOIN LATERAL ("
            "SELECT coalesce(sum(c.cost_usd), 0) AS usd FROM ledger c WHERE c.corrects_id = l.id AND c.kind = 3 "
            "AND c.use_case_id = l.use_case_id AND c.booked_at >= l.booked_at) AS adjusted "
            f"{NAMED} ORDER BY l.occurred_at, l.fallback_index, l.id",
            {
                "use_case": posting.use_case_id,
                "from": posting.booked_at - NEAR,
                "to": posting.booked_at + NEAR,
                "group": posting.call_group,
                "gateway": posting.gateway_id,
                "event": posting.event_id,
                "most": MOST_ATTEMPTS,
            },
        )
        rows = [(adjusted, row_of(values)) for adjusted, *values in cursor.fetchall()]
    return [
        Attempt(row=row, cost_usd=None if row.cost_usd is None else added([row.cost_usd, adjusted]))
        for adjusted, row in rows
    ]


def _held(source_id: int, event_id: str) -> list[HeldFacts]:
    rows = HeldEvent.objects.filter(source=source_id, reason__in=HeldReason.values, event_id=event_id)
    return [
        HeldFacts(
            id=row.pk,
            reason=row.reason,
            held_at=row.held_at,
            receipt_id=row.receipt_id,
            settled=row.settled_at is not None,
        )
        for row in rows.order_by("id")[:20]
    ]


def _context(pk: int | None) -> Mapping[str, Any] | None:
    if pk is None:
        return None
    found: Mapping[str, Any] | None = RequestContext.objects.filter(pk=pk).values_list("content", flat=True).first()
    return found


def _source(row: Source) -> SourceFacts:
    return SourceFacts(
        id=row.pk,
        gateway=row.gateway.name,
        gateway_id=row.gateway_id,
        live=row.kind == SourceKind.LIVE,
        audit=row.audit,
        note=row.note,
    )
