"""Savings, changes and goals: the pages behind the tiles of the first one, and the tiles that lead there."""

from __future__ import annotations

import csv
import json
import re
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone

from budgets.services import budgets
from catalog.models import Model, Tier, UseCase
from catalog.services import baselines
from core.models import Organisation
from dashboards.views import changes
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_use_case
from tests.usage import making

pytestmark = pytest.mark.django_db

CHEAP = {"provider": "deepseek", "model": "deepseek-v4-flash"}
TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def two_models():
    making.make_priced_offering()
    offering = making.make_offering("deepseek-v4-flash@deepseek", tier=Tier.ECONOMY, uncached_input="1", output="2")
    Model.objects.filter(pk=offering.model_id).update(open_weights=True)


def choose(name: str = "support-routing", offering: str = "gpt-5.5@openai") -> UseCase:
    use_case = UseCase.objects.get(name=name)
    baselines.choose(use_cases=[use_case], offering=making.make_priced_offering(offering), by="tests", reason="usual")
    return use_case


def choice(**overrides: Any) -> dict[str, Any]:
    return {"use_case": "all", "baseline": "gpt-5.5@openai", "reason": "it did all before"} | overrides


def goals(**overrides: Any) -> dict[str, Any]:
    given = {"frontier_goal_from_percent": "2.5", "frontier_goal_percent": "8", "open_weights_goal_percent": "40",
             "reason": "the board said so"}  # fmt: skip
    return given | overrides


# --- the tiles ---


def test_each_tile_leads_to_the_page_that_explains_it(client):
    book(call(usd=10), call(usd=1, **CHEAP))
    choose()
    signed_in(client, "viewer")

    page = client.get("/").content.decode()

    month = f"{timezone.now():%Y-%m}"
    for address in (f"/savings/?month={month}", f"/goals/?month={month}#frontier", "#open-weights", "/changes/?from=",
                    "/spend/?from=", "/budgets/new/", "/alerts/"):  # fmt: skip
        assert f'href="{address}' in page or address in page, address
    assert "Saved by routing, estimated" in page
    assert "$0.80" in page  # a fifth of a million tokens at 5 and at 1 USD
    assert "50.0\N{NO-BREAK SPACE}%" in page  # on frontier, and on open weights
    assert 'tk-tone--bad">the goal is 5 to 10 %, missed<' in page
    assert 'tk-tone--good">the goal is 30 % or more, met<' in page
    goals = client.get("/goals/").content.decode()
    assert re.findall(r"tk-badge--(ok|danger).*?(met|missed)<", goals) == [("danger", "missed"), ("ok", "met")]


def test_where_the_whole_has_a_budget_the_month_is_told_against_it_and_budgets_near_their_limit_are_named(client):
    at = timezone.now() - timedelta(days=60)
    common: dict[str, Any] = {"period": "month", "zone": "UTC", "action": "alert", "by": "ann@example.com",
                              "at": at, "reason": "plan", "owner": "ann@example.com"}  # fmt: skip
    make_use_case()
    budgets.create(name="Everything", scope={}, unit="usd", amount=Decimal(100), **common)
    budgets.create(name="Tight", scope={"use_case": ["support-routing"]}, unit="usd", amount=Decimal(5), **common)
    book(call(usd=40))
    signed_in(client, "viewer")

    page = client.get("/").content.decode()

    assert "40.0 % of the budget of $100.00 used" in page
    assert "of the budget of $100.00" in page
    assert "Tight" in page
    assert "used up" in page
    assert "There is no budget yet" not in page


def test_goals_that_are_set_stand_in_tiles_and_charts(client):
    Organisation.objects.update(frontier_goal_percent=60, frontier_goal_from_percent=Decimal("12.5"))
    book(call(), call(**CHEAP))
    signed_in(client, "viewer")

    page = client.get("/").content.decode()

    assert "the goal is 12.5 to 60 %, met" in page
    assert "the goal, 12.5 to 60 %" in page


# --- savings ---


