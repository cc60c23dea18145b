"""Inside the house whose crossings are checked: `python -m tests.faults.crossings_inside`, as `tests.faults.inside` is.

Whoever sends, delivers or looks at budgets is a process of its own that may be killed. Those that were asked for end
with this one.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psutil

from tests.faults.inside import book, main


def furnish(wanted: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Make what is priced, budgets of some days ago and channels, and return the ids of both by name."""
    from django.utils import timezone

    from tests.alerts.making import make_channel
    from tests.factories import make_budget
    from tests.usage import making

    for name in wanted["gateways"]:
        making.make_gateway(name)
    making.make_offering("gpt-5.5@openai", uncached_input="5", output="30")
    making.make_offering("gpt-5.4-mini@openai", tier=making.Tier.ECONOMY, uncached_input="2", output="12")
    at = timezone.now() - timedelta(days=wanted["days"])
    for name in wanted["use_cases"]:
        make_use_case(name)
    budgets = {
        given["name"]: make_budget(at=at, **{**given, "amount": Decimal(given["amount"])}).pk
        for given in wanted["budgets"]
    }
    channels = {
        given["name"]: make_channel(
            kind="slack", name=given["name"], secret=given["url"], least_severity=given["least_severity"],
            budgets=[budgets[name] for name in given["budgets"]],
        ).pk
        for given in wanted["channels"]
    }  # fmt: skip
    return {"budgets": budgets, "channels": channels}


def make_use_case(name: str) -> None:
    from tests import factories

    factories.make_use_case(name)


def send(bodies: list[dict[str, Any]]) -> int:
    """Start a client that has each body taken in, again where it got no answer; it ends when all of them were."""

    def work(over: Callable[[], bool]) -> None:
        waiting = list(bodies)
        while waiting and not over():
            if _tried(lambda: _take(waiting[0])):
                waiting.pop(0)

    return _start(work)


def _take(body: dict[str, Any]) -> None:
    from django.utils import timezone

    from tests.usage import making

    events = [
        making.make_event(
            event_id=one["id"], occurred_at=datetime.fromisoformat(one["at"]), use_case=one["use_case"],
            model=one["model"], uncached_input_tokens=one["input"], output_tokens=one["output"], status=one["status"],
            tags=one["tags"], replaces=one["replaces"], voids=one["voids"],
        )
        for one in body["events"]
    ]  # fmt: skip
    making.take(*events, gateway=body["gateway"], received_at=timezone.now())


def deliver(generation: int) -> int:
    """Start an alerts worker. Each generation's clock is ahead of the last one's leases: nobody waits for those."""
    from django.utils import timezone

    from alerts.services import deliveries

    ahead = 2 * generation * deliveries.LEASE

    def work(over: Callable[[], bool]) -> None:
        while not over():
            _tried(lambda: deliveries.deliver_due(at=timezone.now() + ahead, limit=500))
            time.sleep(0.03)

    return _start(work)


def look(_: object) -> int:
    """Start a process that looks at what time changed, as the scheduler has it done, though more often."""
    from django.utils import timezone

    from budgets.services import looking

    def work(over: Callable[[], bool]) -> None:
        while not over():
            _tried(lambda: looking.look_at_time(at=timezone.now()))
            time.sleep(0.1)

    return _start(work)


def limit(wanted: list[Any]) -> str:
    """Change a budget's limit; returns as `settle` does."""
    _set_limit(*wanted)
    return settle(None)


def begin_limit(wanted: list[Any]) -> int:
    """Start a process that changes a budget's limit."""
    return _start(lambda _: _set_limit(*wanted))


def _set_limit(budget_id: int, amount: str) -> None:
    from django.utils import timezone

    from budgets.models import Budget
    from budgets.services import budgets

    budgets.set_limit(
        budget=Budget.objects.get(pk=budget_id), amount=Decimal(amount), reason="more, or less", by="tests",
        approved_by="finance", at=timezone.now(),
    )  # fmt: skip


def settle(_: object) -> str:
    """See to it that whatever changed is looked at; returns when: every booking from then on compares with it."""
    from django.db import connection
    from django.utils import timezone

    from budgets.services import looking

    looking.look_at_time(at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return str(cursor.fetchone()[0].isoformat())


def verify(_: object) -> list[str]:
    """Check every sum against a recount, and return the names of the budgets that gateways are told of."""
    from django.utils import timezone

    from budgets.models import Budget
    from budgets.selectors import enforced
    from tests.usage import checks
    from usage.models import HeldEvent, Receipt

    assert set(Receipt.objects.values_list("state", flat=True)) == {"done"}
    assert not HeldEvent.objects.exists()
    checks.assert_rollups_equal_ledger()
    exceeded = [one.budget_id for one in enforced.exceeded(at=timezone.now())]
    return sorted(Budget.objects.filter(pk__in=exceeded).values_list("name", flat=True))


def _start(work: Callable[[Callable[[], bool]], None]) -> int:
    """Do some work in a process of its own until it is done, or whoever asked for it is gone."""
    above = os.getpid()
    child = os.fork()
    if child:
        return child
    os.setsid()
    try:
        work(lambda: os.getppid() != above or not psutil.pid_exists(above))
    except Exception:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _tried(attempt: Callable[[], object]) -> bool:
    """Say whether something could be done: false where the database went away, which comes back."""
    from django.db import InterfaceError, OperationalError, connection

    try:
        attempt()
    except (OperationalError, InterfaceError):
        connection.close()
        time.sleep(0.02)
        return False
    return True


if __name__ == "__main__":
    main({
        "furnish": furnish, "book": book, "send": send, "deliver": deliver, "look": look, "limit": limit,
        "begin_limit": begin_limit, "settle": settle,
        "verify": verify,
    })  # fmt: skip
