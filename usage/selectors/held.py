"""Held events as people look at them: what was kept without being counted, beside what was counted instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from catalog.models import UNASSIGNED_ID
from catalog.rules import fold
from usage.models import Entry, HeldEvent, LedgerEntry, Status, UnsummedEntry

Value = str | int | Decimal | datetime | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that an event says, as it was counted and as it came later."""

    name: str
    counted: Value
    later: Value
    differs: bool


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """An event that was kept but not counted. `lines` are of a conflict whose counted entry is still there."""

    id: int
    reason: str
    gateway_id: int
    gateway: str
    receipt_id: int
    format: str
    event_id: str
    occurred_at: datetime
    held_at: datetime
    said: Mapping[str, Any]  # the normalised event
    lines: Sequence[Line]
    in_totals: bool  # the entry that was counted instead is in the ledger, not kept aside
    settled_at: datetime | None
    settled_by: str
    settled_because: str

    @property
    def differing(self) -> list[Line]:
        return [line for line in self.lines if line.differs]


def listed(
    *,
    reason: str = "",
    gateway_id: int | None = None,
    receipt_id: int | None = None,
    settled: bool | None = False,
    before: int | None = None,
    most: int = 50,
    only: Sequence[int] | None = None,
) -> list[HeldRow]:
    """Return held events, the newest first; `settled` None is both. At most three queries."""
    found = _found(reason=reason, gateway_id=gateway_id, receipt_id=receipt_id, settled=settled)
    found = found.select_related("source__gateway", "receipt").defer("receipt__events", "receipt__rejected")
    if only is not None:
        found = found.filter(pk__in=only)
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found.order_by("-id")[:most])
    counted = _counted(rows)
    return [_row(held, counted.get(_key(held))) for held in rows]


def longer_than(
    most: int,
    *,
    reason: str = "",
    gateway_id: int | None = None,
    receipt_id: int | None = None,
    settled: bool | None = False,
) -> bool:
    """Return whether `listed` has more rows than that in all. One query."""
    found = _found(reason=reason, gateway_id=gateway_id, receipt_id=receipt_id, settled=settled)
    return found.order_by()[: most + 1].count() > most


def open_ids(
    *, upto: int, reason: str = "", gateway_id: int | None = None, receipt_id: int | None = None, most: int = 1000
) -> list[int]:
    """Return held events that nobody settled, none newer than `upto`, the newest first. One query."""
    found = _found(reason=reason, gateway_id=gateway_id, receipt_id=receipt_id, settled=False)
    return list(found.filter(pk__lte=upto).order_by("-id").values_list("id", flat=True)[:most])


def _found(*, reason: str, gateway_id: int | None, receipt_id: int | None, settled: bool | None) -> QuerySet[HeldEvent]:
    found = HeldEvent.objects.all()
    if settled is not None:
        found = found.filter(settled_at__isnull=not settled)
    if reason:
        found = found.filter(reason=reason)
    if gateway_id is not None:
        found = found.filter(source__gateway=gateway_id)
    if receipt_id is not None:
        found = found.filter(receipt=receipt_id)
    return found


_Key = tuple[int, datetime, int]


def _key(held: HeldEvent) -> _Key | None:
    if held.entry_use_case_id is None or held.entry_booked_at is None or held.entry_id is None:
        return None
    return held.entry_use_case_id, held.entry_booked_at, held.entry_id


def _counted(rows: Sequence[HeldEvent]) -> dict[_Key | None, tuple[Entry, bool]]:
    """Return the entries that were counted instead, and whether they are in totals. At most two queries."""
    missing = {key for held in rows if held.reason == "conflict" and (key := _key(held)) is not None}
    found: dict[_Key | None, tuple[Entry, bool]] = {}
    for model, in_totals in ((LedgerEntry, True), (UnsummedEntry, False)):
        if not missing:
            break
        wanted = Q()
        for use_case, booked_at, id_ in missing:
            wanted |= Q(use_case=use_case, booked_at=booked_at, id=id_)
        for entry in model.objects.filter(wanted).select_related("use_case", "team", "offering"):
            key = (entry.use_case_id, entry.booked_at, entry.id)
            found[key] = (entry, in_totals)
            missing.discard(key)
    return found


