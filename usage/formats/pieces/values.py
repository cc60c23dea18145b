"""Files of JSON: their shape, and where in the window on one an item ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from usage.formats.items import is_json
from usage.formats.pieces.feed import BLANK, BOM, MAX_ITEM_BYTES, Feed, UnreadableFile

_HEAD = 64 * 1024

# A whole string, a quote that begins one which the data does not end, a bracket, a comma.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
# Within an item nothing matters up to its next bracket: one look instead of one for some thousand strings. Not a
# possessive repeat: that of Python 3.11.2 keeps what a failed turn had read. So it remembers each turn, and has few.
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"){0,5000}', re.DOTALL)
# The rest of a string up to its quote, or up to where the data ends, which may be within an escape.
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_ROWS = re.compile(rb'"(?:data|result|results|logs)"[ \t\r\n]*:[ \t\r\n]*\[')
_QUOTE, _COMMA, _ARRAY_ENDS = b'",]'
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")


def shape_of(file: BinaryIO, table: bool) -> tuple[str, int]:
    """Look at the beginning; returns the shape of the file and where its first item begins."""
    feed = Feed(file, 0)
    while len(feed.data) < _HEAD and feed.more():
        pass
    if feed.data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableFile("not text in UTF-8 but in UTF-16; save it as UTF-8")
    begin = len(BOM) if feed.data.startswith(BOM) else 0
    while not feed.data[begin:].strip(BLANK):
        if not feed.more():
            raise UnreadableFile("the file is empty")
    begin = len(feed.data) - len(feed.data[begin:].lstrip(BLANK))
    if feed.data[begin] == b"["[0]:
        return "array", begin + 1
    if feed.data[begin] != b"{"[0]:
        return ("table" if table else "lines"), begin
    rows = _rows_begin(feed.data, begin)
    if rows:
        return "wrapped", rows
    scanned = begin
    while (end := feed.data.find(b"\n", scanned)) < 0 and len(feed.data) < MAX_ITEM_BYTES:
        scanned = len(feed.data)
        if not feed.more():
            return "values", begin
    return ("lines" if is_json(feed.data[begin : end if end >= 0 else None]) else "values"), begin


def _rows_begin(data: bytes, begin: int) -> int:
    """Return where the rows of an API's answer begin, an object that has them in a list; 0 where it is none."""
    depth = 0
    for token in _TOKEN.finditer(data, begin, begin + _HEAD):
        byte = data[token.start()]
        if byte == _QUOTE:
            rows = _ROWS.match(data, token.start()) if depth == 1 else None
            if rows:
                return rows.end()
        elif byte in _OPENING:
            depth += 1
        elif byte in _CLOSING:
            depth -= 1
            if not depth:
                return 0
    return 0


Items = Iterator[tuple[bytes | None, int]]  # an item (None is too long) and where it ended


def lines(feed: Feed) -> Items:
    begin = scanned = 0
    whole = True
    while True:
        end = feed.data.find(b"\n", scanned)
        if end < 0:
            scanned = len(feed.data)
            if scanned - begin > MAX_ITEM_BYTES:
                whole, begin = False, scanned
            if feed.more(begin):
                scanned, begin = scanned - begin, 0
                continue
            end = len(feed.data)
        line = feed.data[begin:end].strip(BLANK)
        if line or not whole:
            yield (line if whole and len(line) <= MAX_ITEM_BYTES else None), feed.at + end
        if end == len(feed.data):
            if not feed.more(end):
                return
            begin = scanned = 0
        else:
            begin = scanned = end + 1
        whole = True


def _inside(data: bytes, at: int) -> int:
    """Return where the next bracket is, or a string that the data does not end."""
    while (end := _INSIDE.match(data, at).end()) > at:  # type: ignore[union-attr]  # it matches nothing, too
        at = end
    return at


def values(feed: Feed, shape: str) -> Items:
    """Cut values at the commas of an array, or where an object ends that stands alone.

    Looks at strings, brackets and commas and nowhere deeper, like `items`.
    """
    in_array = shape != "values"
    depth = begin = scanned = 0
    whole = True
    in_text = False  # in one that the window does not end: its beginning is not looked at again
    while True:
        if in_text:
            scanned = _TEXT.match(feed.data, scanned).end()  # type: ignore[union-attr]  # it matches anything
            in_text = feed.data[scanned : scanned + 1] != b'"'
            scanned += not in_text
        token = None
        if not in_text and depth:
            scanned = _inside(feed.data, scanned)
            token = _TOKEN.match(feed.data, scanned)
        elif not in_text:
            token = _TOKEN.search(feed.data, scanned)
        if token is not None and token[0] == b'"':
            in_text, scanned = True, token.end()
            continue
        if token is None:
            scanned = scanned if in_text else len(feed.data)
            if scanned - begin > MAX_ITEM_BYTES:
                whole, begin = False, scanned
            if not feed.more(begin):
                break
            scanned, begin = scanned - begin, 0
            continue
        byte = feed.data[token.start()]
        scanned = token.end()
        if byte in _OPENING:
            depth += 1
        elif byte in _CLOSING and depth:
            depth -= 1
            if not depth and not in_array:
                yield _item(feed, begin, scanned, whole), feed.at + scanned
                begin, whole = scanned, True
        elif in_array and not depth and byte in (_COMMA, _ARRAY_ENDS):
            item = _item(feed, begin, token.start(), whole)
            if item != b"":
                yield item, feed.at + token.start()
            begin, whole = scanned, True
            if byte == _ARRAY_ENDS:
                following = _after_array(feed, scanned, shape)
                if following < 0:
                    return
                begin = scanned = following
        elif byte in _CLOSING:
            raise UnreadableFile("a bracket closes that none opened: this is not JSON")
    if depth or in_array or feed.data[begin:].strip(BLANK):
        raise UnreadableFile("the file is cut off, or not JSON")


def _item(feed: Feed, begin: int, end: int, whole: bool) -> bytes | None:
    item = feed.data[begin:end].strip(BLANK)
    return item if whole and len(item) <= MAX_ITEM_BYTES else None


def _after_array(feed: Feed, scanned: int, shape: str) -> int:
    """Return where in the window the rows go on after the end of an array: on another page; -1 at the file's end."""
    depth = 1 if shape == "wrapped" else 0
    while depth:
        token = _TOKEN.search(feed.data, scanned)
        if token is None or (token.end() - token.start() == 1 and feed.data[token.start()] == _QUOTE):
            if not feed.more():
                raise UnreadableFile("the file is cut off, or not JSON")
            continue
        byte, scanned = feed.data[token.start()], token.end()
        depth += (byte in _OPENING) - (byte in _CLOSING)
    while not (rest := feed.data[scanned:].lstrip(BLANK + b",")) or len(rest) < _HEAD:
        if not feed.more():
            break
    if not rest:
        return -1
    begin = len(feed.data) - len(rest)
    if shape == "array" and rest.startswith(b"["):
        return begin + 1
    rows = _rows_begin(feed.data, begin) if shape == "wrapped" and rest.startswith(b"{") else 0
    if not rows:
        raise UnreadableFile("something follows the end of the rows that is none of them")
    return rows
