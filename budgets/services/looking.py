"""What time alone changes: limits that start or end by date, periods that end."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from budgets.models import Change, Counter, CounterState
from budgets.selectors import definitions
from budgets.services import crossings
from budgets.services.crossings import Explain, NewCrossing


@transaction.atomic(durable=True)
def look_at_time(*, at: datetime, explain: Explain | None = None) -> list[NewCrossing]:
    """Tell what was passed because a limit started or ended, and move on to the next such instant.

    Also finds what a process that died between a change and its evaluation left untold, and what forecasts have passed.
    Safe to repeat, and cheap: six queries where there is nothing to do, seven where there are thresholds of forecasts.
    """
    found = crossings.evaluate(budget_ids=None, at=at, explain=explain)
    settle_next_at(at=at)
    return found


@transaction.atomic
def settle_next_at(*, at: datetime) -> None:
    """Work out the next instant at which time alone changes a limit or what gateways are told. Safe to repeat.

    Where such an instant has passed, `states` moves, so that the publisher looks. Three queries.
    """
    # Locked before the counters are read: a booking that has committed an exceeded counter has also brought `next_at`
    # forward, and one that comes later does so after us.
    change = Change.objects.select_for_update().get(pk=1)
    due = change.next_at is not None and change.next_at <= at
    next_at = _next_at(at)
    if due or next_at != change.next_at:
        change.states += due
        change.next_at = next_at
        change.save(update_fields=["states", "next_at"])


def _next_at(at: datetime) -> datetime | None:
    known = definitions.current().by_id
    # Limits of all: that one starts is evaluated, and told, also where no gateway is.
    instants = {edge for definition in known.values() for edge in definition.edges if edge > at}
    enforcing = [one.id for one in known.values() if one.enforces]
    for counter in Counter.objects.filter(budget__in=enforcing, state=CounterState.LIVE, period_end__gt=at):
        # A period ahead has a counter where events ran ahead of it: it may be exceeded from its first moment on.
        begins = max(counter.period_start, at)
        limit = known[counter.budget_id].limit_at(begins)
        if limit is not None and counter.used >= limit.amount:
            instants.add(counter.period_end if begins == at else begins)
    return min(instants, default=None)
