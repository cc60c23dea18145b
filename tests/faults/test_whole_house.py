"""Promises 1 and 2, on the whole house: whatever is killed, what got a 202 is in the ledger, once.

A real house is started; clients post to it over HTTP, a tenth of it twice, while processes are killed with -9 at
random: the web process, intake workers in the middle of a batch, Redis with all it remembers, PostgreSQL. At the end
the ledger holds what was acknowledged, and rollups and counters are what a recount of the ledger gives.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import psutil
import psycopg
import pytest

from controlplane.embedded.servers import temporary_dir
from tests.controlplane.conftest import bare_environment, processes_of
from tests.running import ROOT, Demo, eventually

SOAK = os.environ.get("TOLLKEEPER_SOAK") == "1"
CLIENTS = 4
BATCH = 60
BODIES = 400 if SOAK else 14  # of each client
KILLS = 40 if SOAK else 5
SEED = 20_261_121

pytestmark = pytest.mark.soak


@pytest.fixture
def house() -> Iterator[Demo]:
    with temporary_dir() as directory:
        demo = Demo(directory)
        demo.up()
        yield demo
        demo.kill()


def manage(house: Demo, *arguments: str) -> str:
    """Run a command in the house as somebody at another terminal would."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, check=True, capture_output=True, text=True,
        env=bare_environment(TOLLKEEPER_DATA_DIR=str(house.data_dir)),
    )  # fmt: skip
    return done.stdout


def call(house: Demo, key: str, method: str, path: str, body: object = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
    try:
        connection.request(
            method, f"/api/v1/{path}", json.dumps(body) if body is not None else None,
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )  # fmt: skip
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


def event(rng: random.Random, client: int, number: int) -> dict[str, object]:
    return {
        "id": f"{client}-{number}",
        "time": datetime.now(UTC).isoformat(),
        "use_case": f"use-case-{rng.randrange(5)}",
        "provider": "openai",
        "model": rng.choice(("gpt-5.5", "gpt-5-mini", "nobody-knows")),
        "input_tokens": rng.randrange(1, 5000),
        "output_tokens": rng.randrange(1, 500),
        "latency_ms": rng.randrange(20, 9000),
    }


class Client(threading.Thread):
    """Posts until each of its events was acknowledged; what had no answer is sent again, as gateways do."""

    def __init__(self, house: Demo, key: str, number: int) -> None:
        super().__init__()
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []
        self._house, self._key, self._number = house, key, number

    def run(self) -> None:
        rng = random.Random(SEED + self._number)
        sent: list[dict[str, object]] = []
        for body in range(BODIES):
            fresh = [event(rng, self._number, body * BATCH + n) for n in range(BATCH)]
            again = rng.sample(sent, min(len(sent), BATCH // 10))
            self._post(fresh + again)
            sent += fresh

    def _post(self, events: list[dict[str, object]]) -> None:
        while True:
            try:
                status, answer = call(self._house, self._key, "POST", "usage/events", events)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)  # as a gateway would: nobody answered, so try again
                continue
            if status == 202:
                self.acknowledged |= {str(one["id"]) for one in events}
                if answer["rejected"]:
                    self.refused.append(str(answer["rejected"]))
                return
            if status < 500 and status != 429:
                self.refused.append(f"{status} {answer}")
                return
            time.sleep(0.05)


def victims(house: Demo) -> dict[str, Callable[[psutil.Process], bool]]:
    return {
        "web": lambda process: "granian" in " ".join(process.cmdline()),
        "intake": lambda process: "intake" in process.cmdline() or "intake@" in " ".join(process.cmdline()),
        "redis": lambda process: process.name() == "redis-server",
        "postgres": lambda process: process.name() == "postgres" and "-D" in process.cmdline(),
    }


def kill_one(house: Demo, kind: str) -> int:
    """Kill -9 a process of that kind, or a few of them; returns how many."""
    killed = 0
    for process in processes_of(house.data_dir):
        with suppress(psutil.Error):
            if victims(house)[kind](process):
                process.kill()
                killed += 1
    return killed


def test_what_was_acknowledged_is_booked_once_whatever_is_killed(house):
    manage(house, "load_catalog")
    key = manage(house, "create_key", "gateway", "--scope", "usage:write", "read", "write").splitlines()[-1]
    status, budget = call(
        house, key, "POST", "budgets",
        {"name": "all of it", "scope": {}, "unit": "tokens", "period": "month", "zone": "UTC", "action": "alert",
         "amount": "1000000000", "reason": "faults"},
    )  # fmt: skip
    assert status == 201, budget
    rng = random.Random(SEED)
    clients = [Client(house, key, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()

    kinds = [kind for _ in range(KILLS // 4 + 1) for kind in rng.sample(sorted(victims(house)), 4)][:KILLS]
    killed = 0
    for kind in kinds:
        before = sum(len(client.acknowledged) for client in clients)
        killed += kill_one(house, kind)
        # The next one dies once the house works again: something more was acknowledged, or all of it was.
        assert eventually(
            lambda before=before: (
                sum(len(client.acknowledged) for client in clients) > before
                or not any(client.is_alive() for client in clients)
            )
        ), house.said
    for client in clients:
        client.join(300)
        assert not client.is_alive()
    acknowledged = set().union(*(client.acknowledged for client in clients))

    def all_booked() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(house.database_url()) as connection:
            waiting = connection.execute("SELECT count(*) FROM receipt WHERE state <> 'done'").fetchone()
            building = connection.execute("SELECT count(*) FROM budgets_counter WHERE state <> 'live'").fetchone()
            return waiting == (0,) and building == (0,)
        return False

    assert eventually(all_booked), house.said

    assert killed >= KILLS
    assert [client.refused for client in clients] == [[]] * CLIENTS
    assert len(acknowledged) == CLIENTS * BODIES * BATCH
    with psycopg.connect(house.database_url()) as connection:
        booked = [id_ for (id_,) in connection.execute("SELECT event_id FROM ledger")]
        assert len(booked) == len(set(booked))
        assert set(booked) == acknowledged
        assert connection.execute("SELECT count(*) FROM usage_heldevent").fetchone() == (0,)
        sums = (
            "sum(requests), sum(uncached_input_tokens + output_tokens), coalesce(sum(cost_usd), 0), "
            "sum(latency_ms), sum(requests) FILTER (WHERE status = 1)"
        )
        ledger = connection.execute(f"SELECT {sums} FROM ledger").fetchone()
        assert connection.execute(f"SELECT {sums} FROM rollup_15min").fetchone() == ledger
        assert connection.execute(f"SELECT {sums} FROM rollup_day").fetchone() == ledger
        per_case = (
            "SELECT use_case_id, offering_id, sum(requests), sum(output_tokens) FROM {} GROUP BY 1, 2 ORDER BY 1, 2"
        )
        recount = connection.execute(per_case.format("ledger")).fetchall()
        assert connection.execute(per_case.format("rollup_day")).fetchall() == recount
        used = connection.execute("SELECT sum(used) FROM budgets_counter").fetchone()
        assert used == (ledger[1],)
