"""What a story is told in: plain facts of an event, its lines, prices, bodies and what else is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from catalog.selectors.price_rows import PriceRow
from usage.rules.postings import Posting
from usage.rules.worked_out import Part
from usage.selectors.lines_rows import LineRow


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    id: int
    gateway: str
    gateway_id: int
    live: bool  # a gateway's stream, else an import into it
    audit: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class ContractFacts:
    id: int
    name: str
    discount_percent: Decimal | None
    valid_from: datetime | None
    valid_until: datetime | None
    recorded_at: datetime | None
    approved_by: str
    note: str


@dataclass(frozen=True, kw_only=True)
class RestatementFacts:
    """Why a line was booked later; `key` is that of its page."""

    id: int
    key: str
    kind: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ReceiptFacts:
    """The body that an event came in; counts are its events."""

    id: int
    state: str
    format: str
    environment: str
    received_at: datetime
    done_at: datetime | None
    events: int
    booked: int
    duplicates: int
    conflicts: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class Told:
    """A line of the event: what it is, why it was booked, and where the cost stands after it (None: no price)."""

    row: LineRow
    posting: Posting
    running_usd: Decimal | None
    restatement: RestatementFacts | None


@dataclass(frozen=True, kw_only=True)
class WorkedOut:
    """How a cost follows from an entry's meters: the parts add up to `total_usd`, at list to `list_usd`."""

    rate_id: int
    parts: Sequence[Part]
    total_usd: Decimal
    list_usd: Decimal
    contract: ContractFacts | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Another attempt at the same call, with what it costs after all corrections."""

    row: LineRow
    cost_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class HeldFacts:
    """An event of the same id with other content, or one too old: kept, never counted."""

    id: int
    reason: str
    held_at: datetime
    receipt_id: int
    settled: bool


@dataclass(frozen=True, kw_only=True)
class Story:
    """One event. `lines` are in the order of their booking; `entry` is the one that counts now, None where none does.

    `first` is what was booked of it first. `other` names the event that counts in its place, where one does.
    """

    source: SourceFacts
    digest: str
    event_id: str
    summed: bool  # its lines are in totals: it is no shadow and no import for audit
    lines: Sequence[Told]
    first: Told
    entry: Told | None
    cost_usd: Decimal | None  # of all lines together; None: it counts and has no price
    worked_out: WorkedOut | None
    prices: Mapping[int, PriceRow]
    receipts: Mapping[int, ReceiptFacts]
    attempts: Sequence[Attempt]
    held: Sequence[HeldFacts]
    context: Mapping[str, Any] | None
    first_received_at: datetime | None  # None: its key is pruned
    other: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """An event of which nothing was found: whether its source is known at all, and what is known of its key."""

    source: SourceFacts | None
    never_came: bool = False  # another event named it, and it never came itself
    other: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """A source that knows an event by an id, and where the entry that stands for it is."""

    source: SourceFacts
    digest: str
