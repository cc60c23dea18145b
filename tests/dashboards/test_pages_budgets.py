from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from budgets.models import Budget, BudgetLimit, Counter
from budgets.selectors import definitions
from dashboards.charts import budgets as charts
from dashboards.selectors import budgets as page_of
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_team, make_use_case
from tests.usage import making
from usage.selectors import drivers, overview

pytestmark = pytest.mark.django_db
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
TENTH = datetime(2026, 6, 10, 12, tzinfo=UTC)


def typed(**overrides: Any) -> dict[str, Any]:
    """Return what a person sends who fills in the form for a new budget."""
    return {
        "name": "Support on frontier",
        "unit": "frontier_tokens",
        "amount": "2,000,000",
        "period": "month",
        "use_case": ["support-routing"],
        "thresholds": "70, 90, 100",
        "action": "downgrade",
        "reason": "agreed with finance",
    } | overrides


def test_what_is_most_at_risk_stands_first(client):
    making.make_priced_offering()
    for name, amount in (("calm", 1000), ("gone", 5), ("near", 13)):
        make_budget(name=name, unit="usd", amount=Decimal(amount), at=timezone.now(), action="alert")
    book(call(usd=10))
    signed_in(client, "viewer")

    page = client.get("/budgets/").content.decode()

    assert page.index(">gone<") < page.index(">near<") < page.index(">calm<")
    assert "use case support-routing" in page
    assert "76.9\N{NO-BREAK SPACE}% used" in page  # rounded down, and by the whole page alike
    assert "New budget" not in page  # a viewer makes none


def test_without_a_budget_the_page_offers_to_make_one_to_whoever_may(client):
    signed_in(client, "finance")

    assert "Make the first budget" in client.get("/budgets/").content.decode()


def test_days_of_many_budgets_are_those_of_each_alone():
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", tier=None, uncached_input="1")
    made = [
        make_budget(name="frontier", at=FIRST),
        make_budget(name="all", unit="usd", scope={}, at=FIRST),
        make_budget(name="requests", unit="requests", scope={"model": ["gpt-5.5"]}, at=FIRST, period="week"),
    ]
    book(
        call(at=FIRST), call(at=FIRST, use_case="other"), call(at=FIRST, provider="deepseek", model="deepseek-v4-flash")
    )
    book(call(at=TENTH), call(at=TENTH, status="error"), call(at=TENTH, status="blocked"))

    found = overview.budget_days(zone="UTC", at=TENTH)

    known = definitions.current().by_id
    for budget in made:
        definition = known[budget.pk]
        assert found[budget.pk] == drivers.daily(definition, definition.period_of(TENTH)), budget.name


def test_the_burn_down_ends_where_the_counter_stands():
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(100), at=FIRST)
    for day in (1, 2, 5, 9):
        book(call(at=FIRST.replace(day=day), usd=10))

    shown = page_of.one(budget_id=budget.pk, at=TENTH)
    assert shown is not None
    chart = charts.burn_down(
        definition=shown.definition,
        period=shown.row.period,
        daily=shown.daily,
        used=shown.row.used,
        forecast=shown.row.forecast,
        at=TENTH,
    )

    assert shown.row.used == Counter.objects.get().used == 40
    assert chart.rows[0] == ["10 Jun 2026", "0.00 USD", "40.00 USD", "40.0 %"]
    assert chart.rows[-1] == ["1 Jun 2026", "10.00 USD", "10.00 USD", "10.0 %"]
    assert chart.figure is not None
    assert [trace["name"] for trace in chart.figure["data"]] == ["used", "even pace", "limit", "forecast"]


def test_a_crossing_shows_with_its_alert_its_delivery_and_what_drove_it(client):
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(10), at=timezone.now())
    book(call(usd=8))
    signed_in(client, "viewer")

    page = client.get(f"/budgets/{budget.pk}/").content.decode()

    assert "nobody: no channel wants it" in page
    assert "gpt-5.5@openai" in page
    assert "agreed with finance" in page
    assert "The limit is soft" in page
    assert "Set a new limit" not in page


def test_a_person_of_finance_makes_a_budget_whose_counter_waits_to_be_built(client):
    make_use_case()
    person = signed_in(client, "finance")

    answer = client.post("/budgets/new/", typed())

    budget = Budget.objects.get()
    assert answer["Location"] == f"/budgets/{budget.pk}/"
    assert (budget.scope, budget.limits.get().amount) == ({"use_case": ["support-routing"]}, 2_000_000)
    assert (budget.created_by, budget.zone) == (person.email, "UTC")
    assert "Being counted" in client.get(answer["Location"]).content.decode()


def test_everything_that_is_wrong_is_shown_at_once_and_nothing_is_made(client):
    make_use_case()
    signed_in(client, "finance")
    wrong = typed(name="", amount="1,5", thresholds="70, many", reason=" ", unit="usd", action="downgrade")

    answer = client.post("/budgets/new/", wrong)

    errors = answer.context["form"].errors
    assert answer.status_code == 422
    assert set(errors) == {"name", "amount", "thresholds", "reason", "action"}
    assert not Budget.objects.exists()
    assert 'aria-invalid="true"' in answer.content.decode()


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2,000,000", "2000000"), ("1250.50", "1250.50"), ("2 000 000", "2000000"), ("0.000001", "0.000001")],
)
def test_a_number_is_read_as_people_write_it(client, text, amount):
    make_use_case()
    signed_in(client, "finance")

    client.post("/budgets/new/", typed(amount=text, unit="usd", action="alert"))

    assert BudgetLimit.objects.get().amount == Decimal(amount)


