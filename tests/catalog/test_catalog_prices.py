"""The price book: setting, changing and correcting prices."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, close_old_connections, connection

from catalog.models import Offering, Price, PriceSeries
from catalog.services import prices
from core.errors import Invalid
from tests.catalog.making import JANUARY, JULY, MARCH, MAY, book, make_offering, set_price
from tests.factories import NOON

DAY = timedelta(days=1)


@pytest.mark.django_db
def test_a_first_price_holds_from_its_beginning_on_and_says_where_it_comes_from():
    done = set_price("5", source_version="2026-06", source_url="https://example.com/prices", note="first")

    assert (done.written, done.replaced, book()) == (True, (), [(JANUARY, None, "5")])
    kept = Price.objects.get()
    assert (kept.source, kept.source_version, kept.note) == ("provider's page", "2026-06", "first")
    assert (kept.entered_by, kept.approved_by) == ("finance@example.com", "approver@example.com")
    assert (kept.recorded.lower, kept.recorded.upper) == (NOON, None)


@pytest.mark.django_db
def test_a_price_for_a_model_and_provider_that_nobody_knows_makes_their_offering():
    set_price("5", provider="acme", model="large-1", note="new on the list")

    assert Offering.objects.get().name == "large-1@acme"


@pytest.mark.django_db
def test_a_price_needs_something_to_be_for():
    with pytest.raises(Invalid, match="needs an offering"):
        set_price("5", offering=None)


@pytest.mark.django_db
def test_a_price_from_a_date_closes_what_was_recorded_and_keeps_the_time_before():
    first = set_price("5").price

    done = set_price("4", valid_from=MAY, at=NOON + DAY)

    assert book() == [(JANUARY, MAY, "5"), (MAY, None, "4")]
    assert done.replaced == (first.pk,)
    first.refresh_from_db()
    assert (first.valid.upper, first.recorded.upper) == (None, NOON + DAY)


@pytest.mark.django_db
def test_what_was_held_true_at_an_earlier_instant_can_still_be_read():
    set_price("5")
    set_price("4", valid_from=MAY, at=NOON + DAY)

    assert book(as_of=NOON) == [(JANUARY, None, "5")]
    assert book(as_of=NOON + DAY) == [(JANUARY, MAY, "5"), (MAY, None, "4")]


@pytest.mark.django_db
def test_the_past_is_corrected_for_a_time_and_stands_on_either_side():
    set_price("5", source="list of January")

    set_price("6", valid_from=MARCH, valid_until=MAY, source="invoice", at=NOON + DAY)

    assert book() == [(JANUARY, MARCH, "5"), (MARCH, MAY, "6"), (MAY, None, "5")]
    held = Price.objects.filter(recorded__upper_inf=True).order_by("valid")
    assert [one.source for one in held] == ["list of January", "invoice", "list of January"]
    assert {one.recorded.lower for one in held} == {NOON + DAY}


@pytest.mark.django_db
def test_a_correction_over_several_prices_replaces_all_of_them_and_cuts_the_outer_ones():
    set_price("5")
    set_price("4", valid_from=MARCH)
    set_price("3", valid_from=MAY)

    done = set_price("9", valid_from=JANUARY + DAY, valid_until=JULY)

    assert book() == [(JANUARY, JANUARY + DAY, "5"), (JANUARY + DAY, JULY, "9"), (JULY, None, "3")]
    assert len(done.replaced) == 3


@pytest.mark.django_db
def test_a_price_before_the_first_one_leaves_that_as_it_is():
    set_price("5", valid_from=MAY)

    done = set_price("7", valid_from=JANUARY, valid_until=MAY)

    assert (done.replaced, book()) == ((), [(JANUARY, MAY, "7"), (MAY, None, "5")])


@pytest.mark.django_db
@pytest.mark.parametrize(("valid_from", "valid_until"), [(JANUARY, None), (MARCH, None), (MARCH, MAY)])
def test_a_price_that_the_book_has_already_writes_nothing(valid_from, valid_until):
    set_price("5")
    kept = list(Price.objects.values())

    done = set_price("5.00", valid_from=valid_from, valid_until=valid_until, at=NOON + DAY)

    assert (done.written, list(Price.objects.values())) == (False, kept)


@pytest.mark.django_db
def test_the_same_price_over_more_time_than_the_book_has_is_written():
    set_price("5", valid_from=MARCH, valid_until=MAY)

    done = set_price("5", valid_from=MARCH)

    assert (done.written, book()) == (True, [(MARCH, None, "5")])


@pytest.mark.django_db
def test_the_same_price_over_a_gap_in_the_book_is_written():
    set_price("5", valid_from=JANUARY, valid_until=MARCH)
    set_price("5", valid_from=MAY)

    done = set_price("5", valid_from=JANUARY)

    assert (done.written, book()) == (True, [(JANUARY, None, "5")])


@pytest.mark.django_db
def test_two_changes_at_one_instant_or_with_a_clock_that_went_back_are_both_kept():
    set_price("5")
    set_price("6")
    set_price("7", at=NOON - DAY)

    assert book() == [(JANUARY, None, "7")]
    assert Price.objects.count() == 3


@pytest.mark.django_db
def test_context_tiers_service_tiers_and_regions_are_series_of_their_own():
    set_price("5")
    set_price("10", context_over=272_000)
    set_price("2.5", service_tier="batch")
    set_price("5.5", region="eu")

    assert sorted(usd for _, _, usd in book()) == ["10", "2.5", "5", "5.5"]
    assert PriceSeries.objects.count() == 4


@pytest.mark.django_db
def test_a_context_tier_keeps_the_side_of_its_limit():
    set_price("10", context_over=272_000)

    with pytest.raises(prices.LimitDisagrees, match="above 272,000"):
        set_price("11", context_over=272_000, context_inclusive=True)

    assert book() == [(JANUARY, None, "10")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"usd_per_1m": Decimal("-0.01")}, "0 or more"),
        ({"usd_per_1m": Decimal("NaN")}, "0 or more"),
        ({"usd_per_1m": Decimal("Infinity")}, "0 or more"),
        ({"usd_per_1m": Decimal(5001)}, "is the unit right"),
        ({"usd_per_1m": Decimal(10_000_001), "meter": "web_searches"}, "is the unit right"),
        ({"usd_per_1m": Decimal("0.00000000001")}, "10 decimal places"),
        ({"meter": "smoke"}, "no meter"),
        ({"currency": "EUR"}, "USD only"),
        ({"valid_until": JANUARY}, "no time at all"),
        ({"context_over": 0}, "context tier"),
        ({"source": " "}, "where the price comes from"),
        ({"approved_by": ""}, "who approved"),
    ],
)
def test_what_cannot_be_a_price_is_refused_and_leaves_no_trace(wrong, said):
    offering = make_offering()

    with pytest.raises(Invalid, match=said):
        set_price(offering=offering, **wrong)

    assert (Price.objects.count(), PriceSeries.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(Invalid) as refused:
        set_price("-1", meter="smoke", currency="EUR")

    assert [field for field, _ in refused.value.problems] == ["meter", "currency", "usd_per_1m"]


@pytest.mark.django_db
def test_the_dearest_prices_that_exist_are_let_through():
    set_price("10000", meter="web_searches")
    set_price("0")
    set_price("600", meter="output")

    assert len(book()) == 3


@pytest.mark.django_db(transaction=True)
def test_eight_people_who_set_a_price_at_once_leave_a_book_that_each_of_them_wrote_in_turn():
    offering = make_offering()
    begins = [JANUARY + number * DAY for number in (5, 1, 7, 3, 0, 6, 2, 4)]
    gate, failures = threading.Barrier(len(begins)), []

    def set_one(number: int) -> None:
        try:
            gate.wait()
            set_price(str(number + 1), offering=offering, valid_from=begins[number], by=f"setter {number}")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()
            close_old_connections()

    threads = [threading.Thread(target=set_one, args=(number,)) for number in range(len(begins))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    # A setter's own row is the first recorded that begins where she said; who came later has a later `recorded`.
    own = {}
    for one in Price.objects.order_by("recorded", "pk"):
        number = int(one.usd_per_1m) - 1
        if one.valid.lower == begins[number]:
            own.setdefault(number, one.recorded.lower)
    assert len(own) == len(begins)
    expected: list[tuple[object, object, str]] = []
    for number in sorted(own, key=own.__getitem__):
        start = begins[number]
        expected = [(lower, min(upper or start, start), usd) for lower, upper, usd in expected if lower < start]
        expected.append((start, None, str(number + 1)))
    assert book() == expected


@pytest.mark.django_db
def test_a_worked_example_shows_what_a_price_means_for_one_request():
    said = prices.worked_example(prices={"uncached_input": Decimal(5), "output": Decimal(30)})
    wrong_unit = prices.worked_example(prices={"uncached_input": Decimal("0.005"), "output": Decimal("0.030")})
    others = prices.worked_example(prices={"cache_read": Decimal("0.5"), "web_searches": Decimal(10_000)})

    assert said == "1,000 input + 500 output tokens cost $0.0200."
    assert wrong_unit == "1,000 input + 500 output tokens cost $0.000020."
    assert others == "1,000 cache read tokens cost $0.00050; 1 web search costs $0.0100."
    assert prices.worked_example(prices={"output": Decimal(0)}) == "1,000 output tokens cost $0.0000."
    assert prices.worked_example(prices={}) == "No price is given."


@pytest.mark.django_db
def test_the_database_refuses_a_second_price_for_the_same_time_whoever_writes_it():
    kept = set_price("5").price

    with pytest.raises(IntegrityError, match="catalog_price_one_at_a_time"):
        Price.objects.create(
            series=kept.series, usd_per_1m=6, valid=kept.valid, recorded=kept.recorded, source="x", entered_by="x",
            approved_by="x",
        )  # fmt: skip
