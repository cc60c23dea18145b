"""Conditions of rules, compiled to closures: what holds for a request at an instant.

routing/spec/README.md is the specification; this is one implementation of it. Nothing here raises on a document that
the schema accepts, whatever the request contains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

Holds = Callable[[Mapping[str, Any], datetime], bool]
Read = Callable[[Mapping[str, Any], datetime], Any]  # a field's value as compared, None where it is missing

TEXT, NUMBER, BOOLEAN, LIST = "text", "number", "boolean", "list"
TAG = "tag:"

KINDS: Mapping[str, str] = {
    "task": TEXT,
    "use_case": TEXT,
    "team": TEXT,
    "user_tier": TEXT,
    "data_class": TEXT,
    "region": TEXT,
    "complexity": NUMBER,
    "input_tokens": NUMBER,
    "context_needed": NUMBER,
    "latency_budget_ms": NUMBER,
    "hour": NUMBER,
    "weekday": NUMBER,
    "batch": BOOLEAN,
    "modalities": LIST,
}
OPERATORS: Mapping[str, frozenset[str]] = {
    TEXT: frozenset({"eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists"}),
    NUMBER: frozenset({"eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists"}),
    BOOLEAN: frozenset({"eq", "ne", "exists"}),
    LIST: frozenset({"contains", "exists"}),
}
LABELS = frozenset({"use_case", "team"})  # compared trimmed, ASCII letters folded
ZONED = frozenset({"hour", "weekday"})

_DECIMAL = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?")
_PLACES = 18
_UNIT = 1_000_000_000_000_000_000  # of 1e-18: eighteen places as an integer
_SAFE = 2**53 - 1
_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_SPACE = " \t\r\n"


def kind_of(field: str) -> str:
    """Return what a field holds; tags hold text."""
    return KINDS.get(field, TEXT)


def sound(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair: JSON can escape one, UTF-8 cannot hold it."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def utf8(text: str) -> bytes:
    return sound(text).encode()


@lru_cache(maxsize=4096)
def folded(label: str) -> str:
    """Return a label as use cases and teams are compared: A to Z as a to z, other letters as they are."""
    label = label.strip(_SPACE)
    return label.lower() if label.isascii() else sound(label).translate(_FOLD)


def number(value: object) -> int | None:
    """Return an integer or a decimal string as units of 1e-18, exactly; anything else, a boolean too, is none."""
    if isinstance(value, str):
        return _decimal(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, float):  # 3.0 is the integer 3 to JSON Schema and to languages with one kind of number
        value = int(value) if value.is_integer() else None
    if isinstance(value, int) and -_SAFE <= value <= _SAFE:
        return value * _UNIT
    return None


def decimal_text(value: object) -> str | None:
    """Return a request's number as a decision gives it: text as written, an integer as its digits; else none."""
    if type(value) is str:
        return None if _decimal(value) is None else value
    units = None if value is None else number(value)
    return None if units is None else str(units // _UNIT)


@lru_cache(maxsize=4096)  # a request's complexity is read by each rule that asks for it
def _decimal(text: str) -> int | None:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction = match.groups()
    units = int(whole) * _UNIT + int((fraction or "").ljust(_PLACES, "0"))
    return -units if sign else units


def reader(field: str, zone: str | None = None) -> Read | None:
    """Return what reads a field of a request; None for a zone that nobody knows."""
    if field in ZONED:
        try:
            info = ZoneInfo(zone or "")
        except (KeyError, ValueError, OSError):  # unknown, not a key, a directory of the zones' data
            return None
        if field == "hour":
            return lambda context, now: now.astimezone(info).hour * _UNIT
        return lambda context, now: now.astimezone(info).isoweekday() * _UNIT
    if field.startswith(TAG):
        name = field[len(TAG) :]

        def read_tag(context: Mapping[str, Any], now: datetime) -> str | None:
            tags = context.get("tags")
            value = tags.get(name) if type(tags) is dict else None
            return value if type(value) is str else None

        return read_tag
    kind = KINDS[field]
    if kind is NUMBER:

        def read_number(context: Mapping[str, Any], now: datetime) -> int | None:
            value = context.get(field)
            return _decimal(value) if type(value) is str else None if value is None else number(value)

        return read_number
    if field in LABELS:

        def read_label(context: Mapping[str, Any], now: datetime) -> str | None:
            value = context.get(field)
            return folded(value) if type(value) is str else None

        return read_label
    expected = {TEXT: str, BOOLEAN: bool, LIST: list}[kind]

    def read(context: Mapping[str, Any], now: datetime) -> Any:
        value = context.get(field)
        return value if type(value) is expected else None

    return read


def comparable(field: str, value: object) -> Any:
    """Return a condition's value as its field is compared with, None where it is not of the field's kind."""
    kind = kind_of(field)
    if kind is NUMBER:
        return number(value)
    if kind is BOOLEAN:
        return value if type(value) is bool else None
    if type(value) is not str:
        return None
    return folded(value) if field in LABELS else value


def compile_condition(condition: Mapping[str, Any] | None) -> Holds | None:
    """Compile a condition; None for one that always holds."""
    if condition is None:
        return None
    if "all" in condition:
        return all_of([compile_condition(part) for part in condition["all"]])
    if "any" in condition:
        return _any_of([compile_condition(part) for part in condition["any"]])
    if "not" in condition:
        inner = compile_condition(condition["not"])
        return _never if inner is None else lambda context, now: not inner(context, now)
    return _comparison(condition)


def all_of(parts: list[Holds | None]) -> Holds | None:
    """Return what holds where all parts do; None, which always holds, adds nothing and stands for no part at all."""
    real = [part for part in parts if part is not None]
    if not real:
        return None
    if len(real) == 1:
        return real[0]
    if len(real) == 2:
        first, second = real
        return lambda context, now: first(context, now) and second(context, now)

    def holds(context: Mapping[str, Any], now: datetime) -> bool:
        for part in real:  # noqa: SIM110 (a generator costs twice as much)
            if not part(context, now):
                return False
        return True

    return holds


def _any_of(parts: list[Holds | None]) -> Holds | None:
    real = [part for part in parts if part is not None]
    if len(real) < len(parts):
        return None

    def holds(context: Mapping[str, Any], now: datetime) -> bool:
        for part in real:  # noqa: SIM110
            if part(context, now):
                return True
        return False

    return holds


def _never(context: Mapping[str, Any], now: datetime) -> bool:
    return False


def _comparison(condition: Mapping[str, Any]) -> Holds:
    field, op, value = condition["field"], condition["op"], condition["value"]
    read = reader(field, condition.get("zone"))
    if read is None or op not in OPERATORS[kind_of(field)]:
        return _never
    if field not in LABELS and tells_halves(value):
        read = _sound_reader(read)
    if op == "exists":
        wanted = value is True
        return lambda context, now: (read(context, now) is not None) is wanted
    if op in ("in", "not_in"):
        items = value if isinstance(value, list) else []
        among = frozenset(known for item in items if (known := comparable(field, item)) is not None)
        if op == "in":
            return lambda context, now: read(context, now) in among  # None is in no set
        return lambda context, now: (it := read(context, now)) is not None and it not in among
    operand = comparable(field, value)
    if operand is None:
        return _never
    return _compare(read, op, operand)


def tells_halves(value: object) -> bool:
    """Say whether a comparison with this value can tell half a surrogate pair from the U+FFFD that it is read as.

    Only with what is not below U+E000: all others are spared the look at what the request says.
    """
    if isinstance(value, list):
        return any(tells_halves(item) for item in value)
    return isinstance(value, str) and not value.isascii() and any("\ue000" <= letter <= "\uffff" for letter in value)


def _sound_reader(read: Read) -> Read:
    def read_sound(context: Mapping[str, Any], now: datetime) -> Any:
        value = read(context, now)
        if type(value) is list:
            return [sound(item) if type(item) is str else item for item in value]
        return sound(value) if type(value) is str else value

    return read_sound


def _compare(read: Read, op: str, operand: Any) -> Holds:
    # Written out per operator: going through `operator.lt` and its kin costs a call more.
    if op == "eq":
        return lambda context, now: read(context, now) == operand
    if op == "ne":
        return lambda context, now: (it := read(context, now)) is not None and it != operand
    if op == "gt":
        return lambda context, now: (it := read(context, now)) is not None and it > operand
    if op == "gte":
        return lambda context, now: (it := read(context, now)) is not None and it >= operand
    if op == "lt":
        return lambda context, now: (it := read(context, now)) is not None and it < operand
    if op == "lte":
        return lambda context, now: (it := read(context, now)) is not None and it <= operand
    return lambda context, now: (it := read(context, now)) is not None and operand in it
