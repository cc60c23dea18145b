"""Budgets as pages and the API show them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from budgets.models import Counter, CounterState
from budgets.selectors import overview
from budgets.services import budgets, counters, forecasts
from tests.factories import NOON, make_budget, make_consumption

pytestmark = pytest.mark.django_db


def consume(tokens, **overrides):
    counters.consume(consumptions=[make_consumption(input_tokens=tokens, **overrides)], at=NOON)


def test_a_row_has_the_present_period_and_everything_about_it():
    budget = make_budget(action="block")
    budgets.set_limit(budget=budget, amount=Decimal(200), reason="launch", by="a", approved_by="b@example.com", at=NOON)
    consume(150)
    consume(20, tier="unclassified")
    forecasts.look(daily={budget.pk: {date(2026, 6, day): Decimal(10) for day in range(1, 15)}}, at=NOON)

    [row] = overview.rows(at=NOON)

    assert (row.id, row.name, row.scope) == (budget.pk, "support frontier", {"use_case": ("support-routing",)})
    assert (row.limit, row.limit_version, row.used, row.unclassified) == (200, 2, 150, 20)
    assert (row.per_cent_used, row.per_cent_gone, row.state, row.enforced) == (
        Decimal("75.0"),
        Decimal("48.3"),
        "WARN",
        False,
    )
    assert row.period.first_day == date(2026, 6, 1)
    assert (row.forecast.per_day, row.forecast.at_end, row.forecast.runs_out_on) == (10, 305, date(2026, 6, 20))
    assert [(one.version, one.amount, one.in_force) for one in row.limits] == [(2, 200, True), (1, 100, False)]
    assert [(one.basis, one.threshold, one.limit_version) for one in row.crossings] == [("actual", 70, 2)]


def test_pages_opened_within_five_minutes_of_the_clock_tell_one_forecast():
    budget = make_budget()
    forecasts.look(daily={budget.pk: {date(2026, 6, day): Decimal(10) for day in range(1, 15)}}, at=NOON)

    first, second, later = (
        overview.rows(at=NOON + timedelta(seconds=seconds))[0].forecast for seconds in (0, 299, 300)
    )

    assert first == second != later
    assert (first.made_at, later.made_at) == (NOON, NOON + timedelta(minutes=5))


@pytest.mark.parametrize(("used", "state"), [(0, "OK"), (70, "WARN"), (90, "ALERT"), (100, "EXCEEDED")])
def test_the_state_follows_the_counter(used, state):
    make_budget(action="block")
    consume(used)

    [row] = overview.rows(at=NOON)

    assert (row.state, row.enforced) == (state, state == "EXCEEDED")


def test_a_counter_that_is_being_built_says_so_and_forecasts_nothing():
    make_budget(live=False)

    [row] = overview.rows(at=NOON)

    assert (row.state, row.per_cent_used, row.forecast) == ("BUILDING", None, None)


def test_a_period_without_a_counter_yet_is_empty():
    make_budget()

    [row] = overview.rows(at=datetime(2026, 7, 1, tzinfo=UTC))

    assert (row.used, row.state, row.period.first_day) == (0, "OK", date(2026, 7, 1))


def test_retired_budgets_are_shown_where_asked_for():
    budget = make_budget()
    budgets.retire(budget=budget, reason="done", by="a@example.com", at=NOON)

    assert overview.rows(at=NOON) == []
    assert [row.state for row in overview.rows(at=NOON, retired=True)] == ["RETIRED"]
    assert overview.one(budget_id=budget.pk, at=NOON).retired_at == NOON
    assert overview.one(budget_id=budget.pk + 1, at=NOON) is None


def test_past_periods_with_their_limits_and_crossings_are_listed_latest_first():
    budget = make_budget()
    consume(95)
    for months, used in ((4, 10), (5, 20)):
        start = datetime(2026, months, 1, tzinfo=UTC)
        end = datetime(2026, months + 1, 1, tzinfo=UTC)
        Counter.objects.create(budget=budget, period_start=start, period_end=end, used=used, state=CounterState.LIVE)

    over = datetime(2026, 7, 1, tzinfo=UTC)
    raised = {"amount": Decimal(200), "reason": "more", "by": "a", "approved_by": "b"}
    budgets.set_limit(budget=budget, at=over + timedelta(hours=1), **raised)

    past = overview.past_periods(budget_id=budget.pk, at=over + timedelta(hours=2))

    assert [(one.used, one.limit, one.per_cent_used) for one in past] == [(95, 100, 95), (20, 100, 20), (10, 100, 10)]
    assert overview.past_periods(budget_id=budget.pk, at=NOON)[0].period.first_day == date(2026, 5, 1)
    assert [one.threshold for one in overview.crossings(budget_id=budget.pk)] == [90, 70]


def test_the_number_of_queries_does_not_grow_with_the_budgets():
    for number in range(3):
        make_budget(name=f"budget {number}")
    consume(95)
    overview.rows(at=NOON)

    with CaptureQueriesContext(connection) as captured:
        rows = overview.rows(at=NOON + timedelta(hours=1))

    assert (len(rows), len(captured)) == (3, 5)
