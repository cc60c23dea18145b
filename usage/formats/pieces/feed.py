"""A file of any size as it is unpacked, about a mebibyte at a time, and what is cut of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import zstandard

MAX_ITEM_BYTES = 32 * 1024 * 1024  # spend logs may hold images; what is larger is left out, and told
BLANK = b" \t\r\n"
BOM = b"\xef\xbb\xbf"

_CHUNK = 1024 * 1024

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


class Feed:
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
