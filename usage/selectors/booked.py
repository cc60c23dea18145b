"""What was booked of one event, by the id that its gateway gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection

from catalog.models import Tier
from usage.models import RequestContext, Status

MOST = 10


@dataclass(frozen=True, kw_only=True)
class Booked:
    """An entry of the ledger as it was booked; what was corrected later is not in it. Empty: not reported."""

    event_id: str
    gateway: str
    environment: str
    occurred_at: datetime
    use_case: str
    team: str
    requested_model: str
    offering: str
    tier: str
    status: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None  # None: no price yet
    latency_ms: int | None
    rules_version: int  # 0: the gateway named none
    state_revision: int
    rule: str
    reason: str
    fallback_index: int
    call_group: str
    sticky_key: str
    tags: Mapping[str, str]
    context: Mapping[str, Any] | None  # as the gateway saw the request, without its text


_BOOKED = """
SELECT l.event_id, g.name, l.environment, l.occurred_at, u.name, t.name, l.requested_model, o.name, l.tier, l.status,
    l.uncached_input_tokens + l.cache_read_tokens + l.cache_write_5m_tokens + l.cache_write_1h_tokens
        + l.audio_input_tokens + l.image_input_tokens,
    l.output_tokens + l.audio_output_tokens + l.image_output_tokens,
    l.cost_usd, l.latency_ms, l.rules_version, l.state_revision, l.rule, l.reason, l.fallback_index, l.call_group,
    l.sticky_key, l.tags, l.context_id
FROM usage_source s
JOIN event_key k ON k.source_id = s.id AND k.digest = %s
JOIN ledger l ON l.use_case_id = k.use_case_id AND l.booked_at = k.booked_at AND l.id = k.entry_id
JOIN catalog_gateway g ON g.id = l.gateway_id
JOIN catalog_usecase u ON u.id = l.use_case_id
JOIN catalog_team t ON t.id = l.team_id
JOIN catalog_offering o ON o.id = l.offering_id
ORDER BY l.occurred_at DESC, s.id
LIMIT %s
"""


def by_digest(*, digest: bytes) -> list[Booked]:
    """Return the counted entries of events with an id of this digest, of any gateway, the latest first, `MOST` at most.

    Ids of a live stream are known for 36 days. Two queries at most, over indexes.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BOOKED, [digest, MOST])
        rows = cursor.fetchall()
    ids = {row[-1] for row in rows if row[-1] is not None}
    contexts = dict(RequestContext.objects.filter(pk__in=ids).values_list("pk", "content")) if ids else {}
    return [_booked(row, contexts) for row in rows]


def _tags(kept: Any) -> Mapping[str, str]:
    # Read past the ORM, jsonb comes as text: Django leaves the decoding to its fields.
    found: Mapping[str, str] | None = msgspec.json.decode(kept) if isinstance(kept, str) else kept
    return found or {}


def _booked(row: tuple[Any, ...], contexts: Mapping[int, Mapping[str, Any]]) -> Booked:
    (
        event_id, gateway, environment, occurred_at, use_case, team, requested, offering, tier, status, inputs, outputs,
        cost, latency, version, revision, rule, reason, fallback, group, sticky, tags,
        context_id,
    ) = row  # fmt: skip
    return Booked(
        event_id=event_id,
        gateway=gateway,
        environment=environment,
        occurred_at=occurred_at,
        use_case=use_case,
        team=team,
        requested_model=requested,
        offering=offering,
        tier=str(Tier(tier).label),
        status=str(Status(status).label),
        input_tokens=int(inputs),
        output_tokens=int(outputs),
        cost_usd=cost,
        latency_ms=latency,
        rules_version=version,
        state_revision=revision,
        rule=rule,
        reason=reason,
        fallback_index=fallback,
        call_group=group,
        sticky_key=sticky,
        tags=_tags(tags),
        context=contexts.get(context_id),
    )
