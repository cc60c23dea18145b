"""Changing a model from its pages: shown first, done when confirmed, and audited with who and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from catalog.models import Alias, Amendment, HourWindow, Model, Offering, Tier
from catalog.services import contracts, model_facts, offerings
from catalog.services.prices import NewPrice
from core.models import AuditEntry
from dashboards.forms_catalog import OfferingFacts
from tests.dashboards.seeing import book, call, signed_in
from tests.usage import making

pytestmark = pytest.mark.django_db
PAGE = "/catalog/gpt-5.5@openai/"


def click(client, address, **fields):
    """Fill a form in, see what it would do, and confirm it."""
    shown = client.post(address, fields)
    assert shown.status_code == 200, shown.context["form"].errors
    return shown, client.post(address, {**fields, "confirm": shown.context["confirm"]})


def test_a_tier_is_set_from_a_day_on_and_moves_what_was_booked_since(client):
    making.make_priced_offering()
    now = timezone.now()
    book(call(at=now - timedelta(days=5)), call(at=now - timedelta(days=1)))
    person = signed_in(client, "engineer")
    since = now - timedelta(days=3)

    shown, done = click(client, f"{PAGE}tier/", tier="middle", since=f"{since:%Y-%m-%d}", reason="agreed")

    assert shown.context["estimate"].total.entries == 1
    assert done["Location"] == PAGE
    offering = offerings.get("gpt-5.5@openai")
    day = datetime(since.year, since.month, since.day, tzinfo=UTC)
    assert offering.tiers.get(tier=Tier.MIDDLE).valid.lower == day
    amended = Amendment.objects.latest("id")
    assert (amended.kind, amended.by, amended.reason) == ("tier", str(person), "agreed")


def test_a_tier_that_contradicts_a_later_one_is_refused_on_the_page(client):
    offering = making.make_priced_offering()
    offerings.set_tier(offering=offering, tier=Tier.ECONOMY, since_at=timezone.now(), by="tests")
    signed_in(client, "engineer")

    answer = client.post(f"{PAGE}tier/", {"tier": "middle", "since": "2026-01-01", "reason": ""})

    assert answer.status_code == 422
    assert b"has a tier recorded from after" in answer.content


def test_a_model_in_use_without_a_tier_gets_one_from_its_first_day_by_default(client):
    making.make_offering("gpt-5.5@openai", tier=None, uncached_input="5")
    first = timezone.now() - timedelta(days=20)
    book(call(at=first), call())
    signed_in(client, "engineer")

    form = client.get(f"{PAGE}tier/?tier=economy").context["form"]

    assert (form["since"].value(), form["tier"].value()) == (first.date(), "economy")


def test_a_name_means_the_model_from_a_day_on(client):
    making.make_priced_offering()
    signed_in(client, "engineer")
    wrong = client.post(f"{PAGE}name/", {"name": "with blanks in it", "since": "2026-01-01", "reason": ""})

    click(client, f"{PAGE}name/", name="Router/Fast", since="2026-01-01", until="2026-03-01", reason="")

    assert (wrong.status_code, list(wrong.context["form"].errors)) == (422, ["name"])
    alias = Alias.objects.get()
    assert (alias.name, alias.valid.lower, alias.valid.upper) == (
        "router/fast", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    )  # fmt: skip


def test_a_model_that_is_another_one_says_so_and_leads_there(client):
    making.make_priced_offering()
    making.make_offering("gpt-5-5@openai", tier=None)
    signed_in(client, "engineer")

    click(client, "/catalog/gpt-5-5@openai/assign/", into="gpt-5.5", since="2026-01-01", reason="")

    page = client.get("/catalog/gpt-5-5@openai/")
    assert (page.context["page"].means, page.context["means_url"]) == ("gpt-5.5@openai", PAGE)
    assert page.context["changes"]["earlier"].endswith("/assign/?into=gpt-5.5%40openai")
    assert client.get(page.context["changes"]["earlier"]).context["form"]["into"].value() == "gpt-5.5@openai"
    assert "assign" not in page.context["changes"]
    listed = {line.row.name: line for line in client.get("/catalog/").context["lines"]}
    assert listed["gpt-5-5@openai"].flags == [("neutral", "assigned to another")]
    assert not listed["gpt-5-5@openai"].row.attention


def test_facts_of_the_offering_and_of_its_model_are_changed_together(client):
    making.make_priced_offering()
    signed_in(client, "platform")
    given = {
        "region": "eu", "data_class": "internal", "gateway_names": "litellm: openai/gpt-5.5\n\nbifrost : gpt55\n",
        "lab": "OpenAI", "open_weights": "on", "licence": "MIT", "context_tokens": "1,000,000", "reason": "model card",
    }  # fmt: skip

    click(client, f"{PAGE}facts/", **given)

    offering = Offering.objects.get(name="gpt-5.5@openai")
    assert (offering.region, offering.data_class) == ("eu", "internal")
    assert offering.gateway_names == {"litellm": "openai/gpt-5.5", "bifrost": "gpt55"}
    model = offering.model
    assert (model.lab, model.open_weights, model.licence, model.context_tokens) == ("OpenAI", True, "MIT", 1_000_000)
    form = client.get(f"{PAGE}facts/").context["form"]
    assert form["context_tokens"].value() == "1,000,000"
    assert form["gateway_names"].value() == "bifrost: gpt55\nlitellm: openai/gpt-5.5"
    assert AuditEntry.objects.filter(table="catalog_model", reason="model card").exists()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("context_tokens", "1,5"), ("context_tokens", "0"), ("context_tokens", "99999999999"), ("context_tokens", "x"),
        ("gateway_names", "litellm"), ("gateway_names", "a: b\na: c"), ("region", "x" * 33),
    ],
)  # fmt: skip
def test_facts_that_cannot_be_are_said_at_their_field(client, field, text):
    making.make_priced_offering()
    signed_in(client, "platform")

    answer = client.post(f"{PAGE}facts/", {field: text})

    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])


def test_saying_the_same_of_a_model_again_writes_nothing():
    making.make_priced_offering()
    model = Model.objects.get()
    given = {"lab": "OpenAI", "open_weights": False, "licence": "", "context_tokens": None, "by": "tests"}
    model_facts.change(model=model, **given)
    before = AuditEntry.objects.count()

    model_facts.change(model=model, **given)

    assert AuditEntry.objects.count() == before


def test_lines_of_gateway_names_may_hold_colons_in_the_name():
    form = OfferingFacts({"gateway_names": "litellm: bedrock/anthropic.claude-v1:0"})

    assert form.is_valid()
    assert form.cleaned_data["gateway_names"] == {"litellm": "bedrock/anthropic.claude-v1:0"}


def test_a_model_is_retired_for_good_with_a_reason(client):
    making.make_priced_offering()
    signed_in(client, "platform")

    _, done = click(client, f"{PAGE}retire/", reason="gone at the provider")

    assert done["Location"] == PAGE
    assert Offering.objects.get(name="gpt-5.5@openai").retired_at is not None
    assert "retire" not in client.get(PAGE).context["changes"]


def test_a_model_at_a_provider_is_added_with_its_tier_and_one_made_on_sight_is_claimed(client):
    book(call(provider="moonshot", model="kimi-k3"))
    signed_in(client, "engineer")

    made = client.post("/catalog/new/", {"model": "gpt-9", "provider": "openai", "tier": "frontier", "region": "eu"})
    claimed = client.post("/catalog/new/", {"model": "kimi-k3", "provider": "moonshot"})
    refused = client.post("/catalog/new/", {"model": "gpt 9", "provider": ""})

    assert made["Location"] == "/catalog/gpt-9@openai/"
    new = Offering.objects.get(name="gpt-9@openai")
    assert (new.region, new.tiers.get().tier) == ("eu", Tier.FRONTIER)
    assert claimed["Location"] == "/catalog/kimi-k3@moonshot/"
    assert Offering.objects.get(name="kimi-k3@moonshot").state == "claimed"
    assert (refused.status_code, list(refused.context["form"].errors)) == (422, ["provider"])
    bad = client.post("/catalog/new/", {"model": "gpt 9", "provider": "openai"})
    assert (bad.status_code, Offering.objects.count()) == (422, 2)


def test_an_offering_that_is_not_there_has_no_forms(client):
    signed_in(client, "admin")

    for step in ("tier", "name", "assign", "facts", "retire"):
        assert client.get(f"/catalog/nothing@here/{step}/").status_code == 404


def test_an_address_fills_a_form_in_and_hostile_ones_do_no_harm(client):
    making.make_priced_offering()
    signed_in(client, "engineer")

    filled = client.get(f"{PAGE}name/?name=router/fast&since=2026-01-01").context["form"]
    hostile = client.get(f"{PAGE}name/?name=%00&since=%22%3E%3Cscript%3E")

    assert (filled["name"].value(), filled["since"].value()) == ("router/fast", "2026-01-01")
    assert hostile.status_code == 200
    assert b"<script>" not in hostile.content.replace(b"<script src", b"")


# --- what the page says of prices ---


def test_prices_of_hours_regions_and_contracts_are_said_to_be_rated_with(client):
    offering = making.make_priced_offering()
    offerings.change(offering=offering, region="eu", by="tests", at=making.NOON)
    night = HourWindow.objects.create(
        name="night", zone="UTC", weekdays=[0, 1, 2, 3, 4, 5, 6], starts="22:00", ends="06:00"
    )
    making.set_price(offering, "output", "15", hour_window=night)
    making.set_price(offering, "output", "33", region="eu")
    making.set_price(offering, "output", "22", region="us")
    contracts.set_terms(
        name="frame", provider=offering.provider, discount_percent=Decimal(10), valid_from=making.LONG_AGO,
        by="tests", approved_by="tests", at=making.NOON,
    )  # fmt: skip
    signed_in(client, "viewer")

    answer = client.get(PAGE)

    notes = {group.terms: group.note for group in answer.context["groups"]}
    assert notes == {
        "List price": "",
        "In eu": "Goes before prices for any region.",
        "In us": "Not used: this offering is in eu.",
        "At the hours night": "Goes before other prices at these hours.",
    }
    assert b"not rated with" not in answer.content
    assert [value for _, value, _, _ in answer.context["stats"]] == ["$5.00", "$0.50", "$33.00"]
    assert [one.name for one in answer.context["page"].contracts] == ["frame"]
    (line,) = client.get("/catalog/").context["lines"]
    assert (line.row.output_usd, line.row.unpriced, line.row.has_more) == (33, False, True)


def test_a_model_that_only_a_contract_prices_is_priced_while_the_contract_holds(client):
    offering = making.make_offering("gpt-5.5@openai")
    terms = {"name": "frame", "offering": offering, "by": "tests", "approved_by": "tests", "at": making.NOON}
    own = NewPrice(
        offering=offering, meter="output", usd_per_1m=Decimal(20), valid_from=making.LONG_AGO, source="contract"
    )
    contracts.set_terms(**terms, valid_from=making.LONG_AGO, own_prices=[own])
    signed_in(client, "viewer")

    held = client.get("/catalog/").context["lines"][0].row
    contracts.end(name="frame", ends_at=making.NOON, by="tests", approved_by="tests", at=timezone.now())
    ended = client.get("/catalog/").context["lines"][0].row

    assert (held.unpriced, held.has_more, held.output_usd) == (False, True, None)
    assert ended.unpriced


def test_the_chart_draws_the_terms_that_are_chosen(client):
    offering = making.make_priced_offering()
    making.set_price(offering, "output", "45", context_over=200_000)
    signed_in(client, "viewer")

    usual, tier = client.get(PAGE).context, client.get(f"{PAGE}?terms=1").context

    assert [one.title for one in usual["chart_links"]] == ["List price", "Above 200,000 tokens of input"]
    assert usual["chart"].title == "List price over time"
    assert [row[:2] for row in tier["chart"].rows] == [["output", "$45.00"]]
    assert tier["chart"].subtitle.startswith("Above 200,000 tokens of input:")
    for bad in ("2", "-1", "x", "%00"):
        assert client.get(f"{PAGE}?terms={bad}").status_code == 404


def test_the_chart_draws_the_list_price_less_a_discount_while_the_contract_holds(client):
    offering = making.make_offering("gpt-5.5@openai", uncached_input="5")
    begins, ends = making.NOON - making.DAY, making.NOON + making.DAY
    contracts.set_terms(
        name="frame", provider=offering.provider, discount_percent=Decimal("12.5"), valid_from=begins, valid_until=ends,
        by="tests", approved_by="tests", at=making.NOON,
    )  # fmt: skip
    signed_in(client, "viewer")

    answer = client.get(f"{PAGE}?terms=1").context

    assert [one.title for one in answer["chart_links"]] == ["List price", "List price less the discount of frame"]
    assert answer["chart"].rows == [["uncached input", "$4.375", "14 Jun 2026", "16 Jun 2026"]]


def test_the_list_is_narrowed_by_weights_region_and_data_class_and_shows_the_share_of_spend(client):
    making.make_priced_offering()
    open_one = making.make_offering("llama@self-hosted", tier=Tier.SELF_HOSTED, uncached_input="5", output="1")
    offerings.change(offering=open_one, region="eu", data_class="internal", by="tests", at=making.NOON)
    model_facts.change(
        model=open_one.model, lab="Meta", open_weights=True, licence="Llama 4", context_tokens=None, by="tests"
    )
    book(call(usd=3), call(usd=1, provider="self-hosted", model="llama"))
    signed_in(client, "viewer")

    everything = {line.row.name: line for line in client.get("/catalog/").context["lines"]}
    narrowed = [
        [line.row.name for line in client.get(f"/catalog/?{query}").context["lines"]]
        for query in ("weights=open", "region=eu", "data_class=internal", "weights=open&region=us")
    ]

    assert narrowed == [["llama@self-hosted"]] * 3 + [[]]
    assert (everything["llama@self-hosted"].weights, everything["llama@self-hosted"].share) == (
        "open, Llama 4", "25.0\N{NO-BREAK SPACE}%"
    )  # fmt: skip
    assert client.get("/catalog/?weights=some").status_code == 404


def test_what_cannot_be_changed_by_the_person_is_not_offered(client):
    making.make_priced_offering()
    signed_in(client, "viewer")

    page = client.get(PAGE)

    assert page.context["changes"] == {}
    assert page.context["price_url"] == ""
    assert b"Add a model" not in client.get("/catalog/").content
    assert reverse("offering-tier", args=["gpt-5.5@openai"]).encode() not in page.content
