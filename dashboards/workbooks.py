"""Tables as XLSX: typed cells, a frozen head, and a sheet that says what was asked.

# Note [Exact in Excel]
Excel counts in binary with 15 digits, and a cost has up to 18 places. So a column of money is a number that Excel can
add, rounded to what it holds, and at the right end of the sheet stands the same column once more as text, with every
digit: `cost_usd` and `cost_usd_exact`. The text is what the ledger says, and what a CSV file has under `cost_usd`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import IO, Any

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from core import money

TEXT, USD, NUMBER, SHARE, DAY, INSTANT = "text", "usd", "number", "share", "day", "instant"
MOST_LINES = 1_048_575  # of a sheet, beside its head; what is more goes on in the next sheet
LONGEST_TEXT = 32_767  # of a cell
_EXACT_DIGITS = 15
_FIRST_YEAR = 1900  # Excel knows no date before
_LOOKS = {
    USD: "#,##0.00####",
    NUMBER: "#,##0.##########",
    SHARE: "0.00%",
    DAY: "yyyy-mm-dd",
    INSTANT: "yyyy-mm-dd hh:mm:ss",
}
_WHOLE = "#,##0"
_WIDTHS = {TEXT: 24, USD: 16, NUMBER: 16, SHARE: 12, DAY: 12, INSTANT: 20}


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in every file, and what stands in it. Shares are of 1, instants are aware."""

    name: str
    kind: str = TEXT
    width: int = 0  # in characters; 0: what is usual for its kind


def write(
    out: IO[bytes],
    *,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Any]],
    about: Sequence[tuple[str, Any]],
    zone: tzinfo,
) -> None:
    """Write a workbook, its instants on the clock of `zone`. Memory does not grow with the rows.

    A text is a text whatever it begins with, so no name becomes a formula. What fails half way leaves no file behind.
    """
    with TemporaryDirectory(prefix="tollkeeper-xlsx-") as place:
        book = xlsxwriter.Workbook(out, {"constant_memory": True, "tmpdir": place})
        try:
            _Lines(book, columns, zone).write(rows)
            _about(book, about, zone)
        except BaseException:
            for sheet in book.worksheets():
                sheet.row_data_fh.close()
            book.fileclosed = True  # otherwise it warns that nobody closed it
            raise
        book.close()


class _Lines:
    """The sheets of lines, one until it is full."""

    def __init__(self, book: xlsxwriter.Workbook, columns: Sequence[Column], zone: tzinfo) -> None:
        self.book = book
        self.columns = columns
        self.zone = zone
        self.exact = [place for place, column in enumerate(columns) if column.kind == USD]
        self.head = book.add_format({"bold": True, "bottom": 1})
        self.looks = {kind: book.add_format({"num_format": look}) for kind, look in _LOOKS.items()}
        self.whole = book.add_format({"num_format": _WHOLE})

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        number = 1
        sheet = self.sheet(number)
        at = 0
        for row in rows:
            if at == MOST_LINES:
                number += 1
                sheet, at = self.sheet(number), 0
            at += 1
            for place, (column, value) in enumerate(zip(self.columns, row, strict=True)):
                self.cell(sheet, at, place, column.kind, value)
            for beside, place in enumerate(self.exact, start=len(self.columns)):
                if row[place] is not None:
                    sheet.write_string(at, beside, money.plain(row[place]))

    def sheet(self, number: int) -> Worksheet:
        sheet = self.book.add_worksheet("Lines" if number == 1 else f"Lines {number}")
        sheet.freeze_panes(1, 0)
        for place, column in enumerate(self.columns):
            sheet.set_column(place, place, column.width or max(_WIDTHS[column.kind], len(column.name) + 2))
            sheet.write_string(0, place, column.name, self.head)
        for beside, place in enumerate(self.exact, start=len(self.columns)):
            name = f"{self.columns[place].name}_exact"
            sheet.set_column(beside, beside, max(24, len(name) + 2))
            sheet.write_string(0, beside, name, self.head)
        return sheet

    def cell(self, sheet: Worksheet, at: int, place: int, kind: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            sheet.write_string(at, place, "yes" if value else "no")
        elif isinstance(value, datetime) and value.year > _FIRST_YEAR:
            sheet.write_datetime(at, place, value.astimezone(self.zone).replace(tzinfo=None), self.looks[INSTANT])
        elif isinstance(value, date) and value.year >= _FIRST_YEAR:
            sheet.write_datetime(at, place, value, self.looks[DAY])
        elif isinstance(value, int) and len(str(abs(value))) <= _EXACT_DIGITS:
            sheet.write_number(at, place, value, self.looks[USD] if kind == USD else self.whole)
        elif isinstance(value, Decimal) and (kind != TEXT) and value.is_finite():
            sheet.write_number(at, place, float(value), self.looks[kind])
        else:
            written = money.plain(value) if isinstance(value, Decimal) else str(value)
            sheet.write_string(at, place, written[:LONGEST_TEXT])


def _about(book: xlsxwriter.Workbook, about: Sequence[tuple[str, Any]], zone: tzinfo) -> None:
    sheet = book.add_worksheet("About")
    sheet.set_column(0, 0, 28)
    sheet.set_column(1, 1, 100)
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    bold = book.add_format({"bold": True, "valign": "top"})
    for at, (label, value) in enumerate(about):
        sheet.write_string(at, 0, label, bold)
        sheet.write_string(at, 1, _in_words(value, zone)[:LONGEST_TEXT], wrapped)


def _in_words(value: Any, zone: tzinfo) -> str:
    if value is None:
        return "not known"
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S} {zone}"
    if isinstance(value, Decimal):
        return money.plain(value)
    if isinstance(value, list | tuple):
        said: Callable[[Any], str] = lambda each: _in_words(each, zone)  # noqa: E731
        return ", ".join(map(said, value))
    return str(value)
