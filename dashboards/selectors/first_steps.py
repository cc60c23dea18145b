"""What somebody who has just set Tollkeeper up has done so far, for a first page that has nothing else to show."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.models import Channel
from budgets.models import Budget
from catalog.models import GatewayKey, Price
from routing.models import Version
from usage.models import RollupDay


@dataclass(frozen=True, kw_only=True)
class FirstSteps:
    connected: bool  # a key was made for a gateway
    used: bool  # anything was ever booked
    priced: bool  # the book holds a price
    budget: bool
    channel: bool
    rules: bool


def taken() -> FirstSteps:
    """Return which steps were taken. Six queries that stop at the first row."""
    return FirstSteps(
        connected=GatewayKey.objects.filter(key__revoked_at__isnull=True).exists(),
        used=RollupDay.objects.exists(),
        priced=Price.objects.exists(),
        budget=Budget.objects.filter(canary=False, retired_at__isnull=True).exists(),
        channel=Channel.objects.filter(enabled=True, retired_at__isnull=True).exists(),
        rules=Version.objects.exists(),
    )
