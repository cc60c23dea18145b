"""A process inside the house that faults are tried on: it does what a line of its standard input asks for.

A line is JSON, `[command, argument]`, and so is the answer, `[true, result]` or `[false, what went wrong]`. It stands
by because starting Django anew for every question takes longer than most faults.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, NoReturn

import django
import psutil

LIMIT_TOKENS = 8_000  # of the budget: every threshold is passed
LIMIT_EVENTS = 40  # small transactions: more of them to break in the middle of
BOOKER = "booker-"  # connections of a worker are named so, with its process


def prepare(_: object) -> str:
    """Make a priced offering, a budget and a key, and return the key."""
    from django.utils import timezone

    from catalog.services import gateways
    from tests.factories import make_budget
    from tests.usage.making import make_priced_offering

    make_priced_offering()
    at = timezone.now()
    make_budget(amount=Decimal(LIMIT_TOKENS), at=at, scope={"use_case": ["support-routing"]})
    return gateways.create_key(name="edge", gateway="edge", scopes=["usage:write"], by="tests", at=at)


def book(workers: int) -> int:
    """Start workers that book whatever waits, and return the process that replaces each that is killed."""
    above = os.getpid()
    parent = os.fork()
    if parent:
        return parent
    os.setsid()
    running: set[int] = set()
    while os.getppid() == above:
        while len(running) < workers:
            child = os.fork()
            if child == 0:
                _book(above)
            running.add(child)
        ended, _status = os.wait()
        running.discard(ended)
    os._exit(0)


def _book(above: int) -> NoReturn:
    from django.db import InterfaceError, OperationalError, connection
    from django.utils import timezone

    from usage.services import booking

    parent = os.getppid()
    connection.settings_dict["OPTIONS"]["application_name"] = f"{BOOKER}{os.getpid()}"
    while os.getppid() == parent and psutil.pid_exists(above):  # nobody outlives a run of the tests that was killed
        try:
            booking.book_pending(at=timezone.now(), limit_events=LIMIT_EVENTS)
        except (OperationalError, InterfaceError):  # the database went away: it comes back
            connection.close()
        time.sleep(0.01)
    os._exit(0)


def verify(answered: list[str]) -> None:
    """Check everything that must hold once the events of these ids were answered with 202 and nothing waits."""
    from django.utils import timezone

    from alerts.models import Alert, Delivery
    from budgets.models import Counter, Crossing
    from tests.usage import checks
    from usage.models import HeldEvent, Receipt

    states = set(Receipt.objects.values_list("state", flat=True))
    assert states == {"done"}, states
    assert not HeldEvent.objects.exists()
    checks.assert_each_counts_once(set(answered))
    checks.assert_rollups_equal_ledger()
    checks.assert_counters_equal_ledger()
    crossed = sorted(Crossing.objects.filter(basis="actual").values_list("threshold", flat=True))
    used = Counter.objects.get(period_start__lte=timezone.now(), period_end__gt=timezone.now()).used
    assert crossed == [per_cent for per_cent in (70, 90, 100) if used * 100 >= LIMIT_TOKENS * per_cent], crossed
    alerts = set(Alert.objects.values_list("id", flat=True))
    assert set(Crossing.objects.values_list("alert_id", flat=True)) <= alerts
    assert set(Delivery.objects.values_list("alert_id", flat=True)) == alerts
    assert Receipt.objects.filter(duplicates__gt=0).exists()


def furnish(names: list[str]) -> dict[str, str]:
    """Make the catalogue, budgets and these gateways, and return a key of each gateway."""
    from django.utils import timezone

    from catalog.services import gateways, standard
    from tests.factories import make_budget

    at = timezone.now()
    standard.load(by="tests", at=at)
    made = {
        name: gateways.create_key(name=name, gateway=name, scopes=["usage:write"], by="tests", at=at) for name in names
    }
    plenty = Decimal(10**15)
    for unit, scope in (("tokens", {}), ("usd", {"tier": ["frontier"]}), ("requests", {"gateway": names[:1]})):
        make_budget(name=unit, unit=unit, scope=scope, amount=plenty, at=at)
    return made


def verify_sums(_: object) -> None:
    """Check that every sum equals a recount of the ledger."""
    from tests.usage import checks

    checks.assert_rollups_equal_ledger()
    checks.assert_counters_equal_ledger()


def key(scopes: list[str]) -> str:
    """Make a key of the gateway with these scopes and return it."""
    from django.utils import timezone

    from catalog.services import gateways

    return gateways.create_key(name="poller", gateway="edge", scopes=scopes, by="tests", at=timezone.now())


def publish(rationale: str) -> str:
    """Put rules in force that differ by their rationale, and return their tag."""
    from django.utils import timezone

    from routing.models import Environment
    from tests.routing import making

    if not Environment.objects.exists():
        making.stock()
    making.make_version(making.make_content(making.make_rule(rationale=rationale)), at=timezone.now())
    environment = Environment.objects.get(name=making.ENVIRONMENT)
    return f'"{environment.live_version}.{environment.state_revision}"'


def revoke(secret: str) -> None:
    """End a key."""
    from django.utils import timezone

    from core.models import ApiKey
    from core.services import keys

    keys.revoke(key=ApiKey.objects.get(digest=keys.digest_of(secret)), by="tests", at=timezone.now())


def allow(tokens: int) -> int:
    """Let frontier tokens be used, and downgrade beyond; returns the budget's id."""
    from django.utils import timezone

    from tests.factories import make_budget

    return make_budget(name="downgraded", action="downgrade", amount=Decimal(tokens), at=timezone.now()).pk


