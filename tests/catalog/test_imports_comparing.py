"""What counts as a difference between a table and the book: on paper, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from catalog.rules import METERS, Hours, ListedPrice
from catalog.rules.comparing import Booked, compare, disagree, merged
from catalog.rules.proposed import read, said, written
from catalog.sources.quotes import QuotedHours
from tests.catalog.importing import quote
from tests.factories import NOON

JANUARY, MARCH, MAY, JULY, SEPTEMBER = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5, 7, 9))
NIGHT = QuotedHours("UTC", (0, 1, 2, 3, 4, 5, 6), time(22), time(6))


def booked(usd="5", meter="uncached_input", *, id_=1, starts=JANUARY, ends=None, source="provider's page", **overrides):
    given = {"context_over": None, "context_inclusive": False, "service_tier": ""}
    price = ListedPrice(
        id=id_,
        meter=METERS.index(meter),
        usd_per_1m=Decimal(usd),
        scaled=int(Decimal(usd).scaleb(10)),
        starts_at=starts,
        ends_at=ends,
        **{**given, **overrides},
    )
    return Booked(price, source)


def compared(quotes, rows, **others):
    return compare(quotes=quotes, booked=rows, at=NOON, others=others)


def differing(found):
    return [(line.key.meter, line.valid_from, line.valid_until) for line in found.lines if line.differs]


def test_an_offering_without_a_price_is_new_and_takes_the_table_s_history_along():
    found = compared(
        [quote("7", valid_until=MARCH), quote("6", valid_from=MARCH, valid_until=MAY), quote("5", valid_from=MAY)], []
    )

    assert found.kind == "new"
    assert [(line.valid_from.year, line.valid_until, line.differs) for line in found.lines] == [
        (2025, MARCH, True), (2026, MAY, True), (2026, None, True),
    ]  # fmt: skip


def test_what_the_book_says_too_is_no_difference():
    assert compared([quote("5.00")], [booked("5")]).kind == ""


def test_another_price_is_a_change_from_acceptance_on_and_shows_what_the_book_says():
    found = compared([quote("6")], [booked("5", id_=7)])

    (line,) = found.lines
    assert (found.kind, line.differs, line.valid_from, line.valid_until) == ("changed", True, None, None)
    assert (line.book.price.id, line.book.price.usd_per_1m, line.book_ids) == (7, Decimal(5), (7,))


def test_a_quote_without_a_date_says_nothing_of_a_price_that_begins_later():
    found = compared([quote("6")], [booked("5", ends=JULY), booked("4", id_=2, starts=JULY)])

    assert differing(found) == [("uncached_input", None, JULY)]


def test_what_has_ended_is_not_compared_where_the_book_has_prices():
    assert compared([quote("9", valid_until=MAY), quote("5", valid_from=MAY)], [booked("5")]).kind == ""


def test_a_dated_quote_is_compared_over_all_of_its_time():
    found = compared([quote("5", valid_from=MARCH)], [booked("4", ends=MAY), booked("5", id_=2, starts=MAY)])

    assert differing(found) == [("uncached_input", MARCH, None)]
    assert found.lines[0].book.price.usd_per_1m == 4


def test_time_before_the_book_s_first_price_is_not_filled_in():
    assert compared([quote("5", valid_from=JANUARY)], [booked("5", starts=MAY)]).kind == ""
    assert differing(compared([quote("6", valid_from=JANUARY)], [booked("5", starts=MAY)])) == [
        ("uncached_input", MAY, None)
    ]


def test_a_gap_in_the_book_is_a_difference():
    found = compared([quote("5", valid_from=JANUARY)], [booked("5", ends=MARCH), booked("5", id_=2, starts=MAY)])

    assert differing(found) == [("uncached_input", JANUARY, None)]


def test_a_price_that_begins_later_is_a_difference_before_it_does():
    found = compared([quote("5", valid_until=JULY), quote("4", valid_from=JULY)], [booked("5")])

    assert differing(found) == [("uncached_input", JULY, None)]


def test_a_limit_is_the_same_limit_however_it_is_written():
    rows = [booked("5"), booked("10", id_=2, context_over=199_999)]

    found = compared([quote("5"), quote("10", context_over=200_000, context_inclusive=True)], rows)

    assert found.kind == ""
    assert (found.lines[1].context_over, found.lines[1].context_inclusive) == (199_999, False), "as the book has it"


def test_a_limit_of_the_other_kind_is_written_so_that_both_can_be_in_the_book():
    rows = [booked("5"), booked("10", id_=2, context_over=200_000)]

    found = compared([quote("5"), quote("10", context_over=200_000, context_inclusive=True)], rows)

    (line,) = [line for line in found.lines if line.differs]
    assert (line.context_over, line.context_inclusive, line.key.level) == (199_999, False, 200_000)


def test_a_meter_that_a_context_tier_does_not_name_keeps_the_price_below():
    rows = [booked("5"), booked("10", "web_searches", id_=3), booked("8", id_=2, context_over=200_000)]
    quotes = [quote("5"), quote("8", context_over=200_000)]

    same = compared([*quotes, quote("10", context_over=200_000, meter="web_searches")], rows)
    other = compared([*quotes, quote("12", context_over=200_000, meter="web_searches")], rows)

    assert (same.kind, other.kind) == ("", "changed")


def test_a_meter_that_the_table_only_spells_out_is_no_difference_and_one_with_a_price_of_its_own_is():
    rows = [booked("5"), booked("30", "output", id_=2)]
    same = [
        quote("5"),
        quote("30", meter="output"),
        quote("5", meter="cache_write_1h"),
        quote("30", meter="audio_output"),
    ]

    assert compared(same, rows).kind == ""
    assert differing(compared([*same, quote("0.5", meter="cache_read")], rows)) == [("cache_read", None, None)]


def test_a_request_that_costs_nothing_is_no_difference_and_one_that_costs_is():
    assert compared([quote("5"), quote("0", meter="requests")], [booked("5")]).kind == ""
    assert compared([quote("5"), quote("9", meter="requests")], [booked("5")]).kind == "changed"


def test_a_service_tier_that_the_book_does_not_price_is_a_difference():
    found = compared([quote("5"), quote("2.5", service_tier="batch")], [booked("5")])

    assert [(line.key.service_tier, line.book) for line in found.lines if line.differs] == [("batch", None)]


def test_hours_are_the_same_whatever_the_catalogue_calls_them():
    hours = Hours(4, "off-peak", "UTC", frozenset(range(7)), time(22), time(6))
    rows = [booked("5"), booked("2", id_=2, hours=hours)]

    assert compared([quote("5"), quote("2", hours=NIGHT)], rows).kind == ""
    assert compared([quote("5"), quote("3", hours=NIGHT)], rows).kind == "changed"


def test_hours_that_the_book_does_not_know_are_compared_with_what_it_charges_then():
    assert compared([quote("5"), quote("5", hours=NIGHT)], [booked("5")]).kind == ""
    assert compared([quote("5"), quote("2", hours=NIGHT)], [booked("5")]).kind == "changed"


def test_what_only_the_book_says_stands_and_is_shown():
    found = compared([quote("6")], [booked("5"), booked("30", "output", id_=2)])

    assert [(line.key.meter, line.usd_per_1m, line.differs) for line in found.lines] == [
        ("uncached_input", Decimal(6), True),
        ("output", None, False),
    ]


@pytest.mark.parametrize(
    ("other", "kind"), [("5.05", ""), ("5.06", "disputed"), ("4.94", "disputed"), ("0", "disputed")]
)
def test_the_book_is_disputed_where_another_source_says_otherwise_by_more_than_one_per_cent(other, kind):
    found = compared([quote("5")], [booked("5")], csv={"uncached_input": Decimal(other)})

    assert (found.kind, found.disputed) == (kind, bool(kind))
    assert found.lines[0].others == {"csv": Decimal(other)}


def test_two_prices_of_nothing_agree():
    assert not disagree(Decimal(0), Decimal(0))


def test_other_sources_are_set_beside_ordinary_prices_only():
    rows = [booked("5"), booked("2.5", id_=2, service_tier="batch")]

    found = compared([quote("5"), quote("2.5", service_tier="batch")], rows, csv={"uncached_input": Decimal(5)})

    assert [dict(line.others) for line in found.lines] == [{"csv": Decimal(5)}, {}]


def test_names_of_one_offering_add_up_where_they_agree_and_are_refused_where_they_do_not():
    first, second = quote("5"), quote("5", of="gpt-5.5-2026@openai")
    more = quote("30", of="gpt-5.5-2026@openai", meter="output")

    assert merged({"a": [first], "b": [second, more]}) == ((first, more), "")
    quotes, sentence = merged({"a": [first], "b": [quote("6")]})
    assert (quotes, "a and b" in sentence, "5 and 6" in sentence) == ((), True, True)


def test_prices_of_one_series_at_different_times_do_not_contradict_each_other():
    before, after = quote("6", valid_until=MAY), quote("5", valid_from=MAY)

    assert merged({"a": [before, after]}) == ((before, after), "")


def test_a_line_is_read_as_it_was_written():
    rows = [booked("5"), booked("3", id_=2, hours=Hours(4, "n", "UTC", frozenset(range(7)), time(22), time(6)))]
    found = compared([quote("6"), quote("2.50", hours=NIGHT, valid_from=MARCH, valid_until=SEPTEMBER)], rows)

    lines = [read(written(line)) for line in found.lines]

    assert [(line.key, line.book_ids) for line in lines] == [(line.key, line.book_ids) for line in found.lines]
    assert [line.what for line in lines] == ["uncached input", "uncached input, 22:00 to 06:00 UTC"]
    assert (lines[1].usd_per_1m, lines[1].valid_from, lines[1].valid_until) == (Decimal("2.5"), MARCH, SEPTEMBER)
    assert [str(line.change_percent) for line in lines] == ["20.0", "-16.7"]
    assert len(said("changed", [written(line) for line in found.lines])) == 2
