"""Values out of exports: JSON without loss, counts, money and names that the columns hold, and where each was wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from typing import Any, NoReturn

from core.errors import Invalid, Malformed
from usage.formats.labels import holds_an_email_address

MOST_COUNTED = 10**15  # of a day and model; a sum over years of them fits a column
_MOST_USD = Decimal(10) ** 9
_PLACES = Decimal("1e-18")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FIRST_YEAR, _LAST_YEAR = 2015, 2200


def wrong(where: str, what: str) -> NoReturn:
    """Refuse the file, and say where it is wrong and how."""
    raise Malformed(f"{where}: {what}. Nothing of the file was taken.")


def documents(content: bytes) -> list[Any]:
    """Return the JSON documents of a file: one, or several behind each other as `curl >>` and NDJSON leave them.

    Numbers are exact: what has a point or an exponent is a Decimal.

    Raises:
        Malformed: it is not JSON in UTF-8, or has no document in it.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("The file is not text in UTF-8. Is it compressed?") from error
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number)
    found: list[Any] = []
    try:
        position = _behind_space(text, 0)
        while position < len(text):
            document, position = decoder.raw_decode(text, position)
            found.append(document)
            position = _behind_space(text, position)
    except RecursionError as error:
        raise Malformed("The file is nested too deep to be an export.") from error
    except (ValueError, InvalidOperation) as error:
        raise Malformed(f"The file is not JSON: {error}") from error
    if not found:
        raise Malformed("The file is empty.")
    return found


def _behind_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def count(given: Mapping[str, Any], name: str, where: str, *, optional: bool = False) -> int | None:
    """Return a count; None where it is not given and need not be.

    Raises:
        Malformed: it is missing, or no whole number from 0 up.
    """
    value = given.get(name)
    if value is None or value == "":
        if optional:
            return None
        wrong(where, f"{name} is missing")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)  # CSV
    if isinstance(value, Decimal) and 0 <= value <= MOST_COUNTED and value == int(value):
        value = int(value)  # 1200.0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_COUNTED:
        wrong(where, f"{name} is no count: {str(value)[:40]!r}")
    return value


def needed(given: Mapping[str, Any], name: str, where: str) -> int:
    """Return a count that has to be there. Raises Malformed."""
    found = count(given, name, where)
    assert found is not None
    return found


def usd(value: Any, name: str, where: str, *, per: int = 1) -> Decimal:
    """Return an amount of money in USD, of which a provider's unit is one `per`-th. Credits are negative.

    It has 18 places, half to even: more than any price list has, and all that the column keeps.

    Raises:
        Malformed: it is no number, or one that cannot be believed.
    """
    try:
        with localcontext() as context:
            context.prec = 60
            amount = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else value
            # Compared before it is reckoned with: an exponent of a million would overflow.
            most = _MOST_USD * per
            if not isinstance(amount, Decimal) or not amount.is_finite() or not -most < amount < most:
                wrong(where, f"{name} is no amount: {str(value)[:40]!r}")
            return (amount / per).quantize(_PLACES, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        wrong(where, f"{name} is no amount: {str(value)[:40]!r}")


def demand_usd(currency: Any, where: str) -> None:
    """Refuse what is not in USD; a missing currency is one that nobody can vouch for.

    Raises:
        Invalid
    """
    if not isinstance(currency, str) or currency.strip().upper() != "USD":
        said = f"in {currency.strip().upper()[:12]!r}" if isinstance(currency, str) else "in no currency"
        raise Invalid(
            f"{where}: the amount is {said}. Tollkeeper counts in USD and converts nothing; nothing of the file was "
            "taken.",
            [("file", "not in USD")],
        )


def text(given: Mapping[str, Any], name: str, characters: int) -> str:
    """Return a name out of an export as a column keeps it; empty where there is none. No person's address is kept."""
    value = given.get(name)
    if not isinstance(value, str):
        return ""
    if holds_an_email_address(value):
        return "an e-mail address"
    return _CONTROL.sub(" ", value[: 4 * characters]).strip()[:characters].strip()


def day(value: Any, name: str, where: str) -> date:
    """Return the UTC day of a date, which may be written with a time at midnight.

    Raises:
        Malformed
    """
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            found = None
        if found is not None and found.time() == time():
            return _believed(found, name, where).date()
    wrong(where, f"{name} is no day such as 2026-11-20: {str(value)[:40]!r}")


def instant(value: Any, name: str, where: str) -> datetime:
    """Return an instant in UTC, given in RFC 3339 or as seconds of the Unix epoch.

    Raises:
        Malformed
    """
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            if found.tzinfo is not None:
                return _believed(found.astimezone(UTC), name, where)
        elif isinstance(value, int) and not isinstance(value, bool):
            return _believed(datetime.fromtimestamp(value, UTC), name, where)
    except (ValueError, OverflowError, OSError):
        pass
    wrong(where, f"{name} is no instant: {str(value)[:40]!r}")


def _believed(at: datetime, name: str, where: str) -> datetime:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        wrong(where, f"{name} lies in the year {at.year}")
    return at


def objects(value: Any, name: str, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through a list of objects, each with the words for where it stands.

    Raises:
        Malformed
    """
    if not isinstance(value, list):
        wrong(where, f"{name} is no list")
    for number, one in enumerate(value, start=1):
        place = f"{where}, {name} {number}" if where else f"{name} {number}"
        if not isinstance(one, dict):
            wrong(place, "is no object")
        yield place, one
