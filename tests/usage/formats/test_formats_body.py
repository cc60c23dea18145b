"""Decompression: what comes out, and what is refused before it costs memory."""

import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from usage.events import UnreadableBody
from usage.formats.body import BodyTooLarge, decompress

TEXT = b'{"id": "e-1"}' * 5000
LIMIT = 1024 * 1024


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def gzip_bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), mtime=0)


def zstd_bomb(size: int) -> bytes:
    """A frame without its size in the header, as a stream has it."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0), "x-gzip"),
        (gzip.compress(TEXT, mtime=0), " GZIP "),
        (zstd(TEXT), "zstd"),
        (gzip.compress(TEXT, mtime=0), ""),
        (zstd(TEXT), ""),
        (zstd(TEXT), "gzip"),
        (gzip.compress(TEXT, mtime=0), "zstd"),
        (gzip.compress(TEXT[:7], mtime=0) + gzip.compress(TEXT[7:], mtime=0), "gzip"),
        (zstd(TEXT[:7]) + zstd(TEXT[7:]), "zstd"),
        (gzip.compress(TEXT, mtime=0) + bytes(512), "gzip"),
    ],
)
def test_a_body_comes_out_as_its_sender_wrote_it(body, encoding):
    assert decompress(body, encoding, LIMIT) == TEXT


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(compress):
    assert decompress(compress(TEXT), "", len(TEXT)) == TEXT

    with pytest.raises(BodyTooLarge):
        decompress(compress(TEXT + b"x"), "", len(TEXT))


@pytest.mark.parametrize("made", [gzip_bomb, zstd_bomb])
def test_a_bomb_is_noticed_before_it_has_gone_off(made):
    bomb = made(200 << 20)  # here: every worker collects the tests, and one of them runs this

    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        decompress(bomb, "", LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 48 << 20


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_stream_that_is_cut_off_anywhere_is_unreadable(compress):
    body = compress(TEXT)

    for end in {5, len(body) // 2, len(body) - 1}:
        with pytest.raises(UnreadableBody):
            decompress(body[:end], (compress is zstd and "zstd") or "gzip", LIMIT)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", "gzip"),
        (b"", "zstd"),
        (TEXT, "gzip"),
        (TEXT, "zstd"),
        (gzip.compress(TEXT, mtime=0) + b"and more", "gzip"),
        (gzip.compress(TEXT, mtime=0) + gzip.compress(TEXT, mtime=0)[:-5], "gzip"),
        (zstd(TEXT) + zstd(TEXT)[:-5], "zstd"),
        (gzip.compress(TEXT, mtime=0)[:-8] + b"badcrc!!", "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (TEXT, "br"),
        (gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0), "gzip, gzip"),
        (gzip.compress(b"", mtime=0) * 10_002, "gzip"),
    ],
)
def test_what_is_no_stream_of_a_known_encoding_is_unreadable(body, encoding):
    with pytest.raises(UnreadableBody):
        decompress(body, encoding, LIMIT)
