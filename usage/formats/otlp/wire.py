"""Bodies as OTLP/HTTP has them, protobuf or JSON, read into spans with the attributes that anybody here looks at.

The content type lies (LiteLLM 1.106 with an SDK of 1.38 labels protobuf as JSON), so the first byte decides. All other
attributes, events, links and names end here: what `words` does not list cannot get into an event.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from usage.events import UnreadableBody
from usage.formats.items import UNDECODABLE
from usage.formats.otlp.words import COUNTS, Place, place_of

Value = str | int | float | bool

MOST_SPANS = 100_000  # of a body: a collector sends 8,192 at once
MOST_ATTRIBUTES = 1000  # of a span that are looked at; SDKs stop at 128

INTERNAL, SERVER = 1, 2
_FAILED = 2
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


class Facts(msgspec.Struct, gc=False):
    """What the attributes of a span or resource tell, by what they mean, and the tags of a caller's own."""

    told: dict[str, Value]
    tags: dict[str, Value]
    bare: dict[str, Value]  # tags if the span is Cloudflare's


class _Gathering:
    """Attributes being read into facts: of several that mean one thing the one of the least rank stays."""

    __slots__ = ("_bare", "_ranks", "_tags", "_told")

    def __init__(self) -> None:
        self._told: dict[str, Value] = {}
        self._ranks: dict[str, int] = {}
        self._tags: dict[str, Value] = {}
        self._bare: dict[str, Value] = {}

    def add(self, place: Place, value: Value) -> None:
        meaning, rank, tag, bare = place
        if not meaning:
            (self._bare if bare else self._tags)[tag] = value
        elif value != "":
            if meaning in COUNTS and value in (0, "0"):
                rank += 100
            if rank <= self._ranks.get(meaning, rank):
                self._ranks[meaning] = rank
                self._told[meaning] = value

    def facts(self) -> Facts:
        return Facts(self._told, self._tags, self._bare)


class Seen(msgspec.Struct, gc=False):
    """A span as far as it is read. Ids are lower-case hex, or empty where they are none; times are in nanoseconds."""

    trace: str
    span: str
    parent: str
    name: str
    kind: int
    started: int
    ended: int
    failed: bool
    scope: str
    facts: Facts
    resource: Facts


def spans(body: bytes) -> Iterator[Seen | None]:
    """Give the spans of a body in their order; None for one that is not even a span.

    Raises:
        UnreadableBody: neither protobuf nor JSON of a trace request, or far too many spans.
    """
    text = body.removeprefix(_BOM).lstrip(_BLANK)
    return _bounded(_json(text) if text.startswith(b"{") else _protobuf(body))


def _bounded(found: Iterable[Seen | None]) -> Iterator[Seen | None]:
    for number, span in enumerate(found):
        if number == MOST_SPANS:
            raise UnreadableBody(f"more than {MOST_SPANS} spans in one body")
        yield span


def _protobuf(body: bytes) -> Iterator[Seen]:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise UnreadableBody("the body is neither a JSON object nor a protobuf ExportTraceServiceRequest") from None
    for group in request.resource_spans:
        resource = _facts(group.resource.attributes)
        for part in group.scope_spans:
            scope = part.scope.name[:64]
            for span in part.spans:
                yield Seen(
                    trace=_hex(span.trace_id, 16),
                    span=_hex(span.span_id, 8),
                    parent=_hex(span.parent_span_id, 8),
                    name=span.name,
                    kind=span.kind,
                    started=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                    failed=span.status.code == _FAILED,
                    scope=scope,
                    facts=_facts(span.attributes),
                    resource=resource,
                )


def _facts(attributes: Any) -> Facts:
    gathering = _Gathering()
    for attribute in attributes[:MOST_ATTRIBUTES]:
        place = place_of(attribute.key)
        if place is not None:
            value = attribute.value
            kind = value.WhichOneof("value")
            if kind == "string_value":
                gathering.add(place, value.string_value)
            elif kind == "int_value":
                gathering.add(place, value.int_value)
            elif kind == "double_value":
                gathering.add(place, value.double_value)
            elif kind == "bool_value":
                gathering.add(place, value.bool_value)
    return gathering.facts()


def _hex(id_: bytes, size: int) -> str:
    return id_.hex() if len(id_) == size and any(id_) else ""


