"""What a web process keeps in memory so that a poll asks nobody: documents, and the keys that may read them.

One thread replaces what is here, whole and only when it is made; every other thread just reads. The last known good
stays while PostgreSQL is away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import NamedTuple

from routing.serving.documents import Served
from routing.serving.polls import Polls


class Reader(NamedTuple):
    """A key that may read rules."""

    key_id: int
    gateway_id: int | None
    expires_at: float  # Unix time; infinite for a key that does not expire

    @classmethod
    def of(cls, *, key_id: int, gateway_id: int | None, expires_at: datetime | None) -> Reader:
        return cls(key_id, gateway_id, math.inf if expires_at is None else expires_at.timestamp())


class Shelf:
    """Documents by environment and readers by the SHA-256 of their secret."""

    def __init__(self) -> None:
        self.documents: Mapping[str, Served] = {}
        self.broken: Set[str] = frozenset()  # environments that have rules which could not be read
        self.readers: Mapping[bytes, Reader] = {}
        self.polls = Polls()
        self.on_change: Callable[[], None] = lambda: None  # called by whoever replaced something here
        self.served_here = False  # a callable in front of Django answers from this shelf
        self.loaded = False  # documents and keys were read at least once
        self.fresh = False  # and are no older than the last look

    def state(self) -> str:
        """Say in a word how things stand: `off` where nobody serves from here, else `loading`, `ok` or `stale`."""
        if not self.served_here:
            return "off"
        if not self.loaded:
            return "loading"
        return "ok" if self.fresh else "stale"


SHELF = Shelf()
