"""A person's table of prices: what a file may say, and that one bad row makes all of it unreadable."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from catalog.rules import METERS
from catalog.sources import csv_file
from catalog.sources.quotes import Quote, QuotedHours, UnreadableTable

HEADER = "offering,meter,usd_per_1m"
ROW = "gpt-5.5@openai,output,30"


def read(*lines):
    return csv_file.read("\n".join(lines).encode())


def refused(*lines):
    """Return the message with which a file is refused."""
    with pytest.raises(UnreadableTable) as error:
        read(*lines)
    return str(error.value)


def one(**fields):
    """Return the message with which a file with one row is refused, a good one save for some fields."""
    row = {"offering": "gpt-5.5@openai", "meter": "output", "usd_per_1m": "30", **fields}
    return refused(";".join(row), ";".join(row.values()))


def test_a_row_is_a_quote_with_everything_that_it_says():
    content = (
        b"model,provider,meter,usd_per_1m,valid_from,valid_until,context_over,context_inclusive,service_tier,region,"
        b"hours_zone,hours_from,hours_until,weekdays,note,source_url\n"
        b"deepseek-v4,DeepSeek,cache_read,0.0280,2026-11-01,2026-12-01T08:00+08:00,128000,yes,Batch,eu,"
        b'Asia/Shanghai,22:30,8:00,"fri-sun, tue","from the offer, page 2",https://example.com/offer\n'
    )

    table = csv_file.read(content)

    assert table.quotes == (
        Quote(
            provider="deepseek",
            model="deepseek-v4",
            meter="cache_read",
            usd_per_1m=Decimal("0.028"),
            valid_from=datetime(2026, 11, 1, tzinfo=UTC),
            valid_until=datetime(2026, 12, 1, tzinfo=UTC),
            context_over=128_000,
            context_inclusive=True,
            service_tier="batch",
            region="eu",
            hours=QuotedHours("Asia/Shanghai", (1, 4, 5, 6), time(22, 30), time(8)),
            note="from the offer, page 2",
            source_url="https://example.com/offer",
        ),
    )
    assert (table.source, table.version, table.models, table.problems) == ("csv", "", 1, ())
    assert table.digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_file_may_come_from_any_spreadsheet(start, end, separator):
    lines = ["Offering,Meter,USD_per_1M,note", "claude@opus@anthropic,output,25,", ",,,", "gpt-5.5@openai,output,30,x"]
    content = start + end.join(line.replace(",", separator) for line in lines).encode() + end.encode()

    table = csv_file.read(content)

    assert [(quote.model, quote.provider, str(quote.usd_per_1m), quote.note) for quote in table.quotes] == [
        ("claude@opus", "anthropic", "25", ""),
        ("gpt-5.5", "openai", "30", "x"),
    ]


def test_the_standard_tier_and_an_empty_one_are_the_same():
    table = read(f"{HEADER},service_tier", f"{ROW},Standard", "o4@openai,output,3,", "o5@openai,output,3,default")

    assert {quote.service_tier for quote in table.quotes} == {""}


def test_every_problem_of_every_row_is_told_with_its_line():
    message = refused(
        f"{HEADER},valid_from,valid_until",
        "gpt-5.5,token,free,,",
        f"{ROW},,",
        "gpt-5.5@openai,output,30,2026-02-01,2026-01-01",
        "too,short",
    )

    assert message.splitlines() == [
        f"Line 2: meter 'token' is none of {', '.join(METERS)}.",
        "Line 2: offering 'gpt-5.5' is not written as model@provider.",
        "Line 2: usd_per_1m 'free' is no price, such as 2.5: digits, a point, and 10 places at most.",
        "Line 4: valid_until is not after valid_from.",
        "Line 5: has 2 fields, and there are 5 columns.",
    ]


def test_of_very_many_problems_fifty_are_told_and_the_others_counted():
    message = refused(HEADER, *["gpt-5.5@openai,output,x"] * 61)

    assert len(message.splitlines()) == 51
    assert message.endswith("\nAnd 11 more.")


@pytest.mark.parametrize(
    "usd", ["-1", "NaN", "Infinity", "1e-5", "1,5", "0.12345678901", "", "1_000", "\u0665", "12345678901"]
)
def test_a_price_that_is_none_is_refused(usd):
    assert one(usd_per_1m=usd).startswith(f"Line 2: usd_per_1m {usd!r} is no price")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"offering": ""}, "no offering is named, or no model and provider"),
        ({"offering": "a@b", "model": "c", "provider": "d"}, "offering and model or provider are both given"),
        ({"offering": "", "model": "gpt", "provider": ""}, "no offering is named, or no model and provider"),
        ({"offering": "gpt 5@openai"}, "model 'gpt 5' has other characters"),
        ({"offering": "gpt-5@open ai"}, "provider 'open ai' has other characters"),
        ({"offering": f"{'m' * 129}@openai"}, "has other characters"),
        ({"valid_from": "2026-13-01"}, "valid_from '2026-13-01' is neither a day"),
        ({"valid_until": "2026-11-01T08:00"}, "valid_until '2026-11-01T08:00' is neither a day"),
        ({"valid_from": "0001-01-01T00:00:00+14:00"}, "is outside the years 1970 to 2200"),
        ({"context_over": "200k"}, "context_over '200k' is no count of tokens"),
        ({"context_over": "0"}, "context_over '0' is no count of tokens"),
        ({"context_over": "9999999999"}, "is no count of tokens"),
        ({"context_over": "200000", "context_inclusive": "perhaps"}, "'perhaps' is neither yes nor no"),
        ({"context_inclusive": "yes"}, "context_inclusive is yes, and there is no context_over"),
        ({"service_tier": "t" * 17}, "service_tier has more than 16 characters"),
        ({"region": "r" * 33}, "region has more than 32 characters"),
        ({"source_url": "u" * 501}, "source_url has more than 500 characters"),
        ({"hours_zone": "UTC", "hours_from": "08:00"}, "hours_zone, hours_from, hours_until belong together"),
        ({"weekdays": "mon"}, "weekdays need hours_zone, hours_from and hours_until"),
        ({"hours_zone": "Mars", "hours_from": "8:00", "hours_until": "9:00"}, "hours_zone 'Mars' is no zone"),
        ({"hours_zone": "../../etc", "hours_from": "8:00", "hours_until": "9:00"}, "is no zone"),
        ({"hours_zone": "UTC", "hours_from": "8", "hours_until": "9:00"}, "hours_from '8' is no time of day"),
        ({"hours_zone": "UTC", "hours_from": "8:00", "hours_until": "25:00"}, "hours_until '25:00' is no time of day"),
        (
            {"hours_zone": "UTC", "hours_from": "8:00", "hours_until": "24:00", "weekdays": "monday"},
            "weekdays 'monday' are not written as mon-fri",
        ),
    ],
)  # fmt: skip
def test_a_field_that_says_what_it_cannot_is_refused(fields, problem):
    assert problem in one(**fields)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "The file has no prices"),
        (b"offering,meter,usd_per_1m\n", "The file has no prices"),
        (b"offering,meter,usd_per_1m,currency\na@b,output,1,EUR\n", "Line 1: nobody knows the columns currency;"),
        (b"offering,meter,meter,usd_per_1m\na@b,output,output,1\n", "Line 1: the columns meter stand twice"),
        (b"model,meter\na,output\n", "Line 1: missing: offering (or model and provider), usd_per_1m"),
        (b"\xff\xfeo\x00f\x00", "not text in UTF-8"),
        (b"offering\x00", "has a zero byte"),
        (b'offering,meter,usd_per_1m\n"a"b@c,output,1\n', "Line 2: not CSV"),
        (b'{"gpt": 5}', "Line 1: nobody knows the columns"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_a_sentence(content, problem):
    with pytest.raises(UnreadableTable) as error:
        csv_file.read(content)

    assert problem in str(error.value)


def test_rows_of_one_series_may_abut_and_not_overlap():
    dated = f"{HEADER},valid_from,valid_until,context_over,context_inclusive"

    abutting = read(dated, f"{ROW},,2026-05-01,,", "gpt-5.5@openai,output,25,2026-05-01,,,")
    message = refused(
        dated,
        f"{ROW},,2026-05-02,200000,yes",
        "gpt-5.5@openai,uncached_input,5,,,,",
        "gpt-5.5@openai,output,25,2026-05-01,,200000,no",
    )

    assert len(abutting.quotes) == 2
    assert message == "Line 4: holds at a time at which line 2 holds too, for the same."


def test_a_day_begins_at_midnight_of_the_reader_s_zone():
    content = f"{HEADER},valid_from,valid_until\nm@p,output,1,2026-10-25,2026-11-01\n".encode()

    (quote,) = csv_file.read(content, zone="Europe/Berlin").quotes

    assert (quote.valid_from, quote.valid_until) == (
        datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC),
    )  # fmt: skip