class _Value(msgspec.Struct, gc=False, rename="camel"):
    """Arrays and maps are not read. Numbers come as such (JavaScript, OpenRouter) or as text, as the standard says."""

    string_value: str | None = None
    int_value: int | float | str | None = None
    double_value: float | int | str | None = None
    bool_value: bool | None = None


class _Attribute(msgspec.Struct, gc=False):
    key: str = ""
    value: _Value | None = None


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None


class _Span(msgspec.Struct, gc=False, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | str | float | None = None
    end_time_unix_nano: int | str | float | None = None
    attributes: list[_Attribute] | None = None
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Attribute] | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _ResourceSpans(msgspec.Struct, gc=False, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(msgspec.Struct, gc=False, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


# The same with each span as the bytes it is written with, for bodies in which one span is not what it should be.
class _LooseScopeSpans(msgspec.Struct, gc=False):
    scope: _Scope | None = None
    spans: list[msgspec.Raw] | None = None


class _LooseResourceSpans(msgspec.Struct, gc=False, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_LooseScopeSpans] | None = None


class _LooseRequest(msgspec.Struct, gc=False, rename="camel"):
    resource_spans: list[_LooseResourceSpans] | None = None


_request = msgspec.json.Decoder(_Request)
_loose_request = msgspec.json.Decoder(_LooseRequest)
_span = msgspec.json.Decoder(_Span)


def _json(body: bytes) -> Iterator[Seen | None]:
    request: _Request | _LooseRequest
    try:
        request = _request.decode(body)
    except UNDECODABLE:
        try:
            request = _loose_request.decode(body)
        except msgspec.ValidationError:
            raise UnreadableBody("the body is JSON, but no ExportTraceServiceRequest") from None
        except UNDECODABLE:
            raise UnreadableBody("the body is not JSON, cut off, or nested too deeply") from None
    for group in request.resource_spans or ():
        resource = _json_facts(group.resource.attributes if group.resource else None)
        for part in group.scope_spans or ():
            scope = (part.scope and part.scope.name) or ""
            for span in part.spans or ():
                yield _json_span(span, scope[:64], resource)


def _json_span(given: _Span | msgspec.Raw, scope: str, resource: Facts) -> Seen | None:
    if isinstance(given, msgspec.Raw):
        try:
            span = _span.decode(given)
        except UNDECODABLE:
            return None
    else:
        span = given
    code = span.status.code if span.status else 0
    return Seen(
        trace=_json_id(span.trace_id, 16),
        span=_json_id(span.span_id, 8),
        parent=_json_id(span.parent_span_id or "", 8),
        name=span.name or "",
        kind=_KINDS.get(span.kind, 0) if isinstance(span.kind, str) else span.kind or 0,
        started=_nanoseconds(span.start_time_unix_nano),
        ended=_nanoseconds(span.end_time_unix_nano),
        failed=code in (_FAILED, "STATUS_CODE_ERROR"),
        scope=scope,
        facts=_json_facts(span.attributes),
        resource=resource,
    )


_KINDS = {"SPAN_KIND_INTERNAL": INTERNAL, "SPAN_KIND_SERVER": SERVER, "SPAN_KIND_CLIENT": 3}


def _json_facts(attributes: list[_Attribute] | None) -> Facts:
    gathering = _Gathering()
    for attribute in (attributes or ())[:MOST_ATTRIBUTES]:
        value = attribute.value
        place = place_of(attribute.key) if value is not None else None
        if value is None or place is None:
            continue
        if value.string_value is not None:
            gathering.add(place, value.string_value)
        elif value.int_value is not None:
            gathering.add(place, value.int_value)
        elif value.double_value is not None:
            gathering.add(place, value.double_value)
        elif value.bool_value is not None:
            gathering.add(place, value.bool_value)
    return gathering.facts()


def _json_id(text: str, size: int) -> str:
    """Return an id in hex, as the standard wants it; some send base64, as JSON of protobuf has bytes."""
    try:
        id_ = bytes.fromhex(text) if len(text) == 2 * size else b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        return ""
    return _hex(id_, size)


def _nanoseconds(given: int | str | float | None) -> int:
    """Return a time, or 0 for what is none."""
    if isinstance(given, str):
        return int(given) if given.isascii() and given.isdigit() and len(given) < 20 else 0
    if isinstance(given, float):
        return int(given) if 0 < given < 2**63 else 0
    return given if given is not None and 0 < given < 2**63 else 0
