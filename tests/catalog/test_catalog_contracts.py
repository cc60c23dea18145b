"""Negotiated terms: recorded, corrected, ended, and what the book makes of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Amendment, Contract, Gateway, Price, PriceSeries, Provider
from catalog.selectors import snapshot
from catalog.services import contracts, prices
from core.errors import Invalid, NotFound
from core.models import AuditEntry
from tests.catalog.making import JANUARY, JULY, MARCH, MAY, make_offering, set_price
from tests.factories import NOON
from usage.rules.rating import rate

pytestmark = pytest.mark.django_db

MONTHS = (JANUARY, MARCH, MAY, JULY)
DAY = timedelta(days=1)


def openai() -> Provider:
    return make_offering().provider


def make_gateway(name: str = "edge") -> Gateway:
    return Gateway.objects.create(name=name, created_at=NOON)


def set_terms(discount: str | None = "10", **overrides: Any) -> Contract:
    """Set the discount of a contract with the provider from January on, as of noon in June."""
    given: dict[str, Any] = {
        "name": "OpenAI 2026",
        "discount_percent": None if discount is None else Decimal(discount),
        "valid_from": JANUARY,
        "by": "buyer@example.com",
        "approved_by": "cfo@example.com",
        "at": NOON,
    }
    if not {"provider", "offering", "gateway"} & overrides.keys():
        given["provider"] = openai()
    return contracts.set_terms(**{**given, **overrides})


def end(at: datetime, **overrides: Any) -> bool:
    given: dict[str, Any] = {
        "name": "OpenAI 2026", "ends_at": at, "by": "buyer@example.com", "approved_by": "cfo@example.com", "at": NOON,
    }  # fmt: skip
    return contracts.end(**{**given, **overrides})


def own(usd: str = "3", **overrides: Any) -> prices.NewPrice:
    given: dict[str, Any] = {
        "meter": "uncached_input", "usd_per_1m": Decimal(usd), "valid_from": JANUARY, "source": "the contract",
    }  # fmt: skip
    if "offering" not in overrides:
        given["offering"] = make_offering()
    return prices.NewPrice(**{**given, **overrides})


def listed(usd: str = "5", **overrides: Any) -> None:
    set_price(usd, **{"offering": make_offering(), "at": JANUARY - DAY, **overrides})


def recorded() -> list[tuple[Any, Any, str | None]]:
    """Return what contracts say as recorded now: from, until, discount."""
    rows = Contract.objects.filter(recorded__upper_inf=True).order_by("valid")
    return [
        (row.valid.lower, row.valid.upper, None if row.discount_percent is None else f"{row.discount_percent:f}")
        for row in rows
    ]


def paid(*instants: datetime, offering: Any = None, gateway: int = 0, tier: str = "") -> list[str | None]:
    """Return what a million uncached input tokens cost in USD at each instant."""
    book = snapshot.load()
    found = [
        rate(
            book=book, offering=(offering or make_offering()).pk, service_tier=tier, timestamp=at.timestamp(),
            meters=(1_000_000, *[0] * 8, 1, 0), gateway=gateway,
        ).cost
        for at in instants
    ]  # fmt: skip
    return [None if one is None else f"{(Decimal(one) / 10**18).normalize():f}" for one in found]


# --- what is recorded ---


def test_a_discount_holds_over_its_time():
    listed()

    set_terms("10", valid_from=MARCH, valid_until=JULY)

    assert paid(*MONTHS) == ["5", "4.5", "4.5", "5"]


def test_terms_replace_what_was_said_for_their_time_and_keep_it_on_either_side():
    listed()
    set_terms("10")

    set_terms("20", valid_from=MARCH, valid_until=MAY)

    assert recorded() == [(JANUARY, MARCH, "10.0000"), (MARCH, MAY, "20.0000"), (MAY, None, "10.0000")]
    assert paid(*MONTHS) == ["4.5", "4", "4.5", "4.5"]


def test_what_was_recorded_before_a_correction_can_still_be_asked_for():
    set_terms("10")

    set_terms("20", at=NOON + DAY)

    (then,) = Contract.objects.filter(recorded__contains=NOON)
    assert (then.discount_percent, then.recorded.upper) == (Decimal("10.0000"), NOON + DAY)


def test_repeating_terms_writes_nothing():
    set_terms("10", own_prices=[own()])
    before = (Contract.objects.count(), Price.objects.count(), Amendment.objects.count())

    set_terms("10", own_prices=[own()])
    set_terms("10", own_prices=[own()], valid_from=MARCH, valid_until=MAY)

    assert (Contract.objects.count(), Price.objects.count(), Amendment.objects.count()) == before


def test_two_corrections_at_one_instant_both_stay_on_record():
    for discount in ("10", "20", "30"):
        set_terms(discount)

    assert recorded() == [(JANUARY, None, "30.0000")]
    assert Contract.objects.count() == 3


def test_a_later_made_contract_with_the_same_provider_holds_and_goes_on_to_when_the_other_is_corrected():
    listed()
    set_terms("10")
    set_terms("50", name="Promotion", valid_from=MARCH, valid_until=JULY)

    set_terms("20", valid_from=JANUARY, valid_until=MARCH)

    assert paid(*MONTHS) == ["4", "2.5", "2.5", "4.5"]


def test_terms_are_in_the_audit_trail_with_who_and_why():
    set_terms("10", note="yearly talks")

    entry = AuditEntry.objects.get(table="catalog_contract")
    assert (entry.actor, entry.reason) == ("buyer@example.com", "yearly talks")


# --- own prices ---


def test_own_prices_hold_through_all_terms_of_the_contract_and_hang_on_its_first_row():
    listed()
    first = set_terms("10", own_prices=[own("3", valid_from=MARCH)])

    set_terms("20", valid_from=MAY)
    set_terms("20", valid_from=MAY, own_prices=[own("2", valid_from=JULY)])

    assert paid(*MONTHS) == ["4.5", "3", "3", "2"]
    assert {one.contract_id for one in PriceSeries.objects.exclude(contract=None)} == {first.pk}


def test_a_price_set_by_any_row_of_a_contract_is_of_the_one_series():
    listed()
    set_terms("10", own_prices=[own("3")])
    anew = set_terms("20")

    set_price("2", offering=make_offering(), contract=anew)

    assert PriceSeries.objects.exclude(contract=None).count() == 1
    assert paid(MAY) == ["2"]


def test_own_prices_end_with_the_contract():
    listed()
    set_terms(None, own_prices=[own("3")], valid_from=MARCH, valid_until=MAY)

    assert paid(*MONTHS) == ["5", "3", "5", "5"]


@pytest.mark.parametrize("scope", ["provider", "offering"])
def test_a_price_of_another_s_offering_is_refused_since_it_could_never_hold(scope):
    ours, other = make_offering(), make_offering("gpt-5.5@azure", default=False)
    with_whom = {"provider": ours.provider} if scope == "provider" else {"offering": ours}

    with pytest.raises(Invalid, match="no say on"):
        set_terms(None, own_prices=[own(offering=ours), own(offering=other)], **with_whom)

    assert not Contract.objects.exists()


def test_a_gateway_s_contract_may_price_any_offering():
    listed()
    other = make_offering("gpt-5.5@azure", default=False)
    edge = make_gateway()

    set_terms(None, gateway=edge, own_prices=[own("3"), own("2", offering=other)])

    assert paid(MAY, gateway=edge.pk) == ["3"]
    assert paid(MAY, gateway=edge.pk, offering=other) == ["2"]
    assert (paid(MAY), paid(MAY, offering=other)) == (["5"], [None])


@pytest.mark.parametrize(
    ("written", "held"), [("Batch", "batch"), (" FLEX", "flex"), ("standard", ""), ("default", "")]
)
def test_a_service_tier_is_kept_as_events_have_it(written, held):
    set_price("2", offering=make_offering(), service_tier=written)

    assert paid(MAY, tier=held) == ["2"]


def test_a_region_holds_however_it_is_written():
    offering = make_offering(region="EU-West-1")
    for region, usd in (("", "5"), ("eu-west-1", "6"), ("EU-WEST-1", "7"), ("us", "8")):
        set_price(usd, offering=offering, region=region)

    assert paid(MAY) == ["7"]


# --- the end ---


def test_a_contract_is_ended_with_its_own_prices_and_its_later_terms():
    listed()
    set_terms("10", own_prices=[own("3", valid_until=MAY)])
    set_terms("20", valid_from=JULY)

    ended = end(MARCH)

    assert ended
    assert recorded() == [(JANUARY, MARCH, "10.0000")]
    assert paid(*MONTHS) == ["3", "5", "5", "5"]
    amendment = Amendment.objects.order_by("id").last()
    assert amendment is not None
    assert (amendment.kind, amendment.starts_at, amendment.ends_at) == ("contract", MARCH, None)
    assert amendment.offerings == [make_offering().pk]


def test_ending_again_or_later_changes_nothing():
    set_terms("10")
    end(MARCH)
    before = (Contract.objects.count(), Amendment.objects.count())

    assert not end(MARCH)
    assert not end(MAY)

    assert (Contract.objects.count(), Amendment.objects.count()) == before


def test_an_ended_contract_can_be_taken_up_again():
    listed()
    set_terms("10")
    end(MARCH)

    set_terms("20", valid_from=JULY)

    assert paid(*MONTHS) == ["4.5", "5", "5", "4"]


def test_only_a_contract_that_is_there_ends_and_somebody_approves_it():
    with pytest.raises(NotFound):
        end(MARCH)
    set_terms("10")
    with pytest.raises(Invalid):
        end(MARCH, approved_by=" ")

    assert recorded() == [(JANUARY, None, "10.0000")]


# --- refusals ---


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"discount_percent": None}, "discount_percent"),
        ({"discount_percent": Decimal("-0.0001")}, "discount_percent"),
        ({"discount_percent": Decimal("100.0001")}, "discount_percent"),
        ({"discount_percent": Decimal("NaN")}, "discount_percent"),
        ({"discount_percent": Decimal("0.00001")}, "discount_percent"),
        ({"provider": None}, "provider"),
        ({"valid_until": JANUARY}, "valid_until"),
        ({"approved_by": ""}, "approved_by"),
    ],
)
def test_terms_that_cannot_be_are_refused_by_field(overrides, field):
    with pytest.raises(Invalid) as refused:
        set_terms(**overrides)

    assert [name for name, _ in refused.value.problems] == [field]
    assert not Contract.objects.exists()


def test_a_contract_has_one_scope_for_good():
    set_terms("10")

    with pytest.raises(contracts.OtherScope, match="another provider"):
        set_terms("10", offering=make_offering())
    with pytest.raises(Invalid):
        set_terms("10", name="both", provider=openai(), gateway=make_gateway())

    assert Contract.objects.count() == 1


def test_a_contract_with_a_price_that_cannot_be_leaves_no_trace():
    with pytest.raises(Invalid):
        set_terms("10", own_prices=[own("3"), own("-1")])

    assert (Contract.objects.count(), Price.objects.count(), Amendment.objects.count()) == (0, 0, 0)
