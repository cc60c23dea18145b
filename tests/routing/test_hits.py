"""Which rules take which requests, from calls that were really booked."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from routing.selectors import hits, versions
from routing.selectors.hits import Hits
from tests.factories import NOON, make_key, make_user
from tests.routing.making import CHEAP, ENVIRONMENT, MIDDLE, OPUS, make_content, make_rule, make_version, stock
from tests.usage import making
from tests.usage.making import DAY, make_event, send

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
LATER = NOON + 3 * DAY
CODE = [{"field": "task", "op": "eq", "value": "code"}]


@pytest.fixture(autouse=True)
def _house():
    stock()


def calls(count: int, rule: str, *, at=NOON, version: int = 1, environment: str = ENVIRONMENT, **overrides: Any):
    """Book calls of a rule as gateways report them, by default answered by the first choice."""
    given: dict[str, Any] = {
        "provider": "deepseek", "model": "deepseek-v4-flash", "occurred_at": at, "rules_version": version,
        "rule": rule, "route_reason": "rule" if rule else "default", **overrides,
    }  # fmt: skip
    send(*(make_event(**given) for _ in range(count)), environment=environment, received_at=at + making.SECOND)


def of(days: int = 7, *, at=LATER, environment: str = ENVIRONMENT) -> Hits:
    live = versions.live_number(environment=environment)
    return hits.of(environment=environment, version=live, days=days, zone="UTC", at=at)


def numbers(found: Hits) -> dict[str, tuple[int, int, int]]:
    return {name: (one.requests, one.reached, one.decided) for name, one in found.by_rule().items()}


def verdicts(found: Hits) -> dict[str, str]:
    return {one.rule: one.verdict for one in found.rules}


def three(**overrides: Any) -> dict[str, Any]:
    rules = {name: make_rule(name, use_cases=[name]) for name in ("first", "second", "third")}
    for name, given in overrides.items():
        rules[name] = {**rules[name], **given}
    return make_content(*rules.values())


def test_each_rule_has_what_it_took_of_what_came_to_it():
    make_version(three(), at=NOON - DAY)
    calls(60, "first")
    calls(30, "second")
    calls(10, "")

    found = of()

    assert numbers(found) == {
        "first": (60, 100, 100), "second": (30, 40, 100), "third": (0, 10, 100), "default": (10, 10, 100)
    }  # fmt: skip
    assert (found.requests, found.earlier, found.unnamed, found.strange) == (100, 0, 0, 0)
    first = found.rules[0]
    assert (first.place, first.share, first.taken) == (1, Decimal("0.6"), Decimal("0.6"))
    assert (first.last_day, first.cost_usd) == (NOON.date(), Decimal("0.0132"))  # 60 times 1100 tokens at 0.2 a million


def test_a_call_that_fell_back_is_one_request_however_many_attempts_it_took():
    make_version(three(), at=NOON - DAY)
    calls(4, "first")
    calls(2, "first", status="error")
    calls(2, "first", route_reason="fallback", fallback_index=1)
    # A gateway that reports nothing but what answered.
    calls(3, "second", fallback_index=2)

    found = of()

    assert numbers(found)["first"][0] == 6
    assert found.rules[0].by_fallback == 2
    assert numbers(found)["second"][0] == 3
    assert found.rules[1].by_fallback == 3


def test_what_budgets_and_switches_moved_is_counted_by_rule():
    make_version(three(), at=NOON - DAY)
    calls(3, "first")
    calls(2, "first", route_reason="over_budget")
    calls(1, "first", route_reason="switched_off")
    calls(4, "first", route_reason="budget_blocks", status="blocked")
    calls(5, "", route_reason="nothing_left", status="blocked")

    found = of()

    assert found.default is not None
    one, default = found.rules[0], found.default
    assert (one.requests, one.over_budget, one.switched_off, one.blocked) == (10, 2, 1, 4)
    assert (default.requests, default.blocked) == (5, 5)


def test_the_days_that_are_asked_for_end_today_and_one_environment_is_asked():
    make_version(three(), at=NOON - 60 * DAY)
    for days_ago, count in ((0, 1), (1, 2), (6, 4), (7, 8), (29, 16), (30, 32)):
        calls(count, "first", at=LATER - days_ago * DAY)
    calls(64, "first", at=LATER, environment="staging")

    assert [of(days).rules[0].requests for days in (1, 7, 30)] == [1, 7, 31]
    assert (of(7).first, of(7).last) == ((LATER - 6 * DAY).date(), LATER.date())


# --- Versions


def test_a_rule_is_followed_back_as_long_as_it_asked_for_the_same():
    make_version(three(), at=NOON - 2 * DAY)
    make_version(three(second={"when": {"all": CODE}, "title": "x", "use_cases": ["other"]}), at=NOON - HOUR)
    calls(10, "first", at=NOON - DAY, version=1)
    calls(20, "second", at=NOON - DAY, version=1)
    calls(5, "first", version=2)
    calls(7, "second", version=2)

    found = of()

    assert numbers(found)["first"] == (15, 42, 42)
    assert numbers(found)["second"] == (7, 7, 12)
    assert [(one.since_version, one.since) for one in found.rules[:2]] == [(1, NOON - 2 * DAY), (2, NOON - HOUR)]
    assert (found.requests, found.earlier) == (42, 20)


def test_other_targets_or_words_are_no_break():
    make_version(three(), at=NOON - 2 * DAY)
    targets = [{"offering": MIDDLE, "weight": 10000}]
    make_version(three(first={"targets": targets, "fallbacks": [CHEAP], "rationale": "cheaper"}), at=NOON)

    assert of().rules[0].since_version == 1


def test_a_rule_that_was_away_begins_anew():
    make_version(three(), at=NOON - 3 * DAY)
    make_version(make_content(make_rule("first", use_cases=["first"])), at=NOON - 2 * DAY)
    make_version(three(), at=NOON)

    assert [one.since_version for one in of().rules] == [1, 3, 3]


def test_what_names_no_rule_or_one_that_nobody_published_is_counted_apart():
    make_version(three(), at=NOON - DAY)
    calls(5, "first")
    calls(1, "", version=0, route_reason="")
    calls(2, "", route_reason="")
    calls(3, "nobody")
    calls(4, "first", version=9)
    calls(6, "first", version=0)

    found = of()

    assert (found.requests, found.unnamed, found.strange, found.earlier) == (21, 3, 13, 0)
    assert [(one.version, one.rule, one.requests) for one in found.strangers] == [
        (0, "first", 6), (9, "first", 4), (1, "nobody", 3)
    ]  # fmt: skip


def test_a_version_from_before_the_range_that_a_late_gateway_runs_is_of_earlier_rules():
    for days in (20, 15, 10):
        make_version(three(), at=LATER - days * DAY, title=f"{days} days ago")
    calls(3, "first", at=LATER - DAY, version=1)
    calls(5, "first", at=LATER - DAY, version=3)

    found = of()

    assert (found.rules[0].requests, found.rules[0].since_version, found.earlier) == (5, 3, 3)


def test_without_a_version_all_is_counted_as_strange_or_unnamed():
    calls(3, "first")
    calls(2, "", version=0, route_reason="")

    found = of()

    assert (found.version, found.rules, found.default) == (None, [], None)
    assert (found.requests, found.strange, found.unnamed) == (5, 3, 2)


# --- What can be said


def test_a_rule_that_takes_nothing_is_told_from_one_that_is_too_new():
    make_version(make_content(make_rule("old", use_cases=["old"])), at=NOON - 2 * DAY)
    make_version(
        make_content(make_rule("old", use_cases=["old"]), make_rule("new", use_cases=["new"])), at=LATER - HOUR
    )  # fmt: skip
    calls(10, "", version=2, at=LATER - HOUR / 2)

    assert verdicts(of()) == {"old": hits.NEVER, "new": hits.TOO_NEW}
    assert verdicts(of(at=LATER + 23 * HOUR))["new"] == hits.NEVER
    assert verdicts(of(days=1))["old"] == hits.QUIET  # the day began twelve hours ago


def test_where_no_gateway_names_the_version_nothing_is_said_of_its_rules():
    make_version(three(), at=NOON - 2 * DAY)
    calls(10, "", version=0, route_reason="")

    assert set(verdicts(of()).values()) == {hits.UNSEEN}


def test_a_rule_outside_of_its_time_is_not_said_to_take_nothing():
    def instant(at) -> str:
        return f"{at:%Y-%m-%dT%H:%M:%SZ}"

    make_version(
        three(
            first={"active_from": instant(LATER + DAY)},
            second={"active_until": instant(LATER)},
            third={"active_from": instant(LATER - HOUR)},
        ),
        at=NOON - 2 * DAY,
    )
    calls(10, "")

    assert verdicts(of()) == {"first": hits.NOT_ACTIVE, "second": hits.NOT_ACTIVE, "third": hits.TOO_NEW}


@pytest.mark.parametrize(
    ("took", "left", "verdict"), [(96, 4, hits.TAKES_ALL), (95, 5, hits.FIRES), (95, 4, hits.FIRES)]
)
def test_a_rule_takes_all_from_over_95_of_100_that_came_to_it(took, left, verdict):
    make_version(three(), at=NOON - DAY)
    calls(50, "first")
    calls(took, "second")
    calls(left, "")

    assert verdicts(of())["second"] == verdict


# --- Cost and edges


def test_it_is_two_queries_however_many_rules_and_versions(django_assert_num_queries):
    make_version(three(), at=NOON - 2 * DAY)
    for number in range(4):
        rules = (make_rule(f"r{n}", use_cases=[f"u{n}"]) for n in range(number * 5))
        make_version(make_content(*rules, make_rule("last")), at=NOON - DAY + number * HOUR, title=f"{number}")
    calls(3, "first")
    live = versions.live_number(environment=ENVIRONMENT)

    with django_assert_num_queries(2):
        found = hits.of(environment=ENVIRONMENT, version=live, days=30, zone="UTC", at=LATER)

    assert (live, len(found.rules)) == (5, 16)
    with django_assert_num_queries(1):
        hits.of(environment="nowhere", version=None, days=30, zone="UTC", at=LATER)


def test_the_api_tells_hits_and_orders():
    from django.utils import timezone

    now = timezone.now()
    rule = make_rule(
        "by-score", choose="score", targets=[{"offering": MIDDLE}, {"offering": OPUS}], fallbacks=[], title="Best first"
    )
    make_version(make_content(rule), at=now - 2 * DAY)
    calls(3, "by-score", at=now - timedelta(seconds=5), route_reason="over_budget")
    client, headers = Client(), {"Authorization": f"Bearer {make_key('rules:read')}"}

    told = client.get("/api/v1/rules/production/hits?days=30", headers=headers).json()
    usual = client.get("/api/v1/rules/production/hits", headers=headers).json()
    ordered = client.get("/api/v1/rules/production/orders", headers=headers).json()

    assert (told["requests"], told["version"], told["days"], usual["days"]) == (3, 1, 30, 7)
    assert {name: told["rules"][0][name] for name in ("rule", "requests", "over_budget", "verdict", "cost_usd")} == {
        "rule": "by-score", "requests": 3, "over_budget": 3, "verdict": "fires", "cost_usd": "0.00066",
    }  # fmt: skip
    [order] = ordered["results"]
    assert (order["rule"], order["weights"]) == ("by-score", {"price": 1, "latency": 1, "errors": 1})
    assert [(one["offering"], one["usd_per_1k_tokens"], one["p50_ms"]) for one in order["targets"]] == [
        (MIDDLE, "0.002", None), (OPUS, "0.005", None)
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["hits", "orders"])
def test_strangers_and_strange_questions_get_a_clear_answer(path):
    headers = {"Authorization": f"Bearer {make_key('rules:read')}"}
    sender = {"Authorization": f"Bearer {make_key('usage:write')}"}
    client = Client()

    def status(query: str = "", environment: str = ENVIRONMENT, headers=headers) -> int:
        return client.get(f"/api/v1/rules/{environment}/{path}{query}", headers=headers).status_code

    assert status() == 200
    assert status(environment="nowhere") == 404
    assert [status(query) for query in ("?days=2", "?days=x", "?wrong=1")] == [400] * 3
    assert (status(headers=sender), status(headers={})) == (403, 401)
    client.force_login(make_user())
    assert status(headers={}) == 403
