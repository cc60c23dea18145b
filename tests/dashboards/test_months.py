"""Months: what was booked in each, what waits before one is closed, and closing it for good in two steps."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog.models import ClaimState, UseCase
from core import periods
from core.models import Job, JobState, Organisation
from dashboards.views.months import check_lines
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage.making import DAY, make_event, make_offering, make_priced_offering, send, set_price, take
from tests.usage.test_usage_restating import restate
from usage.models import HeldEvent, Month, Receipt
from usage.selectors import months as selector
from usage.services import months, rebuilding
from usage.services.restating import running

pytestmark = pytest.mark.django_db
NOW = timezone.now()
THIS = NOW.date().replace(day=1)
LAST = periods.add_months(THIS, -1)
CLOSE = f"/months/{LAST:%Y-%m}/close/"


@pytest.fixture
def booked():
    """Book 7 USD in the last month and 5 in this one."""
    offering = make_priced_offering()
    book(call(at=in_month(LAST), usd=7), at=in_month(LAST))
    book(call(at=NOW, usd=5, use_case="other", team="support"), at=NOW)
    UseCase.objects.update(state=ClaimState.CLAIMED)
    restate(NOW)
    return offering


def in_month(label: date) -> datetime:
    """Return noon of a month's last day: an event of then still counts today."""
    return periods.month(label, "UTC").ends_at - timedelta(hours=12)


def close(label=LAST, at=NOW):
    months.close_month(label=label, by="finance@example.com", at=at, reason="invoices compared")


def waits(label=LAST, at=NOW):
    """Return the check list of a month: its titles by tone."""
    row = selector.row(label, at=at, zone=Organisation.objects.get(pk=1).zone)
    lines = check_lines(row, selector.checks(row, at=at), at=at)
    return {tone: [line.title for line in lines if line.tone == tone] for tone in ("danger", "warning", "info", "ok")}


def confirmation(answer) -> str:
    """Return what the second step's button carries."""
    (found,) = re.findall(r'name="confirm" value="(\w+)"', answer.content.decode())
    return found


# --- the list ---


def test_without_spend_the_page_says_what_to_do(client):
    signed_in(client, "viewer")

    page = client.get("/months/").content.decode()

    assert "No month has any spend yet" in page
    assert "How to send usage" in page


def test_every_month_stands_with_its_state_and_what_was_booked(client, booked):
    signed_in(client, "viewer")

    answer = client.get("/months/")

    rows = [line["row"] for line in answer.context["lines"]]
    assert [(row.label, row.state, row.cost_usd, row.priced_share) for row in rows] == [
        (THIS, "running", 5, 1), (LAST, "open", 7, 1),
    ]  # fmt: skip
    assert answer.context["due"].label == LAST
    assert f"Close {LAST:%B %Y}" not in answer.content.decode()


def test_a_closed_month_tells_who_closed_it_and_what_was_booked_for_it_since(client, booked):
    close()
    book(call(at=in_month(LAST) + timedelta(hours=1), usd=2), at=NOW)
    signed_in(client, "viewer")

    answer = client.get("/months/")

    open_, closed = (line["row"] for line in answer.context["lines"])
    assert (closed.cost_usd, closed.corrected_usd, closed.own_usd) == (7, 2, 9)
    assert (open_.cost_usd, open_.corrections_usd, open_.own_usd) == (7, 2, 5)
    assert [(one.month, one.booked_in, one.cost_usd) for one in answer.context["corrections"]] == [(LAST, THIS, 2)]
    assert "invoices compared" in answer.content.decode()
    assert answer.context["due"] is None


def test_a_closed_month_is_summed_once_and_again_after_a_rebuild(client, booked):
    def shown():
        return [(row.label, row.cost_usd) for row in selector.listed(at=NOW, zone="UTC").rows]

    def spoil():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE rollup_day SET cost_usd = cost_usd + 1")

    spoil()
    open_ = shown()
    close()
    with CaptureQueriesContext(connection) as summing:
        closed = shown()
    spoil()
    remembered = shown()
    rebuild = rebuilding.begin(first=LAST, last=NOW.date(), by="platform@example.com", reason="spoilt", at=NOW)
    while_it_runs = shown()
    rebuilding.go_on(rebuild=rebuild, clock=lambda: NOW, told=lambda day, mended: None)

    assert open_ == closed == [(THIS, 6), (LAST, 8)]
    assert remembered == [(THIS, 7), (LAST, 8)]
    assert while_it_runs == [(THIS, 7), (LAST, 9)]
    assert shown() == [(THIS, 5), (LAST, 7)]
    assert len(summing) == 5


