"""Environments: where rules are in force, and what is in force there."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.models import GatewayKey
from routing.models import Environment

USUAL = "production"


@dataclass(frozen=True, kw_only=True)
class EnvironmentRow:
    id: int | None  # None: a key names it, and nobody has proposed rules for it yet
    name: str
    live_version: int | None
    state_revision: int


def listed() -> list[EnvironmentRow]:
    """Return all environments, by name, the usual one first; those that only keys name too. Two queries."""
    rows = {
        one.name: EnvironmentRow(
            id=one.pk, name=one.name, live_version=one.live_version, state_revision=one.state_revision
        )
        for one in Environment.objects.all()
    }
    named = GatewayKey.objects.filter(key__revoked_at__isnull=True).values_list("environment", flat=True).distinct()
    for name in {*named, USUAL} - rows.keys():
        rows[name] = EnvironmentRow(id=None, name=name, live_version=None, state_revision=0)
    return sorted(rows.values(), key=lambda row: (row.name != USUAL, row.name))


def one(*, name: str) -> EnvironmentRow | None:
    """Return an environment that has or may get rules. Two queries."""
    return next((row for row in listed() if row.name == name), None)


def console_path(name: str) -> str:
    """Return where the console shows an environment, for links. A slash is written `~`, which no name holds."""
    return f"/rules/{name.replace('/', '~')}/"
