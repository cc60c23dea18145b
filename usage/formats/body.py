"""Bodies as they travel: compressed, and not to be trusted about how large they are."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from usage.events import UnreadableBody

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

# How much goes into a decompressor at once. Deflate expands by 1032 at most and zstd to 128 KiB per 4 bytes,
# so a bomb is noticed at most 16 MiB after the limit.
_GZIP_STEP = 16 * 1024
_ZSTD_STEP = 512
_ZSTD_MAX_WINDOW = 8 * 1024 * 1024  # what RFC 9659 allows on the wire; a frame may ask for gigabytes

_MAX_MEMBERS = 10_000  # an empty gzip member has 20 bytes, and a body of them costs hours


class BodyTooLarge(ValueError):
    """The body has more bytes, decompressed, than are accepted."""


def decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    """Return the body as its sender wrote it, of at most `limit` bytes.

    The magic number is believed before the header, which proxies leave on bodies that they unpacked and leave
    off bodies that they did not. Bodies of several gzip members or zstd frames are read to the end.

    Raises:
        BodyTooLarge: more than `limit` bytes come out; no more than 16 MiB beyond it were ever held.
        UnreadableBody: an encoding not known here, or a stream that is broken or cut off.
    """
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "zstd"):
        raise UnreadableBody("content encoding not known here: use gzip, zstd or none")
    if body.startswith(_GZIP_MAGIC) or (encoding.endswith("gzip") and not body.startswith(_ZSTD_MAGIC)):
        return _unpack(body, limit, "gzip", lambda: zlib.decompressobj(zlib.MAX_WBITS | 16), _GZIP_STEP)
    if body.startswith(_ZSTD_MAGIC) or encoding == "zstd":
        unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
        return _unpack(body, limit, "zstd", unpacker.decompressobj, _ZSTD_STEP)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _unpack(body: bytes, limit: int, encoding: str, start: Callable[[], Any], step: int) -> bytes:
    pieces: list[bytes] = []
    size = position = members = 0
    # Zeros after the last member are padding, as gzip(1) has it.
    end = len(body.rstrip(b"\0")) if encoding == "gzip" else len(body)
    member = start()
    fresh = True
    while position < len(body):
        if fresh and members and position >= end:
            break
        chunk = body[position : position + step]
        try:
            piece = member.decompress(chunk)
        except (zlib.error, zstandard.ZstdError, MemoryError):
            raise UnreadableBody(f"the {encoding} stream is broken") from None
        fresh = False
        position += len(chunk)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
        if member.eof:
            position -= len(member.unused_data)
            members += 1
            if members > _MAX_MEMBERS:
                raise UnreadableBody(f"the {encoding} stream has more than {_MAX_MEMBERS} members")
            member = start()
            fresh = True
    if not (fresh and members):
        raise UnreadableBody(f"the {encoding} stream is cut off")
    return b"".join(pieces)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"more than {limit} bytes after decompression")
