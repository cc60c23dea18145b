"""Tables as XLSX: typed cells, a frozen head, and a sheet that says what was asked.

# Note [Exact in Excel]
Excel counts in binary with 15 digits, and a cost has up to 18 places. So a column of money is a number that Excel can
add, rounded to what it holds, and at the right end of the sheet stands the same column once more as text, with every
digit: `cost_usd` and `cost_usd_exact`. The text is what the ledger says, and what a CSV file has under `cost_usd`.

# Note [Written by hand]
The libraries that are well kept (XlsxWriter, openpyxl) give a workbook out when its last line is in it, and a download
has to begin at once and to need no room for all of it. A workbook is a zip file of a few XML files (ECMA-376), and its
lines are text with a place, a type and a look: they are written here, and sent while they are made. What depends on how
many lines there were (the list of sheets) stands in the files at its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import IO, Any, cast
from xml.sax.saxutils import quoteattr
from zipfile import ZIP_DEFLATED, ZipFile

from core import money

TEXT, USD, NUMBER, SHARE, DAY, INSTANT = "text", "usd", "number", "share", "day", "instant"
MOST_LINES = 1_048_575  # of a sheet, beside its head; what is more goes on in the next sheet
MOST_CHARACTERS = 1_000_000_000  # of a sheet's XML: Excel reads no larger ones in a zip file that is streamed
LONGEST_TEXT = 32_767  # of a cell, in units of UTF-16: an emoji is two
_EXACT_DIGITS = 15
_FIRST_DAY = date(1900, 3, 1)  # Excel knows no date before 1900, and counts a 29 February in that year
_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 (Excel's days are counted on a clock without a zone)
_WIDTHS = {TEXT: 24, USD: 16, NUMBER: 16, SHARE: 12, DAY: 12, INSTANT: 20}
_CHUNK = 64_000  # characters that are compressed together
_COMPRESSION = 3  # twice as quick as 6, for a file that is a tenth larger

# The looks of cells: what they are called here, and their number in `xl/styles.xml`.
_FORMATS = {USD: "#,##0.00####", NUMBER: "#,##0.##########", SHARE: "0.00%", DAY: "yyyy-mm-dd",
            INSTANT: "yyyy-mm-dd hh:mm:ss", "whole": "#,##0"}  # fmt: skip
_LOOK = {kind: number for number, kind in enumerate(_FORMATS, start=1)}
_HEAD, _BOLD, _WRAPPED = len(_LOOK) + 1, len(_LOOK) + 2, len(_LOOK) + 3


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in every file, and what stands in it. Shares are of 1, instants are aware."""

    name: str
    kind: str = TEXT
    width: int = 0  # in characters; 0: what is usual for its kind


def written(
    *, columns: Sequence[Column], rows: Iterable[Sequence[Any]], about: Sequence[tuple[str, Any]], zone: tzinfo
) -> Iterator[bytes]:
    """Give a workbook piece by piece, its instants on the clock of `zone`. Memory does not grow with the rows.

    A text is a text whatever it begins with, so no name becomes a formula. What fails half way is no workbook: the end
    is missing without which a zip file cannot be opened.
    """
    out = _Pieces()
    with ZipFile(cast("IO[bytes]", out), "w", ZIP_DEFLATED, compresslevel=_COMPRESSION) as book:
        sheets: list[str] = []
        row = _row_writer(columns, zone)
        lines = iter(rows)
        line = next(lines, None)
        while line is not None or not sheets:
            sheets.append(f"Lines {len(sheets) + 1}" if sheets else "Lines")
            with book.open(f"xl/worksheets/sheet{len(sheets)}.xml", "w") as sheet:
                chunk = [_head(columns, active=len(sheets) == 1)]
                at, held, size = 1, 0, 0
                while line is not None and at <= MOST_LINES and size < MOST_CHARACTERS:
                    at += 1
                    chunk.append(row(at, line))
                    held += len(chunk[-1])
                    if held > _CHUNK:
                        sheet.write("".join(chunk).encode("utf-8", "replace"))
                        size, held, chunk = size + held, 0, []
                        yield from out.taken()
                    line = next(lines, None)
                sheet.write("".join([*chunk, _END]).encode("utf-8", "replace"))
        sheets.append("About")
        book.writestr(f"xl/worksheets/sheet{len(sheets)}.xml", _about(about, zone).encode("utf-8", "replace"))
        for name, content in _frame(sheets).items():
            book.writestr(name, content)
    yield from out.taken()


