"""The versions of a budget's limit, one at a time or several at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from budgets.models import Budget, BudgetLimit
from budgets.rules.planning import Version
from budgets.services import checks, crossings, looking
from core.errors import Conflict, NotFound
from core.services import barrier
from core.services.audit import acting


class Retired(Conflict):
    """The budget is retired: it counts nothing any more and cannot be changed."""


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
    new = Version(amount=amount, starts_at=starts_at, ends_at=ends_at)
    limit = _set_limit(budget_id=budget.pk, new=new, reason=reason, by=by, approved_by=approved_by, at=at)
    evaluate_after_change(budget_ids=[budget.pk], at=at)
    return limit


@transaction.atomic(durable=True)
def _set_limit(*, budget_id: int, new: Version, reason: str, by: str, approved_by: str, at: datetime) -> BudgetLimit:
    budget = locked(budget_id)
    problems: checks.Problems = []
    reason = checks.checked_text("reason", reason, 300, problems)
    checks.checked_text("approved_by", approved_by, 254, problems)
    checks.check_amount(new.amount, budget.unit, problems)
    checks.check_times(new.starts_at, new.ends_at, at, problems)
    checks.refuse(problems)

    acting(by=by, reason=reason)
    return add(budget=budget, versions=[new], reason=reason, by=by, approved_by=approved_by, at=at)[0]


def locked(budget_id: int) -> Budget:
    """Take a budget's row, so that its versions are numbered one after the other.

    Raises:
        NotFound: there is none, or it is the one that shows daily that alerts go out.
        Retired
    """
    budget = Budget.objects.select_for_update(no_key=True).filter(pk=budget_id, canary=False).first()
    if budget is None:
        raise NotFound(f"There is no budget {budget_id}.")
    if budget.retired_at is not None:
        raise Retired(f"The budget {budget.name!r} was retired on {budget.retired_at:%Y-%m-%d} and cannot be changed.")
    return budget


@transaction.atomic
def add(
    *, budget: Budget, versions: Sequence[Version], reason: str, by: str, approved_by: str, at: datetime
) -> list[BudgetLimit]:
    """Write versions in their order, each over those before it. Two queries.

    The caller holds the budget (`locked`), has checked what is in them and named the actor; it commits, and then calls
    `evaluate_after_change`.
    """
    highest = BudgetLimit.objects.filter(budget=budget).aggregate(highest=Max("version"))["highest"] or 0
    return BudgetLimit.objects.bulk_create(
        BudgetLimit(
            budget=budget,
            version=highest + number,
            amount=new.amount,
            starts_at=new.starts_at,
            ends_at=new.ends_at,
            reason=reason,
            by=by,
            approved_by=approved_by,
            created_at=at,
        )
        for number, new in enumerate(versions, start=1)
    )


def evaluate_after_change(*, budget_ids: Collection[int], at: datetime) -> None:
    """Tell what the budgets have passed by a measure that has just been committed. Safe to repeat."""
    # A booking that began before the change compares with the old measure: wait for it, then look at what it left.
    barrier.pass_through()
    with transaction.atomic(durable=True):
        crossings.evaluate(budget_ids=budget_ids, at=at, explain=crossings.explain_now)
        looking.settle_next_at(at=at)
