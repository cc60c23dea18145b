"""Tables as files: what a spreadsheet reads is what was given, however much of it there is."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zipfile import BadZipFile, ZipFile

import openpyxl
import pytest
from django.contrib.auth.models import AnonymousUser
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.utils import timezone
from openpyxl.utils.escape import unescape

from core import sheets
from core.errors import Invalid
from core.large_files import AT_ONCE, FEW, NOT_WHOLE, Lines
from dashboards import downloads, workbooks
from dashboards.downloads import DAY, INSTANT, NUMBER, SHARE, USD, Column, Table

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
COST = Decimal("12345678901234.123456789012345678")
COLUMNS = [
    Column("name"), Column("requests", NUMBER), Column("cost_usd", USD), Column("share", SHARE), Column("day", DAY),
    Column("at", INSTANT), Column("priced"),
]  # fmt: skip
ROW = ["=1+1", 12_000, COST, Decimal("0.5"), date(2026, 10, 1), NOON, True]


def body_of(answer: HttpResponseBase) -> bytes:
    try:
        return b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    finally:
        let_go(answer)


def let_go(answer: HttpResponseBase) -> None:
    """Close its file, and not the connections to a database that no test here has."""
    for close in answer._resource_closers:
        close()


def test_a_csv_file_has_every_digit_and_no_formula():
    answer = downloads.download(name="spend of müller/2026", columns=COLUMNS, rows=iter([ROW, [None] * 7]), kind="csv")

    head, row, empty = csv.reader(io.StringIO(body_of(answer).decode()))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''spend_of_m%C3%BCller2026.csv"
    assert head == ["name", "requests", "cost_usd", "share", "day", "at", "priced"]
    assert row == [
        "'=1+1", "12000", "12345678901234.123456789012345678", "0.5", "2026-10-01", "2026-10-01T12:00:00Z", "yes"
    ]  # fmt: skip
    assert empty == [""] * 7


@pytest.mark.parametrize(
    "name", ["=1+1", "\n=1+1", "\N{FULLWIDTH EQUALS SIGN}1+1", "\N{FULLWIDTH COMMERCIAL AT}SUM(1)"]
)
def test_a_name_that_some_spreadsheet_runs_is_text_and_read_back_as_it_was(name):
    assert sheets.cell(name) == f"'{name}"
    assert sheets.text(sheets.cell(name)) == name


def test_a_workbook_has_typed_cells_and_every_digit_of_money_beside_them():
    with timezone.override("Asia/Kolkata"):
        answer = downloads.download(
            name="spend", columns=COLUMNS, rows=[ROW], kind="xlsx", about=[("Complete through", NOON), ("Share", None)]
        )

    book = openpyxl.load_workbook(io.BytesIO(body_of(answer)))
    lines, about = book["Lines"], book["About"]
    head, row = ([cell.value for cell in line] for line in lines.iter_rows())
    assert head[-1] == "cost_usd_exact"
    assert row == [
        "=1+1", 12_000, pytest.approx(float(COST), rel=1e-15), 0.5, datetime(2026, 10, 1),
        datetime(2026, 10, 1, 17, 30), "yes", "12345678901234.123456789012345678",
    ]  # fmt: skip
    assert lines["A2"].data_type == "s"
    assert [lines.cell(2, place).is_date for place in (5, 6)] == [True, True]
    assert lines.freeze_panes == "A2"
    assert [[cell.value for cell in line] for line in about.iter_rows()] == [
        ["Complete through", "2026-10-01 17:30:00 Asia/Kolkata"],
        ["Share", "not known"],
    ]


def test_what_a_sheet_cannot_hold_stands_as_text_or_on_the_next_sheet(monkeypatch):
    monkeypatch.setattr(workbooks, "MOST_LINES", 2)
    columns = [Column("n", NUMBER), Column("long"), Column("day", DAY)]
    rows = [[10**15 + 1, "x" * 40_000, date(1, 1, 1)], [2, "y" + "\N{PACKAGE}" * 20_000, None], [3, "", None]]

    book = openpyxl.load_workbook(
        io.BytesIO(body_of(downloads.download(name="n", columns=columns, rows=rows, kind="xlsx")))
    )

    first = [cell.value for cell in book["Lines"][2]]
    assert first == ["1000000000000001", "x" * workbooks.LONGEST_TEXT, "0001-01-01"]
    assert book["Lines"]["B3"].value == "y" + "\N{PACKAGE}" * 16_383  # each is two of Excel's characters
    assert [cell.value for cell in book["Lines 2"][1]] == ["n", "long", "day"]
    assert book["Lines 2"]["A2"].value == 3


@pytest.mark.parametrize("kind", downloads.KINDS)
def test_memory_does_not_grow_with_the_rows(kind):
    def peak(count: int) -> int:
        rows = ([f"name {number}", number, COST, None, date(2026, 10, 1), NOON, False] for number in range(count))
        tracemalloc.start()
        answer = downloads.download(name="n", columns=COLUMNS, rows=rows, kind=kind)
        for _ in answer.streaming_content:  # type: ignore[attr-defined]
            pass
        let_go(answer)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)  # what is imported and cached once

    assert peak(2400) < peak(600) + 200_000  # 1800 rows that are kept are more than twice that


@pytest.mark.parametrize("kind", downloads.KINDS)
def test_what_fails_at_once_is_an_error_and_no_half_file(kind):
    def rows() -> Any:
        raise Invalid("no such range")
        yield []

    with pytest.raises(Invalid):
        downloads.download(name="n", columns=COLUMNS, rows=rows(), kind=kind)


def test_a_workbook_is_sent_while_it_is_made_and_none_where_it_fails_half_way():
    asked = []

    def rows() -> Any:
        for number in range(10_000):
            asked.append(number)
            yield [f"name {number}", *ROW[1:]]
        raise RuntimeError("the database went away")

    pieces = downloads.download(name="n", columns=COLUMNS, rows=rows(), kind="xlsx").streaming_content  # type: ignore[attr-defined]
    got = [next(pieces)]
    before_the_rest = len(asked)
    with pytest.raises(RuntimeError):
        got += pieces

    assert before_the_rest < 2_000
    with pytest.raises(BadZipFile):
        ZipFile(io.BytesIO(b"".join(got)))


def test_texts_that_xml_cannot_hold_or_excel_would_read_otherwise_come_back_as_they_were():
    texts = ["a & b < c > d", " spaces ", "line\nline\ttab", "_x0041_", "\x00 \x0b \r", "\uffff", "ä 漢 😀", "]]>"]
    rows = [[text] for text in texts]

    answer = downloads.download(name="n", columns=[Column("text")], rows=rows, kind="xlsx")

    sheet = openpyxl.load_workbook(io.BytesIO(body_of(answer)))["Lines"]
    assert [unescape(row[0]) for row in sheet.iter_rows(min_row=2, values_only=True)] == texts


def test_a_list_that_is_too_long_is_refused_before_its_first_line_and_led_to_csv():
    def sent(kind: str, **headers: str) -> Any:
        request = RequestFactory(headers=headers).get("/entries/?team=web&before=x", headers=headers)
        request.user = AnonymousUser()
        rows = (pytest.fail("no line is asked for") for _ in range(1))
        longer = Table(name="n", title="N", columns=COLUMNS, rows=rows, longer_than=lambda most: True)
        return downloads.send(request, longer, kind)

    to_a_program, to_a_person, as_csv = sent("xlsx"), sent("xlsx", accept="text/html"), sent("csv")

    assert [one.status_code for one in (to_a_program, to_a_person, as_csv)] == [400] * 3
    assert "100,000 lines at most" in to_a_program.content.decode()
    assert 'href="/entries/?team=web&amp;as=csv"' in to_a_person.content.decode()
    assert "1,000,000 lines at most" in as_csv.content.decode()


@pytest.mark.parametrize("kind", downloads.KINDS)
def test_a_large_file_is_put_off_while_as_many_are_made_as_there_is_room_for(kind):
    request = RequestFactory().get("/entries/")
    request.user = AnonymousUser()
    made = [Lines(range(FEW)) for _ in range(AT_ONCE)]

    def sent(count: int) -> HttpResponseBase:
        return downloads.send(request, Table(name="a", title="A", columns=COLUMNS, rows=[ROW] * count), kind)

    assert sent(FEW)["Retry-After"]
    assert sent(FEW).status_code == 429
    small = sent(FEW - 1)
    assert small.status_code == 200
    let_go(small)
    for each in made:
        each.close()
    for _ in range(AT_ONCE + 1):
        unread = sent(FEW)
        assert unread.status_code == 200
        let_go(unread)


def test_a_csv_file_that_fails_half_way_says_that_it_is_not_whole():
    def rows() -> Any:
        yield from [ROW] * FEW
        raise RuntimeError("the database went away")

    text = body_of(downloads.download(name="n", columns=COLUMNS, rows=rows(), kind="csv")).decode()

    assert text.endswith(NOT_WHOLE)
    assert len(list(csv.reader(io.StringIO(text)))[-1]) == 1


def test_a_csv_file_is_packed_on_its_way_for_who_takes_that():
    request = RequestFactory().get("/a/", headers={"Accept-Encoding": "gzip, br"})
    plain = RequestFactory().get("/a/")
    request.user = plain.user = AnonymousUser()
    table = Table(name="a", title="A", columns=COLUMNS, rows=[ROW] * 20)

    packed, unpacked = downloads.send(request, table, "csv"), downloads.send(plain, table, "csv")

    assert (packed["Content-Encoding"], packed["Vary"]) == ("gzip", "Accept-Encoding")
    assert "Content-Encoding" not in unpacked
    assert gzip.decompress(body_of(packed)) == body_of(unpacked)
