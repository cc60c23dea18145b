"""What is done inside the house whose past is corrected, by a process that stands by for it.

A line of its standard input is JSON, `[command, argument]`. Each command is a process of its own, so that the one that
restates may be killed: a line says which, and when it has ended another one says what it returned, `[result]`, or null
where it failed or was killed. Each is forked, because starting Django anew takes longer than most of what is asked for.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import django

SHARE = 5  # every fifth entry is of the offering whose price is corrected
BATCH = 4000
DAYS = 30
USE_CASES = 24
OTHERS = ("claude-opus-4.7@anthropic", "gemini-3.1-pro@google", "deepseek-v4-flash@deepseek", "gpt-5.4-mini@openai")
CORRECTED = "gpt-5.5@openai"


def fill(entries: int) -> None:
    """Book so many entries of the last days, one in five of the offering to be corrected, each dated as a rollup's."""
    from tests.factories import make_budget
    from tests.usage.making import make_offering, make_priced_offering, take
    from usage.services import booking, partitions

    now = datetime.now(UTC)
    partitions.make(first=(now - timedelta(days=DAYS + 1)).date().replace(day=1), last=now.date().replace(day=1))
    make_priced_offering(CORRECTED)
    for name in OTHERS:
        make_offering(name, uncached_input="2", cache_read="0.2", output="12")
    make_budget(unit="usd", amount=Decimal(10_000_000), at=now)
    _settle()
    rng = random.Random(7)
    for first in range(0, entries, BATCH):
        take(
            *(_event(rng, number, now) for number in range(first, min(first + BATCH, entries))),
            received_at=now,
        )
        while booking.book_pending(at=now, limit_events=BATCH):
            pass


def _event(rng: random.Random, number: int, now: datetime) -> Any:
    from tests.usage.making import make_event

    model, _, provider = (OTHERS[number % len(OTHERS)] if number % SHARE else CORRECTED).partition("@")
    return make_event(
        event_id=f"event-{number}",
        occurred_at=now - timedelta(seconds=rng.randrange(60, DAYS * 86_400)),
        use_case=f"use-case-{rng.randrange(USE_CASES)}",
        provider=provider,
        model=model,
        uncached_input_tokens=rng.randrange(20, 4000),
        cache_read_tokens=rng.choice((0, 0, 1024)),
        output_tokens=rng.randrange(5, 800),
        reported_cost_usd=Decimal("0.0123") if number % 3 == 0 else None,
    )


def _change(usd: str, at: datetime) -> Any:
    from catalog.services import offerings, prices

    return partial(
        prices.set_price, offering=offerings.get(CORRECTED), meter="output", usd_per_1m=Decimal(usd),
        valid_from=at - timedelta(days=DAYS + 1), source="invoice", note="the invoice says so",
        by="finance@example.com", approved_by="approver@example.com", at=at,
    )  # fmt: skip


def preview(usd: str) -> dict[str, Any]:
    """Preview the correction to a price of output twice; return how many seconds the second took, and what it says."""
    from usage.services.restating.previewing import preview as look

    at = datetime.now(UTC)
    look(_change(usd, at), at=at)
    start = time.perf_counter()
    found = look(_change(usd, at), at=at)
    return {
        "seconds": time.perf_counter() - start,
        "entries": found.total.entries,
        "before_usd": str(found.total.before_usd),
        "after_usd": str(found.total.after_usd),
    }


def correct(usd: str) -> None:
    """Correct the price of output and put its restatement in line."""
    from usage.services.restating import running

    at = datetime.now(UTC)
    _change(usd, at)()
    running.take_up(at=at)


def work(generation: int) -> float:
    """Do what the background worker does until nothing is in line, and return how long it took, in seconds.

    Each later generation's clock is ahead by more than a lease, so that it goes on at once where one died.
    """
    from usage.services import jobs

    start = time.perf_counter()
    while jobs.run_next(clock=lambda: datetime.now(UTC) + generation * 2 * jobs.LEASE):
        pass
    return time.perf_counter() - start


def _settle() -> None:
    from usage.services.restating import running

    running.take_up(at=datetime.now(UTC))
    work(0)


def verify(usd: str) -> dict[str, Any]:
    """Check every sum against a recount, and the money against a pricing from scratch that shares no code with ours.

    Returns what the newest restatement says, and how many lines name it.
    """
    from django.db import connection

    from core.models import Job
    from tests.usage import checks
    from usage.models import Restatement

    assert set(Job.objects.values_list("state", flat=True)) == {"done"}
    checks.assert_rollups_equal_ledger()
    checks.assert_counters_equal_ledger()
    restatement = Restatement.objects.filter(kind="prices").latest("id")
    with connection.cursor() as cursor:
        cursor.execute(_FROM_SCRATCH, {"corrected": CORRECTED, "output": usd})
        scratch = cursor.fetchall()
        cursor.execute(_KEPT)
        assert cursor.fetchall() == scratch, "rollups differ from a pricing from scratch"
        cursor.execute(
            "SELECT count(*), count(DISTINCT corrects_id) FROM ledger WHERE kind = 3 AND restatement_id = %s",
            [restatement.pk],
        )
        lines, adjusted = cursor.fetchone()
    assert lines == adjusted, "an entry was adjusted twice"
    return {
        "lines": lines,
        "entries": restatement.after["entries"],
        "before_usd": restatement.before["cost_usd"],
        "after_usd": restatement.after["cost_usd"],
    }


_FROM_SCRATCH = """
    SELECT l.use_case_id, (l.booked_at AT TIME ZONE (SELECT zone FROM core_organisation))::date, l.offering_id,
        sum(
            CASE WHEN o.name = %(corrected)s THEN l.uncached_input_tokens * 5::numeric + l.cache_read_tokens * 0.5
                + l.output_tokens * %(output)s::numeric
            ELSE l.uncached_input_tokens * 2::numeric + l.cache_read_tokens * 0.2 + l.output_tokens * 12 END
        ) / 1000000
    FROM ledger l JOIN catalog_offering o ON o.id = l.offering_id WHERE l.kind = 1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_KEPT = """
    SELECT use_case_id, day, offering_id, sum(cost_usd) FROM rollup_day GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

COMMANDS = {"fill": fill, "preview": preview, "correct": correct, "work": work, "verify": verify}


def main() -> None:
    django.setup()
    for line in sys.stdin:
        command, argument = json.loads(line)
        answered, answer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.write(answer, json.dumps([COMMANDS[command](argument)]).encode())
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(answer)
        _say(child)
        with os.fdopen(answered) as told:
            said = told.read()
        os.waitpid(child, 0)
        _say(json.loads(said) if said else None)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
