"""Questions about channels, answered as rows that hold no secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.channels import KINDS, Signing
from alerts.models import Channel, Severity
from core import secrets
from core.errors import TollkeeperError


@dataclass(frozen=True, kw_only=True)
class ChannelRow:
    id: int
    name: str
    kind: str
    kind_label: str
    target: str  # where messages go, as people may see it: a webhook's host, the recipients
    config: dict[str, Any]
    has_secret: bool
    former_secret_until: datetime | None  # after a rotation: until then the former secret signs as well
    enabled: bool
    teams: tuple[int, ...]  # empty: all, here and below
    budgets: tuple[int, ...]
    kinds: tuple[str, ...]
    least_severity: int
    least_severity_label: str
    digests: tuple[str, ...]  # daily, weekly
    digest_hour: int  # of the organisation's zone
    canary: bool  # gets the daily check
    created_at: datetime
    retired_at: datetime | None


def every(*, with_retired: bool = False) -> list[ChannelRow]:
    """Return the channels in use by name; on request the retired ones too. One query."""
    channels = Channel.objects.order_by("name", "id")
    if not with_retired:
        channels = channels.filter(retired_at__isnull=True)
    return [_row(channel) for channel in channels]


def one(*, channel_id: int) -> ChannelRow | None:
    """Return a channel, retired or not, or None. One query."""
    channel = Channel.objects.filter(pk=channel_id).first()
    return _row(channel) if channel else None


def for_canary() -> list[int]:
    """Return the ids of the channels in use that are ticked for the daily check. One query."""
    ticked = Channel.objects.filter(canary=True, enabled=True, retired_at__isnull=True)
    return list(ticked.order_by("id").values_list("id", flat=True))


def _row(channel: Channel) -> ChannelRow:
    kind = KINDS.get(channel.kind)
    target, former_until = _seen_of_secret(channel)
    return ChannelRow(
        id=channel.pk,
        name=channel.name,
        kind=channel.kind,
        kind_label=kind.label if kind else channel.kind,
        target=target,
        config=channel.config,
        has_secret=bool(channel.secret),
        former_secret_until=former_until,
        enabled=channel.enabled,
        teams=tuple(channel.teams),
        budgets=tuple(channel.budgets),
        kinds=tuple(channel.kinds),
        least_severity=channel.least_severity,
        least_severity_label=str(Severity(channel.least_severity).label),
        digests=tuple(channel.digests),
        digest_hour=channel.digest_hour,
        canary=channel.canary,
        created_at=channel.created_at,
        retired_at=channel.retired_at,
    )


def _seen_of_secret(channel: Channel) -> tuple[str, datetime | None]:
    """Return where messages go and until when a former secret signs: what needs the secret and gives none away."""
    kind = KINDS.get(channel.kind)
    if kind is None:
        return "", None
    try:
        secret = secrets.decrypt(bytes(channel.secret)).decode() if channel.secret else ""
    except TollkeeperError:
        return "secret cannot be read", None
    former_until = kind.former_until(secret) if secret and isinstance(kind, Signing) else None
    return kind.describe(channel.config, secret), former_until
