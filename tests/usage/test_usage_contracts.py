"""Contracts, regions, hours and service tiers through real bookings: what is paid, listed and named."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Contract, HourWindow, Offering, Price, Provider
from catalog.services import contracts, hour_windows, offerings, prices
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    LONG_AGO,
    NOON,
    entries,
    make_event,
    make_gateway,
    make_offering,
    make_priced_offering,
    send,
    set_price,
    the_entry,
)
from usage.models import LedgerEntry, Rate, Unpriced

pytestmark = pytest.mark.django_db

MILLION = {"uncached_input_tokens": 1_000_000, "output_tokens": 0}


def set_terms(discount: str | None = "10", **overrides: Any) -> Contract:
    given: dict[str, Any] = {
        "name": "frame", "discount_percent": None if discount is None else Decimal(discount), "valid_from": LONG_AGO,
        "by": "buyer", "approved_by": "cfo", "at": LONG_AGO,
    }  # fmt: skip
    if not {"provider", "offering", "gateway"} & overrides.keys():
        given["provider"] = Provider.objects.get(name="openai")
    return contracts.set_terms(**{**given, **overrides})


def own(offering: Offering, usd: str, meter: str = "uncached_input", **overrides: Any) -> prices.NewPrice:
    given: dict[str, Any] = {"valid_from": LONG_AGO, "source": "contract", "usd_per_1m": Decimal(usd), "meter": meter}
    return prices.NewPrice(offering=offering, **{**given, **overrides})


def hours(name: str = "peak", starts: time = time(9), ends: time = time(18), zone: str = "UTC") -> HourWindow:
    return hour_windows.ensure(name=name, zone=zone, weekdays=range(7), starts=starts, ends=ends, by="tests")


def costs(entry: LedgerEntry) -> tuple[str | None, str | None]:
    """Return cost and list cost as text."""
    cost, listed = entry.cost_usd, entry.list_cost_usd
    return (None if cost is None else f"{cost.normalize():f}", None if listed is None else f"{listed.normalize():f}")


def rate_of(entry: LedgerEntry) -> dict[str, Any]:
    assert entry.rate_id is not None
    found: dict[str, Any] = Rate.objects.get(pk=entry.rate_id).prices
    return found


def listed(meter: str) -> int:
    return Price.objects.get(series__meter=meter, series__contract=None).pk


# --- contracts ---


def test_a_call_under_a_contract_names_it_its_discount_and_the_list_prices():
    make_priced_offering()
    contract = set_terms("12.5")

    send(make_event(uncached_input_tokens=1000, output_tokens=100))

    assert costs(the_entry()) == ("0.007", "0.008")
    assert rate_of(the_entry()) == {
        "uncached_input": {"price": listed("uncached_input"), "usd_per_1m": "5"},
        "cache_read": {"price": listed("cache_read"), "usd_per_1m": "0.5"},
        "output": {"price": listed("output"), "usd_per_1m": "30"},
        "contract": {"id": contract.pk, "name": "frame", "discount_percent": "12.5"},
    }
    kept = Rate.objects.get(pk=the_entry().rate_id)
    assert (kept.contract_id, kept.discount_percent) == (contract.pk, Decimal("12.5"))


def test_an_own_price_stands_beside_the_list_price_that_it_replaces():
    offering = make_priced_offering()
    set_terms("10", own_prices=[own(offering, "4")])
    mine = Price.objects.get(series__contract__name="frame").pk

    send(make_event(uncached_input_tokens=1000, output_tokens=100))

    assert costs(the_entry()) == ("0.0067", "0.008")  # 4 an own price, 30 less a tenth
    rate = rate_of(the_entry())
    assert rate["uncached_input"] == {
        "price": mine, "usd_per_1m": "4", "list_price": listed("uncached_input"), "list_usd_per_1m": "5",
        "contract": True,
    }  # fmt: skip
    assert rate["output"] == {"price": listed("output"), "usd_per_1m": "30"}


def test_calls_under_the_same_terms_share_one_rate_and_those_under_others_have_another():
    make_priced_offering()
    edge = make_gateway("edge")
    set_terms("10", gateway=edge)

    send(make_event(), make_event(uncached_input_tokens=7), gateway="edge")
    send(make_event(), make_event(), gateway="other")

    assert len({(entry.gateway_id, entry.rate_id) for entry in entries()}) == Rate.objects.count() == 2
    assert {("contract" in rate_of(entry)) for entry in entries() if entry.gateway_id == edge.pk} == {True}
    assert {("contract" in rate_of(entry)) for entry in entries() if entry.gateway_id != edge.pk} == {False}


def test_new_terms_are_a_new_rate_though_the_prices_are_the_same():
    make_priced_offering()
    set_terms("10")
    send(make_event(**MILLION))
    later = set_terms("20", valid_from=NOON, at=NOON)

    send(make_event(occurred_at=NOON + timedelta(minutes=1), **MILLION), received_at=NOON + timedelta(hours=1))

    first, second = entries()
    assert (costs(first), costs(second)) == (("4.5", "5"), ("4", "5"))
    assert rate_of(second)["contract"]["id"] == later.pk != rate_of(first)["contract"]["id"]


def test_the_gateway_s_contract_goes_before_the_offering_s_and_that_before_the_provider_s():
    offering = make_priced_offering()
    set_terms("10")
    set_terms("20", name="model", offering=offering)
    set_terms("30", name="edge", gateway=make_gateway("edge"))

    send(make_event(**MILLION), gateway="edge")
    send(make_event(**MILLION), gateway="other")

    assert [(costs(entry)[0], rate_of(entry)["contract"]["name"]) for entry in entries()] == [
        ("3.5", "edge"),
        ("4", "model"),
    ]


def test_a_contract_prices_calls_of_its_time_only():
    make_priced_offering()
    set_terms("10", valid_from=NOON, valid_until=NOON + timedelta(hours=1))
    tick = timedelta(microseconds=1)

    instants = [NOON - tick, NOON, NOON + timedelta(hours=1) - tick, NOON + timedelta(hours=1)]
    send(*(make_event(occurred_at=at, **MILLION) for at in instants), received_at=NOON + timedelta(hours=2))

    assert [costs(entry)[0] for entry in sorted(entries(), key=lambda one: one.occurred_at)] == ["5", "4.5", "4.5", "5"]


def test_a_cache_hit_costs_nothing_and_avoids_what_the_contract_would_have_charged():
    make_priced_offering()
    set_terms("10")

    send(make_event(status="cache_hit", **MILLION))

    assert costs(the_entry()) == ("0", "0")
    assert the_entry().avoided_usd == Decimal("4.5")


def test_an_own_price_alone_prices_what_is_not_listed_and_saves_nothing():
    offering = make_offering()
    set_terms(None, own_prices=[own(offering, "4"), own(offering, "0", "output")])

    send(make_event(**MILLION), make_event(uncached_input_tokens=0, cache_read_tokens=1))

    priced, unpriced = sorted(entries(), key=lambda one: one.unpriced)
    assert costs(priced) == ("4", "4")
    assert (costs(unpriced), unpriced.unpriced) == ((None, None), Unpriced.METER_WITHOUT_PRICE)


def test_sums_hold_paid_and_listed_alike():
    make_priced_offering()
    set_terms("33.3333")

    send(*(make_event(uncached_input_tokens=tokens, output_tokens=tokens % 7) for tokens in (1, 3, 333, 99_999)))

    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


# --- regions, hours, service tiers, sizes ---


def test_an_offering_is_priced_by_its_region():
    offering = make_priced_offering()
    set_price(offering, "uncached_input", "5.5", region="eu")
    send(make_event(**MILLION))

    offerings.change(offering=offering, region="EU", by="tests", at=NOON)
    send(make_event(**MILLION))

    assert [costs(entry)[0] for entry in entries()] == ["5", "5.5"]


@pytest.mark.parametrize(
    ("zone", "clock", "cost"),
    [
        ("UTC", 8, "5"),
        ("UTC", 9, "8"),
        ("UTC", 17, "8"),
        ("UTC", 18, "5"),
        ("Europe/Berlin", 7, "8"),  # summer: nine there
        ("Europe/Berlin", 16, "5"),
    ],
)
def test_a_call_is_priced_by_the_hour_at_which_it_happened(zone, clock, cost):
    set_price(make_priced_offering(), "uncached_input", "8", hour_window=hours(zone=zone))
    at = datetime(2026, 6, 15, clock, tzinfo=UTC)

    send(make_event(occurred_at=at, **MILLION), received_at=NOON + timedelta(hours=10))

    assert costs(the_entry()) == (cost, cost)


def test_hours_over_midnight_price_both_sides_of_it():
    set_price(make_priced_offering(), "uncached_input", "2", hour_window=hours("night", time(22), time(6)))
    instants = [datetime(2026, 6, day, hour, tzinfo=UTC) for day, hour in ((14, 21), (14, 22), (15, 5), (15, 6))]

    send(*(make_event(occurred_at=at, **MILLION) for at in instants))

    assert [costs(entry)[0] for entry in sorted(entries(), key=lambda one: one.occurred_at)] == ["5", "2", "2", "5"]


@pytest.mark.parametrize(("tier", "cost"), [("", "5"), ("batch", "2.5"), ("priority", "10")])
def test_a_service_tier_has_its_own_prices(tier, cost):
    offering = make_priced_offering()
    set_price(offering, "uncached_input", "2.5", service_tier="Batch")
    set_price(offering, "uncached_input", "10", service_tier="priority")

    send(make_event(service_tier=tier, **MILLION))

    assert costs(the_entry()) == (cost, cost)


def test_a_service_tier_that_nobody_priced_is_unpriced_and_not_taken_for_the_ordinary_one():
    make_priced_offering()
    set_terms("10")

    send(make_event(service_tier="turbo", **MILLION))

    assert (costs(the_entry()), the_entry().unpriced) == ((None, None), Unpriced.UNKNOWN_CONTEXT)
    assert the_entry().rate_id is None


def test_layers_meet_contract_before_hours_before_region_before_list_and_sizes_within_each():
    offering = make_priced_offering()
    offerings.change(offering=offering, region="eu", by="tests", at=NOON)
    set_price(offering, "uncached_input", "6", region="eu")
    set_price(offering, "uncached_input", "12", region="eu", context_over=200_000)
    set_price(offering, "uncached_input", "3", hour_window=hours("noon", time(12), time(13)))
    set_terms("50", own_prices=[own(offering, "1", context_over=500_000, context_inclusive=True)])
    an_hour_ago = NOON - timedelta(hours=1)

    def call(tokens: int, at: datetime) -> Any:
        return make_event(uncached_input_tokens=tokens, output_tokens=0, occurred_at=at)

    send(*(call(*each) for each in ((100_000, NOON), (200_001, NOON), (500_000, NOON), (100_000, an_hour_ago),
                                    (200_001, an_hour_ago))))  # fmt: skip

    found = {(entry.uncached_input_tokens, entry.occurred_at): entry.cost_usd for entry in entries()}
    per_million = {key: cost / key[0] * 1_000_000 for key, cost in found.items() if cost is not None}
    assert per_million == {
        (100_000, NOON): Decimal("1.5"),  # hours, less half
        (200_001, NOON): Decimal("1.5"),  # the region's cliff does not reach into hours
        (500_000, NOON): Decimal(1),  # the contract's own
        (100_000, an_hour_ago): Decimal(3),
        (200_001, an_hour_ago): Decimal(6),
    }
