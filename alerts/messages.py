"""From an alert's facts to a neutral message that every channel lays out in its own way. Pure: no database, no clock.

Facts were written by another package at another time, perhaps by an older release: whatever they hold, there is a
message. Texts are untrusted (names come from events), so every channel escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypedDict
from urllib.parse import quote

REPEATED = "Possibly repeated: an earlier attempt may have reached you already."

Pairs = tuple[tuple[str, str], ...]


class SectionFacts(TypedDict, total=False):
    """One part of a longer message, such as a digest; every key may be missing."""

    title: str
    rows: Sequence[Sequence[str]]  # (label, value)
    bars: Sequence[Sequence[str]]  # (label, value, share): how much of the bar is full, a decimal from "0" to "1"


class Facts(TypedDict, total=False):
    """The shape of `Alert.facts`; strings only, figures already as a person reads them. See alerts/README.md."""

    summary: str  # what happened, in a sentence or two
    rows: Sequence[Sequence[str]]  # (label, value)
    sections: Sequence[SectionFacts]  # what does not fit into rows
    next: str  # what happens at the limit, or what to do now
    links: Sequence[Sequence[str]]  # (text, path on our own site, from "/")
    timed: bool  # say how long the message took to leave


@dataclass(frozen=True, kw_only=True)
class Bar:
    label: str
    value: str
    share: Decimal  # of the bar that is full, from 0 to 1

    @property
    def per_cent(self) -> int:
        """Return the share in whole per cent; what is not nothing shows."""
        return max(round(self.share * 100), 1) if self.share else 0

    @property
    def per_cent_left(self) -> int:
        return 100 - self.per_cent


@dataclass(frozen=True, kw_only=True)
class Section:
    title: str = ""
    rows: Pairs = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The alert that a message tells, for far sides that are programs."""

    alert_id: int
    kind: str
    raised_at: datetime


@dataclass(frozen=True, kw_only=True)
class Message:
    title: str
    severity: str  # info, warning, critical
    sent_at: datetime  # of this attempt
    summary: str = ""
    rows: Pairs = ()  # (label, value)
    sections: tuple[Section, ...] = ()
    next_step: str = ""
    links: Pairs = ()  # (text, absolute address)
    possibly_repeated: bool = False
    origin: Origin | None = None  # None: a test, which tells no alert


def compose(
    *,
    title: str,
    severity: str,
    facts: Mapping[str, Any],
    base_url: str,
    sent_at: datetime,
    origin: Origin | None = None,
    still_open: bool = False,
    possibly_repeated: bool = False,
) -> Message:
    """Return the message for an alert; `base_url` has no slash at its end.

    An alert that is `still_open` gets a last link to where it is acknowledged: a page that asks, so that a program
    which follows the links of mails acknowledges nothing.
    """
    links = [(one_line(text), address(base_url, path)) for text, path in pairs(facts.get("links"))]
    if origin is not None and still_open:
        links.append(("Acknowledge", address(base_url, f"/alerts/{origin.alert_id}/acknowledge/")))
    summary = _text(facts.get("summary"))
    if origin is not None and facts.get("timed"):
        took = max((sent_at - origin.raised_at).total_seconds(), 0)
        summary = f"{summary} This message took {took:.1f} s to leave.".strip()
    return Message(
        title=one_line(title),
        severity=severity,
        sent_at=sent_at,
        summary=summary,
        rows=_rows(facts.get("rows")),
        sections=sections_of(facts),
        next_step=_text(facts.get("next")),
        links=tuple(links),
        possibly_repeated=possibly_repeated,
        origin=origin,
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
    parts = [
        f"[{message.severity}] {message.title}",
        REPEATED if message.possibly_repeated else "",
        message.summary,
        _rows_as_text(message.rows),
        *(_section_as_text(section) for section in message.sections),
        message.next_step,
        "\n".join(f"{text}: {url}" for text, url in message.links),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def bars_as_lines(bars: Sequence[Bar], *, blocks: int, label_characters: int) -> list[str]:
    """Return a line for each bar, aligned in a font of even width: label, so many block signs, value."""
    width = min(max((len(bar.label) for bar in bars), default=0), label_characters)
    value_width = max((len(bar.value) for bar in bars), default=0)
    lines = []
    for bar in bars:
        full = max(round(bar.share * blocks), 1) if bar.share else 0
        drawn = "\N{FULL BLOCK}" * full + "\N{LIGHT SHADE}" * (blocks - full)
        label = bar.label if len(bar.label) <= width else bar.label[: width - 1] + "…"
        lines.append(f"{label:<{width}} {drawn} {bar.value:>{value_width}}")
    return lines


def pairs(value: object) -> Pairs:
    """Return the pairs of texts in a part of facts; what is none, such as another release may have written, is not."""
    return tuple((first, second) for first, second in _tuples(value, 2))


def sections_of(facts: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return the parts of a longer message."""
    return tuple(_section(one) for one in _list(facts.get("sections")) if isinstance(one, Mapping))


def _section_as_text(section: Section) -> str:
    parts = [
        f"{section.title}\n{'-' * len(section.title)}" if section.title else "",
        _rows_as_text(section.rows),
        "\n".join(bars_as_lines(section.bars, blocks=20, label_characters=32)),
    ]
    return "\n".join(part for part in parts if part)


def _rows_as_text(rows: Pairs) -> str:
    width = max((len(label) for label, _ in rows), default=0) + 1
    return "\n".join(f"{label + ':':<{width}} {value}" for label, value in rows)


def _section(facts: Mapping[str, Any]) -> Section:
    return Section(
        title=one_line(facts.get("title")),
        rows=_rows(facts.get("rows")),
        bars=tuple(
            Bar(label=one_line(label), value=one_line(value), share=_share(share))
            for label, value, share in _tuples(facts.get("bars"), 3)
        ),
    )


def _share(text: str) -> Decimal:
    try:
        share = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return min(max(share, Decimal(0)), Decimal(1)) if share.is_finite() else Decimal(0)


def _rows(value: object) -> Pairs:
    return tuple((one_line(label), text) for label, text in pairs(value))


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _tuples(value: object, size: int) -> list[tuple[str, ...]]:
    return [
        tuple(_text(part) for part in one) for one in _list(value) if isinstance(one, list | tuple) and len(one) == size
    ]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
