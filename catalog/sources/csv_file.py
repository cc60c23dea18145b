"""A table of prices that a person made: a CSV file, read into quotes.

The first line names the columns. Each row is the price of one meter: `meter`, `usd_per_1m`, and either `offering`
(`claude-opus-4.7@anthropic`) or `model` and `provider`. The others may be left out or empty:

- `valid_from`, `valid_until`: a day (from its midnight in the reader's zone) or an instant with its offset;
  until is not included
- `context_over`: a count of input tokens; `context_inclusive`: yes if the limit itself belongs to the higher tier
- `service_tier`, `region`, `note`, `source_url`
- `hours_zone`, `hours_from`, `hours_until`, `weekdays` (`mon-fri`, `sat sun`; empty for all): hours on a zone's clock

Fields are separated by commas or by semicolons. One row that cannot be read makes the whole table unreadable: half a
table of prices would look like all of it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from catalog.rules import METERS
from catalog.sources import series
from catalog.sources.quotes import Quote, QuotedHours, Table, UnreadableTable
from core.periods import day_start

SOURCE = "csv"
MOST_PROBLEMS = 50  # that are listed one by one
MOST_ROWS = 50_000  # three times what the largest public tables have; more keep a browser waiting for minutes

_REQUIRED = ("meter", "usd_per_1m")
COLUMNS = (
    "offering", "model", "provider", *_REQUIRED, "valid_from", "valid_until", "context_over", "context_inclusive",
    "service_tier", "region", "hours_zone", "hours_from", "hours_until", "weekdays", "note", "source_url",
)  # fmt: skip
_HOURS = ("hours_zone", "hours_from", "hours_until")

_MODEL = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")
_PROVIDER = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_PRICE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,10})?")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_STANDARD_TIERS = frozenset({"standard", "default"})
_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST = 2**31 - 1
_YEARS = range(1970, 2201)  # others are slips, and calendars of zones end soon after them


class _Wrong(ValueError):
    """A field says what it cannot say; the message says what it could."""


def read(content: bytes, *, zone: str = "UTC") -> Table:
    """Read a file, with or without a byte order mark; days in it are those of `zone`.

    Raises:
        UnreadableTable: it is no such table, or a row of it cannot be read; the message lists all problems by line.
    """
    rows, problems = _rows(content)
    quotes: list[Quote] = []
    lines: dict[int, int] = {}  # of each quote, by its identity: equal rows are two
    for line, row in rows:
        wrong: list[str] = []
        quote = _quote(row, wrong, zone)
        if quote is None:
            problems += [(line, one) for one in wrong]
        else:
            quotes.append(quote)
            lines[id(quote)] = line
    for earlier, later in series.overlapping(quotes):
        first, second = sorted((lines[id(earlier)], lines[id(later)]))
        problems.append((second, f"holds at a time at which line {first} holds too, for the same"))
    if problems:
        raise UnreadableTable(_told(problems))
    return Table(
        source=SOURCE,
        version="",
        digest=hashlib.sha256(content).hexdigest(),
        quotes=series.joined(quotes),
        models=len({(quote.provider, quote.model) for quote in quotes}),
    )


def _told(problems: list[tuple[int, str]]) -> str:
    problems.sort()
    told = [f"Line {line}: {problem}." for line, problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        told.append(f"And {len(problems) - MOST_PROBLEMS} more.")
    return "\n".join(told)


def _rows(content: bytes) -> tuple[list[tuple[int, dict[str, str]]], list[tuple[int, str]]]:
    """Return rows, and problems of others, by the line they end on; empty lines are none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableTable("The file is not text in UTF-8.") from error
    if "\0" in text:
        raise UnreadableTable("The file is not text: it has a zero byte.")
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True
    )
    columns: list[str] | None = None
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[tuple[int, str]] = []
    try:
        for fields in reader:
            fields = [field.strip() for field in fields]
            if not any(fields):
                continue
            if len(rows) + len(problems) == MOST_ROWS:
                raise UnreadableTable(f"The file has more than {MOST_ROWS:,} prices.")
            if columns is None:
                columns = _columns(fields)
            elif len(fields) != len(columns):
                problems.append((reader.line_num, f"has {len(fields)} fields, and there are {len(columns)} columns"))
            else:
                rows.append((reader.line_num, dict(zip(columns, fields, strict=True))))
    except csv.Error as error:
        raise UnreadableTable(f"Line {reader.line_num}: not CSV: {error}.") from error
    if not rows and not problems:
        raise UnreadableTable("The file has no prices: a line with the columns' names, and a line for each price.")
    return rows, problems


def _columns(fields: list[str]) -> list[str]:
    columns = [field.lower() for field in fields]
    if len(columns) > len(COLUMNS):  # before anything is said of each
        raise UnreadableTable(f"Line 1: {len(columns)} columns, and there are {len(COLUMNS)}: {', '.join(COLUMNS)}.")
    problems = []
    unknown = [column or "(empty)" for column in columns if column not in COLUMNS]
    if unknown:
        problems.append(f"nobody knows the columns {', '.join(unknown)}; those that are: {', '.join(COLUMNS)}")
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        problems.append(f"the columns {', '.join(twice)} stand twice")
    missing = [column for column in _REQUIRED if column not in columns]
    if "offering" not in columns and not {"model", "provider"} <= set(columns):
        missing.insert(0, "offering (or model and provider)")
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if problems:
        raise UnreadableTable(f"Line 1: {'; '.join(problems)}.")
    return columns


