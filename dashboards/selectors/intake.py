"""What the pages of intake show beside the rows of receipts: the events of a body that is not booked yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import zstandard

from catalog.models import Gateway
from usage.events import Event
from usage.models import Receipt
from usage.services import intake

MOST_EVENTS = 20


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """An event that waits or is set aside, in short."""

    event_id: str
    occurred_at: datetime
    use_case: str
    model: str
    status: str
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The first events of a body; `readable` is false where what is kept of it cannot be read any more."""

    events: Sequence[EventLine]
    readable: bool


def kept(*, receipt_id: int) -> Kept:
    """Return the first events that a receipt holds. One query."""
    packed = Receipt.objects.filter(pk=receipt_id).values_list("events", flat=True).first()
    if packed is None:
        return Kept(events=(), readable=True)
    try:
        events = intake.unpack(bytes(packed))
    except (zstandard.ZstdError, msgspec.MsgspecError):
        return Kept(events=(), readable=False)
    return Kept(events=[_line(event) for event in events[:MOST_EVENTS]], readable=True)


def _line(event: Event) -> EventLine:
    return EventLine(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        use_case=event.use_case,
        model=event.model,
        status=event.status,
        tokens=event.tokens(),
    )


def gateways() -> list[tuple[int, str]]:
    """Return every gateway, by name. One query."""
    return list(Gateway.objects.order_by("name").values_list("id", "name"))
