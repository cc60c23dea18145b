"""Counters of budgets that were made under traffic: each event counts once, whatever was open when.

# Note [Building under traffic]
1. The `building` row is committed (`budgets.create`).
2. `barrier.pass_through`: no booking that missed the row is still open. From now on every booking finds it, locks it,
   and puts its delta aside with the id of its transaction.
3. `usage` reads the sum of what was booked, and `pg_current_snapshot()`, in one statement. Its sum holds exactly the
   transactions visible in that snapshot: all that missed the row, and some that put a delta aside.
4. Holding the counter's row lock, so that no booking that put a delta aside is open, the deltas of transactions not
   visible in the snapshot are added, all deltas deleted, and the counter goes live. Bookings that waited for the lock
   find it live and add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from budgets import rules
from budgets.models import Counter, CounterDelta, CounterState
from budgets.selectors import definitions
from budgets.services import crossings
from budgets.services.crossings import Explain, NewCrossing
from core.periods import Period
from core.services import barrier


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetScopeAsk:
    """What to sum: entries of a period, by `occurred_at`, in a scope; without those booked late for a closed month."""

    budget_id: int
    scope: Mapping[str, frozenset[str]]  # of a budget in frontier tokens without `tier`
    unit: str
    statuses: frozenset[str] | None  # None: all
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Summed:
    """`used` in the budget's unit; `unclassified` tokens beside it; both as of `snapshot`, read in one statement."""

    used: Decimal
    unclassified: Decimal
    snapshot: str  # pg_current_snapshot()::text


def waiting_to_build() -> list[int]:
    """Return the counters that are to be built, oldest first. One query."""
    waiting = Counter.objects.filter(state=CounterState.BUILDING, budget__retired_at__isnull=True)
    return list(waiting.order_by("id").values_list("id", flat=True))


def build(
    *, counter_id: int, summed: Callable[[BudgetScopeAsk], Summed], at: datetime, explain: Explain | None = None
) -> list[NewCrossing]:
    """Bring a counter to life (Note [Building under traffic]) and tell what it has passed already.

    Safe to repeat, to break off anywhere and to run twice at once: a counter that is live is left as it is. Waits for
    the bookings that are open. Call it outside of a transaction; `summed` is called outside of one too.
    """
    counter = Counter.objects.filter(pk=counter_id, state=CounterState.BUILDING).first()
    if counter is None:
        return []
    barrier.pass_through()

    definition = definitions.current().by_id.get(counter.budget_id)
    if definition is None:  # retired meanwhile
        return []
    scope = dict(definition.scope)
    if definition.unit == rules.FRONTIER_TOKENS:
        scope.pop("tier", None)
    total = summed(
        BudgetScopeAsk(
            budget_id=definition.id,
            scope=scope,
            unit=definition.unit,
            statuses=rules.COUNTED[definition.unit],
            period=definition.period_of(counter.period_start),
        )
    )
    return _go_live(counter_id=counter_id, total=total, at=at, explain=explain)


@transaction.atomic(durable=True)
def start_again(*, budget_id: int, period: Period) -> None:
    """Have a counter that is known to be wrong summed anew, as if its budget had just been made; `build` does it.

    Bookings that found it live have added to it when this gets its row; those after it put their deltas aside. Safe to
    repeat. Gateways go by what they were told before until it is built.
    """
    counters = Counter.objects.filter(budget=budget_id, period_start=period.starts_at)
    if counters.update(state=CounterState.BUILDING) == 0:
        one = Counter(
            budget_id=budget_id,
            period_start=period.starts_at,
            period_end=period.ends_at,
            state=CounterState.BUILDING,
        )
        # A booking that makes the row in between makes it live, and from its own sum on: it is found again.
        Counter.objects.bulk_create([one], ignore_conflicts=True)


@transaction.atomic(durable=True)
def _go_live(*, counter_id: int, total: Summed, at: datetime, explain: Explain | None) -> list[NewCrossing]:
    counter = Counter.objects.select_for_update(no_key=True).get(pk=counter_id)
    if counter.state == CounterState.LIVE:
        return []

    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(sum(used), 0), coalesce(sum(unclassified), 0) FROM budgets_counterdelta
            WHERE counter_id = %s AND NOT pg_visible_in_snapshot(transaction::text::xid8, %s::pg_snapshot)
            """,
            [counter_id, total.snapshot],
        )
        used, unclassified = cursor.fetchone()
    CounterDelta.objects.filter(counter=counter_id).delete()
    counter.used = rules.add(total.used, used)
    counter.unclassified = rules.add(total.unclassified, unclassified)
    counter.state = CounterState.LIVE
    counter.save(update_fields=["used", "unclassified", "state"])

    # Read now, not before the sum: the limit may have moved meanwhile.
    definition = definitions.current().by_id.get(counter.budget_id)
    if definition is None:
        return []
    found = crossings.tell_all(counter=counter, definition=definition, at=at, explain=explain)
    limit = definition.limit_at(at)
    # Also where it is not used up: one that is summed anew may have been.
    if definition.enforces and limit is not None and at < counter.period_end:
        begun = counter.period_start <= at
        crossings.mark_states(changed=begun, look_at=counter.period_end if begun else counter.period_start)
    return found
