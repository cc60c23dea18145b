"""Sums of one use case, team or model: in several ways, from one read, and the same as those of `GET spend`."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from catalog.models import Team, Tier, UseCase
from core import periods
from core.models import Organisation
from tests.dashboards.seeing import book, call
from tests.usage import making
from tests.usage.making import NOON
from usage.selectors import about, spend
from usage.selectors.about import Of, Sums
from usage.selectors.spend import SpendAsk

pytestmark = pytest.mark.django_db

DAY = date(2026, 6, 15)
LAST, UNTIL = DAY - timedelta(days=1), DAY + timedelta(days=1)


def use_case(name: str) -> Of:
    return Of(use_case_id=UseCase.objects.get(name=name).pk)


def usage() -> None:
    """Book calls of two use cases, two teams and two models on two days, some failed and some by a fallback."""
    making.make_priced_offering()
    making.make_offering("kimi-k3@moonshot", tier=Tier.ECONOMY, uncached_input="1", output="2")
    book(
        call(at=NOON - timedelta(days=1), usd=10, team="support", context={"task": "triage"}, latency_ms=300),
        call(at=NOON, usd=20, team="support", context={"task": "triage"}, cache_read_tokens=4_000_000, latency_ms=90),
        call(at=NOON, usd=5, team="legal", provider="moonshot", model="kimi-k3", fallback_index=1),
        call(at=NOON, usd=1, team="legal", status="error"),
        call(at=NOON, usd=40, use_case="code-review", team="legal"),
        call(at=NOON, usd=1, provider="nobody", model="unheard-of"),
        at=NOON + timedelta(minutes=1),
    )


def test_one_read_tells_days_tasks_and_offerings_which_all_add_up(django_assert_num_queries):
    usage()

    with django_assert_num_queries(2):  # the use case, and the sums
        found = about.sums(
            of=use_case("support-routing"), first=LAST, until=UNTIL, ways=[("day",), ("task",), ("offering", "tier")]
        )

    totals = {way: about.added(row.sums for row in rows) for way, rows in found.items()}
    assert len({repr(total) for total in totals.values()}) == 1
    assert [(row.keys, row.sums.cost_usd) for row in found["day",]] == [((LAST,), 10), ((DAY,), 24)]
    assert {row.keys[0]: row.sums.requests for row in found["task",]} == {"": 3, "triage": 2}
    assert len(found["offering", "tier"]) == 3


def test_the_measures_are_of_what_they_say():
    usage()

    (row,) = about.sums(
        of=use_case("support-routing"), first=DAY, until=UNTIL, ways=[("use_case",)], latencies=True
    )["use_case",]  # fmt: skip

    sums = row.sums
    assert (sums.requests, sums.answered, sums.failed, sums.by_fallback) == (4, 3, 1, 1)
    assert sums.on_frontier == 1
    assert sums.cache_share == Decimal(4_000_000) / (8_000_000 + 1_000_000 + 200_000)
    assert sums.unpriced_tokens == 200_000
    assert sum(sums.latencies) == 1


def test_a_share_of_nothing_and_a_cost_that_nobody_knows_are_not_zero():
    unpriced = Sums(requests=3, tokens=10, unpriced_tokens=10)

    assert (unpriced.known, unpriced.per_1000_usd) == (False, None)
    assert (Sums().frontier_share, Sums().cache_share, Sums().tokens_per_call) == (None, None, None)
    assert Sums(requests=4, cost_usd=Decimal(2)).per_1000_usd == 500


@pytest.mark.parametrize(
    ("dimension", "name"), [("use_case", "support-routing"), ("team", "legal"), ("offering", "gpt-5.5@openai")]
)
def test_sums_are_those_of_the_spend_page(dimension, name):
    usage()
    of = {
        "use_case": lambda: use_case(name),
        "team": lambda: Of(team_id=Team.objects.get(name=name).pk),
        "offering": lambda: Of(offering_ids=[making.make_offering(name).pk]),
    }[dimension]()

    rows = about.sums(of=of, first=LAST, until=UNTIL, ways=[("day", "tier")])["day", "tier"]

    zone = Organisation.objects.get(pk=1).zone
    asked = SpendAsk(
        starts_at=periods.day_start(LAST, zone),
        ends_at=periods.day_start(UNTIL, zone),
        zone=zone,
        filters={dimension: (name,)},
    )
    total, told = about.added(row.sums for row in rows), spend.spend(ask=asked).total
    assert total.cost_usd == told.cost_usd > 0
    assert (total.requests, total.tokens, total.unpriced_tokens) == (told.requests, told.tokens, told.unpriced_tokens)


def test_no_offerings_have_no_sums_and_ask_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert about.sums(of=Of(offering_ids=[]), first=LAST, until=UNTIL, ways=[("day",)]) == {("day",): []}


def test_the_dearest_values_of_each_tag_are_told():
    making.make_priced_offering()
    Organisation.objects.update(declared_tags=["env"])
    making.forget_everything()
    book(
        call(at=NOON, usd=1, tags={"env": "test"}),
        call(at=NOON, usd=9, tags={"env": "live"}),
        call(at=NOON, usd=4, tags={"env": "stage"}),
    )

    pk = UseCase.objects.get(name="support-routing").pk
    found = about.tags(use_case_id=pk, first=DAY, until=UNTIL, most=2)

    assert found == {"env": [("live", Decimal(9), 1), ("stage", Decimal(4), 1)]}
