from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from catalog.rules import METERS, ListedPrice, PriceTable, RateCard
from tests.drawing import drawn
from usage.rules import day_prices, savings
from usage.rules.savings import ENOUGH, Part

PER_1M = 10**12  # attodollars per token of a price of 1 USD per million


def card(**prices: str) -> RateCard:
    return RateCard.of([price(name, prices[name]) if name in prices else None for name in METERS])


def price(meter: str, usd: str, **overrides: object) -> ListedPrice:
    amount = Decimal(usd)
    given: dict[str, object] = {
        "id": 1, "meter": METERS.index(meter), "usd_per_1m": amount, "scaled": int(amount.scaleb(10)),
        "starts_at": None, "ends_at": None, "context_over": None, "context_inclusive": False, "service_tier": "",
    }  # fmt: skip
    return ListedPrice(**{**given, **overrides})  # type: ignore[arg-type]


def counts(**used: int) -> tuple[int, ...]:
    return tuple(used.get(name, 0) for name in METERS)


DEAR = card(uncached_input="10", cache_read="1", cache_write_5m="12.5", output="50")


def elsewhere(paid: int = 0, requests: int = 100, card: RateCard | None = DEAR, **used: int) -> Part:
    return Part(False, requests, counts(**used), paid, card)


def own(paid: int = 0, requests: int = ENOUGH, **used: int) -> Part:
    return Part(True, requests, counts(**used), paid, DEAR)


def test_calls_that_went_elsewhere_are_priced_at_the_baseline():
    found = savings.compare([elsewhere(paid=3 * PER_1M, uncached_input=10, output=2)])

    assert (found.at_baseline, found.cache_lost, found.net) == (200 * PER_1M, 0, 197 * PER_1M)


def test_calls_of_the_baselines_own_cost_there_what_they_did_cost():
    found = savings.compare([own(paid=7, uncached_input=10)])

    assert (found.at_baseline, found.net, found.own_requests, found.lines) == (7, 0, ENOUGH, ())


def test_the_baseline_is_granted_its_own_prompt_cache_where_that_is_better_and_what_it_saves_was_lost():
    cached = own(paid=1, uncached_input=10, cache_read=80, cache_write_5m=10)

    found = savings.compare([cached, elsewhere(uncached_input=1000)])

    assert found.at_baseline == 10_000 * PER_1M + 1
    assert found.at_baseline - found.cache_lost == (100 * 10 + 800 + 1250) * PER_1M + 1
    assert [(METERS[line.meter], line.counted, line.granted_counted) for line in found.lines] == [
        ("uncached_input", 1000, 100), ("cache_read", 0, 800), ("cache_write_5m", 0, 100),
    ]  # fmt: skip
    assert found.net == found.at_baseline - found.cache_lost - 1


def test_the_prompt_cache_that_calls_had_elsewhere_is_kept_where_it_is_better():
    found = savings.compare([own(uncached_input=1000), elsewhere(uncached_input=100, cache_read=900)])

    assert (found.at_baseline, found.cache_lost) == (1900 * PER_1M, 0)


def test_a_few_calls_of_its_own_tell_nothing_of_its_prompt_cache():
    few = own(requests=ENOUGH - 1, cache_read=100)

    assert savings.compare([few, elsewhere(uncached_input=1000)]).cache_lost == 0


def test_what_the_baseline_has_no_price_for_is_left_out_on_both_sides_and_counted():
    found = savings.compare(
        [elsewhere(paid=5, requests=3, audio_input=10), elsewhere(paid=7, requests=4, card=None, output=1),
         elsewhere(paid=11, requests=8, output=1)]
    )  # fmt: skip

    assert (found.requests, found.paid, found.at_baseline) == (8, 11, 50 * PER_1M)
    assert (found.left_out_requests, found.left_out_paid) == (7, 12)


def test_where_there_is_no_price_for_a_prompt_cache_its_tokens_cost_what_other_input_costs():
    plain = card(uncached_input="10")

    found = savings.compare([elsewhere(card=plain, uncached_input=1, cache_read=2, cache_write_1h=3)])

    assert found.at_baseline == 60 * PER_1M


tokens = st.integers(0, 10**9)
drawn_part = st.builds(
    lambda mine, requests, used, paid: Part(mine, requests, counts(**used), paid, DEAR),
    st.booleans(),
    st.integers(1, 100),
    st.fixed_dictionaries(dict.fromkeys(("uncached_input", "cache_read", "cache_write_5m", "output"), tokens)),
    st.integers(0, 10**20),
)


@given(st.lists(drawn_part, max_size=6))
@drawn()
def test_the_three_parts_and_the_lines_add_up_whatever_was_used_and_no_token_is_lost(parts):
    found = savings.compare(parts)

    assert found.net == found.at_baseline - found.cache_lost - sum(part.paid for part in parts)
    assert found.cache_lost >= 0
    assert found.at_baseline == found.own_paid + sum(line.cost for line in found.lines)
    assert found.at_baseline - found.cache_lost == found.own_paid + sum(line.granted_cost for line in found.lines)
    assert sum(line.counted for line in found.lines) == sum(line.granted_counted for line in found.lines)


def test_a_price_counts_from_the_first_day_whose_noon_it_holds_at():
    assert day_prices.first_day_of(datetime(2026, 6, 1, 10, tzinfo=UTC), "Europe/Berlin") == date(2026, 6, 1)
    assert day_prices.first_day_of(datetime(2026, 6, 1, 10, 1, tzinfo=UTC), "Europe/Berlin") == date(2026, 6, 2)
    assert day_prices.first_day_of(datetime(2026, 5, 31, 23, tzinfo=UTC), "Europe/Berlin") == date(2026, 6, 1)


def test_a_day_has_the_price_of_its_noon_for_calls_of_the_mean_size():
    change = datetime(2026, 6, 1, tzinfo=UTC)
    table = PriceTable.of(
        [
            price("output", "10", ends_at=change),
            price("output", "8", starts_at=change),
            price("output", "16", starts_at=change, context_over=200_000),
        ]
    )

    def output(day: date, size: int) -> int | None:
        found = day_prices.card_at(table, day_prices.noon(day, "UTC"), size)
        assert found is not None
        return found.per_unit[METERS.index("output")]

    assert output(date(2026, 5, 31), 300_000) == 10 * PER_1M
    assert output(date(2026, 6, 1), 1000) == 8 * PER_1M
    assert output(date(2026, 6, 1), 300_000) == 16 * PER_1M
    assert day_prices.mean_size(counts(uncached_input=500, cache_read=500, output=9), 4) == 250
