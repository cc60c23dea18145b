from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from budgets.models import Budget, BudgetLimit, Counter, Crossing
from budgets.services import limits
from dashboards.charts import budgets as charts
from dashboards.charts.sparkline import days_of
from dashboards.selectors import budgets as page_of
from dashboards.views import budgets as views
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_team, make_use_case
from tests.usage import making
from usage.services import outlooks

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
    assert 'use case <a class="tk-break" href="/use-cases/named/?name=support-routing">' in page
    assert "76.9\N{NO-BREAK SPACE}% used" in page  # rounded down, and by the whole page alike
    assert "New budget" not in page  # a viewer makes none


def test_without_a_budget_the_page_offers_to_make_one_to_whoever_may(client):
    signed_in(client, "finance")

    assert "Make the first budget" in client.get("/budgets/").content.decode()


def test_the_burn_down_ends_where_the_counter_stands():
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(100), at=FIRST)
    for day in (1, 2, 5, 9):
        book(call(at=FIRST.replace(day=day), usd=10))
    outlooks.look(at=TENTH)

    shown = page_of.one(budget_id=budget.pk, at=TENTH)
    assert shown is not None
    chart = charts.burn_down(
        definition=shown.definition,
        period=shown.row.period,
        outlook=shown.row.outlook,
        used=shown.row.used,
        forecast=shown.row.forecast,
        crossed=shown.row.crossings,
        at=TENTH,
    )

    assert shown.row.used == Counter.objects.get().used == 40
    assert chart.rows[0] == ["10 Jun 2026", "0.00 USD", "40.00 USD", "40.0 %"]
    assert chart.rows[-1] == ["1 Jun 2026", "10.00 USD", "10.00 USD", "10.0 %"]
    assert chart.figure is not None
    assert [trace["name"] for trace in chart.figure["data"]] == [
        "used", "even pace", "limit", "lower edge", "eight of ten", "forecast",
    ]  # fmt: skip


@pytest.mark.parametrize(("period", "ticks"), [("day", "%H:%M"), ("week", "%-d %b"), ("month", "%-d %b")])
def test_the_burn_down_of_a_day_is_marked_by_its_hours(period, ticks):
    making.make_priced_offering()
    budget = make_budget(unit="usd", period=period, amount=Decimal(100), at=FIRST)
    book(call(at=TENTH, usd=10))
    outlooks.look(at=TENTH)

    shown = page_of.one(budget_id=budget.pk, at=TENTH)
    chart = charts.burn_down(
        definition=shown.definition, period=shown.row.period, outlook=shown.row.outlook, used=shown.row.used,
        forecast=shown.row.forecast, crossed=(), at=TENTH,
    )  # fmt: skip

    assert chart.figure["layout"]["xaxis"]["tickformat"] == ticks


def test_a_crossing_shows_with_its_alert_its_delivery_and_what_drove_it(client):
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(10), at=timezone.now())
    book(call(usd=8))
    signed_in(client, "viewer")

    page = client.get(f"/budgets/{budget.pk}/").content.decode()

    assert "nobody: no channel wants it" in page
    assert f"<td>{Crossing.objects.get().period_start:%B %Y}</td>" in page
    assert "gpt-5.5@openai" in page
    assert "agreed with finance" in page
    assert "cannot stop one that is under way" in page
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


@pytest.mark.parametrize("text", ["1,5", "1.000,50", "1e9", "-5", "300M", "NaN", "", "\N{ARABIC-INDIC DIGIT FIVE}x"])
def test_a_number_that_could_be_another_is_refused(client, text):
    make_use_case()
    signed_in(client, "finance")

    answer = client.post("/budgets/new/", typed(amount=text, unit="usd", action="alert"))

    assert (answer.status_code, Budget.objects.count()) == (422, 0)
    assert answer.context["form"].errors["amount"] == ["Write the limit out as a number, such as 2,000,000 or 1250.50."]


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

    with django_assert_num_queries(12):
        client.get("/budgets/")
    with django_assert_num_queries(25):
        client.get(f"/budgets/{budget.pk}/")
    for n in range(5):
        make_budget(name=f"another {n}", at=timezone.now())
    client.get("/budgets/")  # reads the definitions anew
    with django_assert_num_queries(12):
        client.get("/budgets/")


