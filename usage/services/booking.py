"""From waiting receipts to the ledger: claimed, told apart from what was booked before, priced, posted, done.

All of it is one transaction: a process that dies in the middle leaves the receipts waiting and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import psycopg
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from alerts.models import Severity
from alerts.services import raising
from catalog.models import UNASSIGNED_ID
from catalog.rules import UNASSIGNED, Book, RateCard, fold
from catalog.services import on_sight
from core.services import barrier
from usage.events import Event
from usage.rules.postings import STATUS_NUMBERS, USAGE, Posting
from usage.rules.rating import atto, price_of
from usage.selectors import world as worlds
from usage.selectors.world import SourceFacts, World
from usage.services import intake, interning, ledger, partitions
from usage.services.raw import raw_cursor

log = structlog.get_logger(__name__)

DEDUPE_DAYS = 35  # live events older than this against their receipt cannot be told apart from repeats any more
MOST_ATTEMPTS = 5
_CLAIMED_AT_ONCE = 16

_CACHE_HIT = STATUS_NUMBERS["cache_hit"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_msgpack = msgspec.msgpack.Encoder(order="deterministic")


class Claimed(NamedTuple):
    """A receipt that this transaction has locked."""

    id: int
    source_id: int
    environment: str
    format: str
    received_at: datetime
    packed: bytes
    event_count: int


@dataclass(slots=True)
class Outcome:
    """What became of a receipt's events."""

    booked: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    shadowed: int = 0


@dataclass(slots=True)
class Line:
    """One event on its way to a posting."""

    event: Event
    receipt: Claimed
    source: SourceFacts
    shadow: bool
    digest: bytes
    content: bytes
    use_case: int = 0
    team: int = 0
    offering: int = 0
    booked_at: datetime = _EPOCH
    correction_of: Any = None
    id: int = 0


@dataclass(slots=True)
class Batch:
    world: World
    at: datetime
    lines: list[Line] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    held: list[tuple[Line, str]] = field(default_factory=list)
    other_formats: dict[tuple[int, str], SourceFacts] = field(default_factory=dict)  # by source and format


def book_pending(*, at: datetime, limit_events: int = 4000) -> int:
    """Book what waits, oldest first, about `limit_events` in a transaction; returns how many receipts are done.

    Several processes may do this at once: each takes receipts that no other holds. A receipt that fails is tried again
    later, at last set aside with its error, and never holds up the others.
    """
    done = 0
    while True:
        claimed, booked = _book_some(at=at, limit_events=limit_events)
        done += booked
        if not claimed:
            return done


def _book_some(*, at: datetime, limit_events: int) -> tuple[int, int]:
    """Book one transaction's worth; returns how many receipts were taken up and how many of them are done."""
    ids = _waiting(at=at, limit_events=limit_events)
    if not ids:
        return 0, 0
    done = _try(ids=ids, at=at)
    if done is None:
        done = sum(_try(ids=[receipt_id], at=at) or 0 for receipt_id in ids)
    return len(ids), done


def _try(*, ids: Sequence[int], at: datetime) -> int | None:
    """Book receipts in one transaction; None where several fail together and have to be tried one by one.

    Receipts that lack a partition stay in line and find it made.
    """
    try:
        return _book(ids=ids, at=at)
    except partitions.Missing as missing:
        worlds.forget()
        for month in missing.months:
            partitions.make(first=month, last=month)
        return 0
    except (OperationalError, InterfaceError):
        # The database went away or broke a deadlock: no receipt's fault.
        worlds.forget()
        raise
    except Exception as error:  # any fault of a receipt's content must not stop the others
        worlds.forget()
        if len(ids) > 1:
            return None
        _failed(receipt_id=ids[0], error=error, at=at)
        return 0


