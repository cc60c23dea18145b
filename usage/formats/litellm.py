"""LiteLLM's `generic_api` callback: its StandardLoggingPayload, as 1.74 to 1.106 send it.

One record is 4 to 25 KB, of which prompts, answers, headers and a price record of 200 keys are nearly all.
They are skipped while decoding and never become objects: what is not named in the structs below cannot get
into an event. What is named may still hold an address or a key that somebody put there, and `labels.tidy`
sees to that.

LiteLLM drops a batch that is answered with 4xx and cannot correct an event, so a reading is tolerant: only
`id`, `status`, `startTime` and the model are required (a failed call may lack even the model), token counts
have to be counts, and anything else of an unknown shape is left out. Where 1.74.9 and 1.106.2 differ, the
absent `litellm_call_id` tells the older: there `prompt_tokens` holds cache reads but not cache writes.
"""

from __future__ import annotations

import hashlib
import re
import types
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, get_args

import msgspec

from catalog.rules.names import tidy_service_tier
from usage.events import Event, Parsed
from usage.formats import tags, usage_objects
from usage.formats.contract import MAX_AHEAD, NO_HEADERS, FormatSettings, NotJson, Refused, UseCasePlace
from usage.formats.items import UNDECODABLE, Reader
from usage.formats.labels import MAX_ID, MAX_LABEL, tidy, tidy_name, use_case
from usage.formats.numbers import DO_NOT_ADD_UP, MAX_INT4, Count, disjoint, money


class _Labelled(msgspec.Struct, gc=False):
    use_case: str | None = None


class _CustomHeaders(msgspec.Struct, gc=False):
    use_case: str | None = msgspec.field(default=None, name="x-use-case")


class _Routing(msgspec.Struct, gc=False):
    router_model_name: str | None = None
    cause: str | None = None


class _Metadata(msgspec.Struct, gc=False):
    user_api_key_alias: str | None = None
    user_api_key_team_id: str | None = None
    user_api_key_team_alias: str | None = None
    user_api_key_user_id: str | None = None
    user_api_key_end_user_id: str | None = None
    requester_metadata: _Labelled | None = None
    spend_logs_metadata: _Labelled | None = None
    requester_custom_headers: _CustomHeaders | None = None
    user_api_key_auth_metadata: _Labelled | None = None
    routing_decision: _Routing | None = None
    usage_object: msgspec.Raw = msgspec.Raw()


class _Headers(msgspec.Struct, gc=False):
    fallbacks: int | None = msgspec.field(default=None, name="x-litellm-attempted-fallbacks")


class _Hidden(msgspec.Struct, gc=False):
    litellm_model_name: str | None = None
    additional_headers: _Headers | None = None


class _StatusFields(msgspec.Struct, gc=False):
    guardrail_status: str | None = None


class _Breakdown(msgspec.Struct, gc=False):
    service_tier: str | None = None


class _Response(msgspec.Struct, gc=False):
    service_tier: str | None = None


class _Record(msgspec.Struct, gc=False):
    id: str
    status: str
    start: float = msgspec.field(name="startTime")
    end: float | None = msgspec.field(default=None, name="endTime")
    call_type: str | None = None
    litellm_call_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    model: str | None = None
    model_group: str | None = None
    model_id: str | None = None
    custom_llm_provider: str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    response_cost: Decimal | None = None
    cache_hit: bool | None = None
    request_tags: list[str] | None = None
    end_user: str | None = None
    status_fields: _StatusFields | None = None
    metadata: _Metadata | None = None
    hidden_params: _Hidden | None = None
    cost_breakdown: _Breakdown | None = None
    response: msgspec.Raw = msgspec.Raw()  # text, a list or the whole answer; only its tier is looked at


# Without these there is no event to speak of; a guess at a count would be a wrong figure for good.
_REQUIRED = frozenset(("id", "status", "startTime", "prompt_tokens", "completion_tokens"))

