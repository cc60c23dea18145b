"""Asking for another limit and deciding on it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from alerts.models import Alert
from budgets.models import Budget, BudgetLimit, Crossing, LimitRequest
from budgets.services import budgets, counters, looking, requests
from core.errors import Invalid, NotFound, TollkeeperError
from core.models import AuditEntry, Organisation
from tests.factories import NOON, make_budget, make_consumption, make_team

pytestmark = pytest.mark.django_db

WEEK = timedelta(days=7)
ENGINEER, FINANCE = "engineer@example.com", "finance@example.com"


def ask(budget: Budget, amount: int = 200, **overrides: Any) -> LimitRequest:
    given = {"amount": Decimal(amount), "reason": "a launch", "by": ENGINEER, "at": NOON}
    return requests.ask(budget=budget, **{**given, **overrides})


def approve(request: LimitRequest, **overrides: Any) -> BudgetLimit:
    return requests.approve(**{"request_id": request.pk, "by": FINANCE, "at": NOON, **overrides})


def test_who_asks_is_told_to_those_who_decide_until_they_do():
    team = make_team("support")
    budget = make_budget(scope={"team": ["support"]})

    request = ask(budget, ends_at=NOON + WEEK)

    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.team_ids, alert.budget_id) == (
        "limit_requested", 10, [team.pk], budget.pk,
    )  # fmt: skip
    assert "200 frontier tokens a month" in alert.facts["summary"]
    assert ["Until", "22 June 2026, 12:00 UTC"] in alert.facts["rows"]
    approve(request)
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_an_approved_request_is_a_version_for_its_time_and_the_one_below_holds_again():
    budget = make_budget()
    counters.consume(consumptions=[make_consumption(input_tokens=95)], at=NOON)

    limit = approve(ask(budget, 120, ends_at=NOON + WEEK), note="for the launch")

    assert (limit.version, limit.amount, limit.starts_at, limit.ends_at) == (2, 120, None, NOON + WEEK)
    assert (limit.by, limit.approved_by, limit.reason) == (ENGINEER, FINANCE, "a launch")
    # Evaluated at once: 95 of 120 is over 70 per cent, of another version.
    assert Crossing.objects.filter(limit=limit, threshold=70).exists()
    counters.consume(consumptions=[make_consumption(input_tokens=10)], at=NOON)
    (found,) = looking.look_at_time(at=NOON + WEEK)
    assert (found.limit_version, found.threshold) == (1, 100)  # 105 of 100, once the raise is over
    trail = AuditEntry.objects.get(table="budgets_limitrequest", operation="update")
    assert (trail.actor, trail.reason, trail.after["state"]) == (FINANCE, "for the launch", "approved")


def test_a_start_that_passed_while_it_waited_is_now_and_one_ahead_stays():
    budget = make_budget()
    soon, later = NOON + timedelta(days=1), NOON + timedelta(days=3)

    passed = approve(ask(budget, starts_at=soon), at=NOON + timedelta(days=2))
    ahead = approve(ask(budget, 300, starts_at=later), at=NOON)

    assert (passed.starts_at, ahead.starts_at) == (None, later)


def test_whoever_asked_cannot_approve_while_duties_are_separated():
    request = ask(make_budget(), by=FINANCE)

    with pytest.raises(requests.OwnRequest):
        approve(request)
    Organisation.objects.update(separation_of_duties=False)

    assert approve(request).approved_by == FINANCE


def test_what_would_be_over_already_cannot_be_approved():
    budget = make_budget()
    request = ask(budget, ends_at=NOON + WEEK)

    with pytest.raises(requests.TooLate):
        approve(request, at=NOON + WEEK)

    assert budget.limits.count() == 1


def test_a_refusal_needs_a_note_and_a_person_takes_back_only_her_own():
    request = ask(make_budget())

    with pytest.raises(Invalid):
        requests.refuse(request_id=request.pk, by=FINANCE, at=NOON, note=" ")
    with pytest.raises(requests.NotYours):
        requests.withdraw(request_id=request.pk, by=FINANCE, at=NOON)
    refused = requests.refuse(request_id=request.pk, by=FINANCE, at=NOON, note="next quarter")

    assert (refused.state, refused.decided_by, refused.note) == ("refused", FINANCE, "next quarter")
    with pytest.raises(requests.Settled, match=f"refused by {FINANCE}"):
        requests.withdraw(request_id=request.pk, by=ENGINEER, at=NOON)
    assert Alert.objects.get().state == "resolved"
    with pytest.raises(NotFound):
        requests.withdraw(request_id=request.pk + 1, by=ENGINEER, at=NOON)


def test_a_decision_on_one_request_leaves_the_alert_of_a_longer_number_open():
    budget = make_budget()
    one, other = ask(budget), ask(budget, by="platform@example.com")
    of_other = Alert.objects.get(title__contains=other.requested_by)
    Alert.objects.filter(pk=of_other.pk).update(dedupe_key=of_other.dedupe_key.replace(str(other.pk), f"{one.pk}0"))

    requests.withdraw(request_id=one.pk, by=ENGINEER, at=NOON)

    assert list(Alert.objects.order_by("id").values_list("state", flat=True)) == ["resolved", "open"]


def test_one_person_waits_for_one_answer_about_a_budget():
    budget = make_budget()
    request = ask(budget)

    with pytest.raises(requests.AlreadyAsked):
        ask(budget, 300)
    requests.withdraw(request_id=request.pk, by=ENGINEER, at=NOON)

    assert ask(budget, 300).state == "pending"


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"amount": Decimal("1.5")}, "amount"),
        ({"reason": " "}, "reason"),
        ({"starts_at": NOON - timedelta(days=1)}, "starts_at"),
        ({"ends_at": NOON}, "ends_at"),
        ({"starts_at": NOON + WEEK, "ends_at": NOON + WEEK}, "ends_at"),
    ],
)
def test_what_cannot_be_a_limit_cannot_be_asked_for(overrides, field):
    budget = make_budget()

    with pytest.raises(Invalid) as refused:
        ask(budget, **overrides)

    assert [name for name, _ in refused.value.problems] == [field]
    assert not LimitRequest.objects.exists()


def test_a_retired_budget_gets_no_request_and_refuses_those_that_wait():
    budget = make_budget()
    request = ask(budget)

    budgets.retire(budget=budget, reason="over", by=FINANCE, at=NOON)

    request.refresh_from_db()
    assert (request.state, request.decided_by, request.note) == ("refused", FINANCE, "The budget was retired.")
    assert Alert.objects.get().state == "resolved"
    with pytest.raises(budgets.Retired):
        ask(budget)


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("budgets_request_positive", {"amount": 0}),
        ("budgets_request_state_known", {"state": "asleep", "decided_at": NOON, "decided_by": "a"}),
        ("budgets_request_times_ordered", {"starts_at": NOON, "ends_at": NOON}),
        ("budgets_request_decided_whole", {"state": "refused"}),
        ("budgets_request_decided_whole", {"decided_by": "a", "decided_at": NOON}),
        ("budgets_request_approved_has_limit", {"state": "approved", "decided_by": "a", "decided_at": NOON}),
    ],
)
def test_a_request_is_whole_in_every_state(constraint, changes):
    ask(make_budget())

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        LimitRequest.objects.update(**changes)


def at_once(*calls: Callable[[], object]) -> list[str]:
    """Run calls in threads that begin together; return what became of each: `done`, or the name of its error."""
    together = Barrier(len(calls))

    def run(call: Callable[[], object]) -> str:
        try:
            together.wait(timeout=10)
            call()
        except TollkeeperError as error:
            return type(error).__name__
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(run, calls))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "other",
    [
        lambda request: approve(request, by="approver@example.com"),
        lambda request: requests.withdraw(request_id=request.pk, by=ENGINEER, at=NOON),
        lambda request: budgets.retire(budget=request.budget, reason="over", by=FINANCE, at=NOON),
    ],
    ids=["two approvers", "approve and withdraw", "approve and retire"],
)
def test_of_two_who_decide_at_once_one_does(other):
    for _ in range(4):
        budget = make_budget(name=f"budget {Budget.objects.count()}")
        request = ask(budget)

        became = at_once(lambda: approve(request), lambda: other(request))  # noqa: B023  # both end in this round

        request.refresh_from_db()
        budget.refresh_from_db()
        versions = budget.limits.count()
        if budget.retired_at is None:
            assert became == ["Settled", "done"]
        else:  # which is never turned away; the approval was before it, or came too late
            assert became in (["done", "done"], ["Retired", "done"], ["Settled", "done"])
        assert versions == (2 if request.state == "approved" else 1)
        assert request.state != "pending"


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_budget_that_was_retired_in_the_same_moment():
    for _ in range(4):
        budget = make_budget(name=f"budget {Budget.objects.count()}")

        became = at_once(
            lambda: ask(budget),  # noqa: B023
            lambda: budgets.retire(budget=budget, reason="over", by=FINANCE, at=NOON),  # noqa: B023
        )

        assert became in (["done", "done"], ["Retired", "done"])
        assert not LimitRequest.objects.filter(budget=budget, state="pending").exists()


@pytest.mark.django_db(transaction=True)
def test_a_second_click_asks_nothing_twice():
    budget = make_budget(at=datetime(2026, 6, 1, tzinfo=UTC))

    became = at_once(lambda: ask(budget), lambda: ask(budget))

    assert became == ["AlreadyAsked", "done"]
    assert (LimitRequest.objects.count(), Alert.objects.count()) == (1, 1)
