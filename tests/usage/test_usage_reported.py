"""Our cost stands beside what gateways reported for the same entries, and what is apart is flagged."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.services import contracts, offerings
from tests.usage.making import DAY, NOON, make_event, make_offering, make_priced_offering, send, set_price
from usage.selectors import months, reported
from usage.selectors.reported import Compared
from usage.services import jobs
from usage.services.restating import running

pytestmark = pytest.mark.django_db
TODAY = NOON.date()
RANGE = {"first": TODAY - timedelta(days=9), "until": TODAY + timedelta(days=1)}


def dollars(usd: int, said: str | None, **overrides):
    """Make a call that costs so many dollars, and for which the gateway said something."""
    given = {"uncached_input_tokens": usd * 200_000, "output_tokens": 0}
    return make_event(**{**given, "reported_cost_usd": None if said is None else Decimal(said), **overrides})


@pytest.mark.parametrize(("said", "ours"), [("5", "5"), ("4", "4"), ("4.9", "5"), ("3", "4")])
def test_under_a_contract_it_is_compared_with_whichever_price_the_gateway_goes_by(said, ours):
    offering = make_priced_offering()
    contracts.set_terms(
        name="frame", provider=offering.provider, discount_percent=Decimal(20), valid_from=NOON - DAY,
        by="tests", approved_by="tests", at=NOON - DAY,
    )  # fmt: skip
    send(dollars(5, said))

    (row,) = reported.by_offering_and_day(**RANGE, most=10).rows

    assert row.ours_usd == Decimal(ours)


def test_each_gateway_goes_by_a_price_of_its_own_and_every_page_says_the_same():
    offering = make_priced_offering()
    contracts.set_terms(
        name="frame", provider=offering.provider, discount_percent=Decimal(20), valid_from=NOON - DAY,
        by="tests", approved_by="tests", at=NOON - DAY,
    )  # fmt: skip
    send(dollars(5, "5"), gateway="knows-list-prices")
    send(dollars(5, "4"), gateway="knows-the-contract")

    found = reported.by_offering_and_day(**RANGE, most=10)
    of_it = reported.total_of(reported.of_offering(offering_id=offering.pk, **RANGE))
    month = months.row(TODAY.replace(day=1), at=NOON, zone="UTC")

    assert [(row.ours_usd, row.apart) for row in found.rows] == [(Decimal(9), False)]
    assert found.total == of_it == Compared(ours_usd=Decimal(9), reported_usd=Decimal(9))
    assert (month.compared_usd, month.reported_usd, month.cost_usd) == (Decimal(9), Decimal(9), Decimal(8))


def test_the_greatest_difference_stands_first_and_only_entries_with_both_costs_are_compared():
    make_priced_offering()
    make_priced_offering("gpt-5.4@openai")
    make_offering("no-price@openai")
    send(
        dollars(5, "4"),
        dollars(5, "5", occurred_at=NOON - DAY),
        dollars(10, "12.5", model="gpt-5.4"),
        dollars(100, None),
        dollars(100, "7", model="no-price"),
        dollars(100, "90", occurred_at=NOON - 20 * DAY),
    )

    found = reported.by_offering_and_day(**RANGE, most=10)

    assert [(row.offering, row.day, row.ours_usd, row.difference_usd, row.apart) for row in found.rows] == [
        ("gpt-5.4@openai", TODAY, Decimal(10), Decimal("-2.5"), True),
        ("gpt-5.5@openai", TODAY, Decimal(5), Decimal(1), True),
        ("gpt-5.5@openai", TODAY - DAY, Decimal(5), Decimal(0), False),
    ]
    assert [row.share for row in found.rows] == [Decimal("-0.2"), Decimal("0.25"), Decimal(0)]
    assert (found.found, found.apart) == (3, 2)
    assert (found.total.ours_usd, found.total.reported_usd) == (Decimal(20), Decimal("21.5"))


def test_only_what_is_apart_can_be_asked_for_and_the_total_stays_the_whole():
    make_priced_offering()
    send(dollars(5, "4"), dollars(5, "5", occurred_at=NOON - DAY))

    found = reported.by_offering_and_day(**RANGE, most=10, apart_only=True)
    beyond = reported.by_offering_and_day(**RANGE, most=10, skip=10)

    assert [row.day for row in found.rows] == [TODAY]
    assert (found.found, found.apart, found.total.ours_usd) == (1, 1, Decimal(10))
    assert (beyond.rows, beyond.found) == ([], 2)


@pytest.mark.parametrize(
    ("ours", "theirs", "apart"),
    [
        ("1.01", "1.00", False),  # a cent, and 1 per cent
        ("1.02", "1.00", True),
        ("0.02", "0.01", False),  # half, and no more than a cent
        ("0.03", "0.01", True),
        ("101", "100", False),  # a dollar, and 1 per cent
        ("101.01", "100", True),
        ("98", "100", True),
        ("5", "0", True),
    ],
)
def test_apart_is_more_than_a_cent_and_more_than_one_per_cent_in_both_places(ours, theirs, apart):
    make_offering(uncached_input=ours)
    send(make_event(uncached_input_tokens=1_000_000, output_tokens=0, reported_cost_usd=Decimal(theirs)))

    found = reported.by_offering_and_day(**RANGE, most=10)

    assert Compared(ours_usd=Decimal(ours), reported_usd=Decimal(theirs)).apart is apart
    assert (found.apart == 1, [row.apart for row in found.rows]) == (apart, [apart])


def test_nothing_reported_has_no_share():
    assert Compared(ours_usd=Decimal(5), reported_usd=Decimal(0)).share is None
    found = reported.by_offering_and_day(**RANGE, most=10)
    assert (found.rows, found.found, found.total.ours_usd) == ([], 0, 0)


def test_one_offering_is_shown_by_day_and_gateway():
    offering = make_priced_offering()
    make_priced_offering("gpt-5.4@openai")
    send(dollars(5, "4"), dollars(1, "1", model="gpt-5.4"), gateway="west")
    send(dollars(3, "3"), dollars(2, "3", occurred_at=NOON - DAY), gateway="east")

    rows = reported.of_offering(offering_id=offering.pk, **RANGE)

    assert [(row.day, row.gateway, row.ours_usd, row.reported_usd) for row in rows] == [
        (TODAY, "east", Decimal(3), Decimal(3)),
        (TODAY, "west", Decimal(5), Decimal(4)),
        (TODAY - DAY, "east", Decimal(2), Decimal(3)),
    ]
    assert reported.total_of(rows) == Compared(ours_usd=Decimal(10), reported_usd=Decimal(10))


def test_a_corrected_price_moves_what_is_compared():
    offering = make_priced_offering()
    send(dollars(5, "4"))
    set_price(offering, "uncached_input", "4", at=NOON + DAY)
    running.take_up(at=NOON + DAY)
    while jobs.run_next(clock=lambda: NOON + DAY):
        pass

    (row,) = reported.of_offering(offering_id=offering.pk, **RANGE)

    assert (row.ours_usd, row.reported_usd, row.apart) == (Decimal(4), Decimal(4), False)


def test_each_answer_takes_one_query(django_assert_num_queries):
    make_priced_offering()
    send(*(dollars(1, "2", occurred_at=NOON - n * DAY) for n in range(5)))
    offering = offerings.get("gpt-5.5@openai")

    with django_assert_num_queries(1):
        reported.by_offering_and_day(**RANGE, most=3)
    with django_assert_num_queries(1):
        reported.of_offering(offering_id=offering.pk, **RANGE)