def _waiting(*, at: datetime, limit_events: int) -> list[int]:
    """Look, without locking, at what waits next. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, event_count FROM receipt WHERE state = 'pending' AND try_after <= %s "
            "ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
            [at, _CLAIMED_AT_ONCE],
        )
        rows = cursor.fetchall()
    ids: list[int] = []
    events = 0
    for id_, count in rows:
        if ids and events + count > limit_events:
            break
        ids.append(int(id_))
        events += count
    return ids


@transaction.atomic(durable=True)
def _book(*, ids: Sequence[int], at: datetime) -> int:
    barrier.hold_shared()
    with raw_cursor() as cursor:
        cursor.execute(
            "SELECT id, source_id, environment, format, received_at, events, event_count FROM receipt "
            "WHERE id = ANY(%s) AND state = 'pending' ORDER BY id FOR UPDATE SKIP LOCKED",
            [list(ids)],
        )
        claimed = [Claimed(*row) for row in cursor.fetchall()]
        if not claimed:
            return 0
        world = worlds.current()
        batch = Batch(world=world, at=at)
        for receipt in claimed:
            _read(batch, receipt)
        partitions.require([world.open_from(at), *(line.event.occurred_at for line in batch.lines)])
        _name(batch)
        _place(batch, cursor)
        _keep_new(batch, cursor)
        # What both kinds intern is locked before the first line is written.
        counted = _postings([line for line in batch.lines if not line.shadow], world, cursor)
        shadow = _postings([line for line in batch.lines if line.shadow], world, cursor)
        ledger.post(cursor, postings=counted, world=world, at=at)
        ledger.post_unsummed(cursor, postings=shadow)
        for (_, format), source in sorted(batch.other_formats.items()):
            _tell_of_other_format(batch, source, format)
        _hold(batch, cursor)
        _finish(batch, cursor)
        return len(claimed)


def content_hash(event: Event) -> bytes:
    """Hash the normalised event without its time: a repeat with another time is the same event."""
    time, event.occurred_at = event.occurred_at, _EPOCH
    try:
        return hashlib.blake2b(_msgpack.encode(event), digest_size=16).digest()
    finally:
        event.occurred_at = time


def _read(batch: Batch, receipt: Claimed) -> None:
    """Unpack a receipt, and set aside what is too old to be told from a repeat."""
    outcome = batch.outcomes[receipt.id] = Outcome()
    source = _source(batch.world, receipt)
    oldest = receipt.received_at - timedelta(days=DEDUPE_DAYS)
    other_format = bool(source.accounting_format) and source.accounting_format != receipt.format
    shadow = source.audit or (source.live and other_format)
    if source.live and other_format:
        batch.other_formats[source.id, receipt.format] = source
    imported = source.live and source.gateway_id in batch.world.imported
    for event in intake.unpack(receipt.packed):
        digest = hashlib.sha256(event.event_id.encode()).digest()[:16]
        line = Line(event, receipt, source, shadow, digest, content_hash(event))
        if imported and not shadow and batch.world.counted_elsewhere(source.gateway_id, event.occurred_at):
            line.shadow = True
        if source.covers is not None and not source.covers[0] <= event.occurred_at < source.covers[1]:
            line.shadow = True  # outside an import's range nothing keeps live events from counting the same call
        if source.live and event.occurred_at < oldest:
            outcome.quarantined += 1
            batch.held.append((line, "too_old"))
            continue
        batch.lines.append(line)


def _source(world: World, receipt: Claimed) -> SourceFacts:
    """Return the source of a receipt; its first format becomes its accounting format, by compare-and-set."""
    source = world.sources.get(receipt.source_id)
    if source is None:
        worlds.forget()
        world.sources.update(worlds.current().sources)
        source = world.sources[receipt.source_id]
    if source.live and not source.accounting_format:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE usage_source SET accounting_format = %s WHERE id = %s AND accounting_format = ''",
                [receipt.format, source.id],
            )
            cursor.execute("SELECT accounting_format FROM usage_source WHERE id = %s", [source.id])
            row = cursor.fetchone()
        source = SourceFacts(source.id, source.gateway_id, source.live, source.audit, str(row[0]) if row else "")
        world.sources[source.id] = source
    return source


def _tell_of_other_format(batch: Batch, source: SourceFacts, format: str) -> None:
    gateway = batch.world.book.gateways.get(source.gateway_id, "?")
    raising.raise_alert(
        kind="second_format",
        dedupe_key=f"second_format:{source.id}:{format}",
        severity=Severity.WARNING,
        title=f"{gateway} reports usage in two formats; only {source.accounting_format} is counted",
        facts={
            "summary": f"Gateway {gateway} sends {format} events beside {source.accounting_format}, the format "
            "that is counted. The others are kept aside, so that no call counts twice.",
            "rows": [["Counted", source.accounting_format], ["Kept aside", format]],
            "links": [],
            "next": "Switch one of the two off at the gateway.",
        },
        subject_kind="gateway",
        subject_id=source.gateway_id,
        team_ids=[],
        budget_id=None,
        at=batch.at,
    )


def _name(batch: Batch) -> None:
    """Resolve use cases, teams and offerings; names that nobody knows become rows that wait for an owner."""
    book = batch.world.book
    new: dict[str, dict[str, str]] = {"use_case": {}, "team": {}}
    new_offerings: dict[str, None] = {}
    waiting: list[tuple[Line, str, str, str]] = []
    for line in batch.lines:
        event = line.event
        use_case, team = _fold(event.use_case), _fold(event.team)
        offering = book.offering(event.provider, event.model, event.occurred_at)
        found_use_case = book.use_case(use_case, event.occurred_at) if use_case else UNASSIGNED_ID
        found_team = book.team(team, event.occurred_at) if team else 0
        if isinstance(offering, int) and found_use_case is not None and found_team is not None:
            line.offering, line.use_case = offering, found_use_case
            line.team = found_team or book.team_of(found_use_case, event.occurred_at) or UNASSIGNED_ID
            continue
        if found_use_case is None:
            new["use_case"].setdefault(use_case, event.use_case)
        if found_team is None:
            new["team"].setdefault(team, event.team)
        if isinstance(offering, str):
            new_offerings[offering] = None
        waiting.append((line, use_case, team, offering if isinstance(offering, str) else ""))
    if not waiting:
        return
    made = {kind: on_sight.labels(kind=kind, names=names, at=batch.at) for kind, names in new.items() if names}
    # Under the names that the rows have: who made one first may have written it otherwise, and budgets go by the row.
    use_cases, teams = made.get("use_case", {}), made.get("team", {})
    book.use_cases.update({folded: id_ for folded, (id_, _) in use_cases.items()})
    book.use_case_names.update(use_cases.values())
    book.teams.update({folded: id_ for folded, (id_, _) in teams.items()})
    book.team_names.update(teams.values())
    made_offerings = on_sight.offerings(names=list(new_offerings), at=batch.at) if new_offerings else {}
    _learn_offerings(book, made_offerings)
    for line, use_case, team, offering_name in waiting:
        at = line.event.occurred_at
        line.use_case = (book.use_case(use_case, at) if use_case else None) or UNASSIGNED_ID
        line.team = (book.team(team, at) if team else None) or book.team_of(line.use_case, at) or UNASSIGNED_ID
        resolved = made_offerings.get(offering_name.lower()) if offering_name else None
        line.offering = resolved or int(book.offering(line.event.provider, line.event.model, at))


def _learn_offerings(book: Book, made: Mapping[str, int]) -> None:
    if made:
        fresh = worlds.offering_facts(list(made.values()))
        book.offerings.update(fresh)
        book.offering_ids.update({facts.name.lower(): facts.id for facts in fresh.values()})


_folded: dict[str, str] = {}


def _fold(label: str) -> str:
    """Fold a label, remembering: a gateway writes few of them, again and again."""
    folded = _folded.get(label)
    if folded is None:
        if len(_folded) > 10_000:
            _folded.clear()
        folded = fold(label)
        folded = "" if folded == UNASSIGNED else folded
        _folded[label] = folded
    return folded


def _place(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Decide when each line is booked, and number it."""
    world = batch.world
    late = world.open_from(batch.at)
    for line, id_ in zip(batch.lines, ledger.take_ids(cursor, len(batch.lines)), strict=True):
        line.id = id_
        occurred = line.event.occurred_at
        line.correction_of = None if line.shadow else world.closed_month(occurred)
        line.booked_at = occurred if line.correction_of is None else late


