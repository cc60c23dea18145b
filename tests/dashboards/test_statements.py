"""Statements: what a month charges to teams and use cases, apart from what came late, equal to every other total."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from decimal import Decimal

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from budgets.services import limits
from catalog.models import Tier
from catalog.services import use_cases as naming
from core import periods
from core.models import Organisation
from dashboards.selectors import statement as selector
from dashboards.selectors import statement_budgets
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_key, make_team
from tests.usage.making import make_offering, make_priced_offering, set_price
from tests.usage.test_usage_restating import restate
from usage.selectors import spend
from usage.services import months

pytestmark = pytest.mark.django_db
ZONE = "Asia/Kathmandu"  # a quarter of an hour beside everybody else's
NOW = timezone.now()
THIS = periods.local_day(NOW, ZONE).replace(day=1)
LAST = periods.add_months(THIS, -1)
ADDRESS = f"/statements/{THIS:%Y-%m}/"


@pytest.fixture
def house():
    """Book two teams in two months, on either side of the border between them, in a zone of quarter hours."""
    Organisation.objects.update(zone=ZONE, name="Nordlicht")
    make_priced_offering()
    make_offering("claude-sonnet-4.6@anthropic", tier=Tier.MIDDLE, uncached_input="3", cache_read="0.30", output="15")
    border = periods.month(LAST, ZONE).ends_at
    sonnet = {"provider": "anthropic", "model": "claude-sonnet-4.6"}
    book(
        call(at=border - timedelta(minutes=1), usd=7, team="support"),
        call(at=border - timedelta(minutes=1), usd=2, team="platform", use_case="code-review"),
        at=border,
    )
    book(
        call(at=border, usd=5, team="support", cache_read_tokens=333, output_tokens=7),
        call(at=border, usd=3, team="platform", use_case="code-review", **sonnet),
        call(at=border, usd=1, team="platform", **sonnet),
        call(at=border, usd=1, team="platform", model="mystery", output_tokens=9),
        at=border + timedelta(seconds=1),
    )
    return border


@pytest.fixture
def adjusted(house):
    """Close the last month, then have a call come late for it, and a price of it put right."""
    months.close_month(label=LAST, by="finance@example.com", at=NOW, reason="invoices compared")
    book(call(at=house - timedelta(hours=1), usd=4, team="support"), at=NOW)
    offering = make_priced_offering()
    set_price(
        offering, "uncached_input", "6", valid_from=house - timedelta(days=1), valid_until=house, at=NOW,
        note="the invoice says 6",
    )  # fmt: skip
    restate(NOW)
    return house


def of_month(label=THIS, **scope):
    return selector.of_month(month=label, at=timezone.now(), **scope)


def in_ledger(label, condition="true"):
    period = periods.month(label, ZONE)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(l.cost_usd) FROM ledger l JOIN catalog_team t ON t.id = l.team_id "
            f"WHERE booked_at >= %s AND booked_at < %s AND {condition}",
            [period.starts_at, period.ends_at],
        )
        return cursor.fetchone()[0]


def test_own_use_and_adjustments_are_what_ledger_api_and_pages_say_to_the_last_decimal(client, adjusted):
    signed_in(client, "viewer")
    period = periods.month(THIS, ZONE)
    ask = spend.SpendAsk(starts_at=period.starts_at, ends_at=period.ends_at, zone=ZONE)

    found = of_month()

    sums = spend.spend(ask=ask).total
    days = {"from": THIS, "to": periods.add_months(THIS, 1) - timedelta(days=1)}
    *_, in_all = csv.DictReader(io.StringIO(client.get("/spend/table.csv", days).getvalue().decode()))
    own, late, booked = (each.cost_usd for each in (found.total.own, found.total.adjusted, found.total.booked))
    assert late != 0
    assert own + late == booked
    assert booked == in_ledger(THIS) == sums.cost_usd == Decimal(in_all["cost_usd"])
    assert late == in_ledger(THIS, "correction_of IS NOT NULL")
    assert (found.total.booked.input_tokens, found.total.booked.all_output_tokens, found.total.booked.requests) == (
        sums.input_tokens, sums.output_tokens, sums.requests,
    )  # fmt: skip
    assert found.total.booked.unpriced_tokens == sums.unpriced_tokens == 200_009


def test_teams_use_cases_and_models_each_add_up_to_the_total(adjusted):
    found = of_month()

    total = found.total.booked.cost_usd
    assert sum(part.line.booked.cost_usd for part in found.teams) == total
    assert sum(line.booked.cost_usd for part in found.teams for line in part.use_cases) == total
    assert sum(line.booked.cost_usd for line in found.models) == total
    for part in found.teams:
        alone = of_month(team_id=part.line.id)
        assert alone.total.booked == part.line.booked
        assert alone.total.booked.cost_usd == in_ledger(THIS, f"t.name = '{part.line.name}'")
    for line in found.use_cases:
        assert of_month(use_case_id=line.id).total.booked == line.booked


def test_adjustments_say_which_month_why_and_on_whose_word(client, adjusted):
    signed_in(client, "viewer")

    (one,) = of_month().adjustments
    text = client.get(ADDRESS).content.decode()

    # Late: 4 USD of input at the price that was put right to 6, and 1.40 more for the 7 booked before it was closed.
    assert (one.month, one.sums.cost_usd, one.sums.requests) == (LAST, Decimal("6.6"), 1)
    assert [(why.by, why.month) for why in one.reasons] == [("finance@example.com", LAST)]
    assert "Adjustments of earlier months" in text
    assert one.reasons[0].summary in text
    assert f"/restatements/{one.reasons[0].key}/" in text


def test_a_closed_month_keeps_its_total_and_says_what_is_charged_elsewhere(client, adjusted):
    signed_in(client, "viewer")

    found = of_month(LAST)
    answer = client.get(f"/statements/{LAST:%Y-%m}/")

    text = answer.content.decode()
    assert (answer.context["before_url"], answer.context["after_url"]) == ("", ADDRESS)
    assert (found.state, found.total.booked.cost_usd, found.total.adjusted.empty) == ("closed", 9, True)
    assert {month: sums.cost_usd for month, sums in found.corrected_later.items()} == {THIS: Decimal("6.6")}
    assert "nothing in it changes any more" in text
    assert "came late for it since" in text


def test_an_open_month_says_how_far_it_is_complete(client, house):
    book(call(at=NOW, usd=1), at=NOW)
    signed_in(client, "viewer")

    running, over = client.get(ADDRESS), client.get(f"/statements/{LAST:%Y-%m}/")

    assert "So far, complete through" in running.content.decode()
    assert "The month is over and not closed" in over.content.decode()


def test_what_has_no_price_is_named_and_its_cost_is_not_known(house):
    found = of_month()

    assert [(one.offering, one.tokens, one.requests) for one in found.unpriced] == [("mystery@openai", 200_009, 1)]
    assert [line.name for line in found.models if not line.booked.known] == ["mystery"]
    assert found.total.booked.priced_share < 1


def test_the_share_on_frontier_is_of_own_requests_that_were_answered(house):
    found = {part.line.name: part.line.own.frontier_share for part in of_month().teams}

    assert found == {"support": 1, "platform": 0}


def test_a_month_that_is_over_is_compared_with_the_whole_one_before_by_own_use(adjusted):
    later = periods.month(THIS, ZONE).ends_at + timedelta(days=10)

    last, this = (
        next(part.line for part in found.teams if part.line.name == "support")
        for found in (of_month(LAST), selector.of_month(month=THIS, at=later))
    )

    assert (last.comparable_usd, last.before_usd) == (7, 0)
    assert (this.comparable_usd, this.before_usd) == (this.own.cost_usd, 7)
    assert this.booked.cost_usd > this.own.cost_usd


def test_budgets_of_a_team_are_those_that_name_it_or_only_what_it_answers_for(house):
    at = periods.month(THIS, ZONE).starts_at - timedelta(days=40)
    named = make_budget(name="of the team", scope={"team": ["support"]}, unit="usd", zone=ZONE, at=at)
    answered = make_budget(name="of its use case", unit="tokens", zone=ZONE, at=at, period="day")
    other = make_budget(name="of another", scope={"use_case": ["code-review"]}, unit="usd", zone=ZONE, at=at)
    ids = {part.line.name: part.line.id for part in of_month().teams}
    use_cases = {line.name: line.id for line in of_month().use_cases}
    naming.assign_team(use_case=naming.get("support-routing"), team=make_team(), since_at=at, by="tests", at=NOW)
    book(call(at=house + timedelta(minutes=1), usd=5, team="support"), at=house + timedelta(minutes=2))

    of_team, of_use_case, everything = (
        {row.name: row for row in found.budgets}
        for found in (of_month(team_id=ids["support"]), of_month(use_case_id=use_cases["code-review"]), of_month())
    )

    assert set(of_team) == {named.name, answered.name}
    assert set(of_use_case) == {other.name}
    assert set(everything) == {named.name, answered.name, other.name}
    assert (of_team[named.name].used, of_team[named.name].limit, of_team[named.name].per_cent_used) == (5, 100, 5)
    assert (of_team[answered.name].period.first_day, of_team[answered.name].exceeded) == (THIS, 1)


def test_a_statement_asks_so_many_questions_whatever_it_holds(adjusted):
    make_budget(zone=ZONE)
    of_month()

    with CaptureQueriesContext(
        connection,
    ) as small:
        of_month()
    for number in range(5):
        book(call(usd=1, team=f"team {number}", use_case=f"case {number}"), at=NOW)
        make_budget(name=f"budget {number}", zone=ZONE, scope={"use_case": [f"case {number}"]})
    of_month()
    with CaptureQueriesContext(connection) as large:
        of_month()

    assert len(large) == len(small) <= 10
    assert sum("rollup_day" in query["sql"] for query in large) == 1


def test_the_file_has_every_row_and_digit_and_no_formula(client, house):
    signed_in(client, "viewer")
    book(call(usd=1, team="=cmd|' /C calc'!A0", use_case="@SUM(A1)"), at=NOW)

    answer = client.get(f"{ADDRESS}table.csv")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))

    *parts, total = rows
    assert answer.headers["Content-Disposition"] == f'attachment; filename="statement-{THIS:%Y-%m}.csv"'
    assert sum(Decimal(row["cost_usd"]) for row in parts) == Decimal(total["cost_usd"]) == in_ledger(THIS)
    assert {row["team"] for row in parts} == {"platform", "support", "'=cmd|' /C calc'!A0"}
    assert {row["use_case"][0] for row in parts} == {"c", "s", "'"}
    assert {row["for_month"] for row in parts} == {f"{THIS:%Y-%m}"}


def test_the_workbook_says_whether_its_month_may_still_change(client, adjusted):
    signed_in(client, "finance")

    def state(month: date) -> str:
        answer = client.get(f"/statements/{month:%Y-%m}/?as=xlsx")
        about = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content)))["About"]
        return dict(about.iter_rows(values_only=True))["State"]

    assert state(LAST).endswith("by finance@example.com: it never changes")
    assert state(THIS).startswith("open")


def test_the_api_tells_the_same_and_knows_names_in_any_case(client, adjusted):
    header = {"Authorization": f"Bearer {make_key('read')}"}
    path = f"/api/v1/months/{THIS:%Y-%m}/statement"
    found = of_month()

    whole = client.get(path, headers=header).json()
    support = client.get(path, {"team": " Support"}, headers=header).json()

    assert whole["total"]["booked"]["cost_usd"] == f"{found.total.booked.cost_usd.normalize():f}"
    assert whole["adjustments"][0]["charged"]["cost_usd"] == "6.6"
    assert (support["team"], support["use_case"], len(support["teams"])) == ("support", None, 1)
    assert client.get(path, {"team": "suport"}, headers=header).status_code == 400
    assert client.get(path, {"team": "support", "use_case": "code-review"}, headers=header).status_code == 400
    for month in ("2020-01", "2026-13", "9999-12", "x", f"{periods.add_months(THIS, 1):%Y-%m}"):
        assert client.get(f"/api/v1/months/{month}/statement", headers=header).status_code == 404
    assert client.get(path, headers={"Authorization": f"Bearer {make_key('usage:write')}"}).status_code == 403


def test_the_list_has_every_month_with_own_use_and_what_came_late(client, adjusted):
    signed_in(client, "viewer")

    answer = client.get("/statements/")

    lines = answer.context["lines"]
    assert [(line["row"].label, line["own"]) for line in lines] == [(THIS, of_month().total.own.cost_usd), (LAST, 9)]
    assert client.get("/statements/?upto=2026-13").status_code == 404
    assert client.get("/statements/?upto=2020-01").context["lines"] == []


def test_pages_are_for_those_who_are_signed_in_and_names_are_only_text(client, house):
    book(call(usd=1, team=HOSTILE, use_case=HOSTILE), at=NOW)
    addresses = [ADDRESS, "/statements/", f"{ADDRESS}table.csv"]
    strangers = [client.get(address).status_code for address in addresses]
    signed_in(client)
    without_a_role = [client.get(address).status_code for address in addresses]
    signed_in(client, "viewer")

    answer = client.get(ADDRESS)

    assert (strangers, without_a_role) == ([302] * 3, [403] * 3)
    assert HOSTILE not in answer.content.decode()
    for path in ("team/999999/", f"team/{10**30}/", "use-case/0/", "team/0/table.csv"):
        assert client.get(ADDRESS + path).status_code == 404


def test_of_several_periods_the_fullest_is_told_and_past_limits_stay(house):
    budget = make_budget(name="daily", unit="usd", period="day", zone=ZONE, scope={}, at=house - timedelta(days=3))
    book(call(at=house + timedelta(hours=1), usd=120), at=house + timedelta(hours=2))

    now = timezone.now()
    (row,) = statement_budgets.of(starts_at=house, ends_at=periods.month(THIS, ZONE).ends_at, at=now)
    assert (row.id, row.period.first_day, row.used, row.exceeded) == (budget.pk, THIS, 120, 1)

    book(call(at=house - timedelta(hours=1), usd=110), at=house + timedelta(hours=3))
    limits.set_limit(budget=budget, amount=Decimal(1000), reason="more", by="a", approved_by="b", at=now)
    (before,) = statement_budgets.of(starts_at=periods.month(LAST, ZONE).starts_at, ends_at=house, at=now)
    assert (before.limit, before.per_cent_used, before.exceeded) == (100, 110, 1)


def test_a_budget_of_another_zone_is_told_by_the_days_of_its_own(client, house):
    make_budget(name="far west", unit="usd", period="year", zone="America/Los_Angeles", scope={})
    signed_in(client, "viewer")

    page = client.get(ADDRESS).content.decode()

    assert f"1 Jan to 31 Dec {THIS.year}" in page