def test_savings_say_what_is_compared_and_work_one_use_case_out(client):
    book(call(usd=5, **CHEAP), call(usd=5, use_case="other"))
    choose()
    signed_in(client, "viewer")

    page = client.get("/savings/").content.decode()

    assert "How it is worked out for support-routing" in page
    for part in ("$5.00", "$1.00", "$4.00"):  # at the baseline, paid, saved
        assert part in page
    assert "1 use case without a baseline is in no saving: other." in page
    assert "it covers 16.7\N{NO-BREAK SPACE}% of spend" in page
    assert f"GET /api/v1/savings?month={timezone.now():%Y-%m}" in page
    assert 'method="post" action="/savings/"' not in page  # a viewer chooses nothing


def test_with_nothing_used_savings_and_changes_and_goals_say_what_to_do(client):
    signed_in(client, "admin")

    assert "Nothing was used in these months" in client.get("/savings/").content.decode()
    assert "Nothing was spent in either range" in client.get("/changes/").content.decode()
    assert "No answered requests in this month" in client.get("/goals/").content.decode()


def test_a_baseline_is_chosen_for_all_that_have_none_by_who_may_and_by_nobody_else(client):
    book(call(), call(use_case="other"))
    signed_in(client, "viewer")
    assert client.post("/savings/", choice()).status_code == 403

    signed_in(client, "finance")
    assert "Suggested" in client.get("/savings/").content.decode()
    refused = client.post("/savings/", choice(reason=""))
    assert (refused.status_code, "Say why" in refused.content.decode()) == (422, True)
    assert client.post("/savings/", choice(baseline="nobody@nowhere")).status_code == 422
    assert client.post("/savings/", choice(use_case="999999")).status_code == 422
    assert not UseCase.objects.exclude(baseline=None).exists()

    assert client.post("/savings/", choice()).status_code == 302
    assert UseCase.objects.filter(baseline__name="gpt-5.5@openai").count() == UseCase.objects.count()


def test_the_file_of_savings_has_every_use_case_with_every_digit(client):
    book(call(usd=5, **CHEAP))
    choose()
    signed_in(client, "viewer")

    answer = client.get("/savings/?as=csv")

    (row,) = csv.DictReader(StringIO(b"".join(answer.streaming_content).decode()))  # type: ignore[attr-defined]
    assert (row["use_case"], Decimal(row["net_usd"]), row["baseline"]) == ("support-routing", 4, "gpt-5.5@openai")


# --- changes ---


def test_changes_name_what_moved_and_why_and_their_file_adds_up(client):
    now = timezone.now().replace(hour=12)
    week, before = now - timedelta(days=3), now - timedelta(days=10)
    book(call(at=before, usd=10), at=now)
    book(*(call(at=week, usd=10) for _ in range(3)), call(at=week, usd=2, use_case=HOSTILE), at=now)
    signed_in(client, "viewer")

    page = client.get("/changes/").content.decode()

    assert "support-routing</a>: $20.00 more" in page
    assert "200.0\N{NO-BREAK SPACE}% more requests" in page
    assert "it was not used before" in page
    assert HOSTILE not in page
    rows = list(csv.DictReader(StringIO(b"".join(client.get("/changes/?as=csv").streaming_content).decode())))  # type: ignore[attr-defined]
    for row in rows:
        parts = [name for name in row if name.endswith("_usd") and name not in ("before_usd", "now_usd", "change_usd")]
        assert sum(Decimal(row[name]) for name in parts if row[name]) == Decimal(row["change_usd"])
    assert Decimal(rows[-1]["change_usd"]) == 22
    figure = json.loads(re.search(r'<script id="bridge-figure"[^>]*>(.*?)</script>', page)[1])
    sides, parts = figure["data"]
    assert (sides["y"], sides["x"], sides["text"]) == (["Before", "Now"], [10, 32], ["$10.00", "$32.00"])
    assert sum(parts["x"][:-1]) == parts["x"][-1] == 22
    assert parts["text"][-1] == "+$22.00"


