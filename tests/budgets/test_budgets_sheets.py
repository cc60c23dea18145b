"""Budgets and limits as a file that finance edits and brings back."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from budgets import sheets
from budgets.models import Budget, BudgetLimit, Crossing
from budgets.selectors import plans
from budgets.selectors import sheets as selector
from budgets.services import budgets, counters
from budgets.services import sheets as service
from core.errors import Invalid
from tests.factories import NOON, make_budget, make_consumption, make_use_case

pytestmark = pytest.mark.django_db

FINANCE = "finance@example.com"
HEAD = "budget,period,limit,unit,scope,action,thresholds\n"


def exported(periods: int = 3, at: Any = NOON) -> str:
    return "".join(sheets.written(selector.rows(at=at, periods=periods)))


def write(text: str, **overrides: Any) -> service.Comparison:
    content = text.encode()
    digest = service.compare(content=content, at=overrides.get("at", NOON)).digest
    given = {"reason": "the plan", "by": FINANCE, "approved_by": FINANCE, "at": NOON, "digest": digest}
    return service.write(content=content, **{**given, **overrides})


def wrong(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(service.Wrong) as refused:
        service.compare(content=text.encode(), at=NOON)
    return refused.value.rows


def test_what_was_exported_changes_nothing_when_it_comes_back(django_assert_num_queries):
    make_use_case("=SUM(A1)|a;b=c\\d")
    make_budget(name="=1+1", scope={"use_case": ["=SUM(A1)|a;b=c\\d", "support-routing"], "tag:env": ["prod"]})
    other = make_budget(name="weeks", period="week", unit="usd", amount=Decimal("0.5"), owner="a, b", trial=True)
    ends = NOON + timedelta(days=3)
    budgets.set_limit(budget=other, amount=Decimal(9), ends_at=ends, reason="r", by="a", approved_by="b", at=NOON)

    with django_assert_num_queries(3):
        file = exported()

    assert file.startswith("\N{ZERO WIDTH NO-BREAK SPACE}budget,period,limit,used,")
    assert "\r\n'=1+1,month 2026-06-01,100," in file  # no spreadsheet runs it
    compared = service.compare(content=file.encode(), at=NOON)
    assert (compared.changes, compared.same, compared.left) == ((), 8, 0)


def test_limits_that_were_edited_are_shown_first_and_written_when_confirmed():
    budget = make_budget()
    counters.consume(consumptions=[make_consumption(input_tokens=60)], at=NOON)
    file = exported().replace("month 2026-06-01,100,60", "month 2026-06-01,80,60")
    file = file.replace("month 2026-07-01,100,", "month 2026-07-01,150,").replace("later,100,", "later,120,")

    compared = service.compare(content=file.encode(), at=NOON)
    before = BudgetLimit.objects.count()
    written = write(file)

    told = [(one.row, one.kind, str(one.first_day), one.before, one.after) for one in compared.changes]
    assert told == [
        (2, "month", "2026-06-01", 100, 80),
        (3, "month", "2026-07-01", 100, 150),
        (5, "month", "None", 100, 120),
    ]
    assert (before, written.changes, compared.same) == (1, compared.changes, 1)
    plan = plans.plan(budget_id=budget.pk, at=NOON, ahead=5)
    assert plan is not None
    assert [one.amount for one in plan.ahead] == [80, 150, 100, 120, 120]
    assert Crossing.objects.get().threshold == 70  # 60 of 80, evaluated with the import
    assert write(file).changes == ()  # the same again changes nothing
    assert write(file, digest="of another time", at=NOON + timedelta(days=20)).changes == ()
    assert budget.limits.count() == 4


def test_a_new_budget_comes_with_its_limits_period_by_period():
    make_use_case()
    file = HEAD + (
        "launch,quarter 2026-07-01,500,usd,use_case=Support-Routing,block,50 100\n"
        "launch,quarter 2026-04-01,200,,,,\n"
        "launch,quarter later,300,,,,\n"
    )

    written = write(file)

    budget = Budget.objects.get(name="launch")
    assert (budget.scope, budget.action, budget.thresholds) == ({"use_case": ["support-routing"]}, "block", [50, 100])
    assert written.new_budgets == ("launch",)
    assert sorted(budget.limits.values_list("version", "amount", "reason")) == [
        (1, 300, "the plan"), (2, 200, "the plan"), (3, 500, "the plan"),
    ]  # fmt: skip
    assert budget.counters.get().state == "building"
    assert write(file).changes == ()


def test_without_a_later_row_the_last_period_of_a_new_budget_goes_on():
    write(HEAD + "all,month 2026-06-01,10,usd,everything,,\nall,month 2026-08-01,30,,,,\n")

    plan = plans.plan(budget_id=Budget.objects.get().pk, at=NOON, ahead=5)
    assert plan is not None
    assert [one.amount for one in plan.ahead] == [10, 30, 30, 30, 30]


def test_every_cell_that_is_wrong_is_named_at_once_and_nothing_is_written():
    make_budget()
    name = "support frontier"
    file = HEAD + (
        f"{name},month 2026-07-01,1.5,,,,\n"
        f"{name},month 2026-07-02,5,,,,\n"
        f"{name},week 2026-07-01,5,,,,\n"
        f"{name},01.07.2026,5,,,,\n"
        f'{name},month 2026-08-01,"1,5",usd,model=x,block,70\n'
        f"{name},month 2026-09-01,5,usd,,block,70\n"
        ",month later,5,,,,\n"
        "new,month 2026-07-01,5,euros,use_case=nobody,downgrade,many\n"
        "other,month 2026-07-01,5,,,,\n"
        f"{name},month 2026-10-01,5,,,,\n"
        f"{name},month 2026-10-01,6,,,,\n"
        "new,month 2026-07-01,5,,,,,,\n"
    )

    found = wrong(file)

    assert [(row, column) for row, column, _ in found] == [
        (2, "limit"), (3, "period"), (4, "period"), (5, "period"), (6, "limit"), (7, "action"), (7, "thresholds"),
        (7, "unit"), (8, "budget"), (9, "thresholds"), (10, "scope"), (10, "unit"), (12, "period"), (13, ""),
    ]  # fmt: skip
    said = {(row, column): sentence for row, column, sentence in found}
    assert said[3, "period"].endswith("the one it lies in begins on 2026-07-01.")
    assert said[7, "unit"] == "It is frontier_tokens and holds for life."
    assert said[7, "action"] == "It is alert and is changed on the budget's page, not here."
    assert (BudgetLimit.objects.count(), Budget.objects.count()) == (1, 1)


def test_what_a_new_budget_cannot_be_is_said_at_its_columns():
    found = wrong(HEAD + "new,month 2026-07-01,5.5,tokens,use_case=nobody; tier=best,explode,0 70\n")

    assert {(row, column) for row, column, _ in found} == {
        (2, "limit"), (2, "scope"), (2, "action"), (2, "thresholds"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"budget,limit\n", "there is no column 'period'"),
        (b"budget,period,limit,colour\n", "'colour' is no column"),
        (b"budget,period,limit,limit\n", "stands there twice"),
        (b"budget,period,limit\n\xff\xfe", "not in UTF-8"),
        (b"budget,period,limit\n\x00", "NUL"),
        (b'budget,period,limit\n"x', "cannot be read as CSV"),
        (b"budget,period,limit\n" + b"a,b,1\n" * (sheets.MOST_ROWS + 1), "rows"),
        (b" " * (sheets.LARGEST_BYTES + 1), "bytes"),
    ],
)
def test_what_is_no_such_file_is_refused_whole(content, said):
    with pytest.raises(Invalid, match=said):
        service.compare(content=content, at=NOON)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_file_is_read_however_a_spreadsheet_separates_it(separator):
    make_budget()
    out = io.StringIO()
    rows = csv.reader(io.StringIO(exported().replace("2026-07-01,100", "2026-07-01,2000000")))
    csv.writer(out, delimiter=separator).writerows(rows)

    compared = service.compare(content=out.getvalue().encode(), at=NOON)

    assert [one.after for one in compared.changes] == [2_000_000]


def test_rows_without_a_limit_and_of_periods_that_are_over_are_left_alone():
    make_budget()
    file = exported()

    compared = service.compare(
        content=file.replace("2026-08-01,100", "2026-08-01,").encode(), at=NOON + timedelta(days=31)
    )

    assert (compared.changes, compared.left, compared.same) == ((), 2, 2)


def test_what_was_confirmed_is_what_is_written():
    budget = make_budget()
    file = exported().replace("2026-07-01,100", "2026-07-01,150")
    digest = service.compare(content=file.encode(), at=NOON).digest
    budgets.set_limit(budget=budget, amount=Decimal(90), reason="r", by="a", approved_by="b", at=NOON)

    with pytest.raises(service.OtherChanges):
        write(file, digest=digest)

    assert budget.limits.count() == 2


def test_the_command_takes_the_file_out_shows_what_it_would_change_and_writes_it(tmp_path):
    make_budget(at=timezone.now())
    out, file = io.StringIO(), tmp_path / "budgets.csv"
    call_command("budgets_file", stdout=out)
    file.write_bytes(out.getvalue().replace("later,100", "later,120").encode())

    shown, done = io.StringIO(), io.StringIO()
    call_command("budgets_file", str(file), stdout=shown)
    before = BudgetLimit.objects.count()
    with pytest.raises(CommandError, match="reason: This is needed"):
        call_command("budgets_file", str(file), "--write")
    call_command("budgets_file", str(file), "--write", "--reason", "the plan", "--by", FINANCE, stdout=done)

    assert "support frontier, month later: 100 frontier tokens -> 120 frontier tokens" in shown.getvalue()
    assert ("1 limits would be written, 12 rows" in shown.getvalue(), before) == (True, 1)
    assert (BudgetLimit.objects.get(version=2).by, "1 limits written" in done.getvalue()) == (FINANCE, True)
    file.write_bytes(out.getvalue().replace("later,100", "later,1e9").encode())
    with pytest.raises(CommandError, match="row 14, limit"):
        call_command("budgets_file", str(file))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("budgets_file", str(tmp_path / "none.csv"))


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8).filter(
    lambda name: name == name.strip()
)


@given(st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=3, unique=True), max_size=3))
def test_a_scope_is_read_as_it_was_written(scope):
    assert sheets.scope_of(sheets.scope_text(scope)) == {name: sorted(values) for name, values in scope.items()}


def test_a_file_of_too_many_new_budgets_is_refused_before_each_is_looked_at(django_assert_max_num_queries):
    make_budget()
    rows = "".join(f"budget {number},month later,5,usd,everything,,\n" for number in range(sheets.MOST_NEW + 1))

    with django_assert_max_num_queries(3), pytest.raises(Invalid) as refused:
        service.compare(content=(HEAD + rows).encode(), at=NOON)

    assert str(refused.value) == "The file makes 501 new budgets; 500 is the most. Divide it."
