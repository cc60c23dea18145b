"""What a client says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the client stands, in one look. Instants are aware UTC."""

    environment: str
    instance: str

    active: str | None  # version and revision of the rules that decide, `42.881`; None: there are none
    from_disk: bool  # they were kept from an earlier start, and no poll has confirmed or replaced them yet
    taken_at: datetime | None
    checked_at: datetime | None  # when the server last said what is in force
    error: str | None  # what went wrong with the last poll
    failures: int  # polls in a row that got no answer that counts
    rejected: str | None  # rules that were refused, and nothing better has come since
    reason: str | None  # why

    waiting: int  # events in the spool, of every process that shares it
    waiting_bytes: int
    sent: int  # events that the server kept, since the spool was made
    dropped: int  # events lost: the spool was full, or could not be written
    refused: int  # events that the server refused, one by one
    last_refusal: str | None
    sending_error: str | None  # what went wrong with the last batch

    on_disk: bool  # rules and events are kept on disk; otherwise a restart loses them
    disk_error: str | None
