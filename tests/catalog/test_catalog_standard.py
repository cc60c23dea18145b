"""The standard catalogue: complete, right where it can be checked, and loaded twice without a trace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from django.core.management import call_command
from django.db import transaction

from catalog.models import Alias, Model, Offering, Price, Tier
from catalog.rules import Book
from catalog.selectors import lists, snapshot
from catalog.services import aliases, offerings, on_sight, prices, standard
from core.models import AuditEntry
from tests.catalog.making import set_price
from tests.factories import NOON

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)  # past noon: no provider's peak
M = 1_000_000


@dataclass(frozen=True)
class Loaded:
    """The standard catalogue as an empty house has it, read once: loading takes its time."""

    book: Book
    prices: list[lists.PriceRow]
    offerings: list[lists.OfferingRow]

    def listed(self, offering, *, meter="uncached_input", over=None):
        """Return the list price of an offering's meter in November, in USD per million, as text."""
        (price,) = (
            one
            for one in self.prices
            if (one.offering, one.meter, one.context_over) == (offering, meter, over)
            and (one.service_tier, one.hour_window) == (None, None)
        )
        return f"{price.usd_per_1m.normalize():f}"


@pytest.fixture(scope="module")
def loaded(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), transaction.atomic():
        atomics = transaction.get_connection().atomic_blocks
        atomics[-1]._from_testcase = True  # so that `durable` below is content, as in any test
        load()
        found = Loaded(snapshot.load(), lists.prices(at=NOVEMBER), lists.offerings(at=NOVEMBER))
        transaction.set_rollback(True)
    return found


def load():
    return standard.load(by="tests", at=NOON)


@pytest.mark.django_db
def test_the_command_loads_the_catalogue_and_says_so_and_again_says_that_all_is_there(capsys):
    call_command("load_catalog")
    first = capsys.readouterr().out
    before = (AuditEntry.objects.count(), Price.objects.count())

    call_command("load_catalog")

    assert first.startswith(f"Added {Offering.objects.count()} offerings of {Model.objects.count()} models")
    assert capsys.readouterr().out == "The catalogue has all of it already.\n"
    assert (AuditEntry.objects.count(), Price.objects.count()) == before


def test_every_offering_has_a_tier_prices_and_a_name_that_leads_to_it(loaded):
    assert len(loaded.offerings) > 100
    for one in loaded.offerings:
        assert one.tier != "unclassified", one.name
        assert one.aliases, one.name
        card = loaded.book.table(one.id, "").at(NOVEMBER.timestamp()).face.card
        assert card.prices[0] is not None, f"{one.name} has no price for input"
        assert "embedding" in one.model or card.prices[4] is not None, f"{one.name} has no price for output"


def test_every_price_says_where_it_comes_from(loaded):
    assert {(one.source, one.source_version) for one in loaded.prices} == {("genai-prices", "0.2.3 (2026-11)")}
    assert {one.entered_by for one in loaded.prices} == {"tests"}


@pytest.mark.parametrize(
    ("offering", "prices_by_meter"),
    [
        ("gpt-5.5@openai", {"uncached_input": "5", "output": "30"}),
        (
            "claude-opus-4.7@anthropic",
            {
                "uncached_input": "5",
                "output": "25",
                "cache_read": "0.5",
                "cache_write_5m": "6.25",
                "cache_write_1h": "10",
            },
        ),
        ("gemini-3.1-pro@google", {"uncached_input": "2", "output": "12"}),
        ("deepseek-v4-flash@deepseek", {"uncached_input": "0.15", "output": "0.6"}),
        ("glm-5.1@zai", {"uncached_input": "1.4", "output": "4.4"}),
        ("kimi-k2.6@moonshot", {"uncached_input": "0.95", "output": "4"}),
        ("claude-sonnet-4.6@anthropic", {"uncached_input": "3", "output": "15"}),
    ],
)
def test_prices_are_those_that_providers_listed_in_november_2026(loaded, offering, prices_by_meter):
    assert {meter: loaded.listed(offering, meter=meter) for meter in prices_by_meter} == prices_by_meter


def test_a_long_context_is_a_cliff_with_a_price_of_its_own(loaded):
    gpt, gemini = ("gpt-5.5@openai", 272_000), ("gemini-3.1-pro@google", 200_000)
    assert [loaded.listed(gpt[0], meter=meter, over=gpt[1]) for meter in ("uncached_input", "output")] == ["10", "45"]
    assert [loaded.listed(gemini[0], meter=meter, over=gemini[1]) for meter in ("uncached_input", "output")] == [
        "4",
        "18",
    ]


def test_a_provider_s_peak_hours_are_listed_apart(loaded):
    peak = {
        (one.meter, one.usd_per_1m)
        for one in loaded.prices
        if one.offering == "deepseek-v4-flash@deepseek" and one.hour_window
    }

    assert peak >= {("uncached_input", Decimal("0.30")), ("output", Decimal("1.20"))}


