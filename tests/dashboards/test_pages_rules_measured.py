"""What pages show of what was measured of rules: hits beside each, their page, and orders by score."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing.services import orders
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import make_key
from tests.routing.making import CHEAP, MIDDLE, make_content, make_rule
from tests.usage import making

pytestmark = pytest.mark.django_db

HITS = f"{PRODUCTION}hits/"
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _house():
    furnish()


def calls(count: int, rule: str, *, version: int = 1, **overrides: Any) -> None:
    now = timezone.now()
    given: dict[str, Any] = {
        "provider": "deepseek", "model": "deepseek-v4-flash", "occurred_at": now, "rules_version": version,
        "rule": rule, "route_reason": "rule" if rule else "default", "latency_ms": 400, **overrides,
    }  # fmt: skip
    making.send(*(making.make_event(**given) for _ in range(count)), received_at=now)


def two_rules(**overrides: Any) -> dict[str, Any]:
    first = make_rule("first", use_cases=["first"], title="First of all", **overrides)
    return make_content(first, make_rule("second", use_cases=["second"]))


def by_score(**overrides: Any) -> dict[str, Any]:
    targets = [{"offering": MIDDLE}, {"offering": CHEAP}]
    given = {"choose": "score", "targets": targets, "fallbacks": [], "score": {"price": 6000, "errors": 4000}}
    return make_content(make_rule(**{**given, **overrides}))


def rows_of(page: str) -> dict[str, str]:
    """Return the words of each row of the table of hits."""
    found = re.findall(r'<tr id="hits-(\w+)">(.*?)</tr>', page, re.S)
    return {name: " ".join(re.sub(r"<[^>]*>", " ", row).split()) for name, row in found}


# --- Hits


def test_each_rule_stands_with_what_it_took(client):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(3, "first")
    calls(1, "", route_reason="default")
    signed_in(client, "viewer")

    page = client.get(HITS).content.decode()

    rows = rows_of(page)
    assert rows["1"].startswith("1. First of all first since version 1")
    assert rows["1"].endswith("3 75.0 % 75.0 % today 0 0 $0.000660")
    assert "no request since" in rows["2"]
    assert rows["default"].startswith("Default")
    assert "1 25.0 % all today" in rows["default"]
    assert 'href="/spend/?from=' in page


def test_the_link_to_spend_shows_what_the_rule_spent(client):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(2, "first")
    calls(5, "second")
    signed_in(client, "viewer")
    link = re.search(r'href="(/spend/\?[^"]*rule=first[^"]*)"', client.get(HITS).content.decode())
    assert link is not None

    page = client.get(link[1].replace("&amp;", "&"))

    assert page.status_code == 200
    assert page.context["total"].sums.requests == 2
    assert {(chip["dimension"], chip["value"]) for chip in page.context["chips"]} == {
        ("Rule", "first"),
        ("Environment", "production"),
    }


@pytest.mark.parametrize(("days", "requests"), [("1", "2"), ("7", "2"), ("30", "2")])
def test_other_days_are_chosen_in_the_address(client, days, requests):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(2, "first")
    signed_in(client, "viewer")

    page = client.get(f"{HITS}?days={days}")

    assert page.status_code == 200
    assert f" {requests} " in rows_of(page.content.decode())["1"]
    assert f'id="days-{days}"' in page.content.decode()


@pytest.mark.parametrize("days", ["2", "x", "", "-1", "7\x00", HOSTILE])
def test_days_that_cannot_be_chosen_are_said_to_be_so(client, days):
    version_of(two_rules())
    signed_in(client, "viewer")

    answer = client.get(HITS, {"days": days})

    assert answer.status_code == 400
    assert "Hits are counted over 1, 7, 30 days." in answer.content.decode()


def test_what_names_no_rule_of_ours_is_told_apart(client):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(1, "first")
    calls(2, "", version=0, route_reason="")
    calls(4, HOSTILE[:64])
    signed_in(client, "viewer")

    page = client.get(HITS).content.decode()

    assert "6 of 7 were decided by none of these rules" in page
    assert "<strong>2</strong> name no rule" in page
    assert "<strong>4</strong> name a version or a rule that was never published here" in page
    assert HOSTILE not in page


def test_pages_say_what_to_do_where_there_is_nothing(client):
    signed_in(client, "viewer")

    without_rules = client.get(HITS).content.decode()
    version_of(two_rules())
    without_requests = client.get(HITS).content.decode()

    assert "No rules yet" in without_rules
    assert "No requests in these days" in without_requests
    assert "too new to tell" in without_requests
    assert client.get("/rules/nowhere/hits/").status_code == 404


def test_each_environment_has_hits_of_its_own(client):
    make_key("rules:read", environment="staging")
    signed_in(client, "viewer")

    page = client.get("/rules/staging/hits/?days=30").content.decode()

    assert 'href="/rules/production/hits/?days=30"' in page


@pytest.mark.parametrize("path", ["", "versions/1/"])
def test_hits_stand_beside_the_rules_in_force(client, path):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(3, "first")
    signed_in(client, "viewer")

    page = client.get(PRODUCTION + path).content.decode()

    assert "3 requests in 7 days, 100.0\N{NO-BREAK SPACE}% of those decided since version 1" in page
    assert f'href="{HITS}#hits-1"' in page
    assert "no request since" in page


def test_a_version_that_is_no_longer_in_force_has_no_hits(client):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    version_of(two_rules(rationale="another"))
    signed_in(client, "viewer")

    assert HITS not in client.get(f"{PRODUCTION}versions/1/").content.decode()


def test_a_draft_has_the_hits_of_the_rules_of_the_same_name_in_force(client):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(3, "first")
    draft = draft_of(make_content(make_rule("first", use_cases=["first"]), make_rule("third", use_cases=["third"])))
    signed_in(client, "engineer")

    page = client.get(at(draft)).content.decode()

    assert page.count(f'href="{HITS}#hits-1"') == 1
    assert page.count(f'href="{HITS}#hits-') == 2  # and the default's: nothing is known of the new one


def test_a_rule_that_takes_nearly_all_is_marked(client):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(100, "first")
    signed_in(client, "viewer")

    assert "takes 100.0\N{NO-BREAK SPACE}% of what comes to it" in client.get(PRODUCTION).content.decode()


@pytest.mark.parametrize("role", [None, "nobody"])
def test_a_stranger_sees_no_hits(client, role):
    if role:
        signed_in(client)

    assert client.get(HITS).status_code == (403 if role else 302)


# --- Orders


@pytest.mark.parametrize("path", ["", "versions/1/"])
def test_the_order_of_a_rule_by_score_stands_with_what_it_comes_from(client, path):
    version_of(by_score())
    calls(30, "code-high")
    calls(10, "code-high", status="error", latency_ms=None)
    orders.renew(at=timezone.now())
    signed_in(client, "viewer")

    page = client.get(PRODUCTION + path).content.decode()

    assert "Tried in this order since" in page
    assert "Weighs price 60\N{NO-BREAK SPACE}%, errors 40\N{NO-BREAK SPACE}%." in page
    table = page[page.index('aria-label="Order of code-high, table"') :]
    assert table.index(f'1. <a href="/catalog/{CHEAP}/">{CHEAP}') < table.index("2. <a ")
    for text in ("$0.000200", "425 ms", "492 ms", "25.0\N{NO-BREAK SPACE}% of 40", 'title="10 of 40 calls"', "no calls",
                 "86.3", "Price 100.0, latency 100.0, errors 65.7"):  # fmt: skip
        assert text in table, text


def test_an_order_that_nothing_was_measured_for_says_so(client):
    version_of(by_score())
    signed_in(client, "viewer")

    page = client.get(PRODUCTION).content.decode()

    assert "Nothing was measured in the last six hours" in page
    assert page.index(f'1. <a href="/catalog/{MIDDLE}/"') < page.index(f'2. <a href="/catalog/{CHEAP}/"')


def test_the_default_may_go_by_score_too(client):
    targets = [{"offering": MIDDLE}, {"offering": CHEAP}]
    version_of(make_content(default={"choose": "score", "targets": targets}))
    signed_in(client, "viewer")

    assert 'aria-label="Order of default, table"' in client.get(PRODUCTION).content.decode()


# --- Cost


def test_the_page_of_hits_asks_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    version_of(two_rules(), at=timezone.now() - 2 * DAY)
    calls(3, "first")
    signed_in(client, "viewer")
    client.get(HITS)

    with django_assert_num_queries(9):
        client.get(HITS)
    rules = (make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30))
    version_of(make_content(*rules))
    for n in range(10):
        calls(2, f"rule-{n}", version=2)
    with django_assert_num_queries(9):
        client.get(HITS)


def test_orders_cost_one_question_more_however_many_there_are(client, django_assert_num_queries):
    targets = [{"offering": MIDDLE}, {"offering": CHEAP}]
    many = (
        make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"], choose="score", targets=targets, fallbacks=[])
        for n in range(12)
    )
    version_of()
    version_of(by_score())
    signed_in(client, "viewer")
    client.get(PRODUCTION)
    with django_assert_num_queries(15):
        client.get(PRODUCTION)
    version_of(make_content(*many))

    with django_assert_num_queries(15):
        client.get(PRODUCTION)
