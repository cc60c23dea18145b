from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.rules import METERS, REQUESTS, Book, ListedPrice
from usage.models import Unpriced
from usage.rules import rating
from usage.rules.rating import METER_WITHOUT_PRICE, NO_PRICE, NOT_COUNTED, PRICED, UNKNOWN_CONTEXT, atto, price_of, usd

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
OFFERING = 7


def listed(meter, usd_per_1m, *, starts=None, ends=None, over=None, inclusive=False, service_tier="", id=1):
    amount = Decimal(usd_per_1m)
    return ListedPrice(
        id=id,
        meter=METERS.index(meter),
        usd_per_1m=amount,
        scaled=int(amount.scaleb(10)),
        starts_at=starts,
        ends_at=ends,
        context_over=over,
        context_inclusive=inclusive,
        service_tier=service_tier,
    )


def book_of(*prices):
    tiers = {one.service_tier for one in prices}
    listed = {(OFFERING, tier): tuple(one for one in prices if one.service_tier == tier) for tier in tiers}
    return Book(listed=listed, priced_offerings=frozenset([OFFERING] if prices else []))


def meters(**counts):
    return tuple(counts.get(name, 1 if name == "requests" else 0) for name in METERS)


def rated(*prices, at=NOON, service_tier="", counted=True, **counts):
    return price_of(
        book=book_of(*prices),
        offering=OFFERING,
        service_tier=service_tier,
        occurred_at=at,
        meters=meters(**counts),
        counted=counted,
        gateway=0,
    )


def cost(*prices, **given):
    found = rated(*prices, **given)
    assert found.unpriced == PRICED
    return usd(found.cost)


@pytest.mark.parametrize("meter", METERS)
def test_each_meter_is_charged_its_own_price_per_million(meter):
    prices = [listed(name, str(number + 1), id=number) for number, name in enumerate(METERS) if name != "requests"]
    prices.append(listed("requests", "0"))
    others = dict.fromkeys(METERS, 0)

    if meter == "requests":
        prices[-1] = listed("requests", "10000")
        assert cost(*prices, **(others | {meter: 1})) == Decimal("0.01")
    else:
        price = METERS.index(meter) + 1
        assert cost(*prices, **(others | {meter: 1_000_000})) == price


def test_meters_add_up():
    prices = [listed("uncached_input", "5"), listed("cache_read", "0.5"), listed("output", "30")]

    assert cost(*prices, uncached_input=176, cache_read=1024, output=85) == Decimal("0.003942")


def test_a_request_is_free_where_nobody_lists_a_price_for_it():
    assert cost(listed("output", "30"), output=10) == Decimal("0.0003")


def test_free_is_a_price_of_zero():
    assert rated(listed("output", "0"), output=10)[::3] == (0, PRICED)


def test_no_price_is_not_free():
    assert rated(output=10) == (None, None, None, NO_PRICE)


def test_one_meter_without_a_price_leaves_the_whole_call_unpriced():
    assert rated(listed("uncached_input", "5"), uncached_input=10, output=1) == (None, None, None, METER_WITHOUT_PRICE)


def test_a_meter_without_a_price_that_was_not_used_does_no_harm():
    assert cost(listed("uncached_input", "5"), uncached_input=10) == Decimal("0.00005")


@pytest.mark.parametrize("prices", [[], [listed("output", "30")], [listed("output", "30", starts=NOON)]])
def test_nothing_used_costs_nothing_whether_there_is_a_price_or_not(prices):
    before_any_price = datetime(2026, 6, 14, tzinfo=UTC)

    assert rated(*prices, at=before_any_price)[::3] == (0, PRICED)


def test_web_searches_are_used_even_where_no_token_was():
    assert rated(web_searches=1).unpriced == NO_PRICE


def test_tokens_that_nobody_counted_have_no_known_cost():
    assert rated(listed("output", "30"), counted=False) == (None, None, None, NOT_COUNTED)


def test_a_service_tier_has_prices_of_its_own():
    prices = [listed("output", "30"), listed("output", "15", service_tier="batch")]

    assert cost(*prices, service_tier="batch", output=1000) == Decimal("0.015")
    assert cost(*prices, service_tier="", output=1000) == Decimal("0.03")


def test_an_unknown_service_tier_is_not_priced_with_the_ordinary_one():
    assert rated(listed("output", "30"), service_tier="priority", output=1) == (None, None, None, UNKNOWN_CONTEXT)


