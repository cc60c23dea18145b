"""PromptLayer's `POST /log-request`, as its SDK of 1.5 sends it: one call as one object.

It has no id. The event's is made of when the call began and ended, of provider, model and counts, and of a hash of the
whole object, so that the same call sent again is the same event, and two calls at one moment are two.

The SDK says 0 where it was told no token counts and no price, so 0 is unknown here. Counts are taken to hold cached
input: there is no field for it. Times are seconds since 1970, or RFC 3339 as the REST API's page has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from usage.events import Event, Parsed
from usage.formats import tags
from usage.formats.contract import MAX_AHEAD, NO_HEADERS, FormatSettings, Refused, UseCasePlace
from usage.formats.items import UNDECODABLE, Reader
from usage.formats.labels import MAX_ID, MAX_LABEL, MAX_VALUE, tidy, tidy_name, use_case
from usage.formats.numbers import MAX_INT4, Count, money

Item: TypeAlias = dict[str, msgspec.Raw]
T = TypeVar("T")

_reader = Reader(Item, marker=b'"request_end_time"')
_encoder = msgspec.json.Encoder(order="deterministic")
_text = msgspec.json.Decoder(str | None)
_count = msgspec.json.Decoder(Count | None)
_price = msgspec.json.Decoder(Decimal | None)
_mapping = msgspec.json.Decoder(dict[str, Any] | None)
_list = msgspec.json.Decoder(list[Any] | None)
_time = msgspec.json.Decoder(float | Annotated[datetime, msgspec.Meta(tz=True)])


def parse(
    body: bytes,
    *,
    content_type: str,
    received_at: datetime,
    settings: FormatSettings,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Parsed:
    """Read a body of PromptLayer's requests. See `contract.Format`."""
    latest = received_at.astimezone(UTC) + MAX_AHEAD
    return _reader.read(body, lambda item: _event(item, latest, settings), settings.max_events)


def _event(item: Item, latest: datetime, settings: FormatSettings) -> Event:
    key = settings.user_key
    provider = tidy_name(_lenient(item, "provider", _text), key)
    model = tidy_name(_lenient(item, "model", _text), key)
    if not model:
        raise Refused("model: required and missing")
    started, ended = _instant(item, "request_start_time"), _instant(item, "request_end_time")
    if ended > latest:
        raise Refused("request_end_time: more than a day ahead of its arrival")
    latency = round((ended - started).total_seconds() * 1000)

    given, made = _strict(item, "input_tokens", _count) or 0, _strict(item, "output_tokens", _count) or 0
    failed = (_lenient(item, "status", _text) or "").upper() == "ERROR"
    counted = bool(given or made) or failed
    cost = money("price", _strict(item, "price", _price)) or None

    said = {name: value for name, value in (_lenient(item, "metadata", _mapping) or {}).items() if _is_text(value)}
    listed = [tag for tag in _lenient(item, "tags", _list) or () if isinstance(tag, str)]
    tagged = tags.read(listed, key)
    prompt = tidy(_lenient(item, "prompt_name", _text), MAX_VALUE, key)
    if prompt:
        tagged.tags.setdefault("prompt", prompt)

    return Event(
        event_id=_event_id(item, (started, ended, provider, model, given, made)),
        occurred_at=ended,
        use_case=_use_case(tagged.use_case, said, settings),
        team=tidy(said.get("team"), MAX_LABEL, key),
        provider=provider,
        model=model,
        status="error" if failed else "ok" if counted else "usage_missing",
        counted=counted,
        uncached_input_tokens=given,
        output_tokens=made,
        reported_cost_usd=cost,
        latency_ms=latency if 0 <= latency <= MAX_INT4 else None,
        rules_version=tagged.rules_version,
        rule=tagged.rule,
        session=tidy(said.get("session") or said.get("session_id"), MAX_ID, key),
        user=tidy(said.get("user") or said.get("user_id"), MAX_ID, key),
        tags=tagged.tags,
    )


def _event_id(item: Item, parts: tuple[object, ...]) -> str:
    whole = hashlib.sha256()
    for field in sorted(item):
        whole.update(field.encode() + b"\0" + _canonical(item[field]) + b"\0")
    return hashlib.sha256("\0".join(map(str, (*parts, whole.hexdigest()))).encode()).hexdigest()


def _canonical(value: msgspec.Raw) -> bytes:
    """Return a value as it is written whatever client wrote it: some put blanks between its parts, some do not."""
    try:
        return _encoder.encode(msgspec.json.decode(value))
    except UNDECODABLE:
        return bytes(value)


def _use_case(tagged: str, said: Mapping[str, str], settings: FormatSettings) -> str:
    def named_at(place: UseCasePlace) -> str | None:
        match place:
            case "tag":
                return tagged
            case "request":
                return said.get("use_case")
            case "team":
                return settings.use_case_by_team.get(said.get("team") or "")
        return None  # it tells nothing of the key

    return use_case(settings, named_at)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _instant(item: Item, field: str) -> datetime:
    if field not in item:
        raise Refused(f"{field}: required and missing")
    try:
        given = _time.decode(item[field])
        return datetime.fromtimestamp(given, UTC) if isinstance(given, float) else given.astimezone(UTC)
    except (*UNDECODABLE, OSError):
        raise Refused(f"{field}: expected seconds since 1970 or a time with an offset") from None


def _strict(item: Item, field: str, decoder: msgspec.json.Decoder[T | None]) -> T | None:
    """Return a number; a guess at one would be a wrong figure for good."""
    if field not in item:
        return None
    try:
        return decoder.decode(item[field])
    except UNDECODABLE:
        raise Refused(f"{field}: not a number that can be one") from None


def _lenient(item: Item, field: str, decoder: msgspec.json.Decoder[T | None]) -> T | None:
    """Return a field, None where it is not what PromptLayer has there: a label lost is better than a call lost."""
    if field not in item:
        return None
    try:
        return decoder.decode(item[field])
    except UNDECODABLE:
        return None
