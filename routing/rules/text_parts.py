"""What rules as JSON and as YAML share: the order in which people write members, and what a slip is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from routing.rules.document import pointer_to

WIDTH = 88
# A text is read part by part, and a content of 1 MB that anybody writes has a third of these.
MOST_PARTS = 300_000
MOST_POINTER = 300  # characters; what stands inside of a place with a longer one goes by the line of what is around it
# As people write a rule; members that are not named here come after these, by name.
_ORDER = (
    "rules", "default", "heuristics", "tasks", "task", "any", "complexity", "points", "count", "at_least", "at_most",
    "words", "offerings", "id", "title", "use_cases", "when", "field", "op", "value", "zone", "choose",
    "sticky_by", "score", "offering", "weight", "targets", "over_budget", "fallbacks", "use_default", "params",
    "timeout_ms", "max_usd_per_1k_tokens", "active_from", "active_until", "rationale", "owner", "review_by", "model",
    "provider", "region", "tier", "data_class", "gateway_names",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_ORDER)}


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What keeps a text from being what it should; `line` counts from 1, and is 0 where none is known."""

    line: int
    place: str  # a JSON pointer, or a column
    text: str


def plain(text: str) -> str:
    """Return a text that can be sent as UTF-8: half a surrogate pair, which JSON can name, cannot."""
    return text.encode("utf-8", "replace").decode()


def ordered(value: Any) -> Any:
    """Return a document with its members in the order in which people write them, at every level."""
    if isinstance(value, list):
        return [ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: ordered(value[name]) for name in sorted(value, key=lambda name: (_RANK.get(name, 99), name))}


def below(pointer: str | None, name: str | int) -> str | None:
    """Return the JSON pointer of what is inside of a place; None where that is too long to be kept for every part."""
    if pointer is None or len(pointer) > MOST_POINTER or (isinstance(name, str) and len(name) > MOST_POINTER):
        return None
    return pointer + pointer_to((name,))


def fraction_words(text: str) -> str:
    return f"{text}: write a number with a fraction or an exponent as a decimal string"


def too_many_words() -> str:
    return f"There are too many values in it: at most {MOST_PARTS:,} are allowed."
