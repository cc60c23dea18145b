"""Files of any size in pieces: unpacked as they are read, cut between items, each piece a body that a format reads.

A file of JSON is an array, NDJSON, objects one after another, or what an API answers with its rows in a list such as
`{"result": [...]}`, page after page. A table is CSV with a head. Neither is ever held whole: a piece has some thousand
items, and says where in the unpacked file the next one begins, so that reading goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from usage.formats.pieces.feed import MAX_ITEM_BYTES, Feed, Piece, UnreadableFile
from usage.formats.pieces.tables import TableLines, cut_table, dialect_of, head_line
from usage.formats.pieces.values import lines, shape_of, values

MOST_ITEMS = 4000
MOST_BYTES = 16 * 1024 * 1024  # of a piece; one item alone may be larger
_TOO_LONG = b"null"  # in the place of an item that is left out: no format takes it for an event


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
    shape, begin = shape_of(file, table)
    if shape == "table":
        yield from cut_table(file, start, most_items, most_bytes)
        return
    feed = Feed(file, start or begin)
    found = lines(feed) if shape == "lines" else values(feed, shape)
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
    head = head_line(TableLines(Feed(file, 0)))
    file.seek(0)
    return head


def is_table(file: BinaryIO) -> bool:
    """Say whether the file begins otherwise than JSON does.

    Raises:
        UnreadableFile: see `cut`.
    """
    return shape_of(file, True)[0] == "table"


__all__ = [
    "MAX_ITEM_BYTES",
    "MOST_BYTES",
    "MOST_ITEMS",
    "Piece",
    "UnreadableFile",
    "cut",
    "dialect_of",
    "head_of",
    "is_table",
]
