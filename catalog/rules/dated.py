"""What holds over a time: half-open, None is open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Dated:
    """Something that holds over [starts_at, ends_at); None is open."""

    starts_at: datetime | None
    ends_at: datetime | None
    value: int

    def holds(self, at: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= at) and (self.ends_at is None or at < self.ends_at)


def held(dated: Iterable[Dated], at: datetime) -> int | None:
    """Return the value that holds at an instant."""
    for one in dated:
        if one.holds(at):
            return one.value
    return None
