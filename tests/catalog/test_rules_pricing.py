"""Which price holds for a call, from a book alone: no database."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import count

import pytest

from catalog.rules import (
    METERS,
    Book,
    ContractFacts,
    Dated,
    Hours,
    ListedPrice,
    OfferingFacts,
    PriceTable,
    Terms,
    edges,
)
from usage.rules.rating import METER_WITHOUT_PRICE, NO_PRICE, PRICED, UNKNOWN_CONTEXT, rate, usd

JANUARY, MARCH, MAY, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5, 7))
MONDAY_NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
INPUT, OUTPUT = METERS.index("uncached_input"), METERS.index("output")
ALL_DAYS = frozenset(range(7))
MODEL, GATEWAY = 7, 3

_ids = count(1)


def price(usd_per_1m="5", *, meter=INPUT, since=None, until=None, over=None, inclusive=False, hours=None, region=""):
    figure = Decimal(usd_per_1m)
    return ListedPrice(
        next(_ids), meter, figure, int(figure.scaleb(10)), since, until, over, inclusive, "", hours, region
    )


def hours(starts="16:30", ends="00:30", *, zone="UTC", days=ALL_DAYS, id=1):
    return Hours(id, f"hours-{id}", zone, frozenset(days), time.fromisoformat(starts), time.fromisoformat(ends))


def terms(*own, discount=None, since=None, until=None, id=1):
    return Terms(id, f"contract-{id}", since, until, None if discount is None else Decimal(discount), own)


def paid(prices, under=(), *, at=MONDAY_NOON, tokens=1000, meter=INPUT):
    """Return USD per million that a call of so many input tokens pays for a meter; None: unpriced."""
    span = PriceTable.of(prices, under).at(at.timestamp())
    if span is None:
        return None
    per_unit = span.at(at.timestamp()).card_for(tokens).per_unit[meter]
    return None if per_unit is None else f"{(Decimal(per_unit) / 10**12).normalize():f}"


def book_of(*prices, contracts=(), own=None, offerings=("gpt-5.5@openai",), service_tier=""):
    """Make a book whose first offering has `prices`; `own` are contracts' prices by name."""
    facts = {id_: OfferingFacts(id_, name, *name.split("@")) for id_, name in enumerate(offerings, start=MODEL)}
    return Book(
        offerings=facts,
        listed={(MODEL, service_tier): prices} if prices else {},
        contracts=tuple(contracts),
        contract_prices={(name, MODEL, service_tier): prices for name, prices in (own or {}).items()},
        contract_gateways=frozenset(one.gateway for one in contracts if one.gateway is not None),
        priced_offerings=frozenset({MODEL}),
    )


def contract(name="frame", *, id=1, discount=None, since=None, until=None, first_id=0, **scope):
    percent = None if discount is None else Decimal(discount)
    return ContractFacts(id, name, since, until, percent, first_id=first_id, **scope)


def rated(book, *, gateway=0, at=MONDAY_NOON, service_tier="", **counts):
    meters = tuple(counts.get(meter, 1 if meter == "requests" else 0) for meter in METERS)
    return rate(
        book=book, offering=MODEL, service_tier=service_tier, timestamp=at.timestamp(), meters=meters, gateway=gateway
    )


def costs(book, **call):
    """Return cost and list cost in USD of a call of a million input tokens."""
    found = rated(book, **{"uncached_input": 1_000_000, **call})
    return tuple(None if atto is None else f"{usd(atto).normalize():f}" for atto in (found.cost, found.list_cost))


# --- time ---


def test_a_price_holds_from_its_beginning_up_to_its_end():
    prices = [price("5", since=JANUARY, until=MARCH), price("4", since=MARCH, until=MAY)]
    tick = timedelta(microseconds=1)

    found = [paid(prices, at=at) for at in (JANUARY - tick, JANUARY, MARCH - tick, MARCH, MAY - tick, MAY)]

    assert found == [None, "5", "5", "4", "4", None]