def test_the_oldest_open_month_is_the_one_to_close_first(client, booked):
    before = periods.add_months(THIS, -2)
    book(call(at=in_month(before), usd=1), at=in_month(before))
    signed_in(client, "finance")

    answer = client.get("/months/")

    assert answer.context["due"].label == before
    assert f"Close {before:%B %Y}" in answer.content.decode()


def test_older_months_are_a_page_away_over_any_gap(client, booked):
    long_ago = periods.add_months(THIS, -30)
    book(call(at=in_month(long_ago), usd=1), at=in_month(long_ago))
    signed_in(client, "viewer")

    first = client.get("/months/")
    second = client.get(first.context["earlier_url"])

    assert [line["row"].label for line in first.context["lines"]] == [THIS, LAST]
    assert [line["row"].label for line in second.context["lines"]] == [long_ago]
    assert (second.context["earlier_url"], second.context["newest_url"]) == ("", "/months/")


@pytest.mark.parametrize("text", ["x", "2026", "2026-13", "2026-1", "2026-10-01", "0000-01", "%00", "9999-12"])
def test_a_month_that_is_none_is_not_found(client, booked, text):
    signed_in(client, "viewer")

    assert client.get(f"/months/?upto={text}").status_code == 404
    assert client.get(f"/months/{text}/").status_code == 404


def test_a_month_without_spend_is_not_found(client, booked):
    signed_in(client, "finance")

    assert client.get("/months/2020-01/").status_code == 404
    assert client.get("/months/2020-01/close/").status_code == 404


# --- one month ---


def test_a_month_shows_its_use_cases_and_teams_and_they_add_up(client, booked):
    close()
    book(call(at=in_month(LAST) + timedelta(hours=1), usd=2), at=NOW)
    signed_in(client, "viewer")

    answer = client.get(f"/months/{THIS:%Y-%m}/")

    row = answer.context["row"]
    for parts in (answer.context["use_cases"], answer.context["teams"]):
        assert sum(one.cost_usd for one, _ in parts) == row.cost_usd == 7
        assert sum(one.corrections_usd for one, _ in parts) == row.corrections_usd == 2
    assert [one.name for one, _ in answer.context["use_cases"]] == ["other", "support-routing"]
    for _, url in answer.context["use_cases"]:
        assert client.get(url).status_code == 200
    assert client.get(answer.context["spend_url"]).status_code == 200


def test_a_month_names_the_restatements_that_touched_it_with_their_part(client, booked):
    set_price(booked, "uncached_input", "6", at=NOW, note="the invoice says so", valid_from=in_month(LAST) - DAY)
    restate(NOW)
    signed_in(client, "viewer")

    answer = client.get(f"/months/{LAST:%Y-%m}/")

    (one,) = answer.context["restated"]
    assert (one["sums"].before_usd, one["sums"].after_usd) == (7, Decimal("8.4"))
    assert f'href="/restatements/{one["row"].key}/"' in answer.content.decode()
    assert answer.context["row"].cost_usd == Decimal("8.4")


def test_months_are_the_organisations_own(client):
    Organisation.objects.update(zone="Pacific/Kiritimati")
    make_priced_offering()
    starts_at = periods.month(THIS, "Pacific/Kiritimati").starts_at
    book(call(at=starts_at - timedelta(seconds=1), usd=3), call(at=starts_at, usd=4))
    signed_in(client, "viewer")

    rows = {line["row"].label: line["row"].cost_usd for line in client.get("/months/").context["lines"]}

    assert (rows[LAST], rows[THIS]) == (3, 4)


# --- what waits ---


def test_a_month_with_nothing_to_wait_for_is_in_order(booked):
    found = waits()

    assert (found["danger"], found["warning"]) == ([], [])
    assert found["ok"] == [
        "Everything received is booked", "No correction is under way", "Every token is priced",
    ]  # fmt: skip


