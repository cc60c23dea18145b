"""What the pages of gateways show: who reports usage, with which keys, how far it is booked, which rules it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum

from alerts.models import Alert, AlertState
from catalog.models import Gateway
from catalog.rules import gateway_settings
from catalog.rules.gateway_settings import GatewaySettings
from core.access import ACTIONS
from core.models import ApiKey
from routing.selectors import fleet
from routing.selectors.fleet import Instance, Standing
from usage.models import Rollup15Min, Source, SourceKind
from usage.selectors import freshness, receipts
from usage.selectors.freshness import GatewayFreshness
from usage.services import silence

DAY = timedelta(hours=24)
MOST_KEYS = 200
MOST_INSTANCES = 50
_MAY_FETCH = ACTIONS["rules.read"].scopes


@dataclass(frozen=True, kw_only=True)
class KeyRow:
    """A key as people recognise it; the secret is nowhere. `gateway` is None for a key of people's scripts."""

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    gateway_id: int | None
    gateway: str | None
    environment: str
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None

    def works(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    @property
    def may_fetch_rules(self) -> bool:
        return not _MAY_FETCH.isdisjoint(self.scopes)


@dataclass(frozen=True, kw_only=True)
class GatewayRow:
    """A gateway at a glance. `received` is None where it never sent anything live."""

    id: int
    name: str
    kind: str
    takes_rules: str  # catalog.models.TakesRules
    created_at: datetime
    retired_at: datetime | None
    settings: GatewaySettings
    accounting_format: str
    received: GatewayFreshness | None
    silent_alert: int | None  # the alert that tells of its silence, while that lasts
    requests: int  # booked in the last 24 hours
    keys: Sequence[KeyRow]  # those that work, newest first
    rules: Sequence[Standing]  # by environment; of none where it is retired


@dataclass(frozen=True, kw_only=True)
class GatewayPage:
    """One gateway in full. `newest_key` is the id of its newest key, 0 where it has none.

    `formats` are those that its last bodies came in, with how many and when the last of each came.
    """

    row: GatewayRow
    ended: Sequence[KeyRow]  # revoked or expired, newest first
    instances: Sequence[Instance]  # some, the worst first
    newest_key: int
    formats: Sequence[tuple[str, int, datetime]]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Every gateway, those that are retired last, and the keys that stand for none."""

    gateways: Sequence[GatewayRow]
    keys_of_none: Sequence[KeyRow]


def listed(*, at: datetime) -> Listed:
    """Return all gateways with their keys that work. Seven queries."""
    keys = _keys(Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=at)))
    rows = _rows(Gateway.objects.order_by("name"), keys, at)
    return Listed(
        gateways=sorted(rows, key=lambda row: row.retired_at is not None),
        keys_of_none=[key for key in keys if key.gateway_id is None],
    )


def one(*, gateway_id: int, at: datetime) -> GatewayPage | None:
    """Return one gateway, or None. Nine queries."""
    keys = _keys(Q(gateway_key__gateway=gateway_id))
    rows = _rows(Gateway.objects.filter(pk=gateway_id), keys, at, only=gateway_id)
    if not rows:
        return None
    return GatewayPage(
        row=rows[0],
        ended=[key for key in keys if not key.works(at)],
        instances=fleet.worst(at=at, gateway_id=gateway_id, of_each=MOST_INSTANCES),
        newest_key=max((key.id for key in keys), default=0),
        formats=receipts.formats(gateway_id=gateway_id),
    )


def key(*, key_id: int) -> KeyRow | None:
    """Return a key of any kind, or None. One query."""
    return next(iter(_keys(Q(pk=key_id))), None)


def _keys(which: Q) -> list[KeyRow]:
    found = ApiKey.objects.filter(which).order_by("-id")[:MOST_KEYS]
    columns = (
        "id", "name", "prefix", "scopes", "created_at", "created_by", "last_used_at", "expires_at", "revoked_at",
        "gateway_key__gateway_id", "gateway_key__gateway__name", "gateway_key__environment",
    )  # fmt: skip
    return [
        KeyRow(
            id=row["id"],
            name=row["name"],
            prefix=row["prefix"],
            scopes=tuple(row["scopes"]),
            gateway_id=row["gateway_key__gateway_id"],
            gateway=row["gateway_key__gateway__name"],
            environment=row["gateway_key__environment"] or "",
            created_at=row["created_at"],
            created_by=row["created_by"],
            last_used_at=row["last_used_at"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
        )
        for row in found.values(*columns)
    ]


def _rows(found: Any, keys: Sequence[KeyRow], at: datetime, *, only: int | None = None) -> list[GatewayRow]:
    gateways = list(found)
    if not gateways:
        return []
    ids = [gateway.pk for gateway in gateways]
    received = {one.gateway_id: one for one in freshness.gateways(at=at, only=only)}
    silent = _silent()
    formats = dict(
        Source.objects.filter(gateway__in=ids, kind=SourceKind.LIVE).values_list("gateway_id", "accounting_format")
    )
    booked = Rollup15Min.objects.filter(gateway__in=ids, bucket__gte=at - DAY, bucket__lte=at)
    requests = dict(booked.values("gateway_id").annotate(n=Sum("requests")).values_list("gateway_id", "n"))
    stands: dict[int, list[Standing]] = {}
    for standing in fleet.standings(at=at, gateway_ids=ids):
        stands.setdefault(standing.gateway_id, []).append(standing)
    rows = []
    for gateway in gateways:
        own = [key for key in keys if key.gateway_id == gateway.pk and key.works(at)]
        known = gateway_settings.read(gateway.settings)
        # One that tells of all gateways is none of whoever never sent anything, or may be silent.
        watched = gateway.retired_at is None and gateway.pk in received and known.silent_after_minutes > 0
        rows.append(
            GatewayRow(
                id=gateway.pk,
                name=gateway.name,
                kind=gateway.kind,
                takes_rules=gateway.takes_rules,
                created_at=gateway.created_at,
                retired_at=gateway.retired_at,
                settings=known,
                accounting_format=formats.get(gateway.pk, ""),
                received=received.get(gateway.pk),
                silent_alert=silent.get(gateway.pk, silent.get(None)) if watched else None,
                requests=int(requests.get(gateway.pk) or 0),
                keys=own,
                rules=stands.get(gateway.pk, []),
            )
        )
    return rows


def _silent() -> dict[int | None, int]:
    """Return the alerts that tell of gateways' silence, by gateway; that of all of them by None. One query."""
    lasting = Alert.objects.filter(kind=silence.KIND).exclude(state=AlertState.RESOLVED)
    return dict(lasting.order_by("id").values_list("subject_id", "id"))