def _row(held: HeldEvent, counted: tuple[Entry, bool] | None) -> HeldRow:
    return HeldRow(
        id=held.pk,
        reason=held.reason,
        gateway_id=held.source.gateway_id,
        gateway=held.source.gateway.name,
        receipt_id=held.receipt_id,
        format=held.receipt.format,
        event_id=held.event_id,
        occurred_at=held.occurred_at,
        held_at=held.held_at,
        said=held.event,
        lines=compared(held.event, counted[0]) if counted else [],
        in_totals=counted is not None and counted[1],
        settled_at=held.settled_at,
        settled_by=held.settled_by,
        settled_because=held.settled_because,
    )


_NUMBERS = (
    ("Uncached input tokens", "uncached_input_tokens"),
    ("Cache read tokens", "cache_read_tokens"),
    ("Cache write tokens, 5 min", "cache_write_5m_tokens"),
    ("Cache write tokens, 1 h", "cache_write_1h_tokens"),
    ("Output tokens", "output_tokens"),
    ("Reasoning tokens", "reasoning_tokens"),
    ("Audio input tokens", "audio_input_tokens"),
    ("Audio output tokens", "audio_output_tokens"),
    ("Image input tokens", "image_input_tokens"),
    ("Image output tokens", "image_output_tokens"),
    ("Web searches", "web_searches"),
    ("Latency, ms", "latency_ms"),
    ("Rules version", "rules_version"),
    ("State revision", "state_revision"),
    ("Fallback index", "fallback_index"),
)
_TEXTS = (
    ("Requested model", "requested_model", "requested_model"),
    ("Service tier", "service_tier", "service_tier"),
    ("Rule", "rule", "rule"),
    ("Route reason", "route_reason", "reason"),
    ("Call group", "call_group", "call_group"),
    ("Session", "session", "sticky_key"),
    ("User", "user", "user_key"),
)


def compared(event: Mapping[str, Any], entry: Entry) -> list[Line]:
    """Return what either says, line by line: the ledger's words of an entry beside those of an event.

    Texts are compared as far as the ledger keeps them, labels as names are. The context of a request is not compared.
    """
    lines = [_use_case(event, entry)]
    if said := str(event.get("team") or ""):
        lines.append(_line("Team", entry.team.name, said, same=fold(said) == entry.team.folded))
    model = f"{event.get('provider') or ''}/{event.get('model') or ''}"[:258]
    lines.append(_line("Model", entry.reported_model.strip("/"), model.strip("/")))
    lines.append(_line("Status", str(Status(entry.status).label), str(event.get("status") or "ok")))
    lines += [_line(name, getattr(entry, column), event.get(column)) for name, column in _NUMBERS]
    reported = event.get("reported_cost_usd")
    lines.append(_line("Reported cost, USD", entry.reported_cost_usd, Decimal(reported) if reported else None))
    for name, key, column in _TEXTS:
        length = getattr(entry._meta.get_field(column), "max_length", None)
        lines.append(_line(name, getattr(entry, column), str(event.get(key) or "")[:length]))
    lines.append(_line("Tags", _tags(entry.tags), _tags(event.get("tags"))))
    lines.append(_line("Doubts", ", ".join(sorted(entry.flags or [])), ", ".join(sorted(event.get("flags") or []))))
    return [line for line in lines if line.differs or line.counted or line.later]


def _use_case(event: Mapping[str, Any], entry: Entry) -> Line:
    said = str(event.get("use_case") or "")
    same = fold(said) == entry.use_case.folded if said else entry.use_case_id == UNASSIGNED_ID
    return _line("Use case", entry.use_case.name, said or "unassigned", same=same)


def _line(name: str, counted: Value, later: Value, *, same: bool | None = None) -> Line:
    return Line(name=name, counted=counted, later=later, differs=counted != later if same is None else not same)


def _tags(tags: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((tags or {}).items()))
