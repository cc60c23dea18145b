"""Limits for periods ahead, written at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from budgets.models import BudgetLimit
from budgets.rules import Definition, planning
from budgets.selectors import definitions, plans
from budgets.services import checks, limits
from core.errors import Conflict
from core.periods import Period
from core.services.audit import acting


class Overtaken(Conflict):
    """Somebody set another limit since the plan was looked at."""


def save(
    *,
    budget_id: int,
    amounts: Mapping[date, Decimal],
    reason: str,
    by: str,
    approved_by: str,
    at: datetime,
    seen_version: int | None = None,
) -> list[BudgetLimit]:
    """Have each period, named by its first day, begin with its amount; return the versions written, maybe none.

    A version is written for each period that differs, from its start (or now) to its end, over whatever held there:
    nothing is changed or taken back. All in one transaction with one reason, then evaluated once, as in
    `limits.set_limit`. Safe to repeat: the same again writes nothing. Periods that are not named stay as they are.

    `seen_version` is the highest version that whoever saves has seen; None overlooks what came meanwhile.

    Raises:
        NotFound
        Invalid: with everything that is wrong at once, by `limits/FIRST-DAY`.
        Overtaken: nothing changed; look again.
        Retired
    """
    written = _save(
        budget_id=budget_id, amounts=amounts, reason=reason, by=by, approved_by=approved_by, at=at, seen=seen_version
    )
    if written:
        limits.evaluate_after_change(budget_ids=[budget_id], at=at)
    return written


@transaction.atomic(durable=True)
def _save(
    *,
    budget_id: int,
    amounts: Mapping[date, Decimal],
    reason: str,
    by: str,
    approved_by: str,
    at: datetime,
    seen: int | None,
) -> list[BudgetLimit]:
    budget = limits.locked(budget_id)
    known = list(budget.limits.all())
    definition = definitions.of(budget, known)
    problems: checks.Problems = []
    reason = checks.checked_text("reason", reason, 300, problems)
    wanted = wanted_periods(definition, amounts, at=at, problems=problems)
    checks.refuse(problems)
    if seen is not None and seen != max(limit.version for limit in known):
        raise Overtaken("Somebody set another limit while you looked at the plan. Look again, then save.")

    acting(by=by, reason=reason)
    versions = planning.needed(definition, wanted, at=at)
    return limits.add(budget=budget, versions=versions, reason=reason, by=by, approved_by=approved_by, at=at)


def wanted_periods(
    definition: Definition, amounts: Mapping[date, Decimal], *, at: datetime, problems: checks.Problems
) -> dict[Period, Decimal]:
    """Return the periods that begin on these days, in the budget's zone, with what is wanted in each."""
    known = {one.first_day: one for one in planning.periods_from(definition, at, plans.MOST_AHEAD)}
    wanted: dict[Period, Decimal] = {}
    for first_day, amount in sorted(amounts.items()):
        field = f"limits/{first_day}"
        checks.check_amount(amount, definition.unit, problems, field=field)
        if first_day in known:
            wanted[known[first_day]] = amount
        else:
            problems.append((field, unknown_day(definition, known, first_day)))
    return wanted


def unknown_day(definition: Definition, known: Mapping[date, Period], first_day: date) -> str:
    """Say why no limit can be planned from a day on that is none of `known`, the first days of the periods ahead."""
    days = list(known)
    if first_day < days[0]:
        return f"That {definition.period} is over; the present one begins on {days[0]}."
    if first_day > days[-1]:
        return f"Limits can be planned {len(days)} periods ahead, up to the one that begins on {days[-1]}."
    begins = max(day for day in days if day <= first_day)
    return f"No {definition.period} of this budget begins on {first_day}; the one it lies in begins on {begins}."
