"""The rules document as bytes, and its schema."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs

SPEC = 1
CONTENT = ("rules", "default", "offerings")  # which every content has
OPTIONAL = ("heuristics",)
_MAX_NESTING = 64  # of anything, before anything else looks at it
_MOST_SAID = 300  # characters
_MOST_PROBLEMS = 1000  # nobody reads more, and a body of 1 MB can be wrong in half a million places

_SCHEMAS = Path(__file__).resolve().parent.parent / "spec"


class NotADocument(ValueError):
    """These bytes are no JSON document as the specification has it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a document is refused."""

    pointer: str  # JSON pointer into the content
    code: str  # one of a closed list: routing/spec/README.md
    text: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.text}"


def needs(content: Mapping[str, Any]) -> int:
    """Return the specification that a gateway has to understand to run these rules."""
    return SPEC


# --- Bytes


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a content: layout and order of members do not show, nor what is around it.

    Raises:
        NotADocument: a number with a fraction, half a surrogate pair, or no content at all.
    """
    try:
        return dumps({name: content[name] for name in CONTENT} | written(content, OPTIONAL))
    except KeyError as error:
        raise NotADocument(f"{error.args[0]} is missing") from error


def written(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return those of the named members that a content has."""
    return {name: content[name] for name in names if name in content}


def unresolved(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a content without its offerings: saved so, it gets them from the catalogue of that moment."""
    return written(content, ("rules", "default", *OPTIONAL))


def dumps(value: Mapping[str, Any]) -> bytes:
    """Write anything JSON in the canonical form; the state of a document has it, too.

    Raises:
        NotADocument: a number with a fraction, half a surrogate pair, or what JSON cannot hold.
    """
    for path, item in walk(value):
        if type(item) is float:
            raise NotADocument(f"{pointer_to(path)}: write a number with a fraction as a decimal string")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotADocument(str(error)) from error


def sha256(canonical_bytes: bytes) -> bytes:
    """Return the hash that an approval and a version carry."""
    return hashlib.sha256(canonical_bytes).digest()


def parse(data: bytes | str) -> dict[str, Any]:
    """Read a JSON document; refuses what readers disagree about.

    Raises:
        NotADocument: no JSON object, a member twice, a number with a fraction or an exponent, too deep, no UTF-8.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        document = json.loads(text, parse_float=_no_fraction, parse_constant=_no_fraction, object_pairs_hook=_once)
    except RecursionError as error:
        raise NotADocument("nested too deeply") from error
    except NotADocument:
        raise
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, integers of thousands of digits
        raise NotADocument(str(error)) from error
    if not isinstance(document, dict):
        raise NotADocument("not an object")
    return document


def _no_fraction(text: str) -> Any:
    raise NotADocument(f"{text}: write a number with a fraction as a decimal string")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise NotADocument(f"the member {twice[0]} is there twice")
    return members


# --- Schema


def schema(name: str) -> dict[str, Any]:
    """Return `content`, `document` or `context` as JSON Schema."""
    loaded: dict[str, Any] = json.loads((_SCHEMAS / f"{name}.schema.json").read_bytes())
    return loaded


@cache
def _validator(name: str, mask: str | None = None) -> jsonschema_rs.Draft202012Validator:
    content = schema("content")
    registry = jsonschema_rs.Registry([(content["$id"], content)])
    return jsonschema_rs.Draft202012Validator(schema(name), registry=registry, validate_formats=True, mask=mask)


def schema_problems(name: str, instance: Any) -> list[Problem]:
    """Return the places where an instance breaks `content`, `document` or `context`, in the order of the pointers.

    All of them, or the first thousand that are found.
    """
    if _too_deep(instance):
        return [Problem("", "too_deep", f"nested more than {_MAX_NESTING} deep")]
    try:
        broken = islice(_validator(name).iter_errors(instance), _MOST_PROBLEMS)
        errors = [(error.instance_path, error.message) for error in broken]
        if any(len(message) > _MOST_SAID for _, message in errors):
            # A message begins with the value: of 501 rules, what is wrong with them would not be seen for the rules.
            short_ones = islice(_validator(name, "this").iter_errors(instance), _MOST_PROBLEMS)
            masked = [error.message for error in short_ones]
            errors = [
                (path, message if len(message) <= _MOST_SAID else short)
                for (path, message), short in zip(errors, masked, strict=True)
            ]
        found = [Problem(pointer_to(path), "schema", message[:_MOST_SAID]) for path, message in errors]
    except ValueError as error:  # what is no JSON at all, such as half a surrogate pair
        return [Problem("", "schema", str(error)[:300])]
    return sorted(set(found), key=lambda problem: (problem.pointer, problem.text))


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_NESTING):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def pointer_to(path: Iterable[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def walk(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Give every value inside a document with its path: written as a JSON pointer, names of any length would repeat."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        yield path, item
        if isinstance(item, dict):
            waiting.extend(((*path, name), child) for name, child in item.items())
        elif isinstance(item, list):
            waiting.extend(((*path, index), child) for index, child in enumerate(item))
