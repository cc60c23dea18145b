"""Tells budgets what their scopes used per day, so that they know what to expect: usage alone knows the past."""

from __future__ import annotations

from datetime import datetime

from budgets.services import forecasts
from budgets.services.crossings import NewCrossing
from usage.selectors import daily, drivers


def look(*, at: datetime) -> list[NewCrossing]:
    """Look at the days of all budgets, keep what is expected of them, and tell what their forecasts have passed.

    Safe to repeat. The same few queries however many budgets there are (see `daily.of_budgets`).
    """
    return forecasts.look(daily=daily.of_budgets(at=at), at=at, explain=drivers.explain)
