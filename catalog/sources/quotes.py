"""What a table of prices says, whoever made it: plain values, every unit ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal


class UnreadableTable(ValueError):
    """The table as a whole is malformed: nothing of it is used, and the message says why."""


@dataclass(frozen=True, slots=True)
class QuotedHours:
    """Hours on a zone's clock, [starts, ends), past midnight if ends <= starts. `weekdays` are those they begin on."""

    zone: str
    weekdays: tuple[int, ...]
    starts: time
    ends: time

    @property
    def name(self) -> str:
        """Return the name of the window in the catalogue; equal hours have one name."""
        days = "" if len(self.weekdays) == 7 else "-" + "".join(str(day + 1) for day in self.weekdays)
        return f"{self.zone.lower()}-{self.starts:%H%M}-{self.ends:%H%M}{days}"


@dataclass(frozen=True, slots=True)
class Quote:
    """USD per million units of one meter of a model at a provider, as the table names them.

    `valid_from` is None where the table gives no date, `service_tier` and `region` are empty for the ordinary ones.
    """

    provider: str
    model: str
    meter: str
    usd_per_1m: Decimal
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    context_over: int | None = None
    context_inclusive: bool = False
    service_tier: str = ""
    region: str = ""
    hours: QuotedHours | None = None
    note: str = ""
    source_url: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read whole: its quotes, and what of it could not be read, by model, with the reason."""

    source: str
    version: str
    digest: str  # SHA-256 of what was read, in hexadecimal
    quotes: tuple[Quote, ...]
    problems: tuple[tuple[str, str], ...] = field(default=())
    models: int = 0  # how many models the table names
    content: bytes = field(default=b"", repr=False)  # what was read, where it is handed on: LiteLLM's