_response = msgspec.json.Decoder(_Response)
_usage_object = msgspec.json.Decoder(dict[str, Any] | None)
_STATUSES = frozenset(("success", "failure"))
_REFUSED = frozenset(("budget_blocks", "nothing_left"))  # by the rules, before any provider was asked
_NO_MODEL = frozenset(("call_mcp_tool", "list_mcp_tools"))  # tools of MCP servers: no model was used
_UNKNOWN_COST = "reported-cost-unreadable"


def parse(
    body: bytes,
    *,
    content_type: str,
    received_at: datetime,
    settings: FormatSettings,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Parsed:
    """Read a body of LiteLLM's records. See `contract.Format`."""
    latest = (received_at.astimezone(UTC) + MAX_AHEAD).timestamp()
    return _reader.read(body, lambda record: _event(record, latest, settings), settings.max_events)


def _event(record: _Record, latest: float, settings: FormatSettings) -> Event | None:
    if record.call_type in _NO_MODEL:
        return None
    key = settings.user_key
    metadata = record.metadata or _Metadata()
    hidden = record.hidden_params or _Hidden()
    flags: list[str] = []

    if not record.id.strip():
        raise Refused("id: empty")
    if record.status not in _STATUSES:
        raise Refused("status: neither success nor failure")
    started, ended = record.start, record.end or record.start
    if ended > latest:
        raise Refused("endTime: more than a day ahead of its arrival")
    try:
        occurred_at = datetime.fromtimestamp(ended, UTC)
    except (OverflowError, ValueError, OSError):
        raise Refused("endTime: outside the calendar") from None
    seconds = ended - started
    latency = round(seconds * 1000) if 0 <= seconds <= MAX_INT4 // 1000 else None

    counts = _counts(record, metadata.usage_object, flags)
    uncached, output, fits = disjoint(counts)
    if not fits and DO_NOT_ADD_UP not in flags:
        flags.append(DO_NOT_ADD_UP)
    used = bool(counts.input_tokens or counts.output_tokens) or not fits
    tagged = tags.read(_said(record), key)
    status = _status(record, used, tagged.reason)
    counted = status != "usage_missing"

    cost = _cost(record.response_cost, flags)
    if not cost and status != "cache_hit" and (used or not counted):
        cost = None  # LiteLLM says 0 where it has no price, and where it saw no usage

    provider = tidy_name(record.custom_llm_provider, key)
    group = tidy_name(record.model_group, key)
    model = _bare(tidy_name(hidden.litellm_model_name or record.model, key), provider) or group
    if not model and record.status != "failure":
        raise Refused("model: required and missing, as is model_group")
    team = tidy(metadata.user_api_key_team_id or metadata.user_api_key_team_alias, MAX_LABEL, key)
    routing = None if tagged.rules_version else metadata.routing_decision
    call = record.litellm_call_id or record.trace_id or ""

    # By position, in the order of the fields: by name, they take ten times as long.
    return Event(
        # The id alone repeats: a failed attempt and its fallback share a call id, a cached answer its
        # response id.
        _event_id(call, record),
        occurred_at,
        _use_case(tagged.use_case, metadata, settings),  # use_case
        team,
        provider,
        model,
        tidy_name(tagged.requested_model, key) or group or tidy_name(record.model, key),  # requested_model
        status,
        counted,
        uncached,  # uncached_input_tokens
        counts.cache_read_input_tokens or 0,  # cache_read_tokens
        counts.cache_write_5m_input_tokens or 0,  # cache_write_5m_tokens
        counts.cache_write_1h_input_tokens or 0,  # cache_write_1h_tokens
        output,  # output_tokens
        counts.audio_input_tokens or 0,  # audio_input_tokens
        counts.audio_output_tokens or 0,  # audio_output_tokens
        counts.image_input_tokens or 0,  # image_input_tokens
        counts.image_output_tokens or 0,  # image_output_tokens
        counts.web_searches or 0,  # web_searches
        counts.reasoning_tokens,
        _tier(record, counts, key),  # service_tier
        cost,  # reported_cost_usd
        latency,  # latency_ms
        tidy(call, MAX_ID, key),  # call_group
        tagged.rules_version,
        tagged.state_revision,
        tagged.rule or (tidy(routing.router_model_name, MAX_LABEL, key) if routing else ""),  # rule
        tagged.reason or (tidy(routing.cause, MAX_LABEL, key) if routing else ""),  # route_reason
        _fallbacks(hidden),  # fallback_index
        tidy(record.session_id, MAX_ID, key),  # session
        tidy(metadata.user_api_key_user_id or record.end_user or metadata.user_api_key_end_user_id, MAX_ID, key),
        tagged.context,
        tagged.tags,
        flags,
    )


def _event_id(call: str, record: _Record) -> str:
    parts = (call, record.id, record.status, record.model_id or "", repr(record.start))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _said(record: _Record) -> list[str] | None:
    """Return the call's tags, and after them what the id of a deployment says that our configuration file made."""
    if not (record.model_id or "").startswith("tollkeeper_rule:"):
        return record.request_tags
    parts = (record.model_id or "")[:1000].split(";")
    return [*(record.request_tags or ()), *(one for one in parts if one.startswith(("tollkeeper_", "use_case:")))]


def _status(record: _Record, used: bool, reason: str) -> str:
    guardrail = record.status_fields.guardrail_status if record.status_fields else None
    failed = record.status == "failure"
    # A guardrail that masks a prompt and lets it pass has intervened as well, but that call was served.
    if guardrail == "guardrail_intervened" and (failed or not used):
        return "blocked"
    if failed:
        return "blocked" if reason in _REFUSED else "error"
    if record.cache_hit:
        return "cache_hit"
    return "ok" if used else "usage_missing"


def _counts(record: _Record, usage: msgspec.Raw, flags: list[str]) -> usage_objects.Usage:
    try:
        counts = usage_objects.openai_chat((_usage_object.decode(usage) if usage else None) or {})
    except UNDECODABLE:  # Refused is one of them
        counts = usage_objects.Usage()
        flags.append("usage-object-unreadable")
    # The record's own figures are the documented ones; the object is the provider's answer, in LiteLLM's
    # words.
    counts.input_tokens = record.prompt_tokens or counts.input_tokens or 0
    counts.output_tokens = record.completion_tokens or counts.output_tokens or 0
    counts.total_tokens = record.total_tokens
    usage_objects.settle_reasoning(counts)
    if not counts.adds_up:
        flags.append(DO_NOT_ADD_UP)
    if not record.litellm_call_id:
        written = (counts.cache_write_5m_input_tokens or 0) + (counts.cache_write_1h_input_tokens or 0)
        counts.input_tokens += written
    return counts


def _cost(cost: Decimal | None, flags: list[str]) -> Decimal | None:
    try:
        return money("response_cost", cost)
    except Refused:
        flags.append(_UNKNOWN_COST)
        return None


def _tier(record: _Record, counts: usage_objects.Usage, key: bytes) -> str:
    tier = counts.service_tier or (record.cost_breakdown and record.cost_breakdown.service_tier)
    if not tier:
        with suppress(*UNDECODABLE):
            tier = _response.decode(record.response).service_tier
    return tidy_service_tier(tidy_name(tier, key)) if tier else ""


def _bare(model: str, provider: str) -> str:
    """Return the model without its provider's prefix, not another's: OpenRouter's `anthropic/x` stays."""
    return model.removeprefix(provider + "/") if provider else model


def _fallbacks(hidden: _Hidden) -> int:
    fallbacks = hidden.additional_headers.fallbacks if hidden.additional_headers else None
    return min(max(fallbacks or 0, 0), 1000)


def _use_case(tagged: str, metadata: _Metadata, settings: FormatSettings) -> str:
    def named_at(place: UseCasePlace) -> str | None:
        match place:
            case "tag":
                return tagged
            case "request":
                return _requested_use_case(metadata)
            case "key":
                of_key = metadata.user_api_key_auth_metadata
                return of_key.use_case if of_key else None
            case "key-alias":
                return settings.use_case_by_key_alias.get(metadata.user_api_key_alias or "")
            case "team":
                by_team = settings.use_case_by_team
                found = by_team.get(metadata.user_api_key_team_id or "")
                return found or by_team.get(metadata.user_api_key_team_alias or "")

    return use_case(settings, named_at)


def _requested_use_case(metadata: _Metadata) -> str | None:
    """Return what the client said: in its metadata, in LiteLLM's own field for spend, or in the header for routing."""
    said = (metadata.requester_metadata, metadata.spend_logs_metadata, metadata.requester_custom_headers)
    return next((place.use_case for place in said if place and place.use_case and place.use_case.strip()), None)


# What a body may hold that is not JSON, or not text, though Python's json writes and reads it: NaN (in a log
# probability, say) and half a surrogate pair (an emoji that a cut-off stream tore apart).
_PIECE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|-?Infinity|NaN', re.DOTALL)
_ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..|\\.", re.DOTALL)
_RAW_CONTROL = re.compile(rb"[\x00-\x1f]")


def _repaired(item: bytes) -> bytes:
    def piece(found: re.Match[bytes]) -> bytes:
        text = found[0]
        if not text.startswith(b'"'):
            return b"null"
        if b"\\u" in text:
            text = _ESCAPE.sub(escape, text)
        return _RAW_CONTROL.sub(b" ", text)

    def escape(found: re.Match[bytes]) -> bytes:
        return rb"\ufffd" if len(found[0]) == 6 else found[0]

    return _PIECE.sub(piece, item.decode(errors="replace").encode())


def _rescued(item: bytes, refusal: Refused) -> _Record:
    """Return the record with what is unreadable in it left out."""
    try:
        fields = msgspec.json.decode(item, type=dict[str, msgspec.Raw])
    except UNDECODABLE:
        item = _repaired(item)
        try:
            fields = msgspec.json.decode(item, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            raise Refused("the item: expected an object") from None
        except UNDECODABLE:
            raise refusal if isinstance(refusal, NotJson) else NotJson("not JSON") from None
    record: _Record = _salvaged(_Record, fields)
    return record


def _salvaged(kind: Any, fields: dict[str, msgspec.Raw]) -> Any:
    """Return a struct of `kind` from whichever fields are of the right type."""
    given: dict[str, Any] = {}
    for field, decoder in _fields(kind):
        raw = fields.get(field.encode_name)
        if raw is None:
            if field.required:
                raise Refused(f"{field.encode_name}: required and missing")
            continue
        try:
            given[field.name] = decoder.decode(raw)
        except UNDECODABLE:
            if field.encode_name in _REQUIRED:
                raise Refused(f"{field.encode_name}: {_WANTED[field.encode_name]}") from None
            nested = _struct_in(field.type)
            if nested is not None:
                try:
                    inner = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
                except UNDECODABLE:
                    continue
                given[field.name] = _salvaged(nested, inner)
            elif field.name == "request_tags":
                given[field.name] = _texts(raw)
    return kind(**given)


@cache  # one struct's worth costs half a millisecond
def _fields(kind: Any) -> list[tuple[msgspec.structs.FieldInfo, msgspec.json.Decoder[Any]]]:
    return [(field, msgspec.json.Decoder(field.type)) for field in msgspec.structs.fields(kind)]


_WANTED = {
    "id": "expected text",
    "status": "expected text",
    "startTime": "expected seconds since 1970",
    "prompt_tokens": "expected a whole number from 0 to 10**10",
    "completion_tokens": "expected a whole number from 0 to 10**10",
}


def _struct_in(kind: Any) -> Any:
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct)), None)


def _texts(raw: msgspec.Raw) -> list[str]:
    try:
        return [tag for tag in msgspec.json.decode(raw, type=list) if isinstance(tag, str)]
    except UNDECODABLE:
        return []


_reader = Reader(_Record, marker=b'"startTime"', rescue=_rescued)
