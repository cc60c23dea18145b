"""From events to postings: each priced with what was in force when its call happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import psycopg

from catalog.rules import RateCard
from usage.events import Event
from usage.rules.postings import STATUS_NUMBERS, USAGE, Posting
from usage.rules.rating import Rated, atto, price_of
from usage.rules.restating import Cost
from usage.selectors.world import World
from usage.services import interning
from usage.services.batch import Line

_CACHE_HIT = STATUS_NUMBERS["cache_hit"]


def postings(lines: Sequence[Line], world: World, cursor: psycopg.Cursor[Any]) -> list[Posting]:
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
    priced = [
        _posting(line, world, cards, None if digest is None else context_ids[digest])
        for line, digest in zip(lines, context_digests, strict=True)
    ]
    interning.set_rates(cursor, priced, cards)
    return priced


def due(entry: Posting, *, offering_id: int, world: World, cards: dict[int, RateCard]) -> Cost:
    """Price an entry as of its time with the catalogue as it is; `rate_id` is the key of its card in `cards`."""
    rated = price_of(
        book=world.book, offering=offering_id, service_tier=entry.service_tier, occurred_at=entry.occurred_at,
        meters=entry.meters, counted=entry.counted, gateway=entry.gateway_id,
    )  # fmt: skip
    return _cost(rated, entry.status, cards)


def _cost(rated: Rated, status: int, cards: dict[int, RateCard]) -> Cost:
    cost, list_cost, card, unpriced = rated
    avoided = 0
    if status == _CACHE_HIT and cost is not None:
        # Served by the gateway's own cache: nothing was bought, and this is what it would have cost.
        avoided, cost, list_cost = cost, 0, 0
    key = None
    if card is not None:
        key = id(card)
        cards[key] = card
    return Cost(cost, list_cost, avoided, key, unpriced)


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
    rated = price_of(
        book=world.book, offering=line.offering, service_tier=event.service_tier, occurred_at=event.occurred_at,
        meters=meters, counted=event.counted, gateway=line.source.gateway_id,
    )  # fmt: skip
    cost, list_cost, avoided, card_key, unpriced = _cost(rated, status, cards)
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
        list_cost=list_cost,
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
        reported_model=f"{event.provider}/{event.model}"[:258],
        receipt_id=line.receipt.id,
        correction_of=line.correction_of,
    )
