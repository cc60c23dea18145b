"""Limits of periods ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.models import Budget, BudgetLimit, Counter, Crossing
from budgets.rules import Definition, Limit, planning
from budgets.selectors import definitions, plans
from budgets.services import budgets, counters
from budgets.services import planning as service
from core.errors import Invalid
from tests.factories import NOON, make_budget, make_consumption

FINANCE = "finance@example.com"
JUNE, JULY, AUGUST, SEPTEMBER = (date(2026, month, 1) for month in (6, 7, 8, 9))
MONTH = timedelta(days=31)


def save(budget: Budget, amounts: dict[date, Any], **overrides: Any) -> list[BudgetLimit]:
    given = {"reason": "the plan", "by": FINANCE, "approved_by": FINANCE, "at": NOON}
    wanted = {day: Decimal(amount) for day, amount in amounts.items()}
    return service.save(budget_id=budget.pk, amounts=wanted, **{**given, **overrides})


def ahead(budget: Budget, at: datetime = NOON, count: int = 4) -> list[Any]:
    found = plans.plan(budget_id=budget.pk, at=at, ahead=count)
    assert found is not None
    return [one.amount for one in found.ahead]


@pytest.mark.django_db
def test_what_differs_is_written_for_its_period_and_the_rest_goes_on_as_it_was():
    budget = make_budget(zone="Europe/Berlin")

    written = save(budget, {JUNE: 100, JULY: 150, AUGUST: 100, SEPTEMBER: 50})

    assert [(one.version, one.amount, one.starts_at, one.ends_at, one.reason) for one in written] == [
        (2, 150, datetime(2026, 6, 30, 22, tzinfo=UTC), datetime(2026, 7, 31, 22, tzinfo=UTC), "the plan"),
        (3, 50, datetime(2026, 8, 31, 22, tzinfo=UTC), datetime(2026, 9, 30, 22, tzinfo=UTC), "the plan"),
    ]
    assert ahead(budget, count=5) == [100, 150, 100, 50, 100]
    assert save(budget, {JULY: 150, SEPTEMBER: 50}) == []


@pytest.mark.django_db
def test_a_plan_that_changes_writes_over_what_was_planned_and_keeps_it():
    budget = make_budget()
    save(budget, {JULY: 150})

    (again,) = save(budget, {JULY: 120})

    assert (ahead(budget)[:3], again.version, budget.limits.count()) == ([100, 120, 100], 3, 3)


@pytest.mark.django_db
def test_the_present_period_changes_from_now_on_and_is_evaluated_once():
    budget = make_budget()
    counters.consume(consumptions=[make_consumption(input_tokens=60)], at=NOON)

    save(budget, {JUNE: 65, JULY: 200})

    assert ahead(budget)[:3] == [65, 200, 100]
    assert sorted(Crossing.objects.values_list("threshold", "limit__version")) == [(70, 2), (90, 2)]


@pytest.mark.django_db
def test_what_the_present_period_began_with_and_has_no_more_is_written_again():
    budget = make_budget()
    hour = timedelta(hours=1)
    lowered = {"amount": Decimal(40), "starts_at": NOON + hour, "reason": "r", "by": "a", "approved_by": "b"}
    budgets.set_limit(budget=budget, at=NOON, **lowered)

    (again,) = save(budget, {JUNE: 100}, at=NOON + 2 * hour)

    assert (again.amount, ahead(budget, at=NOON + 2 * hour)[0]) == (100, 100)


@pytest.mark.django_db
def test_who_looked_at_an_older_plan_writes_nothing():
    budget = make_budget()
    save(budget, {JULY: 150}, seen_version=1)

    with pytest.raises(service.Overtaken):
        save(budget, {JULY: 120}, seen_version=1)

    assert ahead(budget)[1] == 150


@pytest.mark.django_db
def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_written():
    budget = make_budget()
    wrong = {date(2026, 5, 1): 5, date(2026, 7, 15): 5, JULY: 0, AUGUST: Decimal("1.5"), date(2040, 1, 1): 5}

    with pytest.raises(Invalid) as refused:
        save(budget, wrong, reason=" ")

    said = dict(refused.value.problems)
    assert set(said) == {"reason", *(f"limits/{day}" for day in wrong)}
    assert said["limits/2026-05-01"] == "That month is over; the present one begins on 2026-06-01."
    assert said["limits/2026-07-15"].endswith("the one it lies in begins on 2026-07-01.")
    assert budget.limits.count() == 1
    with pytest.raises(budgets.Retired):
        save(budgets.retire(budget=budget, reason="over", by=FINANCE, at=NOON), {JULY: 5})


@pytest.mark.django_db
def test_past_periods_show_what_was_used_and_the_limit_as_it_was_then(django_assert_num_queries):
    budget = make_budget(at=NOON)
    counters.consume(consumptions=[make_consumption(input_tokens=60)], at=NOON)
    Counter.objects.update(state="live")
    budgets.set_limit(budget=budget, amount=Decimal(300), reason="r", by="a", approved_by="b", at=NOON + 2 * MONTH)

    with django_assert_num_queries(3):
        found = plans.plan(budget_id=budget.pk, at=NOON + 3 * MONTH)

    assert found is not None
    past = [(one.period.first_day, one.used, one.limit) for one in found.past]
    assert past == [(AUGUST, None, 300), (JULY, None, 100), (JUNE, 60, 100)]
    assert (found.ahead[0].amount, found.after, found.version) == (300, 300, 2)


@pytest.mark.django_db
def test_a_raise_within_a_month_is_shown_with_its_end():
    budget = make_budget()
    ends = NOON + timedelta(days=3)
    budgets.set_limit(budget=budget, amount=Decimal(250), ends_at=ends, reason="r", by="a", approved_by="b", at=NOON)

    found = plans.plan(budget_id=budget.pk, at=NOON)

    assert found is not None
    (present, following, *_) = found.ahead
    assert (present.amount, [(one.starts_at, one.amount) for one in present.later]) == (250, [(ends, 100)])
    assert (following.amount, following.own, following.later) == (100, False, ())
    assert save(budget, {JUNE: 250}) == []  # what is right at its beginning stays, its end too


def definition_of(limits: list[tuple[int, int | None, int | None]], period: str, zone: str) -> Definition:
    """Make a definition whose versions begin and end so many hours from NOON."""
    budget = Budget(pk=1, unit="usd", period=period, zone=zone, created_at=NOON, thresholds=[70])
    kept = [Limit(1, 1, Decimal(100), None, None)]
    for number, (amount, starts, ends) in enumerate(limits, start=2):
        start = None if starts is None else NOON + timedelta(hours=starts)
        end = None if ends is None else NOON + timedelta(hours=(starts or 0) + ends)
        kept.insert(0, Limit(number, number, Decimal(amount), start, end))
    return replace(definitions.of(budget, []), limits=tuple(kept))


def with_versions(definition: Definition, versions: list[planning.Version]) -> Definition:
    highest = definition.limits[0].version
    added = [
        Limit(highest + number, highest + number, one.amount, one.starts_at, one.ends_at)
        for number, one in enumerate(versions, start=1)
    ]
    return replace(definition, limits=(*reversed(added), *definition.limits))


AMOUNTS = st.integers(1, 4)
HOURS = st.integers(-24 * 40, 24 * 120)


@given(
    limits=st.lists(st.tuples(AMOUNTS, st.none() | HOURS, st.none() | st.integers(1, 24 * 60)), max_size=4),
    wanted=st.dictionaries(st.integers(0, 8), AMOUNTS, max_size=6),
    after=st.none() | AMOUNTS,
    period=st.sampled_from(["day", "week", "month"]),
    zone=st.sampled_from(["UTC", "Australia/Lord_Howe", "America/Santiago"]),
)
def test_versions_bring_about_what_is_wanted_and_leave_the_rest(limits, wanted, after, period, zone):
    before = definition_of(limits, period, zone)
    periods = planning.periods_from(before, NOON, 10)
    asked = {periods[place]: Decimal(amount) for place, amount in wanted.items()}
    last = None if after is None else Decimal(after)

    versions = planning.needed(before, asked, after=last, at=NOON)

    behind = with_versions(before, versions)
    for each in periods:
        begins = max(each.starts_at, NOON)
        then = planning.steps(behind, starts_at=begins, ends_at=each.ends_at)
        if each in asked:
            assert then[0].amount == asked[each]
        elif after is None:
            assert then == planning.steps(before, starts_at=begins, ends_at=each.ends_at)
    if last is not None:
        end = planning.settled_from(before, asked, NOON)
        assert planning.steps(behind, starts_at=end, ends_at=end + 400 * MONTH)[0].amount == last
    assert planning.needed(behind, asked, after=last, at=NOON) == []


@pytest.mark.parametrize(
    ("period", "first", "before"),
    [
        ("month", date(2028, 2, 1), date(2027, 2, 1)),
        ("month", date(2027, 12, 1), date(2026, 12, 1)),
        ("quarter", date(2028, 4, 1), date(2027, 4, 1)),
        ("year", date(2028, 1, 1), date(2027, 1, 1)),
        ("week", date(2027, 1, 4), date(2026, 1, 5)),
        ("day", date(2027, 1, 4), date(2026, 1, 5)),
    ],
)
def test_the_period_a_year_before_has_the_same_name(period, first, before):
    definition = definition_of([], period, "America/Santiago")
    noon = datetime(first.year, first.month, first.day, 16, tzinfo=UTC)

    assert planning.a_year_before(definition, definition.period_of(noon)).first_day == before


@pytest.mark.parametrize(
    ("amount", "whole", "rounded"),
    [
        ("1234.5", False, "1240"),
        ("0.0123456", False, "0.0124"),
        ("7.001", True, "8"),
        ("0", True, "0"),
        ("-3", True, "0"),
        ("1999999", True, "2000000"),
        ("250", True, "250"),
    ],
)
def test_amounts_of_a_plan_are_rounded_up_to_three_digits(amount, whole, rounded):
    assert planning.rounded_up(Decimal(amount), whole=whole) == Decimal(rounded)
