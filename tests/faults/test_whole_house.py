"""Promises 1 and 2, on the whole house: whatever is killed, what got a 202 is in the ledger, once.

A real house is started; gateways of three formats post to it over HTTP, a tenth of it twice, some of it to replace or
void what they sent before, while processes are killed with -9 at random: the web process, intake workers in the middle
of a batch, Redis with all it remembers, PostgreSQL. At the end the ledger holds what was acknowledged, and rollups and
counters are what a recount of the ledger gives.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import psutil
import psycopg
import pytest
import redis

from controlplane.embedded.servers import temporary_dir
from tests import prepared
from tests.controlplane.conftest import bare_environment, processes_of
from tests.faults.senders import LiteLLM, Native, Otlp, Sender
from tests.running import ROOT, Demo, eventually

SOAK = os.environ.get("TOLLKEEPER_SOAK") == "1"
GATEWAYS: tuple[tuple[str, type[Sender]], ...] = (
    ("router", Native), ("router", Native), ("litellm", LiteLLM), ("traces", Otlp),
)  # fmt: skip
ITEMS = 60  # of a body, before repeats
KILLS = 48 if SOAK else 4
BODIES = 10 if SOAK else 4  # of each gateway from one kill to the next
SEED = 20_261_121
PLANTED = "planted-by-a-test"

pytestmark = pytest.mark.soak


@pytest.fixture
def house() -> Iterator[Demo]:
    with temporary_dir() as directory:
        prepared.lay_out(directory)
        demo = Demo(directory)
        try:
            demo.up()
            yield demo
        finally:
            demo.kill()


def inside(house: Demo, command: str, argument: object = None) -> Any:
    """Have a process of the house do a command of `tests.faults.inside`, and return its result."""
    environment = bare_environment(
        TOLLKEEPER_DATA_DIR=str(house.data_dir), DJANGO_SETTINGS_MODULE="controlplane.settings"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.inside"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
        env=environment, input=json.dumps([command, argument]) + "\n",
    )  # fmt: skip
    passed, result = json.loads(done.stdout)
    assert passed, result
    return result


def ask(house: Demo, sql: str) -> list[tuple[Any, ...]]:
    """Ask the house's database; nothing where it is away."""
    with suppress(psycopg.OperationalError), psycopg.connect(house.database_url()) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[arg-type]
    return []


VICTIMS: dict[str, Callable[[psutil.Process], bool]] = {
    "web": lambda process: "granian" in " ".join(process.cmdline()),
    "intake": lambda process: "intake" in process.cmdline() or "intake@" in " ".join(process.cmdline()),
    "redis": lambda process: process.name() == "redis-server",
    "postgres": lambda process: process.name() == "postgres" and "-D" in process.cmdline(),
}


def kill_all(house: Demo, kind: str) -> int:
    """Kill -9 the processes of that kind; returns how many there were."""
    killed = 0
    for process in processes_of(house.data_dir):
        with suppress(psutil.Error):
            if VICTIMS[kind](process):
                process.kill()
                killed += 1
    return killed


def memory(house: Demo) -> redis.Redis:
    running = json.loads((house.data_dir / "run" / "environment.json").read_text())
    return redis.Redis.from_url(running["environment"]["REDIS_URL"])


def plant(house: Demo) -> bool:
    """Have Redis remember something."""
    with suppress(redis.RedisError), memory(house) as remembering:
        return bool(remembering.set(PLANTED, "remembered"))
    return False


def planted(house: Demo) -> bool | None:
    """Say whether Redis still remembers it; None while Redis is away."""
    with suppress(redis.RedisError), memory(house) as remembering:
        return remembering.get(PLANTED) is not None
    return None


def test_what_was_acknowledged_is_booked_once_whatever_is_killed(house, capsys):
    keys = inside(house, "furnish", sorted({gateway for gateway, _ in GATEWAYS}))
    senders = [
        kind(
            port=house.port, key=keys[gateway], name=f"{gateway}-{n}", bodies=KILLS * BODIES, items=ITEMS, seed=SEED + n
        )
        for n, (gateway, kind) in enumerate(GATEWAYS)
    ]
    rng = random.Random(SEED)
    kinds = [kind for _ in range(KILLS // 4) for kind in rng.sample(sorted(VICTIMS), 4)]
    killed: Counter[str] = Counter()
    started = time.monotonic()
    for sender in senders:
        sender.start()

    def acknowledged() -> int:
        return sum(sender.acknowledged for sender in senders)

    for kind in kinds:
        enough = acknowledged() + rng.randrange(1, len(senders) * BODIES // 2)
        for sender in senders:
            sender.turns.release(BODIES)
        # The next one dies in the middle of something, once the house works again.
        assert eventually(lambda enough=enough: acknowledged() >= enough), house.said
        if kind == "redis":
            assert eventually(lambda: plant(house)), house.said
        assert eventually(lambda kind=kind: kill_all(house, kind) > 0), f"nothing of {kind} runs\n{house.said}"
        killed[kind] += 1
    for sender in senders:
        sender.join(300)
        assert not sender.is_alive(), house.said

    def all_booked() -> bool:
        return ask(
            house,
            "SELECT (SELECT count(*) FROM receipt WHERE state <> 'done'), "
            "(SELECT count(*) FROM budgets_counter WHERE state <> 'live')",
        ) == [(0, 0)]

    assert eventually(all_booked), (
        ask(house, "SELECT state, count(*), max(attempts), max(error) FROM receipt GROUP BY state"),
        house.said,
    )

    with capsys.disabled():
        sys.stdout.write(said(killed, senders, time.monotonic() - started))
    assert set(killed.values()) == {KILLS // 4}
    assert eventually(lambda: planted(house) is not None), house.said
    assert planted(house) is False, "Redis remembered something: its memory was not empty"
    assert [sender.refused for sender in senders] == [[]] * len(senders)
    assert acknowledged() == len(senders) * KILLS * BODIES
    booked = {
        group: (requests, tokens)
        for group, requests, tokens in ask(
            house,
            "SELECT call_group, sum(requests), sum(uncached_input_tokens + cache_read_tokens + output_tokens) "
            "FROM ledger GROUP BY call_group",
        )
    }
    told = {
        group: (Decimal(requests), Decimal(sender.tokens[group]))
        for sender in senders
        for group, requests in sender.requests.items()
    }
    assert booked.keys() <= told.keys(), "in the ledger and never sent"
    # What was voided at once, or replaced before it was booked, may have left no line.
    nothing = (Decimal(0), Decimal(0))
    wrong = {group: (one, booked.get(group)) for group, one in told.items() if booked.get(group, nothing) != one}
    assert wrong == {}, "expected and booked"
    assert ask(house, "SELECT reason, event_id FROM usage_heldevent") == []
    assert ask(house, "SELECT count(*) FROM ledger_unsummed") == [(0,)]
    # Column by column, to the last decimal.
    inside(house, "verify_sums")


def said(killed: Counter[str], senders: list[Sender], seconds: float) -> str:
    natives = [sender for sender in senders if isinstance(sender, Native)]
    victims = ", ".join(f"{kind} {times} times" for kind, times in sorted(killed.items()))
    return (
        f"\nkilled with -9 in {seconds:.0f} s: {victims}; "
        f"{sum(s.acknowledged for s in senders)} bodies, {sum(s.repeated for s in senders)} items sent twice, "
        f"{sum(s.replaced for s in natives)} replaced, {sum(s.voided for s in natives)} voided, "
        f"{sum(s.wrapped for s in senders if isinstance(s, Otlp))} calls with a wrapper\n"
    )