def test_a_meter_whose_price_ended_is_without_one_though_others_go_on():
    prices = [price("5"), price("30", meter=OUTPUT, until=MAY)]

    assert (paid(prices), paid(prices, meter=OUTPUT), paid(prices, meter=OUTPUT, at=MARCH)) == ("5", None, "30")


# --- cliffs ---


@pytest.mark.parametrize(
    ("inclusive", "found"), [(False, ["5", "5", "10"]), (True, ["5", "10", "10"])], ids=["above", "from"]
)
def test_a_cliff_begins_above_its_limit_or_at_it(inclusive, found):
    prices = [price("5"), price("10", over=200_000, inclusive=inclusive)]

    assert [paid(prices, tokens=tokens) for tokens in (199_999, 200_000, 200_001)] == found


def test_the_highest_cliff_that_is_passed_counts_and_what_it_does_not_name_keeps_the_price_below():
    prices = [
        price("5"), price("10", over=200_000), price("20", over=500_000),
        price("30", meter=OUTPUT), price("45", meter=OUTPUT, over=200_000),
    ]  # fmt: skip

    assert [paid(prices, tokens=tokens) for tokens in (1, 300_000, 600_000)] == ["5", "10", "20"]
    assert [paid(prices, tokens=tokens, meter=OUTPUT) for tokens in (1, 300_000, 600_000)] == ["30", "45", "45"]


def test_all_input_counts_for_a_cliff_whatever_meter_it_is_of_and_no_output_does():
    book = book_of(price("5"), price("10", over=200_000), price("1", meter=METERS.index("cache_read")), *(
        price("0", meter=METERS.index(meter)) for meter in ("cache_write_1h", "audio_input", "image_input", "output")
    ))  # fmt: skip
    below = {"uncached_input": 100_000, "cache_read": 50_000, "cache_write_1h": 20_000, "audio_input": 20_000}

    assert costs(book, **below, image_input=10_000, output=9_000_000)[0] == "0.55"
    assert costs(book, **below, image_input=10_001)[0] == "1.05"


def test_a_size_that_only_a_cliff_prices_has_no_price_below_it():
    book = book_of(price("10", over=200_000))

    assert rated(book, uncached_input=1000).unpriced == METER_WITHOUT_PRICE
    assert rated(book, uncached_input=200_001).unpriced == PRICED


# --- regions and hours ---


def test_the_price_of_a_region_goes_before_the_one_of_any():
    assert paid([price("5.5", region="eu"), price("5")]) == "5.5"
    assert paid([price("5"), price("5.5", region="eu")]) == "5.5"


def test_a_region_has_its_own_cliffs_and_does_not_take_over_those_of_any():
    prices = [price("5"), price("10", over=200_000), price("5.5", region="eu")]

    assert paid(prices, tokens=300_000) == "5.5"
    assert paid([*prices, price("11", over=200_000, region="eu")], tokens=300_000) == "11"


def test_hours_go_before_a_region_and_hours_of_a_region_before_both():
    prices = [price("5"), price("6", region="eu"), price("3", hours=hours("11:00", "13:00"))]

    assert paid(prices) == "3"
    assert paid(prices, at=MONDAY_NOON + timedelta(hours=1)) == "6"
    assert paid([price("4", hours=hours("11:00", "13:00"), region="eu"), *prices]) == "4"


@pytest.mark.parametrize(
    ("clock", "holds"),
    [("16:29", False), ("16:30", True), ("23:59", True), ("00:00", True), ("00:29", True), ("00:30", False)],
)
def test_hours_reach_over_midnight(clock, holds):
    at = datetime.fromisoformat(f"2026-06-15T{clock}:00+00:00")

    assert hours("16:30", "00:30").hold(at.timestamp()) is holds


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC"])
def test_the_weekday_is_that_on_which_the_hours_began(zone):
    night = hours("22:00", "02:00", days={4}, zone=zone)  # of a Friday
    friday = datetime(2026, 6, 19, tzinfo=UTC)

    held = [night.hold((friday + timedelta(hours=hour)).timestamp()) for hour in (1, 22, 25, 26, 46)]

    assert held == [False, True, True, False, False]


