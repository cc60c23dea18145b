"""The explorer: any measure by two dimensions, over time, against other days; whatever is asked, it adds up."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape
from urllib.parse import parse_qs, urlsplit

import plotly.graph_objects as go
import pytest
from openpyxl import load_workbook

from core import periods
from core.models import Organisation
from dashboards.charts import spending as charts
from dashboards.selectors import spend as page_of
from dashboards.selectors.spend import Line
from dashboards.selectors.spend_measures import GROUPS, MEASURES, measured
from dashboards.selectors.spend_question import AGAINST, ALL, DIMENSIONS, Question
from dashboards.views.spend_address import TITLES
from tests.api.ledgers import make_entries, make_entry, make_names, roll_up
from tests.dashboards.seeing import book, call, signed_in
from tests.drawing import rounds
from tests.usage import making
from usage.selectors import spend

pytestmark = pytest.mark.django_db

FIRST, LAST = datetime(2026, 9, 20, 3, 15, tzinfo=UTC), datetime(2026, 11, 10, 21, 45, tzinfo=UTC)


def question(**given: object) -> Question:
    usual = {
        "first": date(2026, 10, 1), "last": date(2026, 10, 31), "today": date(2026, 12, 1), "zone": "UTC",
        "by": "use_case", "per": "day",
    }  # fmt: skip
    return Question(**(usual | given))


def made(zone: str) -> None:
    Organisation.objects.filter(pk=1).update(zone=zone, declared_tags=["cost_centre"])
    names = make_names()
    make_entries(names, starts_at=FIRST, ends_at=LAST, count=150)
    for number in range(40):
        make_entry(
            names, id=2000 + number, at=FIRST + timedelta(days=number, hours=number), latency_ms=number * 97,
            rule=f"rule-{number % 13}", task=f"task-{number % 5}", reason=("rule", "fallback")[number % 2],
            status=1 + number % 2,
        )  # fmt: skip
    roll_up(zone=zone, tags=("cost_centre",))


# --- it adds up ---


@pytest.mark.soak
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_rows_parts_chart_and_file_add_up_to_the_api_whatever_is_asked(zone):
    made(zone)
    chance = random.Random()
    for _ in rounds(12, 400):
        q = drawn_question(chance, zone)
        found = page_of.breakdown(question=q, at=LAST)
        ask = q.asked(q.first, q.until, measures=spend.MEASURES)
        expected = spend.spend(ask=ask).total

        of_file, total = page_of.by_name(question=q)
        sums = page_of.added([line.sums for line in found.lines]) if found.lines else spend.Sums()
        assert figures(found.total.sums) == figures(expected) == figures(sums) == figures(total.sums), q
        if q.measures.needs and not q.by_tag:
            assert measured(found.total.sums, q.measure) == measured(expected, q.measure), q
        for line in (*found.lines, *of_file):
            if line.parts:
                assert together(line.parts) == (figures(line.sums), figures(line.over), figures(line.before)), q
        over = spend.spend(ask=q.asked(q.first, q.over_until, measures=())).total if q.over_until > q.first else None
        if q.compares:
            assert figures(found.total.over) == figures(over), q
            before = spend.spend(ask=q.asked(*q.before, measures=())).total
            assert figures(found.total.before) == figures(before), q
        if found.series:
            drawn = page_of.added(list(found.series.totals.values())) if found.series.totals else spend.Sums()
            assert measured(drawn, q.measure) == measured(expected, q.measure) or q.by_tag, q
            by_name = [each for (_, label), each in found.series.sums.items()]
            if by_name and q.measures.adds and not q.by_tag:
                assert measured(page_of.added(by_name), q.measure) == measured(expected, q.measure), q
        picture = charts.draw(found, titles=TITLES | {"tag:cost_centre": "Tag"}, numbers={})
        if picture and picture.chart.figure:
            go.Figure(picture.chart.figure)  # which refuses what Plotly would not understand
        rows = page_of.by_time(question=q)
        assert figures(page_of.added([each for *_, each in rows]) if rows else spend.Sums()) == figures(expected), q


def drawn_question(chance: random.Random, zone: str) -> Question:
    first = date(2026, 9, 15) + timedelta(days=chance.randrange(50))
    count = chance.choice([1, 2, 7, 14, 30, 45])
    names = {"use_case": ["support-routing", "Übersetzung"], "tier": ["frontier", "economy"], "status": ["ok"],
             "gateway": ["edge"], "team": ["platform", "support"]}  # fmt: skip
    by_tag = chance.random() < 0.15
    dimensions = [*names, "model", "provider", "offering"] if by_tag else list(DIMENSIONS)
    by = "tag:cost_centre" if by_tag else chance.choice([*dimensions, ALL])
    filters = {
        name: tuple(chance.sample(names[name], chance.randrange(1, len(names[name]) + 1)))
        for name in chance.sample(list(names), chance.randrange(3))
    }
    if not by_tag and chance.random() < 0.2:
        filters["rule"] = ("(none)",)
    measure = chance.choice(list(MEASURES))
    kinds = ["bars", "lines", "table"] + (["area", "treemap"] if MEASURES[measure].adds and by != ALL else [])
    return Question(
        first=first, last=first + timedelta(days=count - 1), zone=zone, by=by,
        today=chance.choice([date(2026, 12, 1), first + timedelta(days=count // 2)]),
        then="" if by == ALL else chance.choice(["", *(name for name in dimensions if name != by)]),
        per=chance.choice(["day", "week", "month", *([] if by_tag or count > 14 else ["hour"])]),
        measure=measure, chart=chance.choice(kinds), against=chance.choice(AGAINST),
        filters={
            name: tuple("" if value == "(none)" else value for value in values) for name, values in filters.items()
        },
    )  # fmt: skip


def figures(sums: spend.Sums | None) -> tuple[object, ...]:
    sums = sums or spend.Sums()
    return sums.requests, sums.cost_usd, sums.tokens, sums.failed_requests, sums.unpriced_tokens


def together(lines: list[Line] | tuple[Line, ...]) -> tuple[object, ...]:
    return tuple(figures(page_of.added([getattr(line, name) for line in lines])) for name in ("sums", "over", "before"))


def test_a_share_of_several_names_is_worked_out_of_their_sums_and_never_added():
    names = make_names()
    for number in range(10):
        make_entry(names, id=number + 1, at=FIRST + timedelta(days=12), status=2 if number < 3 else 1,
                   latency_ms=100 * number, use_case_id=list(names.use_cases.values())[number % 2])  # fmt: skip
    roll_up()

    errors = page_of.breakdown(question=question(measure="error_share", chart="lines"), at=LAST)
    latency = page_of.breakdown(question=question(measure="latency"), at=LAST)

    assert [measured(line.sums, "error_share") for line in errors.lines] == [Decimal("0.4"), Decimal("0.2")]
    assert measured(errors.total.sums, "error_share") == Decimal("0.3")
    assert measured(latency.total.sums, "latency") == 600  # of those that were answered
    drawn = charts.draw(errors, titles=TITLES, numbers={})
    assert drawn is not None
    assert drawn.chart.figure is not None
    assert [trace.get("stackgroup") for trace in drawn.chart.figure["data"]] == [None, None, None]
    assert [trace["name"] for trace in drawn.chart.figure["data"]][-1] == "all together"


def test_every_measure_can_be_chosen():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(MEASURES)


# --- against other days ---


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (date(2026, 8, 31), date(2026, 10, 1))),
        ({"against": "month"}, (date(2026, 9, 1), date(2026, 10, 1))),
        ({"against": "year"}, (date(2025, 10, 1), date(2025, 11, 1))),
        ({"against": "month", "today": date(2026, 10, 21)}, (date(2026, 9, 1), date(2026, 9, 21))),
        ({"against": "month", "first": date(2026, 3, 29), "last": date(2026, 3, 31)},
         (date(2026, 2, 28), date(2026, 3, 1))),
        ({"against": "year", "first": date(2028, 2, 29), "last": date(2028, 2, 29), "today": date(2029, 1, 1)},
         (date(2027, 2, 28), date(2027, 3, 1))),
    ],
)  # fmt: skip
def test_the_days_before_are_those_that_were_chosen(given, expected):
    assert question(**given).before == expected


def test_nothing_is_compared_where_nothing_is_chosen_or_no_day_is_over():
    assert not question(against="none").compares
    assert not question(today=date(2026, 10, 1)).compares


def test_everything_as_one_stands_beside_the_same_days_before(client):
    making.make_priced_offering()
    for day, usd in (("2026-02-10", 5), ("2026-02-11", 10), ("2026-03-10", 20), ("2026-03-11", 40)):
        book(call(at=datetime.fromisoformat(f"{day}T12:30+00:00"), usd=usd))
    signed_in(client, "viewer")

    page = client.get("/spend/?by=all&against=month&from=2026-03-09&to=2026-03-12").content.decode()
    hours = client.get("/spend/?by=all&against=month&from=2026-03-10&to=2026-03-10&per=hour").content.decode()

    (drawn,) = [json.loads(text) for text in re.findall(r'id="spending-figure"[^>]*>(\{.*?\})</script>', page)]
    assert [(trace["name"], trace["y"]) for trace in drawn["data"]] == [
        ("Spend", [None, 20.0, 40.0, None]), ("a month before", [0.0, 5.0, 10.0, 0.0])
    ]  # fmt: skip
    assert "the same days a month before, 9 Feb 2026 to 12 Feb 2026" in page
    assert page.count("+300.0\N{NO-BREAK SPACE}%") == 3  # two days, and all of them
    (by_hour,) = [json.loads(text) for text in re.findall(r'id="spending-figure"[^>]*>(\{.*?\})</script>', hours)]
    assert [trace["y"][12] for trace in by_hour["data"]] == [20.0, 5.0]
    assert by_hour["data"][0]["x"][12] == "2026-03-10T12:00"


def test_an_hour_that_the_clock_shows_twice_stands_twice_on_the_axis_and_in_the_files(client):
    Organisation.objects.update(zone="Europe/Berlin")
    making.make_priced_offering()
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    book(call(at=first, usd=1), call(at=second, usd=2), at=second)
    signed_in(client, "viewer")
    query = "by=all&from=2026-10-25&to=2026-10-25&per=hour"

    page = client.get(f"/spend/?{query}").content.decode()
    sheet = load_workbook(io.BytesIO(client.get(f"/spend/table.xlsx?{query}&rows=time").getvalue()))["Lines"]

    (figure,) = [json.loads(text) for text in re.findall(r'id="spending-figure"[^>]*>(\{.*?\})</script>', page)]
    trace, axis = figure["data"][0], figure["layout"]["xaxis"]
    drawn = {x: y for x, y in zip(trace["x"], trace["y"], strict=True) if y}
    assert drawn == {"25 Oct 02:00 CEST": 1, "25 Oct 02:00 CET": 2}
    assert (len(set(trace["x"])), axis["type"]) == (25, "category")
    assert axis["ticktext"][:2] == ["00:00<br>25 Oct", "04:00"]  # lines that are short enough for a phone
    assert "02:00 CEST" in page.split("<table", 1)[1]
    times = [row[0] for row in sheet.iter_rows(min_row=2, values_only=True) if row[1]]
    assert {"2026-10-25 02:00:00+02:00", "2026-10-25 02:00:00+01:00"} <= set(map(str, times))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-15", 24)])
def test_a_day_has_the_hours_that_its_clock_shows(day, hours):
    one = date.fromisoformat(day)

    assert len(question(first=one, last=one, zone="Europe/Berlin", per="hour").buckets) == hours


# --- where it leads ---


def links(page: str, path: str) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(unescape(url)).query) for url in re.findall(rf' href="({path}\?[^"]+)"', page)]


def test_each_line_leads_to_its_entries_and_each_bar_to_what_it_is_made_of(client):
    making.make_priced_offering()
    for day in (10, 11):
        book(call(at=datetime(2026, 3, day, 12, tzinfo=UTC), team="platform"))
    signed_in(client, "viewer")

    page = client.get("/spend/?from=2026-03-09&to=2026-03-12&by=use_case&then=model&team=platform").content.decode()
    over_time = client.get("/spend/?from=2026-03-09&to=2026-03-12&by=rule&status=ok").content.decode()

    whole = {"from": ["2026-03-09"], "to": ["2026-03-12"], "team": ["platform"]}
    named = whole | {"use_case": ["support-routing"]}
    assert links(page, "/entries/") == [named, named | {"model": ["gpt-5.5"]}, whole]
    assert client.get(re.findall(r' href="(/entries/\?[^"]+)"', page)[1].replace("&amp;", "&")).status_code == 200
    (marks,) = [json.loads(text) for text in re.findall(r'id="spend-marks"[^>]*>(\{.*?\})</script>', over_time)]
    assert parse_qs(marks["traces"][0]) == {"status": ["ok"], "rule": ["(none)"], "by": ["use_case"]}
    assert marks["points"][1] == "from=2026-03-10&to=2026-03-10"
    followed = client.get(f"/spend/?{marks['traces'][0]}&{marks['points'][1]}")
    assert followed.status_code == 200
    assert 'title="Take this filter away"><span class="tk-chip__what">Rule</span>' in followed.content.decode()
    (marks,) = [json.loads(text) for text in re.findall(r'id="spend-marks"[^>]*>(\{.*?\})</script>', page)]
    cell = parse_qs("&".join([marks["base"], marks["traces"][0], marks["points"][0]]))
    assert cell == named | {"model": ["gpt-5.5"], "by": ["provider"]}


def test_a_bar_of_an_hour_leads_to_the_entries_of_that_hour(client):
    making.make_priced_offering()
    for minute in (0, 59, 60):
        book(call(at=datetime(2026, 3, 10, 12, tzinfo=UTC) + timedelta(minutes=minute), team="platform"))
    signed_in(client, "viewer")

    page = client.get("/spend/?from=2026-03-10&to=2026-03-10&by=model&team=platform").content.decode()

    (marks,) = [json.loads(text) for text in re.findall(r'id="spend-marks"[^>]*>(\{.*?\})</script>', page)]
    noon = f"{marks['traces'][0]}&{marks['points'][12]}"
    assert parse_qs(noon) == {
        "team": ["platform"], "model": ["gpt-5.5"], "from": ["2026-03-10T12:00Z"], "to": ["2026-03-10T13:00Z"],
    }  # fmt: skip
    assert client.get(f"{marks['path']}?{noon}").content.decode().count('data-label="Cost"') == 2


def test_what_does_not_fit_is_shown_another_way_and_said(client):
    making.make_priced_offering()
    book(call(at=datetime(2026, 3, 10, tzinfo=UTC)))
    signed_in(client, "viewer")

    for query, sentence in (
        ("chart=area&measure=latency", "Mean latency does not add up, so it is drawn as lines"),
        ("chart=treemap&by=all", "choose a dimension. Until then these are bars"),
        ("by=all&then=model", "Everything as one is not told apart any further"),
        ("from=2026-03-01&to=2026-03-31&per=hour", "Per hour, a range has 14 days at most"),
    ):
        answer = client.get(f"/spend/?{query}")
        assert answer.status_code == 200
        assert sentence in answer.content.decode()


def test_tags_say_what_their_sums_do_not_keep_and_with_what_they_cannot_be_told_apart(client):
    Organisation.objects.filter(pk=1).update(declared_tags=["cost_centre"])
    making.make_priced_offering()
    book(call(at=datetime(2026, 3, 10, tzinfo=UTC), tags={"cost_centre": "4711"}, usd=7))
    signed_in(client, "viewer")
    days = "from=2026-03-10&to=2026-03-10&by=tag:cost_centre"

    page = client.get(f"/spend/?{days}").content.decode()
    latency = client.get(f"/spend/?{days}&measure=latency").content.decode()
    refused = client.get(f"/spend/?{days}&then=task")
    by_hour = client.get(f"/spend/?{days}&per=hour")

    assert "4711" in page
    assert "$7.00" in page
    assert "Sums by tags keep cost, tokens, requests and failed requests alone" in latency
    assert refused.status_code == by_hour.status_code == 400
    assert "Rollups do not keep tags together with task." in refused.content.decode()


# --- files ---


def test_the_workbook_holds_what_the_csv_holds_and_says_what_was_asked(client):
    made("UTC")
    signed_in(client, "viewer")
    query = "from=2026-10-01&to=2026-10-31&by=model&then=team&measure=error_share&tier=frontier"

    for rows in ("names", "time"):
        csv_file = client.get(f"/spend/table.csv?{query}&rows={rows}").getvalue().decode()
        book_of = load_workbook(io.BytesIO(client.get(f"/spend/table.xlsx?{query}&rows={rows}").getvalue()))

        lines = list(csv.DictReader(io.StringIO(csv_file)))
        sheet = list(book_of.worksheets[0].iter_rows(values_only=True))
        heads = list(sheet[0])
        exact = [row[heads.index("cost_usd_exact")] for row in sheet[1:]]
        assert exact == [line["cost_usd"] for line in lines]
        assert [row[heads.index("team")] or "" for row in sheet[1:]] == [line["team"] for line in lines]
        about = {row[0]: row[1] for row in book_of["About"].iter_rows(values_only=True)}
        assert about["Days"] == "2026-10-01 to 2026-10-31, both included, in UTC"
        assert about["Tier"] == "frontier"
    ledger = spend.spend(
        ask=spend.SpendAsk(
            starts_at=periods.day_start(date(2026, 10, 1), "UTC"), ends_at=periods.day_start(date(2026, 11, 1), "UTC"),
            zone="UTC", filters={"tier": ("frontier",)},
        )
    )  # fmt: skip
    assert sum(Decimal(line["cost_usd"]) for line in lines) == ledger.total.cost_usd


# --- what it costs ---


def test_two_dimensions_any_chart_and_any_measure_take_no_more_queries(client, django_assert_max_num_queries):
    made("UTC")
    signed_in(client, "viewer")
    client.get("/spend/")
    days = "from=2026-10-01&to=2026-10-31"

    for query in (
        "", "then=model", "then=model&chart=area", "chart=treemap&then=team", "by=all", "measure=latency_p95",
        "chart=table", "by=rule&then=reason&against=year", "from=2026-10-02&to=2026-10-03&per=hour",
    ):  # fmt: skip
        with django_assert_max_num_queries(16):
            assert client.get(f"/spend/?{query if 'from' in query else f'{days}&{query}'}").status_code == 200
