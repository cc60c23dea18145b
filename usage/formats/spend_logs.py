"""LiteLLM's spend logs: rows of the table LiteLLM_SpendLogs, as `/spend/logs` answers or as a dump of the table (CSV).

A row says what LiteLLM's callback says in other words. So it is put into the callback's, and read by its format. Two
things differ. A row has an id of its own, the table's primary key, by which it counts once. And no row says which
version wrote it: up to 1.74 the prompt's tokens hold cache reads and not cache writes, and later ones tell the writes
among the prompt's details, which is how the two are told apart here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from usage.events import Event, Parsed, UnreadableBody
from usage.formats import litellm
from usage.formats.contract import NO_HEADERS, FormatSettings, Refused
from usage.formats.csv_events import read_table, whole_number
from usage.formats.files import FileFormat, read_one
from usage.formats.items import UNDECODABLE, Reader
from usage.formats.labels import MAX_ID, holds_control_characters
from usage.formats.moments import moment

_UTC = ZoneInfo("UTC")
_Text = str | int | float | None
_ID = "request_id"


class _Row(msgspec.Struct, gc=False):
    """A row; messages, response, the request and the caller's address are skipped while decoding."""

    request_id: str
    startTime: str | int | float
    endTime: _Text = None
    spend: Decimal | None = None
    prompt_tokens: int | str | None = None
    completion_tokens: int | str | None = None
    model: str | None = None
    model_id: str | None = None
    model_group: str | None = None
    custom_llm_provider: str | None = None
    user: _Text = None
    end_user: _Text = None
    team_id: _Text = None
    metadata: msgspec.Raw = msgspec.Raw()
    request_tags: msgspec.Raw = msgspec.Raw()
    cache_hit: str | bool | None = None
    session_id: _Text = None
    status: str | None = None
    litellm_call_id: str | None = None


_COLUMNS = frozenset(_Row.__struct_fields__)


def parse(
    body: bytes,
    *,
    content_type: str,
    received_at: datetime,
    settings: FormatSettings,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Parsed:
    """Read rows as JSON, or as CSV with the table's columns. See `contract.Format`."""
    convert = partial(_event, received_at=received_at, settings=settings)
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in (b"[", b"{", b""):
        return _reader.read(body, convert, settings.max_events)

    def row(fields: Mapping[str, str], whole: Sequence[str]) -> Event:
        if not fields.keys() >= {_ID, "startTime"}:
            raise UnreadableBody("the table has no columns request_id and startTime: is it LiteLLM_SpendLogs?")
        try:
            return convert(_from_table(fields))
        except msgspec.ValidationError as error:
            raise Refused(str(error).replace("`", "")[:160]) from None

    return read_table(body, row, settings.max_events)


def _from_table(fields: Mapping[str, str]) -> _Row:
    given: dict[str, Any] = {
        name: text for name, text in fields.items() if name in _COLUMNS and text not in ("", "\\N")
    }
    for name in ("metadata", "request_tags"):
        if name in given:
            # As a text that holds JSON, which is how some answers of the API have it, too.
            given[name] = msgspec.Raw(msgspec.json.encode(given[name]))
    return msgspec.convert(given, _Row)


def _event(row: _Row, *, received_at: datetime, settings: FormatSettings) -> Event:
    request_id = row.request_id.strip()
    if not request_id:
        raise Refused("request_id: empty")
    if holds_control_characters(request_id):
        raise Refused("request_id: holds control characters")
    metadata = _json(row.metadata)
    metadata = metadata if isinstance(metadata, dict) else {}
    usage = {**_dict(metadata, "additional_usage_values"), **_dict(metadata, "usage_object")}
    call = row.litellm_call_id or _text(metadata, "litellm_call_id")
    group = call or str(row.session_id or "")
    record = {
        "id": request_id,
        "status": row.status or _text(metadata, "status") or "success",
        "startTime": _seconds("startTime", row.startTime),
        "endTime": None if row.endTime is None else _seconds("endTime", row.endTime),
        # Whichever of the two a record has tells the callback's format whether writes are inside the prompt's tokens.
        ("trace_id" if _writes_are_beside(usage) else "litellm_call_id"): group or request_id,
        "model": row.model,
        "model_group": row.model_group,
        "model_id": row.model_id,
        "custom_llm_provider": row.custom_llm_provider,
        "prompt_tokens": _count("prompt_tokens", row.prompt_tokens),
        "completion_tokens": _count("completion_tokens", row.completion_tokens),
        "response_cost": row.spend,
        "cache_hit": str(row.cache_hit).strip().lower() == "true",
        "request_tags": _tags(row.request_tags),
        "end_user": str(row.end_user or "") or None,
        "metadata": {
            "user_api_key_alias": _text(metadata, "user_api_key_alias"),
            "user_api_key_team_id": str(row.team_id or "") or _text(metadata, "user_api_key_team_id"),
            "user_api_key_team_alias": _text(metadata, "user_api_key_team_alias"),
            "user_api_key_user_id": str(row.user or "") or _text(metadata, "user_api_key_user_id"),
            "requester_metadata": {"use_case": _text(_dict(metadata, "spend_logs_metadata"), "use_case")},
            "usage_object": usage,
        },
        "status_fields": {"guardrail_status": _guardrail(metadata)},
    }
    event = read_one(litellm.parse, record, received_at, settings)
    event.event_id = request_id if len(request_id) <= MAX_ID else hashlib.sha256(request_id.encode()).hexdigest()
    if not group:
        event.call_group = ""
    return event


def _writes_are_beside(usage: Mapping[str, Any]) -> bool:
    details = _dict(usage, "prompt_tokens_details")
    inside = details.get("cache_creation_tokens") is not None or details.get("cache_write_tokens") is not None
    return bool(usage.get("cache_creation_input_tokens")) and not inside


def _guardrail(metadata: Mapping[str, Any]) -> str | None:
    found = metadata.get("guardrail_information")
    each = found if isinstance(found, list) else [found]
    stated = {one.get("guardrail_status") for one in each if isinstance(one, dict)}
    return "guardrail_intervened" if "guardrail_intervened" in stated else None


def _seconds(field: str, written: str | int | float) -> float:
    return moment(field, str(written), _UTC).at.timestamp()


def _count(field: str, written: int | str | None) -> int | None:
    return whole_number(field, written.strip()) if isinstance(written, str) else written


def _json(raw: msgspec.Raw) -> Any:
    """Return what a column of JSON holds, also where it is written as a text."""
    try:
        found = msgspec.json.decode(raw) if raw else None
        return msgspec.json.decode(found) if isinstance(found, str) and found else found
    except UNDECODABLE:
        return None


def _tags(raw: msgspec.Raw) -> list[str]:
    found = _json(raw)
    return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []


def _dict(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name)
    return found if isinstance(found, dict) else {}


def _text(given: Mapping[str, Any], name: str) -> str | None:
    found = given.get(name)
    return found if isinstance(found, str) and found else None


_reader = Reader(_Row, marker=b'"request_id"')

FILE = FileFormat(
    title="LiteLLM spend logs (JSON or CSV)",
    about="What LiteLLM's /spend/logs answers, or a dump of its table LiteLLM_SpendLogs.",
    parse=parse,
    table=True,
)
