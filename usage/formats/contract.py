"""What every wire format is given and gives back.

A format is one module with one function: the bytes of a body in, events and rejections out. It does no I/O,
looks at no clock and knows no model, so that the same function reads a live body, a file being imported and a
captured fixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, Protocol

from usage.events import Parsed

# A clock may be wrong by hours, and a zone mistaken for another; beyond a day a time is not a time.
MAX_AHEAD = timedelta(days=1)

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

UseCasePlace = Literal["tag", "request", "key", "key-alias", "team"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FormatSettings:
    """What a reading depends on besides the body: the installation's limits and the gateway's habits.

    `use_case_from` orders the places where a gateway's events may name their use case, the first that does
    wins: a tag `use_case:...`, the request's own metadata, the metadata of the key it was made with, then the
    two mappings, from the key's alias and from the team. Events that carry a field for it (the native ones)
    do not look at this.
    """

    user_key: bytes  # secret of the installation, for `h:` pseudonyms; changing it makes known users new ones
    max_events: int = 10_000
    use_case_from: tuple[UseCasePlace, ...] = ("tag", "request", "key", "key-alias", "team")
    use_case_by_key_alias: Mapping[str, str] = field(default_factory=dict)
    use_case_by_team: Mapping[str, str] = field(default_factory=dict)


class Format(Protocol):
    """Reads bodies of one kind."""

    def __call__(
        self,
        body: bytes,
        *,
        content_type: str,
        received_at: datetime,
        settings: FormatSettings,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Parsed:
        """Read a decompressed body into events; the content type is a hint that gateways get wrong.

        `headers` are the request's, with names in lower case; a file has none.

        An item that cannot become an event is in `rejected`, with its position in the body and a reason that
        names the field and never quotes what was in it; the others are not held up. `received_at` is aware.

        Raises:
            UnreadableBody: the body as a whole is not of this format. Nothing else is ever raised.
        """
        ...


class Refused(ValueError):
    """One item cannot become an event; the message is what its sender is told."""


class NotJson(Refused):
    """One item is not even JSON. A body of nothing else is unreadable."""
