"""Files in pieces: every shape, however it is packed and read, cut at items and gone on with at any piece."""

from __future__ import annotations

import gzip
import io
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from usage.formats import pieces
from usage.formats.pieces import MAX_ITEM_BYTES, UnreadableFile, cut, head_of, is_table

ROWS = [{"n": n, "text": 'a,]}[{"\\' * n, "deep": [{"x": [1, {}]}, []]} for n in range(7)]
LINES = b"\n".join(json.dumps(one).encode() for one in ROWS)
ARRAY = json.dumps(ROWS).encode()
PAGE = json.dumps({"success": True, "result": ROWS, "result_info": {"page": 1, "of": [1, 2]}}).encode()
SHAPES = {
    "lines": LINES,
    "lines with blanks": b"\xef\xbb\xbf\n\n" + LINES.replace(b"\n", b"\r\n \n") + b"\n",
    "array": ARRAY,
    "indented array": b"\xef\xbb\xbf  " + json.dumps(ROWS, indent=2).encode() + b"\n",
    "objects one after another": b"\n".join(json.dumps(one, indent=1).encode() for one in ROWS),
    "an answer of an API": PAGE,
    "indented answer": json.dumps({"data": ROWS, "total": 7}, indent=2).encode(),
}
PACKED = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "gzip of two members": lambda content: gzip.compress(content[:40]) + gzip.compress(content[40:]) + b"\0" * 20,
    "zstd": zstandard.compress,
    "zstd of two frames": lambda content: zstandard.compress(content[:40]) + zstandard.compress(content[40:]),
}


class Slow(io.BytesIO):
    """A file that gives a few bytes at a time, as it may."""

    def __init__(self, content: bytes, most: int) -> None:
        super().__init__(content)
        self._most = most

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


def items(found) -> list:
    read = []
    for piece in found:
        body = piece.body
        rows = json.loads(body) if body.startswith(b"[") else [json.loads(line) for line in body.splitlines()]
        assert len(rows) == piece.items
        read += rows
    return read


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("most", [4, 7, 100_000])
def test_each_shape_is_cut_at_its_items_and_gone_on_with_anywhere(shape, packed, most):
    content = PACKED[packed](SHAPES[shape])

    found = list(cut(Slow(content, most), most_items=3))

    assert items(found) == ROWS
    assert [piece.items for piece in found] == [3, 3, 1]
    for number, piece in enumerate(found):
        assert list(cut(Slow(content, most), start=piece.end, most_items=3)) == found[number + 1 :]


@pytest.mark.parametrize("content", [ARRAY + b"\n" + ARRAY, PAGE + b"\n" + PAGE, PAGE + PAGE])
def test_page_after_page_is_one_file(content):
    found = list(cut(io.BytesIO(content), most_items=4))

    assert items(found) == ROWS * 2
    for number, piece in enumerate(found):
        assert list(cut(io.BytesIO(content), start=piece.end, most_items=4)) == found[number + 1 :]


@given(
    rows=st.lists(st.dictionaries(st.text(), st.text() | st.integers(), max_size=3), min_size=1),
    most=st.integers(4, 99),
)
def test_whatever_rows_say_they_come_out_as_they_went_in(rows, most):
    for content in (
        json.dumps(rows).encode(),
        json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-8", "replace"),
    ):
        assert items(cut(Slow(content, most), most_items=2)) == json.loads(content)