def test_changes_have_one_precision_a_column_and_every_digit_when_pointed_at(client):
    at = timezone.now().replace(hour=12) - timedelta(days=3)
    book(call(at=at, usd=10), call(at=at, use_case="small", uncached_input_tokens=642))
    signed_in(client, "viewer")

    page = client.get("/changes/").content.decode()

    assert 'title="$0.00321">&lt;\N{NO-BREAK SPACE}$0.01<' in page
    assert 'title="$10.00321">$10.00<' in page


@pytest.mark.parametrize(
    ("query", "before", "after"),
    [
        ("", ("2026-11-08", "2026-11-14"), ("2026-11-15", "2026-11-21")),
        ("from=2026-11-01&to=2026-11-21&against=month", ("2026-10-01", "2026-10-21"), ("2026-11-01", "2026-11-21")),
        ("from=2026-10-01&to=2026-10-31&against=month", ("2026-09-01", "2026-09-30"), ("2026-10-01", "2026-10-31")),
        ("from=2026-03-29&to=2026-03-30&against=month", ("2026-02-28", "2026-02-28"), ("2026-03-29", "2026-03-30")),
        ("from=2026-11-20", ("2026-11-18", "2026-11-19"), ("2026-11-20", "2026-11-21")),
    ],
)
def test_an_address_says_which_days_are_compared(query, before, after):
    found = changes.read(QueryDict(query), TODAY)

    assert [(str(one.first), str(one.last)) for one in found[:2]] == [before, after]
    assert found[3] == []


@pytest.mark.parametrize(
    "query",
    ["from=x", "against=moon", "from=2026-11-05&to=2026-11-01", "month=2026-11", "from=2020-01-01&to=2026-01-01"],
)
def test_an_address_of_changes_that_means_nothing_is_refused_with_a_sentence(client, query):
    signed_in(client, "viewer")

    answer = client.get(f"/changes/?{query}")

    assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (400, True)
    assert client.get(f"/changes/?{query}&as=csv").status_code == 400


@pytest.mark.parametrize("path", ["/savings/?month=x", "/goals/?month=2026-13", "/savings/?month=1969-01"])
def test_a_month_that_is_none_is_not_found(client, path):
    signed_in(client, "viewer")

    assert client.get(path).status_code == 404


# --- goals ---


def test_goals_are_set_by_who_may_and_by_nobody_else(client):
    signed_in(client, "finance")
    assert client.post("/goals/", goals()).status_code == 403
    assert "Somebody who is admin changes them" in client.get("/goals/").content.decode()

    signed_in(client, "admin")
    for wrong in (goals(reason=""), goals(frontier_goal_percent="lots"), goals(open_weights_goal_percent="101")):
        assert client.post("/goals/", wrong).status_code == 422
    assert Organisation.objects.get().open_weights_goal_percent == 30

    assert client.post("/goals/", goals()).status_code == 302
    assert Organisation.objects.get().frontier_goal_from_percent == Decimal("2.5")


def test_shares_are_told_by_requests_by_tokens_and_by_spend(client):
    book(call(usd=5), call(usd=15, **CHEAP))
    signed_in(client, "viewer")

    page = client.get("/goals/").content.decode()

    assert "On frontier: 50.0\N{NO-BREAK SPACE}% of answered requests" in page
    assert "By tokens it is 25.0\N{NO-BREAK SPACE}%, by spend 62.5\N{NO-BREAK SPACE}%" in page
    assert "By tokens it is 75.0\N{NO-BREAK SPACE}%, by spend 37.5\N{NO-BREAK SPACE}%" in page


def test_these_pages_ask_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    book(call())
    choose()
    signed_in(client, "viewer")
    pinned = {"/savings/": 5, "/changes/": 5, "/goals/": 4}
    for path in pinned:
        client.get(path)
    book(*(call(use_case=f"case-{n}") for n in range(20)))

    for path, count in pinned.items():
        with django_assert_num_queries(count):
            client.get(path)
