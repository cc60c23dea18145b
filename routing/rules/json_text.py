"""Rules as JSON that a person reads and types: laid out well, and read back with the place of whatever is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from routing.rules import document
from routing.rules.text_parts import MOST_PARTS, WIDTH, Wrong, below, fraction_words, ordered, plain, too_many_words

NEWLINE = "\n"
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[-+]?[0-9][0-9.eE+-]*|[{}\[\],:]|[A-Za-z]+', re.DOTALL)


SKELETON = """{
  "rules": [],
  "default": {
    "targets": [{"offering": "MODEL@PROVIDER", "weight": 10000}],
    "fallbacks": []
  }
}
"""


def written(content: Mapping[str, Any]) -> str:
    """Lay a content out for people: what fits into a line is on one."""
    return _laid_out(content, "", 0) + "\n"


def _laid_out(value: Any, indent: str, taken: int) -> str:
    flat = json.dumps(ordered(value), ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return flat
    if indent and len(indent) + taken + len(flat) <= WIDTH:
        return flat
    inner = f"{indent}  "
    if isinstance(value, list):
        parts = [inner + _laid_out(item, inner, 1) for item in value]
    else:
        parts = []
        for name, item in ordered(value).items():
            head = f"{json.dumps(name, ensure_ascii=False)}: "
            parts.append(inner + head + _laid_out(item, inner, len(head) + 1))
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{indent}{closing}"


def read(text: str) -> tuple[dict[str, Any] | None, list[Wrong]]:
    """Read what somebody typed; None and everything that is wrong with it, where it is no document.

    A slip in the syntax comes alone: what stands behind it means nothing. Members that are there twice and numbers
    with a fraction are all named.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return None, [Wrong(line=error.lineno, place=f"column {error.colno}", text=error.msg)]
    except (RecursionError, ValueError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return None, [Wrong(line=0, place="", text=plain(why))]
    wrong = list(islice(_slips(text), 100))
    if wrong:
        return None, wrong
    try:
        return document.parse(text), []
    except document.NotADocument as error:
        return None, [Wrong(line=0, place="", text=plain(str(error)))]


def _slips(text: str) -> Iterator[Wrong]:
    """Find what a reader of JSON lets pass and the specification does not; the first hundred."""
    line, done = 1, 0
    for parts, (_, offset, part, names) in enumerate(_places(text)):
        if parts >= MOST_PARTS:
            yield Wrong(line=0, place="", text=too_many_words())
            return
        line, done = line + text.count("\n", done, offset), offset
        said = ""
        if names is not None:
            name = json.loads(part)
            if name in names:
                said = f"the member {name} is there twice"
            names.add(name)
        elif part in ("NaN", "Infinity") or (part[0] in "-0123456789" and any(letter in part for letter in ".eE")):
            said = fraction_words(part)
        if said:
            yield Wrong(line=line, place=f"column {offset - text.rfind(NEWLINE, 0, offset)}", text=plain(said))


def lines(text: str) -> dict[str, int]:
    """Return the line on which each part of a document begins, by its JSON pointer. The text has to be JSON."""
    found: dict[str, int] = {}
    line, done = 1, 0
    for pointer, offset, _, names in _places(text):
        line, done = line + text.count("\n", done, offset), offset
        if names is None and pointer is not None:
            found[pointer] = line
    return found


class _Open:
    """A list or an object that is being read."""

    __slots__ = ("index", "is_object", "name", "names", "pointer")

    def __init__(self, pointer: str | None, *, is_object: bool) -> None:
        self.pointer, self.is_object = pointer, is_object
        self.index, self.name = 0, ""  # of what comes next
        self.names: set[str] = set()  # for whoever looks for one that is there twice

    def next_pointer(self) -> str | None:
        return below(self.pointer, self.name if self.is_object else self.index)


def _places(text: str) -> Iterator[tuple[str | None, int, str, set[str] | None]]:
    """Give pointer, offset and first part of each value; and of each member, with the names of what it is in."""
    around: list[_Open] = []
    awaits_name = False
    for found in _PART.finditer(text):
        part, offset = found[0], found.start()
        if part == ",":
            around[-1].index += 1
            awaits_name = around[-1].is_object
        elif part == ":":
            awaits_name = False
        elif part in "}]":
            around.pop()
            awaits_name = False
        elif awaits_name:
            around[-1].name = str(json.loads(part))
            yield around[-1].pointer, offset, part, around[-1].names
        else:
            pointer = around[-1].next_pointer() if around else ""
            yield pointer, offset, part, None
            if part in "{[":
                awaits_name = part == "{"
                around.append(_Open(pointer, is_object=awaits_name))
