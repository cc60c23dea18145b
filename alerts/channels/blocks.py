"""A message in Slack's Block Kit, for the webhook and the bot alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from alerts.messages import REPEATED, Bar, Message, Pairs, Section, bars_as_lines

_MARKS = {"info": "\N{LARGE BLUE CIRCLE}", "warning": "\N{LARGE ORANGE CIRCLE}", "critical": "\N{LARGE RED CIRCLE}"}
# Of Block Kit: longer texts, more fields and more blocks are refused with `invalid_blocks`.
_SECTION_CHARACTERS = 3000
_FIELD_CHARACTERS = 2000
_FIELDS_PER_SECTION = 10
_BLOCKS = 50
# Together: not documented, but a little over 13,000 are refused with `msg_blocks_too_long`.
_CHARACTERS = 12_000
# Of a line with a bar, so that it fits on a phone held upright, or nearly.
_BAR_BLOCKS = 10
_BAR_LABEL_CHARACTERS = 22

Block = dict[str, Any]


def payload(message: Message) -> dict[str, Any]:
    """Return the body that the webhook and `chat.postMessage` take: blocks, and a text for notifications.

    Rows and sections that do not fit into what Slack takes are left out from the end, and the message says so.
    """
    head = [_section(f"{_MARKS.get(message.severity, '')} *{escaped(message.title)}*".strip())]
    if message.possibly_repeated:
        head.append(_context(REPEATED))
    if message.summary:
        head.append(_section(escaped(message.summary)))
    tail = [_section(escaped(message.next_step))] if message.next_step else []
    if message.links:
        tail.append(_section("   ".join(f"<{escaped(url)}|{escaped(text)}>" for text, url in message.links)))

    cut = _context("This is not all: more than Slack shows in one message.")
    room = _CHARACTERS - _size(head) - _size(tail) - _size([cut])
    places = _BLOCKS - len(head) - len(tail) - 1
    middle: list[Block] = []
    for block in _middle(message):
        room -= _size([block])
        if room < 0 or len(middle) == places:
            middle.append(cut)
            break
        middle.append(block)
    return {"text": f"{message.severity}: {escaped(message.title)}", "blocks": [*head, *middle, *tail]}


def escaped(text: str) -> str:
    """Return the text without Slack's own signs, which could mention a whole channel or hide a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _middle(message: Message) -> Iterator[Block]:
    yield from _fields(message.rows)
    for section in message.sections:
        yield from _of_section(section)


def _of_section(section: Section) -> Iterator[Block]:
    if section.title:
        yield _section(f"*{escaped(section.title)}*")
    yield from _fields(section.rows)
    yield from _bars(section.bars)


def _fields(rows: Pairs) -> Iterator[Block]:
    for start in range(0, len(rows), _FIELDS_PER_SECTION):
        fields = [
            _mrkdwn(_cut(f"*{escaped(label)}*\n{escaped(value)}", _FIELD_CHARACTERS))
            for label, value in rows[start : start + _FIELDS_PER_SECTION]
        ]
        yield {"type": "section", "fields": fields}


def _bars(bars: tuple[Bar, ...]) -> Iterator[Block]:
    """Draw bars with block signs: in a code block, whose signs are all of one width."""
    fence = "```"
    part: list[str] = []
    for line in bars_as_lines(bars, blocks=_BAR_BLOCKS, label_characters=_BAR_LABEL_CHARACTERS):
        # A back-tick in a name would end the code block.
        drawn = _cut(escaped(line.replace("`", "'")), 200)
        if part and len("\n".join([fence, *part, drawn, fence])) > _SECTION_CHARACTERS:
            yield _section("\n".join([fence, *part, fence]))
            part = []
        part.append(drawn)
    if part:
        yield _section("\n".join([fence, *part, fence]))


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(_cut(text, _SECTION_CHARACTERS))}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(f"_{text}_")]}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: a name that looks like a link is none


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _size(blocks: list[Block]) -> int:
    return len(json.dumps(blocks, ensure_ascii=False))