@pytest.mark.parametrize(
    ("at", "price"),
    [
        (datetime(2026, 6, 14, 23, 59, 59, 999_999, tzinfo=UTC), 30),
        (datetime(2026, 6, 15, tzinfo=UTC), 20),
        (datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC), 20),
        (datetime(2026, 7, 1, tzinfo=UTC), 10),
    ],
)
def test_the_price_in_force_at_the_microsecond_of_the_call_holds(at, price):
    first, second = datetime(2026, 6, 15, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    prices = [
        listed("output", "30", ends=first),
        listed("output", "20", starts=first, ends=second),
        listed("output", "10", starts=second),
    ]

    assert cost(*prices, at=at, output=1_000_000) == price


def test_between_two_prices_nothing_is_priced():
    gap_starts, gap_ends = datetime(2026, 6, 15, tzinfo=UTC), datetime(2026, 6, 16, tzinfo=UTC)
    prices = [listed("output", "30", ends=gap_starts), listed("output", "20", starts=gap_ends)]

    assert rated(*prices, at=NOON, output=1).unpriced == NO_PRICE


def test_a_price_that_ends_for_one_meter_leaves_the_others():
    prices = [listed("uncached_input", "5"), listed("output", "30", ends=NOON)]

    assert rated(*prices, at=NOON, uncached_input=1).unpriced == PRICED
    assert rated(*prices, at=NOON, output=1).unpriced == METER_WITHOUT_PRICE


@pytest.mark.parametrize(
    ("inclusive", "tokens", "price"),
    [(False, 272_000, 5), (False, 272_001, 10), (True, 271_999, 5), (True, 272_000, 10)],
)
def test_a_context_tier_is_a_cliff_for_the_whole_request(inclusive, tokens, price):
    prices = [
        listed("uncached_input", "5"),
        listed("uncached_input", "10", over=272_000, inclusive=inclusive),
        listed("output", "30"),
        listed("output", "45", over=272_000, inclusive=inclusive),
    ]

    found = cost(*prices, uncached_input=tokens, output=1000)

    output_price = 45 if price == 10 else 30
    assert found == Decimal(tokens * price + 1000 * output_price) / 1_000_000


def test_cached_audio_and_image_input_count_towards_the_context_and_output_does_not():
    prices = [listed(name, "1") for name in METERS[:9]]
    prices += [listed("uncached_input", "2", over=100)]
    inside = {"uncached_input": 1, "cache_read": 20, "cache_write_5m": 20, "cache_write_1h": 20, "audio_input": 20}

    assert cost(*prices, **inside, image_input=19, output=1000) == Decimal("0.0011")
    assert cost(*prices, **inside, image_input=20, output=1000) == Decimal("0.001102")


def test_a_meter_that_a_context_tier_does_not_name_keeps_the_price_below_it():
    prices = [listed("uncached_input", "5"), listed("output", "30"), listed("uncached_input", "10", over=100)]

    assert cost(*prices, uncached_input=200, output=1000) == Decimal("0.032")


def test_of_several_context_tiers_the_highest_that_is_reached_holds():
    prices = [
        listed("uncached_input", "1"),
        listed("uncached_input", "2", over=100),
        listed("uncached_input", "3", over=200),
    ]

    assert [cost(*prices, uncached_input=tokens) * 1_000_000 for tokens in (100, 200, 201)] == [100, 400, 603]


_AMOUNTS = st.decimals(min_value=0, max_value=5000, places=10)
_COUNTS = st.integers(min_value=0, max_value=2**53 - 1)


@given(prices=st.lists(_AMOUNTS, min_size=11, max_size=11), counts=st.lists(_COUNTS, min_size=11, max_size=11))
def test_a_cost_is_exact_to_the_last_decimal(prices, counts):
    listing = [listed(name, amount) for name, amount in zip(METERS, prices, strict=True)]

    found = rated(*listing, **dict(zip(METERS, counts, strict=True)))

    exact = sum(Fraction(price) * number for price, number in zip(prices, counts, strict=True)) / 1_000_000
    assert Fraction(usd(found.cost)) == exact


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_attodollars_and_dollars_are_the_same_money(amount):
    assert atto(usd(amount)) == amount


def test_the_card_names_the_prices_that_were_used():
    cheap, dear = listed("output", "30", ends=NOON, id=11), listed("output", "20", starts=NOON, id=12)

    card = rated(cheap, dear, at=NOON, output=1).card

    assert [price.id for price in card.prices if price] == [12]
    assert card.prices[REQUESTS] is None


def test_the_numbers_of_why_are_those_of_the_records():
    numbers = [rating.PRICED, NO_PRICE, METER_WITHOUT_PRICE, NOT_COUNTED, UNKNOWN_CONTEXT]

    assert list(Unpriced) == numbers
