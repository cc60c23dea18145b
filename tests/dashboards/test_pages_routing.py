"""The routing page: shares, versions, fallbacks, what was asked for."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import plotly.graph_objects as go
import pytest
from django.urls import reverse
from django.utils import timezone
from psycopg.types.range import TimestamptzRange

from catalog.models import Alias, Offering, Tier
from core.models import Organisation
from dashboards.change_words import points
from dashboards.charts import routing as charts
from dashboards.charts import routing_flow
from dashboards.selectors import routing as page_of
from dashboards.selectors import routing_rules
from dashboards.selectors.routing import Page, Question
from dashboards.selectors.routing_rules import NOT_SEEN
from routing.models import Environment, Version
from routing.services import switches
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.usage import making
from usage.events import Event
from usage.selectors import failing

pytestmark = pytest.mark.django_db
CHEAP = {"provider": "google", "model": "gemini-3-flash"}
MIDDLE = {"provider": "anthropic", "model": "claude-sonnet-4.6"}
FELL = {"fallback_index": 1, "route_reason": "fallback"}
TODAY = date(2026, 6, 20)


@pytest.fixture(autouse=True)
def _offerings() -> None:
    making.make_priced_offering()
    making.make_offering("gemini-3-flash@google", tier=Tier.ECONOMY, uncached_input="1", output="2")
    making.make_offering("claude-sonnet-4.6@anthropic", tier=Tier.MIDDLE, uncached_input="3", output="15")


def call(day: int = 15, **overrides: Any) -> Event:
    return making.make_event(**{"occurred_at": datetime(2026, 6, day, 12, tzinfo=UTC), **overrides})


def lately(**overrides: Any) -> Event:
    return making.make_event(**{"occurred_at": timezone.now() - timedelta(minutes=5), **overrides})


def book(*events: Event, **taking: Any) -> None:
    making.send(*events, received_at=max(event.occurred_at for event in events) + timedelta(minutes=1), **taking)


def publish(
    number: int,
    at: datetime,
    *,
    environment: str = "production",
    title: str = "",
    rules: Sequence[Any] = (),
    **more: Any,
) -> Version:
    """Put a version into the records as publishing leaves it, at any number."""
    held, _ = Environment.objects.get_or_create(name=environment, defaults={"created_at": at})
    given: dict[str, Any] = {"published_at": at, "published_by": "engineer@example.com", "title": title}
    canonical = json.dumps({"default": {"targets": []}, "offerings": {}, "rules": [*rules]}).encode()
    return Version.objects.create(
        environment=held, number=number, canonical=canonical, sha256=_hash(canonical),
        **{"approved_by": "approver@example.com", **given, **more},
    )  # fmt: skip


def _hash(text: bytes) -> bytes:
    return sha256(text).digest()


def asked(**overrides: Any) -> Question:
    return Question(
        **{"first": date(2026, 6, 1), "last": date(2026, 6, 20), "today": TODAY, "zone": "UTC", **overrides}
    )


def the_page(**overrides: Any) -> Page:
    return page_of.page(question=asked(**overrides), at=datetime(2026, 6, 20, 13, tzinfo=UTC))


def test_a_stranger_is_sent_to_sign_in_and_who_has_no_role_sees_nothing(client):
    assert client.get("/routing/")["Location"] == "/accounts/login/?next=/routing/"

    signed_in(client)

    assert client.get("/routing/").status_code == 403


def test_an_empty_installation_says_what_to_do_next(client):
    signed_in(client, "viewer")

    page = client.get("/routing/").content.decode()

    assert "No usage has arrived yet" in page
    assert "How to send usage" in page
    assert "data-chart=" not in page


def test_days_and_filters_that_hold_nothing_say_so(client):
    book(lately())
    signed_in(client, "viewer")

    past = client.get("/routing/?from=2020-01-01&to=2020-01-31").content.decode()
    filtered = client.get("/routing/?environment=elsewhere").content.decode()

    assert "Nothing was answered in these days" in past
    assert "Nothing in these days passes these filters" in filtered


def test_shares_are_of_answered_requests_of_tokens_or_of_spend():
    book(
        call(10, uncached_input_tokens=100, output_tokens=0),
        *(call(10, uncached_input_tokens=300, output_tokens=0, **CHEAP) for _ in range(3)),
        call(10, status="error"),
    )

    drawn = {
        measure: charts.share_by_tier(page_of.shares(asked(measure=measure))) for measure in page_of.MEASURES
    }  # fmt: skip

    rows = {measure: next(row for row in chart.rows if row[0] == "10 Jun 2026") for measure, chart in drawn.items()}
    assert drawn["requests"].columns == ["Day", "frontier", "economy", "Requests", "Rules"]
    gap = "\N{NO-BREAK SPACE}"
    assert rows["requests"][1:4] == [f"25.0{gap}% (1)", f"75.0{gap}% (3)", "4"]
    assert rows["tokens"][1:4] == [f"10.0{gap}% (100)", f"90.0{gap}% (900)", "1,000"]
    assert rows["cost"][1:4] == [f"35.7{gap}% ($0.0005)", f"64.3{gap}% ($0.0009)", "$0.0014"]


def test_the_largest_models_are_named_and_the_others_are_one():
    names = [f"model-{n}" for n in range(8)]
    for n, name in enumerate(names):
        making.make_offering(f"{name}@somebody", tier=Tier.ECONOMY, uncached_input="1", output="1")
        book(*(call(10, provider="somebody", model=name) for _ in range(10 - n)))

    chart = charts.share_by_model(page_of.shares(asked()))

    assert list(chart.columns) == ["Day", *names[:6], "others", "Requests", "Rules"]
    row = next(row for row in chart.rows if row[0] == "10 Jun 2026")
    assert row[7].endswith("(7)")  # 4 of one, 3 of the other
    assert row[8] == "52"


def test_a_version_is_marked_where_it_was_published_in_the_organisation_s_zone():
    publish(4, datetime(2026, 6, 9, 23, 30, tzinfo=UTC), title="Flash for support <b>")
    book(call(5), call(12))

    shares = page_of.shares(asked(zone="Europe/Berlin"))
    chart = charts.share_by_tier(shares)

    assert [(mark.number, mark.day) for mark in shares.marks] == [(4, date(2026, 6, 10))]
    layout = chart.figure["layout"]
    (line,) = layout["shapes"]
    assert line["x0"] == line["x1"] == "2026-06-09T13:30:00"  # half past one on the 10th, see the note
    (label,) = layout["annotations"]
    assert label["text"] == '<a href="/rules/production/versions/4/" target="_self">v4</a>'
    assert label["hovertext"] == "version 4: Flash for support &lt;b&gt;"
    assert next(row for row in chart.rows if row[0] == "10 Jun 2026")[-1] == "version 4"


def test_numbers_of_versions_stand_where_there_is_room_for_them():
    for number, day in ((17, 3), (18, 5), (19, 9), (20, 10), (21, 16)):
        for environment in ("production", "staging"):
            publish(number, datetime(2026, 6, day, 12, tzinfo=UTC), environment=environment)
    book(call(1), call(19))
    layout = charts.share_by_tier(page_of.shares(asked())).figure["layout"]

    assert len(layout["shapes"]) == 10
    assert [label["text"].split(">")[1].split("<")[0] for label in layout["annotations"]] == [
        "v17", "v18", "v19", "v21",  # each of both environments; a day is two characters wide
    ]  # fmt: skip


def test_more_days_than_a_quarter_are_drawn_per_week():
    publish(4, datetime(2026, 6, 10, 12, tzinfo=UTC))  # a Wednesday
    # A Tuesday before the range, a Wednesday and a Sunday of one week, the next Monday, and the last day's week.
    book(call(2), call(3), call(7, **CHEAP), call(8, **FELL), call(19))
    day = asked(first=date(2026, 3, 21))
    week = asked(first=date(2026, 3, 18), last=date(2026, 6, 19))
    assert (day.weekly, week.weekly) == (False, True)

    page = the_page(first=date(2026, 6, 3), last=date(2026, 9, 5))
    chart, detours = charts.share_by_tier(page.shares), charts.detours(page)

    gap = "\N{NO-BREAK SPACE}"
    assert chart.columns[0] == detours.columns[0] == "Week from"
    assert [row for row in chart.rows if row[3] != "0"] == [
        ["15 Jun 2026", f"100.0{gap}% (1)", f"0.0{gap}% (0)", "1", ""],
        ["8 Jun 2026", f"100.0{gap}% (1)", f"0.0{gap}% (0)", "1", "version 4"],
        ["1 Jun 2026", f"50.0{gap}% (1)", f"50.0{gap}% (1)", "2", ""],
    ]
    assert chart.subtitle.startswith(
        "Per week from Monday, of answered requests; the first week from 3 Jun 2026; the last one so far."
    )
    assert next(row for row in detours.rows if row[0] == "8 Jun 2026")[-1] == f"100.0{gap}%"
    first, *_ = chart.figure["data"]
    assert first["x"][:2] == ["2026-06-01", "2026-06-08"]
    (line,) = chart.figure["layout"]["shapes"]
    assert line["x0"] == "2026-06-07T00:00:00"  # half a week before it came: see the note
    assert chart.figure["layout"]["xaxis"]["range"] == ["2026-05-28T12:00:00", "2026-06-18T12:00:00"]
    assert [half.answered for half in page.halves] == [2, 2]  # the second begins on Monday, 8 June


def test_a_version_that_only_requests_name_is_marked_where_it_was_first_seen():
    publish(4, datetime(2026, 6, 8, 9, tzinfo=UTC))
    book(call(5, rules_version=3), call(8, rules_version=4), call(9, rules_version=3), call(12, rules_version=5))

    marks = page_of.shares(asked()).marks

    assert [(mark.number, mark.day.day, mark.at is None) for mark in marks] == [(4, 8, False), (5, 12, True)]


def test_versions_of_another_environment_are_no_marks_where_one_is_chosen():
    publish(4, datetime(2026, 6, 8, 9, tzinfo=UTC))
    publish(9, datetime(2026, 6, 8, 9, tzinfo=UTC), environment="staging")
    book(call(5), call(12))

    assert [mark.number for mark in page_of.shares(asked()).marks] == [4, 9]
    assert [mark.number for mark in page_of.shares(asked(environment="production")).marks] == [4]


def test_a_version_is_compared_with_the_one_before_it_in_its_environment():
    book(
        *(call(5, rules_version=3, **CHEAP) for _ in range(3)), call(5, rules_version=3),
        call(9, rules_version=4, **CHEAP), call(9, rules_version=4), call(9, rules_version=4, **FELL),
        call(9, rules_version=4, **CHEAP),
    )  # fmt: skip
    book(call(9, rules_version=4), environment="staging")

    versions = the_page().versions

    assert [(one.environment, one.number) for one in versions] == [
        ("production", 4), ("production", 3), ("staging", 4),
    ]  # fmt: skip
    fourth = versions[0]
    assert fourth.before == versions[1].sums
    assert points(fourth.sums.frontier_share, versions[1].sums.frontier_share) == "+25.0"
    assert points(fourth.sums.fallback_share, versions[1].sums.fallback_share) == "+25.0"
    assert versions[2].before is None


def test_a_version_is_not_compared_with_late_requests_of_an_older_one():
    book(call(5, rules_version=4, **CHEAP), call(9, rules_version=4), call(9, rules_version=3))

    assert [(one.number, one.before) for one in the_page().versions] == [(4, None), (3, None)]


def test_a_way_back_is_marked_as_one():
    publish(4, datetime(2026, 6, 8, 9, tzinfo=UTC))
    publish(5, datetime(2026, 6, 9, 9, tzinfo=UTC), rolls_back_to=3, approved_by="", reason="It was dearer.")
    book(call(5), call(12))

    told = [charts.told(mark) for mark in page_of.shares(asked()).marks]

    assert told == ["version 4 published", "version 5: back to version 3"]


def test_detours_lead_from_what_their_rule_sends_to_first_to_what_answered():
    one = {"rules_version": 3, "rule": "one"}
    split = {"rules_version": 3, "rule": "split"}
    book(
        call(5, **CHEAP, **one), call(5, **CHEAP, **one, status="error"), call(5, **one, **FELL),
        call(5, **one, **FELL), call(5, **MIDDLE, **one, route_reason="over_budget"),
        call(5, **CHEAP, **split), call(5, **MIDDLE, **split), call(5, **split, **FELL),
        call(5, rules_version=3, rule="unseen", **CHEAP, **FELL),
        call(5, **MIDDLE), call(5, **FELL),
    )  # fmt: skip

    page = the_page()

    flash, sonnet, gpt = "gemini-3-flash@google", "claude-sonnet-4.6@anthropic", "gpt-5.5@openai"
    assert {(move.tried, move.offering, move.reason): move.requests for move in page.moves} == {
        (flash, gpt, "fallback"): 2, (flash, sonnet, "over_budget"): 1, (f"{sonnet} or {flash}", gpt, "fallback"): 1,
        (NOT_SEEN, flash, "fallback"): 1, (NOT_SEEN, gpt, "fallback"): 1,
    }  # fmt: skip
    assert (page.total.by_fallback, page.total.detoured) == (5, 6)
    row = next(row for row in charts.detours(page).rows if row[0] == "5 Jun 2026")
    assert row[1:5] == ["5", "1", "6", "10"]


def test_the_flow_s_bands_are_as_wide_on_both_sides_of_a_rule_and_its_table_adds_up():
    book(
        *(
            call(5, use_case=f"case-{n % 12}", rule=f"rule-{n % 20}", rules_version=1, **(CHEAP if n % 3 else {}))
            for n in range(60)
        ),
        call(6, use_case="case-0"),
    )

    for measure in page_of.MEASURES:
        chart = routing_flow.flow(page_of.shares(asked(measure=measure)))
        sankey = chart.figure["data"][0]
        labels, link = list(sankey["node"]["label"]), sankey["link"]
        rules = [n for n, label in enumerate(labels) if "rule" in label]
        into = {n: sum(v for t, v in zip(link["target"], link["value"], strict=True) if t == n) for n in rules}
        out = {n: sum(v for s, v in zip(link["source"], link["value"], strict=True) if s == n) for n in rules}
        assert into == pytest.approx(out)
        assert len(rules) == routing_flow.MOST_RULES + 1
        assert labels.count("4 other use cases") == 1
        assert sum(int(row[3].replace(",", "")) for row in chart.rows) == 61
    assert chart.rows[-1][0].endswith("others")


def test_every_figure_is_one_that_plotly_knows():
    publish(4, datetime(2026, 6, 8, 9, tzinfo=UTC))
    book(call(5, requested_model="auto", rules_version=4, **FELL), call(12, requested_model="auto", **CHEAP))
    page = the_page()

    drawn = [
        routing_flow.flow(page.shares), charts.share_by_tier(page.shares), charts.share_by_model(page.shares),
        charts.detours(page), routing_flow.requested(page.asked),
    ]  # fmt: skip

    assert [go.Figure(chart.figure).data[0].type for chart in drawn] == ["sankey", "bar", "bar", "bar", "heatmap"]


def test_a_name_that_callers_ask_for_shows_how_often_they_got_it():
    always = TimestamptzRange(datetime(2020, 1, 1, tzinfo=UTC), None)
    Alias.objects.create(name="gpt", offering=Offering.objects.get(name="gpt-5.5@openai"), valid=always)
    book(
        *(call(5, requested_model="GPT") for _ in range(3)), call(5, requested_model="gpt", **CHEAP),
        call(5, requested_model="gemini-3-flash@google", **CHEAP), call(5, requested_model="auto", **CHEAP), call(5),
    )  # fmt: skip

    rows = {row[0]: row[1:] for row in routing_flow.requested(the_page().asked).rows}

    gap = "\N{NO-BREAK SPACE}"
    assert rows["GPT"] == [f"100.0{gap}%", "gpt-5.5", "3", f"100.0{gap}%"]
    assert rows["gpt"][0] == f"0.0{gap}%"
    assert rows["gemini-3-flash@google"][0] == f"100.0{gap}%"
    assert rows["auto"] == ["names no model", "gemini-3-flash", "1", f"100.0{gap}%"]
    assert rows["none given"][0] == "names no model"


def test_without_any_name_asked_for_it_says_how_to_report_one():
    book(call(5))

    chart = routing_flow.requested(the_page().asked)

    assert chart.figure is None
    assert "requested_model" in chart.empty_text


def rule(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "targets": [{"offering": "gpt-5.5@openai", "weight": 10_000}], **more}


def in_force(*versions: Version) -> None:
    for one in versions:
        Environment.objects.filter(pk=one.environment_id).update(live_version=one.number)


def test_rules_that_took_nothing_are_told_with_their_last_day_and_what_explains_it():
    named = {"rules_version": 1}
    begins = datetime(2026, 5, 1, tzinfo=UTC)
    old = [rule("busy"), rule("asleep", title="Nobody asks"), rule("over", active_until="2026-05-20T00:00:00Z")]
    first = publish(1, begins, rules=old)
    in_force(first)
    in_force(publish(2, datetime(2026, 6, 10, tzinfo=UTC), base=1, rules=[*old, rule("young")]))
    spring = making.make_event(occurred_at=datetime(2026, 5, 3, 12, tzinfo=UTC), rule="asleep", **named)
    book(spring)
    book(call(5, rule="busy", **named))

    idle = the_page().idle

    assert idle is not None
    assert [(one.place, one.rule, one.new, one.last_day) for one in idle.rules] == [
        (2, "asleep", False, date(2026, 5, 3)), (3, "over", False, None), (4, "young", True, None),
    ]  # fmt: skip
    assert (idle.in_force, idle.silent) == (4, [])
    assert idle.rules[1].active_until == datetime(2026, 5, 20, tzinfo=UTC)
    assert the_page(team="x", team_id=1).idle is None


def test_an_environment_whose_requests_name_no_rule_is_not_said_to_have_idle_ones():
    in_force(publish(1, datetime(2026, 5, 1, tzinfo=UTC), rules=[rule("one")]))
    book(call(5))

    idle = the_page().idle

    assert idle is not None
    assert (idle.rules, idle.in_force, idle.silent) == ((), 0, ["production"])


@pytest.mark.parametrize(("role", "offered"), [("engineer", True), ("viewer", False)])
def test_a_rule_that_took_nothing_is_a_click_away_from_a_draft_for_who_may_write_one(client, role, offered):
    in_force(publish(1, timezone.now() - timedelta(days=60), rules=[rule("busy"), rule("asleep")]))
    book(lately(rules_version=1, rule="busy"))
    signed_in(client, role)

    page = client.get("/routing/").content.decode()

    card = page.split('id="idle"')[1].split("</section>")[0]
    assert "asleep" in card
    assert ("rules/production/drafts/change/" in card) is offered


def test_an_offering_stands_beside_how_it_did_in_as_many_days_before():
    book(
        *(call(5, status=status, latency_ms=900) for status in ("ok", "ok", "error", "error")),
        making.make_event(occurred_at=datetime(2026, 5, 13, 12, tzinfo=UTC), latency_ms=400),
        making.make_event(occurred_at=datetime(2026, 5, 11, 12, tzinfo=UTC), latency_ms=9000),
    )

    (line,) = the_page().offerings

    assert (line.now.attempts, line.now.failed) == (4, 2)
    assert line.before is not None
    assert (line.before.attempts, line.before.mean_latency_ms) == (1, 400)


def test_every_table_adds_up_to_what_was_answered():
    book(
        *(call(5, rules_version=3, rule=f"rule-{n}", requested_model=f"asked-{n}", **CHEAP) for n in range(45)),
        call(6, **FELL),
        call(6, status="error"),
    )

    page = the_page()

    assert page.total.answered == 46
    assert len(page.rules) == routing_rules.MOST_RULES + 1
    assert page.rules[-1].rest == 46 - routing_rules.MOST_RULES
    assert sum(line.sums.answered for line in page.rules) == 46
    assert sum(line.sums.answered for line in page.versions) == 46
    assert sum(line.sums.answered for line in page.reasons) == 46
    assert sum(half.answered for half in page.halves) == 46
    assert sum(pair.answered for one in page.asked for pair in one.pairs) == 46
    pairs = routing_flow.requested(page.asked).rows
    assert pairs[-1][0] == f"{46 - routing_flow.MOST_ASKED} other names"
    assert sum(int(row[3].replace(",", "")) for row in pairs) == 46
    ways = routing_flow.flow(page.shares).rows
    assert sum(Decimal(row[6].lstrip("$").replace(",", "")) for row in ways) == page.total.cost_usd


def test_the_halves_leave_out_days_that_have_not_begun():
    question = asked(last=date(2026, 6, 30))

    assert question.middle == date(2026, 6, 11)
    assert asked(first=date(2026, 6, 20)).middle == date(2026, 6, 20)


def test_the_page_shows_what_was_booked_with_charts_and_the_same_numbers_below(client):
    book(lately(rules_version=3, rule="support-default", requested_model="support"), lately(**CHEAP, **FELL))
    signed_in(client, "viewer")

    page = client.get("/routing/").content.decode()

    for figure in ("flow-figure", "tier-share-figure", "model-share-figure", "detour-figure", "requested-figure"):
        assert f'data-chart="{figure}"' in page
    assert page.count("Numbers of this chart") == 5
    assert page.count("<details open data-numbers>") == 5  # without scripts the numbers are all there is
    assert "support-default" in page
    assert "Version 3" in page
    assert "1 of 2 answered requests" in page


def test_every_figure_leads_to_its_sums_and_its_entries(client):
    book(lately(rules_version=3, rule="one", requested_model="auto", route_reason="rule"), lately(**CHEAP, **FELL))
    book(lately(status="error"))
    signed_in(client, "viewer")

    page = client.get("/routing/?environment=production").content.decode()

    links = {html.unescape(link) for link in re.findall(r'href="(/(?:spend|entries)/[^"]*environment=[^"]*)"', page)}
    asked = [parse_qs(urlsplit(link).query) for link in links]
    for name in ("rule", "rules_version", "reason", "offering", "fallback", "status"):
        assert any(name in query for query in asked), name
    assert {query["by"][0] for query in asked if "by" in query} == {
        "use_case", "tier", "model", "reason", "requested_model", "rule", "offering",
    }  # fmt: skip
    # The first of each kind is followed: they are understood there.
    kinds = {(urlsplit(link).path, *sorted(parse_qs(urlsplit(link).query))): link for link in sorted(links)}
    for link in kinds.values():
        assert client.get(link).status_code == 200, link


def test_without_a_fallback_the_reasons_are_told_all_the_same(client):
    book(lately(route_reason="default"))
    signed_in(client, "viewer")

    page = client.get("/routing/").content.decode()

    assert "Every answered request went to its first choice" in page
    assert "no rule matched" in page


def test_a_version_leads_to_its_page(client):
    book(lately(rules_version=3))
    publish(3, timezone.now() - timedelta(hours=1), title="Flash for support")
    signed_in(client, "viewer")

    page = client.get("/routing/").content.decode()

    assert "Flash for support" in page
    assert f'<a href="{reverse("rules-version", args=["production", 3])}">Version 3</a>' in page


def test_what_fails_comes_first_then_shares_rules_fallbacks_and_the_flow_with_a_link_to_each(client):
    book(lately(rules_version=3, rule="one", requested_model="auto"), lately(**CHEAP, **FELL))
    signed_in(client, "viewer")

    page = client.get("/routing/").content.decode()

    linked = re.findall(r'href="#([a-z-]+)"', page[page.index("tk-sections") : page.index("tk-grid--stats")])
    assert linked == [
        "routing-shares",
        "idle",
        "rules",
        "fallbacks",
        "routing-flow",
        "offerings",
        "versions",
        "requested",
    ]
    places = [page.index("Nothing fails now"), *(page.index(f'id="{name}"') for name in linked)]
    assert places == sorted(places)


def test_the_shares_come_alone_when_htmx_asks(client):
    book(lately())
    signed_in(client, "viewer")

    answer = client.get("/routing/?measure=tokens", headers={"HX-Request": "true"})

    assert answer.content.decode().startswith('<div id="routing-shares"')
    assert '<div id="routing-flow" class="tk-stack" hx-swap-oob="true"' in answer.content.decode()
    assert "HX-Request" in answer["Vary"]


MEANS_NOTHING = (
    "from=x", "from=2026-13-01", "to=20261101", "from=0001-01-01", "from=2026-06-02&to=2026-06-01", "measure=colour",
    "source=colour", "team=nobody", "use_case=nobody", "use_case=a&use_case=b", "environment=%00", "colour=red",
    "from=2020-01-01&to=2026-01-01",
)  # fmt: skip


def test_an_address_that_means_nothing_says_what_is_wrong(client):
    signed_in(client, "viewer")

    for query in MEANS_NOTHING:
        answer = client.get(f"/routing/?{query}")
        alone = client.get(f"/routing/?{query}", headers={"HX-Request": "true"})

        assert answer.status_code == 400, query
        assert "This address cannot be answered" in answer.content.decode()
        assert 'role="alert"' in answer.content.decode()
        assert (alone.status_code, alone["HX-Redirect"]) == (400, f"/routing/?{query}")


def test_names_that_are_markup_stay_text(client):
    book(lately(use_case=HOSTILE, rule=HOSTILE, requested_model=HOSTILE, route_reason=HOSTILE[:32], fallback_index=1))
    publish(1, timezone.now() - timedelta(minutes=1), title=HOSTILE)
    signed_in(client, "viewer")

    page = client.get("/routing/").content.decode()

    assert "&lt;script&gt;" in page
    assert HOSTILE not in page


def test_the_page_asks_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    book(lately())
    signed_in(client, "viewer")
    client.get("/routing/")

    with django_assert_num_queries(18):
        client.get("/routing/")
    book(
        *(lately(use_case=f"case-{n}", rule=f"rule-{n}", rules_version=n, requested_model=f"m-{n}") for n in range(20))
    )
    in_force(
        *(
            publish(n, timezone.now() - timedelta(minutes=9 - n), base=n - 1 or None, rules=[rule(f"idle-{n}")])
            for n in range(1, 6)
        )
    )
    with django_assert_num_queries(20):  # what is in force, and when those that took nothing last did
        client.get("/routing/")
    with django_assert_num_queries(18):
        client.get("/routing/?use_case=case-3&environment=production")
    with django_assert_num_queries(8):
        client.get("/routing/?measure=cost&source=task", headers={"HX-Request": "true"})


def bad_hour(*, failed: int = 6, answered: int = 18, **overrides: Any) -> None:
    """Book attempts at OpenAI of the last minutes, some of which failed."""
    book(*(lately(status="error", **overrides) for _ in range(failed)), *(lately(**overrides) for _ in range(answered)))


def test_a_bad_hour_is_marked_with_a_filled_form_one_click_away(client):
    bad_hour()
    book(*(lately(**CHEAP) for _ in range(30)))
    signed_in(client, "engineer")

    page = client.get("/routing/?measure=tokens").content.decode()

    since = timezone.now() - timedelta(minutes=5)
    since = since.replace(minute=since.minute // 15 * 15)
    reason = f"error rate 25 % since {since:%H:%M}"
    assert page.count(reason) == 3  # the provider, the offering, and the offering in the table below
    links = {html.unescape(one) for one in re.findall(r'href="([^"]*switches/off/[^"]*)"', page)}
    asked = {parse_qs(urlsplit(link).query)["what"][0]: parse_qs(urlsplit(link).query) for link in links}
    assert set(asked) == {"provider:openai", "offering:gpt-5.5@openai"}
    assert asked["provider:openai"] == {
        "what": ["provider:openai"], "minutes": ["30"], "reason": [reason], "back": ["/routing/?measure=tokens"],
    }  # fmt: skip
    form = client.get(next(link for link in links if "provider" in link)).content.decode()
    assert '<option value="provider:openai" selected' in form
    assert f'value="{reason}"' in form


@pytest.mark.parametrize(("failed", "answered"), [(1, 10), (2, 30), (1, 40)])
def test_few_failures_are_no_bad_hour(failed, answered):
    bad_hour(failed=failed, answered=answered)

    assert failing.lately(at=timezone.now()) == []


def test_a_bad_hour_that_is_long_over_is_none():
    early = [making.make_event(occurred_at=timezone.now() - timedelta(hours=2), status="error") for _ in range(30)]
    book(*early)

    assert failing.lately(at=timezone.now()) == []


def test_what_is_off_stands_on_top_and_is_offered_to_be_turned_off_no_more(client):
    bad_hour()
    turn(kind="provider", name="openai", reason="a bad hour")
    signed_in(client, "engineer")

    page = client.get("/routing/").content.decode()

    assert page.index("Switched off now") < page.index("Share on frontier")
    assert "a bad hour" in page
    assert "On again" in page
    assert "Failing now" not in page


@pytest.mark.parametrize(("role", "words"), [("engineer", "Switch something off"), ("viewer", "Switches")])
def test_the_way_to_the_switches_is_there_while_nothing_fails(client, role, words):
    signed_in(client, role)

    page = client.get("/routing/").content.decode()

    link = page.split('href="/rules/production/switches/"')[1].split("</a>")[0]
    assert link.endswith(words)


@pytest.mark.parametrize("role", ["viewer", "finance", "approver"])
def test_who_may_not_switch_sees_the_bad_hour_and_no_way_to_turn_it_off(client, role):
    bad_hour()
    turn(kind="model", name="gemini-3-flash", reason="too slow")
    signed_in(client, role)

    page = client.get("/routing/").content.decode()

    assert "Failing now" in page
    assert "too slow" in page
    assert "switches/off/" not in page
    assert "On again" not in page


def turn(*, kind: str, name: str, reason: str) -> None:
    switches.turn(
        kind=kind, name=name, off=True, seconds=600, reason=reason, by="lead@example.com", at=timezone.now()
    )  # fmt: skip


def test_days_are_the_organisation_s(client):
    Organisation.objects.filter(pk=1).update(zone="America/New_York")
    making.forget_everything()
    book(making.make_event(occurred_at=datetime(2026, 6, 2, 3, 30, tzinfo=UTC)))
    signed_in(client, "viewer")

    first = client.get("/routing/?from=2026-06-01&to=2026-06-01").content.decode()
    second = client.get("/routing/?from=2026-06-02&to=2026-06-02").content.decode()

    assert "1 of 1 answered requests" in first
    assert "Nothing was answered in these days" in second
