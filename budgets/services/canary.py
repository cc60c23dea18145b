"""The daily check: a budget made for it is crossed once a day, so that the way from a counter to a channel is proven.

It goes the way of every crossing: the counter's row lock, a unique crossing, an alert, the outbox, the channels. Only
the consumption is not booked: that would stand in the ledger. Channels that are ticked for it get it, as a notice.
"""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction

from alerts.rules import CANARY
from alerts.selectors import channels
from budgets import rules
from budgets.models import Action, Basis, Budget, BudgetLimit, Counter, Crossing, PeriodKind, Unit
from budgets.selectors import definitions
from budgets.services import crossings
from budgets.services.crossings import Notice
from budgets.services.facts import Standing
from core import periods
from core.models import Organisation
from core.periods import Period
from core.services.audit import acting

HOUR = 9  # on the organisation's clock
NAME = "Daily check"
_BY = "daily check"
_ONE = Decimal(1)


@transaction.atomic(durable=True)
def look(*, at: datetime) -> bool:
    """Cross the budget of the daily check, if it is time and today's was not crossed yet; says whether it was now.

    Safe to repeat, and for several schedulers at once: the counter's row lock and the unique crossing see to it. A
    check that was missed is made up for until its day is over, and not later. Where no channel is ticked there is none.
    The edge nudges `alerts.tasks.deliver_due` after the commit. Three queries at most where there is nothing to do.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    today = periods.containing(at, PeriodKind.DAY, zone)
    if at < due_at(today, zone):
        return False
    if Crossing.objects.filter(budget__canary=True, period_start=today.starts_at).exists():
        return False
    wanting = channels.for_canary()
    if not wanting:
        return False

    acting(by=_BY, reason="alerts go out")
    budget = _budget(zone, at)
    definition = definitions.of(budget, BudgetLimit.objects.filter(budget=budget))
    limit = definition.limits[0]
    key = {"budget": budget, "period_start": today.starts_at}
    Counter.objects.bulk_create([Counter(**key, period_end=today.ends_at)], ignore_conflicts=True)
    counter = Counter.objects.select_for_update(no_key=True).get(**key)
    counter.used = max(counter.used, limit.amount)
    counter.save(update_fields=["used"])
    found = crossings.tell(
        standing=Standing(definition=definition, period=today, used=counter.used, unclassified=counter.unclassified),
        limit=limit,
        reached={Basis.ACTUAL: rules.passed(definition.thresholds, counter.used, limit.amount)},
        at=at,
        explain=None,
        notice=Notice(kind=CANARY, title="Daily check: alerts go out", facts=_facts(at, zone), channels=wanting),
    )
    return bool(found)


def due_at(day: Period, zone: str) -> datetime:
    """Return when the check of a day is due."""
    return datetime.combine(day.first_day, time(HOUR), tzinfo=ZoneInfo(zone))


def _budget(zone: str, at: datetime) -> Budget:
    """Return the budget of the daily check, in the organisation's zone; made where there is none."""
    found = Budget.objects.filter(canary=True).first()
    if found is None:
        try:
            with transaction.atomic():
                return _make(zone, at)
        except IntegrityError:
            found = Budget.objects.filter(canary=True).first()
            if found is None:  # else another scheduler was first
                raise
    if found.zone != zone:
        found.zone = zone
        found.save(update_fields=["zone"])
    return found


def _make(zone: str, at: datetime) -> Budget:
    taken = Budget.objects.filter(name=NAME, retired_at__isnull=True).exists()
    made = Budget.objects.create(
        name=f"{NAME} that alerts go out" if taken else NAME,
        scope={},
        unit=Unit.REQUESTS,
        period=PeriodKind.DAY,
        zone=zone,
        action=Action.ALERT,
        thresholds=[100],
        canary=True,
        created_at=at,
        created_by=_BY,
    )
    BudgetLimit.objects.create(
        budget=made, version=1, amount=_ONE, reason="crossed once a day", by=_BY, approved_by=_BY, created_at=at
    )
    return made


def _facts(at: datetime, zone: str) -> dict[str, object]:
    local = at.astimezone(ZoneInfo(zone))
    return {
        "summary": (
            f"This is the daily check: a budget made for it was crossed at {local:%H:%M:%S} ({zone}), "
            "the way every budget is."
        ),
        "timed": True,
        "next": "There is nothing to do. On a day without this message, look at the channels: alerts may not go out.",
        "links": [["Channels", "/channels/"]],
    }
