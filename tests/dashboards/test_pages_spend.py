"""The spend page: its numbers are those of the API and the ledger, and its address says everything that it shows."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from catalog.models import UseCase
from core import periods
from core.models import Organisation
from dashboards.charts import spending as charts
from dashboards.selectors import spend as page_of
from dashboards.selectors.spend_measures import measured
from dashboards.selectors.spend_question import Question
from tests.api.ledgers import make_entries, make_entry, make_names, roll_up
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_key
from tests.usage import making
from usage.models import LedgerEntry
from usage.selectors import overview
from usage.services import months

pytestmark = pytest.mark.django_db

FIRST, LAST = datetime(2026, 3, 2, 3, 15, tzinfo=UTC), datetime(2026, 4, 20, 21, 45, tzinfo=UTC)
INPUT = ("uncached_input_tokens", "cache_read_tokens", "image_input_tokens")
OUTPUT = ("output_tokens", "audio_output_tokens")
HTMX = {"HX-Request": "true"}
Figures = tuple[Decimal, int, int]


def question(**given: object) -> Question:
    return Question(
        **(
            {
                "first": date(2026, 3, 10),
                "last": date(2026, 4, 8),
                "today": date(2026, 6, 1),
                "zone": "UTC",
                "by": "use_case",
                "per": "day",
            }
            | given
        )
    )


def answered(**given: object) -> page_of.Breakdown:
    return page_of.breakdown(question=question(**given), at=LAST)


def shown(page: str) -> dict[str, Figures]:
    """Return cost, requests and tokens of each line of the table, as exact as one can point at."""
    table = page[page.index("tk-spend-table") :]
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]:
        name = re.search(r'<th scope="row"[^>]*>(?:<a[^>]*>)?([^<]+)<', row)
        cost = re.search(r'data-label="Spend"><span title="\$([-\d,.]+)"', row)
        requests = re.search(r'data-label="Requests">([\d,]+)<', row)
        tokens = re.search(r'data-label="Tokens"><span title="([\d,]+)"', row)
        assert name
        assert requests
        assert tokens
        found[unescape(name[1])] = (
            Decimal(cost[1].replace(",", "")) if cost else Decimal(0),
            int(requests[1].replace(",", "")),
            int(tokens[1].replace(",", "")),
        )
    return found


def in_ledger(*, first: date, last: date, zone: str, **only: object) -> Figures:
    """Return cost, requests and tokens of the days, added up entry by entry."""
    entries = LedgerEntry.objects.filter(
        booked_at__gte=periods.day_start(first, zone), booked_at__lt=periods.day_start(last + timedelta(days=1), zone)
    ).filter(**only)
    cost = sum((entry.cost_usd or Decimal(0) for entry in entries), Decimal(0))
    tokens = sum(getattr(entry, meter) for entry in entries for meter in (*INPUT, *OUTPUT))
    return cost, sum(entry.requests for entry in entries), tokens


# --- who sees it ---


@pytest.mark.parametrize("path", ["/spend/", "/spend/table.csv"])
def test_a_stranger_is_sent_to_sign_in_and_who_has_no_role_sees_nothing(client, path):
    stranger = client.get(path)
    signed_in(client)

    assert (stranger.status_code, stranger["Location"]) == (302, f"/accounts/login/?next={path}")
    assert client.get(path).status_code == 403


# --- its numbers ---


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
def test_page_api_file_and_ledger_agree_to_the_last_digit_for_any_range_filter_and_zone(client, zone):
    Organisation.objects.filter(pk=1).update(zone=zone)
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=150)
    make_entry(
        names, id=1000, at=datetime(2026, 4, 2, 12, tzinfo=UTC), correction_of=date(2026, 2, 1), cost_usd="7e-18"
    )
    roll_up(zone=zone)
    signed_in(client, "viewer")
    key = {"Authorization": f"Bearer {make_key('read')}"}

    for first, last, filters, only in (
        (date(2026, 3, 10), date(2026, 4, 8), {}, {}),
        (date(2026, 3, 29), date(2026, 3, 29), {}, {}),  # a day of 23 hours in Berlin
        (date(2026, 3, 1), date(2026, 4, 30), {"use_case": ["SUPPORT-routing"]},
         {"use_case_id": names.use_cases["support-routing"]}),
        (date(2026, 3, 15), date(2026, 4, 14), {"model": ["mystery", "gpt-5.5"], "team": ["platform"]},
         {"offering_id__in": [names.offerings["mystery@openai"], names.offerings["gpt-5.5@openai"]],
          "team_id": names.teams["platform"]}),
        (date(2026, 3, 15), date(2026, 4, 14), {"tier": ["frontier"], "gateway": ["batch"]},
         {"tier": 1, "gateway_id": names.gateways["batch"]}),
    ):  # fmt: skip
        days = {"from": first.isoformat(), "to": last.isoformat()}
        until = {"from": first.isoformat(), "to": (last + timedelta(days=1)).isoformat()}
        expected = in_ledger(first=first, last=last, zone=zone, **only)
        for by, plural in (("use_case", "use cases"), ("model", "models"), ("gateway", "gateways")):
            page = client.get("/spend/", days | filters | {"by": by}).content.decode()
            api = client.get("/api/v1/spend", until | filters | {"group_by": by}, headers=key).json()
            sent = b"".join(client.get("/spend/table.csv", days | filters | {"by": by}).streaming_content).decode()

            of_page = shown(page)
            assert of_page.pop(f"All {plural}") == expected
            assert of_page == {
                row[by]: (Decimal(row["cost_usd"]), row["requests"], row["input_tokens"] + row["output_tokens"])
                for row in api["rows"]
            }
            assert Decimal(api["total"]["cost_usd"]) == expected[0] > 0
            of_file = {row[by]: Decimal(row["cost_usd"]) for row in csv.DictReader(io.StringIO(sent))}
            assert of_file == {name: cost for name, (cost, _, _) in of_page.items()} | {"TOTAL": expected[0]}


@pytest.mark.parametrize("per", ["day", "week", "month"])
@pytest.mark.parametrize("measure", ["cost", "tokens", "requests"])
def test_what_is_drawn_adds_up_to_the_total_and_is_that_of_its_days(per, measure):
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=150)
    roll_up()

    found = answered(per=per, measure=measure, by="model")

    series = found.series
    assert series is not None
    totals = {label: measured(sums, measure) for label, sums in series.totals.items()}
    assert page_of.plus(totals.values()) == measured(found.total.sums, measure) > 0
    for key in series.names:
        (line,) = [line for line in found.lines if (line.name,) == key]
        drawn = [sums for (name, _), sums in series.sums.items() if name == key]
        assert page_of.plus(measured(sums, measure) for sums in drawn) == measured(line.sums, measure)
    for bucket in series.buckets:
        cost, requests, tokens = in_ledger(first=bucket.first, last=bucket.last, zone="UTC")
        assert totals.get(bucket.label, 0) == {"cost": cost, "tokens": tokens, "requests": requests}[measure]
    expected = {"day": 30, "week": 5, "month": 2}
    assert len(series.buckets) == expected[per]


def test_beyond_the_nine_largest_names_the_chart_has_others_and_beyond_a_hundred_the_table_adds_the_rest_up():
    names = make_names()
    for number in range(109):
        use_case = UseCase.objects.create(name=f"case-{number}", folded=f"case-{number}")
        make_entry(names, id=number + 1, at=FIRST + timedelta(days=9), use_case_id=use_case.pk, cost_usd=f"{number}.5")
    roll_up()

    found = answered()

    series = found.series
    assert series is not None
    assert series.names == [(f"case-{number}",) for number in range(108, 99, -1)]
    assert series.sums[page_of.REST, "2026-03-11"].cost_usd == sum(number + Decimal("0.5") for number in range(100))
    assert [line.name for line in found.lines[98:]] == ["case-10", "case-9", None]
    assert (found.lines[-1].rest, found.lines[-1].sums.cost_usd) == (9, Decimal("40.5"))
    drawn = charts.draw(found, titles={"use_case": "Use case"}, numbers={})
    assert drawn is not None
    assert list(drawn.chart.columns[-2:]) == ["others", "Total"]


def test_a_change_is_of_the_days_that_are_over_against_as_many_right_before():
    making.make_priced_offering()
    for day, usd in (("2026-03-04", 1000), ("2026-03-05", 10), ("2026-03-09", 30), ("2026-03-10", 20),
                     ("2026-03-14", 40), ("2026-03-15", 500)):  # fmt: skip
        book(call(at=datetime.fromisoformat(f"{day}T12:00+00:00"), usd=usd))

    running = answered(last=date(2026, 3, 31), today=date(2026, 3, 15))
    over = answered(last=date(2026, 3, 14))
    just_begun = answered(last=date(2026, 3, 31), today=date(2026, 3, 10))

    (line,) = running.lines
    assert (line.sums.cost_usd, line.over.cost_usd, line.before.cost_usd) == (560, 60, 40)
    assert (over.total.sums.cost_usd, over.total.over.cost_usd, over.total.before.cost_usd) == (60, 60, 40)
    assert (just_begun.total.over.empty, just_begun.total.before.empty) == (True, True)


def test_what_is_not_used_any_more_stays_in_the_table_with_what_it_fell_by(client):
    making.make_priced_offering()
    book(call(at=datetime(2026, 3, 5, tzinfo=UTC), use_case="old"), call(at=datetime(2026, 3, 12, tzinfo=UTC)))
    signed_in(client, "viewer")

    page = client.get("/spend/?from=2026-03-10&to=2026-03-19&by=use_case").content.decode()

    assert shown(page)["old"] == (0, 0, 0)
    assert "-100.0\N{NO-BREAK SPACE}%" in page
    assert ">new<" in page


def test_a_change_too_small_to_show_is_none(client):
    making.make_priced_offering()
    for day, usd in ((5, 100_000), (12, 100_001)):
        book(call(at=datetime(2026, 3, day, tzinfo=UTC), usd=usd))
    signed_in(client, "viewer")

    page = client.get("/spend/?from=2026-03-10&to=2026-03-19").content.decode()

    assert 'data-label="Change">0.0\N{NO-BREAK SPACE}%' in page


def test_numbers_of_one_model_lead_to_its_prices(client):
    making.make_priced_offering()
    book(call(usd=5))
    signed_in(client, "viewer")

    def leads(query):
        page = client.get(f"/spend/?{query}").content.decode()
        return re.findall(r'href="([^"]+)">What (\S+) costs', page)

    assert leads("by=model") == leads("model=gpt-5.5&model=other") == []
    assert leads("model=gpt-5.5&by=provider") == [("/catalog/?q=gpt-5.5", "gpt-5.5")]
    assert leads("model=gpt-5.5&provider=openai") == [("/catalog/gpt-5.5@openai/", "gpt-5.5@openai")]
    assert client.get("/catalog/gpt-5.5@openai/").status_code == 200


def test_what_has_no_price_is_named_in_its_line_and_beside_every_total(client):
    making.make_priced_offering()
    book(call(usd=5), call(model="mystery", usd=5))
    signed_in(client, "viewer")

    page = client.get("/spend/?by=model").content.decode()

    assert shown(page)["mystery"] == (0, 1, 1_000_000)
    assert ">unpriced<" in page
    assert page.count("50.0\N{NO-BREAK SPACE}% of tokens priced") == 3  # spend, its mean per request, the drawing
    assert "1,000,000 of 2,000,000 tokens are unpriced" in page


def test_where_nothing_has_a_price_no_amount_is_shown(client):
    making.make_priced_offering()
    book(call(usd=5), call(model="mystery"), call(use_case="free", status="cache_hit"))
    book(call(use_case="silent", status="usage_missing", counted=False, usd=0))
    signed_in(client, "viewer")

    unpriced = client.get("/spend/?model=mystery").content.decode()
    by_use_case = client.get("/spend/?by=use_case").content.decode()

    assert re.search(r'tk-stat__value"><span class="tk-number" title="\$0">unpriced<', unpriced)
    assert "$0.00" not in unpriced[unpriced.index("tk-grid--stats") : unpriced.index("tk-spend-ways")]
    lines = {name: row for row in by_use_case.split("<tr>") for name in ("free", "silent") if f">{name}</a>" in row}
    assert "unpriced" in lines["silent"]
    assert "1 requests without token counts" in lines["silent"]
    assert "$0.00" in lines["free"]  # what a cache answered costs nothing, and that is known


def test_what_came_late_for_a_closed_month_counts_where_it_was_booked_and_is_told_apart(client):
    making.make_priced_offering()
    book(call(at=datetime(2026, 5, 20, tzinfo=UTC), usd=5))
    months.close_month(
        label=date(2026, 5, 1), by="finance@example.com", at=datetime(2026, 6, 2, tzinfo=UTC)
    )  # fmt: skip
    book(call(at=datetime(2026, 5, 21, tzinfo=UTC), usd=15), at=datetime(2026, 6, 3, tzinfo=UTC))
    signed_in(client, "viewer")

    june = client.get("/spend/?from=2026-06-01&to=2026-06-30").content.decode()
    may = client.get("/spend/?from=2026-05-01&to=2026-05-31").content.decode()

    first_page = overview.days(first=date(2026, 6, 1), until=date(2026, 7, 1))
    assert shown(june)["All use cases"][0] == 15 == overview.total(first_page.values()).cost_usd
    assert re.search(r"\$15\.00</span> for 1 request of May 2026: booked late for a closed month", june)
    assert shown(may)["All use cases"][0] == 5
    assert "booked late for a closed month, whose own" not in may


# --- its address ---


def test_a_name_adds_itself_as_a_filter_and_each_filter_can_be_taken_away(client):
    making.make_priced_offering()
    book(call(use_case="R&D; 50%", team="platform"), call())
    signed_in(client, "viewer")
    month = f"{timezone.now():%Y-%m}-01"

    page = client.get(f"/spend/?from={month}&team=platform&measure=tokens&by=use_case").content.decode()

    links = [parse_qs(urlsplit(unescape(url)).query) for url in re.findall(r' href="(/spend/\?[^"]+)"', page)]
    drilled = [query for query in links if query.get("use_case") == ["R&D; 50%"]]
    assert drilled
    assert {key: drilled[0][key] for key in ("team", "measure", "by", "from")} == {
        "team": ["platform"],
        "measure": ["tokens"],
        "by": ["model"],
        "from": [month],
    }
    assert [query for query in links if "team" not in query]
    assert "R&amp;D; 50%" in page
    inside = client.get("/spend/", {"use_case": "R&D; 50%", "by": "team"}).content.decode()
    assert set(shown(inside)) == {"platform", "All teams"}


def test_without_a_breakdown_the_first_that_is_not_settled_is_shown(client):
    making.make_priced_offering()
    book(call())
    signed_in(client, "viewer")

    assert "All use cases" in client.get("/spend/").content.decode()
    assert "All models" in client.get("/spend/?use_case=support-routing").content.decode()
    assert "All teams" in client.get("/spend/?use_case=support-routing&model=gpt-5.5").content.decode()


def test_two_values_of_a_filter_pass_either_and_what_a_form_left_empty_says_nothing(client):
    making.make_priced_offering()
    book(call(use_case="a", usd=1), call(use_case="b", usd=2), call(use_case="c", usd=4))
    signed_in(client, "viewer")

    page = client.get("/spend/?use_case=a&use_case=b&use_case=&model=&tier=&by=&per=&from=&to=").content.decode()

    assert shown(page)["All use cases"][0] == 3


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"from": "2026-13-01"}, "&#x27;2026-13-01&#x27; is no day such as 2026-11-20."),
        ({"from": "20261101"}, "is no day such as"),
        ({"to": "0001-01-01"}, "is no day such as"),
        ({"to": "\0"}, "is no day such as"),
        ({"from": "2026-03-10", "to": "2026-03-09"}, "The last day lies before the first."),
        ({"from": "1971-01-01", "to": "2026-03-09"}, "A range has 3700 days at most."),
        ({"by": "colour"}, "There is no &#x27;colour&#x27; to choose for `by`"),
        ({"per": "minute"}, "There is no &#x27;minute&#x27; to choose for `per`"),
        ({"chart": "pie"}, "There is no &#x27;pie&#x27; to choose for `chart`"),
        ({"against": "1999"}, "There is no &#x27;1999&#x27; to choose for `against`"),
        ({"range": "soon"}, "There is no &#x27;soon&#x27; to choose for `range`"),
        ({"range": "this-month", "from": "2026-03-10"}, "Give a range by its name or by its days, not by both."),
        ({"by": "model", "then": "model"}, "Model is chosen twice"),
        ({"by": "tag:colour"}, "There is no &#x27;tag:colour&#x27; to choose for `by`"),
        ({"status": "fine"}, "There is no status &#x27;fine&#x27;."),
        ({"measure": "joy"}, "There is no &#x27;joy&#x27; to choose for `measure`"),
        ({"modle": "gpt-5.5"}, "There is no filter &#x27;modle&#x27;"),
        ({"use_case": "support-ruting"}, "There is no use case &#x27;support-ruting&#x27;."),
        ({"model": "\0"}, "There is no such model."),
        ({"tier": "top"}, "There is no tier &#x27;top&#x27;."),
    ],
)
def test_an_address_that_means_nothing_is_refused_in_words_and_shows_no_number(client, query, sentence):
    signed_in(client, "viewer")

    answer = client.get("/spend/", query)
    file = client.get("/spend/table.csv", query)

    page = answer.content.decode()
    assert (answer.status_code, file.status_code) == (400, 400)
    assert sentence in page
    assert "tk-stat__value" not in page
    assert "data-chart=" not in page


def test_htmx_is_sent_to_the_whole_page_where_an_address_means_nothing(client):
    signed_in(client, "viewer")

    answer = client.get("/spend/?by=colour", headers=HTMX)

    assert (answer.status_code, answer["HX-Redirect"], answer.content) == (400, "/spend/?by=colour", b"")


def test_a_range_too_long_for_days_is_shown_by_what_fits_and_says_so(client):
    making.make_priced_offering()
    book(call(at=datetime(2026, 3, 5, tzinfo=UTC)))
    signed_in(client, "viewer")

    page = client.get("/spend/?from=2025-01-01&to=2026-12-31&per=day").content.decode()

    assert "Per day, a range has 400 days at most. These are 730 days, so they are shown per week." in page
    assert "Spend per week by use case" in page


def test_the_page_comes_alone_when_htmx_asks_and_says_its_whole_address(client):
    making.make_priced_offering()
    book(call(usd=3))
    signed_in(client, "viewer")

    answer = client.get("/spend/?tier=&team=unassigned&by=model&range=last-30-days&chart=bars", headers=HTMX)

    page = answer.content.decode()
    assert page.startswith('<div id="spend"')
    assert "<html" not in page
    assert "HX-Request" in answer["Vary"]
    assert answer["HX-Push-Url"] == "/spend/?by=model&team=unassigned"


def test_ranges_by_name_are_days_of_the_organisation_and_stay_names_in_the_address(client):
    Organisation.objects.filter(pk=1).update(zone="Pacific/Kiritimati")
    signed_in(client, "viewer")
    there = periods.local_day(timezone.now(), "Pacific/Kiritimati")
    month = there.replace(day=1)

    for query, first, last in (
        ("", there - timedelta(days=29), there),
        ("?range=this-month", month, periods.add_months(month, 1) - timedelta(days=1)),
        ("?range=last-month", periods.add_months(month, -1), month - timedelta(days=1)),
        ("?range=last-12-months", periods.add_months(month, -11), periods.add_months(month, 1) - timedelta(days=1)),
        ("?range=this-week", there - timedelta(days=there.weekday()), there + timedelta(days=6 - there.weekday())),
        ("?range=yesterday", there - timedelta(days=1), there - timedelta(days=1)),
        ("?range=last-year", date(there.year - 1, 1, 1), date(there.year - 1, 12, 31)),
    ):
        page = unescape(client.get(f"/spend/{query}").content.decode())
        assert f'name="from" value="{first}"' in page
        assert f'name="to" value="{last}"' in page
        assert 'href="/spend/?range=last-90-days"' in page


# --- nothing to show ---


def test_an_empty_installation_says_what_to_do_next(client):
    signed_in(client, "viewer")

    page = client.get("/spend/").content.decode()

    assert "No usage has arrived yet" in page
    assert "data-chart=" not in page


def test_days_or_filters_with_nothing_in_them_say_so(client):
    making.make_priced_offering()
    book(call())
    making.make_offering("gpt-x@openai")
    signed_in(client, "viewer")

    filtered = client.get("/spend/?model=gpt-x").content.decode()
    long_ago = client.get("/spend/?from=2020-01-01&to=2020-01-31").content.decode()

    assert "Nothing in these days passes these filters" in filtered
    assert "Clear the filters" in filtered
    assert "Nothing was booked in these days" in long_ago
    assert "tk-stat__value" not in filtered + long_ago


def test_names_that_are_markup_or_formulas_stay_text(client):
    making.make_priced_offering()
    book(call(use_case=HOSTILE, team='=HYPERLINK("x")'), call(use_case=HOSTILE, model="unknown"))
    signed_in(client, "viewer")

    pages = client.get("/spend/").content.decode() + client.get("/spend/", {"use_case": HOSTILE}).content.decode()
    sent = b"".join(client.get("/spend/table.csv?by=team").streaming_content).decode()

    assert "&lt;script&gt;alert(1)" in pages
    assert HOSTILE not in pages
    assert "'=HYPERLINK" in sent
    assert ",=HYPERLINK" not in sent


def test_the_file_has_a_row_per_day_and_name_if_asked(client):
    making.make_priced_offering()
    book(call(at=datetime(2026, 3, 3, tzinfo=UTC), usd=1), call(at=datetime(2026, 3, 5, tzinfo=UTC), usd=2))
    book(call(at=datetime(2026, 3, 9, tzinfo=UTC), usd=4, use_case="b"))
    signed_in(client, "viewer")

    answer = client.get("/spend/table.csv?from=2026-03-03&to=2026-03-31&per=week&rows=time")

    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["week_from"], row["use_case"], row["cost_usd"], row["priced_share"]) for row in rows] == [
        ("2026-03-03", "support-routing", "3", "1"),
        ("2026-03-09", "b", "4", "1"),
    ]
    assert "spend-by-use-case-per-week-2026-03-03-2026-03-31.csv" in answer["Content-Disposition"]
    assert client.get("/spend/table.csv?rows=all").status_code == 400


# --- what it costs ---


def test_the_page_asks_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    making.make_priced_offering()
    book(call())
    signed_in(client, "viewer")
    client.get("/spend/")

    with django_assert_num_queries(15):
        client.get("/spend/")
    book(*(call(use_case=f"case-{n}", team=f"team-{n}") for n in range(20)))
    with django_assert_num_queries(15):
        client.get("/spend/")
    with django_assert_num_queries(15):
        client.get("/spend/?by=team", headers=HTMX)
    with django_assert_num_queries(19):
        client.get("/spend/?use_case=case-1&team=team-1")
