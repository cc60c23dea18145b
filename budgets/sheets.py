"""Budgets and their limits as a CSV file that finance edits in a spreadsheet and brings back.

A row is a budget in one period: `month 2026-12-01` names it by its kind and first day, so that no spreadsheet takes it
for a date and writes it back in another form; `month later` is what holds after the last period with a limit of its
own. What a budget is stands on each of its rows; a budget that is known is known by its name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from core import periods, sheets
from core.errors import Invalid

COLUMNS = (
    "budget", "period", "limit", "used", "unit", "scope", "zone", "fiscal_start_month", "action", "trial",
    "thresholds", "forecast_thresholds", "owner",
)  # fmt: skip
NEEDED = ("budget", "period", "limit")
DEFINING = COLUMNS[4:]
LATER = "later"
EVERYTHING = "everything"
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

LARGEST_BYTES = 1_000_000
MOST_ROWS = 5_000
MOST_NEW = 500  # budgets: each takes a dozen queries, and a web request has seconds

_NUMBER = re.compile(r"(\d{1,20}|\d{1,3}(,\d{3}){1,6})(\.\d{1,18})?", re.ASCII)
_SEPARATORS = re.compile(r"[\\|;=]")

# Row as the spreadsheet counts it, column, sentence.
Problem = tuple[int, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """A row that could be read. Definitions are text still: what they must be depends on the budget."""

    number: int  # as the spreadsheet counts, the head being 1
    budget: str
    kind: str  # of period
    first_day: date | None  # None: later
    limit: Decimal | None  # None: left as it is
    given: Mapping[str, str]  # of DEFINING, those that are not empty


def written(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the file line by line, head first; RFC 4180, with a mark that has Excel read it as UTF-8."""
    writer = sheets.writer()
    yield BYTE_ORDER_MARK + writer.writerow(COLUMNS)
    for row in rows:
        yield writer.writerow([sheets.cell(value) for value in row])


def read(content: bytes) -> tuple[list[SheetRow], list[Problem]]:
    """Read a file: what could be read, and what could not, each with its row and column.

    Fields may be separated by commas, semicolons or tabs, whichever the head uses. Empty rows are passed over.

    Raises:
        Invalid: it is too large, no UTF-8, or has no head as it should.
    """
    if len(content) > LARGEST_BYTES:
        raise Invalid(f"The file has {len(content):,} bytes; {LARGEST_BYTES:,} is the most.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("The file is not in UTF-8. In Excel save it as “CSV UTF-8”.") from None
    if "\x00" in text:
        raise Invalid("The file holds a NUL character, so it is no CSV.")
    head, _, _ = text.partition("\n")
    separator = max(",;\t", key=head.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise Invalid(f"The file cannot be read as CSV: {error}.") from None
    if not lines:
        raise Invalid("The file is empty.")
    columns = [sheets.text(name).casefold() for name in lines[0]]
    _check_head(columns)
    if len(lines) - 1 > MOST_ROWS:
        raise Invalid(f"The file has {len(lines) - 1:,} rows; {MOST_ROWS:,} is the most.")

    rows: list[SheetRow] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines[1:], start=2):
        if not any(value.strip() for value in line):
            continue
        if len(line) > len(columns):
            problems.append((number, "", f"This row has {len(line)} fields, the head {len(columns)}."))
            continue
        cells = {name: sheets.text(value) for name, value in zip(columns, line, strict=False)}
        row = _row(number, cells, problems)
        if row is not None:
            rows.append(row)
    return rows, problems


def _check_head(columns: list[str]) -> None:
    unknown = [name for name in columns if name and name not in COLUMNS]
    missing = [name for name in NEEDED if name not in columns]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    said = [
        *(f"there is no column {name!r}" for name in missing),
        *(f"{name!r} is no column of it" for name in unknown),
        *(f"{name!r} stands there twice" for name in twice),
    ]
    if said:
        raise Invalid(f"The first row names the columns {', '.join(COLUMNS)}: {'; '.join(said)}.")


def _row(number: int, cells: Mapping[str, str], problems: list[Problem]) -> SheetRow | None:
    found = len(problems)
    name = cells.get("budget", "")
    if not name:
        problems.append((number, "budget", "Name the budget."))
    kind, first_day = _period(number, cells.get("period", ""), problems)
    limit = _amount(number, cells.get("limit", ""), problems)
    if len(problems) > found:
        return None
    return SheetRow(
        number=number,
        budget=name,
        kind=kind,
        first_day=first_day,
        limit=limit,
        given={column: cells[column] for column in DEFINING if cells.get(column)},
    )


def period_text(kind: str, first_day: date | None) -> str:
    return f"{kind} {first_day or LATER}"


def _period(number: int, text: str, problems: list[Problem]) -> tuple[str, date | None]:
    kind, _, start = text.partition(" ")
    kind, start = kind.casefold(), start.strip().casefold()
    if kind in periods.KINDS and start == LATER:
        return kind, None
    if kind in periods.KINDS and re.fullmatch(r"\d{4}-\d\d-\d\d", start, re.ASCII):
        try:
            return kind, date.fromisoformat(start)
        except ValueError:
            pass
    problems.append((number, "period", "Write kind and first day, such as “month 2026-12-01”, or “month later”."))
    return "", None


def _amount(number: int, text: str, problems: list[Problem]) -> Decimal | None:
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        return Decimal(text.replace(",", ""))
    problems.append(
        (number, "limit", f"{text[:40]!r} could mean several things: write it out, with a point: 2000000 or 1250.50.")
    )
    return None


def scope_text(scope: Mapping[str, Iterable[str]]) -> str:
    """Return `use_case=support|billing; model=gpt-5.5`, a backslash before `\\`, `|`, `;` and `=` in names."""
    if not scope:
        return EVERYTHING
    return "; ".join(
        f"{_escaped(dimension)}={'|'.join(map(_escaped, sorted(values)))}"
        for dimension, values in sorted(scope.items())
    )


def scope_of(text: str) -> dict[str, list[str]] | None:
    """Return the scope that a text says, None where it cannot be read."""
    if text.strip().casefold() == EVERYTHING:
        return {}
    found: dict[str, list[str]] = {}
    for part in _split(text, ";"):
        sides = _split(part, "=")
        if len(sides) != 2:
            return None
        dimension, values = _plain(sides[0]), [_plain(value) for value in _split(sides[1], "|")]
        if not dimension or dimension in found or not all(values):
            return None
        found[dimension] = values
    return found


def _escaped(name: str) -> str:
    return _SEPARATORS.sub(lambda found: "\\" + found[0], name)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text.strip())


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that no backslash stands before."""
    parts = re.findall(rf"(?:[^{re.escape(separator)}\\]|\\.)+|{re.escape(separator)}", text)
    found, current = [], ""
    for part in parts:
        if part == separator:
            found.append(current)
            current = ""
        else:
            current += part
    return [*found, current]


def thresholds_text(values: Iterable[int]) -> str:
    return " ".join(str(value) for value in values)


def thresholds_of(text: str) -> list[int] | None:
    words = [word for word in re.split(r"[\s,;%|]+", text) if word]
    if not all(word.isascii() and word.isdecimal() and len(word) < 6 for word in words):
        return None
    return [int(word) for word in words]