def test_events_that_wait_and_bodies_set_aside_are_on_the_list(booked):
    take(call(at=NOW), received_at=NOW)
    take(call(at=NOW), received_at=NOW)
    Receipt.objects.filter(pk=Receipt.objects.latest("id").pk).update(state="failed")

    found = waits()

    assert found["danger"] == ["Bodies were set aside"]
    assert found["warning"] == ["Events wait to be booked"]


def test_restatements_that_may_concern_the_month_are_on_the_list(booked):
    def change(usd, **when):
        set_price(booked, "output", usd, at=NOW, **when)

    change("40", valid_from=in_month(LAST) - 400 * DAY, valid_until=in_month(LAST) - 300 * DAY)
    assert waits()["warning"] == [], "it was long before"
    change("41", valid_from=in_month(LAST) - DAY)
    assert waits()["warning"] == ["Restatements are under way"]
    running.take_up(at=NOW)
    Job.objects.filter(state=JobState.WAITING).update(state=JobState.FAILED)
    assert waits()["danger"] == ["A restatement failed"]
    Job.objects.filter(state=JobState.FAILED).update(state=JobState.WAITING)
    restate(NOW)
    assert waits()["danger"] == waits()["warning"] == []


def test_what_has_no_price_no_tier_no_owner_or_no_counts_is_on_the_list(booked):
    make_offering("gpt-9@openai", tier=None)
    at = in_month(LAST)
    events = (
        make_event(occurred_at=at, model="gpt-9"),
        make_event(occurred_at=at, model="never-heard-of", use_case="new"),
        make_event(occurred_at=at, uncached_input_tokens=0, output_tokens=0, counted=False),
    )
    send(*events, received_at=at)

    found = waits()

    assert found["warning"] == ["Some tokens are unpriced", "Names wait for somebody", "Some models have no tier"]
    assert "Some requests came without token counts" in found["info"]
    row = selector.row(LAST, at=NOW, zone="UTC")
    texts = {line.title: line.text for line in check_lines(row, selector.checks(row, at=NOW), at=NOW)}
    assert "gpt-9@openai, never-heard-of@openai" in texts["Some tokens are unpriced"]
    assert texts["Names wait for somebody"].startswith("Nobody has taken charge of 1 model and 1 use case used")


def test_each_line_of_the_list_leads_to_a_page_that_is_there(client, booked):
    make_offering("gpt-9@openai", tier=None)
    at = in_month(LAST)
    events = (
        make_event(occurred_at=at, model="gpt-9", reported_cost_usd=Decimal(1)),
        make_event(occurred_at=at, use_case="new", reported_cost_usd=Decimal(1)),
        make_event(occurred_at=at, uncached_input_tokens=0, output_tokens=0, counted=False),
    )
    send(*events, received_at=at)
    set_price(booked, "output", "41", at=NOW, valid_from=at - DAY)
    signed_in(client, "viewer")

    lines = client.get(f"/months/{LAST:%Y-%m}/").context["checks"]

    urls = {line.url for line in lines if line.url}
    assert len(urls) >= 6
    assert {url: client.get(url).status_code for url in urls} == dict.fromkeys(urls, 200)


def test_events_that_are_held_back_are_on_the_list_of_their_month(booked):
    receipt = Receipt.objects.latest("id")
    for label in (LAST, THIS):
        HeldEvent.objects.create(
            receipt=receipt, source=receipt.source, reason="conflict", event_id=f"{label}", event={},
            occurred_at=in_month(label), content=b"0" * 16, held_at=NOW,
        )  # fmt: skip

    row = selector.row(LAST, at=NOW, zone="UTC")

    assert selector.checks(row, at=NOW).held_events == 1
    assert "Events are held back" in waits()["warning"]


@pytest.mark.parametrize(("told", "tone"), [("7.05", "ok"), ("7.5", "warning")])
def test_what_gateways_reckon_is_compared(told, tone):
    make_priced_offering()
    book(call(at=in_month(LAST), usd=7, reported_cost_usd=Decimal(told)), at=in_month(LAST))

    found = waits()

    assert [title for title in found[tone] if title.startswith("Gateways reckon")]


def test_late_events_are_told_of_until_they_are_too_late(booked):
    ends_at = periods.month(LAST, "UTC").ends_at

    assert "Late events may still come" in waits(at=ends_at + 35 * DAY - timedelta(seconds=1))["info"]
    assert "Late events may still come" not in waits(at=ends_at + 35 * DAY)["info"]