def test_many_budgets_stand_on_several_pages_and_are_counted_whole(client, monkeypatch):
    for number in range(5):
        make_budget(name=f"budget {number}", period="month" if number else "week")
    monkeypatch.setattr(views, "PER_PAGE", 2)
    signed_in(client, "finance")

    first, last = (client.get(f"/budgets/?period=month&page={page}") for page in (1, 2))

    assert [line.row.name for line in (*first.context["lines"], *last.context["lines"])] == [
        f"budget {number}" for number in (1, 2, 3, 4)
    ]
    assert (first.context["later_url"], first.context["earlier_url"]) == ("/budgets/?period=month&page=2", "")
    assert (last.context["later_url"], last.context["earlier_url"]) == ("", "/budgets/?period=month")
    assert first.context["counts"]["all"] == 5
    assert [client.get(f"/budgets/?page={page}").status_code for page in ("4", "0", "x", "9" * 9)] == [404] * 4


def test_there_is_no_page_of_a_budget_that_never_was(client):
    signed_in(client, "admin")

    assert client.get("/budgets/999/").status_code == 404
    assert client.post("/budgets/999/retire/", {"reason": "x"}).status_code == 404


def test_the_list_is_narrowed_by_state_words_and_period_and_the_address_says_so(client):
    making.make_priced_offering()
    make_use_case("code-review")
    now = timezone.now()
    make_budget(name="gone", unit="usd", amount=Decimal(5), at=now, owner="lena@example.com")
    make_budget(
        name="calm", unit="usd", amount=Decimal(900), at=now, scope={"use_case": ["code-review"]}, period="week"
    )
    book(call(usd=10))
    signed_in(client, "viewer")

    def shown(query):
        return {line.row.name for line in client.get(f"/budgets/?{query}").context["lines"]}

    assert shown("state=exceeded") == shown("q=LENA") == shown("q=support+gone&period=month") == {"gone"}
    assert shown("q=code-review") == shown("period=week") == {"calm"}
    assert shown("state=exceeded&q=calm") == set()
    page = client.get("/budgets/?state=exceeded&q=calm").content.decode()
    assert "No budget fits" in page
    assert 'href="/budgets/?state=near&amp;q=calm"' in page


@pytest.mark.parametrize("query", ["state=broke", "period=fortnight"])
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/budgets/?{query}").status_code == 404


def test_days_stand_as_small_bars_with_the_even_pace_and_a_name():
    days = {date(2026, 6, day): Decimal(10 * day) for day in range(1, 11)} | {date(2026, 5, 30): Decimal(-5)}

    line = days_of(
        days=days | {date(2026, 5, 20): Decimal(50)}, today=TENTH.date(), period_from=FIRST.date(), even=Decimal(85),
        said=str,
    )  # fmt: skip

    assert [bar.kind for bar in line.bars] == ["before", *["now"] * 9, "today"]
    assert (line.bars[-1].height, line.bars[-1].y, line.bars[0].height) == (28, 0, 14)
    assert [kind for kind, _ in line.paths] == ["before", "now", "today"]
    assert dict(line.paths)["today"] == "M108 0.0h3V28h-3z"
    assert line.even_y == Decimal("4.2")
    assert line.words == "Last 28 days: most on 10 June, 100; 100 today; 2 days of this period over the even pace"
    nothing = days_of(days={}, today=TENTH.date(), period_from=FIRST.date(), even=Decimal(5), said=str)
    assert (nothing.bars, nothing.even_y, nothing.words) == ([], None, "Last 28 days: nothing was used")


