"""What /metrics says of deliveries: enough for an alarm on alerts that do not go out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from alerts.selectors import deliveries
from core.gauges import Gauge


def measure(at: datetime) -> Iterator[Gauge]:
    found = deliveries.backlog(at=at)
    yield Gauge(
        name="tollkeeper_deliveries_waiting",
        help="Deliveries of alerts that are on their way, those between two attempts too.",
        value=found.waiting,
    )
    yield Gauge(
        name="tollkeeper_deliveries_oldest_waiting_seconds",
        help="How long the oldest of them has been on its way; 0 where there is none.",
        value=found.oldest_waiting_seconds,
    )
    yield Gauge(
        name="tollkeeper_deliveries_failed_24h",
        help="Deliveries made in the last 24 hours that ended failed, those for want of a channel too.",
        value=found.failed,
    )