class _Pieces:
    """What a zip file takes for the file that it is written to: it keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        if piece := b"".join(pieces):
            yield piece


# --- lines ---

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_END = "</sheetData></worksheet>"


def _head(columns: Sequence[Column], *, active: bool) -> str:
    exact = [column for column in columns if column.kind == USD]
    names = [column.name for column in columns] + [f"{column.name}_exact" for column in exact]
    widths = [column.width or max(_WIDTHS[column.kind], len(column.name) + 2) for column in columns]
    widths += [max(24, len(column.name) + 8) for column in exact]
    cells = "".join(_text(f"{_letters(place)}1", name, _HEAD) for place, name in enumerate(names))
    return (
        f'{_XML}<worksheet {_MAIN}><sheetViews><sheetView tabSelected="{active:d}" workbookViewId="0">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f'{_columns(widths)}<sheetData><row r="1">{cells}</row>'
    )


def _columns(widths: Sequence[int]) -> str:
    said = (f'<col min="{at}" max="{at}" width="{width}" customWidth="1"/>' for at, width in enumerate(widths, 1))
    return f"<cols>{''.join(said)}</cols>"


def _row_writer(columns: Sequence[Column], zone: tzinfo) -> Callable[[int, Sequence[Any]], str]:
    """Return what writes a line: given its number in the sheet, and its values."""
    places = [(_letters(place), column.kind) for place, column in enumerate(columns)]
    exact = [
        (_letters(len(columns) + beside), place)
        for beside, place in enumerate(place for place, column in enumerate(columns) if column.kind == USD)
    ]

    def row(at: int, values: Sequence[Any]) -> str:
        cells = [
            _cell(f"{letters}{at}", kind, value, zone)
            for (letters, kind), value in zip(places, values, strict=True)
            if value is not None and value != ""
        ]
        cells += [
            _text(f"{letters}{at}", money.plain(values[place]))
            for letters, place in exact
            if values[place] is not None
        ]  # fmt: skip
        return f'<row r="{at}">{"".join(cells)}</row>'

    return row


def _cell(place: str, kind: str, value: Any, zone: tzinfo) -> str:
    if value.__class__ is str:
        return _text(place, value)
    if isinstance(value, bool):
        return _text(place, "yes" if value else "no")
    if isinstance(value, datetime):
        if value.year > _FIRST_DAY.year:
            local = value.astimezone(zone)
            if local.replace(fold=1 - local.fold).utcoffset() != local.utcoffset():
                # The clock shows this hour twice, and Excel's has no offset to tell which: that stands in a text.
                return _text(place, local.isoformat(" ", "seconds"))
            since = local.replace(tzinfo=None) - _ZERO
            return f'<c r="{place}" s="{_LOOK[INSTANT]}"><v>{since.total_seconds() / 86_400!r}</v></c>'
    elif isinstance(value, date):
        if value >= _FIRST_DAY:
            return f'<c r="{place}" s="{_LOOK[DAY]}"><v>{(value - _ZERO.date()).days}</v></c>'
    elif isinstance(value, int):
        if abs(value) < 10**_EXACT_DIGITS:
            return f'<c r="{place}" s="{_LOOK[USD if kind == USD else "whole"]}"><v>{value}</v></c>'
    elif isinstance(value, Decimal):
        if kind != TEXT and value.is_finite():
            return f'<c r="{place}" s="{_LOOK[kind]}"><v>{float(value)!r}</v></c>'
        return _text(place, money.plain(value))
    return _text(place, str(value))


def _text(place: str, text: str, look: int = 0) -> str:
    styled = f' s="{look}"' if look else ""
    return f'<c r="{place}"{styled} t="inlineStr"><is><t xml:space="preserve">{_escaped(text)}</t></is></c>'


# What XML cannot hold, or would read as something else; and what Excel would read as one of its own escapes.
_STRANGE = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_KNOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _escaped(text: str) -> str:
    if len(text) > LONGEST_TEXT // 2:
        text = text.encode("utf-16-le")[: 2 * LONGEST_TEXT].decode("utf-16-le", "ignore")
    return _STRANGE.sub(lambda one: _KNOWN.get(one[0]) or f"_x{ord(one[0]):04X}_", text)


def _letters(place: int) -> str:
    """Return the name of a column, from 0: A, B, ... Z, AA."""
    before, last = divmod(place, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)


# --- what was asked ---


def _about(about: Sequence[tuple[str, Any]], zone: tzinfo) -> str:
    rows = "".join(
        f'<row r="{at}">{_text(f"A{at}", label, _BOLD)}{_text(f"B{at}", _in_words(value, zone), _WRAPPED)}</row>'
        for at, (label, value) in enumerate(about, start=1)
    )
    return f"{_XML}<worksheet {_MAIN}>{_columns([28, 100])}<sheetData>{rows}{_END}"


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


# --- the frame around the sheets ---

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def _frame(sheets: Sequence[str]) -> dict[str, str]:
    """Return the files that make sheets a workbook, by name."""
    numbered = list(enumerate(sheets, start=1))
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{at}.xml" ContentType="{_TYPE}.worksheet+xml"/>' for at, _ in numbered
    )
    listed = "".join(f'<sheet name={quoteattr(name)} sheetId="{at}" r:id="rId{at}"/>' for at, name in numbered)
    related = "".join(_related(f"rId{at}", "worksheet", f"worksheets/sheet{at}.xml") for at, _ in numbered)
    related += _related(f"rId{len(sheets) + 1}", "styles", "styles.xml")
    return {
        "xl/workbook.xml": f'{_XML}<workbook {_MAIN} xmlns:r="{_OFFICE}"><bookViews><workbookView/></bookViews>'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relationships(related),
        "xl/styles.xml": _styles(),
        "_rels/.rels": _relationships(_related("rId1", "officeDocument", "xl/workbook.xml")),
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>{types}</Types>',
    }


def _relationships(content: str) -> str:
    return f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{content}</Relationships>'


def _related(id_: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{id_}" Type="{_OFFICE}/{kind}" Target="{target}"/>'


def _styles() -> str:
    first = 164  # numbers below are Excel's own formats
    formats = "".join(
        f'<numFmt numFmtId="{first + at}" formatCode={quoteattr(code)}/>' for at, code in enumerate(_FORMATS.values())
    )
    plain = '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"'
    looks = "".join(
        f'<xf numFmtId="{first + at}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        for at in range(len(_FORMATS))
    )
    bold = '<xf numFmtId="0" fontId="1" fillId="0" borderId="{}" xfId="0" applyFont="1"'
    looks += (
        f'{bold.format(1)} applyBorder="1"/>'
        f'{bold.format(0)} applyAlignment="1"><alignment vertical="top"/></xf>'
        f'{plain} applyAlignment="1"><alignment vertical="top" wrapText="1"/></xf>'
    )
    font = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
    side = "<left/><right/><top/>{}<diagonal/>"
    under = '<bottom style="thin"><color auto="1"/></bottom>'
    return (
        f'{_XML}<styleSheet {_MAIN}><numFmts count="{len(_FORMATS)}">{formats}</numFmts>'
        f'<fonts count="2"><font>{font}</font><font><b/>{font}</font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        f'<borders count="2"><border>{side.format("<bottom/>")}</border><border>{side.format(under)}</border></borders>'
        f'<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(_FORMATS) + 4}">{plain}/>{looks}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )
