"""All that is known of one event: what was booked of it in which order, what it was priced with, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
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
from usage.rules.postings import REVERSAL, USAGE
from usage.rules.worked_out import added, parts
from usage.selectors.lines_rows import NAMED, SELECTED, Place, row_of
from usage.selectors.story_facts import (
    Attempt,
    ContractFacts,
    HeldFacts,
    Named,
    ReceiptFacts,
    RestatementFacts,
    SourceFacts,
    Story,
    Told,
    Unknown,
    WorkedOut,
)
from usage.selectors.story_lines import Lines, lines_of, other_of

KEPT_DAYS = 36  # for which a live source's events are known by their ids
MOST_ATTEMPTS = 20
NEAR = timedelta(minutes=15)  # attempts of one call lie closer together
_COMES_BEFORE = bytes(16)  # the content of a key whose event was named by another one before it came


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


def one(*, source_id: int, digest: bytes, place: Place | None = None) -> Story | Unknown:
    """Return all that is known of an event; `place` is where a line of it stands (Note [Finding an event]).

    At most nineteen queries, none of which grows with the ledger.
    """
    source = Source.objects.select_related("gateway").filter(pk=source_id).first()
    if source is None:
        return Unknown(source=None)
    facts = _source(source)
    key = EventKey.objects.filter(source=source_id, digest=digest).first()
    found, summed = lines_of(source_id, digest, key, place)
    other = None
    if key is not None and (not found or all(key.entry_id != row.place.id for row, _ in found)):
        other = other_of(source_id, digest, key)
    if not found:
        never = key is not None and bytes(key.content) == _COMES_BEFORE
        return Unknown(source=facts, never_came=never, other=other)
    return _told(facts, digest, key, found, summed, other)


def _told(
    source: SourceFacts, digest: bytes, key: EventKey | None, found: Lines, summed: bool, other: tuple[int, str] | None
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