def test_hours_that_end_where_they_begin_are_whole_days():
    weekend = hours("00:00", "00:00", days={5, 6})
    friday = datetime(2026, 6, 19, 23, 59, 59, 999_999, tzinfo=UTC)

    assert [weekend.hold((friday + timedelta(microseconds=one)).timestamp()) for one in (0, 1)] == [False, True]
    assert weekend.hold(datetime(2026, 6, 21, 23, 59, tzinfo=UTC).timestamp())
    assert not weekend.hold(datetime(2026, 6, 22, tzinfo=UTC).timestamp())


def test_hours_follow_the_clock_of_their_zone_through_daylight_saving():
    peak = hours("09:00", "18:00", zone="Europe/Berlin", days=range(5))

    def at(text):
        return peak.hold(datetime.fromisoformat(text).timestamp())

    assert [at("2026-03-27T07:59:59+00:00"), at("2026-03-27T08:00:00+00:00")] == [False, True]  # winter: UTC+1
    assert [at("2026-03-30T06:59:59+00:00"), at("2026-03-30T07:00:00+00:00")] == [False, True]  # summer: UTC+2
    assert not at("2026-03-28T12:00:00+00:00")  # a Saturday


def test_an_hour_that_the_clock_shows_twice_holds_twice_and_one_that_it_leaves_out_never():
    small = hours("02:00", "03:00", zone="Europe/Berlin")
    back, forward = datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC)

    def minutes(day):
        return sum(small.hold((day + timedelta(minutes=minute)).timestamp()) for minute in range(0, 24 * 60))

    assert (minutes(back), minutes(forward)) == (120, 0)


def test_a_weekday_is_the_zone_s_where_utc_has_another():
    monday = hours("00:00", "00:00", zone="Asia/Shanghai", days={0})

    assert monday.hold(datetime(2026, 6, 14, 16, tzinfo=UTC).timestamp())  # Sunday in UTC
    assert not monday.hold(datetime(2026, 6, 15, 16, tzinfo=UTC).timestamp())


def test_of_hours_that_overlap_those_recorded_later_hold():
    wide, narrow = hours("08:00", "20:00", id=1), hours("11:00", "13:00", id=2)
    prices = [price("3", hours=narrow), price("4", hours=wide), price("5")]

    assert [paid(prices, at=MONDAY_NOON + timedelta(hours=later)) for later in (0, 2, 10)] == ["3", "4", "5"]


def test_a_meter_that_hours_do_not_name_keeps_its_price_within_them():
    prices = [price("5"), price("30", meter=OUTPUT), price("3", hours=hours("11:00", "13:00"))]

    assert (paid(prices), paid(prices, meter=OUTPUT)) == ("3", "30")


def test_a_cliff_inside_hours_does_not_reach_out_of_them():
    window = hours("11:00", "13:00")
    prices = [price("5"), price("3", hours=window), price("6", hours=window, over=200_000)]

    assert paid(prices, tokens=300_000) == "6"
    assert paid(prices, tokens=300_000, at=MONDAY_NOON + timedelta(hours=2)) == "5"


# --- contracts: what they say ---


def test_a_contract_s_own_price_goes_before_list_hours_and_region():
    listed = [price("5"), price("3", hours=hours("11:00", "13:00")), price("4", region="eu")]

    assert paid(listed, [terms(price("4.5"))]) == "4.5"


def test_a_contract_s_own_hours_hold_in_them_and_its_discount_is_off_list_outside():
    under = [terms(price("1", hours=hours("11:00", "13:00")), discount="10")]

    assert [paid([price("5")], under, at=MONDAY_NOON + timedelta(hours=later)) for later in (0, 2)] == ["1", "4.5"]


