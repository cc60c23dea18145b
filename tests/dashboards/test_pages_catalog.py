"""The catalogue's pages: what waits for attention first, and a price down to its source and who approved it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog.models import Contract, HourWindow, Model, Offering, Price, Provider, Tier
from catalog.services import aliases, offerings
from dashboards.charts import prices as charts
from dashboards.converters import OfferingConverter
from dashboards.selectors import catalog as page_of
from dashboards.selectors.catalog import Wanted
from dashboards.views.catalog import context_words
from tests.catalog import making as catalogue
from tests.catalog.making import JANUARY, JULY, MARCH, MAY, span
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage import making

pytestmark = pytest.mark.django_db


def listed(**wanted):
    found = page_of.offerings(at=timezone.now(), zone="UTC", wanted=Wanted(**wanted))
    return [line.name for line in found.lines]


def stock() -> None:
    """Offer four models: two complete ones, one without a tier and one without a price."""
    making.make_offering("gpt-5.5@openai", uncached_input="5", cache_read="0.50", output="30")
    making.make_offering("deepseek-v4-flash@deepseek", tier=Tier.ECONOMY, uncached_input="0.15", output="0.6")
    making.make_offering("no-tier@openai", tier=None, uncached_input="1", output="2")
    making.make_offering("no-price@openai", tier=Tier.MIDDLE)


def test_what_needs_attention_stands_first_and_what_was_used_without_a_price_before_all(client):
    stock()
    book(call(usd=1), call(provider="moonshot", model="kimi-k3"))

    assert listed() == [
        "kimi-k3@moonshot",
        "no-price@openai",
        "no-tier@openai",
        "gpt-5.5@openai",
        "deepseek-v4-flash@deepseek",
    ]


def test_the_list_tells_prices_tier_spend_and_what_is_wrong(client):
    stock()
    book(call(usd=10), call(provider="moonshot", model="kimi-k3"))
    signed_in(client, "viewer")

    page = client.get("/catalog/").content.decode()

    assert "5 offerings" in page
    assert "3 need attention" in page
    assert page.count("used unpriced") == 1
    assert "waiting for an owner" in page
    assert "$0.50" in page
    assert "$10.00" in page
    assert 'href="/catalog/gpt-5.5@openai/"' in page
    assert "tokens unpriced" in page


def test_a_price_is_written_with_every_digit_it_has():
    assert [charts.price(Decimal(text)) for text in ("5", "0.125", "0.0000250000", "1234.5", "0")] == [
        "$5.00",
        "$0.125",
        "$0.000025",
        "$1,234.50",
        "$0.00",
    ]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [(None, "\N{EN DASH}"), (1_000_000, "1M"), (1_048_576, "1.05M"), (262_144, "262k"), (8_192, "8.2k"), (512, "512")],
)
def test_a_context_is_told_short(tokens, words):
    assert context_words(tokens) == words


def test_the_list_is_searched_by_every_word_in_names_labs_and_aliases():
    stock()
    aliases.assign(name="router/fancy", offering=offerings.get("gpt-5.5@openai"), by="tests", since_at=JANUARY)

    assert listed(words=["Router/Fancy"]) == ["gpt-5.5@openai"]
    assert listed(words=["GPT", "openai"]) == ["gpt-5.5@openai"]
    assert listed(words=["gpt", "deepseek"]) == []
    assert listed(words=["no-"]) == ["no-price@openai", "no-tier@openai"]
    assert listed(words=["%"]) == []
    assert listed(provider="deepseek") == ["deepseek-v4-flash@deepseek"]
    assert listed(tier="economy") == ["deepseek-v4-flash@deepseek"]
    assert listed(tier="unclassified") == ["no-tier@openai"]
    assert listed(only="unpriced") == ["no-price@openai"]
    assert listed(only="attention", words=["tier"]) == ["no-tier@openai"]
    assert listed(only="waiting") == []


def test_the_list_is_sorted_by_what_is_asked():
    stock()

    assert listed(order="name")[:2] == ["deepseek-v4-flash@deepseek", "gpt-5.5@openai"]
    assert listed(order="output")[:3] == ["gpt-5.5@openai", "no-tier@openai", "deepseek-v4-flash@deepseek"]


def test_only_list_prices_of_ordinary_service_stand_in_the_list():
    offering = making.make_offering(uncached_input="5")
    for usd, terms in (("9", {"service_tier": "priority"}), ("8", {"context_over": 1000}), ("7", {"region": "eu"})):
        making.set_price(offering, "uncached_input", usd, **terms)
    making.make_offering("regional@openai")
    making.set_price(offerings.get("regional@openai"), "output", "3", region="eu")

    lines = {line.name: line for line in page_of.offerings(at=timezone.now(), zone="UTC", wanted=Wanted()).lines}

    assert lines["gpt-5.5@openai"].input_usd == 5
    assert lines["gpt-5.5@openai"].has_more
    assert lines["regional@openai"].unpriced  # rating reads no price of a region


def test_a_long_list_comes_in_pages(client):
    for n in range(page_of.PER_PAGE + 1):
        catalogue.make_offering(f"model-{n:03}@openai")
    signed_in(client, "viewer")

    first = client.get("/catalog/?sort=name").content.decode()
    second = client.get("/catalog/?sort=name&page=2").content.decode()

    assert "Page 1 of 2" in first
    assert 'rel="next"' in first
    assert "model-050" not in first
    assert "model-050" in second
    assert "Nothing in the catalogue fits" in client.get("/catalog/?page=9").content.decode()


@pytest.mark.parametrize(
    "query",
    ["tier=best", "only=x", "sort=cheap", "page=0", "page=-1", "page=x", "page=99999", "q=%00", f"q={'x' * 201}"],
)
def test_what_cannot_be_asked_is_answered_with_404(client, query):
    signed_in(client, "viewer")

    assert client.get(f"/catalog/?{query}").status_code == 404


def test_a_search_that_finds_nothing_and_an_empty_catalogue_say_what_to_do(client):
    signed_in(client, "viewer")

    assert "load_catalog" in client.get("/catalog/").content.decode()
    stock()
    assert "Show all offerings" in client.get("/catalog/?q=nothing").content.decode()


def test_htmx_gets_the_table_alone_and_a_return_the_whole_page(client):
    stock()
    signed_in(client, "viewer")

    part = client.get("/catalog/?q=gpt", headers={"HX-Request": "true"})
    whole = client.get("/catalog/?q=gpt", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})

    assert part.content.decode().lstrip().startswith('<section class="tk-card" id="offerings"')
    assert "HX-Request" in part["Vary"]
    assert "<html" in whole.content.decode()


def test_names_travel_in_addresses_without_slashes_and_are_understood_with_them(client):
    catalogue.make_offering("../openai/gpt-5.5@open:router")
    signed_in(client, "viewer")
    converter = OfferingConverter()

    url = reverse("offering", args=["../openai/gpt-5.5@open:router"])

    assert url == "/catalog/..~openai~gpt-5.5@open:router/"
    assert converter.to_python(converter.to_url("a//b/../c@d")) == "a//b/../c@d"
    assert client.get(url).status_code == 200
    catalogue.make_offering("openai/gpt-5.4@openrouter")
    assert client.get("/catalog/openai/gpt-5.4@openrouter/").status_code == 200


def test_a_model_named_alone_or_in_another_case_leads_to_its_offering(client):
    stock()
    signed_in(client, "viewer")

    assert client.get("/catalog/gpt-5.5/")["Location"] == "/catalog/gpt-5.5@openai/"
    assert client.get("/catalog/GPT-5.5@OpenAI/")["Location"] == "/catalog/gpt-5.5@openai/"
    assert client.get("/catalog/gpt-5.5@nowhere/").status_code == 404
    assert client.get("/catalog/nothing/").status_code == 404


def test_a_price_is_followed_to_its_source_and_to_who_approved_it(client):
    catalogue.set_price(
        "5",
        source="provider's page",
        source_version="2026-01",
        source_url="https://prices.example/gpt",
        note="agreed by mail",
    )
    signed_in(client, "viewer")

    page = client.get("/catalog/gpt-5.5@openai/").content.decode()

    assert f'id="price-{Price.objects.get().pk}"' in page
    assert 'href="https://prices.example/gpt" rel="noreferrer noopener"' in page
    for words in ("$5.00", "2026-01", "agreed by mail", "finance@example.com", "approver@example.com"):
        assert words in page, words


@pytest.mark.parametrize("url", ["http://prices.example/gpt", "javascript:alert(1)", "//prices.example", "ftp://x"])
def test_an_address_that_is_not_https_is_text(client, url):
    catalogue.set_price("5", source_url=url)
    signed_in(client, "viewer")

    page = client.get("/catalog/gpt-5.5@openai/").content.decode()

    assert f'href="{url}"' not in page
    assert url in page


def test_a_corrected_price_stands_beside_what_replaced_it():
    catalogue.set_price("5", valid_from=JANUARY, at=MARCH)
    catalogue.set_price("4", valid_from=MARCH, at=MAY)

    shown = page_of.one(offering=offerings.get("gpt-5.5@openai"), at=JULY, zone="UTC")

    assert [(str(one.usd_per_1m.normalize()), one.valid_from, one.valid_until) for one in shown.prices] == [
        ("5", JANUARY, MARCH),
        ("4", MARCH, None),
    ]
    (replaced,) = shown.replaced
    assert (replaced.usd_per_1m, replaced.valid_until, replaced.recorded_until) == (5, None, MAY)


def test_the_page_tells_in_force_over_to_come_and_corrected_apart(client):
    now = timezone.now()
    catalogue.set_price("7", valid_from=JANUARY, at=MARCH)
    catalogue.set_price("5", valid_from=MARCH, at=MAY)
    catalogue.set_price("4", valid_from=now + timedelta(days=30), at=JULY)
    signed_in(client, "viewer")

    context = client.get("/catalog/gpt-5.5@openai/").context

    assert [(one.usd, one.state) for group in context["groups"] for one in group.rows] == [("$5.00", "")]
    assert [(one.usd, one.state) for one in context["not_now"]] == [("$4.00", "to come"), ("$7.00", "over")]
    assert [(one.usd, one.state) for one in context["replaced"]] == [("$5.00", "replaced"), ("$7.00", "replaced")]


def test_every_price_in_force_stands_under_its_terms(client):
    offering = making.make_offering(uncached_input="5", output="30")
    contract = Contract.objects.create(
        name="frame 2026", provider=offering.provider, discount_percent=10, valid=span(JANUARY), recorded=span(JANUARY)
    )
    catalogue.make_price(catalogue.make_series(meter="output", contract=contract), usd_per_1m=Decimal(20))
    window = HourWindow.objects.create(name="night", starts="22:00", ends="06:00")
    making.set_price(offering, "output", "15", hour_window=window)
    making.set_price(offering, "output", "45", context_over=272_000)
    making.set_price(offering, "output", "12", service_tier="batch", context_over=200_000, context_inclusive=True)
    making.set_price(offering, "web_searches", "10000")
    signed_in(client, "viewer")

    answer = client.get("/catalog/gpt-5.5@openai/")

    assert [group.terms for group in answer.context["groups"]] == [
        "List price",
        "At the hours night",
        "Above 272,000 tokens of input",
        "Batch service, from 200,000 tokens of input",
        "Contract frame 2026",
    ]
    page = answer.content.decode()
    assert "$10.00 per 1,000" in page
    assert "10 % off list" in page
    assert answer.context["matrix"].meters == ["uncached input", "output", "web searches"]


def test_the_steps_of_a_price_are_drawn_and_told_with_their_days():
    at = datetime(2026, 6, 15, tzinfo=UTC)
    steps = [
        charts.Step(meter="output", usd_per_1m=Decimal(30), starts_at=JANUARY, ends_at=MARCH),
        charts.Step(meter="output", usd_per_1m=Decimal(20), starts_at=MARCH, ends_at=MAY),
        charts.Step(meter="output", usd_per_1m=Decimal(10), starts_at=datetime(2026, 6, 1, tzinfo=UTC), ends_at=None),
    ]

    chart = charts.over_time(steps, at=at, zone="UTC")

    assert chart.figure is not None
    (line,) = chart.figure["data"]
    assert line["y"] == [30, 30, 20, 20, None, 10, 10]  # for a month nothing was in force
    assert line["x"][3:6] == ["2026-05-01T00:00", "2026-05-01T00:00", "2026-06-01T00:00"]
    assert chart.rows[1] == ["output", "$20.00", "1 Mar 2026", "1 May 2026"]
    assert chart.summary == "output costs $10.00 per million now."
    assert charts.over_time([], at=at, zone="UTC").figure is None


def test_the_page_shows_tiers_and_names_with_their_days_and_who_uses_it(client):
    making.make_offering(uncached_input="5")
    offering = offerings.get("gpt-5.5@openai")
    offerings.set_tier(offering=offering, tier=Tier.MIDDLE, since_at=JULY, by="tests")
    book(call(usd=3, use_case="support-routing"))
    signed_in(client, "viewer")

    answer = client.get("/catalog/gpt-5.5@openai/")

    shown = answer.context["page"]
    assert [(one.text, one.starts_at, one.ends_at) for one in shown.tiers] == [
        ("middle", JULY, None),
        ("frontier", making.LONG_AGO, JULY),
    ]
    assert shown.spent.use_cases == [("support-routing", Decimal(3), 1)]
    page = answer.content.decode()
    assert "$3.00" in page
    assert 'href="/spend/?model=gpt-5.5"' in page


def test_an_offering_without_a_price_says_that_unknown_is_not_free(client):
    book(call(provider="moonshot", model="kimi-k3"))
    signed_in(client, "viewer")

    page = client.get("/catalog/kimi-k3@moonshot/").content.decode()

    assert "are unpriced and stand in no total" in page
    assert "No price is in force" in page
    assert "nobody has taken charge of it" in page
    assert "No tier yet" in page
    assert ">unpriced<" in page


def test_names_that_are_markup_stay_text_and_are_no_link(client):
    provider = Provider.objects.create(name="openai", title=HOSTILE)
    model = Model.objects.create(name=HOSTILE, lab=HOSTILE)
    Offering.objects.create(model=model, provider=provider, name=f"{HOSTILE}@openai")
    catalogue.set_price(
        "5", source=HOSTILE, note=HOSTILE, by=HOSTILE, approved_by=HOSTILE, source_url=f"https://{HOSTILE}"
    )
    signed_in(client, "viewer")

    for path in ("/catalog/", "/catalog/gpt-5.5@openai/"):
        page = client.get(path).content.decode()

        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


def test_the_pages_ask_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    stock()
    signed_in(client, "viewer")
    client.get("/catalog/")

    with django_assert_num_queries(LIST_QUERIES):
        client.get("/catalog/")
    with django_assert_num_queries(PAGE_QUERIES):
        client.get("/catalog/gpt-5.5@openai/")
    for n in range(5):
        making.make_offering(f"another-{n}@openai", uncached_input="1")
        making.make_offering(f"gpt-5.5@elsewhere-{n}", uncached_input="1")
        making.set_price(offerings.get("gpt-5.5@openai"), "output", "1", service_tier=f"tier-{n}")
        making.set_price(offerings.get("gpt-5.5@openai"), "output", f"{n + 1}")
    book(call(use_case="one"), call(use_case="two"))
    with django_assert_num_queries(LIST_QUERIES):
        client.get("/catalog/")
    with django_assert_num_queries(PAGE_QUERIES):
        client.get("/catalog/gpt-5.5@openai/")


LIST_QUERIES = 8
PAGE_QUERIES = 12


def test_strangers_are_sent_to_sign_in_and_who_has_no_role_is_refused(client):
    stock()

    assert client.get("/catalog/")["Location"].startswith("/accounts/login/")
    assert client.get("/catalog/gpt-5.5@openai/")["Location"].startswith("/accounts/login/")
    signed_in(client)
    assert client.get("/catalog/").status_code == 403
    assert client.get("/catalog/gpt-5.5@openai/").status_code == 403
    assert client.post("/catalog/").status_code == 405
