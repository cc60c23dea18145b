"""Restatements: what changes to the past moved, how far their runs are, and putting a failed one in line again."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Amendment, Offering, Price, Tier
from catalog.services import contracts, offerings
from core.models import Job, JobState
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage.making import DAY, NOON, SECOND, make_event, make_priced_offering, send, set_price
from tests.usage.test_usage_restating import JUNE, LATER, restate
from usage.services import months
from usage.services.restating import running

pytestmark = pytest.mark.django_db
IN_JULY = datetime(2026, 7, 3, 9, tzinfo=UTC)


@pytest.fixture
def offering():
    """An offering with three booked calls of June and May; nothing is left to restate."""
    made = make_priced_offering()
    send(make_event(), make_event(use_case="other"), make_event(occurred_at=NOON - 20 * DAY))
    restate(NOON + SECOND)
    return made


def corrected(offering, usd="40", at=LATER, **overrides):
    set_price(offering, "output", usd, **{"at": at, "note": "the invoice says so", **overrides})
    return f"a{Amendment.objects.latest('id').pk}"


def failed(offering) -> str:
    key = corrected(offering)
    running.take_up(at=LATER)
    Job.objects.filter(kind=running.KIND, state=JobState.WAITING).update(
        state=JobState.FAILED, error=f"DataError: {HOSTILE}", done=1, total=3, finished_at=LATER
    )
    return key


def half_done(offering, monkeypatch) -> str:
    monkeypatch.setattr(running, "BATCH", 1)
    key = corrected(offering)
    running.take_up(at=LATER)
    job = Job.objects.get(kind=running.KIND, state=JobState.WAITING)
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, leased_until=LATER + DAY)
    assert not running.run(job, at=LATER)
    return key


def keys(page):
    return [line["row"].key for line in page.context["lines"]]


def test_without_any_the_page_says_what_would_stand_there(client):
    signed_in(client, "viewer")

    page = client.get("/restatements/").content.decode()

    assert "Nothing was restated yet" in page
    assert "hx-trigger" not in page.partition('id="restatements"')[2].partition(">")[0]


def test_what_moved_something_stands_first_and_what_moved_nothing_apart(client, offering):
    moved = corrected(offering)
    restate()
    signed_in(client, "viewer")

    shown, nothing = client.get("/restatements/"), client.get("/restatements/?state=nothing")

    assert keys(shown) == [moved]
    assert moved not in keys(nothing)
    assert len(keys(nothing)) == Amendment.objects.count() - 1
    (line,) = shown.context["lines"]
    assert (line["state"], line["row"].entries, line["row"].difference_usd) == ("Restated", 3, Decimal("0.003"))
    assert "the invoice says so" in shown.content.decode()


def test_pages_of_the_list_meet_without_a_gap(client, offering, monkeypatch):
    monkeypatch.setattr("dashboards.views.restatements.PER_PAGE", 2)
    made = [corrected(offering, str(31 + n), at=LATER + n * SECOND) for n in range(5)]
    signed_in(client, "viewer")

    found, url = [], "/restatements/?state=under-way"
    while url:
        page = client.get(url)
        found += keys(page)
        url = page.context["next_url"]

    assert found == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "state=x",
        "before=x",
        "before=%00",
        "before=2026-01-01~a1",
        "before=2026-01-01T00:00:00Z~a",
        "before=2026-01-01T00:00:00Z~b1",
        "before=2026-01-01T00:00:00Z~a99999999999999999999",
    ],
)
def test_an_address_that_means_nothing_is_not_found(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/restatements/?{query}").status_code == 404


@pytest.mark.parametrize("key", ["a999999", "j1", "x1", "a", "a9999999999999999999"])
def test_what_is_no_restatement_is_not_found(client, key):
    signed_in(client, "viewer")

    assert client.get(f"/restatements/{key}/").status_code == 404


def test_one_shows_before_and_after_by_month_and_use_case_with_what_was_changed(client, offering):
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)
    key = corrected(offering, at=IN_JULY)
    restate(IN_JULY)
    signed_in(client, "viewer")

    answer = client.get(f"/restatements/{key}/")
    found, page = answer.context["found"], answer.content.decode()

    assert [(one.month, one.closed, one.sums.entries) for one in found.months] == [
        (date(2026, 5, 1), False, 1), (JUNE, True, 2),
    ]  # fmt: skip
    assert {one.name: one.sums.entries for one in found.use_cases} == {"support-routing": 2, "other": 1}
    price = Price.objects.latest("id")
    assert f'href="/catalog/gpt-5.5@openai/#price-{price.pk}"' in page
    assert "closed: booked in the open month" in page
    assert [(one.table, one.row, one.actor) for one in found.audit] == [
        ("catalog_price", str(price.pk), "finance@example.com")
    ]
    assert answer.context["chart"].rows[1] == ["June 2026", "2", "$0.016", "$0.018", "$0.002"]


def test_a_month_closed_after_the_run_was_corrected_in_itself(client, offering):
    key = corrected(offering)
    restate()
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)
    signed_in(client, "viewer")

    found = client.get(f"/restatements/{key}/").context["found"]

    assert [one.closed for one in found.months] == [False, False]


def test_a_restated_offering_whose_name_is_no_address_is_shown_without_a_link(client, offering):
    key = corrected(offering)
    restate()
    Offering.objects.filter(pk=offering.pk).update(name="a b\n/c")
    signed_in(client, "viewer")

    answer = client.get(f"/restatements/{key}/")

    ((one, url),) = answer.context["concerned"]
    assert (one.name, url, answer.status_code) == ("a b\n/c", "", 200)


def test_what_moved_nothing_says_so(client, offering):
    key = corrected(offering, valid_until=NOON - 25 * DAY)
    restate()
    signed_in(client, "viewer")

    assert "nothing was corrected" in client.get(f"/restatements/{key}/").content.decode()


def test_a_run_under_way_shows_how_far_it_is_and_renews_itself_until_it_is_over(client, offering, monkeypatch):
    key = half_done(offering, monkeypatch)
    signed_in(client, "viewer")
    url = f"/restatements/{key}/"

    page = client.get(url).content.decode()
    part = client.get(url, headers={"HX-Request": "true", "HX-Target": "run"})
    job = Job.objects.get(kind=running.KIND, state=JobState.RUNNING)
    while not running.run(job, at=LATER):
        pass
    over = client.get(url, headers={"HX-Request": "true", "HX-Target": "run"})

    assert "1 of 3 events looked at" in page
    assert 'max="3" value="1"' in page
    assert f'hx-get="{url}" hx-trigger="every 2s"' in page
    assert "<html" not in part.content.decode()
    assert "HX-Refresh" not in part
    assert over["HX-Refresh"] == "true"
    assert "every 2s" not in over.content.decode()


def test_the_list_renews_itself_while_something_is_under_way(client, offering):
    corrected(offering)
    signed_in(client, "viewer")

    page = client.get("/restatements/").content.decode()
    part = client.get("/restatements/", headers={"HX-Request": "true", "HX-Target": "restatements"}).content.decode()
    restate()
    over = client.get("/restatements/").content.decode()

    assert 'hx-get="/restatements/" hx-trigger="every 3s"' in page
    assert "<html" not in part
    assert "every 3s" in part
    assert "every 3s" not in over


def test_a_failed_run_shows_its_error_as_text_and_is_put_in_line_again_by_whoever_may(client, offering):
    key = failed(offering)
    signed_in(client, "finance")

    page = client.get(f"/restatements/{key}/").content.decode()
    answer = client.post(f"/restatements/{key}/again/", follow=True)

    assert "DataError: &lt;script&gt;" in page
    assert HOSTILE not in page
    assert "Put in line again" in page
    assert "The run is in line again" in answer.content.decode()
    job = Job.objects.get(kind=running.KIND, state=JobState.WAITING)
    assert job.arguments["again"][0]["by"].endswith("@example.com")
    assert "Put in line again" not in answer.content.decode()


def test_whoever_may_not_put_prices_in_force_puts_nothing_in_line(client, offering):
    key = failed(offering)

    assert client.get(f"/restatements/{key}/").status_code == 302
    assert client.post(f"/restatements/{key}/again/").status_code == 302
    signed_in(client, "viewer")
    assert "Put in line again" not in client.get(f"/restatements/{key}/").content.decode()
    assert client.post(f"/restatements/{key}/again/").status_code == 403
    signed_in(client)
    assert client.get("/restatements/").status_code == 403
    assert not Job.objects.filter(kind=running.KIND, state=JobState.WAITING).exists()


def test_a_run_that_has_not_failed_is_not_put_in_line_again(client, offering):
    key = corrected(offering)
    signed_in(client, "finance")

    assert client.post(f"/restatements/{key}/again/").status_code == 404
    restate()
    answer = client.post(f"/restatements/{key}/again/", follow=True)

    assert "has not failed" in answer.content.decode()


def test_a_name_stays_as_it_is_written_where_a_change_begins_with_it(client, offering):
    offerings.set_tier(offering=offering, tier=Tier.ECONOMY, since_at=NOON - DAY, by="ann@example.com", at=LATER)
    restate()
    contracts.set_terms(
        name="Ours", provider=offering.provider, discount_percent=Decimal(10), valid_from=NOON - DAY, at=LATER + SECOND,
        by="ann@example.com", approved_by="ann@example.com",
    )  # fmt: skip
    restate(LATER + DAY)
    signed_in(client, "viewer")

    page = client.get("/restatements/").content.decode()

    assert ">gpt-5.5@openai is economy</a>" in page
    assert ">Contract Ours</a>" in page


def test_names_and_reasons_are_text(client):
    offering = make_priced_offering()
    send(make_event(use_case=HOSTILE))
    restate(NOON + SECOND)
    set_price(offering, "output", "40", at=LATER, note=HOSTILE)
    key = f"a{Amendment.objects.latest('id').pk}"
    restate()
    signed_in(client, "viewer")

    for url in ("/restatements/", f"/restatements/{key}/"):
        page = client.get(url).content.decode()
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_the_pages_take_as_many_queries_with_one_restatement_as_with_several(client, offering):
    signed_in(client, "viewer")

    def queries(url):
        with CaptureQueriesContext(connection) as caught:
            client.get(url)
        return len(caught)

    key = corrected(offering)
    restate()
    before = queries("/restatements/"), queries(f"/restatements/{key}/")
    for n in range(3):
        book(call(at=NOON, use_case=f"case-{n}"), at=LATER)
        key = corrected(offering, str(50 + n), at=LATER + (n + 1) * DAY)
        restate(LATER + (n + 1) * DAY)
    after = queries("/restatements/"), queries(f"/restatements/{key}/")

    assert before == after == (5, 12)


def test_the_list_is_in_the_menu(client):
    signed_in(client, "viewer")

    page = client.get("/restatements/").content.decode()

    assert re.search(r'<a href="/restatements/"[^>]* aria-current="page"', page)
    assert '<a href="/months/"' in page