def test_what_a_contract_does_not_price_is_list_less_its_discount():
    listed = [price("5"), price("30", meter=OUTPUT)]

    assert [paid(listed, [terms(price("4"), discount="20")], meter=meter) for meter in (INPUT, OUTPUT)] == ["4", "24"]
    assert [paid(listed, [terms(price("4"))], meter=meter) for meter in (INPUT, OUTPUT)] == ["4", "30"]


def test_a_discount_is_off_the_cliff_that_the_list_has():
    listed = [price("5"), price("10", over=200_000)]

    assert paid(listed, [terms(discount="10")], tokens=300_000) == "9"


def test_an_own_price_for_large_requests_leaves_small_ones_to_the_list():
    listed = [price("5"), price("10", over=200_000)]
    under = [terms(price("7", over=200_000))]

    assert [paid(listed, under, tokens=tokens) for tokens in (1000, 300_000)] == ["5", "7"]


def test_an_own_price_without_sizes_goes_before_the_list_s_cliffs():
    assert paid([price("5"), price("10", over=200_000)], [terms(price("4"))], tokens=300_000) == "4"


def test_an_own_cliff_at_another_size_counts_beside_the_list_s():
    listed = [price("5"), price("10", over=200_000)]
    under = [terms(price("8", over=272_000, inclusive=True))]

    found = [paid(listed, under, tokens=tokens) for tokens in (200_000, 200_001, 271_999, 272_000)]

    assert found == ["5", "10", "10", "8"]


@pytest.mark.parametrize(
    ("usd_per_1m", "percent", "exactly"),
    [
        ("5", "0", "5"),
        ("5", "100", "0"),
        ("0.0000000001", "50", "0.00000000005"),
        ("0.0000000001", "33.3333", "0.000000000067"),  # 66.6667 attodollars per unit
        ("0.0000000001", "0.5", "0.0000000001"),  # 99.5: half to even, up
        ("0.0000000003", "0.5", "0.000000000298"),  # 298.5: half to even, down
        ("4999.9999999999", "0.0001", "4999.9949999999"),
    ],
)
def test_a_discount_is_exact_to_the_last_place_of_the_ledger(usd_per_1m, percent, exactly):
    assert paid([price(usd_per_1m)], [terms(discount=percent)]) == exactly


def test_a_contract_that_begins_or_ends_in_the_middle_holds_in_between_only():
    under = [terms(price("4"), since=MARCH, until=MAY)]
    tick = timedelta(microseconds=1)

    found = [paid([price("5")], under, at=at) for at in (MARCH - tick, MARCH, MAY - tick, MAY)]

    assert found == ["5", "4", "4", "5"]


def test_own_prices_end_with_the_contract_and_begin_no_sooner_than_they_say():
    under = [terms(price("4", since=MARCH), discount="10", until=JULY)]

    assert [paid([price("5")], under, at=at) for at in (JANUARY, MARCH, JULY)] == ["4.5", "4", "5"]


def test_own_prices_without_a_list_price_are_prices_and_save_nothing():
    book = book_of(contracts=[contract(provider="openai")], own={"frame": (price("4"),)})

    assert costs(book) == ("4", "4")
    assert rated(book, output=1).unpriced == METER_WITHOUT_PRICE


def test_a_discount_on_what_is_not_listed_prices_nothing():
    book = book_of(contracts=[contract(provider="openai", discount="10")])

    assert rated(book, uncached_input=1).unpriced == UNKNOWN_CONTEXT  # the offering has prices, but not such ones


def test_free_by_contract_is_a_price():
    found = rated(book_of(price("5"), contracts=[contract(provider="openai", discount="100")]), uncached_input=1000)

    assert (found.cost, found.list_cost, found.unpriced) == (0, 5 * 10**15, PRICED)


# --- contracts: which one ---


