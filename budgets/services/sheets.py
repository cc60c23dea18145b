"""Bringing in the file for finance: what it would change, and changing exactly that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from budgets import sheets
from budgets.models import Action, Budget, BudgetLimit
from budgets.rules import Definition, planning
from budgets.rules.planning import Version
from budgets.selectors import definitions, plans
from budgets.selectors.sheets import described
from budgets.services import budgets, checks, limits
from budgets.services.planning import unknown_day
from budgets.sheets import Problem, SheetRow
from core.errors import Conflict, Invalid
from core.models import Organisation
from core.periods import Period
from core.services.audit import acting

_FOR_LIFE = ("unit", "scope", "zone", "fiscal_start_month")
_COLUMN_OF = {"name": "budget", "amount": "limit"}


class OtherChanges(Conflict):
    """What the file would change is not what was shown: something else was changed meanwhile."""


class Wrong(Invalid):
    """Rows of the file cannot be used. `rows` has them all: row, column, sentence."""

    def __init__(self, rows: Sequence[Problem]) -> None:
        self.rows = sorted(rows)
        super().__init__(
            f"{len(rows)} {'cell' if len(rows) == 1 else 'cells'} of the file cannot be used; nothing was written.",
            [(f"rows/{row}/{column}" if column else f"rows/{row}", text) for row, column, text in self.rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetChange:
    """A limit that the file would set; `before` is None for a new budget, `first_day` for what holds later."""

    row: int
    budget: str
    budget_id: int | None
    unit: str
    kind: str
    first_day: date | None
    before: Decimal | None
    after: Decimal


@dataclass(frozen=True, kw_only=True)
class Comparison:
    changes: tuple[SheetChange, ...]
    new_budgets: tuple[str, ...]
    same: int  # rows that say what holds already
    left: int  # rows without a limit, and those of periods that are over
    digest: str  # of the changes: who confirms them names it


@dataclass(kw_only=True)
class _Plan:
    """What is to be written for one budget."""

    budget: Budget | None
    new: budgets.NewBudget | None = None
    versions: list[Version] = field(default_factory=list)


def compare(*, content: bytes, at: datetime) -> Comparison:
    """Say what a file would change, and write nothing. A handful of queries, and a few for each new budget.

    Raises:
        Invalid: the file cannot be read.
        Wrong: with every row and column at once.
    """
    return _compared(content, at)[0]


def write(*, content: bytes, digest: str, reason: str, by: str, approved_by: str, at: datetime) -> Comparison:
    """Write what a file changes, if that is what was shown (`digest`): all or nothing, then evaluated once.

    Safe to repeat: a file whose changes are there already changes nothing, whatever the digest. The caller has the
    counters of new budgets built (`budgets.create`).

    Raises:
        Invalid, Wrong: as `compare`; and without a reason.
        OtherChanges: nothing was written; look again.
        NameTaken: somebody made a budget of that name in the same moment.
    """
    compared, ids = _write(content=content, digest=digest, reason=reason, by=by, approved_by=approved_by, at=at)
    if ids:
        limits.evaluate_after_change(budget_ids=ids, at=at)
    return compared


@transaction.atomic(durable=True)
def _write(
    *, content: bytes, digest: str, reason: str, by: str, approved_by: str, at: datetime
) -> tuple[Comparison, list[int]]:
    problems: checks.Problems = []
    reason = checks.checked_text("reason", reason, 300, problems)
    checks.refuse(problems)
    compared, written = _compared(content, at, lock=True)
    if not compared.changes:
        return compared, []
    if compared.digest != digest:
        raise OtherChanges("What this file would change is not what you were shown. Look again, then confirm.")

    acting(by=by, reason=reason)
    ids = []
    for one in written:
        budget = one.budget
        if budget is None:
            assert one.new is not None
            budget = budgets.make(one.new, reason=reason, by=by, approved_by=approved_by, at=at)
        limits.add(budget=budget, versions=one.versions, reason=reason, by=by, approved_by=approved_by, at=at)
        ids.append(budget.pk)
    return compared, ids


def _compared(content: bytes, at: datetime, *, lock: bool = False) -> tuple[Comparison, list[_Plan]]:
    rows, problems = sheets.read(content)
    by_name: dict[str, list[SheetRow]] = {}
    for row in rows:
        by_name.setdefault(row.budget, []).append(row)
    known = Budget.objects.filter(name__in=by_name, retired_at__isnull=True, canary=False).order_by("id")
    found = {budget.name: budget for budget in (known.select_for_update(no_key=True) if lock else known)}
    if (new := len(by_name) - len(found)) > sheets.MOST_NEW:
        raise Invalid(f"The file makes {new:,} new budgets; {sheets.MOST_NEW} is the most. Divide it.")
    versions: dict[int, list[BudgetLimit]] = {budget.pk: [] for budget in found.values()}
    for limit in BudgetLimit.objects.filter(budget__in=versions):
        versions[limit.budget_id].append(limit)
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)

    changes: list[SheetChange] = []
    written: list[_Plan] = []
    for name, of_budget in by_name.items():
        budget = found.get(name)
        if budget is None:
            _compare_new(of_budget, zone, at, changes, written, problems)
        else:
            definition = definitions.of(budget, versions[budget.pk])
            _compare_known(of_budget, budget, definition, at, changes, written, problems)
    if problems:
        raise Wrong(problems)

    changes.sort(key=lambda change: change.row)
    left = sum(row.limit is None or _is_over(row, found, at) for row in rows)
    told = [(one.budget, one.kind, str(one.first_day), str(one.before), str(one.after)) for one in changes]
    comparison = Comparison(
        changes=tuple(changes),
        new_budgets=tuple(one.new.name for one in written if one.new is not None),
        same=len(rows) - left - len(changes),
        left=left,
        digest=hashlib.sha256(repr(told).encode()).hexdigest()[:32],
    )
    return comparison, written


def _is_over(row: SheetRow, found: Mapping[str, Budget], at: datetime) -> bool:
    budget = found.get(row.budget)
    if budget is None or row.first_day is None:
        return False
    return row.first_day < definitions.of(budget, []).period_of(at).first_day


def _compare_known(
    rows: Sequence[SheetRow],
    budget: Budget,
    definition: Definition,
    at: datetime,
    changes: list[SheetChange],
    written: list[_Plan],
    problems: list[Problem],
) -> None:
    is_said = described(definition, budget)
    for row in rows:
        for column, text in row.given.items():
            said = _canonical(column, text)
            if said is None or said.casefold() != is_said[column].casefold():
                why = "holds for life" if column in _FOR_LIFE else "is changed on the budget's page, not here"
                problems.append((row.number, column, f"It is {is_said[column] or 'empty'} and {why}."))
    wanted, later = _wanted(rows, definition, at, problems)
    after = later.limit if later else None
    versions = planning.needed(definition, {period: row.limit or Decimal(0) for period, row in wanted.items()},
                               after=after, at=at)  # fmt: skip
    if not versions:
        return
    written.append(_Plan(budget=budget, versions=versions))
    for period, row in wanted.items():
        _note(changes, row, budget, _amount_at(definition, max(period.starts_at, at)))
    if later is not None:
        _note(changes, later, budget, _amount_at(definition, planning.settled_from(definition, wanted, at)))


def _note(changes: list[SheetChange], row: SheetRow, budget: Budget, before: Decimal | None) -> None:
    if row.limit is None or row.limit == before:
        return
    changes.append(
        SheetChange(
            row=row.number,
            budget=budget.name,
            budget_id=budget.pk,
            unit=budget.unit,
            kind=budget.period,
            first_day=row.first_day,
            before=before,
            after=row.limit,
        )
    )


def _amount_at(definition: Definition, at: datetime) -> Decimal | None:
    limit = definition.limit_at(at)
    return limit.amount if limit else None


def _compare_new(
    rows: Sequence[SheetRow],
    zone: str,
    at: datetime,
    changes: list[SheetChange],
    written: list[_Plan],
    problems: list[Problem],
) -> None:
    first, before = rows[0], len(problems)
    given = {column: _canonical(column, text) for column, text in first.given.items()}
    for column, said in given.items():
        if said is None:
            problems.append((first.number, column, _HOW[column]))
    for column in ("unit", "scope"):
        if column not in given:
            problems.append((first.number, column, f"There is no budget {first.budget!r}; a new one needs this."))
    for row in rows[1:]:
        for column, text in row.given.items():
            if column in given and _canonical(column, text) != given[column]:
                problems.append((row.number, column, f"Row {first.number} says otherwise of the same budget."))
    asked = [row for row in rows if row.limit is not None]
    if not asked:
        problems.append((first.number, "limit", "A new budget needs a limit."))
    if len(problems) > before:
        return
    later = next((row for row in asked if row.first_day is None), None) or max(
        asked, key=lambda row: row.first_day or date.max
    )
    new = _new_budget(first, {column: said or "" for column, said in given.items()}, zone, later.limit or Decimal(0))
    found: checks.Problems = []
    checked = budgets.checked(new, found)
    if found:
        problems.extend((first.number, _column(name), sentence) for name, sentence in found)
        return
    budget = budgets.unsaved(checked, by="", at=at)
    definition = definitions.of(budget, [BudgetLimit(budget=budget, version=1, amount=checked.amount)])
    wanted, _ = _wanted(rows, definition, at, problems)
    versions = planning.needed(definition, {period: row.limit or Decimal(0) for period, row in wanted.items()}, at=at)
    written.append(_Plan(budget=None, new=checked, versions=versions))
    changes.extend(
        SheetChange(
            row=row.number, budget=checked.name, budget_id=None, unit=checked.unit, kind=checked.period,
            first_day=row.first_day, before=None, after=row.limit or Decimal(0),
        )
        for row in (*wanted.values(), *(row for row in asked if row.first_day is None))
    )  # fmt: skip


def _new_budget(row: SheetRow, given: Mapping[str, str], zone: str, amount: Decimal) -> budgets.NewBudget:
    month = given.get("fiscal_start_month", "1")
    usual = sheets.thresholds_text(budgets.DEFAULT_THRESHOLDS)
    return budgets.NewBudget(
        name=row.budget,
        scope=sheets.scope_of(given["scope"]) or {},
        unit=given["unit"],
        period=row.kind,
        zone=given.get("zone", zone),
        fiscal_start_month=int(month) if month.isascii() and month.isdecimal() and len(month) < 3 else 0,
        action=given.get("action", Action.ALERT),
        trial=given.get("trial") == "yes",
        thresholds=sheets.thresholds_of(given.get("thresholds", usual)) or [],
        forecast_thresholds=sheets.thresholds_of(given.get("forecast_thresholds", "")) or [],
        owner=given.get("owner", ""),
        amount=amount,
    )


def _wanted(
    rows: Iterable[SheetRow], definition: Definition, at: datetime, problems: list[Problem]
) -> tuple[dict[Period, SheetRow], SheetRow | None]:
    """Return the rows that want a limit, by period, and the one of what holds later."""
    known = {one.first_day: one for one in planning.periods_from(definition, at, plans.MOST_AHEAD)}
    wanted: dict[Period, SheetRow] = {}
    later: SheetRow | None = None
    for row in rows:
        if row.kind != definition.period:
            problems.append((row.number, "period", f"This budget counts by {definition.period}."))
            continue
        if row.limit is None or (row.first_day is not None and row.first_day < min(known)):
            continue
        found: checks.Problems = []
        checks.check_amount(row.limit, definition.unit, found)
        problems.extend((row.number, "limit", sentence) for _, sentence in found)
        if row.first_day is None:
            earlier, later = later, row
        elif row.first_day in known:
            earlier = wanted.setdefault(known[row.first_day], row)
        else:
            problems.append((row.number, "period", unknown_day(definition, known, row.first_day)))
            continue
        if earlier is not None and earlier is not row:
            problems.append((row.number, "period", f"Row {earlier.number} is of the same budget and period."))
    return wanted, later


_HOW = {
    "scope": "Write it as “use_case=support|billing; model=gpt-5.5”, or “everything”.",
    "trial": "Write yes or no.",
    "thresholds": "Write per cents with spaces between them: 70 90 100.",
    "forecast_thresholds": "Write per cents with spaces between them: 100 120.",
}


def _canonical(column: str, text: str) -> str | None:
    """Return a cell as the file that we write has it, None where it cannot be read."""
    if column == "scope":
        scope = sheets.scope_of(text)
        return None if scope is None else sheets.scope_text(scope)
    if column == "trial":
        return {"yes": "yes", "no": "no", "true": "yes", "false": "no"}.get(text.casefold())
    if column in ("thresholds", "forecast_thresholds"):
        values = sheets.thresholds_of(text)
        return None if values is None else sheets.thresholds_text(sorted(set(values)))
    return text


def _column(name: str) -> str:
    first = name.partition("/")[0]
    return _COLUMN_OF.get(first, first)
