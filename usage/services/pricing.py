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
    # By position, in the order of the fields: by name, forty of them take ten times as long.
    return Posting(
        line.use_case,  # use_case_id
        line.booked_at,
        line.id,
        USAGE,  # kind
        event.occurred_at,
        line.source.id,  # source_id
        line.source.gateway_id,
        line.receipt.environment,
        line.team,  # team_id
        line.offering,  # offering_id
        world.book.tier(line.offering, event.occurred_at),  # tier
        status,
        event.requested_model[:193],  # requested_model
        meters,
        event.reasoning_tokens,
        event.counted,
        event.service_tier,
        cost,
        list_cost,
        avoided,
        None if reported is None else atto(reported),  # reported
        card_key,  # rate_id
        unpriced,
        event.latency_ms,
        event.context.get("task", "")[:64],  # task
        context_id,
        event.session,  # sticky_key
        event.user,  # user_key
        event.rules_version,
        event.state_revision,
        event.rule,
        event.route_reason[:32],  # reason
        event.fallback_index,
        event.call_group,
        event.tags,
        event.flags,
        event.event_id,
        f"{event.provider}/{event.model}"[:258],  # reported_model
        line.receipt.id,  # receipt_id
        None,  # corrects
        line.correction_of,
    )
