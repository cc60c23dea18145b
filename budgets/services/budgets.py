"""Making, changing and retiring budgets, and the versions of their limits."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from budgets import rules
from budgets.models import (
    DIMENSIONS,
    Action,
    Budget,
    BudgetLimit,
    Counter,
    CounterState,
    PeriodKind,
    Unit,
)
from budgets.selectors import definitions, names
from budgets.services import crossings, looking
from core.errors import Conflict, Invalid
from core.services import barrier
from core.services.audit import acting

DEFAULT_THRESHOLDS = (70, 90, 100)
MOST_THRESHOLDS = 20
MOST_VALUES = 200  # in one dimension of a scope
_TOO_LARGE = Decimal(10) ** 20

# Dimensions that tell one candidate of a rule from another. A budget on none of them is exceeded for every candidate
# alike, and then there is nothing to go down to.
_OF_CANDIDATES = ("model", "offering", "provider", "tier")

Problems = list[tuple[str, str]]


class NameTaken(Conflict):
    """Another budget that is not retired has this name."""


class Retired(Conflict):
    """The budget is retired: it counts nothing any more and cannot be changed."""


@transaction.atomic(durable=True)
def create(
    *,
    name: str,
    scope: Mapping[str, Sequence[str]],
    unit: str,
    period: str,
    zone: str,
    fiscal_start_month: int = 1,
    action: str,
    trial: bool = False,
    thresholds: Sequence[int] = DEFAULT_THRESHOLDS,
    amount: Decimal,
    reason: str,
    by: str,
    at: datetime,
    owner: str = "",
    approved_by: str = "",
) -> Budget:
    """Make a budget with the first version of its limit.

    Its counter for the present period (and for one that begins within a day) waits in state `building`: commit, then
    call `building.build` for each of `building.waiting_to_build()`; until then nothing is compared with the limit.

    Scope, unit, period and zone hold for life. `approved_by` is whoever makes it where nothing else is said.

    Raises:
        Invalid: with everything that is wrong at once.
        NameTaken: somebody else was first in the same moment.
    """
    problems: Problems = []
    kept_scope = _checked_scope(scope, problems)
    name = _checked_text("name", name, 128, problems)
    reason = _checked_text("reason", reason, 300, problems)
    if name and Budget.objects.filter(name=name, retired_at__isnull=True).exists():
        problems.append(("name", f"There is a budget named {name!r} already."))
    _check_choice("unit", unit, Unit.values, problems)
    _check_choice("period", period, PeriodKind.values, problems)
    _check_zone(zone, problems)
    if not _is_whole(fiscal_start_month) or not 1 <= fiscal_start_month <= 12:
        problems.append(("fiscal_start_month", "A month is a whole number from 1 to 12."))
    if unit == Unit.FRONTIER_TOKENS and (tiers := kept_scope.pop("tier", None)) and tiers != [rules.FRONTIER]:
        problems.append(("scope", "A budget in frontier tokens counts the tier frontier and no other."))
    _check_action(action, unit, kept_scope, problems)
    kept_thresholds = _checked_thresholds(thresholds, problems)
    _check_amount(amount, unit, problems)
    if len(owner) > 254:
        problems.append(("owner", "An owner has at most 254 characters."))
    _refuse(problems)

    acting(by=by, reason=reason)
    budget = Budget(
        name=name,
        scope=kept_scope,
        unit=unit,
        period=period,
        zone=zone,
        fiscal_start_month=fiscal_start_month,
        action=action,
        trial=trial,
        thresholds=kept_thresholds,
        owner=owner,
        created_at=at,
        created_by=by,
    )
    _save_named(budget, budget.save)
    BudgetLimit.objects.create(
        budget=budget,
        version=1,
        amount=amount,
        reason=reason,
        by=by,
        approved_by=approved_by or by,
        created_at=at,
    )
    Counter.objects.bulk_create(
        Counter(budget=budget, period_start=one.starts_at, period_end=one.ends_at, state=CounterState.BUILDING)
        for one in rules.periods_to_build(definitions.of(budget, []))
    )
    return budget


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
        owner=owner,
    )
    _evaluate_after_change(changed, at)
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
    owner: str | None,
) -> Budget:
    budget = _locked(budget_id)
    problems: Problems = []
    if name is not None:
        budget.name = _checked_text("name", name, 128, problems)
        others = Budget.objects.filter(name=budget.name, retired_at__isnull=True).exclude(pk=budget.pk)
        if others.exists():
            problems.append(("name", f"There is a budget named {budget.name!r} already."))
    if action is not None:
        _check_action(action, budget.unit, budget.scope, problems)
        budget.action = action
    if trial is not None:
        budget.trial = trial
    if thresholds is not None:
        budget.thresholds = _checked_thresholds(thresholds, problems)
    if owner is not None:
        if len(owner) > 254:
            problems.append(("owner", "An owner has at most 254 characters."))
        budget.owner = owner
    _refuse(problems)

    acting(by=by, reason=reason)
    fields = ["name", "action", "trial", "thresholds", "owner"]
    _save_named(budget, lambda: budget.save(update_fields=fields))
    return budget


def set_limit(
    *,
    budget: Budget,
    amount: Decimal,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    reason: str,
    by: str,
    approved_by: str,
    at: datetime,
) -> BudgetLimit:
    """Add a version of the limit; the highest version in force is the limit.

    Without a start it holds from now on, without an end until a later version. One that holds now is evaluated at once:
    what is used may have passed thresholds of the new limit, and those are told, also where older versions told theirs.
    Two transactions, with the booking barrier between them, so that no booking that still compared with the old limit
    is missed; should the second be lost, `looking.look_at_time` makes up for it.

    Raises:
        Invalid, Retired
    """
    limit = _add_limit(
        budget_id=budget.pk,
        amount=amount,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        by=by,
        approved_by=approved_by,
        at=at,
    )
    _evaluate_after_change(budget, at)
    return limit


@transaction.atomic(durable=True)
def _add_limit(
    *,
    budget_id: int,
    amount: Decimal,
    starts_at: datetime | None,
    ends_at: datetime | None,
    reason: str,
    by: str,
    approved_by: str,
    at: datetime,
) -> BudgetLimit:
    budget = _locked(budget_id)  # versions are numbered one after the other
    problems: Problems = []
    reason = _checked_text("reason", reason, 300, problems)
    _checked_text("approved_by", approved_by, 254, problems)
    _check_amount(amount, budget.unit, problems)
    if starts_at is not None and starts_at < at:
        problems.append(("starts_at", "A limit cannot start in the past; leave the start out to begin now."))
    if ends_at is not None and ends_at <= (starts_at or at):
        problems.append(("ends_at", "A limit ends after it starts, and not in the past."))
    _refuse(problems)

    acting(by=by, reason=reason)
    highest = BudgetLimit.objects.filter(budget=budget).aggregate(highest=Max("version"))["highest"] or 0
    return BudgetLimit.objects.create(
        budget=budget,
        version=highest + 1,
        amount=amount,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        by=by,
        approved_by=approved_by,
        created_at=at,
    )


@transaction.atomic(durable=True)
def retire(*, budget: Budget, reason: str, by: str, at: datetime) -> Budget:
    """Stop counting. What was counted, crossed and told stays. Safe to repeat: the first time holds."""
    current = Budget.objects.select_for_update(no_key=True).get(pk=budget.pk)
    if current.retired_at is None:
        acting(by=by, reason=reason)
        current.retired_at = at
        current.save(update_fields=["retired_at"])
        looking.settle_next_at(at=at)
    return current


def _evaluate_after_change(budget: Budget, at: datetime) -> None:
    # A booking that began before the change compares with the old limit: wait for it, then look at what it left.
    barrier.pass_through()
    with transaction.atomic(durable=True):
        crossings.evaluate(budget_ids=[budget.pk], at=at)
        looking.settle_next_at(at=at)


def _locked(budget_id: int) -> Budget:
    budget = Budget.objects.select_for_update(no_key=True).get(pk=budget_id)
    if budget.retired_at is not None:
        raise Retired(f"The budget {budget.name!r} was retired on {budget.retired_at:%Y-%m-%d} and cannot be changed.")
    return budget


def _save_named(budget: Budget, save: Callable[[], None]) -> None:
    try:
        with transaction.atomic():
            save()
    except IntegrityError as error:
        if "budgets_budget_name_once" not in str(error):
            raise
        raise NameTaken(f"There is a budget named {budget.name!r} already.") from error


def _refuse(problems: Problems) -> None:
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)


def _checked_text(field: str, text: str, longest: int, problems: Problems) -> str:
    kept = text.strip()
    if not kept:
        problems.append((field, "This is needed."))
    elif len(kept) > longest:
        problems.append((field, f"At most {longest} characters."))
    return kept


def _check_choice(field: str, value: str, choices: Iterable[str], problems: Problems) -> None:
    if value not in choices:
        problems.append((field, f"{value!r} is not one of {', '.join(choices)}."))


def _check_zone(zone: str, problems: Problems) -> None:
    if zone not in zoneinfo.available_timezones():
        problems.append(("zone", f"{zone!r} is not a time zone of the IANA database, such as Europe/Berlin."))


def _check_action(action: str, unit: str, scope: Mapping[str, Any], problems: Problems) -> None:
    _check_choice("action", action, Action.values, problems)
    narrows = unit == Unit.FRONTIER_TOKENS or any(dimension in scope for dimension in _OF_CANDIDATES)
    if action == Action.DOWNGRADE and not narrows:
        problems.append(
            (
                "action",
                (
                    "Downgrade needs something to go down to: count frontier tokens, or name a tier, model, offering "
                    "or provider in the scope. A budget on everything its use cases do can alert or block."
                ),
            )
        )


def _checked_thresholds(thresholds: Sequence[int], problems: Problems) -> list[int]:
    if not all(_is_whole(one) and 1 <= one <= 1000 for one in thresholds):
        problems.append(("thresholds", "Thresholds are whole per cents from 1 to 1000."))
        return []
    kept = sorted(set(thresholds))
    if not kept:
        problems.append(("thresholds", "At least one threshold is needed."))
    if len(kept) > MOST_THRESHOLDS:
        problems.append(("thresholds", f"At most {MOST_THRESHOLDS} thresholds."))
    return kept


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_amount(amount: Decimal, unit: str, problems: Problems) -> None:
    if not amount.is_finite() or amount <= 0:
        problems.append(("amount", "A limit is more than 0."))
    elif amount >= _TOO_LARGE:
        problems.append(("amount", "A limit is less than 10 to the power of 20."))
    elif unit != Unit.USD and amount != amount.to_integral_value():
        problems.append(("amount", "A limit in tokens or requests is a whole number."))
    elif amount.normalize().as_tuple().exponent < -18:  # type: ignore[operator]  # finite, so a number
        problems.append(("amount", "A limit has at most 18 decimal places."))


def _checked_scope(scope: Mapping[str, Sequence[str]], problems: Problems) -> dict[str, list[str]]:
    """Return the scope with names as the catalogue has them, sorted."""
    kept: dict[str, list[str]] = {}
    for dimension, values in sorted(scope.items()):
        if isinstance(values, str) or not values or not all(isinstance(one, str) and one.strip() for one in values):
            problems.append(("scope", f"{dimension}: give a list of names that are not empty."))
        elif len(values) > MOST_VALUES:
            problems.append(("scope", f"{dimension}: at most {MOST_VALUES} names."))
        elif dimension in DIMENSIONS:
            kept[dimension] = _known_names(dimension, values, problems)
        elif dimension.startswith(rules.TAG) and 0 < len(dimension.removeprefix(rules.TAG)) <= 64:
            kept[dimension] = sorted(set(values))
        else:
            allowed = ", ".join((*DIMENSIONS, "tag:NAME"))
            problems.append(("scope", f"{dimension!r} is not a dimension of a scope; those are {allowed}."))
    return kept


def _known_names(dimension: str, values: Sequence[str], problems: Problems) -> list[str]:
    known = names.resolved(dimension, values)
    problems.extend(
        ("scope", f"{dimension}: {value!r} is not in the catalogue.") for value in values if value not in known
    )
    return sorted(set(known.values()))
