"""Cloudflare AI Gateway's logs: rows of its logs API, as JSONL or as the API answers.

Cloudflare names no cached input: `tokens_in` is all input, and its own cost knows better than ours what part of it was
cached. What callers sent as `cf-aig-metadata` is the row's `metadata`: use case, team, user and rule are taken from
there, the rest are tags. The row is written when the call begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from usage.events import Event, Parsed
from usage.formats import native
from usage.formats.contract import NO_HEADERS, FormatSettings, Refused
from usage.formats.files import FileFormat, read_one
from usage.formats.items import UNDECODABLE, Reader
from usage.formats.labels import MAX_ID, MAX_KEY, MAX_KEYS, MAX_LABEL, MAX_VALUE, tidy, tidy_name
from usage.formats.moments import moment
from usage.formats.numbers import Count

_UTC = ZoneInfo("UTC")
_USE_CASE, _TEAM = ("use_case", "usecase", "use-case"), ("team", "team_id")
_USER, _RULE, _SESSION = ("user", "user_id"), ("rule_id", "tollkeeper_rule"), ("session", "session_id")
_MOST_STEPS = 1000


class _Row(msgspec.Struct, gc=False):
    id: str
    created_at: str | int | float
    provider: str | None = None
    model: str | None = None
    success: bool | None = None
    cached: bool | None = None
    status_code: int | None = None
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    cost: Decimal | None = None
    duration: float | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    step: int | None = None


def parse(
    body: bytes,
    *,
    content_type: str,
    received_at: datetime,
    settings: FormatSettings,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Parsed:
    """Read rows of Cloudflare's logs. See `contract.Format`."""
    return _reader.read(body, partial(_event, received_at=received_at, settings=settings), settings.max_events)


def _event(row: _Row, *, received_at: datetime, settings: FormatSettings) -> Event:
    key = settings.user_key
    if not row.id.strip():
        raise Refused("id: empty")
    at = moment("created_at", str(row.created_at), _UTC).at
    duration = row.duration if row.duration is not None and 0 <= row.duration < 86_400_000 else None
    used = bool(row.tokens_in or row.tokens_out)
    failed = row.success is False
    said = _metadata(row.metadata)
    fields: dict[str, Any] = {
        "id": f"cf:{row.id.strip()}"[:MAX_ID],
        "time": at + timedelta(milliseconds=duration or 0),
        "model": tidy_name(row.model, key) or ("unknown" if failed else ""),
        "provider": tidy_name(row.provider, key),
        "status": "error" if failed else "cache_hit" if row.cached else "ok" if used else "usage_missing",
        "use_case": _taken(said, _USE_CASE, MAX_LABEL, key),
        "team": _taken(said, _TEAM, MAX_LABEL, key),
        "user": _taken(said, _USER, MAX_ID, key),
        "rule_id": _taken(said, _RULE, MAX_LABEL, key),
        "session": _taken(said, _SESSION, MAX_ID, key),
        # The universal endpoint counts providers that it tried before.
        "fallback_index": min(max(row.step or 0, 0), _MOST_STEPS),
        "tags": _tags(said, key),
    }
    if used or not failed:
        fields |= {"input_tokens": row.tokens_in, "output_tokens": row.tokens_out}
    if not used and not row.cached and not failed:
        fields |= {"input_tokens": None, "output_tokens": None}
    if duration is not None:
        fields["latency_ms"] = duration
    if row.cost is not None and (row.cost or row.cached):  # 0 for tokens that it has no price for
        fields["reported_cost_usd"] = str(row.cost)
    return read_one(native.parse, fields, received_at, settings)


def _metadata(raw: msgspec.Raw) -> dict[str, str]:
    """Return what the caller said of the call: an object of plain values, or its JSON in a text."""
    try:
        found = msgspec.json.decode(raw) if raw else None
        if isinstance(found, str):
            found = msgspec.json.decode(found)
    except UNDECODABLE:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name.strip().lower(): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in found.items()
        if isinstance(value, str | int | float)
    }


def _taken(said: dict[str, str], names: tuple[str, ...], limit: int, key: bytes) -> str:
    return tidy(next((said.pop(name) for name in names if name in said), ""), limit, key)


def _tags(said: Mapping[str, str], key: bytes) -> dict[str, str]:
    tags = {tidy(name, MAX_KEY, key): tidy(value, MAX_VALUE, key) for name, value in said.items()}
    tags.pop("", None)
    return dict(list(tags.items())[:MAX_KEYS])


_reader = Reader(_Row, marker=b'"created_at"')

FILE = FileFormat(
    title="Cloudflare AI Gateway logs (JSONL)",
    about="What the logs API of a Cloudflare AI Gateway answers, as JSON lines or page by page.",
    parse=parse,
)
