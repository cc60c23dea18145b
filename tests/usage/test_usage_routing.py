"""Where traffic went, from the sums of days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Tier, UseCase
from tests.usage import making
from tests.usage.making import NOON
from usage.events import Event
from usage.selectors import routing
from usage.selectors.routing import Scope

pytestmark = pytest.mark.django_db
JUNE = Scope(first=date(2026, 6, 1), until=date(2026, 7, 1))
CHEAP = {"provider": "google", "model": "gemini-3-flash"}


@pytest.fixture(autouse=True)
def _offerings() -> None:
    making.make_priced_offering()
    making.make_offering("gemini-3-flash@google", tier=Tier.ECONOMY, uncached_input="1", output="2")


def call(day: int = 15, **overrides: Any) -> Event:
    return making.make_event(**{"occurred_at": datetime(2026, 6, day, 12, tzinfo=NOON.tzinfo), **overrides})


def book(*events: Event, **taking: Any) -> None:
    making.send(*events, received_at=max(event.occurred_at for event in events) + timedelta(minutes=1), **taking)


def test_a_tier_s_day_holds_answered_requests_only():
    book(call(1), call(1, **CHEAP), call(1, **CHEAP), call(1, status="error"), call(1, status="cache_hit"), call(2))

    days = routing.tier_days(JUNE)

    assert [(one.day.day, one.tier, one.answered, one.tokens) for one in days] == [
        (1, "frontier", 1, 1100), (1, "economy", 2, 2200), (2, "frontier", 1, 1100),
    ]  # fmt: skip
    assert days[0].cost_usd == Decimal("0.008")


def test_a_fallback_is_told_by_its_index_or_by_its_reason():
    book(
        call(fallback_index=1, route_reason="fallback"),
        call(fallback_index=2, route_reason="rule"),
        call(fallback_index=0, route_reason="fallback"),
        call(fallback_index=0, route_reason="rule"),
        call(fallback_index=1, route_reason="fallback", status="error"),
    )

    (day,) = routing.tier_days(JUNE)

    assert (day.answered, day.by_fallback) == (4, 3)


def test_a_scope_holds_its_days_its_environment_and_its_use_case():
    book(call(1), call(30), call(15, use_case="code-review"))
    book(call(15), environment="staging")
    july = call(30)
    july.occurred_at += timedelta(days=1)
    book(july)
    review = UseCase.objects.get(name="code-review").pk

    def answered(**asked: Any) -> int:
        found = routing.tier_days(Scope(**{"first": JUNE.first, "until": JUNE.until, **asked}))
        return sum(one.answered for one in found)

    assert answered() == 4
    assert answered(first=date(2026, 6, 2)) == 3
    assert answered(until=date(2026, 7, 2)) == 5
    assert answered(environment="staging") == 1
    assert answered(use_case_id=review) == 1
    assert answered(use_case_id=review, environment="staging") == 0


def test_a_rule_s_first_choices_are_told_apart_from_its_fallbacks():
    by = {"rules_version": 7, "rule": "support-default"}
    book(
        call(3, **CHEAP, **by, route_reason="rule", status="error"),
        call(3, **by, route_reason="fallback", fallback_index=1),
        call(5, **CHEAP, **by, route_reason="rule"),
        call(6),
    )

    none, fallback, rule = routing.rules(JUNE)

    assert (none.rules_version, none.rule, none.reason, none.first_choices) == (0, "", "", 1)
    assert (fallback.tier, fallback.first_choices, fallback.answered, fallback.by_fallback) == ("frontier", 0, 1, 1)
    assert (rule.tier, rule.first_choices, rule.answered, rule.by_fallback) == ("economy", 2, 1, 0)
    assert (rule.first_day, rule.last_day) == (date(2026, 6, 3), date(2026, 6, 5))


def test_an_offering_s_failures_and_latencies():
    book(
        call(latency_ms=90), call(latency_ms=100), call(latency_ms=900), call(latency_ms=70_000), call(latency_ms=None),
        call(status="error", latency_ms=30_000), call(status="blocked"), call(**CHEAP),
    )  # fmt: skip

    gpt, flash = routing.offerings(JUNE)

    assert (gpt.offering, gpt.attempts, gpt.answered, gpt.failed, gpt.blocked) == ("gpt-5.5@openai", 7, 5, 1, 1)
    assert gpt.mean_latency_ms == round((90 + 100 + 900 + 70_000) / 4)
    assert routing.quantile_ms(gpt.latencies, Decimal("0.5")) == 100
    assert routing.quantile_ms(gpt.latencies, Decimal("0.75")) == 1000
    assert routing.quantile_ms(gpt.latencies, Decimal("0.95")) is None
    assert (flash.mean_latency_ms, routing.quantile_ms(flash.latencies, Decimal("0.5"))) == (None, None)


def test_a_use_case_s_fallbacks_before_and_after_the_middle():
    fell = {"fallback_index": 1, "route_reason": "fallback"}
    book(call(1), call(1, **CHEAP, **fell), call(10, **fell), call(10, **fell), call(10, use_case="code-review"))

    support, review = routing.use_cases(JUNE, middle=date(2026, 6, 10))

    assert (support.use_case, support.answered, support.by_fallback, support.fallback_on_frontier) == (
        "support-routing", 4, 3, 2,
    )  # fmt: skip
    assert (support.early_answered, support.early_by_fallback) == (2, 1)
    assert (support.late_answered, support.late_by_fallback) == (2, 2)
    assert (review.use_case, review.by_fallback, review.on_frontier) == ("code-review", 0, 1)


def test_what_was_asked_for_stands_beside_what_answered_most_frequent_first():
    book(*(call(requested_model="support", **CHEAP) for _ in range(3)), call(requested_model="support"), call())

    pairs = routing.requested(JUNE, most=2)

    assert [(one.requested, one.offering, one.answered) for one in pairs] == [
        ("support", "gemini-3-flash@google", 3), ("", "gpt-5.5@openai", 1),
    ]  # fmt: skip


def test_each_question_is_one_read(django_assert_num_queries):
    book(*(call(n + 1, use_case=f"case-{n}", rule=f"rule-{n}", requested_model=f"asked-{n}") for n in range(20)))

    for ask in (
        lambda: routing.tier_days(JUNE),
        lambda: routing.model_days(JUNE, ["gpt-5.5"]),
        lambda: routing.offerings(JUNE),
        lambda: routing.rules(JUNE),
        lambda: routing.use_cases(JUNE, middle=date(2026, 6, 15)),
        lambda: routing.requested(JUNE, most=5),
    ):
        with django_assert_num_queries(1):
            assert ask()
    with django_assert_num_queries(0):
        assert routing.model_days(JUNE, []) == []