def _quote(row: dict[str, str], wrong: list[str], zone: str) -> Quote | None:
    """Return what a row says, or None and what is wrong with it."""

    def read_with(reader: Callable[..., Any], *columns: str) -> Any:
        try:
            return reader(*(row.get(column, "") for column in columns))
        except _Wrong as error:
            wrong.append(str(error))
            return None

    named = read_with(_offering, "offering", "model", "provider")
    meter = read_with(_meter, "meter")
    price = read_with(_price, "usd_per_1m")
    starts = read_with(lambda text: _instant("valid_from", text, zone), "valid_from")
    ends = read_with(lambda text: _instant("valid_until", text, zone), "valid_until")
    over = read_with(_context, "context_over")
    inclusive = read_with(_inclusive, "context_inclusive", "context_over")
    tier = read_with(_service_tier, "service_tier")
    region = read_with(lambda text: _short("region", text, 32), "region")
    hours = read_with(_hours, *_HOURS, "weekdays")
    url = read_with(lambda text: _short("source_url", text, 500), "source_url")
    if starts is not None and ends is not None and ends <= starts:
        wrong.append("valid_until is not after valid_from")
    if wrong or named is None or meter is None or price is None:
        return None
    return Quote(
        provider=named[1],
        model=named[0],
        meter=meter,
        usd_per_1m=price,
        valid_from=starts,
        valid_until=ends,
        context_over=over,
        context_inclusive=bool(inclusive),
        service_tier=tier or "",
        region=region or "",
        hours=hours,
        note=row.get("note", ""),
        source_url=url or "",
    )


def _offering(offering: str, model: str, provider: str) -> tuple[str, str]:
    if offering and (model or provider):
        raise _Wrong("offering and model or provider are both given")
    if offering:
        model, at, provider = offering.rpartition("@")
        if not at:
            raise _Wrong(f"offering {offering!r} is not written as model@provider")
    if not model or not provider:
        raise _Wrong("no offering is named, or no model and provider")
    if not _MODEL.fullmatch(model):
        raise _Wrong(f"model {model!r} has other characters than letters, digits and . _ : / @ -, or more than 128")
    if not _PROVIDER.fullmatch(provider):
        raise _Wrong(f"provider {provider!r} has other characters than letters, digits and . _ : / -, or more than 64")
    return model, provider.lower()


def _meter(text: str) -> str:
    if text not in METERS:
        raise _Wrong(f"meter {text!r} is none of {', '.join(METERS)}")
    return text


def _price(text: str) -> Decimal:
    if not _PRICE.fullmatch(text):
        raise _Wrong(f"usd_per_1m {text!r} is no price, such as 2.5: digits, a point, and 10 places at most")
    return series.fitted(Decimal(text))[0]


def _instant(column: str, text: str, zone: str) -> datetime | None:
    if not text:
        return None
    try:
        if len(text) == len("2026-11-01"):
            day = date.fromisoformat(text)
            if day.year in _YEARS:
                return day_start(day, zone)
            raise _Wrong(_outside(column, text))
        instant = datetime.fromisoformat(text)
        if instant.year not in _YEARS:
            raise _Wrong(_outside(column, text))
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except _Wrong:
        raise
    except ValueError:
        pass
    raise _Wrong(
        f"{column} {text!r} is neither a day, such as 2026-11-01, nor an instant, such as 2026-11-01T08:00+01:00"
    )


def _outside(column: str, text: str) -> str:
    return f"{column} {text!r} is outside the years {_YEARS[0]} to {_YEARS[-1]}"


def _context(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 0 < int(text) <= _LONGEST:
        raise _Wrong(f"context_over {text!r} is no count of tokens, such as 200000")
    return int(text)


def _inclusive(text: str, over: str) -> bool:
    if text.lower() not in _YES_OR_NO:
        raise _Wrong(f"context_inclusive {text!r} is neither yes nor no")
    if _YES_OR_NO[text.lower()] and not over:
        raise _Wrong("context_inclusive is yes, and there is no context_over")
    return _YES_OR_NO[text.lower()]


def _service_tier(text: str) -> str:
    folded = _short("service_tier", text.lower(), 16)
    return "" if folded in _STANDARD_TIERS else folded


def _short(column: str, text: str, most: int) -> str:
    if len(text) > most:
        raise _Wrong(f"{column} has more than {most} characters")
    return text


def _hours(zone: str, starts: str, ends: str, weekdays: str) -> QuotedHours | None:
    given = [bool(zone), bool(starts), bool(ends)]
    if not any(given):
        if weekdays:
            raise _Wrong("weekdays need hours_zone, hours_from and hours_until")
        return None
    if not all(given):
        raise _Wrong(f"{', '.join(_HOURS)} belong together: all of them or none")
    try:
        key = ZoneInfo(zone).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _Wrong(f"hours_zone {zone!r} is no zone, such as UTC or Asia/Shanghai") from error
    return QuotedHours(key, _days(weekdays), _time("hours_from", starts), _time("hours_until", ends))


def _time(column: str, text: str) -> time:
    match = _TIME.fullmatch(text)
    if match is not None and text == "24:00":
        return time(0)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise _Wrong(f"{column} {text!r} is no time of day, such as 08:30")
    return time(int(match[1]), int(match[2]))


def _days(text: str) -> tuple[int, ...]:
    """Return weekdays, Monday 0: names of three letters, or ranges of them, separated by blanks or commas."""
    if not text:
        return tuple(range(7))
    found: set[int] = set()
    for part in re.split(r"[\s,]+", text.lower()):
        first, dash, last = part.partition("-")
        if first not in _WEEKDAYS or (dash and last not in _WEEKDAYS):
            raise _Wrong(f"weekdays {text!r} are not written as mon-fri, or as sat sun")
        start = _WEEKDAYS.index(first)
        count = (_WEEKDAYS.index(last) - start) % 7 if dash else 0
        found |= {(start + day) % 7 for day in range(count + 1)}
    return tuple(sorted(found))