@pytest.mark.parametrize("text", ["1,5", "1.000,50", "1e9", "-5", "NaN", "", "\N{ARABIC-INDIC DIGIT FIVE}x"])
def test_a_number_that_could_be_another_is_refused(client, text):
    make_use_case()
    signed_in(client, "finance")

    answer = client.post("/budgets/new/", typed(amount=text, unit="usd", action="alert"))

    assert (answer.status_code, Budget.objects.count()) == (422, 0)


def test_a_new_limit_is_a_version_with_its_reason(client):
    budget = make_budget(at=timezone.now())
    person = signed_in(client, "approver")

    refused = client.post(f"/budgets/{budget.pk}/limits/", {"amount": "x", "reason": ""})
    answer = client.post(f"/budgets/{budget.pk}/limits/", {"amount": "500", "reason": "a busy season"})

    latest = budget.limits.order_by("-version")[0]
    assert (refused.status_code, set(refused.context["limit_form"].errors)) == (422, {"amount", "reason"})
    assert answer.status_code == 302
    assert (latest.version, latest.amount, latest.reason, latest.by) == (2, 500, "a busy season", person.email)


def test_a_retired_budget_leaves_the_list_and_keeps_its_page(client):
    budget = make_budget(at=timezone.now())
    signed_in(client, "engineer")

    assert client.post(f"/budgets/{budget.pk}/retire/", {"reason": ""}).status_code == 422
    client.post(f"/budgets/{budget.pk}/retire/", {"reason": "over"})

    assert "No budgets yet" in client.get("/budgets/").content.decode()
    page = client.get(f"/budgets/{budget.pk}/").content.decode()
    assert "Retired" in page
    assert "Retire for good" not in page
    late = client.post(f"/budgets/{budget.pk}/limits/", {"amount": "5", "reason": "late"})
    assert late.status_code == 403  # engineers set no limits
    assert budget.limits.count() == 1


@pytest.mark.parametrize("role", ["viewer", "engineer", "platform"])
def test_who_may_set_no_limit_makes_no_budget_which_comes_with_one(client, role):
    make_budget(at=timezone.now())
    signed_in(client, role)

    assert client.get("/budgets/new/").status_code == 403
    assert client.post("/budgets/new/", typed(name="mine")).status_code == 403
    assert Budget.objects.count() == 1


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_who_may_not_edit_is_refused_and_changes_nothing(client, role):
    budget = make_budget(at=timezone.now())
    signed_in(client, role)

    assert client.post(f"/budgets/{budget.pk}/retire/", {"reason": "x"}).status_code == 403
    budget.refresh_from_db()
    assert (Budget.objects.count(), budget.retired_at) == (1, None)


def test_a_viewer_sets_no_limit_and_a_stranger_nothing(client):
    budget = make_budget(at=timezone.now())

    assert client.post(f"/budgets/{budget.pk}/limits/", {"amount": "1", "reason": "x"}).status_code == 302
    signed_in(client, "viewer")
    assert client.post(f"/budgets/{budget.pk}/limits/", {"amount": "1", "reason": "x"}).status_code == 403
    assert budget.limits.count() == 1


def test_changes_are_posted_never_fetched(client):
    budget = make_budget(at=timezone.now())
    signed_in(client, "admin")

    assert client.get(f"/budgets/{budget.pk}/limits/").status_code == 405
    assert client.get(f"/budgets/{budget.pk}/retire/").status_code == 405


def test_names_that_are_markup_stay_text(client):
    make_use_case(HOSTILE)
    make_team(HOSTILE)
    budget = make_budget(name=HOSTILE, scope={"use_case": [HOSTILE]}, reason=HOSTILE, at=timezone.now())
    signed_in(client, "admin")

    for path in ("/budgets/", f"/budgets/{budget.pk}/", "/budgets/new/"):
        page = client.get(path).content.decode()

        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


def test_the_pages_ask_the_same_few_questions_however_many_budgets_there_are(client, django_assert_num_queries):
    making.make_priced_offering()
    budget = make_budget(at=timezone.now())
    book(call())
    signed_in(client, "viewer")
    client.get("/budgets/")

    with django_assert_num_queries(13):
        client.get("/budgets/")
    with django_assert_num_queries(21):
        client.get(f"/budgets/{budget.pk}/")
    for n in range(5):
        make_budget(name=f"another {n}", at=timezone.now())
    client.get("/budgets/")  # reads the definitions anew
    with django_assert_num_queries(13):
        client.get("/budgets/")


def test_there_is_no_page_of_a_budget_that_never_was(client):
    signed_in(client, "admin")

    assert client.get("/budgets/999/").status_code == 404
    assert client.post("/budgets/999/retire/", {"reason": "x"}).status_code == 404