@given(content=st.binary(), packed=st.sampled_from(list(PACKED)), table=st.booleans())
def test_no_bytes_make_anything_but_pieces_or_a_refusal(content, packed, table):
    file = io.BytesIO(PACKED[packed](content))
    try:
        for piece in cut(file, table=table):
            assert piece.items
    except UnreadableFile:
        pass


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "the file is empty"),
        (ARRAY[:-1], "cut off"),
        (ARRAY[:-9], "cut off"),
        (PAGE[:-1], "cut off"),
        (SHAPES["objects one after another"][:-2], "cut off"),
        (ARRAY + b" and more", "something follows"),
        (b"[1, 2}]", "a bracket closes"),
        (gzip.compress(LINES)[:-9], "the gzip stream is cut off"),
        (zstandard.compress(LINES)[:-3], "the zstd stream is cut off"),
        (b"\x1f\x8b" + LINES, "the gzip stream is broken"),
        (b"\x28\xb5\x2f\xfd" + LINES, "the zstd stream is broken"),
        ("a,b\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_is_broken_says_how(content, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        list(cut(io.BytesIO(content)))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_bomb_is_refused_before_it_is_held(pack):
    bomb = pack(b" " * 90_000_000)

    with pytest.raises(UnreadableFile, match="500 times its size"):
        list(cut(io.BytesIO(bomb)))


@pytest.mark.parametrize("shape", ["lines", "array"])
def test_an_item_that_is_too_long_is_left_out_and_told(shape):
    rows = [b'{"n": 1}', b'{"text": "' + b"x" * MAX_ITEM_BYTES + b'"}', b'{"n": 2}']
    content = b"\n".join(rows) if shape == "lines" else b"[" + b",".join(rows) + b"]"

    (piece,) = cut(io.BytesIO(content))

    assert items([piece]) == [{"n": 1}, None, {"n": 2}]
    assert piece.too_long == (1,)


def test_a_piece_has_no_more_bytes_than_it_may():
    found = list(cut(io.BytesIO(LINES), most_bytes=200))

    assert items(found) == ROWS
    assert all(len(piece.body) <= 200 or piece.items == 1 for piece in found)


def test_bodies_are_pieces_of_their_own_as_they_stand():
    assert [piece.body for piece in cut(io.BytesIO(LINES), whole=True)] == LINES.splitlines()
    pretty = json.dumps(ROWS[3], indent=2).encode()
    assert [piece.body for piece in cut(io.BytesIO(pretty), whole=True)] == [pretty]


# --- tables ---

TABLE = b'\xef\xbb\xbf\r\nid;na;text\r\n1;a;"two\r\nlines; and ""more"""\r\n;;\r\n\r\n2;b;x\r\n3;c;5" disk'


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("most", [4, 100_000])
def test_a_table_is_cut_at_its_records_each_piece_with_the_head(packed, most):
    content = PACKED[packed](TABLE)

    found = list(cut(Slow(content, most), table=True, most_items=1))

    assert [piece.body for piece in found] == [
        b'id;na;text\n1;a;"two\r\nlines; and ""more"""\r\n',
        b"id;na;text\n2;b;x\r\n",
        b'id;na;text\n3;c;5" disk',
    ]
    for number, piece in enumerate(found):
        assert list(cut(Slow(content, most), table=True, start=piece.end, most_items=1)) == found[number + 1 :]
    assert head_of(Slow(content, most)) == "id;na;text"
    assert is_table(Slow(content, most))
    assert not is_table(io.BytesIO(LINES))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'a,b\n1,"x\n2,y\n3,z\n', "a quote is not closed"),
        (b"a,b\n1,\xff\n", "line 2 is not text in UTF-8"),
        (b"a,b\r1,2\r", "old Macintosh"),
        (b'a,"b\nc"\n1,2\n', "over several lines"),
        (b"a,b\n1,2\r3,4\n", "line 2 cannot be read as CSV"),
    ],
)
def test_a_table_that_is_broken_says_where(content, sentence):
    with pytest.raises(UnreadableFile, match=sentence):
        list(cut(io.BytesIO(content), table=True))


def test_the_separator_is_what_the_head_has_most_of():
    assert [pieces.dialect_of(head) for head in ("a,b;c,d", "a;b", '"a,b,c";d', "a\tb", "a|b", "alone")] == [
        ",", ";", ";", "\t", "|", ",",
    ]  # fmt: skip
