"""What the pages of gateways show: who reports usage, with which keys, how far it is booked, which rules it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q, Sum

from alerts.models import Alert, AlertState
from catalog.models import Gateway
from catalog.rules import gateway_settings
from catalog.rules.gateway_settings import GatewaySettings
from core.access import ACTIONS
from core.models import ApiKey
from routing.models import GatewayPoll, Version
from usage.models import Rollup15Min, Source, SourceKind
from usage.selectors import freshness, receipts
from usage.selectors.freshness import GatewayFreshness
from usage.services import silence

DAY = timedelta(hours=24)
# A poll is written once a minute at least, so an instance that nothing was heard of for longer is gone or cut off.
ASKING = timedelta(minutes=10)
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
class RulesRow:
    """How a gateway stands with the rules of an environment.

    `live_version` is None where none is in force. `asking` instances asked within the last minutes, `behind` of them
    have another version than the one in force; `version` is what the one that asked last has by its own word, and
    `given_version` what it was given. `polled_at` is None where it never asked.
    """

    environment: str
    live_version: int | None
    live_since: datetime | None
    asking: int
    behind: int
    version: int | None
    given_version: int | None
    revision: int | None
    polled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class GatewayRow:
    """A gateway at a glance. `received` is None where it never sent anything live."""

    id: int
    name: str
    kind: str
    created_at: datetime
    retired_at: datetime | None
    settings: GatewaySettings
    accounting_format: str
    received: GatewayFreshness | None
    silent_alert: int | None  # the alert that tells of its silence, while that lasts
    requests: int  # booked in the last 24 hours
    keys: Sequence[KeyRow]  # those that work, newest first
    rules: Sequence[RulesRow]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What one instance of a gateway last asked for and was given."""

    environment: str
    name: str
    version: int | None
    revision: int | None
    given_version: int | None
    given_revision: int | None
    polled_at: datetime


@dataclass(frozen=True, kw_only=True)
class GatewayPage:
    """One gateway in full. `newest_key` is the id of its newest key, 0 where it has none.

    `formats` are those that its last bodies came in, with how many and when the last of each came.
    """

    row: GatewayRow
    ended: Sequence[KeyRow]  # revoked or expired, newest first
    instances: Sequence[Instance]
    newest_key: int
    formats: Sequence[tuple[str, int, datetime]]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Every gateway, those that are retired last, and the keys that stand for none."""

    gateways: Sequence[GatewayRow]
    keys_of_none: Sequence[KeyRow]


def listed(*, at: datetime) -> Listed:
    """Return all gateways with their keys that work. Eight queries."""
    keys = _keys(Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=at)))
    rows = _rows(Gateway.objects.order_by("name"), keys, at)
    return Listed(
        gateways=sorted(rows, key=lambda row: row.retired_at is not None),
        keys_of_none=[key for key in keys if key.gateway_id is None],
    )


def one(*, gateway_id: int, at: datetime) -> GatewayPage | None:
    """Return one gateway, or None. Ten queries."""
    keys = _keys(Q(gateway_key__gateway=gateway_id))
    rows = _rows(Gateway.objects.filter(pk=gateway_id), keys, at, only=gateway_id)
    if not rows:
        return None
    polls = GatewayPoll.objects.filter(gateway=gateway_id).order_by("-polled_at", "id")[:MOST_INSTANCES]
    return GatewayPage(
        row=rows[0],
        ended=[key for key in keys if not key.works(at)],
        instances=[
            Instance(
                environment=poll.environment,
                name=poll.instance,
                version=poll.version,
                revision=poll.revision,
                given_version=poll.given_version,
                given_revision=poll.given_revision,
                polled_at=poll.polled_at,
            )
            for poll in polls
        ],
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
    polled = _polled(ids, at)
    live = _live()
    rows = []
    for gateway in gateways:
        own = [key for key in keys if key.gateway_id == gateway.pk and key.works(at)]
        # Whoever is retired is not late with anything.
        asked = polled.get(gateway.pk, {}) if gateway.retired_at is None else {}
        names = {*asked, *(key.environment for key in own if key.may_fetch_rules)}
        known = gateway_settings.read(gateway.settings)
        # One that tells of all gateways is none of whoever never sent anything, or may be silent.
        watched = gateway.retired_at is None and gateway.pk in received and known.silent_after_minutes > 0
        rows.append(
            GatewayRow(
                id=gateway.pk,
                name=gateway.name,
                kind=gateway.kind,
                created_at=gateway.created_at,
                retired_at=gateway.retired_at,
                settings=known,
                accounting_format=formats.get(gateway.pk, ""),
                received=received.get(gateway.pk),
                silent_alert=silent.get(gateway.pk, silent.get(None)) if watched else None,
                requests=int(requests.get(gateway.pk) or 0),
                keys=own,
                rules=[_stands(name, asked.get(name), live.get(name)) for name in sorted(names)],
            )
        )
    return rows


def _silent() -> dict[int | None, int]:
    """Return the alerts that tell of gateways' silence, by gateway; that of all of them by None. One query."""
    lasting = Alert.objects.filter(kind=silence.KIND).exclude(state=AlertState.RESOLVED)
    return dict(lasting.order_by("id").values_list("subject_id", "id"))


def _stands(environment: str, asked: Mapping[str, Any] | None, live: tuple[int, datetime] | None) -> RulesRow:
    return RulesRow(
        environment=environment,
        live_version=live[0] if live else None,
        live_since=live[1] if live else None,
        asking=asked["asking"] if asked else 0,
        behind=asked["behind"] if asked else 0,
        version=asked["version"] if asked else None,
        given_version=asked["given_version"] if asked else None,
        revision=asked["revision"] if asked else None,
        polled_at=asked["polled_at"] if asked else None,
    )


def _polled(gateway_ids: Iterable[int], at: datetime) -> dict[int, dict[str, dict[str, Any]]]:
    """Return by gateway and environment who asks and what the one that asked last has. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT p.gateway_id, p.environment,
                count(*) FILTER (WHERE p.polled_at > %(since)s) AS asking,
                count(*) FILTER (WHERE p.polled_at > %(since)s AND p.version IS DISTINCT FROM e.live_version) AS behind,
                (array_agg(p.version ORDER BY p.polled_at DESC, p.id))[1] AS version,
                (array_agg(p.given_version ORDER BY p.polled_at DESC, p.id))[1] AS given_version,
                (array_agg(p.revision ORDER BY p.polled_at DESC, p.id))[1] AS revision,
                max(p.polled_at) AS polled_at
            FROM routing_gatewaypoll p LEFT JOIN routing_environment e ON e.name = p.environment
            WHERE p.gateway_id = ANY(%(gateways)s) AND p.polled_at <= %(at)s
            GROUP BY p.gateway_id, p.environment
            """,
            {"since": at - ASKING, "at": at, "gateways": list(gateway_ids)},
        )
        names = [column.name for column in cursor.description]
        found: dict[int, dict[str, dict[str, Any]]] = {}
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True))
            found.setdefault(row["gateway_id"], {})[row["environment"]] = row
    return found


def _live() -> dict[str, tuple[int, datetime]]:
    """Return the version in force of each environment that has one, and since when. One query."""
    published = Version.objects.filter(number=F("environment__live_version"))
    rows = published.values_list("environment__name", "number", "published_at")
    return {name: (number, published_at) for name, number, published_at in rows}