def test_the_chart_has_the_band_steps_of_planned_limits_and_what_was_told():
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(100), at=FIRST, thresholds=[20, 90], forecast_thresholds=[100])
    for day in range(1, 10):
        book(call(at=FIRST.replace(day=day), usd=4 + day % 2 * 3))
    who = {"by": "a@example.com", "approved_by": "b@example.com"}
    starts = TENTH.replace(day=20)
    outlooks.look(at=TENTH)
    limits.set_limit(budget=budget, amount=Decimal(300), starts_at=starts, reason="launch", at=TENTH, **who)

    shown = page_of.one(budget_id=budget.pk, at=TENTH)
    chart = charts.burn_down(
        definition=shown.definition, period=shown.row.period, outlook=shown.row.outlook, used=shown.row.used,
        forecast=shown.row.forecast, crossed=shown.row.crossings, at=TENTH,
    )  # fmt: skip

    drawn = {trace["name"]: trace for trace in chart.figure["data"]}
    assert drawn["limit"]["y"] == [100, 300, 300]
    assert drawn["told"]["text"] == ["passed 20 % of version 1", "expected to pass 100 % of version 1"]
    assert drawn["told"]["marker"]["symbol"] == ["diamond", "diamond-open"]
    low, high, middle = (drawn[name]["y"] for name in ("lower edge", "eight of ten", "forecast"))
    assert low[0] == middle[0] == high[0] == float(shown.row.used)
    assert low[-1] < middle[-1] < high[-1]
    assert middle[-1] == float(shown.row.forecast.at_end)
    assert len(middle) == 22  # now, and the end of each of 21 days
    assert "eight of ten times between" in chart.summary


def test_a_limit_that_was_lowered_is_a_step_where_it_was_set():
    budget = make_budget(unit="usd", amount=Decimal(100), at=FIRST)
    limits.set_limit(budget=budget, amount=Decimal(50), reason="less", by="a", approved_by="b", at=TENTH)
    outlooks.look(at=TENTH)

    shown = page_of.one(budget_id=budget.pk, at=TENTH)
    chart = charts.burn_down(
        definition=shown.definition, period=shown.row.period, outlook=shown.row.outlook, used=shown.row.used,
        forecast=shown.row.forecast, crossed=(), at=TENTH,
    )  # fmt: skip

    drawn = next(trace for trace in chart.figure["data"] if trace["name"] == "limit")
    assert (drawn["y"], drawn["x"][1]) == ([100, 50, 50], f"{TENTH:%Y-%m-%dT%H:%M}")


def test_the_first_days_of_a_long_period_that_are_not_known_are_one_step():
    making.make_priced_offering()
    budget = make_budget(unit="usd", period="year", zone="Asia/Kathmandu", at=datetime(2026, 1, 1, tzinfo=UTC))
    for month in (2, 5, 6):
        book(call(at=datetime(2026, month, 8, tzinfo=UTC), usd=10))
    outlooks.look(at=TENTH)

    shown = page_of.one(budget_id=budget.pk, at=TENTH)
    chart = charts.burn_down(
        definition=shown.definition, period=shown.row.period, outlook=shown.row.outlook, used=shown.row.used,
        forecast=shown.row.forecast, crossed=(), at=TENTH,
    )  # fmt: skip

    used = chart.figure["data"][0]
    assert (used["x"][0], used["y"][0], used["y"][-1]) == ("2026-04-15T00:00", 10.0, 30.0)


def test_the_page_says_how_its_forecast_was_made_and_lists_what_drove_it_by_rule_and_team(client):
    making.make_priced_offering()
    now = timezone.now()
    budget = make_budget(unit="usd", period="year", amount=Decimal(10_000), at=now, forecast_thresholds=[110])
    for ago in range(6):
        book(call(at=now - timedelta(days=ago), usd=10, rule="code-high", rules_version=42))
    signed_in(client, "viewer")
    before = client.get(f"/budgets/{budget.pk}/").content.decode()
    outlooks.look(at=now)

    page = client.get(f"/budgets/{budget.pk}/").content.decode()

    assert "They are looked at every five minutes" in before
    assert "the mean of the full days since the first use" in page
    assert "where eight of ten such periods end" in page
    assert "110 %: told once in a period" in page
    assert "code-high" in page
    assert "By team" in page
    assert 'class="tk-spark"' in client.get("/budgets/").content.decode()
