"""Rules as text that people read and write, as JSON or YAML: laid out well, and read back with the place of a slip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from routing.rules import json_text, yaml_text
from routing.rules.text_parts import Wrong, plain
from routing.rules.validation import MAX_BYTES

JSON, YAML = "json", "yaml"
FORMS = (JSON, YAML)


class _Form(Protocol):
    def written(self, content: Mapping[str, Any], /) -> str: ...

    def read(self, text: str, /) -> tuple[dict[str, Any] | None, list[Wrong]]: ...

    def lines(self, text: str, /) -> dict[str, int]: ...


_OF: dict[str, _Form] = {JSON: json_text, YAML: yaml_text}
# As UTF-8 with a layout that is for people. What is kept is held to `MAX_BYTES` by the services.
MOST_CHARACTERS = 4 * MAX_BYTES

SKELETON = json_text.SKELETON

__all__ = [
    "FORMS", "JSON", "MOST_CHARACTERS", "SKELETON", "YAML", "Wrong", "guessed", "line_of", "lines", "placed", "plain",
    "read", "written",
]  # fmt: skip


def guessed(text: str, name: str = "") -> str:
    """Return the form of a text: what its file's name says, else what it begins with."""
    for ending, form in ((".json", JSON), (".yaml", YAML), (".yml", YAML)):
        if name.lower().endswith(ending):
            return form
    return JSON if text.lstrip()[:1] in ("{", "[", "") else YAML


def written(content: Mapping[str, Any], form: str = JSON) -> str:
    """Lay a content out for people; read back it has the same canonical bytes."""
    return _OF[form].written(content)


def read(text: str, form: str = JSON) -> tuple[dict[str, Any] | None, list[Wrong]]:
    """Read what somebody typed; None and everything that is wrong with it, where it is no document.

    A slip in the syntax comes alone: what stands behind it means nothing. All else is named at once.
    """
    if len(text) > MOST_CHARACTERS:
        return None, [Wrong(line=0, place="", text=f"This is too long: at most {MAX_BYTES:,} bytes are allowed.")]
    if not text.strip():
        return None, [Wrong(line=1, place="", text="There is nothing in it.")]
    return _OF[form].read(text)


def lines(text: str, form: str = JSON) -> dict[str, int]:
    """Return the line on which each part of a document begins, by its JSON pointer. The text has to be readable."""
    return _OF[form].lines(text)


def line_of(pointer: str, known: Mapping[str, int]) -> int:
    """Return the line of a place, or of the nearest part around one that is not there; 0 for the whole."""
    while pointer:
        if pointer in known:
            return known[pointer]
        pointer = pointer.rpartition("/")[0]
    return 0


def placed(problems: Iterable[tuple[str, str]], text: str, form: str = JSON) -> list[Wrong]:
    """Give reasons, each a JSON pointer with a sentence, their lines in a text that could be read."""
    known = lines(text, form)
    return [
        Wrong(line=line_of(place, known) if place.startswith("/") else 0, place=plain(place), text=plain(said))
        for place, said in problems
    ]
