"""What the pages of intake, held events and imports show, as tables for files: all lines, every digit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from core import money
from dashboards.downloads import Table, columns
from dashboards.views.files_running import by_place
from usage.selectors import held as held_rows
from usage.selectors import imports as import_rows
from usage.selectors import receipts as receipt_rows
from usage.selectors.held import HeldRow, Value
from usage.selectors.imports import ImportRow
from usage.selectors.receipts import ReceiptRow

_AT_ONCE = 500


def bodies(*, show: str, gateway_id: int | None) -> Table:
    """One query for 500 bodies."""

    def line(row: ReceiptRow) -> list[Any]:
        return [
            row.id, row.received_at, row.gateway, row.environment, row.format, row.imported,
            "given up" if row.given_up_at else row.state, row.done_at, row.first_occurred_at, row.last_occurred_at,
            row.events, row.booked, row.duplicates, row.conflicts, row.quarantined, row.shadowed, row.superseded,
            row.rejected, row.attempts, row.error, row.given_up_at, row.given_up_by, row.given_up_because,
        ]  # fmt: skip

    def ask(before: tuple[datetime, int] | None) -> list[ReceiptRow]:
        return receipt_rows.listed(show=show, gateway_id=gateway_id, before=before, most=_AT_ONCE)

    return Table(
        name=f"bodies-{show}",
        title="Bodies that came in, newest first",
        columns=columns(
            "id", "received_at", "gateway", "environment", "format", "of_an_import", "state", "booked_at",
            "first_occurred_at", "last_occurred_at", "events", "counted", "repeats", "conflicts", "too_old",
            "kept_aside", "superseded", "refused", "attempts", "error", "given_up_at", "given_up_by",
            "given_up_because",
        ),
        rows=map(line, by_place(ask, lambda row: (row.received_at, row.id))),
        longer_than=partial(receipt_rows.longer_than, show=show, gateway_id=gateway_id),
    )  # fmt: skip


def held(*, settled: bool, filters: Mapping[str, Any]) -> Table:
    """Three queries for 500 events. What an event says otherwise than what was counted stands as `name: value`."""

    def line(row: HeldRow) -> list[Any]:
        return [
            row.id, row.reason, row.gateway, row.receipt_id, row.format, row.event_id, row.occurred_at, row.held_at,
            "; ".join(f"{one.name}: {_said(one.counted)}" for one in row.differing),
            "; ".join(f"{one.name}: {_said(one.later)}" for one in row.differing),
            row.settled_at, row.settled_by, row.settled_because,
        ]  # fmt: skip

    def ask(before: int | None) -> list[HeldRow]:
        return held_rows.listed(**filters, settled=settled, before=before, most=_AT_ONCE)

    return Table(
        name="held-events-settled" if settled else "held-events",
        title="Held events that were settled, newest first" if settled else "Held events, newest first",
        columns=columns(
            "id", "reason", "gateway", "body", "format", "event_id", "occurred_at", "held_at", "counted", "later",
            "settled_at", "settled_by", "settled_because",
        ),
        rows=map(line, by_place(ask, lambda row: row.id)),
        longer_than=partial(held_rows.longer_than, **filters, settled=settled),
    )  # fmt: skip


def _said(value: Value) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return money.plain(value) if isinstance(value, Decimal) else "nothing" if value is None else str(value)


def imports() -> Table:
    """One query for 500 imports."""

    def line(row: ImportRow) -> list[Any]:
        since, until = row.covers or (None, None)
        return [
            row.id, row.gateway, row.environment, row.format, row.file_name, row.sha256, row.state, row.audit,
            row.items, row.events, row.rejected, row.first_at, row.last_at, since, until, row.booked, row.duplicates,
            row.conflicts, row.shadowed, row.superseded, row.quarantined, row.started_at, row.started_by,
            row.confirmed_at, row.confirmed_by, row.finished_at, row.dropped_by, row.note, row.error,
        ]  # fmt: skip

    def ask(before: int | None) -> list[ImportRow]:
        return import_rows.listed(before=before, most=_AT_ONCE)

    return Table(
        name="usage-imports",
        title="Files of past calls, newest first",
        columns=[
            *columns("id", "gateway", "environment", "format", "file", "sha256", "state", "for_audit", "items"),
            *columns("events", "refused", "first_at", "last_at", "covers_from", "covers_until", "counted", "repeats"),
            *columns("conflicts", "kept_aside", "superseded", "too_old", "started_at", "started_by", "confirmed_at"),
            *columns("confirmed_by", "finished_at", "dropped_by", "note", "error"),
        ],
        rows=map(line, by_place(ask, lambda row: row.id)),
    )  # fmt: skip
