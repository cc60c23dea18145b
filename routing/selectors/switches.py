"""Switches: every word on what is off or on, the latest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from routing.models import Switch
from routing.selectors import state


@dataclass(frozen=True, kw_only=True)
class SwitchRow:
    """A word on a provider, model or offering. It holds in [since, ended_at)."""

    id: int
    kind: str
    name: str
    off: bool
    since: datetime
    until: datetime  # when it ends by itself
    ended_at: datetime  # `until`, or when the next word on the name was given if that came first
    reason: str
    by: str
    next_id: int | None = None  # the word that ended it early; None where it ends by itself
    next_off: bool = False
    next_reason: str = ""
    next_by: str = ""

    def holds(self, at: datetime) -> bool:
        return self.since <= at < self.ended_at

    @property
    def takes_back(self) -> bool:
        """Say whether it does no more than end what was said before."""
        return not self.off and self.until == self.since


def in_force(*, at: datetime) -> list[SwitchRow]:
    """Return what is off, or let through, at an instant, by kind and name. One query."""
    return [_row(switch) for switch in state.in_force(at=at)]


def newest(*, limit: int, before: int | None = None) -> list[SwitchRow]:
    """Return every word that was ever given, with an id under `before`, the latest first. One query."""
    found = Switch.objects.order_by("-id")
    if before is not None:
        found = found.filter(pk__lt=before)
    return _rows(found[:limit])


def one(*, pk: int) -> SwitchRow | None:
    """Return a word, None where there is none. One query."""
    return next(iter(_rows(Switch.objects.filter(pk=pk))), None)


def held_within(*, starts_at: datetime, ends_at: datetime) -> list[SwitchRow]:
    """Return the words that held at any time in [starts_at, ends_at), in the order in which they came. One query."""
    found = Switch.objects.filter(since__lt=ends_at, until__gt=starts_at).order_by("id")
    return [row for row in _rows(found) if row.since < row.ended_at and row.ended_at > starts_at]


def _rows(found: QuerySet[Switch]) -> list[SwitchRow]:
    later = Switch.objects.filter(kind=OuterRef("kind"), name=OuterRef("name"), pk__gt=OuterRef("pk")).order_by("id")
    told = {f"next_{name}": Subquery(later.values(name)[:1]) for name in ("id", "since", "off", "reason", "by")}
    return [_row(switch, told) for switch in found.annotate(**told)]


def _row(switch: Switch, told: Iterable[str] = ()) -> SwitchRow:
    later: dict[str, Any] = {name: getattr(switch, name) for name in told}
    next_since = later.pop("next_since", None)
    ended_early = next_since is not None and next_since < switch.until
    return SwitchRow(
        id=switch.pk,
        kind=switch.kind,
        name=switch.name,
        off=switch.off,
        since=switch.since,
        until=switch.until,
        # Clocks of two processes may differ by a little: no word ends before it is given.
        ended_at=max(switch.since, next_since) if ended_early else switch.until,
        reason=switch.reason,
        by=switch.by,
        **(later if ended_early else {}),
    )