def test_the_gateway_s_contract_goes_before_the_offering_s_and_that_before_the_provider_s():
    three = [
        contract("theirs", id=3, provider="OpenAI", discount="10"),
        contract("model", id=2, offering=MODEL, discount="20"),
        contract("edge", id=1, gateway=GATEWAY, discount="30"),
    ]
    book = book_of(price("5"), contracts=three)

    assert costs(book, gateway=GATEWAY) == ("3.5", "5")
    assert costs(book, gateway=99) == costs(book) == ("4", "5")
    assert costs(book_of(price("5"), contracts=three[:1]), gateway=99) == ("4.5", "5")
    assert costs(book_of(price("5"), contracts=three[:1], offerings=("gpt-5.5@azure",))) == ("5", "5")


def test_a_contract_without_a_word_on_the_offering_leaves_it_to_the_next():
    two = [contract("edge", id=1, gateway=GATEWAY), contract("theirs", id=2, provider="openai", discount="10")]

    silent = book_of(price("5"), contracts=two)
    spoken = book_of(price("5"), contracts=two, own={"edge": (price("3"),)})
    over = book_of(price("5"), contracts=two, own={"edge": (price("3", until=MAY),)})

    assert [costs(book, gateway=GATEWAY)[0] for book in (silent, spoken, over)] == ["4.5", "3", "4.5"]


def test_a_discount_of_nothing_is_a_word():
    two = [
        contract("model", id=1, offering=MODEL, discount="0"),
        contract("theirs", id=2, provider="openai", discount="10"),
    ]

    assert costs(book_of(price("5"), contracts=two)) == ("5", "5")


def test_the_next_contract_holds_where_the_first_is_over():
    two = [
        contract("model", id=1, offering=MODEL, discount="20", until=MAY),
        contract("theirs", id=2, provider="openai", discount="10"),
    ]
    book = book_of(price("5"), contracts=two)

    assert [costs(book, at=at)[0] for at in (MARCH, MAY)] == ["4", "4.5"]


def test_of_two_contracts_with_the_same_provider_the_later_made_holds_though_the_other_was_recorded_anew():
    older = contract("older", id=9, first_id=1, provider="openai", discount="10")
    newer = contract("newer", id=2, first_id=2, provider="openai", discount="20")

    assert costs(book_of(price("5"), contracts=[older, newer]))[0] == "4"
    assert costs(book_of(price("5"), contracts=[newer, older]))[0] == "4"


def test_a_contract_s_terms_over_time_are_rows_of_one_name_and_share_its_own_prices():
    rows = [
        contract("frame", id=1, first_id=1, provider="openai", discount="10", until=MARCH),
        contract("frame", id=2, first_id=1, provider="openai", discount="20", since=MARCH),
    ]
    book = book_of(price("5"), price("30", meter=OUTPUT), contracts=rows, own={"frame": (price("4"),)})

    found = [costs(book, at=at, output=1_000_000) for at in (JANUARY, MARCH)]

    assert found == [("31", "35"), ("28", "35")]


# --- what a call costs ---


def test_list_cost_stands_beside_cost_meter_by_meter():
    book = book_of(
        price("5"), price("30", meter=OUTPUT), contracts=[contract(provider="openai", discount="25")],
        own={"frame": (price("6"),)},
    )  # fmt: skip

    assert costs(book, output=1_000_000) == ("28.5", "35")  # 6 + 30 less a quarter; a contract may be dearer than list


def test_a_call_that_used_nothing_cost_nothing_whatever_is_listed():
    assert rated(book_of())[:2] == (0, 0)
    assert rated(book_of(price("5"), service_tier="batch"))[:2] == (0, 0)
    assert rated(book_of(price("5", until=MAY)))[:2] == (0, 0)


def test_what_nobody_listed_is_unpriced_with_its_reason():
    book = book_of(price("5", until=MAY))

    assert rated(book, uncached_input=1).unpriced == NO_PRICE
    assert rated(book, uncached_input=1, at=MARCH, service_tier="turbo").unpriced == UNKNOWN_CONTEXT
    assert rated(book, output=1, at=MARCH).unpriced == METER_WITHOUT_PRICE


