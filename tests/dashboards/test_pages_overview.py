from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from catalog.models import Model, Tier
from core.models import Organisation
from dashboards.charts import spend as charts
from dashboards.charts.looks import looks
from dashboards.selectors import overview as page_of
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget
from tests.usage import making
from usage.selectors import overview, pictured
from usage.selectors.overview import Sums, Week
from usage.services import months

pytestmark = pytest.mark.django_db


def instant(day: str, hour: int = 12) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC)


def at_the(at: datetime, *, zone: str = "UTC") -> page_of.Overview:
    return page_of.of_month(month=page_of.calendar_of(month=None, zone=zone, at=at), at=at, zone=zone)


PATHS = [
    "/",
    "/changes/",
    "/savings/",
    "/goals/",
    "/budgets/",
    "/budgets/1/",
    "/budgets/new/",
    "/alerts/",
    "/alerts/1/",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_is_sent_to_sign_in(client, path):
    answer = client.get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={path}")


@pytest.mark.parametrize("path", PATHS)
def test_who_has_no_role_sees_nothing(client, path):
    signed_in(client)

    assert client.get(path).status_code == 403


def test_an_empty_installation_says_what_to_do_next_and_shows_no_empty_tiles(client):
    make_budget(unit="usd")
    signed_in(client, "finance")

    answer = client.get("/")

    page, steps = answer.content.decode(), answer.context["steps"]
    assert "No usage has arrived yet" in page
    assert [(one.title, one.done, one.url, one.next) for one in steps] == [
        ("Connect a gateway", False, "", False),
        ("Send the first event", False, "", False),
        ("Fill the price book", False, "/prices/import/", True),
        ("Set a budget", True, "", False),
        ("Say where alerts go", False, "", False),
        ("Write the first rules", False, "", False),
    ]
    assert steps[0].who == "For somebody with the role admin or platform."
    assert "tk-stat" not in page
    assert "data-chart=" not in page


def test_months_without_usage_do_not_look_like_an_empty_installation(client):
    making.make_priced_offering()
    book(call(usd=1))
    signed_in(client, "viewer")

    page = client.get("/?month=2020-02").content.decode()

    assert "Nothing was used in these months" in page
    assert "Nothing was spent in these days" in page
    assert "No usage has arrived yet" not in page


def test_the_page_shows_what_was_booked_with_a_chart_and_a_table_of_the_same_numbers(client):
    making.make_priced_offering()
    book(call(usd=1234), call(usd=1))
    signed_in(client, "viewer")

    page = client.get("/").content.decode()

    assert "$1,235.00" in page
    assert 'data-chart="spend-figure"' in page
    assert "Numbers of this chart" in page
    assert "support-routing" in page


def test_the_tiles_of_dollars_lead_to_the_explorer_beside_the_month_that_they_name(client):
    making.make_priced_offering()
    book(call())
    signed_in(client, "finance")

    page = client.get("/").content.decode()

    assert re.findall(r'href="/spend/[^"]*by=(\w+)&amp;against=month"', page) == ["use_case", "model"]


def test_days_that_are_over_are_compared_with_the_same_days_a_month_before():
    making.make_priced_offering()
    book(call(at=instant("2026-05-01"), usd=10))
    book(call(at=instant("2026-05-20"), usd=70))
    book(call(at=instant("2026-06-01"), usd=15))
    book(call(at=instant("2026-06-10", 8), usd=100))

    shown = at_the(instant("2026-06-10"))

    assert shown.month.cost_usd == 115
    assert shown.so_far.cost_usd == 15
    assert shown.same_days_before.cost_usd == 10
    assert shown.month_before.cost_usd == 80
    assert shown.spend_change == Decimal("0.5")


def test_the_same_days_of_a_shorter_month_end_with_it():
    march = page_of.calendar_of(month=None, zone="UTC", at=instant("2026-03-31"))

    assert (march.before, march.before_until) == (date(2026, 2, 1), date(2026, 3, 1))


def test_a_month_that_is_over_is_compared_with_the_whole_one_before():
    making.make_priced_offering()
    book(call(at=instant("2026-03-31"), usd=7))
    book(call(at=instant("2026-04-30"), usd=14))
    april = page_of.calendar_of(month=date(2026, 4, 1), zone="UTC", at=instant("2026-06-10"))

    shown = page_of.of_month(month=april, at=instant("2026-06-10"), zone="UTC")

    assert (shown.month.cost_usd, shown.same_days_before.cost_usd) == (14, 7)
    assert (shown.use_cases[0].comparable_usd, shown.use_cases[0].before_usd) == (14, 7)
    assert shown.forecast is None


def test_the_forecast_begins_on_the_third_day_and_goes_on_with_the_mean_of_full_days():
    days = {
        date(2026, 6, 1): Sums(cost_usd=Decimal(10)),
        date(2026, 6, 2): Sums(cost_usd=Decimal(20)),
        date(2026, 6, 3): Sums(cost_usd=Decimal(1)),
    }
    june = {"days": days, "first": date(2026, 6, 1), "until": date(2026, 7, 1)}

    assert overview.forecast(today=date(2026, 6, 2), **june) is None
    found = overview.forecast(today=date(2026, 6, 3), **june)
    assert found is not None
    assert (found.per_day_usd, found.at_end_usd) == (15, 30 + 28 * 15)
    assert overview.forecast(today=date(2026, 7, 1), **june) is None


def test_a_month_begins_at_midnight_of_the_organisation():
    Organisation.objects.filter(pk=1).update(zone="America/New_York")
    making.make_priced_offering()
    book(call(at=datetime(2026, 6, 1, 3, 59, 59, tzinfo=UTC), usd=3))
    book(call(at=datetime(2026, 6, 1, 4, tzinfo=UTC), usd=5))

    shown = at_the(instant("2026-06-01"), zone="America/New_York")

    assert (shown.month.cost_usd, shown.month_before.cost_usd) == (5, 3)


def test_the_share_on_frontier_is_of_answered_requests_only():
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", tier=Tier.ECONOMY, uncached_input="1")
    cheap = {"provider": "deepseek", "model": "deepseek-v4-flash"}
    book(
        call(at=instant("2026-06-02")),
        *(call(at=instant("2026-06-02"), **cheap) for _ in range(3)),
        call(at=instant("2026-06-02"), status="error"),
        call(at=instant("2026-06-02"), status="cache_hit"),
    )

    shown = at_the(instant("2026-06-05"))

    assert shown.month.frontier_share == Decimal("0.25")
    assert shown.month.requests == 6
    assert shown.use_cases[0].frontier_share == Decimal("0.25")


def test_what_has_no_price_is_named_and_said_to_be_missing_from_the_totals(client):
    making.make_priced_offering()
    unknown = call(model="mystery", usd=5, use_case="experiments")
    book(call(usd=5), unknown, call(status="usage_missing", counted=False, usd=0))
    signed_in(client, "viewer")

    page = client.get("/").content.decode()

    assert "mystery@openai" in page
    assert "1,000,000 tokens cost something that is not in the totals" in page
    assert "1 request came without token counts" in page
    assert "50.0\N{NO-BREAK SPACE}% of tokens priced" in page
    row = next(line for line in page.split("<tr>") if ">experiments<" in line).split("</tr>")[0]
    assert (row.count(">unpriced<"), "$" in row) == (2, False)


def test_what_came_late_for_a_closed_month_is_told_apart():
    making.make_priced_offering()
    book(call(at=instant("2026-05-20"), usd=5))
    months.close_month(label=date(2026, 5, 1), by="finance@example.com", at=instant("2026-06-02"))
    book(call(at=instant("2026-05-21"), usd=15), at=instant("2026-06-03"))

    shown = at_the(instant("2026-06-05"))

    assert [(one.month, one.cost_usd, one.requests) for one in shown.corrections] == [(date(2026, 5, 1), 15, 1)]
    assert (shown.month.cost_usd, shown.month_before.cost_usd) == (15, 5)


def test_the_use_case_whose_share_creeps_up_is_drawn():
    weeks = [
        Week(monday=date(2026, 6, 1) + timedelta(weeks=n), use_case=name, answered=100, on_frontier=on)
        for n in range(6)
        for name, on in (("support-routing", 5 + 4 * n), ("code-review", 50), ("rare", 0))
    ]

    assert charts.changed_most(weeks, most=1) == ["support-routing"]
    drawn = charts.frontier_share(weeks, shown=looks({}), low=Decimal(5), high=Decimal("7.5"))
    assert "code-review" not in drawn.columns  # it did not change
    assert drawn.rows[0][2] == "25.0\N{NO-BREAK SPACE}%"
    assert "the goal, 5 to 7.5 %" in drawn.subtitle


@pytest.mark.parametrize("by", ["tier", "model", "use_case", "team"])
def test_the_breakdown_comes_alone_when_htmx_asks_and_adds_up_to_the_total(client, by):
    making.make_priced_offering()
    book(call(usd=3), call(usd=4, use_case="code-review", team="platform"))
    signed_in(client, "viewer")

    answer = client.get(f"/?by={by}", headers={"HX-Request": "true"})
    page = answer.content.decode()

    assert "<html" not in page
    assert page.startswith('<div id="spend-breakdown"')
    assert "$7.00" in page
    assert "HX-Request" in answer["Vary"]


@pytest.mark.parametrize("query", ["month=x", "month=2026-13", "by=colour"])
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/?{query}").status_code == 404


def test_a_name_that_is_markup_stays_text(client):
    making.make_priced_offering()
    book(call(use_case=HOSTILE, team=HOSTILE), call(use_case=HOSTILE, model="unknown"))
    signed_in(client, "viewer")

    for by in ("use_case", "team"):
        page = client.get(f"/?by={by}").content.decode()

        assert "&lt;script&gt;alert(1)" in page
        assert HOSTILE not in page


def test_the_page_asks_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    making.make_priced_offering()
    book(call())
    signed_in(client, "viewer")
    client.get("/")

    with django_assert_num_queries(12):
        client.get("/")
    book(*(call(use_case=f"case-{n}", team=f"team-{n}") for n in range(20)))
    with django_assert_num_queries(12):
        client.get("/")
    with django_assert_num_queries(5):
        client.get("/?by=team", headers={"HX-Request": "true"})


def test_the_one_read_of_the_page_tells_what_the_questions_tell_that_are_asked_one_by_one():
    making.make_priced_offering()
    offering = making.make_offering("deepseek-v4-flash@deepseek", tier=Tier.ECONOMY, uncached_input="1")
    Model.objects.filter(pk=offering.model_id).update(open_weights=True)
    cheap = {"provider": "deepseek", "model": "deepseek-v4-flash"}
    book(call(at=instant("2026-05-20")), at=instant("2026-05-20"))
    months.close_month(label=date(2026, 5, 1), by="finance@example.com", at=instant("2026-06-02"))
    book(
        call(at=instant("2026-05-21"), usd=15), call(at=instant("2026-06-07"), **cheap), call(at=instant("2026-06-08")),
        call(at=instant("2026-06-08"), use_case="other", model="mystery"),
        call(at=instant("2026-06-09"), status="error"), at=instant("2026-06-10"),
    )  # fmt: skip
    june = pictured.Ranges(
        first=date(2026, 6, 1), until=date(2026, 7, 1), comparable_until=date(2026, 6, 9), before=date(2026, 5, 1),
        before_until=date(2026, 5, 21),
    )  # fmt: skip
    whole = {"first": date(2026, 5, 4), "until": date(2026, 7, 1)}

    drawn = pictured.pictured(**whole, month=june)

    assert drawn.days == overview.days(**whole)
    assert drawn.tiers == overview.daily_spend(**whole, by="tier")
    weeks = [(str(one.monday), one.use_case, one.answered, one.on_frontier, one.on_open) for one in drawn.weeks]
    assert weeks == [
        ("2026-05-18", "support-routing", 1, 1, 0), ("2026-06-01", "support-routing", 1, 0, 1),
        ("2026-06-08", "other", 1, 0, 0), ("2026-06-08", "support-routing", 2, 2, 0),
    ]  # fmt: skip
    (support, other) = drawn.use_cases
    assert (support.cost_usd, support.comparable_usd, support.before_usd) == (5 + 1 + 15 + 5, 6, 5)
    assert (other.name, other.requests, other.cost_usd) == ("other", 1, 0)


def test_numbers_of_a_chart_are_those_of_the_ledger():
    making.make_priced_offering()
    book(call(at=instant("2026-06-02"), usd=3), call(at=instant("2026-06-03"), usd=4, model="gpt-x", provider="other"))
    window = {"first": date(2026, 6, 1), "until": date(2026, 6, 5)}

    for by in overview.BREAKDOWNS:
        parts = overview.daily_spend(by=by, **window)
        assert sum(part.cost_usd for part in parts) == sum(entry.cost_usd or 0 for entry in making.entries())