def use(tokens: int) -> float:
    """Book a call of so many frontier tokens, and return when that was committed, by the clock of `time.monotonic`."""
    from django.utils import timezone

    from tests.usage import making
    from usage.services import booking

    at = timezone.now()
    making.take(
        making.make_event(event_id=f"use-{at}", occurred_at=at, uncached_input_tokens=tokens, output_tokens=0),
        received_at=at,
    )
    assert booking.book_pending(at=at)
    return time.monotonic()


def lift(wanted: tuple[int, int, int]) -> dict[str, float]:
    """Give a budget another limit for some seconds; returns when that begins and ends, by `time.monotonic`."""
    from django.utils import timezone

    from budgets.models import Budget
    from budgets.services import budgets

    budget_id, tokens, seconds = wanted
    budget, at, now = Budget.objects.get(pk=budget_id), timezone.now(), time.monotonic()
    budgets.set_limit(
        budget=budget, amount=Decimal(tokens), ends_at=at + timedelta(seconds=seconds), reason="until the evening",
        by="tests", approved_by="finance", at=at,
    )  # fmt: skip
    return {"begins": time.monotonic(), "ends": now + seconds}


def polls(_: object) -> list[list[Any]]:
    """Return what is noted of polls: instance, and the version it was given."""
    from routing.models import GatewayPoll

    found = GatewayPoll.objects.order_by("instance").values_list("instance", "given_version")
    return [list(row) for row in found]


COMMANDS: dict[str, Callable[[Any], Any]] = {
    "prepare": prepare, "book": book, "verify": verify, "furnish": furnish, "verify_sums": verify_sums,
    "key": key, "publish": publish, "revoke": revoke, "polls": polls,
    "allow": allow, "use": use, "lift": lift,
}  # fmt: skip


def main(commands: Mapping[str, Callable[[Any], Any]]) -> None:
    django.setup()
    from django.db import connection

    for line in sys.stdin:
        command, argument = json.loads(line)
        try:
            answer = [True, commands[command](argument)]
        except Exception:
            answer = [False, traceback.format_exc()]
        finally:
            connection.close()  # the server may be another one by the next line, and a fork must not share it
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(COMMANDS)
