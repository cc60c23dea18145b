"""What stands in addresses of the console, and how."""

from __future__ import annotations

from datetime import date

from django.urls.converters import StringConverter

from core.api import FIRST_YEAR, LAST_YEAR


class _Slashes(StringConverter):
    """A name in which a slash is written `~`, which no name holds.

    Browsers resolve `..` between slashes, and proxies fold two of them.
    """

    def to_python(self, value: str) -> str:
        return value.replace("~", "/")

    def to_url(self, value: str) -> str:
        return value.replace("/", "~")


class OfferingConverter(_Slashes):
    """An offering's name, `claude-opus-4.7@anthropic`. An address written with slashes is understood as well."""

    regex = r"[A-Za-z0-9._:/@~-]{1,193}"


class EnvironmentConverter(_Slashes):
    """An environment's name."""

    regex = r"[A-Za-z0-9._:@~-]{1,64}"


class DigestConverter(StringConverter):
    """The digest of an event's id: the first 16 bytes of its SHA-256, in hexadecimal."""

    regex = "[0-9a-f]{32}"


class RestatementConverter(StringConverter):
    """A restatement: `a12` came of a change of the catalogue, `j34` of a price that arrived."""

    regex = "[aj][0-9]{1,18}"


class MonthConverter:
    """A month, 2026-10, as the date of its first day."""

    regex = "[0-9]{4}-(?:0[1-9]|1[0-2])"

    def to_python(self, value: str) -> date:
        year, month = map(int, value.split("-"))
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise ValueError(value)  # which Django takes for an address that is not there
        return date(year, month, 1)

    def to_url(self, value: date | str) -> str:
        return value if isinstance(value, str) else f"{value:%Y-%m}"
