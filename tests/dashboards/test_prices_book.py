"""The price book: searched, narrowed and paged, each price down to its source and who answers for it."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from django.utils import timezone

from catalog.models import Contract, HourWindow, Offering
from catalog.services import contracts
from dashboards.selectors import prices as page_of
from dashboards.selectors.prices import Wanted
from tests.catalog.making import JANUARY, JULY, MARCH, make_offering, set_price
from tests.dashboards.seeing import HOSTILE, signed_in

pytestmark = pytest.mark.django_db
SOON = datetime(2199, 1, 1, tzinfo=UTC)


def listed(**wanted):
    found = page_of.book(at=timezone.now(), wanted=Wanted(**wanted))
    return [(line.price.offering, line.price.meter, f"{line.price.usd_per_1m.normalize():f}") for line in found.lines]


def stock() -> Offering:
    """List two offerings, one with a batch price, a coming one, one that is over and one that was replaced."""
    offering = make_offering()
    set_price("4", offering=offering, valid_from=JANUARY, valid_until=MARCH, at=JANUARY)
    set_price("6", offering=offering, valid_from=MARCH, at=MARCH)
    set_price("5", offering=offering, valid_from=MARCH, at=JULY, source="invoice")
    set_price("30", offering=offering, meter="output", valid_until=SOON)
    set_price("33", offering=offering, meter="output", valid_from=SOON)
    set_price("15", offering=offering, meter="output", service_tier="batch")
    set_price("3", offering=make_offering("claude-sonnet-5@anthropic"), source="genai-prices")
    return offering


def test_the_book_shows_what_is_in_force_by_offering_terms_and_meter():
    stock()

    assert listed() == [
        ("claude-sonnet-5@anthropic", "uncached_input", "3"),
        ("gpt-5.5@openai", "uncached_input", "5"),
        ("gpt-5.5@openai", "output", "30"),
        ("gpt-5.5@openai", "output", "15"),
    ]


def test_prices_to_come_past_and_replaced_are_asked_for():
    stock()

    assert listed(dated="to-come") == [("gpt-5.5@openai", "output", "33")]
    assert listed(dated="past") == [("gpt-5.5@openai", "uncached_input", "4")]
    assert listed(dated="replaced") == [("gpt-5.5@openai", "uncached_input", "6")]
    assert len(listed(dated="all")) == 7


def test_every_word_is_found_in_what_a_price_is_for_or_where_it_comes_from():
    stock()

    assert listed(words=["Claude"]) == [("claude-sonnet-5@anthropic", "uncached_input", "3")]
    assert listed(words=["openai", "OUTPUT"]) == [
        ("gpt-5.5@openai", "output", "30"),
        ("gpt-5.5@openai", "output", "15"),
    ]
    assert listed(words=["gpt-5.5@open", "invoice"]) == [("gpt-5.5@openai", "uncached_input", "5")]
    assert listed(words=["batch"]) == [("gpt-5.5@openai", "output", "15")]
    assert listed(words=["input", "genai"]) == [("claude-sonnet-5@anthropic", "uncached_input", "3")]
    assert listed(words=["gpt", "claude"]) == []
    assert listed(words=["%"]) == []


def test_the_book_is_narrowed_by_layer_service_tier_meter_source_and_contract():
    offering = stock()
    contracts.set_terms(
        name="framework", offering=offering, discount_percent=Decimal(5), valid_from=JANUARY, by="tests",
        approved_by="tests", at=JULY,
    )  # fmt: skip
    set_price("24", offering=offering, meter="output", contract=Contract.objects.get())

    assert listed(layer="contract") == [("gpt-5.5@openai", "output", "24")]
    assert listed(contract="framework") == [("gpt-5.5@openai", "output", "24")]
    assert ("gpt-5.5@openai", "output", "24") not in listed(layer="list")
    assert listed(service_tier="batch") == [("gpt-5.5@openai", "output", "15")]
    assert ("gpt-5.5@openai", "output", "15") not in listed(service_tier=page_of.ORDINARY)
    assert [row[2] for row in listed(meter="output")] == ["30", "15", "24"]
    assert listed(source="invoice") == [("gpt-5.5@openai", "uncached_input", "5")]


def test_a_row_tells_source_version_address_note_who_and_both_times(client):
    offering = make_offering()
    hours = HourWindow.objects.create(name="night", weekdays=[0], starts=time(22), ends=time(6))
    set_price(
        "5", offering=offering, source="provider's page", source_version="2026-11",
        source_url="https://example.com/prices", note="as announced", context_over=200_000, hour_window=hours,
        region="eu",
    )  # fmt: skip
    signed_in(client, "viewer")

    page = client.get("/prices/").content.decode()

    for words in (
        "$5.00", "provider&#x27;s page", "2026-11", 'href="https://example.com/prices"', "as announced",
        "finance@example.com", "approved by approver@example.com", "Above 200,000 tokens of input, in eu, at the hours",
        "1 Jan 2026", "15 Jun 2026", "open end", "still", 'href="/catalog/gpt-5.5@openai/#price-',
    ):  # fmt: skip
        assert words in page, words


def test_who_may_not_set_prices_is_not_offered_it(client):
    stock()
    signed_in(client, "viewer")
    assert "/prices/new/" not in client.get("/prices/").content.decode()

    signed_in(client, "finance")

    assert "/prices/new/" in client.get("/prices/").content.decode()


def test_an_empty_book_and_a_search_without_a_hit_say_what_to_do(client):
    signed_in(client, "viewer")
    assert "Somebody with the role finance or platform" in client.get("/prices/").content.decode()
    signed_in(client, "platform")
    assert "Read a table of prices" in client.get("/prices/").content.decode()

    stock()

    page = client.get("/prices/?q=nothing-like-it").content.decode()
    assert "No price fits" in page
    assert "The price book is empty" not in page


def test_a_long_book_comes_in_pages_that_keep_what_is_asked(client):
    offering = make_offering()
    for number in range(page_of.PER_PAGE + 1):
        set_price("1", offering=offering, context_over=1_000 + number)
    signed_in(client, "viewer")

    first = client.get("/prices/?q=gpt&dated=all")
    second = client.get("/prices/?q=gpt&dated=all&page=2")

    assert f"{page_of.PER_PAGE + 1} prices" in first.content.decode()
    assert "q=gpt&amp;dated=all&amp;page=2" in first.content.decode()
    assert second.content.decode().count('data-label="Holds for"') == 1
    assert "No price fits" in client.get("/prices/?page=9").content.decode()


@pytest.mark.parametrize(
    "query",
    ["layer=x", "dated=now", "meter=words", "page=0", "page=-1", "page=x", "page=99999", "q=%00", f"q={'x' * 201}",
     f"source={'x' * 201}", "contract=%00"],
)  # fmt: skip
def test_what_cannot_be_asked_is_answered_with_404(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/prices/?{query}").status_code == 404


def test_names_that_nobody_has_find_nothing(client):
    stock()
    signed_in(client, "viewer")

    for query in ("tier=fancy", "source=nobody", "contract=none"):
        assert "No price fits" in client.get(f"/prices/?{query}").content.decode()


def test_htmx_gets_the_table_alone(client):
    stock()
    signed_in(client, "viewer")

    part = client.get("/prices/?q=gpt", headers={"HX-Request": "true"})

    assert part.content.decode().lstrip().startswith('<section class="tk-card" id="book"')
    assert "HX-Request" in part["Vary"]


def test_what_people_wrote_stays_text_and_no_address_but_https_is_a_link(client):
    set_price("5", source=HOSTILE, source_version=HOSTILE, source_url="javascript:alert(1)", note=HOSTILE)
    signed_in(client, "viewer")

    page = client.get("/prices/").content.decode()

    assert HOSTILE not in page
    assert 'href="javascript' not in page


def test_the_book_asks_the_same_few_questions_however_long_it_is(client, django_assert_num_queries):
    stock()
    signed_in(client, "viewer")
    client.get("/prices/")

    with django_assert_num_queries(PAGE_QUERIES):
        client.get("/prices/?dated=all")
    for number in range(5):
        set_price("1", offering=make_offering(f"model-{number}@openai"), context_over=1_000)
    with django_assert_num_queries(PAGE_QUERIES):
        client.get("/prices/?dated=all")
    with django_assert_num_queries(PAGE_QUERIES - 4):
        client.get("/prices/?dated=all", headers={"HX-Request": "true"})


# Session, person with permissions, organisation; the prices and their number; three choices; what waits.
PAGE_QUERIES = 11


def test_strangers_are_sent_to_sign_in_and_who_has_no_role_is_refused(client):
    paths = ("/prices/", "/prices/contracts/", "/prices/hours/", "/prices/import/", "/prices/import/sample.csv")
    for path in paths:
        assert client.get(path)["Location"].startswith("/accounts/login/"), path
    signed_in(client)
    for path in paths:
        assert client.get(path).status_code == 403, path
