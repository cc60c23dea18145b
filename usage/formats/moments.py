"""Instants as files write them: with an offset, on the clock of a zone, or as a number since 1970."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from usage.formats.contract import Refused

_NUMBER = re.compile(r"\d{9,19}(?:\.\d+)?", re.ASCII)
_UTC_WORD = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_YEARS = range(2000, 2200)
# Of a number since 1970: how many digits its whole part has tells its unit, for the years 1973 to 5138.
_UNITS = ((11, 1), (14, 1_000), (17, 1_000_000), (20, 1_000_000_000))


class Moment(NamedTuple):
    at: datetime  # UTC
    twice: bool = False  # the clock shows that moment twice, and the first of both is taken


def moment(field: str, text: str, zone: ZoneInfo) -> Moment:
    """Read an instant: ISO 8601, on the zone's clock where it has no offset, or seconds to nanoseconds since 1970.

    Raises:
        Refused: it is none, a day alone, or a moment that the zone's clock never shows.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        whole, _, rest = text.partition(".")
        unit = next(unit for digits, unit in _UNITS if len(whole) < digits)
        seconds, parts = divmod(int(whole), unit)
        micros = parts * 1_000_000 // unit if unit > 1 else int((rest[:6] or "0").ljust(6, "0"))
        try:
            return _known(field, datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros))
        except (OverflowError, ValueError, OSError):
            raise Refused(f"{field}: outside the calendar") from None
    text = _UTC_WORD.sub("+00:00", text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{field}: not a time; write 2026-11-20T12:00:00Z, or seconds since 1970") from None
    if _is_day(text):
        raise Refused(f"{field}: a day without a time of day")
    if found.tzinfo is not None:
        try:
            return _known(field, found.astimezone(UTC))
        except OverflowError:
            raise Refused(f"{field}: outside the calendar") from None
    _known(field, found)
    local = found.replace(tzinfo=zone)
    at = local.astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) != found:
        raise Refused(f"{field}: the clocks of {zone.key} skip that moment; is the zone right?")
    return Moment(at, local.replace(fold=1).utcoffset() != local.utcoffset())


def _known(field: str, at: datetime) -> Moment:
    if at.year not in _YEARS:
        raise Refused(f"{field}: not in the years {_YEARS[0]} to {_YEARS[-1]}")
    return Moment(at)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
