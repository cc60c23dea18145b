"""The page of one model: what each provider asks for it, who uses it, and what sends to it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog.models import Model, Provider, Tier
from catalog.services import contracts, offerings
from core.models import Organisation
from dashboards.selectors import model as page_of
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget
from tests.routing import making as rules
from tests.usage import making

pytestmark = pytest.mark.django_db


def shown(name: str = "gpt-5.5", **given):
    return page_of.one(
        model=Model.objects.get(name=name),
        organisation=Organisation.objects.get(pk=1),
        at=timezone.now(),
        **{"with_rules": True, **given},
    )


def page(client, name: str = "gpt-5.5") -> str:
    return client.get(reverse("model", args=[name])).content.decode()


def test_prices_stand_side_by_side_with_the_cheapest_marked_and_how_much_dearer_others_are(client):
    making.make_offering("gpt-5.5@openai", uncached_input="5", output="30")
    making.make_offering("gpt-5.5@azure", uncached_input="15", output="30")
    making.make_offering("gpt-5.5@old", uncached_input="1", output="1")
    offerings.retire(offering=offerings.get("gpt-5.5@old"), by="tests", at=timezone.now())
    signed_in(client, "viewer")

    quotes = {host.row.provider: host.quotes for host in shown().hosts}

    assert quotes["openai"]["uncached_input"].cheapest
    assert (quotes["azure"]["uncached_input"].times, quotes["azure"]["uncached_input"].dear) == (3, True)
    assert (quotes["azure"]["output"].times, quotes["azure"]["output"].dear) == (1, False)
    assert quotes["old"]["output"].times is None  # what cannot be had any more is no bargain
    assert "3.0\N{MULTIPLICATION SIGN}" in page(client)


def test_a_price_on_other_terms_is_no_list_price():
    offering = making.make_offering("gpt-5.5@openai", uncached_input="5")
    making.make_offering("gpt-5.5@azure", uncached_input="6")
    for usd, terms in (("1", {"service_tier": "batch"}), ("2", {"context_over": 1000}), ("3", {"region": "eu"})):
        making.set_price(offering, "uncached_input", usd, **terms)

    host = next(one for one in shown().hosts if one.row.provider == "openai")

    assert (host.quotes["uncached_input"].usd_per_1m, host.other_terms) == (5, 3)


def test_usage_is_told_over_all_providers_by_use_case_and_by_provider():
    making.make_priced_offering()
    making.make_priced_offering("gpt-5.5@azure")
    making.make_priced_offering("other@openai")
    book(
        call(usd=10, latency_ms=90),
        call(usd=5, provider="azure", use_case="code-review"),
        call(usd=15, model="other"),
    )

    found = shown()

    assert (found.listed.cost_usd, found.share) == (15, Decimal("0.5"))
    assert [(one.name, one.sums.cost_usd) for one in found.use_cases] == [("support-routing", 10), ("code-review", 5)]
    assert [(host.row.provider, host.share) for host in found.hosts] == [
        ("openai", Decimal("0.5")),
        ("azure", Decimal("0.5")),
    ]


def test_rules_budgets_switches_contracts_and_price_changes_that_touch_it_are_there(client):
    rules.stock()
    rules.make_version(at=timezone.now() - timedelta(days=1))
    moved_at = timezone.now() - timedelta(days=10)
    making.set_price(offerings.get(rules.OPUS), "output", "4", valid_from=moved_at, at=timezone.now())
    contracts.set_terms(
        name="Framework", provider=Provider.objects.get(name="anthropic"), discount_percent=Decimal("7.5"), by="tests",
        approved_by="tests", valid_from=moved_at, at=timezone.now(),
    )  # fmt: skip
    make_budget(scope={"model": ["claude-opus-4.7"]}, name="Opus alone")
    make_budget(scope={"tier": ["economy"]}, name="Cheap ones", unit="usd")
    book(call(provider="anthropic", model="claude-opus-4.7"))

    found = shown("claude-opus-4.7")
    signed_in(client, "viewer")
    content = page(client, "claude-opus-4.7")

    assert [(one.place, one.id, one.how) for one in found.rules] == [(1, "code-high", [("target", rules.OPUS)])]
    assert [row.name for row in found.budgets.own] == ["Opus alone"]
    assert "Cheap ones" not in [row.name for row in found.budgets.wider]
    assert [(one.meter, one.usd_per_1m) for one in found.moved] == [("output", 4)]
    assert [one.name for one in found.contracts] == ["Framework"]
    assert "7.5 % off list" in content
    assert "prices that began" in content
    assert [(one.place, one.how) for one in shown("gemini-3.1-pro").rules] == [
        (1, [("fallback", rules.MIDDLE)]),
        (0, [("target", rules.MIDDLE)]),
    ]


def test_its_address_takes_slashes_and_any_case_and_tells_an_offering_apart(client):
    making.make_offering("qwen/qwen3-max@openrouter", tier=Tier.MIDDLE)
    signed_in(client, "viewer")

    assert reverse("model", args=["qwen/qwen3-max"]) == "/models/qwen~qwen3-max/"
    assert client.get("/models/qwen~qwen3-max/").status_code == 200
    assert client.get("/models/qwen/Qwen3-Max/")["Location"] == "/models/qwen~qwen3-max/"
    assert client.get("/models/qwen~qwen3-max@openrouter/")["Location"] == "/catalog/qwen~qwen3-max@openrouter/"
    assert client.get("/models/nothing/").status_code == 404


def test_one_that_is_served_nowhere_any_more_says_so_and_what_is_unpriced_is_not_free(client):
    making.make_offering("gpt-5.5@openai")
    book(call(context={"task": HOSTILE}, use_case=HOSTILE))
    offerings.retire(offering=offerings.get("gpt-5.5@openai"), by="tests", at=timezone.now())
    signed_in(client, "viewer")

    content = page(client)

    assert "It is served nowhere any more" in content
    assert "are unpriced and stand in no total" in content
    assert ">unpriced<" in content
    assert HOSTILE not in content


def test_the_page_asks_no_more_with_more_providers(client, django_assert_num_queries):
    for n in range(4):
        making.make_priced_offering(f"gpt-5.5@provider-{n}")
    book(*(call(provider=f"provider-{n}", use_case=f"case-{n}") for n in range(4)))
    signed_in(client, "viewer")
    page(client)  # budgets are read once per process and change

    with django_assert_num_queries(23):
        page(client)
