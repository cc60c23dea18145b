"""Promises 1 and 2 while processes die: what got a 202 is in the ledger, once, and every sum agrees.

Real processes on servers of their own; small sizes unless TOLLKEEPER_SOAK is set. What happens is awaited, never slept
for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, islice

import psycopg
import pytest
import redis

from controlplane.embedded.servers import Servers, temporary_dir
from tests import prepared
from tests.faults.house import PATIENCE_S, House
from tests.usage.waiting import until

pytestmark = pytest.mark.soak
FULL = os.environ.get("TOLLKEEPER_SOAK") == "1"
CLIENTS = 8
BODIES, EVENTS_PER_BODY = (200, 50) if FULL else (16, 20)
WORKER_KILLS = 100 if FULL else 8
SERVER_KILLS = 10 if FULL else 2

# Where a batch is broken: after its names, its keys, its lines, its quarter hours, its days and its counters were
# written; the receipts come last.
WRITTEN = ("event_key", "ledger", "rollup_15min", "rollup_day", "budgets_counter", "receipt")

_numbers = count(1)


@pytest.fixture(scope="module")
def _house() -> Iterator[House]:
    with temporary_dir("tollkeeper-faults-") as directory:
        prepared.lay_out(directory)
        with Servers(directory) as servers:
            built = House(servers, directory)
            try:
                built.open()
                yield built
            finally:
                built.close()


@pytest.fixture
def house(_house: House) -> House:
    _house.repair()
    return _house


def make_bodies():
    """Make bodies of new events; half of the use cases and models are known to nobody yet."""
    now = datetime.now(UTC)
    run = next(_numbers)
    return [
        [
            {
                "id": f"run-{run}-body-{body}-event-{number}",
                "time": (now - timedelta(minutes=number)).isoformat(),
                "use_case": "support-routing" if number % 2 else f"use-case-{run}-{number % 7}",
                "model": "gpt-5.5" if number % 3 else f"model-{run}-{number % 5}",
                "provider": "openai",
                "input_tokens": 100 + number,
                "output_tokens": number,
                "latency_ms": number,
                "context": {"n": str(number % 4)},
            }
            for number in range(EVENTS_PER_BODY)
        ]
        for body in range(BODIES)
    ]


def test_workers_killed_in_the_middle_of_batches_while_eight_clients_send_everything(house):
    house.start_bookers()
    kills = 0

    with house.clients(count=CLIENTS, bodies=make_bodies(), seed=1) as sending:

        def over():
            return all(one.done() for one in sending) and not house.waits()

        for table in islice(cycle(WRITTEN), WORKER_KILLS):
            with house.stuck_at(table, unless=over) as worker:
                if worker < 0:
                    break
                os.kill(worker, signal.SIGKILL)
                kills += 1
    house.until_all_is_booked()
    house.kill("bookers")

    assert kills >= len(WRITTEN), "too few batches were broken for this to say anything"
    house.verify()


def test_postgresql_and_the_web_process_killed_and_started_again(house):
    house.start_bookers()
    before = house.booked()

    with house.clients(count=CLIENTS, bodies=make_bodies(), seed=2):
        for table in islice(cycle(WRITTEN[2:]), SERVER_KILLS):
            with suppress(psycopg.OperationalError), house.stuck_at(table):
                house.servers.postgres.kill()
            house.servers.postgres.start()
        house.kill("web")
        house.launch_web()
    house.until_all_is_booked()
    house.kill("bookers")

    assert house.booked() > before
    house.verify()


def test_redis_emptied_killed_and_started_again_under_the_real_worker_and_scheduler(house):
    house.start_celery()
    before = house.booked()

    with house.clients(count=CLIENTS, bodies=make_bodies(), seed=3):
        until(lambda: house.booked() > before, patience_s=PATIENCE_S, what="the first booking")
        with redis.Redis.from_url(house.servers.redis.url) as memory:
            memory.flushall()
        house.servers.redis.kill()
    assert house.servers.redis.running is False
    house.servers.redis.start()
    house.until_all_is_booked()
    house.kill("intake")
    house.kill("beat")

    house.verify()


def test_what_waited_while_every_process_was_killed_is_booked_afterwards(house):
    with house.clients(count=CLIENTS, bodies=make_bodies()[:3], seed=4):
        pass
    waited = house.waits()

    house.kill("web")
    house.servers.redis.kill()
    house.servers.postgres.kill()
    house.servers.postgres.start()
    house.servers.redis.start()
    house.start_bookers()
    house.until_all_is_booked()
    house.kill("bookers")

    assert waited
    house.verify()
