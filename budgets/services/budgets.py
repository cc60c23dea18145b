"""Making, changing and retiring budgets. Their limits are `limits`, their plans `planning`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from budgets import rules
from budgets.models import Budget, BudgetLimit, Counter, CounterState, PeriodKind, Unit
from budgets.selectors import definitions
from budgets.services import checks, limits, looking, requests
from budgets.services.limits import Retired, set_limit
from core.errors import Conflict
from core.services.audit import acting

__all__ = [
    "DEFAULT_THRESHOLDS",
    "NameTaken",
    "NewBudget",
    "Retired",
    "change",
    "checked",
    "create",
    "make",
    "retire",
    "set_limit",
    "unsaved",
]

DEFAULT_THRESHOLDS = (70, 90, 100)


class NameTaken(Conflict):
    """Another budget that is not retired has this name."""


@dataclass(frozen=True, kw_only=True)
class NewBudget:
    """What a budget is made of; its limit comes with it."""

    name: str
    scope: Mapping[str, Sequence[str]]
    unit: str
    period: str
    zone: str
    fiscal_start_month: int = 1
    action: str
    trial: bool = False
    thresholds: Sequence[int] = DEFAULT_THRESHOLDS
    forecast_thresholds: Sequence[int] = ()
    amount: Decimal
    owner: str = ""


def checked(new: NewBudget, problems: checks.Problems) -> NewBudget:
    """Return it as it would be kept, names as the catalogue has them, and add what is wrong to the problems."""
    scope = checks.checked_scope(new.scope, problems)
    name = checks.checked_text("name", new.name, 128, problems)
    if name and Budget.objects.filter(name=name, retired_at__isnull=True).exists():
        problems.append(("name", f"There is a budget named {name!r} already."))
    checks.check_choice("unit", new.unit, Unit.values, problems)
    checks.check_choice("period", new.period, PeriodKind.values, problems)
    checks.check_zone(new.zone, problems)
    if not checks.is_whole(new.fiscal_start_month) or not 1 <= new.fiscal_start_month <= 12:
        problems.append(("fiscal_start_month", "A month is a whole number from 1 to 12."))
    if new.unit == Unit.FRONTIER_TOKENS and (tiers := scope.pop("tier", None)) and tiers != [rules.FRONTIER]:
        problems.append(("scope/tier", "A budget in frontier tokens counts the tier frontier and no other."))
    checks.check_action(new.action, new.unit, scope, problems)
    thresholds = _needed_thresholds(new.thresholds, problems)
    forecast_thresholds = checks.checked_thresholds("forecast_thresholds", new.forecast_thresholds, problems)
    checks.check_amount(new.amount, new.unit, problems)
    checks.check_owner(new.owner, problems)
    return replace(new, name=name, scope=scope, thresholds=thresholds, forecast_thresholds=forecast_thresholds)


@transaction.atomic(durable=True)
def create(*, reason: str, by: str, at: datetime, approved_by: str = "", **given: Any) -> Budget:
    """Make a budget with the first version of its limit. What can be given is what `NewBudget` holds.

    Its counter for the present period (and for one that begins within a day) waits in state `building`: commit, then
    call `building.build` for each of `building.waiting_to_build()`; until then nothing is compared with the limit.

    Scope, unit, period and zone hold for life. `approved_by` is whoever makes it where nothing else is said.

    Raises:
        Invalid: with everything that is wrong at once.
        NameTaken: somebody else was first in the same moment.
    """
    problems: checks.Problems = []
    new = checked(NewBudget(**given), problems)
    reason = checks.checked_text("reason", reason, 300, problems)
    checks.refuse(problems)
    acting(by=by, reason=reason)
    return make(new, reason=reason, by=by, approved_by=approved_by or by, at=at)


@transaction.atomic
def make(new: NewBudget, *, reason: str, by: str, approved_by: str, at: datetime) -> Budget:
    """Write what was `checked`, in the transaction of a caller that has named the actor. Else as `create`.

    Raises:
        NameTaken
    """
    budget = unsaved(new, by=by, at=at)
    _save_named(budget, budget.save)
    BudgetLimit.objects.create(
        budget=budget, version=1, amount=new.amount, reason=reason, by=by, approved_by=approved_by, created_at=at
    )
    Counter.objects.bulk_create(
        Counter(budget=budget, period_start=one.starts_at, period_end=one.ends_at, state=CounterState.BUILDING)
        for one in rules.periods_to_build(definitions.of(budget, []))
    )
    return budget


def unsaved(new: NewBudget, *, by: str, at: datetime) -> Budget:
    """Return the row of a budget that is not written, such as one that a file would make."""
    return Budget(
        name=new.name,
        scope=dict(new.scope),
        unit=new.unit,
        period=new.period,
        zone=new.zone,
        fiscal_start_month=new.fiscal_start_month,
        action=new.action,
        trial=new.trial,
        thresholds=list(new.thresholds),
        forecast_thresholds=list(new.forecast_thresholds),
        owner=new.owner,
        created_at=at,
        created_by=by,
    )


def change(
    *,
    budget: Budget,
    by: str,
    reason: str,
    at: datetime,
    name: str | None = None,
    action: str | None = None,
    trial: bool | None = None,
    thresholds: Sequence[int] | None = None,
    forecast_thresholds: Sequence[int] | None = None,
    owner: str | None = None,
) -> Budget:
    """Change what may change in a budget's life; None leaves a thing as it is.

    Thresholds are evaluated at once: one that was added below what is used is told. Two transactions, with the booking
    barrier between them; should the second be lost, `looking.look_at_time` makes up for it.

    Raises:
        Invalid, NameTaken, Retired
    """
    changed = _change(
        budget_id=budget.pk,
        by=by,
        reason=reason,
        name=name,
        action=action,
        trial=trial,
        thresholds=thresholds,
        forecast_thresholds=forecast_thresholds,
        owner=owner,
    )
    limits.evaluate_after_change(budget_ids=[changed.pk], at=at)
    return changed


@transaction.atomic(durable=True)
def _change(
    *,
    budget_id: int,
    by: str,
    reason: str,
    name: str | None,
    action: str | None,
    trial: bool | None,
    thresholds: Sequence[int] | None,
    forecast_thresholds: Sequence[int] | None,
    owner: str | None,
) -> Budget:
    budget = limits.locked(budget_id)
    problems: checks.Problems = []
    reason = checks.checked_text("reason", reason, 300, problems)
    if name is not None:
        budget.name = checks.checked_text("name", name, 128, problems)
        others = Budget.objects.filter(name=budget.name, retired_at__isnull=True).exclude(pk=budget.pk)
        if others.exists():
            problems.append(("name", f"There is a budget named {budget.name!r} already."))
    if action is not None:
        checks.check_action(action, budget.unit, budget.scope, problems)
        budget.action = action
    if trial is not None:
        budget.trial = trial
    if thresholds is not None:
        budget.thresholds = _needed_thresholds(thresholds, problems)
    if forecast_thresholds is not None:
        budget.forecast_thresholds = checks.checked_thresholds("forecast_thresholds", forecast_thresholds, problems)
    if owner is not None:
        checks.check_owner(owner, problems)
        budget.owner = owner
    checks.refuse(problems)

    acting(by=by, reason=reason)
    fields = ["name", "action", "trial", "thresholds", "forecast_thresholds", "owner"]
    _save_named(budget, lambda: budget.save(update_fields=fields))
    return budget


@transaction.atomic(durable=True)
def retire(*, budget: Budget, reason: str, by: str, at: datetime) -> Budget:
    """Stop counting. What was counted, crossed and told stays; who asked for another limit is refused.

    Safe to repeat: the first time holds.
    """
    current = Budget.objects.select_for_update(no_key=True).get(pk=budget.pk)
    if current.retired_at is None:
        acting(by=by, reason=reason)
        # Before the budget, which takes `budgets_change`: alerts come first.
        requests.refuse_all(budget_id=current.pk, by=by, at=at, note="The budget was retired.")
        current.retired_at = at
        current.save(update_fields=["retired_at"])
        looking.settle_next_at(at=at)
    return current


def _needed_thresholds(thresholds: Sequence[int], problems: checks.Problems) -> list[int]:
    if not thresholds:
        problems.append(("thresholds", "At least one threshold is needed."))
    return checks.checked_thresholds("thresholds", thresholds, problems)


def _save_named(budget: Budget, save: Callable[[], None]) -> None:
    try:
        with transaction.atomic():
            save()
    except IntegrityError as error:
        if "budgets_budget_name_once" not in str(error):
            raise
        raise NameTaken(f"There is a budget named {budget.name!r} already.") from error
