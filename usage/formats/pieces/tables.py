"""Tables: CSV with a head, cut between records. Each piece begins with the head of the file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from usage.formats.pieces.feed import BOM, MAX_ITEM_BYTES, Feed, Piece, UnreadableFile


def dialect_of(head: str) -> str:
    """Return what separates the columns of a head: a comma, a semicolon, a tab or a bar, whichever it has most of."""
    plain = re.sub(r'"(?:[^"]|"")*"', "", head)
    return max(",;\t|", key=plain.count)


class TableLines:
    """The lines of a table as text, counting bytes: a reader of CSV takes as many as a record has."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._begin = 0
        self.number = 0
        self.taken: list[bytes] = []  # since somebody last emptied it

    @property
    def at(self) -> int:
        """Return where the next line begins."""
        return self._feed.at + self._begin

    def __iter__(self) -> TableLines:
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
            line = line.removeprefix(BOM)
        self._begin = end + 1
        self.number += 1
        self.taken.append(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise UnreadableFile(f"line {self.number} is not text in UTF-8; save the file as CSV UTF-8") from None


def head_line(lines: TableLines) -> str:
    head = next((line for line in lines if line.strip()), "").rstrip("\r\n")
    if "\r" in head:
        raise UnreadableFile("its lines end as on an old Macintosh; save it with the line ends of today")
    if head.count('"') % 2:
        raise UnreadableFile("the name of a column goes over several lines")
    return head


def cut_table(file: BinaryIO, start: int, most_items: int, most_bytes: int) -> Iterator[Piece]:
    csv.field_size_limit(MAX_ITEM_BYTES)
    lines = TableLines(Feed(file, 0))
    head = head_line(lines)
    kept_head = head.encode() + b"\n"
    separator = dialect_of(head)
    number, after_head = lines.number, lines.at
    if start > after_head:
        lines = TableLines(Feed(file, start))
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
