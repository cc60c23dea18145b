"""A body as its items: one JSON object, an array, or NDJSON, told apart by looking.

The usual body is decoded in one go, straight into typed records. Only when that fails is it cut into items
and each tried alone, so that one bad item costs the others some time and nothing else. Cutting looks at
quotes, brackets and commas and nowhere deeper: it needs no memory beside the body, and what is malformed
inside an item, or nested a million deep, is that item's own trouble.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from usage.events import Event, Parsed, Rejected, UnreadableBody
from usage.formats.contract import NotJson, Refused

_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"

# A string (an unfinished one reaches to the end, so that nothing is looked at twice), a bracket, a comma.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_QUOTE, _COMMA = b'",'
_OPENING = frozenset(b"[{")
_MANY = 1_000_000
_MAX_TOKENS = 5_000_000  # what 64 MB of LiteLLM's records have, and a few seconds' work

# What a decoder may raise on bytes from outside: msgspec's own errors and UnicodeError are ValueErrors, and
# RecursionError is its answer to deep nesting.
UNDECODABLE = (ValueError, RecursionError, ArithmeticError)

R = TypeVar("R")


class Reader(Generic[R]):
    """Reads bodies whose items are `record`s; `marker` is a key that each item has, as its bytes.

    `convert` makes an event of a record, None of one that is about no use of a model, or raises Refused; `rescue`
    makes a record of the bytes of an item that is not one as it stands, or raises Refused with the reason.
    """

    def __init__(self, record: type[R], *, marker: bytes, rescue: Callable[[bytes, Refused], R] | None = None) -> None:
        self._one = msgspec.json.Decoder(record)
        self._array = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
        self._marker = marker
        self._rescue = rescue

    def read(self, body: bytes, convert: Callable[[R], Event | None], max_events: int) -> Parsed:
        """Read a body; what `convert` refuses is in `rejected`, what it makes nothing of is left out.

        Raises:
            UnreadableBody: empty, not JSON, cut off, no items, or more than `max_events`.
        """
        body = body.removeprefix(_BOM).lstrip(_BLANK)
        if not body:
            raise UnreadableBody("the body is empty")

        events: list[Event] = []
        rejected: list[Rejected] = []
        records = self._records(body, max_events)
        for index, record in enumerate(records):
            if isinstance(record, Refused):
                rejected.append(Rejected(index=index, error=str(record)))
                continue
            try:
                event = convert(record)
            except Refused as refusal:
                rejected.append(Rejected(index=index, error=str(refusal)))
            else:
                if event is not None:
                    events.append(event)
        if not records:
            raise UnreadableBody("the body holds no events")
        return Parsed(events=events, rejected=rejected)

    def _records(self, body: bytes, max_events: int) -> list[R | Refused]:
        # The decoder has no limit of its own. A body with more marks than events are allowed is most likely
        # too long, and is counted item by item, which stops in time.
        if body.count(self._marker) <= max_events:
            try:
                records: list[R | Refused] = (
                    self._array.decode(body) if body.startswith(b"[") else self._one.decode_lines(body)  # type: ignore[assignment]
                )
            except UNDECODABLE:
                pass
            else:
                if len(records) > max_events:
                    too_many(max_events)
                return records
        return self._one_by_one(body, max_events)

    def _one_by_one(self, body: bytes, max_events: int) -> list[R | Refused]:
        records: list[R | Refused] = []
        hopeless = True
        for item in _items(body):
            if len(records) == max_events:
                too_many(max_events)
            try:
                records.append(self._record(item))
                hopeless = False
            except Refused as refusal:
                records.append(refusal)
                hopeless &= isinstance(refusal, NotJson) or not item.startswith(b"{")
        if records and hopeless:
            raise UnreadableBody("the body is neither a JSON object, an array of them, nor NDJSON")
        return records

    def _record(self, item: bytes) -> R:
        try:
            return self._one.decode(item)
        except UNDECODABLE as error:
            refusal = refused(item, error)
        if self._rescue is None:
            raise refusal
        return self._rescue(item, refusal)


def is_json(data: bytes) -> bool:
    """Say whether `data` is one well-formed JSON text."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except UNDECODABLE:
        return False
    return True


def _items(body: bytes) -> Iterator[bytes]:
    if body.startswith(b"["):
        return _elements(body)
    if is_json(body):
        return iter((body,))
    return (line[0].rstrip(_BLANK) for line in _LINE.finditer(body))


def _elements(body: bytes) -> Iterator[bytes]:
    # A well-formed array, in which only some record is wrong, is cut ten times faster by msgspec. It makes an
    # object of each element, hence not where they could be millions.
    if body.count(b",") <= _MANY:
        try:
            raws: list[Any] = msgspec.json.decode(body, type=list[msgspec.Raw])
        except UNDECODABLE:
            pass
        else:
            yield from (memoryview(raw).tobytes() for raw in raws)
            return
    yield from _cut(body)


def _cut(body: bytes) -> Iterator[bytes]:
    depth = 0
    start = 1
    for number, token in enumerate(_TOKEN.finditer(body, 1)):
        if number > _MAX_TOKENS:
            raise UnreadableBody("the array holds nothing but brackets and quotes")
        position = token.start()
        byte = body[position]
        if byte == _QUOTE:
            continue
        if byte == _COMMA:
            if depth == 0:
                yield body[start:position].strip(_BLANK)
                start = position + 1
        elif byte in _OPENING:
            depth += 1
        elif depth:
            depth -= 1
        else:
            last = body[start:position].strip(_BLANK)
            if last or start > 1:
                yield last
            if body[position + 1 :].strip(_BLANK):
                raise UnreadableBody("something follows the end of the array")
            return
    raise UnreadableBody("the array is cut off, or not JSON")


def refused(item: bytes, error: Exception) -> Refused:
    """Return why an item is none, from what its decoder raised: it names the field and quotes nothing."""
    if isinstance(error, msgspec.ValidationError) and is_json(item):
        return Refused(_reason(str(error)))
    if isinstance(error, RecursionError):
        return NotJson("nested too deeply")
    return NotJson("not JSON")


_PATH = re.compile(r"(?P<what>.*?) - at `(?P<key>key` in `)?\$\.?(?P<path>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_EXPECTED = re.compile(r"Expected `(?P<type>[^`]*)`(?P<rest>.*)", re.DOTALL)
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "decimal": "an amount",
    "datetime": "a time",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def _reason(message: str) -> str:
    """Return msgspec's message as a sentence that names the field first; msgspec never quotes a value."""
    missing = _MISSING.search(message)
    if missing:
        return f"{missing[1]}: required and missing"
    found = _PATH.fullmatch(message)
    what, path = (found["what"], found["path"]) if found else (message, "")
    path = path.replace("[...]", ", a value") + (", a key" if found and found["key"] else "")
    expected = _EXPECTED.fullmatch(what)
    if expected:
        rest = re.sub(r"`(\w+)`", lambda kind: _TYPES.get(kind[1], kind[1]), expected["rest"])
        types = [_TYPES.get(kind, kind) for kind in expected["type"].split(" | ") if kind != "null"]
        what = f"expected {' or '.join(dict.fromkeys(types))}{rest}"
    elif what:
        what = what[0].lower() + what[1:]
    return f"{path}: {what}"[:160] if path else f"the item: {what}"[:160]


def too_many(max_events: int) -> NoReturn:
    """Refuse a body as a whole: what is cut off silently would be lost."""
    raise UnreadableBody(f"more than {max_events} events in one body")
