"""Tollkeeper's own events: one object, an array of them, or NDJSON, each bare or in a CloudEvents envelope.

Required are `id`, `time` (RFC 3339 with an offset) and `model`. Fields not known here are ignored, so that a
newer client can speak to an older installation; null says "not given". A wrong value in a known field refuses
the event: its sender can be told, and a guess would be a wrong figure for good.

`replaces` is the id of an event of the same source in whose place this one counts, `voids` of one that this one
takes back. An event with `voids` counts for nothing itself: it needs no more than `id` and `time`, and of the rest
nothing is kept. A sender may send an event that it takes back whole, with another id and `voids`.

`input_tokens` counts all input, cached and audio included, and `output_tokens` all output. An event with
neither, and without a `usage` object that has them, was not counted: its status `ok` becomes `usage_missing`.
One that failed, was blocked or came from a cache used nothing, and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from catalog.rules.names import tidy_service_tier
from usage.events import STATUSES, Event, Parsed
from usage.formats import cloudevents, usage_objects
from usage.formats.contract import MAX_AHEAD, NO_HEADERS, FormatSettings, Refused
from usage.formats.items import UNDECODABLE, Reader, refused
from usage.formats.labels import (
    MAX_ID,
    MAX_KEY,
    MAX_LABEL,
    MAX_VALUE,
    holds_control_characters,
    is_name,
    is_plain,
    label,
    labels,
    name,
)
from usage.formats.numbers import DO_NOT_ADD_UP, MAX_EXACT, MAX_INT4, Count, disjoint, money

_STATUSES = frozenset(STATUSES)

_Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_EXACT)] | Annotated[float, msgspec.Meta(ge=0)]
_Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL)]
_Id = Annotated[str, msgspec.Meta(max_length=MAX_ID)]
_Labels = dict[
    Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)],
    Annotated[str, msgspec.Meta(max_length=MAX_VALUE)],
]
_Int4 = Annotated[int, msgspec.Meta(ge=0, le=MAX_INT4)]
_Revision = Annotated[int, msgspec.Meta(ge=0, le=MAX_EXACT)]


class _Record(msgspec.Struct, gc=False):
    id: str | None = None
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    model: str | None = None
    use_case: _Label | None = None
    team: _Label | None = None
    provider: str | None = None
    requested_model: str | None = None
    input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_5m_input_tokens: Count | None = None
    cache_write_1h_input_tokens: Count | None = None
    audio_input_tokens: Count | None = None
    image_input_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    audio_output_tokens: Count | None = None
    image_output_tokens: Count | None = None
    web_searches: Count | None = None
    usage: dict[str, Any] | None = None
    service_tier: str | None = None
    reported_cost_usd: Decimal | None = None
    latency_ms: _Number | None = None
    status: str | None = None
    call_group: _Id | None = None
    rules_version: _Int4 | None = None
    state_revision: _Revision | None = None
    rule_id: _Label | None = None
    fallback_index: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    route_reason: _Label | None = None
    session: _Id | None = None
    user: _Id | None = None
    context: _Labels | None = None
    tags: _Labels | None = None
    replaces: str | None = None
    voids: str | None = None


_COUNTS = tuple(field for field in _Record.__struct_fields__ if field.endswith("_tokens"))

_reader = Reader(_Record, marker=b'"time"')
_enveloped = Reader(cloudevents.Item, marker=cloudevents.MARK)
_record = msgspec.json.Decoder(_Record)


def parse(
    body: bytes,
    *,
    content_type: str,
    received_at: datetime,
    settings: FormatSettings,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Parsed:
    """Read a body of native events. See `contract.Format`."""
    key = settings.user_key
    latest = received_at.astimezone(UTC) + MAX_AHEAD
    around = cloudevents.in_headers(headers, content_type)
    if around is not None:
        parsed = _reader.read(body, lambda record: _event(record, latest, key, around), settings.max_events)
        if len(parsed.events) + len(parsed.rejected) == 1:
            return parsed
        # One envelope is around one event. In a body of several each has to stand for itself.
    elif cloudevents.MARK in body:
        return _enveloped.read(body, lambda item: _unwrapped(item, latest, key), settings.max_events)
    return _reader.read(body, lambda record: _event(record, latest, key), settings.max_events)


def _unwrapped(item: cloudevents.Item, latest: datetime, key: bytes) -> Event:
    """Read an item of a body that holds envelopes; an item that is none is an event as it stands."""
    around = None
    if "specversion" in item:
        around, inner = cloudevents.opened(item)
    else:
        inner = msgspec.json.encode(item)
    try:
        record = _record.decode(inner)
    except UNDECODABLE as error:
        raise refused(inner, error) from None
    return _event(record, latest, key, around)


def _event(record: _Record, latest: datetime, key: bytes, around: cloudevents.Envelope | None = None) -> Event:
    given_id, occurred_at = record.id, record.time
    if around is not None:
        occurred_at = occurred_at or around.time
        if given_id is None:
            given_id = around.event_id(around.id)
            if record.replaces is not None:
                record.replaces = around.event_id(record.replaces)
            if record.voids is not None:
                record.voids = around.event_id(record.voids)
    if given_id is None:
        raise Refused("id: required and missing")
    if occurred_at is None:
        raise Refused("time: required and missing")
    event_id = _id("id", given_id)

    if occurred_at.tzinfo is not UTC:
        try:
            occurred_at = occurred_at.astimezone(UTC)
        except OverflowError:
            raise Refused("time: outside the calendar") from None
    if occurred_at > latest:
        raise Refused("time: more than a day ahead of its arrival")

    replaces = "" if record.replaces is None else _other("replaces", record.replaces, event_id)
    if record.voids is not None:
        if replaces:
            raise Refused("voids: give either replaces or voids, not both")
        return Event(event_id=event_id, occurred_at=occurred_at, voids=_other("voids", record.voids, event_id))

    if record.model is None:
        raise Refused("model: required and missing")
    model = record.model
    if not is_name(model):
        model = name("model", model)
        if not model:
            raise Refused("model: empty")

    status = record.status or "ok"
    if status not in _STATUSES:
        raise Refused(f"status: not one of {', '.join(STATUSES)}")

    counts: _Record | usage_objects.Usage = record
    tier, cost, adds_up = record.service_tier, record.reported_cost_usd, True
    if record.usage:
        if any(getattr(record, field) is not None for field in _COUNTS):
            raise Refused("usage: give either token fields or a usage object, not both")
        counts = told = usage_objects.read(record.usage)
        tier, adds_up = tier or told.service_tier, told.adds_up
        cost = cost if cost is not None else told.cost_usd
    uncached, output, fits = disjoint(counts)
    counted = True
    if counts.input_tokens is None and counts.output_tokens is None and fits and not counts.web_searches:
        # Parts without a whole do not fit, and so are counted and flagged.
        if status == "ok":
            status = "usage_missing"
        counted = status != "usage_missing"
    elif status == "usage_missing":
        # Its sender knows that this is no full count: an estimate is kept, zeros are none.
        counted = bool(counts.input_tokens or counts.output_tokens or not fits or counts.web_searches)

    use_case, team, rule = record.use_case or "", record.team or "", record.rule_id or ""
    reason, group = record.route_reason or "", record.call_group or ""
    session, user = record.session or "", record.user or ""
    if not is_plain(f"{use_case}{team}{rule}{reason}{group}{session}{user}"):
        use_case = label("use_case", use_case, MAX_LABEL, key)
        team = label("team", team, MAX_LABEL, key)
        rule = label("rule_id", rule, MAX_LABEL, key)
        reason = label("route_reason", reason, MAX_LABEL, key)
        group = label("call_group", group, MAX_ID, key)
        session = label("session", session, MAX_ID, key)
        user = label("user", user, MAX_ID, key)

    latency = record.latency_ms
    if latency is not None:
        latency = round(latency)
        if latency > MAX_INT4:
            raise Refused("latency_ms: more than three weeks")

    if record.context:
        # What somebody wrote, where a gateway reports the whole request that its rules read.
        record.context.pop("text", None)
    # By position, in the order of the fields: by name, they take ten times as long.
    return Event(
        event_id,
        occurred_at,
        use_case,
        team,
        name("provider", record.provider) if record.provider else "",  # provider
        model,
        name("requested_model", record.requested_model),  # requested_model
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
        tidy_service_tier(name("service_tier", tier)) if tier else "",  # service_tier
        None if cost is None else money("reported_cost_usd", cost),  # reported_cost_usd
        latency,  # latency_ms
        group,  # call_group
        record.rules_version or 0,  # rules_version
        record.state_revision or 0,  # state_revision
        rule,
        reason,  # route_reason
        record.fallback_index or 0,  # fallback_index
        session,
        user,
        labels("context", record.context, key) if record.context else {},  # context
        labels("tags", record.tags, key) if record.tags else {},  # tags
        [] if fits and adds_up else [DO_NOT_ADD_UP],  # flags
        replaces,
    )


def _id(field: str, text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= MAX_ID:
        raise Refused(f"{field}: not 1 to {MAX_ID} characters")
    # No label: an id stays what it is, even one that looks like an address. It is what makes an event come once.
    if holds_control_characters(text):
        raise Refused(f"{field}: holds control characters")
    return text


def _other(field: str, text: str, event_id: str) -> str:
    other = _id(field, text)
    if other == event_id:
        raise Refused(f"{field}: names the event itself")
    return other
