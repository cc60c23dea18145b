"""A line of the ledger as a row: `SELECTED` of a line `l` with the joins `NAMED`, read by `row_of`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from catalog.models import Tier
from usage.models import EntryKind, Status, Unpriced
from usage.selectors.drivers import INPUT, OUTPUT

SELECTED = (
    "l.booked_at, l.use_case_id, l.id, l.kind, l.occurred_at, l.source_id, l.event_id, "
    "encode(substring(sha256(convert_to(l.event_id, 'UTF8')) FROM 1 FOR 16), 'hex'), use_case.name, team.name, "
    "l.team_id, model.name, provider.name, offering.name, gateway.name, l.gateway_id, l.tier, l.status, l.environment, "
    f"l.requested_model, l.task, l.requests, l.{' + l.'.join(INPUT)}, l.{' + l.'.join(OUTPUT)}, l.cost_usd, "
    "l.reported_cost_usd, l.unpriced, l.latency_ms, l.rules_version, l.rule, l.reason, l.fallback_index, l.call_group, "
    "l.tags, l.correction_of"
)
NAMED = (
    "JOIN catalog_usecase use_case ON use_case.id = l.use_case_id JOIN catalog_team team ON team.id = l.team_id "
    "JOIN catalog_offering offering ON offering.id = l.offering_id JOIN catalog_model model "
    "ON model.id = offering.model_id JOIN catalog_provider provider ON provider.id = offering.provider_id "
    "JOIN catalog_gateway gateway ON gateway.id = l.gateway_id"
)


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """Where a line stands in the list."""

    booked_at: datetime
    use_case_id: int = 0
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class LineRow:
    """A line of the ledger. Tokens of a reversal are negative; cached input is counted inside `input_tokens`."""

    place: Place
    kind: str
    occurred_at: datetime
    source_id: int
    event_id: str
    digest: str  # of the event's id, as an event's address has it
    use_case: str
    team: str
    team_id: int
    model: str
    provider: str
    offering: str
    gateway: str
    gateway_id: int
    tier: str
    status: str
    environment: str
    requested_model: str
    task: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None  # None: no price
    reported_cost_usd: Decimal | None
    unpriced: str  # why it has no cost; empty where it has one
    latency_ms: int | None
    rules_version: int  # 0: the gateway named none
    rule: str
    reason: str
    fallback_index: int
    call_group: str
    tags: Mapping[str, str]
    correction_of: date | None

    @property
    def by_fallback(self) -> bool:
        return self.fallback_index != 0 or self.reason == "fallback"


def row_of(values: Sequence[Any]) -> LineRow:
    """Return a line as read by `SELECTED`, in that order."""
    (
        booked_at, use_case_id, id_, kind, occurred_at, source_id, event_id, digest, use_case, team, team_id, model,
        provider, offering, gateway, gateway_id, tier, status, environment, requested, task, requests, inputs, outputs,
        cost, reported, unpriced, latency, version, rule, reason, fallback, group, tags, correction_of,
    ) = values  # fmt: skip
    return LineRow(
        place=Place(booked_at=booked_at, use_case_id=use_case_id, id=id_), kind=str(EntryKind(kind).label),
        occurred_at=occurred_at, source_id=source_id, event_id=event_id, digest=digest, use_case=use_case, team=team,
        team_id=team_id, model=model, provider=provider, offering=offering, gateway=gateway, gateway_id=gateway_id,
        tier=str(Tier(tier).label), status=str(Status(status).label), environment=environment,
        requested_model=requested, task=task, requests=int(requests), input_tokens=int(inputs),
        output_tokens=int(outputs), cost_usd=cost, reported_cost_usd=reported,
        unpriced=str(Unpriced(unpriced).label) if unpriced else "", latency_ms=latency, rules_version=version,
        rule=rule, reason=reason, fallback_index=fallback, call_group=group, tags=tags_of(tags),
        correction_of=correction_of,
    )  # fmt: skip


def tags_of(kept_as: Any) -> Mapping[str, str]:
    """Return tags as a mapping. Read past the ORM, jsonb comes as text: Django leaves the decoding to its fields."""
    found: Mapping[str, str] | None = msgspec.json.decode(kept_as) if isinstance(kept_as, str) else kept_as
    return found or {}
