"""From an alert's facts to a neutral message that every channel lays out in its own way. Pure: no database, no clock.

Facts were written by another package at another time, perhaps by an older release: whatever they hold, there is a
message. Texts are untrusted (names come from events), so every channel escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import quote

REPEATED = "Possibly repeated: an earlier attempt may have reached you already."


class Facts(TypedDict, total=False):
    """The shape of `Alert.facts`; strings only, figures already as a person reads them. See alerts/README.md."""

    summary: str  # what happened, in a sentence or two
    rows: Sequence[Sequence[str]]  # (label, value)
    next: str  # what happens at the limit, or what to do now
    links: Sequence[Sequence[str]]  # (text, path on our own site, from "/")


@dataclass(frozen=True, kw_only=True)
class Message:
    title: str
    severity: str  # info, warning, critical
    summary: str = ""
    rows: tuple[tuple[str, str], ...] = ()  # (label, value)
    next_step: str = ""
    links: tuple[tuple[str, str], ...] = ()  # (text, absolute address)
    possibly_repeated: bool = False


def compose(
    *, title: str, severity: str, facts: Mapping[str, Any], base_url: str, possibly_repeated: bool = False
) -> Message:
    """Return the message for an alert; `base_url` has no slash at its end."""
    return Message(
        title=one_line(title),
        severity=severity,
        summary=_text(facts.get("summary")),
        rows=tuple((one_line(label), _text(value)) for label, value in _pairs(facts.get("rows"))),
        next_step=_text(facts.get("next")),
        links=tuple((one_line(text), address(base_url, path)) for text, path in _pairs(facts.get("links"))),
        possibly_repeated=possibly_repeated,
    )


def address(base_url: str, path: str) -> str:
    """Return the path on our own site; whatever the path holds, it leads nowhere else."""
    # Without the slash, "@elsewhere.example" behind our host would be another host.
    return f"{base_url}/{quote(path.lstrip('/'), safe='/?#=&%:,;+-_.~')}"


def one_line(text: object) -> str:
    """Return the text without line breaks and other control characters: fit for a header."""
    return " ".join("".join(c if c.isprintable() else " " for c in _text(text)).split())


def as_text(message: Message) -> str:
    """Return the message as plain text."""
    width = max((len(label) for label, _ in message.rows), default=0) + 1
    parts = [
        f"[{message.severity}] {message.title}",
        REPEATED if message.possibly_repeated else "",
        message.summary,
        "\n".join(f"{label + ':':<{width}} {value}" for label, value in message.rows),
        message.next_step,
        "\n".join(f"{text}: {url}" for text, url in message.links),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _pairs(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list | tuple):
        return []
    return [(_text(pair[0]), _text(pair[1])) for pair in value if isinstance(pair, list | tuple) and len(pair) == 2]
