"""How figures read on a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dashboards.templatetags import console, figures

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, figures.ABSENT),
        (0, "$0.00"),
        (12, "$12.00"),
        (Decimal("12345.67"), "$12,345.67"),
        (Decimal("12345.675"), "$12,345.68"),
        (Decimal("-12.3"), "-$12.30"),
        (Decimal("0.5"), "$0.50"),
        (Decimal("0.1"), "$0.10"),
        (Decimal("0.05"), "$0.0500"),
        (Decimal("0.00024"), "$0.000240"),
        (Decimal("0.0000099999"), "$0.0000100"),
        (Decimal("-0.00024"), "-$0.000240"),
        (Decimal("1e-18"), "$0.00000000000000000100"),
        (Decimal("1234567890123456789012345.123456789012345678"), "$1,234,567,890,123,456,789,012,345.12"),
    ],
)
def test_dollars(value, shown):
    assert figures.usd(value) == shown


def test_a_column_s_precision_is_asked_of_what_stands_at_a_path_in_its_rows():
    rows = [({"sums": {"cost": Decimal(one)}}, "") for one in ("0.05", "-0.0123")]

    assert figures.usd_places_of(rows, "0.sums.cost") == 4


def test_a_tile_has_cents_up_to_a_million():
    assert [figures.usd_tile(one) for one in (Decimal("8455.01"), Decimal("-1234567.89"), None)] == [
        "$8,455.01", "-$1.2M", figures.ABSENT,
    ]  # fmt: skip


def test_what_single_calls_cost_lines_up_at_six_decimals():
    assert [figures.usd_of_call(one) for one in (Decimal("0.7584"), Decimal("0.0000004"), Decimal(0), None)] == [
        "$0.758400", f"<{NBSP}$0.000001", "$0.000000", figures.ABSENT,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (["12345.675", "-0.004", "0.004", "0", None],
         ["$12,345.68", f">{NBSP}-$0.01", f"<{NBSP}$0.01", "$0.00", figures.ABSENT]),
        (["0.05", "-0.0123"], ["$0.0500", "-$0.0123"]),
        ([None, "0"], [figures.ABSENT, "$0.00"]),
    ],
)  # fmt: skip
def test_a_column_of_dollars_has_one_precision(column, shown):
    values = [None if one is None else Decimal(one) for one in column]

    places = figures.usd_places(values)

    assert [figures.usd_in(value, places) for value in values] == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, figures.ABSENT),
        (Decimal("942.4"), "$942.40"),
        (Decimal("999.996"), "$1.0k"),
        (1000, "$1.0k"),
        (Decimal("12345.67"), "$12.3k"),
        (123_456, "$123k"),
        (999_950, "$1.0M"),
        (Decimal("1234567.89"), "$1.2M"),
        (Decimal("-1234567.89"), "-$1.2M"),
        (Decimal("2.5e12"), "$2.5T"),
        (Decimal("2.5e16"), "$25,000T"),
    ],
)
def test_dollars_of_a_card(value, shown):
    assert figures.usd_short(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, figures.ABSENT),
        (0, "0"),
        (850, "850"),
        (999, "999"),
        (85_340, "85.3k"),
        (1_234_567, "1.2M"),
        (-1_500, "-1.5k"),
    ],
)
def test_tokens_of_a_card(value, shown):
    assert figures.tokens(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, figures.ABSENT),
        (1_234_567, "1,234,567"),
        (Decimal("1234.5000"), "1,234.5"),
        (Decimal("1E+3"), "1,000"),
        (Decimal("1200"), "1,200"),
    ],
)
def test_every_digit(value, shown):
    assert figures.exact(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, figures.ABSENT),
        (Decimal("0.714"), f"71.4{NBSP}%"),
        (1, f"100.0{NBSP}%"),
        (0, f"0.0{NBSP}%"),
        (Decimal("1.2"), f"120.0{NBSP}%"),
        (Decimal("-0.031"), f"-3.1{NBSP}%"),
    ],
)
def test_shares(value, shown):
    assert figures.percent(value) == shown


def test_nearly_all_is_not_shown_as_all_and_nearly_nothing_not_as_nothing():
    assert figures.percent(Decimal("0.99999")) == f">{NBSP}99.9{NBSP}%"
    assert figures.percent(Decimal("0.00001")) == f"<{NBSP}0.1{NBSP}%"
    assert figures.percent(Decimal("0.999"), 0) == f">{NBSP}99{NBSP}%"


@pytest.mark.parametrize("show", [figures.usd, figures.usd_short, figures.tokens, figures.exact, figures.percent])
@pytest.mark.parametrize("value", [0.1, "12.00", True])
def test_a_float_a_text_or_a_truth_is_refused(show, value):
    with pytest.raises(TypeError):
        show(value)


def test_a_short_figure_carries_the_exact_one():
    assert figures.exactly(1_234_567) == '<span class="tk-number" title="1,234,567">1.2M</span>'
    assert 'title="$1,234.5678"' in figures.exactly(Decimal("1234.5678"), "usd")
    assert 'title="-$12.50"' in figures.exactly(Decimal("-12.5"), "usd")
    assert figures.exactly(None) == figures.ABSENT


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=-42), "42 seconds ago"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(minutes=-3, seconds=-59), "3 minutes ago"),
        (timedelta(hours=-23), "23 hours ago"),
        (timedelta(days=-2), "2 days ago"),
        (timedelta(days=2), "in 2 days"),
        (timedelta(seconds=30), "in 30 seconds"),
    ],
)
def test_distances_in_time(distance, words):
    assert figures.relative(NOON + distance, NOON) == words


def test_an_instant_is_exact_for_machines_and_for_the_pointer():
    assert figures.ago(NOON - timedelta(hours=2), now=NOON) == (
        '<time datetime="2026-11-20T10:00:00Z" title="2026-11-20 10:00:00 UTC">2 hours ago</time>'
    )
    assert ">20 Nov 2026, 12:00 UTC</time>" in figures.at(NOON)
    assert figures.ago(None) == figures.ABSENT


def test_a_meter_puts_what_is_used_and_the_thresholds_on_one_scale():
    drawn = console.meter(Decimal("0.714"), "Frontier tokens")

    assert (drawn["level"], drawn["width"], drawn["limit_x"]) == ("near", Decimal("71.40"), None)
    assert [(tick.label, tick.passed) for tick in drawn["ticks"]] == [("70", True), ("90", False)]


def test_a_meter_grows_beyond_the_limit_when_more_was_used():
    drawn = console.meter(Decimal("1.2"), "Frontier tokens")

    assert (drawn["level"], drawn["width"], drawn["limit_x"]) == ("over", Decimal("96.00"), Decimal("80.00"))
    assert [tick.label for tick in drawn["ticks"]] == ["70", "90", "100"]


def test_a_meter_of_an_unknown_share_is_empty_and_says_so():
    drawn = console.meter(None, "Frontier tokens")

    assert (drawn["level"], drawn["width"], drawn["words"]) == ("unknown", None, "not known")


def test_a_line_of_a_table_has_a_head_and_numbers_and_texts_stay_texts():
    assert console.lines([("<b>", "1"), ("day", "<i>", "2")]).splitlines() == [
        '<tr><th scope="row">&lt;b&gt;</th><td class="num">1</td></tr>',
        '<tr><th scope="row">day</th><td class="num">&lt;i&gt;</td><td class="num">2</td></tr>',
    ]
