"""Files of any size in pieces: unpacked as they are read, cut between items, each piece a body that a format reads.

A file of JSON is an array, NDJSON, objects one after another, or what an API answers with its rows in a list such as
`{"result": [...]}`, page after page. A table is CSV with a head. Neither is ever held whole: a piece has some thousand
items, and says where in the unpacked file the next one begins, so that reading goes on where it stopped.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import zstandard

from usage.formats.items import is_json

MOST_ITEMS = 4000
MOST_BYTES = 16 * 1024 * 1024  # of a piece; one item alone may be larger
MAX_ITEM_BYTES = 32 * 1024 * 1024  # spend logs may hold images; what is larger is left out, and told

_CHUNK = 1024 * 1024
_HEAD = 64 * 1024
_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_TOO_LONG = b"null"  # in the place of an item that is left out: no format takes it for an event

# How a bomb is told from a file that packs well: logs of one gateway repeat themselves a hundredfold, zeros a
# thousandfold. Below the allowance anything may be what it says.
_ALLOWANCE = 64 * 1024 * 1024
_MOST_EXPANSION = 500
_GZIP_STEP = 16 * 1024  # what goes in at once: at most 16 MiB come out
_ZSTD_STEP = 512
_ZSTD_MAX_WINDOW = 128 * 1024 * 1024  # what zstd itself unpacks without being asked to


class UnreadableFile(ValueError):
    """The file cannot be read further; what was cut of it before stands. The message says why."""


class Piece(NamedTuple):
    """Some items of a file as a body of their own."""

    body: bytes
    items: int
    end: int  # where the next piece begins, in bytes of the unpacked file
    too_long: tuple[int, ...] = ()  # which of the items were left out for their size


def cut(
    file: BinaryIO,
    *,
    table: bool = False,
    whole: bool = False,
    start: int = 0,
    most_items: int = MOST_ITEMS,
    most_bytes: int = MOST_BYTES,
) -> Iterator[Piece]:
    """Cut a file (plain, gzip or zstd) into pieces from `start` on, which is 0 or the end of an earlier piece.

    `table` says that what does not begin like JSON is CSV. A piece of CSV begins with the head of the file.
    `whole` says that each item is a body, and gets a piece of its own as it stands. The file is read at its
    beginning, for its shape, and has to be seekable.

    Raises:
        UnreadableFile: it is empty, cut off, broken, a bomb, or not text in UTF-8.
    """
    shape, begin = _shape(file, table)
    if shape == "table":
        yield from _table(file, start, most_items, most_bytes)
        return
    feed = _Feed(file, start or begin)
    found = _lines(feed) if shape == "lines" else _values(feed, shape)
    first, last, separator = (b"", b"", b"\n") if whole or shape == "lines" else (b"[", b"]", b",")
    most_items = 1 if whole else most_items
    items: list[bytes] = []
    too_long: list[int] = []
    size = end = 0
    for item, reached in found:
        if items and (len(items) >= most_items or size + len(item or b"") > most_bytes):
            yield Piece(first + separator.join(items) + last, len(items), end, tuple(too_long))
            items, too_long, size = [], [], 0
        if item is None:
            too_long.append(len(items))
        items.append(_TOO_LONG if item is None else item)
        size += len(items[-1])
        end = reached
    if items:
        yield Piece(first + separator.join(items) + last, len(items), end, tuple(too_long))


def head_of(file: BinaryIO) -> str:
    """Return the head of a table, its first line that is not empty; the file is at its beginning again.

    Raises:
        UnreadableFile: see `cut`.
    """
    head = _head(_TableLines(_Feed(file, 0)))
    file.seek(0)
    return head


def is_table(file: BinaryIO) -> bool:
    """Say whether the file begins otherwise than JSON does.

    Raises:
        UnreadableFile: see `cut`.
    """
    return _shape(file, True)[0] == "table"


# --- bytes as they come ---


def _unpacked(file: BinaryIO, start: int) -> Iterator[bytes]:
    """Yield the unpacked file from a position on, about a mebibyte at a time."""
    file.seek(0)
    magic = file.read(4)
    if magic.startswith(b"\x1f\x8b"):
        chunks = _members(file, "gzip", lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), _GZIP_STEP)
    elif magic == b"\x28\xb5\x2f\xfd":
        unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
        chunks = _members(file, "zstd", unpacker.decompressobj, _ZSTD_STEP)
    else:
        file.seek(start)
        while chunk := file.read(_CHUNK):
            yield chunk
        return
    passed = 0
    kept: list[bytes] = []
    size = 0
    for chunk in chunks:
        passed += len(chunk)
        if passed <= start:
            continue
        kept.append(chunk[max(0, start - (passed - len(chunk))) :])
        size += len(kept[-1])
        if size >= _CHUNK:
            yield b"".join(kept)
            kept, size = [], 0
    if kept:
        yield b"".join(kept)


def _members(file: BinaryIO, encoding: str, begin: Callable[[], Any], step: int) -> Iterator[bytes]:
    """Unpack gzip members or zstd frames, one after another to the end of the file."""
    file.seek(0)
    taken = made = members = 0
    member = begin()
    fresh = True
    rest = b""
    while chunk := rest or file.read(step):
        rest = b""
        if fresh and members and encoding == "gzip" and not chunk.strip(b"\0"):
            continue  # padding, as gzip(1) has it
        try:
            out = member.decompress(chunk)
        except (zlib.error, zstandard.ZstdError, MemoryError):
            raise UnreadableFile(f"the {encoding} stream is broken") from None
        fresh = False
        taken += len(chunk)
        made += len(out)
        if made > _ALLOWANCE and made > _MOST_EXPANSION * taken:
            raise UnreadableFile(f"it unpacks to more than {_MOST_EXPANSION} times its size, as no log does")
        if out:
            yield out
        if member.eof:
            rest = member.unused_data
            taken -= len(rest)
            members += 1
            member = begin()
            fresh = True
    if not (fresh and members):
        raise UnreadableFile(f"the {encoding} stream is cut off")


class _Feed:
    """A window on the unpacked file: `data` from `at` on, which grows at its end and is cut at its beginning."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._chunks = _unpacked(file, start)
        self.data = b""
        self.at = start

    def more(self, keep_from: int = 0) -> bool:
        """Read on, and forget what lies before `keep_from`; False at the end, and then nothing is forgotten."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self.data = self.data[keep_from:] + chunk
        self.at += keep_from
        return True


# --- JSON ---

# A whole string, a quote that begins one which the data does not end, a bracket, a comma.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
# Within an item nothing matters up to its next bracket: one look instead of one for each string.
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
# The rest of a string up to its quote, or up to where the data ends, which may be within an escape.
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_ROWS = re.compile(rb'"(?:data|result|results|logs)"[ \t\r\n]*:[ \t\r\n]*\[')
_QUOTE, _COMMA, _ARRAY_ENDS = b'",]'
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")


def _shape(file: BinaryIO, table: bool) -> tuple[str, int]:
    """Look at the beginning; returns the shape of the file and where its first item begins."""
    feed = _Feed(file, 0)
    while len(feed.data) < _HEAD and feed.more():
        pass
    if feed.data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableFile("not text in UTF-8 but in UTF-16; save it as UTF-8")
    begin = len(_BOM) if feed.data.startswith(_BOM) else 0
    while not feed.data[begin:].strip(_BLANK):
        if not feed.more():
            raise UnreadableFile("the file is empty")
    begin = len(feed.data) - len(feed.data[begin:].lstrip(_BLANK))
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


def _lines(feed: _Feed) -> Items:
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
        line = feed.data[begin:end].strip(_BLANK)
        if line or not whole:
            yield (line if whole and len(line) <= MAX_ITEM_BYTES else None), feed.at + end
        if end == len(feed.data):
            if not feed.more(end):
                return
            begin = scanned = 0
        else:
            begin = scanned = end + 1
        whole = True


def _values(feed: _Feed, shape: str) -> Items:
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
            scanned = _INSIDE.match(feed.data, scanned).end()  # type: ignore[union-attr]
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
    if depth or in_array or feed.data[begin:].strip(_BLANK):
        raise UnreadableFile("the file is cut off, or not JSON")


def _item(feed: _Feed, begin: int, end: int, whole: bool) -> bytes | None:
    item = feed.data[begin:end].strip(_BLANK)
    return item if whole and len(item) <= MAX_ITEM_BYTES else None


def _after_array(feed: _Feed, scanned: int, shape: str) -> int:
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
    while not (rest := feed.data[scanned:].lstrip(_BLANK + b",")) or len(rest) < _HEAD:
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


# --- tables ---


def dialect_of(head: str) -> str:
    """Return what separates the columns of a head: a comma, a semicolon, a tab or a bar, whichever it has most of."""
    plain = re.sub(r'"(?:[^"]|"")*"', "", head)
    return max(",;\t|", key=plain.count)


class _TableLines:
    """The lines of a table as text, counting bytes: a reader of CSV takes as many as a record has."""

    def __init__(self, feed: _Feed) -> None:
        self._feed = feed
        self._begin = 0
        self.number = 0
        self.taken: list[bytes] = []  # since somebody last emptied it

    @property
    def at(self) -> int:
        """Return where the next line begins."""
        return self._feed.at + self._begin

    def __iter__(self) -> _TableLines:
        return self

    def __next__(self) -> str:
        feed = self._feed
        scanned = self._begin
        while (end := feed.data.find(b"\n", scanned)) < 0:
            scanned = len(feed.data)
            if scanned - self._begin > MAX_ITEM_BYTES:
                raise UnreadableFile(f"line {self.number + 1} is longer than {MAX_ITEM_BYTES // 2**20} MB")
            if not feed.more(self._begin):
                end = len(feed.data) - 1
                break
            scanned, self._begin = scanned - self._begin, 0
        line = feed.data[self._begin : end + 1]
        if not line:
            raise StopIteration
        if not self.at:
            line = line.removeprefix(_BOM)
        self._begin = end + 1
        self.number += 1
        self.taken.append(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise UnreadableFile(f"line {self.number} is not text in UTF-8; save the file as CSV UTF-8") from None


def _head(lines: _TableLines) -> str:
    head = next((line for line in lines if line.strip()), "").rstrip("\r\n")
    if "\r" in head:
        raise UnreadableFile("its lines end as on an old Macintosh; save it with the line ends of today")
    if head.count('"') % 2:
        raise UnreadableFile("the name of a column goes over several lines")
    return head


def _table(file: BinaryIO, start: int, most_items: int, most_bytes: int) -> Iterator[Piece]:
    csv.field_size_limit(MAX_ITEM_BYTES)
    lines = _TableLines(_Feed(file, 0))
    head = _head(lines)
    kept_head = head.encode() + b"\n"
    separator = dialect_of(head)
    number, after_head = lines.number, lines.at
    if start > after_head:
        lines = _TableLines(_Feed(file, start))
        number = 0  # of lines since: nobody counts those of a file that is taken up again
    lines.taken = []
    records = csv.reader(lines, delimiter=separator)
    body: list[bytes] = []
    items = size = 0
    newest = b""
    while True:
        try:
            record = next(records, None)
        except csv.Error as error:
            where = f"line {lines.number}" if number else "a line"
            raise UnreadableFile(f"{where} cannot be read as CSV ({error}); is a quote not closed?") from None
        if record is None:
            break
        newest = b"".join(lines.taken)
        if any(field.strip() for field in record):  # a line of nothing is no record
            body.append(newest)
            items += 1
            size += len(newest)
        lines.taken = []
        if items >= most_items or size >= most_bytes:
            yield Piece(kept_head + b"".join(body), items, lines.at)
            body, items, size = [], 0, 0
    if newest.count(b'"') % 2 and newest.count(b"\n") > 1:
        # The reader takes all that follows an open quote for one field, to the end of the file.
        raise UnreadableFile("a quote is not closed: the last record goes over many lines to the end of the file")
    if items:
        yield Piece(kept_head + b"".join(body), items, lines.at)
