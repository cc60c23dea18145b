"""FOCUS 1.2: every rule of the specification that a file can break, and sums that are the ledger's."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.errors import Invalid
from tests.usage import making
from tests.usage.books_made import JULY, JUNE, NOW, make_books, taken_back
from usage.focus import files, lines
from usage.focus.columns import COLUMNS, FOCUS, NAMES
from usage.models import DroppedPartition
from usage.selectors import focus

# The columns of FOCUS 1.2 as its text lists them, apart from what the code says of them. Those that must be present
# and must not be null are marked with a bang.
_SPECIFIED = """
AvailabilityZone !BilledCost !BillingAccountId BillingAccountName !BillingAccountType !BillingCurrency !BillingPeriodEnd
!BillingPeriodStart CapacityReservationId CapacityReservationStatus !ChargeCategory ChargeClass ChargeDescription
!ChargeFrequency !ChargePeriodEnd !ChargePeriodStart CommitmentDiscountCategory CommitmentDiscountId
CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus CommitmentDiscountType
CommitmentDiscountUnit ConsumedQuantity ConsumedUnit !ContractedCost ContractedUnitPrice !EffectiveCost InvoiceId
!InvoiceIssuerName !ListCost ListUnitPrice PricingCategory !PricingCurrency PricingCurrencyContractedUnitPrice
!PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice PricingQuantity PricingUnit !ProviderName !PublisherName
RegionId RegionName ResourceId ResourceName ResourceType !ServiceCategory !ServiceName !ServiceSubcategory SkuId
SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags
"""
SPECIFIED = _SPECIFIED.split()
NEVER_NULL = [name[1:] for name in SPECIFIED if name.startswith("!")]
PRICED = ("ListUnitPrice", "ContractedUnitPrice", "SkuPriceId")
NEEDED_OF_USAGE = ("SkuId", "SkuMeter", "PricingQuantity", "PricingUnit", "PricingCategory", "ConsumedQuantity")


@dataclass(kw_only=True)
class Told:
    """What was read of the books once, for all tests: lines and sums in plain SQL, by month."""

    lines: dict[date, list[dict[str, Any]]]
    support: list[dict[str, Any]]
    booked: dict[date, dict[str, Decimal]]
    queries: int


@pytest.fixture(scope="module")
def told(django_db_setup: None, django_db_blocker: Any) -> Told:
    # Made once for all tests: the books cost more than all that is asked of them.
    with django_db_blocker.unblock(), taken_back():
        make_books()
        with CaptureQueriesContext(connection) as queries:
            july = read()
        return Told(
            lines={JUNE: read(JUNE), JULY: july},
            support=read(team=" Support "),
            booked={month: as_booked(month) for month in (JUNE, JULY)},
            queries=len(queries),
        )


def read(month: date = JULY, **asked: Any) -> list[dict[str, Any]]:
    return list(focus.export(month=month, at=NOW, **asked).lines)


def total(found: list[dict[str, Any]], column: str) -> Decimal:
    with localcontext() as context:
        context.prec = 80
        return sum((line[column] for line in found if line[column] is not None), Decimal(0))


SUMS = ("cost_usd", "list_cost_usd", "avoided_usd", "output_tokens", "requests", "web_searches")


def as_booked(month: date) -> dict[str, Decimal]:
    """Return what the ledger holds for a month, in plain SQL."""
    until = JULY if month == JUNE else date(2026, 8, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(f'coalesce(sum({name}), 0)' for name in SUMS)} FROM ledger "
            "WHERE booked_at AT TIME ZONE 'Europe/Berlin' >= %s AND booked_at AT TIME ZONE 'Europe/Berlin' < %s",
            [month, until],
        )
        return dict(zip(SUMS, map(Decimal, cursor.fetchone()), strict=True))


def test_the_columns_are_those_of_the_specification_in_its_order_and_ours_behind_a_prefix():
    ours = [name for name in NAMES if name not in {column.name for column in FOCUS}]

    assert [column.name for column in FOCUS] == [name.lstrip("!") for name in SPECIFIED]
    assert all(name.startswith("x_") for name in ours)
    assert {column.name for column in FOCUS if not column.nulls} == set(NEVER_NULL)


def test_a_month_adds_up_to_the_ledger_to_the_last_digit(told):
    for month, found in told.lines.items():
        for column, booked in (
            ("BilledCost", "cost_usd"), ("EffectiveCost", "cost_usd"), ("ContractedCost", "cost_usd"),
            ("ListCost", "list_cost_usd"), ("x_AvoidedCost", "avoided_usd"),
        ):  # fmt: skip
            assert total(found, column) == told.booked[month][booked] != 0, (month, column)
        for meter, booked in (("output", "output_tokens"), ("requests", "requests"), ("web_searches", "web_searches")):
            some = [line for line in found if line["SkuId"] and line["SkuId"].endswith(f"/{meter}")]
            assert total(some, "ConsumedQuantity") == told.booked[month][booked] != 0, (month, meter)


def test_every_line_keeps_the_rules_of_the_specification(told):
    found = [*told.lines[JUNE], *told.lines[JULY]]

    assert {(line["ChargeCategory"], line["ChargeClass"], line["x_EntryKind"]) for line in found} >= {
        ("Usage", None, "usage"), ("Usage", "Correction", "usage"), ("Usage", None, "reversal"),
        ("Adjustment", None, "adjustment"), ("Adjustment", "Correction", "adjustment"),
    }  # fmt: skip
    assert {line["x_UnpricedReason"] is None for line in found} == {line["x_CacheHit"] == "true" for line in found}
    for line in found:
        check_line(line)


def check_line(line: dict[str, Any]) -> None:
    assert list(line) == list(NAMES)
    for column in COLUMNS:
        check_value(column.type, line[column.name])
    assert not [name for name in NEVER_NULL if line[name] is None]
    usage, priced = line["ChargeCategory"] == "Usage", line["x_UnpricedReason"] is None
    assert line["ChargeCategory"] in ("Usage", "Adjustment")
    assert line["ChargeClass"] in (None, "Correction")
    assert (line["ChargeClass"] is None) == (line["x_CorrectionOf"] is None)
    assert line["ChargeFrequency"] == ("Usage-Based" if usage else "One-Time")
    for one, other in (
        ("RegionId", "RegionName"), ("SubAccountId", "SubAccountName"), ("SubAccountId", "SubAccountType"),
        ("ResourceId", "ResourceType"), ("PricingQuantity", "PricingUnit"), ("ConsumedQuantity", "ConsumedUnit"),
        ("SkuId", "SkuMeter"), ("SkuPriceId", "SkuPriceDetails"),
    ):  # fmt: skip
        assert (line[one] is None) == (line[other] is None), (one, other)
    if usage:
        assert not [name for name in NEEDED_OF_USAGE if line[name] is None]
        assert [line[name] is not None for name in PRICED] == [priced] * 3
        assert line["PricingCategory"] == ("Standard" if priced else "Other")
        assert line["PricingUnit"] == f"1000000 {line['ConsumedUnit']}"
        if line["x_CacheHit"] == "false":
            assert line["PricingQuantity"] * 1_000_000 == line["ConsumedQuantity"]
    else:
        assert line["ConsumedQuantity"] is None
        assert line["PricingQuantity"] is None
    for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        if line[price] is not None:
            assert line[price] >= 0
            assert line[price] * line["PricingQuantity"] == line[cost]
    if not priced:
        assert (line["BilledCost"], line["ListCost"]) == (0, 0)
    assert line["BilledCost"] == line["EffectiveCost"] == line["PricingCurrencyEffectiveCost"]
    assert line["BillingPeriodStart"] < line["BillingPeriodEnd"]
    assert line["ChargePeriodStart"] < line["ChargePeriodEnd"]
    if line["ChargeClass"] is None:
        assert line["BillingPeriodStart"] <= line["ChargePeriodStart"]
        assert line["ChargePeriodEnd"] <= line["BillingPeriodEnd"]
    else:
        assert line["ChargePeriodEnd"] <= line["BillingPeriodStart"]


def check_value(kind: str, value: Any) -> None:
    if value is None:
        return
    if kind == "Decimal":
        assert isinstance(value, Decimal)
        assert value.is_finite()
    elif kind == "Date/Time":
        assert datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    elif kind == "JSON":
        content = json.loads(value)
        assert all(isinstance(each, str | int | float | bool) for each in content.values())
    else:
        assert isinstance(value, str)
        assert value.strip()


def test_a_line_tells_who_used_what_at_which_price_and_why(told):
    july = told.lines[JULY]
    line = next(one for one in july if one["x_ContractName"] == "frame" and one["SkuMeter"] == "Output tokens")

    assert line["ListUnitPrice"] == 15 > line["ContractedUnitPrice"]
    assert (line["ProviderName"], line["x_DiscountPercent"] > 0) == ("anthropic", True)
    assert (line["ChargePeriodStart"][11:], line["BillingPeriodStart"]) == ("22:00:00Z", "2026-06-30T22:00:00Z")
    assert json.loads(line["Tags"])["tollkeeper/use_case"] == line["x_UseCase"]
    assert {key for each in july for key in json.loads(each["Tags"]) if "/" not in key} == {"env"}


def test_days_are_the_organisations_and_abut(told):
    for found in told.lines.values():
        days = sorted({(line["ChargePeriodStart"], line["ChargePeriodEnd"]) for line in found})

        assert all(ends <= starts for (_, ends), (starts, _) in pairwise(days))
        assert {starts[11:] for starts, _ in days} == {"22:00:00Z"}  # midnight in Berlin, in summer


def test_a_team_has_its_own_lines(told):
    assert told.support == [line for line in told.lines[JULY] if line["SubAccountName"] == "support"] != []
    assert {line["SubAccountId"] for line in told.support} != {None}


def test_the_number_of_queries_does_not_grow_with_the_lines(told):
    assert len(told.lines[JULY]) > 40
    assert told.queries == 14


@pytest.mark.django_db
def test_what_cannot_be_told_whole_is_refused():
    DroppedPartition.objects.create(
        table="ledger", month=JULY, dropped_at=NOW, rows=1, by="retention", keep_ledger_months=12
    )

    with pytest.raises(focus.NotKept, match="July 2026"):
        read()
    with pytest.raises(Invalid, match="has not begun"):
        read(date(2027, 1, 1))
    with pytest.raises(Invalid, match="no team 'suport'"):
        read(JUNE, team="suport")


def test_a_file_says_the_same_in_every_form(told):
    found = told.lines[JULY]

    as_csv = b"".join(files.file(iter(found), "csv"))
    packed = b"".join(files.file(iter(found), "csv.gz"))
    objects = [json.loads(line) for line in b"".join(files.file(iter(found), "jsonl")).splitlines()]

    rows = list(csv.DictReader(io.StringIO(as_csv.decode())))
    assert gzip.decompress(packed) == as_csv
    assert len(rows) == len(objects) == len(found)
    for line, row, written in zip(found, rows, objects, strict=True):
        assert written["BilledCost"] == row["BilledCost"] == lines.written(line["BilledCost"])
        assert written["Tags"] == json.loads(row["Tags"])
        assert (row["InvoiceId"], written["InvoiceId"]) == ("", None)
    hostile = next(number for number, line in enumerate(found) if line["x_UseCase"] == "=code-review")
    assert (rows[hostile]["x_UseCase"], objects[hostile]["x_UseCase"]) == ("'=code-review", "=code-review")


@pytest.mark.django_db
def test_the_command_writes_a_file_whole_or_not_at_all(tmp_path, capsys, monkeypatch):
    making.make_priced_offering()
    making.send(making.make_event(), making.make_event(use_case="code-review"))

    call_command("export_focus", "--month", "2026-06", "--out", str(tmp_path / "focus.csv.gz"))

    packed = (tmp_path / "focus.csv.gz").read_bytes()
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))
    assert "June 2026: 6 lines, 0.016 USD." in capsys.readouterr().err
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("0.016")

    def breaks(*_: Any) -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "file", breaks)
    with pytest.raises(CommandError, match="No space left"):
        call_command("export_focus", "--month", "2026-06", "--out", str(tmp_path / "other.csv"))
    assert [each.name for each in tmp_path.iterdir()] == ["focus.csv.gz"]
    with pytest.raises(CommandError, match="not a month"):
        call_command("export_focus", "--month", "June")
