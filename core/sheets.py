"""Values in CSV files that people open with a spreadsheet."""

from __future__ import annotations

import csv
from datetime import date
from decimal import Decimal
from typing import Any

from core import money

# A cell that begins so is a formula to a spreadsheet, which may run it.
# East Asian ones take the wide signs for the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")


class _Echo:
    """What `csv` takes for a file."""

    def write(self, text: str) -> str:
        return text


def writer() -> Any:
    """Return a writer of the `csv` module whose `writerow` returns the line, by RFC 4180. For one thread."""
    return csv.writer(_Echo())


def cell(value: Any) -> str:
    """Write a value; a name that a spreadsheet would take for a formula is made text by an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return money.plain(value)
    if isinstance(value, date | int):
        return str(value)
    return f"'{value}" if value[:1] in _FORMULA else value


def text(written: str) -> str:
    """Return the text that `cell` was given, without spaces around it."""
    written = written.strip(" \t\r\n")
    return written[1:] if written[:1] == "'" and written[1:2] in _FORMULA else written