# What is compared with the installed open price data, meter by meter; a cliff is compared on both of its sides.
COMPARED = [
    ("gpt-5.5", "openai", "gpt-5.5", "openai"),
    ("gpt-5.4-mini", "openai", "gpt-5.4-mini", "openai"),
    ("claude-opus-4.7", "anthropic", "claude-opus-4-7", "anthropic"),
    ("claude-haiku-4.5", "anthropic", "claude-haiku-4-5", "anthropic"),
    ("gemini-3.1-pro", "google", "gemini-3.1-pro-preview", "google"),
    ("gemini-2.5-flash", "google", "gemini-2.5-flash", "google"),
    ("deepseek-v4-flash", "deepseek", "deepseek-v4-flash", "deepseek"),
    ("grok-4.3", "xai", "grok-4.3", "x-ai"),
]
USAGES = [
    {"input_tokens": 10_000, "output_tokens": 2_000},
    {"input_tokens": 10_000, "cache_read_tokens": 8_000, "output_tokens": 100},
    {"input_tokens": 200_000, "output_tokens": 1_000},
    {"input_tokens": 200_001, "output_tokens": 1_000},
    {"input_tokens": 272_000, "output_tokens": 1_000},
    {"input_tokens": 272_001, "output_tokens": 1_000},
    {"input_tokens": 300_000, "cache_read_tokens": 250_000, "output_tokens": 1_000},
]


@pytest.mark.parametrize(("model", "provider", "their_model", "their_provider"), COMPARED)
def test_prices_agree_with_the_installed_open_price_data(loaded, model, provider, their_model, their_provider):
    offering = loaded.book.offering_ids[f"{model}@{provider}"]
    span = loaded.book.table(offering, "").at(NOVEMBER.timestamp())

    for usage in USAGES:
        theirs = genai_prices.calc_price(
            genai_prices.Usage(**usage), their_model, provider_id=their_provider, genai_request_timestamp=NOVEMBER
        ).total_price
        read = usage.get("cache_read_tokens", 0)
        card = span.face.card_for(usage["input_tokens"]).prices
        ours = (
            card[0].usd_per_1m * (usage["input_tokens"] - read)
            + (card[1].usd_per_1m * read if read else 0)
            + card[4].usd_per_1m * usage["output_tokens"]
        ) / M
        assert ours == theirs, usage


@pytest.mark.parametrize("write", ["cache_write_5m", "cache_write_1h"])
def test_cache_writes_of_a_lab_that_charges_for_them_are_dearer_than_input(loaded, write):
    assert Decimal(loaded.listed("claude-opus-4.7@anthropic", meter=write)) > Decimal(
        loaded.listed("claude-opus-4.7@anthropic")
    )


@pytest.mark.parametrize(
    ("provider", "model", "offering"),
    [
        ("openai", "gpt-5.5-2026-04-23", "gpt-5.5@openai"),
        ("", "openai/gpt-5.5", "gpt-5.5@openai"),
        ("", "GPT-5.5", "gpt-5.5@openai"),
        ("anthropic", "claude-opus-4-7", "claude-opus-4.7@anthropic"),
        ("vertex_ai", "claude-opus-4-7@20260416", "claude-opus-4.7@vertex"),
        ("", "bedrock/us.anthropic.claude-opus-4-7-v1:0", "claude-opus-4.7@bedrock-regional"),
        ("gemini", "gemini-3.1-pro-preview", "gemini-3.1-pro@google"),
        ("openrouter", "z-ai/glm-5.1", "glm-5.1@openrouter"),
        ("", "fireworks_ai/accounts/fireworks/models/deepseek-v4-flash", "deepseek-v4-flash@fireworks"),
    ],
)
def test_names_that_gateways_send_lead_to_the_offering_they_mean(loaded, provider, model, offering):
    book = loaded.book

    assert book.offerings[book.offering(provider, model, NOVEMBER)].name == offering


@pytest.mark.django_db
def test_what_people_said_before_stands():
    mine = offerings.ensure(model="gpt-5.5", provider="openai", by="ann")
    offerings.set_tier(offering=mine, tier=Tier.MIDDLE, since_at=NOON, by="ann")
    other = offerings.ensure(model="house-model", provider="acme", by="ann")
    aliases.assign(name="gpt-4o", offering=other, by="ann", since_at=NOON)
    set_price("4", offering=mine)

    load()

    assert [one.tier for one in mine.tiers.all()] == [Tier.MIDDLE]
    assert Alias.objects.get(name="gpt-4o").offering == other
    assert [
        one.usd_per_1m for one in Price.objects.filter(series__model=mine.model, series__provider=mine.provider)
    ] == [Decimal(4)]
    assert Offering.objects.filter(name="gpt-4o@openai").exists()


@pytest.mark.django_db
def test_an_offering_that_waited_is_claimed_with_a_price():
    on_sight.offerings(names=["gpt-5.5@openai"], at=NOON)

    load()

    assert Offering.objects.get(name="gpt-5.5@openai").state == "claimed"
    assert Price.objects.filter(series__model__name="gpt-5.5", series__provider__name="openai").exists()


def test_a_worked_example_of_a_listed_price_is_what_one_request_costs(loaded):
    both = {
        meter: Decimal(loaded.listed("claude-opus-4.7@anthropic", meter=meter))
        for meter in ("uncached_input", "output")
    }

    assert prices.worked_example(prices=both) == "1,000 input + 500 output tokens cost $0.0175."
