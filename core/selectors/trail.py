"""The audit trail, as people read it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from core.models import AuditEntry

LONGEST = 200  # characters of a value


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A column that changed; an empty text where it had, or has, no value."""

    column: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class TrailLine:
    id: int
    at: datetime
    actor: str  # empty: raw SQL
    reason: str
    operation: str  # insert, update, delete
    differences: tuple[Difference, ...]
    table: str
    row: str


def of_row(*, table: str, row: str, limit: int, before: int | None = None) -> list[TrailLine]:
    """Return what happened to a row, entries with an id under `before`, the latest first. One query."""
    found = AuditEntry.objects.filter(table=table, row=row)
    if before is not None:
        found = found.filter(pk__lt=before)
    return [_line(entry) for entry in found.order_by("-id")[:limit]]


def of_rows(*, rows: Mapping[str, Collection[str]], limit: int) -> list[TrailLine]:
    """Return what happened to several rows, by their table, the latest first. One query, none for no rows."""
    wanted = Q()
    for table, named in rows.items():
        if named:
            wanted |= Q(table=table, row__in=list(named))
    return [_line(entry) for entry in AuditEntry.objects.filter(wanted).order_by("-id")[:limit]] if wanted else []


def _line(entry: AuditEntry) -> TrailLine:
    return TrailLine(
        id=entry.pk,
        at=entry.at,
        actor=entry.actor,
        reason=entry.reason,
        operation=entry.operation,
        differences=differences(entry.before, entry.after),
        table=entry.table,
        row=entry.row,
    )


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None) -> tuple[Difference, ...]:
    """Return the columns that differ between two states of a row; long values are cut."""
    old, new = before or {}, after or {}
    return tuple(
        Difference(column=column.replace("_", " "), before=_shown(old.get(column)), after=_shown(new.get(column)))
        for column in {**new, **old}
        if old.get(column) != new.get(column) and (_shown(old.get(column)) or _shown(new.get(column)))
    )


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