def _keep_new(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Keep the lines whose event was never booked: the guard of "once" is this INSERT and the key's uniqueness."""
    first: dict[tuple[int, bytes], Line] = {}
    repeats: list[Line] = []
    for line in batch.lines:
        if first.setdefault((line.source.id, line.digest), line) is not line:
            repeats.append(line)
    ordered = [first[key] for key in sorted(first)]
    cursor.execute(
        "INSERT INTO event_key (source_id, digest, content, use_case_id, booked_at, entry_id, first_received_at) "
        # Hashes come as one string of bytes that is cut up there: an array of them takes ten times as long to write.
        "SELECT t.source_id, substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16), "
        "substring(%b::bytea FROM (16 * t.i - 15)::int FOR 16), t.use_case_id, t.booked_at, t.entry_id, r.received_at "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[]) WITH ORDINALITY "
        "AS t(source_id, use_case_id, booked_at, entry_id, receipt_id, i) JOIN receipt r ON r.id = t.receipt_id "
        "ORDER BY t.i ON CONFLICT DO NOTHING RETURNING source_id, digest",
        [
            b"".join([line.digest for line in ordered]),
            b"".join([line.content for line in ordered]),
            _numbers([line.source.id for line in ordered]),
            _numbers([line.use_case for line in ordered]),
            "{" + ",".join([line.booked_at.isoformat() for line in ordered]) + "}",
            _numbers([line.id for line in ordered]),
            _numbers([line.receipt.id for line in ordered]),
        ],
    )
    if cursor.rowcount < len(ordered):
        fresh = {(source, bytes(digest)) for source, digest in cursor.fetchall()}
        repeats += [line for key, line in first.items() if key not in fresh]
        kept = [line for key, line in first.items() if key in fresh]
    else:
        kept = list(first.values())
    for line in kept:
        outcome = batch.outcomes[line.receipt.id]
        if line.shadow:
            outcome.shadowed += 1
        else:
            outcome.booked += 1
    if repeats:
        _tell_repeats_from_conflicts(batch, cursor, repeats)
    batch.lines = kept


