"""Switches: every word on what is off or on, the latest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from routing.models import Switch
from routing.selectors import state


@dataclass(frozen=True, kw_only=True)
class SwitchRow:
    """A word on a provider, model or offering. It holds from `since` until `until`, or until the next on the name."""

    id: int
    kind: str
    name: str
    off: bool
    since: datetime
    until: datetime
    reason: str
    by: str


def in_force(*, at: datetime) -> list[SwitchRow]:
    """Return what is off, or let through, at an instant, by kind and name. One query."""
    return [_row(switch) for switch in state.in_force(at=at)]


def newest(*, limit: int, before: int | None = None) -> list[SwitchRow]:
    """Return every word that was ever given, with an id under `before`, the latest first. One query."""
    found = Switch.objects.order_by("-id")
    if before is not None:
        found = found.filter(pk__lt=before)
    return [_row(switch) for switch in found[:limit]]


def _row(switch: Switch) -> SwitchRow:
    return SwitchRow(
        id=switch.pk,
        kind=switch.kind,
        name=switch.name,
        off=switch.off,
        since=switch.since,
        until=switch.until,
        reason=switch.reason,
        by=switch.by,
    )
