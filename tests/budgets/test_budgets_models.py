"""Every constraint and guard of the budgets' tables, broken once."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError

from budgets.models import Budget, BudgetLimit, Change, Counter, Crossing
from budgets.services import counters
from tests.factories import NOON, make_budget, make_consumption

pytestmark = pytest.mark.django_db


def refused(constraint, call):
    with pytest.raises((IntegrityError, InternalError), match=constraint), transaction.atomic():
        call()


def limit(budget, **overrides):
    given = {"version": 2, "amount": Decimal(1), "reason": "r", "by": "a", "approved_by": "b", "created_at": NOON}
    return BudgetLimit.objects.create(budget=budget, **{**given, **overrides})


def counter(budget, **overrides):
    given = {"period_start": NOON, "period_end": NOON + timedelta(days=1)}
    return Counter.objects.create(budget=budget, **{**given, **overrides})


def crossing():
    make_budget()
    counters.consume(consumptions=[make_consumption(input_tokens=75)], at=NOON)
    return Crossing.objects.get()


def test_there_is_one_row_of_changes():
    refused("budgets_change_is_one", lambda: Change.objects.create(id=2))


def test_a_name_belongs_to_one_budget_that_is_not_retired():
    make_budget(name="one")
    other = make_budget(name="other")

    refused("budgets_budget_name_once", lambda: Budget.objects.filter(pk=other.pk).update(name="one"))


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("budgets_budget_unit_known", {"unit": "euros"}),
        ("budgets_budget_period_known", {"period": "decade"}),
        ("budgets_budget_action_known", {"action": "explode"}),
        ("budgets_budget_fiscal_month", {"fiscal_start_month": 13}),
        ("budgets_budget_fiscal_month", {"fiscal_start_month": 0}),
        ("budgets_budget_has_thresholds", {"thresholds": []}),
    ],
)
def test_a_budget_holds_known_values_only(constraint, changes):
    make_budget()

    refused(constraint, lambda: Budget.objects.update(**changes))


@pytest.mark.parametrize(
    ("constraint", "overrides"),
    [
        ("budgets_limit_version_once", {"version": 1}),
        ("budgets_limit_positive", {"amount": 0}),
        ("budgets_limit_times_ordered", {"starts_at": NOON, "ends_at": NOON}),
    ],
)
def test_a_limit_is_a_version_of_its_own_above_zero_with_its_times_in_order(constraint, overrides):
    budget = make_budget()

    refused(constraint, lambda: limit(budget, **overrides))


@pytest.mark.parametrize(
    ("constraint", "overrides"),
    [
        ("budgets_counter_state_known", {"state": "asleep"}),
        ("budgets_counter_period_ordered", {"period_end": NOON}),
    ],
)
def test_a_counter_has_a_known_state_and_a_period(constraint, overrides):
    budget = make_budget()

    refused(constraint, lambda: counter(budget, **overrides))


def test_a_period_has_one_counter_per_budget():
    budget = make_budget()
    counter(budget)

    refused("budgets_counter_once", lambda: counter(budget))


def test_a_crossing_is_unique():
    known = crossing()
    fields = ("budget_id", "period_start", "period_end", "basis", "threshold", "limit_id", "used", "crossed_at")
    copy = Crossing(alert_id=known.alert_id, **{field: getattr(known, field) for field in fields})

    refused("budgets_crossing_once", copy.save)


@pytest.mark.parametrize("table", ["budgets_budgetlimit", "budgets_crossing"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_limits_and_crossings_stay_as_they_were_written(table, statement):
    crossing()

    def change():
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(statement.format(table))

    refused(f"of {table} is refused: its rows never change", change)


@pytest.mark.parametrize(
    "change",
    [
        lambda budget: Budget.objects.filter(pk=budget.pk).update(owner="x"),
        limit,
    ],
)
def test_the_database_counts_every_change_of_a_budget_or_limit(change):
    budget = make_budget()
    before = Change.objects.get()

    change(budget)

    after = Change.objects.get()
    assert (after.definitions, after.states) == (before.definitions + 1, before.states + 1)
