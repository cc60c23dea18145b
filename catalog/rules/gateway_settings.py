"""What a gateway does its own way: where its events name their use case, and how long it may be silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Where events of formats without a field for it may name their use case; the wire formats know the same words.
USE_CASE_PLACES = ("tag", "request", "key", "key-alias", "team")
SILENT_AFTER_MINUTES = 60
MOST_SILENT_MINUTES = 7 * 24 * 60
MOST_NAMES = 1000
_MOST_CHARACTERS = 128


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """A gateway's settings with what holds where it says nothing. 0 minutes say that its silence is never told."""

    use_case_from: tuple[str, ...] = USE_CASE_PLACES
    use_case_by_key_alias: Mapping[str, str] = field(default_factory=dict)
    use_case_by_team: Mapping[str, str] = field(default_factory=dict)
    silent_after_minutes: int = SILENT_AFTER_MINUTES


NAMES = ("use_case_from", "use_case_by_key_alias", "use_case_by_team", "silent_after_minutes")


def read(kept: Mapping[str, Any]) -> GatewaySettings:
    """Return what is kept with a gateway; whatever of it cannot be read counts as not said."""
    return GatewaySettings(**{name: tidied(name, kept[name]) for name in NAMES if name in kept and _fine(name, kept)})


def _fine(name: str, kept: Mapping[str, Any]) -> bool:
    return not problems({name: kept[name]})


def tidied(name: str, value: Any) -> Any:
    """Return a setting without problems as it is kept."""
    if name == "use_case_from":
        return tuple(value)
    if name == "silent_after_minutes":
        return value
    return {key.strip(): label.strip() for key, label in value.items()}


def problems(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return everything that is wrong with settings, as (setting, sentence)."""
    found: list[tuple[str, str]] = []
    for name, value in given.items():
        match name:
            case "use_case_from":
                found += [(name, sentence) for sentence in _places(value)]
            case "use_case_by_key_alias" | "use_case_by_team":
                found += [(name, sentence) for sentence in _names(value)]
            case "silent_after_minutes":
                whole = isinstance(value, int) and not isinstance(value, bool)
                if not whole or not 0 <= value <= MOST_SILENT_MINUTES:
                    most = f"{MOST_SILENT_MINUTES:,}"
                    found.append((name, f"A whole number of minutes from 0 (never) to {most}, which is seven days."))
            case _:
                found.append((name, f"There is no such setting; there are {', '.join(NAMES)}."))
    return found


def _places(value: Any) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return ["Name at least one place."]
    found = []
    unknown = sorted({str(place) for place in value if place not in USE_CASE_PLACES})
    if unknown:
        found.append(f"{', '.join(unknown)}: no such place; there are {', '.join(USE_CASE_PLACES)}.")
    if len(set(map(str, value))) < len(value):
        found.append("Each place stands in the order once.")
    return found


def _names(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return ["Say for each name which use case it means."]
    if len(value) > MOST_NAMES:
        return [f"At most {MOST_NAMES:,} names."]
    found = []
    seen: set[str] = set()
    for name, label in value.items():
        for text, what in ((name, "name"), (label, "use case")):
            if not isinstance(text, str) or not text.strip():
                found.append(f"{_shown(name)}: the {what} is empty.")
            elif len(text.strip()) > _MOST_CHARACTERS or not text.strip().isprintable():
                found.append(f"{_shown(text)}: 1 to {_MOST_CHARACTERS} printable characters.")
        if isinstance(name, str) and name.strip() in seen:
            found.append(f"{_shown(name)} stands there twice.")
        seen.add(str(name).strip())
    return found


def _shown(text: Any) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return f"{text[:40]}…" if len(text) > 40 else text or "A line"
