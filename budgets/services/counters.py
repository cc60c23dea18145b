"""Counters: what bookings tell budgets was consumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from budgets import rules
from budgets.models import Basis
from budgets.rules import Consumption, Definition
from budgets.selectors import definitions
from budgets.services import crossings
from budgets.services.crossings import Explain, NewCrossing
from budgets.services.facts import Standing
from core.periods import Period

_ZERO = Decimal(0)


@dataclass(slots=True)
class _Sum:
    definition: Definition
    period: Period
    used: Decimal = field(default=_ZERO)
    unclassified: Decimal = field(default=_ZERO)


_Key = tuple[int, datetime]  # budget, start of the period


@transaction.atomic(savepoint=False)
def consume(*, consumptions: Sequence[Consumption], at: datetime, explain: Explain | None = None) -> list[NewCrossing]:
    """Count what a booking consumed, and tell what it crossed.

    Takes part in the booking's transaction, once in each, with the booking barrier held shared and after ledger and
    rollups: it locks counters, then alerts. Entries with `correction_of` are not passed in. `at` is the moment of the
    booking: limits in force then are what is compared with. `explain` is called for a crossing alone.

    Two queries where nothing is crossed (one where no budget is concerned), two more after a change of any budget.
    """
    known = definitions.current()
    if not known.by_id:
        return []
    sums = _sums(known, consumptions)
    if not sums:
        return []

    after = _add(sums)
    building = [key for key in sums if key not in after]
    if building:
        _put_aside(sums, building)

    found: list[NewCrossing] = []
    changed, look_at = False, None
    for key, (used, unclassified) in after.items():
        one = sums[key]
        limit = one.definition.limit_at(at)
        if limit is None:
            continue
        before = rules.add(used, -one.used)
        if one.definition.enforces and at < one.period.ends_at:
            exceeds = used >= limit.amount
            if exceeds != (before >= limit.amount):
                changed = changed or at in one.period
                # A period that has not begun yet (events may run ahead) counts from its start on.
                due = one.period.ends_at if at in one.period else one.period.starts_at
                look_at = min(look_at or due, due) if exceeds else look_at
        found += _crossed(one, limit, before, used, unclassified, at, explain)
    if changed or look_at:
        crossings.mark_states(changed=changed, look_at=look_at)
    return found


def _sums(known: definitions.Definitions, consumptions: Sequence[Consumption]) -> dict[_Key, _Sum]:
    """Return what to add to which counter, in the order in which every booking locks them."""
    sums: dict[_Key, _Sum] = {}
    for consumption in consumptions:
        for definition in known.concerned(consumption):
            used, unclassified = rules.amount(definition.unit, consumption)
            if not used and not unclassified:
                continue
            period = known.period_of(definition, consumption.occurred_at)
            key = (definition.id, period.starts_at)
            one = sums.get(key)
            if one is None:
                if not definition.counts(period):
                    continue
                one = sums[key] = _Sum(definition, period)
            one.used = rules.add(one.used, used)
            one.unclassified = rules.add(one.unclassified, unclassified)
    return {key: sums[key] for key in sorted(sums) if sums[key].used or sums[key].unclassified}


def _add(sums: dict[_Key, _Sum]) -> dict[_Key, tuple[Decimal, Decimal]]:
    """Add to the live counters and return what they hold now. Those being built are locked, and left out.

    A counter that does not exist is live: one whose period began before its budget has been there, building, since the
    budget was made.
    """
    if not sums:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO budgets_counter AS counter (budget_id, period_start, period_end, state, used, unclassified)
            SELECT budget_id, period_start, period_end, 'live', used, unclassified
            FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::numeric[])
                AS new (budget_id, period_start, period_end, used, unclassified)
            ORDER BY budget_id, period_start
            ON CONFLICT (budget_id, period_start) DO UPDATE
            SET used = counter.used + excluded.used, unclassified = counter.unclassified + excluded.unclassified
            WHERE counter.state = 'live'
            RETURNING budget_id, period_start, used, unclassified
            """,
            [
                [key[0] for key in sums],
                [key[1] for key in sums],
                [one.period.ends_at for one in sums.values()],
                [one.used for one in sums.values()],
                [one.unclassified for one in sums.values()],
            ],
        )
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def _put_aside(sums: dict[_Key, _Sum], building: list[_Key]) -> None:
    """Keep what belongs to counters that are being built, with the transaction, for `building.build` to add.

    The upsert has locked their rows, so that none turns live before this transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO budgets_counterdelta (counter_id, used, unclassified, transaction)
            SELECT counter.id, new.used, new.unclassified, pg_current_xact_id()::text
            FROM unnest(%s::bigint[], %s::timestamptz[], %s::numeric[], %s::numeric[])
                AS new (budget_id, period_start, used, unclassified)
            JOIN budgets_counter counter USING (budget_id, period_start)
            """,
            [
                [key[0] for key in building],
                [key[1] for key in building],
                [sums[key].used for key in building],
                [sums[key].unclassified for key in building],
            ],
        )


def _crossed(
    one: _Sum,
    limit: rules.Limit,
    before: Decimal,
    used: Decimal,
    unclassified: Decimal,
    at: datetime,
    explain: Explain | None,
) -> list[NewCrossing]:
    """Tell the thresholds that this booking, and no other, has moved past: most often none, and then no query.

    The counter is locked, so `before` is what the booking before left behind. A threshold that was behind it already is
    told by now, or will be by whoever moved the limit (`crossings.evaluate`, `looking.look_at_time`).
    """
    thresholds, amount = one.definition.thresholds, limit.amount
    behind = rules.passed(thresholds, before, amount)
    actual = [threshold for threshold in rules.passed(thresholds, used, amount) if threshold not in behind]
    may_have: list[int] = []
    if unclassified:
        unclassified_before = rules.add(unclassified, -one.unclassified)
        perhaps_behind = rules.passed(thresholds, rules.add(before, unclassified_before), amount)
        perhaps = rules.may_have_passed(thresholds, used, unclassified, amount)
        may_have = [threshold for threshold in perhaps if threshold not in perhaps_behind]
    if not actual and not may_have:
        return []
    return crossings.tell(
        standing=Standing(definition=one.definition, period=one.period, used=used, unclassified=unclassified),
        limit=limit,
        reached={Basis.ACTUAL: actual, Basis.MAY_HAVE: may_have},
        at=at,
        explain=explain,
    )