# --- closing ---


def test_a_month_is_closed_in_two_steps_with_a_reason(client, booked):
    person = signed_in(client, "finance")

    form = client.get(CLOSE)
    second = client.post(CLOSE, {"reason": "invoices compared"})
    assert not Month.objects.exists()
    done = client.post(CLOSE, {"reason": "invoices compared", "confirm": confirmation(second)}, follow=True)

    assert "This cannot be undone" not in form.content.decode()
    assert "This cannot be undone" in second.content.decode()
    assert '<strong title="$7.00">$7.00</strong> for good' in second.content.decode()
    month = Month.objects.get()
    assert (month.label, month.closed_by, month.reason) == (LAST, person.email, "invoices compared")
    assert "is closed. Its totals never change" in done.content.decode()


def test_a_reason_that_was_changed_after_the_first_step_is_shown_once_more(client, booked):
    signed_in(client, "finance")
    second = client.post(CLOSE, {"reason": "invoices compared"})

    third = client.post(CLOSE, {"reason": "something else", "confirm": confirmation(second)})

    assert "This cannot be undone" in third.content.decode()
    assert not Month.objects.exists()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 301, "nul\x00"])
def test_a_reason_that_cannot_be_kept_closes_nothing(client, booked, reason):
    signed_in(client, "finance")

    answer = client.post(CLOSE, {"reason": reason})

    assert answer.status_code == 422
    assert "This cannot be undone" not in answer.content.decode()
    assert not Month.objects.exists()


def test_only_finance_closes_months(client, booked):
    assert client.get(CLOSE).status_code == 302
    assert client.post(CLOSE, {"reason": "a"}).status_code == 302
    for role in ("viewer", "engineer", "approver", "platform"):
        signed_in(client, role)
        assert client.get(CLOSE).status_code == 403
        assert client.post(CLOSE, {"reason": "a"}).status_code == 403
        assert "/close/" not in client.get("/months/").content.decode()
        assert "/close/" not in client.get(f"/months/{LAST:%Y-%m}/").content.decode()
    assert not Month.objects.exists()
    signed_in(client)
    assert client.get("/months/").status_code == 403
    assert client.get(f"/months/{LAST:%Y-%m}/").status_code == 403


def test_a_month_that_runs_or_is_closed_cannot_be_closed(client, booked):
    signed_in(client, "finance")

    runs = client.get(f"/months/{THIS:%Y-%m}/close/", follow=True)
    second = client.post(CLOSE, {"reason": "a"})
    close()
    closed = client.post(CLOSE, {"reason": "a", "confirm": confirmation(second)}, follow=True)

    assert "still runs" in runs.content.decode()
    assert "is closed already" in closed.content.decode()
    assert Month.objects.get().reason == "invoices compared"


def test_names_and_reasons_are_text(client):
    make_priced_offering()
    book(call(at=in_month(LAST), use_case=HOSTILE, team=HOSTILE), at=in_month(LAST))
    months.close_month(label=LAST, by=HOSTILE, at=NOW, reason=HOSTILE)
    signed_in(client, "finance")

    for url in ("/months/", f"/months/{LAST:%Y-%m}/"):
        page = client.get(url).content.decode()
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_the_pages_take_as_many_queries_however_much_there_is(client, booked):
    signed_in(client, "finance")

    def queries():
        found = []
        for url in ("/months/", f"/months/{LAST:%Y-%m}/", CLOSE):
            with CaptureQueriesContext(connection) as caught:
                client.get(url)
            found.append(len(caught))
        return found

    before = queries()
    for back in range(2, 6):
        label = periods.add_months(THIS, -back)
        book(
            *(call(at=in_month(label), use_case=f"case-{n}", team=f"team-{n}") for n in range(back)), at=in_month(label)
        )
    after = queries()

    assert before == after == [15, 17, 12]


def test_earlier_months_that_are_open_are_named_and_closed_ones_are_not(booked):
    for back in (2, 3, 14):
        label = periods.add_months(THIS, -back)
        book(call(at=in_month(label)), at=in_month(label))
    close(periods.add_months(THIS, -3))

    found = selector.checks(selector.row(LAST, at=NOW, zone="UTC"), at=NOW).earlier_open

    assert found == (periods.add_months(THIS, -2),)
    assert "Earlier months are open" in waits()["info"]
