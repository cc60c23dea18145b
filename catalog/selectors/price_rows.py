"""A price of the book as lists, pages and stories show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from catalog.models import Price
from catalog.rules import METERS

READ_WITH = ("series__provider", "series__model", "series__hour_window", "series__contract")  # for `price_row`


@dataclass(frozen=True, kw_only=True)
class PriceRow:
    """A price with all that is known of where it comes from. Times are half-open; None is open.

    Of its terms, None says any: no context tier, the ordinary service, every region and hour, the list.
    `recorded_until` is None for what the book holds true now.
    """

    id: int
    offering: str
    provider: str
    model: str
    meter: str
    usd_per_1m: Decimal
    valid_from: datetime | None
    valid_until: datetime | None
    recorded_at: datetime | None
    recorded_until: datetime | None
    context_over: int | None
    context_inclusive: bool
    service_tier: str | None
    region: str | None
    hour_window: str | None
    contract: str | None
    source: str
    source_version: str
    source_url: str
    note: str
    entered_by: str
    approved_by: str

    @property
    def series(self) -> tuple[Any, ...]:
        """Return what tells series apart, in the order they are read: the ordinary one first, then by meter."""
        terms = (self.contract or "", self.service_tier or "", self.context_over or 0, self.region or "")
        return (*terms, self.hour_window or "", METERS.index(self.meter))

    def holds(self, at: datetime) -> bool:
        begun = self.valid_from is None or self.valid_from <= at
        return begun and (self.valid_until is None or at < self.valid_until)

    def is_ordinary(self, region: str) -> bool:
        """Say whether a request in a region pays this at list where nothing about the request is special."""
        special = self.contract or self.service_tier or self.context_over or self.hour_window
        return not special and (not self.region or self.region.lower() == region.lower())


def price_row(price: Price, *, offering: str = "") -> PriceRow:
    """Return a price as a row; no query where it was read with `READ_WITH`. Without a name its own series gives one."""
    series = price.series
    valid: Any = price.valid
    recorded: Any = price.recorded
    return PriceRow(
        id=price.pk,
        offering=offering or f"{series.model.name}@{series.provider.name}",
        provider=series.provider.name,
        model=series.model.name,
        meter=series.meter,
        usd_per_1m=price.usd_per_1m,
        valid_from=valid.lower,
        valid_until=valid.upper,
        recorded_at=recorded.lower,
        recorded_until=recorded.upper,
        context_over=series.context_over,
        context_inclusive=series.context_inclusive,
        service_tier=series.service_tier,
        region=series.region,
        hour_window=series.hour_window.name if series.hour_window else None,
        contract=series.contract.name if series.contract else None,
        source=price.source,
        source_version=price.source_version,
        source_url=price.source_url,
        note=price.note,
        entered_by=price.entered_by,
        approved_by=price.approved_by,
    )
