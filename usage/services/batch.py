"""What a booking carries from step to step: receipts that it holds, their events on the way to postings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from usage.events import Event
from usage.selectors.world import SourceFacts, World

Key = tuple[int, bytes]  # of an event: its source, and the digest of its id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Claimed(NamedTuple):
    """A receipt that this transaction has locked."""

    id: int
    source_id: int
    environment: str
    format: str
    received_at: datetime
    packed: bytes
    event_count: int


@dataclass(slots=True)
class Outcome:
    """What became of a receipt's events."""

    booked: int = 0
    duplicates: int = 0
    conflicts: int = 0
    quarantined: int = 0
    shadowed: int = 0
    superseded: int = 0


@dataclass(slots=True)
class Line:
    """One event on its way to a posting."""

    event: Event
    receipt: Claimed
    source: SourceFacts
    shadow: bool
    digest: bytes
    content: bytes
    use_case: int = 0
    team: int = 0
    offering: int = 0
    booked_at: datetime = EPOCH
    correction_of: Any = None
    id: int = 0
    takes_back: Sequence[str] = ()  # ids of events of its source in whose place it counts


@dataclass(slots=True)
class Batch:
    """All events of one transaction; each step takes from `lines` what goes no further."""

    world: World
    at: datetime
    lines: list[Line] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    held: list[tuple[Line, str]] = field(default_factory=list)
    other_formats: dict[tuple[int, str], SourceFacts] = field(default_factory=dict)  # by source and format
    # Events that give way to others booked before, by their ids, and the line that showed it.
    withdrawn: list[tuple[Line, str]] = field(default_factory=list)
    never_came: set[Key] = field(default_factory=set)  # events that lines replace and that nobody has seen yet
    passed_on: list[Line] = field(default_factory=list)  # superseded ones that replace others in their turn