def _tell_repeats_from_conflicts(batch: Batch, cursor: psycopg.Cursor[Any], repeats: Sequence[Line]) -> None:
    cursor.execute(
        "SELECT k.source_id, k.digest, k.content FROM event_key k "
        "JOIN unnest(%s::bigint[], %b::bytea[]) AS t(source_id, digest) USING (source_id, digest)",
        [_numbers([line.source.id for line in repeats]), [line.digest for line in repeats]],
    )
    contents = {(source, bytes(digest)): bytes(content) for source, digest, content in cursor.fetchall()}
    for line in repeats:
        outcome = batch.outcomes[line.receipt.id]
        if contents.get((line.source.id, line.digest)) == line.content:
            outcome.duplicates += 1
        else:
            outcome.conflicts += 1
            batch.held.append((line, "conflict"))


def _postings(lines: Sequence[Line], world: World, cursor: psycopg.Cursor[Any]) -> list[Posting]:
    """Price the lines with what was in force when their calls happened."""
    if not lines:
        return []
    contexts: dict[bytes, Mapping[str, str]] = {}
    context_digests: list[bytes | None] = []
    for line in lines:
        context = line.event.context
        digest = interning.context_digest(context) if context else None
        context_digests.append(digest)
        if digest is not None:
            contexts[digest] = context
    context_ids = interning.context_ids(cursor, contexts) if contexts else {}
    cards: dict[int, RateCard] = {}
    postings = [
        _posting(line, world, cards, None if digest is None else context_ids[digest])
        for line, digest in zip(lines, context_digests, strict=True)
    ]
    interning.set_rates(cursor, postings, cards)
    return postings


def meters_of(event: Event) -> tuple[int, ...]:
    """Return the counts in the order of `catalog.rules.METERS`; an event is one request."""
    return (
        event.uncached_input_tokens, event.cache_read_tokens, event.cache_write_5m_tokens,
        event.cache_write_1h_tokens, event.output_tokens, event.audio_input_tokens, event.audio_output_tokens,
        event.image_input_tokens, event.image_output_tokens, 1, event.web_searches,
    )  # fmt: skip


