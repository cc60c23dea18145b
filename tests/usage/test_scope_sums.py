"""What a budget's scope used in other times than its present period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from budgets.rules import planning
from budgets.selectors import definitions
from core.models import Organisation
from tests.dashboards.seeing import book, call
from tests.factories import make_budget
from tests.usage import making
from usage.selectors import scope_sums

pytestmark = pytest.mark.django_db

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
TENTH = datetime(2026, 6, 10, 12, 7, tzinfo=UTC)


def test_each_period_has_what_the_scope_used_in_the_budgets_zone_and_unit(django_assert_num_queries):
    making.make_priced_offering()
    budget = make_budget(unit="usd", zone="Asia/Kathmandu", at=TENTH)
    new_year_there = datetime(2026, 4, 30, 18, 15, tzinfo=UTC)  # 1 May begins in Kathmandu
    for event in (
        call(at=new_year_there - timedelta(minutes=15), usd=5),
        call(at=new_year_there, usd=3),
        call(at=new_year_there, usd=9, use_case="other"),
        call(at=TENTH, usd=7),
    ):
        book(event)
    definition = definitions.current().by_id[budget.pk]
    periods = planning.periods_before(definition, TENTH, 3)

    with django_assert_num_queries(2):  # whose days these are, and the sums
        found = scope_sums.per_period(definition, periods)

    assert [str(period.first_day) for period in periods] == ["2026-05-01", "2026-04-01", "2026-03-01"]
    assert [found[period] for period in periods] == [3, 5, 0]
    assert scope_sums.per_period(definition, []) == {}


@pytest.mark.parametrize(
    ("scope", "unit"),
    [
        ({}, "usd"), ({"use_case": ["support-routing"], "tier": ["frontier"]}, "frontier_tokens"),
        ({"team": ["unassigned"], "model": ["gpt-5.5"]}, "tokens"), ({"offering": ["gpt-5.5@openai"]}, "requests"),
        ({"provider": ["openai", "deepseek"], "gateway": ["edge"]}, "usd"),
    ],
)  # fmt: skip
def test_months_of_the_organisation_s_own_zone_are_made_of_days_and_have_the_same_sums(scope, unit):
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", tier=None, uncached_input="1")
    for event in (
        call(at=JUNE - timedelta(minutes=15), usd=5),
        call(at=JUNE, usd=3),
        call(at=JUNE, usd=9, use_case="other"),
        call(at=JUNE, usd=1, status="blocked"),
        call(at=TENTH, provider="deepseek", model="deepseek-v4-flash"),
    ):
        book(event)
    budget = make_budget(scope=scope, unit=unit, at=JUNE)
    definition = definitions.current().by_id[budget.pk]
    asked = planning.periods_before(definition, TENTH + timedelta(days=30), 3)

    found = scope_sums.per_period(definition, asked)

    Organisation.objects.update(zone="Asia/Kathmandu")  # whose days are others: from quarter hours
    assert scope_sums.per_period(definition, asked) == found
    assert any(found.values())


def test_whole_quarter_hours_after_an_instant_are_told_in_requests_tokens_and_usd(django_assert_num_queries):
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", tier=None, uncached_input="1")
    budget = make_budget(at=JUNE)  # in frontier tokens: other tiers are none of its matter
    book(
        call(at=TENTH, usd=1), call(at=TENTH + timedelta(minutes=8), usd=2), call(at=TENTH + timedelta(hours=2), usd=4),
        call(at=TENTH + timedelta(minutes=9), status="blocked"),
        call(at=TENTH + timedelta(minutes=9), provider="deepseek", model="deepseek-v4-flash"),
    )  # fmt: skip
    definition = definitions.current().by_id[budget.pk]

    with django_assert_num_queries(1):
        found = scope_sums.since(definition, TENTH, TENTH + timedelta(hours=3))

    assert found == scope_sums.Since(
        starts_at=datetime(2026, 6, 10, 12, 15, tzinfo=UTC), requests=2, tokens=1_200_000, cost_usd=Decimal(6)
    )
    assert scope_sums.since(definition, TENTH, TENTH + timedelta(minutes=8)) is None


def test_a_scope_on_tags_is_not_summed():
    budget = make_budget(scope={"tag:env": ["prod"]}, at=JUNE)
    definition = definitions.current().by_id[budget.pk]

    assert not scope_sums.is_known(definition)
    assert scope_sums.per_period(definition, planning.periods_before(definition, TENTH, 2)) == {}
    assert scope_sums.since(definition, JUNE, TENTH) is None
