"""Each function makes one valid thing and takes overrides, down to the receipt and its booking.

Calls happen at `NOON` of an ordinary day and arrive a second later, unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from catalog.models import Gateway, Offering, Tier
from catalog.services import gateways, offerings, prices
from tests import put_down
from usage import api_intake
from usage import tasks as usage_tasks
from usage.events import Event
from usage.models import LedgerEntry, Receipt
from usage.selectors import world
from usage.services import booking, intake, partitions

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

_numbers: Iterator[int] = count(1)


def forget_everything() -> None:
    """Drop what processes keep in memory of a database that the next test does not have any more."""
    world.forget()
    partitions.forget()
    intake._live_sources.clear()
    intake._backlog = (0.0, 0)
    api_intake._gateway_kept.clear()
    usage_tasks._looked_at_revision = -1


def make_gateway(name: str = "edge") -> Gateway:
    return Gateway.objects.filter(name=name).first() or gateways.create(name=name, by="tests", at=LONG_AGO)


def make_offering(name: str = "gpt-5.5@openai", *, tier: Tier | None = Tier.FRONTIER, **listed: str) -> Offering:
    """Make an offering; `listed` are its prices in USD per million by meter, in force since long ago."""
    return Offering.objects.get(pk=_offering(name, tier, *listed.items()))


@put_down.once
def _offering(name: str, tier: Tier | None, *listed: tuple[str, str]) -> int:
    model, provider = name.split("@")
    offering = offerings.ensure(model=model, provider=provider, by="tests", default=True)
    if tier is not None:
        offerings.set_tier(offering=offering, tier=tier, since_at=LONG_AGO, by="tests")
    for meter, usd in listed:
        set_price(offering, meter, usd)
    return offering.pk


def make_priced_offering(name: str = "gpt-5.5@openai") -> Offering:
    """Make an offering at 5 USD per million of input, 0.50 of cached input and 30 of output."""
    return make_offering(name, uncached_input="5", cache_read="0.50", output="30")


def set_price(offering: Offering, meter: str, usd: str, **overrides: Any) -> None:
    given: dict[str, Any] = {
        "offering": offering,
        "meter": meter,
        "usd_per_1m": Decimal(usd),
        "valid_from": LONG_AGO,
        "source": "tests",
        "by": "finance@example.com",
        "approved_by": "finance@example.com",
        "at": NOON,
    }
    prices.set_price(**{**given, **overrides})


def make_event(**overrides: Any) -> Event:
    """Make an answered call of 1000 input and 100 output tokens with an id of its own."""
    given: dict[str, Any] = {
        "event_id": f"event-{next(_numbers)}",
        "occurred_at": NOON,
        "use_case": "support-routing",
        "provider": "openai",
        "model": "gpt-5.5",
        "uncached_input_tokens": 1000,
        "output_tokens": 100,
    }
    return Event(**{**given, **overrides})


def take(
    *events: Event,
    gateway: str = "edge",
    source_id: int | None = None,
    received_at: datetime = NOON + SECOND,
    format: str = "native",
    environment: str = "production",
) -> int:
    """Take events in as one body and return the receipt's id; nothing is booked yet."""
    if source_id is None:
        source_id = intake.live_source(gateway_id=make_gateway(gateway).pk, at=received_at)
    return intake.take(
        source_id=source_id,
        environment=environment,
        format=format,
        events=events,
        rejected=[],
        received_at=received_at,
    )


def book(*, at: datetime = NOON + 2 * SECOND) -> int:
    """Book whatever waits at an instant; returns how many receipts are done."""
    return booking.book_pending(at=at)


def send(*events: Event, booked_at: datetime | None = None, **taking: Any) -> Receipt:
    """Take events in and book them at once; returns the receipt as it stands then."""
    received_at = taking.get("received_at", NOON + SECOND)
    receipt_id = take(*events, **taking)
    book(at=booked_at or received_at + SECOND)
    return Receipt.objects.get(pk=receipt_id)


def outcome(receipt: Receipt) -> dict[str, int]:
    """Return what became of a receipt's events, without the zeros."""
    names = ("booked", "duplicates", "conflicts", "quarantined", "shadowed", "superseded")
    return {name: getattr(receipt, name) for name in names if getattr(receipt, name)}


def entries() -> Sequence[LedgerEntry]:
    return list(LedgerEntry.objects.order_by("id"))


def the_entry() -> LedgerEntry:
    return LedgerEntry.objects.get()
