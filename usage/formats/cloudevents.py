"""CloudEvents around native events: structured, batched, or in the headers of the request.

What an envelope wraps is a native event in `data` (JSON) or `data_base64` (the same, encoded). Of the envelope `id`,
`source` and `time` are read and stand in where the data has none of its own; `type`, `subject` and extensions are
ignored. Nobody has to say by content type what a body is: whatever has a `specversion` is an envelope.

CloudEvents are unique by source and id together. So where the data has no id, the event's is derived of both: `ce:` and
the SHA-256, in hexadecimal, of the source, a line feed and the id (`printf 'SOURCE\\nID' | sha256sum`). Ids in
`replaces` and `voids` are then of that kind, too: ids of envelopes of the same source.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, NamedTuple, TypeAlias
from urllib.parse import unquote

import msgspec

from usage.events import UnreadableBody
from usage.formats.contract import Refused
from usage.formats.items import UNDECODABLE
from usage.formats.labels import holds_control_characters

MARK = b'"specversion"'
_MAX_TEXT = 2000  # what a URI may have

Item: TypeAlias = dict[str, msgspec.Raw]

_text = msgspec.json.Decoder(str | None)
_instant = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)] | None)
_QUOTED = re.compile(r'"(.*)"', re.DOTALL)


class Envelope(NamedTuple):
    """What an envelope says of the event in it; empty text and None where it says nothing."""

    id: str
    source: str
    time: datetime | None

    def event_id(self, given: str) -> str:
        """Return the event id that stands for the id of an envelope of this source.

        Raises:
            Refused: the envelope has no id or source, or one of them is not fit to be one.
        """
        for field, text in (("id", given), ("source", self.source)):
            if not text.strip():
                raise Refused(f"{field}: required and missing, in the event and around it")
            if len(text) > _MAX_TEXT:
                raise Refused(f"{field}: longer than {_MAX_TEXT} characters")
            if holds_control_characters(text):
                raise Refused(f"{field}: holds control characters")
        return "ce:" + hashlib.sha256(f"{self.source}\n{given}".encode()).hexdigest()


def in_headers(headers: Mapping[str, str], content_type: str) -> Envelope | None:
    """Return the envelope of a request in binary mode, None where it is in no such mode.

    Raises:
        UnreadableBody: its time is none.
    """
    if "ce-specversion" not in headers and "ce-id" not in headers:
        return None
    if content_type.lstrip().lower().startswith("application/cloudevents"):
        return None
    time = _header(headers, "ce-time")
    try:
        at = _instant.decode(msgspec.json.encode(time)) if time else None
    except UNDECODABLE:
        raise UnreadableBody("ce-time: expected a time with an offset") from None
    return Envelope(_header(headers, "ce-id"), _header(headers, "ce-source"), at)


def opened(item: Item) -> tuple[Envelope, bytes]:
    """Return an envelope and the JSON of the event in it.

    Raises:
        Refused: something in the envelope is not what CloudEvents has there.
    """
    envelope = Envelope(_attribute(item, "id"), _attribute(item, "source"), _time(item))
    data, encoded = _given(item, "data"), _given(item, "data_base64")
    if data is not None and encoded is not None:
        raise Refused("data: give either data or data_base64, not both")
    if data is not None:
        return envelope, data
    if encoded is None:
        raise Refused("data: required and missing")
    try:
        return envelope, base64.b64decode(_text.decode(encoded) or "", validate=True)
    except UNDECODABLE:
        raise Refused("data_base64: not text in base64") from None


def _header(headers: Mapping[str, str], name: str) -> str:
    """Return a header as its sender meant it: characters that headers cannot carry come percent-encoded."""
    text = headers.get(name, "").strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    return unquote(text)


def _given(item: Item, field: str) -> bytes | None:
    raw = item.get(field)
    if raw is None:
        return None
    value = bytes(raw)
    return None if value == b"null" else value


def _attribute(item: Item, field: str) -> str:
    value = _given(item, field)
    if value is None:
        return ""
    try:
        return _text.decode(value) or ""
    except UNDECODABLE:
        raise Refused(f"{field}: expected text") from None


def _time(item: Item) -> datetime | None:
    value = _given(item, "time")
    if value is None:
        return None
    try:
        return _instant.decode(value)
    except UNDECODABLE:
        raise Refused("time: expected a time with an offset") from None