def _posting(line: Line, world: World, cards: dict[int, RateCard], context_id: int | None) -> Posting:
    """Make the line's posting; until rates are interned, `rate_id` holds the key of its card in `cards`."""
    event = line.event
    meters = meters_of(event)
    status = STATUS_NUMBERS[event.status]
    cost, card, unpriced = price_of(
        book=world.book, offering=line.offering, service_tier=event.service_tier, occurred_at=event.occurred_at,
        meters=meters, counted=event.counted,
    )  # fmt: skip
    avoided = 0
    if status == _CACHE_HIT and cost is not None:
        # Served by the gateway's own cache: nothing was bought, and this is what it would have cost.
        avoided, cost = cost, 0
    card_key = None
    if card is not None:
        card_key = id(card)
        cards[card_key] = card
    reported: Decimal | None = event.reported_cost_usd
    return Posting(
        use_case_id=line.use_case,
        booked_at=line.booked_at,
        id=line.id,
        kind=USAGE,
        occurred_at=event.occurred_at,
        source_id=line.source.id,
        gateway_id=line.source.gateway_id,
        environment=line.receipt.environment,
        team_id=line.team,
        offering_id=line.offering,
        tier=world.book.tier(line.offering, event.occurred_at),
        status=status,
        requested_model=event.requested_model[:193],
        meters=meters,
        reasoning_tokens=event.reasoning_tokens,
        counted=event.counted,
        service_tier=event.service_tier,
        cost=cost,
        list_cost=cost,
        avoided=avoided,
        reported=None if reported is None else atto(reported),
        rate_id=card_key,
        unpriced=unpriced,
        latency_ms=event.latency_ms,
        task=event.context.get("task", "")[:64],
        context_id=context_id,
        sticky_key=event.session,
        user_key=event.user,
        rules_version=event.rules_version,
        state_revision=event.state_revision,
        rule=event.rule,
        reason=event.route_reason[:32],
        fallback_index=event.fallback_index,
        call_group=event.call_group,
        tags=event.tags,
        flags=event.flags,
        event_id=event.event_id,
        receipt_id=line.receipt.id,
        correction_of=line.correction_of,
    )


def _hold(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    """Keep what was not counted where people see it, with the entry that was counted instead."""
    # In one order, so that two bookings that keep the same events wait for each other.
    for line, reason in sorted(batch.held, key=lambda held: (held[0].source.id, held[0].digest, held[0].content)):
        event = line.event
        cursor.execute(
            "INSERT INTO usage_heldevent (receipt_id, source_id, reason, event_id, occurred_at, event, content, "
            "entry_use_case_id, entry_booked_at, entry_id, held_at, settled_by) "
            "SELECT %s, %s, %s, %s, %s, %s::jsonb, %s, k.use_case_id, k.booked_at, k.entry_id, %s, '' "
            "FROM (SELECT 1) AS one LEFT JOIN event_key k ON k.source_id = %s AND k.digest = %s "
            "ON CONFLICT (source_id, reason, event_id, content) DO NOTHING",
            [
                line.receipt.id, line.source.id, reason, event.event_id, event.occurred_at,
                msgspec.json.encode(msgspec.structs.asdict(event)).decode(), line.content, batch.at,
                line.source.id, line.digest,
            ],
        )  # fmt: skip


def _finish(batch: Batch, cursor: psycopg.Cursor[Any]) -> None:
    outcomes = sorted(batch.outcomes.items())
    cursor.execute(
        "UPDATE receipt r SET state = 'done', done_at = %s, error = '', booked = t.booked, duplicates = t.duplicates, "
        "conflicts = t.conflicts, quarantined = t.quarantined, shadowed = t.shadowed "
        "FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::int[]) "
        "AS t(id, booked, duplicates, conflicts, quarantined, shadowed) WHERE r.id = t.id",
        [
            batch.at,
            _numbers([id_ for id_, _ in outcomes]),
            *(
                _numbers([getattr(outcome, name) for _, outcome in outcomes])
                for name in ("booked", "duplicates", "conflicts", "quarantined", "shadowed")
            ),
        ],
    )


def _numbers(values: Sequence[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _failed(*, receipt_id: int, error: Exception, at: datetime) -> None:
    """Note a failed try; after several the receipt is set aside, visibly, and can be tried again by hand."""
    log.error("receipt.failed", receipt=receipt_id, error=type(error).__name__, exc_info=error)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE receipt SET attempts = attempts + 1, error = %s, "
            "try_after = %s + interval '10 seconds' * (2 ^ attempts), "
            "state = CASE WHEN attempts + 1 >= %s THEN 'failed' ELSE state END "
            "WHERE id = %s AND state = 'pending'",
            [f"{type(error).__name__}: {error}"[:500], at, MOST_ATTEMPTS, receipt_id],
        )
