"""Questions about channels, answered as rows that hold no secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.channels import KINDS
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
    enabled: bool
    teams: tuple[int, ...]  # empty: all, here and below
    budgets: tuple[int, ...]
    kinds: tuple[str, ...]
    least_severity: int
    least_severity_label: str
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


def _row(channel: Channel) -> ChannelRow:
    kind = KINDS.get(channel.kind)
    return ChannelRow(
        id=channel.pk,
        name=channel.name,
        kind=channel.kind,
        kind_label=kind.label if kind else channel.kind,
        target=_target(channel),
        config=channel.config,
        has_secret=bool(channel.secret),
        enabled=channel.enabled,
        teams=tuple(channel.teams),
        budgets=tuple(channel.budgets),
        kinds=tuple(channel.kinds),
        least_severity=channel.least_severity,
        least_severity_label=str(Severity(channel.least_severity).label),
        created_at=channel.created_at,
        retired_at=channel.retired_at,
    )


def _target(channel: Channel) -> str:
    kind = KINDS.get(channel.kind)
    if kind is None:
        return ""
    try:
        secret = secrets.decrypt(bytes(channel.secret)).decode() if channel.secret else ""
    except TollkeeperError:
        return "secret cannot be read"
    return kind.describe(channel.config, secret)
