"""Lines of FOCUS as files: CSV by RFC 4180, where null is an empty cell, or a JSON object per line.

A name that a spreadsheet would run as a formula is text in CSV, by an apostrophe before it; in JSON it is as it is.
Decimals in JSON are strings, as everywhere in the API, so that no reader makes binary numbers of them. What is JSON
itself (Tags, SkuPriceDetails) is an object there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from core import sheets
from core.large_files import NOT_WHOLE, not_cut
from core.money import plain
from usage.focus.columns import COLUMNS, JSON, NAMES
from usage.focus.lines import Line, written

CSV, CSV_GZ, JSONL = "csv", "csv.gz", "jsonl"
FORMATS = (CSV, CSV_GZ, JSONL)
_CHUNK = 64_000
_JSON = tuple(column.name for column in COLUMNS if column.type == JSON)
_encode = msgspec.json.Encoder().encode


def file(lines: Iterable[Line], form: str) -> Iterator[bytes]:
    """Return the bytes of a file of a form in `FORMATS`, piece by piece."""
    pieces = _gathered(_objects(lines) if form == JSONL else _rows(lines))
    rows = not_cut(pieces, NOT_WHOLE.encode())
    return gzipped(rows) if form == CSV_GZ else rows


def gzipped(pieces: Iterable[bytes], level: int = 6) -> Iterator[bytes]:
    """Compress pieces on their way; the same pieces give the same bytes."""
    packer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def _rows(lines: Iterable[Line]) -> Iterator[bytes]:
    writer = sheets.writer()
    yield writer.writerow(NAMES).encode()
    for line in lines:
        # In the order of NAMES, as `lines` makes them.
        yield writer.writerow(
            [
                "" if value is None else (_digits if value.__class__ is Decimal else _text)(value)
                for value in line.values()
            ]
        ).encode()


# A line says each amount several times, and names and prices come again in every line: writing them is what costs.
_digits = lru_cache(maxsize=4096)(plain)
_text = lru_cache(maxsize=4096)(sheets.cell)


def _objects(lines: Iterable[Line]) -> Iterator[bytes]:
    for line in lines:
        content: dict[str, Any] = {name: written(value) for name, value in line.items()}
        for name in _JSON:
            content[name] = msgspec.Raw(line[name].encode()) if line[name] else None
        yield _encode(content) + b"\n"


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
