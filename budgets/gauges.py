"""What /metrics says of the daily check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from budgets.selectors import canary
from core.gauges import Gauge


def measure(at: datetime) -> Iterator[Gauge]:
    for channel, seconds in sorted(canary.delivered_ages(at=at).items()):
        yield Gauge(
            name="tollkeeper_daily_check_delivered_age_seconds",
            help="How long ago a channel that is ticked for the daily check took one last; none before the first.",
            value=seconds,
            labels={"channel": channel},
        )