def test_a_request_costs_only_where_its_price_is_listed():
    per_call = price("10000", meter=METERS.index("requests"))

    assert costs(book_of(price("5"))) == ("5", "5")
    assert costs(book_of(price("5"), per_call)) == ("5.01", "5.01")
    contracts = [contract(provider="openai", discount="50")]
    assert costs(book_of(price("5"), per_call, contracts=contracts)) == ("2.505", "5.01")


def test_a_service_tier_has_the_contract_s_discount_too():
    book = book_of(price("2.5"), service_tier="batch", contracts=[contract(provider="openai", discount="10")])

    assert costs(book, service_tier="batch") == ("2.25", "2.5")


# --- where cards change ---


def test_edges_name_every_instant_size_and_hours_of_list_and_contract():
    window = hours("11:00", "13:00")
    table = PriceTable.of(
        [price("5", since=JANUARY), price("10", over=200_000)],
        [terms(price("3", hours=window, over=99, inclusive=True), discount="1", since=MARCH, until=MAY)],
    )

    found = edges([table])

    assert (found.instants, found.levels, found.hours) == ((JANUARY, MARCH, MAY), (99, 200_001), (window,))


# --- names ---


def names(*offerings, default=(), **aliases):
    book = book_of(offerings=offerings)
    book.offering_ids = {one.name: one.id for one in book.offerings.values()}
    book.default_offerings = {one.split("@")[0]: book.offering_ids[one] for one in default}
    for name, offering in aliases.pop("alias", {}).items():
        book.offering_aliases[name] = (Dated(None, None, book.offering_ids[offering]),)
    return book


def resolved(book, provider, model):
    found = book.offering(provider, model, MONDAY_NOON)
    return book.offerings[found].name if isinstance(found, int) else found


def test_a_known_model_at_a_strange_provider_is_what_its_offering_was_assigned_to():
    book = names(
        "gpt-5.5@openai", "gpt-5.5@acme-inc.", default=["gpt-5.5@openai"],
        alias={"gpt-5.5-2026-04-23": "gpt-5.5@openai", "acme-inc./gpt-5.5": "gpt-5.5@openai"},
    )  # fmt: skip

    assert resolved(book, "Acme Inc.", "gpt-5.5") == "gpt-5.5@openai"
    assert resolved(book, "Acme Inc.", "gpt-5.5-2026-04-23") == "gpt-5.5@openai"


def test_a_provider_said_twice_is_the_one_that_the_whole_name_means():
    name = "bedrock/us.anthropic.claude-opus-4-7"
    book = names(
        "claude-opus-4.7@bedrock", "claude-opus-4.7@bedrock-regional", alias={name: "claude-opus-4.7@bedrock-regional"}
    )

    assert resolved(book, "bedrock", name) == "claude-opus-4.7@bedrock-regional"
    assert resolved(book, "", name) == "claude-opus-4.7@bedrock-regional"
    assert resolved(book, "bedrock", "bedrock/claude-opus-4.7") == "claude-opus-4.7@bedrock"
    assert resolved(book, "groq", "groq/compound") == "groq/compound@groq"  # some models are called so


@pytest.mark.parametrize(
    ("provider", "model", "alias"),
    [
        ("azure", "My Deployment #2", "azure/my-deployment-2"),
        ("", "naïve model", "unknown/na-ve-model"),
        ("Vertex AI", "claude@20260416", "vertex-ai/claude-20260416"),
        ("x", "m" * 200, "x/" + "m" * 128),
    ],
)
def test_a_name_that_was_tidied_on_sight_leads_where_the_tidied_one_was_assigned(provider, model, alias):
    book = names("gpt-5.5@openai", alias={alias: "gpt-5.5@openai"})

    assert resolved(book, provider, model) == "gpt-5.5@openai"
    assert resolved(names("gpt-5.5@openai"), provider, model) == "@".join(reversed(alias.split("/", 1)))
