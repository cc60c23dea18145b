"""The list of entries and the page of one event: from a sum to its lines, from a line to all that is known of it."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage import making
from usage.models import EventKey, LedgerEntry, Source
from usage.selectors.lines import SCAN

pytestmark = pytest.mark.django_db


def shown(page: str) -> list[tuple[str, Decimal]]:
    """Return the address of each line of the table and its exact cost."""
    rows = re.findall(r"<tr>(.*?)</tr>", page[page.index("tk-entries") :], re.DOTALL)[1:]
    found = []
    for row in rows:
        url = re.search(r'href="(/events/[^"]+)"', row)
        cost = re.search(r'data-label="Cost"><span title="(-?)\$([\d,.]+)"', row)
        assert url
        found.append((unescape(url[1]), Decimal(cost[1] + cost[2].replace(",", "")) if cost else Decimal(0)))
    return found


def followed(client, url: str, rel: str = "next") -> list[list[tuple[str, Decimal]]]:
    pages = []
    while url and len(pages) < 50:
        page = client.get(url).content.decode()
        pages.append(shown(page))
        link = re.search(rf'rel="{rel}" href="([^"]+)"', page)
        url = unescape(link[1]) if link else ""
    return pages


def address(event_id: str, source: int) -> str:
    return f"/events/{source}/{hashlib.sha256(event_id.encode()).hexdigest()[:32]}/"


@pytest.mark.parametrize("url", ["/entries/", "/events/", f"/events/1/{'0' * 32}/"])
def test_a_stranger_signs_in_first_and_who_may_see_nothing_sees_no_line(client, url):
    making.make_priced_offering()
    book(call(event_id="secret-call"))
    stranger = client.get(url)
    signed_in(client)

    refused = client.get(url)

    assert (stranger.status_code, refused.status_code) == (302, 403)
    assert "secret-call" not in refused.content.decode()


def test_the_pages_of_the_list_hold_every_line_once_and_add_up_to_the_ledger(client):
    making.make_priced_offering()
    now = timezone.now()
    book(*(call(at=now - timedelta(minutes=13 * n), usd=n + 1) for n in range(120)), at=now)
    signed_in(client, "viewer")

    pages = followed(client, "/entries/")
    lines = [line for page in pages for line in page]
    back = followed(client, client.get("/entries/").context["older_url"], rel="prev")

    assert len(lines) == len({url for url, _ in lines}) == 120
    assert sum(cost for _, cost in lines) == sum(LedgerEntry.objects.values_list("cost_usd", flat=True))
    assert [len(page) for page in pages] == [50, 50, 20]
    assert back[-1] == pages[0]


def test_filters_are_chips_that_can_be_taken_away_and_the_file_holds_what_they_pass(client):
    making.make_priced_offering()
    book(call(use_case="alpha", usd=3), call(use_case="beta", status="error"), call(use_case=HOSTILE, usd=2))
    signed_in(client, "viewer")

    page = client.get("/entries/?use_case=alpha&status=ok")
    text = page.content.decode()
    file = client.get("/entries/?use_case=alpha&status=ok&as=csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(file.streaming_content).decode())))

    assert [cost for _, cost in shown(text)] == [Decimal(3)]
    assert [chip["value"] for chip in page.context["chips"]] == ["alpha", "ok"]
    assert "use_case=alpha" not in page.context["chips"][0]["url"]
    assert f"/spend/?{page.context['state'].spend_query}" == page.context["spend_url"]
    assert [(row["use_case"], row["cost_usd"], row["status"]) for row in rows] == [("alpha", "3", "ok")]
    assert HOSTILE not in client.get("/entries/").content.decode()


def test_a_range_of_instants_shows_the_lines_of_one_bar(client):
    making.make_priced_offering()
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    book(call(at=hour, usd=1), call(at=hour + timedelta(minutes=59), usd=2), call(at=hour + timedelta(hours=1), usd=4))
    signed_in(client, "viewer")
    span = f"from={hour:%Y-%m-%dT%H:%M}Z&to={hour + timedelta(hours=1):%Y-%m-%dT%H:%M}Z"

    lines = shown(client.get(f"/entries/?{span}").content.decode())

    assert sum(cost for _, cost in lines) == 3


WRONG = [
    ("use_case=nobody", "There is no use case &#x27;nobody&#x27;."),
    ("modle=x", "There is no filter &#x27;modle&#x27;"),
    ("from=yesterday", "is no day such as"),
    ("from=2026-11-20T12:00:00&to=2026-11-21T12:00:00Z", "is no instant such as"),
    ("from=2026-11-20T12:00:00Z", "An instant needs another one"),
    ("from=2026-11-20&to=2026-11-01", "The last day lies before the first"),
    ("before=17", "There is no such page of this list"),
    ("kind=refund", "to choose for `kind`"),
    ("kind=reversal&unpriced=yes", "asked of usage alone"),
    ("unpriced=perhaps", "is yes, or is left out"),
    ("min_cost_usd=1e999", "is no amount of dollars"),
    ("slower_than_ms=-1", "is no number of milliseconds"),
    ("rule=%00", "There is no such rule"),
]


def test_an_address_that_means_nothing_is_refused_with_a_sentence_and_no_line(client):
    making.make_priced_offering()
    book(call())
    signed_in(client, "viewer")

    for query, sentence in WRONG:
        page, file = client.get(f"/entries/?{query}"), client.get(f"/entries/?{query}&as=csv")

        assert (page.status_code, page.context["lines"]) == (400, []), query
        assert sentence in page.content.decode()
        if "before" not in query:  # a file has all lines, whatever page it is asked from
            assert file.status_code == 400, query


@pytest.mark.parametrize("path", ["/entries/", "/spend/"])
def test_more_filters_than_anybody_chooses_are_refused_and_not_drawn(client, path):
    signed_in(client, "viewer")

    answer = client.get(path, {"rule": [f"rule-{number}" for number in range(101)]})

    assert answer.status_code == 400
    assert "100 values of filters at most" in answer.content.decode()
    assert "rule-7" not in answer.content.decode()


def test_where_there_is_nothing_the_page_says_what_to_do(client):
    signed_in(client, "platform")

    assert "Connect a gateway" in client.get("/entries/").content.decode()
    making.make_priced_offering()
    book(call())
    assert "Clear the filters" in client.get("/entries/?status=blocked").content.decode()
    assert "Choose other days" in client.get("/entries/?from=2026-01-01&to=2026-01-02").content.decode()


def test_the_list_takes_so_many_queries_however_long_it_is(client):
    making.make_priced_offering()
    signed_in(client, "viewer")
    counts = []
    for _ in range(2):
        book(*(call() for _ in range(60)))
        with CaptureQueriesContext(connection) as queries:
            client.get("/entries/?status=ok")
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 9
    assert SCAN >= 10_000


# --- one event ---


def test_the_page_of_an_event_says_what_it_cost_on_whose_word_and_how_it_came_in(client):
    offering = making.make_priced_offering()
    event = making.make_event(
        event_id="call-1", occurred_at=timezone.now(), user="u-42", call_group="c-1", context={"task": "code"},
        tags={"env": "prod"}, rule="code-high", rules_version=42, reported_cost_usd=Decimal("0.0081"),
    )  # fmt: skip
    book(event, making.make_event(event_id="call-2", occurred_at=timezone.now(), call_group="c-1", fallback_index=1))
    signed_in(client, "viewer")

    page = client.get(address("call-1", Source.objects.get().pk)).content.decode()

    assert "$0.008000000000000000" in page
    assert "recorded by finance@example.com" in page
    assert "approved by finance@example.com" in page
    assert f"/catalog/{offering.name}/#price-" in page
    assert "code-high" in page
    assert "which is not known here" in page
    assert "Other attempts at this call" in page
    assert "The gateway says" in page
    assert "/intake/" in page
    assert "u-42" not in page, "a person's key is only shown as a hash"
    assert "User, as a hash" in page
    assert hashlib.sha256(b"u-42").hexdigest()[:12] not in page, "nor as one that can be guessed at"


def test_what_was_taken_back_has_its_minus_before_the_dollar(client):
    making.make_priced_offering()
    taken_back = call(event_id="wrong")
    book(taken_back, making.make_event(event_id="void", occurred_at=taken_back.occurred_at, voids="wrong"))
    signed_in(client, "viewer")

    page = client.get(address("wrong", Source.objects.get().pk)).content.decode()
    listed = client.get("/entries/").content.decode()

    lines = re.findall(r'data-label="Cost">([^<]+)</td>\s*<td [^>]*data-label="Cost with it">([^<]+)<', page)
    assert lines == [("$5.00", "$5.00"), ("-$5.00", "$0.00")]
    assert 'title="-$5.00"' in listed
    assert "$-" not in page + listed


def test_an_event_that_nobody_knows_is_404_and_the_page_says_how_it_is_found(client):
    making.make_priced_offering()
    book(call(event_id="old"))
    entry = LedgerEntry.objects.get()
    EventKey.objects.all().delete()
    signed_in(client, "viewer")
    url = address("old", entry.source_id)
    day = timezone.localdate().isoformat()

    unknown = client.get(url)
    by_id = client.get("/events/?id=old").content.decode()
    found = client.get(f"/events/?id=old&use_case=support-routing&day={day}", follow=True)
    other_day = client.get("/events/?id=old&use_case=support-routing&day=2026-01-01").content.decode()

    assert unknown.status_code == 404
    assert "Look through that day" in unknown.content.decode()
    assert "No event is known by this id now" in by_id
    assert found.redirect_chain[0][0].startswith(f"{url}?entry=")
    assert found.status_code == 200
    assert "Nothing was booked of it" in other_day
    assert client.get(f"/events/99999999999999999999/{'0' * 32}/").status_code == 404
    assert client.get(f"{url}?entry=nonsense").status_code == 404
    assert client.get("/events/?digest=xyz").status_code == 400
    assert client.get("/events/?id=old&use_case=nobody").status_code == 400


def test_an_id_that_two_sources_have_shows_both_and_one_that_one_has_leads_to_it(client):
    making.make_priced_offering()
    book(call(event_id="same"), gateway="edge")
    book(call(event_id="same"), gateway="batch")
    book(call(event_id="single"))
    signed_in(client, "viewer")

    both = client.get("/events/?id=same").content.decode()
    one = client.get("/events/?id=single")

    assert "Several sources know this id" in both
    assert len(re.findall(r'href="/events/\d+/', both)) == 2
    assert one["Location"] == address("single", Source.objects.get(gateway__name="edge").pk)


def test_the_page_of_an_event_takes_so_many_queries_whatever_else_is_there(client):
    making.make_priced_offering()
    book(call(event_id="one", call_group="c-1"), *(call(call_group="c-1") for _ in range(15)))
    signed_in(client, "viewer")
    url = address("one", Source.objects.get().pk)
    client.get(url)

    with CaptureQueriesContext(connection) as queries:
        client.get(url)

    assert len(queries) <= 24, "\n".join(one["sql"][:100] for one in queries.captured_queries)
