"""Where traffic went, from the sums of days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Team, Tier, UseCase
from tests.usage import making
from tests.usage.making import NOON
from usage.events import Event
from usage.rules.latencies import percentile_ms
from usage.selectors import routing, routing_flows
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


def found(scope: Scope = JUNE, **asked: Any) -> routing_flows.Flows:
    return routing_flows.flows(scope, **{"source": "use_case", "middle": date(2026, 6, 15), **asked})


def test_a_model_s_day_holds_answered_requests_only():
    book(call(1), call(1, **CHEAP), call(1, **CHEAP), call(1, status="error"), call(1, status="cache_hit"), call(2))

    days = routing_flows.days(JUNE)

    assert [(one.day.day, one.tier, one.model, one.answered, one.tokens) for one in days] == [
        (1, "frontier", "gpt-5.5", 1, 1100), (1, "economy", "gemini-3-flash", 2, 2200),
        (2, "frontier", "gpt-5.5", 1, 1100),
    ]  # fmt: skip
    assert days[0].cost_usd == Decimal("0.008")


def test_a_week_is_cut_by_the_ends_of_the_range():
    # 1 June 2026 is a Monday; the range begins on a Wednesday and ends with a Tuesday.
    book(call(2), call(3), call(7), call(8, **CHEAP), call(10), call(14), call(22), call(23), call(24))

    weeks = found(Scope(first=date(2026, 6, 3), until=date(2026, 6, 24)), weekly=True).weeks

    assert [(one.day.day, one.tier, one.answered) for one in weeks] == [
        (3, "frontier", 2), (8, "frontier", 2), (8, "economy", 1), (22, "frontier", 2),
    ]  # fmt: skip


def test_a_fallback_is_told_by_its_index_or_by_its_reason():
    book(
        call(fallback_index=1, route_reason="fallback"),
        call(fallback_index=2, route_reason="rule"),
        call(fallback_index=0, route_reason="fallback"),
        call(fallback_index=0, route_reason="rule"),
        call(fallback_index=1, route_reason="fallback", status="error"),
    )

    days = routing_flows.days(JUNE)

    assert [(one.reason, one.answered, one.by_fallback) for one in days] == [("fallback", 2, 2), ("rule", 2, 1)]
    assert [(one.reason, one.by_fallback) for one in found().rules] == [("fallback", 2), ("rule", 1)]


def test_a_scope_holds_its_days_its_environment_its_use_case_and_its_team():
    book(call(1), call(30), call(15, use_case="code-review", team="platform"))
    book(call(15), environment="staging")
    july = call(30)
    july.occurred_at += timedelta(days=1)
    book(july)
    review = UseCase.objects.get(name="code-review").pk
    platform = Team.objects.get(name="platform").pk

    def answered(**asked: Any) -> list[int]:
        scope = Scope(**{"first": JUNE.first, "until": JUNE.until, **asked})
        flows = found(scope, weekly=True)
        return [
            sum(one.answered for one in rows)
            for rows in (
                routing_flows.days(scope), flows.weeks,
                flows.rules, flows.ways, flows.use_cases, flows.pairs,
                routing_flows.offerings(scope, since=scope.first)[0], routing.rules(scope),
            )
        ]  # fmt: skip

    assert answered() == [4] * 8
    assert answered(first=date(2026, 6, 2)) == [3] * 8
    assert answered(until=date(2026, 7, 2)) == [5] * 8
    assert answered(environment="staging") == [1] * 8
    assert answered(use_case_id=review) == [1] * 8
    assert answered(team_id=platform) == [1] * 8
    assert answered(use_case_id=review, environment="staging") == [0] * 8


def test_ways_lead_from_a_use_case_or_a_task_over_a_rule_of_any_version_to_a_model():
    by = {"rule": "one", "context": {"task": "code"}}
    book(
        call(3, rules_version=1, **by), call(4, rules_version=2, **by), call(5, rules_version=2, **CHEAP, **by),
        call(6, rules_version=2, route_reason="default"), call(7),
    )  # fmt: skip

    by_use_case, by_task = found().ways, found(source="task").ways

    assert sorted((one.source, one.rule, one.model, one.answered) for one in by_use_case) == [
        ("support-routing", "", "gpt-5.5", 1), ("support-routing", "default", "gpt-5.5", 1),
        ("support-routing", "one", "gemini-3-flash", 1), ("support-routing", "one", "gpt-5.5", 2),
    ]  # fmt: skip
    assert sorted((one.source, one.rule, one.model, one.answered) for one in by_task) == [
        ("", "", "gpt-5.5", 1), ("", "default", "gpt-5.5", 1),
        ("code", "one", "gemini-3-flash", 1), ("code", "one", "gpt-5.5", 2),
    ]  # fmt: skip


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


def test_flows_tell_rules_by_offering_and_keep_their_days():
    by = {"rules_version": 7, "rule": "one", "route_reason": "rule"}
    book(call(3, **by), call(5, **by), call(4, **CHEAP, **by), call(4, **CHEAP, **by, status="error"))

    cheap, dear = found().rules

    assert (cheap.offering, cheap.tier, cheap.first_choices, cheap.answered) == (
        "gemini-3-flash@google", "economy", 2, 1,
    )  # fmt: skip
    assert (dear.offering, dear.model, dear.answered) == ("gpt-5.5@openai", "gpt-5.5", 2)
    assert (dear.first_day, dear.last_day) == (date(2026, 6, 3), date(2026, 6, 5))


def test_an_offering_s_failures_and_latencies_and_those_of_the_days_before():
    book(
        call(latency_ms=90), call(latency_ms=100), call(latency_ms=900), call(latency_ms=70_000), call(latency_ms=None),
        call(status="error", latency_ms=30_000), call(status="blocked"), call(**CHEAP),
    )  # fmt: skip
    book(making.make_event(occurred_at=datetime(2026, 5, 20, 12, tzinfo=NOON.tzinfo), latency_ms=3000))
    book(making.make_event(occurred_at=datetime(2026, 5, 9, 12, tzinfo=NOON.tzinfo), latency_ms=3000))

    (gpt, flash), (before,) = routing_flows.offerings(JUNE, since=date(2026, 5, 10))

    assert (gpt.offering, gpt.attempts, gpt.answered, gpt.failed, gpt.blocked) == ("gpt-5.5@openai", 7, 5, 1, 1)
    assert gpt.mean_latency_ms == round((90 + 100 + 900 + 70_000) / 4)
    assert (percentile_ms(gpt.latencies, 50), percentile_ms(gpt.latencies, 95)) == (100, 60_000)
    assert (flash.mean_latency_ms, percentile_ms(flash.latencies, 50)) == (None, None)
    assert (before.attempts, percentile_ms(before.latencies, 95)) == (1, 2950)


def test_a_use_case_s_fallbacks_before_and_after_the_middle():
    fell = {"fallback_index": 1, "route_reason": "fallback"}
    book(call(1), call(1, **CHEAP, **fell), call(10, **fell), call(10, **fell), call(10, use_case="code-review"))

    support, review = found(middle=date(2026, 6, 10)).use_cases

    assert (support.use_case, support.answered, support.by_fallback, support.fallback_on_frontier) == (
        "support-routing", 4, 3, 2,
    )  # fmt: skip
    assert (support.early_answered, support.early_by_fallback) == (2, 1)
    assert (support.late_answered, support.late_by_fallback) == (2, 2)
    assert (review.use_case, review.by_fallback, review.on_frontier) == ("code-review", 0, 1)


def test_what_was_asked_for_stands_beside_what_answered_most_frequent_first():
    book(*(call(requested_model="support", **CHEAP) for _ in range(3)), call(requested_model="support"), call())

    pairs = found().pairs

    assert [(one.requested, one.offering, one.answered) for one in pairs] == [
        ("support", "gemini-3-flash@google", 3), ("", "gpt-5.5@openai", 1), ("support", "gpt-5.5@openai", 1),
    ]  # fmt: skip


def test_a_rule_s_last_day_before_the_range_is_found_by_environment():
    book(call(3, rules_version=1, rule="one"), call(5, rules_version=1, rule="one"), call(9, rule="two"))
    book(call(7, rules_version=1, rule="one"), environment="staging")

    last = routing.last_fired(rules=["one", "two", "three"], since=date(2026, 6, 4), until=date(2026, 6, 9))

    assert last == {("production", "one"): date(2026, 6, 5), ("staging", "one"): date(2026, 6, 7)}


def test_each_question_is_one_read(django_assert_num_queries):
    book(*(call(n + 1, use_case=f"case-{n}", rule=f"rule-{n}", requested_model=f"asked-{n}") for n in range(20)))

    for ask in (
        lambda: found(),
        lambda: routing_flows.days(JUNE),
        lambda: found(weekly=True),
        lambda: routing_flows.offerings(JUNE, since=date(2026, 5, 1)),
        lambda: routing.rules(JUNE),
        lambda: routing.last_fired(rules=["rule-1"], since=JUNE.first, until=JUNE.until),
    ):
        with django_assert_num_queries(1):
            assert ask()
    with django_assert_num_queries(0):
        assert routing.last_fired(rules=[], since=JUNE.first, until=JUNE.until) == {}
