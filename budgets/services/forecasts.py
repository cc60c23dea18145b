"""Outlooks: what is expected of budgets' days, kept for whoever forecasts, and the thresholds that forecasts pass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from budgets.models import Outlook
from budgets.rules import forecasting
from budgets.selectors import definitions
from budgets.services import crossings
from budgets.services.crossings import Explain, NewCrossing
from core import periods
from core.money import plain

Daily = Mapping[int, Mapping[date, Decimal]]  # budget -> day in its zone -> used, in its unit


def look(*, daily: Daily, at: datetime, explain: Explain | None = None) -> list[NewCrossing]:
    """Keep what the days of budgets tell, and tell what forecasts have passed.

    `daily` has the days of the last eight weeks and of the present period, today's so far among them, of every budget
    whose days are known. Those left out lose what was kept of them. Safe to repeat; two that look at once do no harm.
    Two transactions: what was kept holds also where nobody could be told.
    """
    _keep(daily, at)
    with transaction.atomic(durable=True):
        return crossings.evaluate(budget_ids=None, at=at, explain=explain)


@transaction.atomic(durable=True)
def _keep(daily: Daily, at: datetime) -> None:
    known = definitions.current().by_id
    rows = []
    for budget_id in sorted(known.keys() & daily.keys()):
        definition, days = known[budget_id], daily[budget_id]
        profile = forecasting.profile_of(days, periods.local_day(at, definition.zone))
        rows.append(
            Outlook(
                budget_id=budget_id,
                looked_at=at,
                period_start=definition.period_of(at).starts_at,
                days=[[day.isoformat(), plain(used)] for day, used in sorted(days.items())],
                profile={} if profile is None else profile.written(),
            )
        )
    Outlook.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["budget"],
        update_fields=["looked_at", "period_start", "days", "profile"],
    )
    Outlook.objects.filter(budget__in=known.keys() - daily.keys()).delete()
