"""Imports of files of events: what they hold, how far they are, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from usage.formats import FILE_FORMATS


@dataclass(frozen=True, kw_only=True)
class Group:
    """Events of a file that share a use case and a model, as the catalogue knew them when the file was read."""

    use_case: str
    model: str
    events: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal  # of those that have a price
    unpriced: int  # events without a price, or without token counts


@dataclass(frozen=True, kw_only=True)
class ImportRow:
    """An import. `booked` and what follows it are events; `handled` are those whose outcome is known."""

    id: int
    gateway_id: int
    gateway: str
    environment: str
    format: str
    title: str
    options: Mapping[str, Any]
    file_name: str
    sha256: str
    state: str  # reading, ready, booking, done, failed, dropped
    position: int  # bytes of the unpacked file
    items: int
    events: int
    rejected: int
    first_at: datetime | None
    last_at: datetime | None
    covers: tuple[datetime, datetime] | None
    audit: bool
    note: str
    started_at: datetime
    started_by: str
    confirmed_at: datetime | None
    confirmed_by: str
    finished_at: datetime | None
    dropped_by: str
    error: str
    stopped: bool  # booking, and its job failed for good
    handled: int
    booked: int
    duplicates: int
    conflicts: int
    shadowed: int
    superseded: int
    quarantined: int
    bodies_failed: int
    groups: Sequence[Group]
    unknown: Mapping[str, Mapping[str, int]]  # by kind: use_case, team, model
    reasons: Sequence[tuple[str, int]]  # of rejections, the most frequent first

    @property
    def share_handled(self) -> Decimal | None:
        return Decimal(self.handled) / self.events if self.events else None

    @property
    def cost_usd(self) -> Decimal:
        return sum((group.cost_usd for group in self.groups), Decimal(0))

    @property
    def input_tokens(self) -> int:
        return sum(group.input_tokens for group in self.groups)

    @property
    def output_tokens(self) -> int:
        return sum(group.output_tokens for group in self.groups)

    @property
    def unpriced(self) -> int:
        return sum(group.unpriced for group in self.groups)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    index: int  # of the item in the file, from 0
    error: str


@dataclass(frozen=True, kw_only=True)
class FailedBody:
    receipt_id: int
    events: int
    error: str


_OUTCOMES = ("booked", "duplicates", "conflicts", "shadowed", "superseded", "quarantined")
_SQL = f"""
    SELECT i.id, i.gateway_id, g.name, i.environment, i.format, i.options, i.file_name, encode(i.sha256, 'hex'),
        i.state, i.position, i.items, i.events, i.rejected, i.first_at, i.last_at, lower(i.covers), upper(i.covers),
        i.audit, i.note, i.started_at, i.started_by, i.confirmed_at, i.confirmed_by, i.finished_at, i.dropped_by,
        i.error, i.state = 'booking' AND coalesce(j.state IN ('failed', 'cancelled'), false), j.error,
        r.*, CASE WHEN %(whole)s THEN i.summary::text END
    FROM usage_import i JOIN catalog_gateway g ON g.id = i.gateway_id LEFT JOIN core_job j ON j.id = i.job_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(event_count) FILTER (WHERE state = 'done'), 0)::bigint,
            {", ".join(f"coalesce(sum({name}), 0)::bigint" for name in _OUTCOMES)},
            count(*) FILTER (WHERE state = 'failed')
        FROM receipt WHERE source_id = i.source_id
    ) r
"""


def listed(*, most: int, before: int | None = None, gateway_id: int | None = None) -> list[ImportRow]:
    """Return imports, the newest first, without what their files hold. One query."""
    return _rows(
        "WHERE (%(before)s::bigint IS NULL OR i.id < %(before)s) "
        "AND (%(gateway)s::bigint IS NULL OR i.gateway_id = %(gateway)s) ORDER BY i.id DESC LIMIT %(most)s",
        before=before, gateway=gateway_id, most=most, whole=False,
    )  # fmt: skip


def one(*, import_id: int) -> ImportRow | None:
    """Return an import with what its file holds. One query."""
    return next(iter(_rows("WHERE i.id = %(id)s", id=import_id, whole=True)), None)


def rejections(*, import_id: int, most: int = 100) -> list[Rejection]:
    """Return the first items of the file that could not become events. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (e ->> 'index')::bigint, e ->> 'error' FROM usage_importpart p, jsonb_array_elements(p.rejected) e "
            "WHERE p.usage_import_id = %s AND p.rejected <> '[]' ORDER BY 1 LIMIT %s",
            [import_id, most],
        )
        return [Rejection(index=int(index), error=error) for index, error in cursor.fetchall()]


def failed_bodies(*, import_id: int, most: int = 20) -> list[FailedBody]:
    """Return receipts of an import that were set aside after several tries. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.id, r.event_count, r.error FROM receipt r JOIN usage_import i ON i.source_id = r.source_id "
            "WHERE i.id = %s AND r.state = 'failed' ORDER BY r.id LIMIT %s",
            [import_id, most],
        )
        return [FailedBody(receipt_id=id_, events=events, error=error) for id_, events, error in cursor.fetchall()]


def groups_of(summary: Mapping[str, Any]) -> list[Group]:
    """Return the groups of a summary, those with most tokens first."""
    return [Group(**{**group, "cost_usd": Decimal(group["cost_usd"])}) for group in summary.get("groups", ())]


def reasons_of(summary: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return why items were rejected, the most frequent reason first."""
    return sorted(summary.get("reasons", {}).items(), key=lambda reason: (-reason[1], reason[0]))


def _rows(where: str, **values: Any) -> list[ImportRow]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_SQL} {where}", values)
        return [_row(row) for row in cursor.fetchall()]


def _row(row: Sequence[Any]) -> ImportRow:
    (
        id_, gateway_id, gateway, environment, format_, options, file_name, sha256, state, position, items, events,
        rejected, first_at, last_at, starts_at, ends_at, audit, note, started_at, started_by, confirmed_at,
        confirmed_by, finished_at, dropped_by, error, stopped, job_error, handled, booked, duplicates, conflicts,
        shadowed, superseded, quarantined, bodies_failed, summary,
    ) = row  # fmt: skip
    known = FILE_FORMATS.get(format_)
    said = json.loads(summary) if summary else {}
    return ImportRow(
        id=id_, gateway_id=gateway_id, gateway=gateway, environment=environment, format=format_,
        title=known.title if known else format_, options=json.loads(options), file_name=file_name, sha256=sha256,
        state=state, position=position, items=items, events=events, rejected=rejected, first_at=first_at,
        last_at=last_at, covers=(starts_at, ends_at) if starts_at else None, audit=audit, note=note,
        started_at=started_at, started_by=started_by, confirmed_at=confirmed_at, confirmed_by=confirmed_by,
        finished_at=finished_at, dropped_by=dropped_by, error=(job_error or error) if stopped else error,
        stopped=stopped, handled=handled, booked=booked, duplicates=duplicates, conflicts=conflicts,
        shadowed=shadowed, superseded=superseded, quarantined=quarantined, bodies_failed=bodies_failed,
        groups=groups_of(said),
        unknown=said.get("unknown", {}),
        reasons=reasons_of(said),
    )  # fmt: skip
