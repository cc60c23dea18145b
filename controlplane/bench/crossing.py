"""How long after the 202 of an event that uses up a budget its channel has the alert, and how long after it was booked
a waiting gateway has the state.

The house runs as it does for users, and events arrive at half of the rate that it was just measured to book. Meanwhile
budgets are used up one by one, each by an event of its own. A server of this process is the channel, and notes when it
has read a message whole; one of its threads is a gateway that waits for a newer state, and one looks for crossings that
were committed, since the clock that a row carries is that of its transaction's beginning.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection as database
from django.utils import timezone

from alerts.services import channels
from budgets.models import Basis, Crossing
from budgets.services import budgets, building
from catalog.services import use_cases
from controlplane.bench import houses, ingest, rules
from controlplane.bench.houses import House
from controlplane.bench.main import Figure
from controlplane.embedded.servers import temporary_dir
from usage.selectors import drivers

BUDGETS = 200
ENFORCED_EVERY = 5  # of them gateways are told
PACE_SECONDS = 0.15  # between two that are used up, on average
PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.01
PROCESSES = ("web", "publisher", "intake", "alerts", "background", "scheduler")
BY = "manage.py bench"
TOKENS = 1000

Times = dict[int, float]  # of budgets, by `time.perf_counter`


@dataclass(kw_only=True)
class Load:
    """Bodies that were posted beside, and how much they lagged behind their time."""

    events: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def measure(*, events: int, rounds: int) -> list[Figure]:
    """Measure the rate at which the house books first, then what is asked for at half of it."""
    key = ingest.prepare(timezone.now())
    rules_key = rules.put_in_force()
    with ExitStack() as stack:
        told = stack.enter_context(_channel())
        house = stack.enter_context(
            houses.opened(
                processes=PROCESSES,
                environment={"DATABASE_URL": settings.DATABASE_URL, "REDIS_URL": settings.REDIS_URL},
                data=stack.enter_context(temporary_dir("tollkeeper-bench-crossing-")),
            )
        )
        crossed = _make_budgets()
        ingest.rate(house, key, ingest.bodies(ingest.WARM_BODIES, timezone.now()))
        booked = statistics.median(ingest.settled_rate(house, key, events) for _ in range(rounds))
        known = stack.enter_context(_gateway(house, rules_key))
        booked_at = stack.enter_context(_crossings())
        with _half_of(booked, house, key) as load:
            answered = _use_up(house, key)
            houses.until(lambda: len(told) == BUDGETS, "the alerts", PATIENCE_SECONDS)
        enforced = {crossed[number]: number for number in range(0, BUDGETS, ENFORCED_EVERY)}
        houses.until(lambda: enforced.keys() <= known.keys(), "the gateway to know", PATIENCE_SECONDS)
    if load.failures:
        raise RuntimeError(f"the edge refused a body: {load.failures[0]}")
    beside = f"while {load.events / load.seconds:,.0f} of {booked:,.0f} events per second arrived"
    return [
        _figure(
            f"202 of a crossing event to its channel, p99 of {BUDGETS}",
            [told[number] - answered[number] for number in answered],
            beside, limit=2.0, aim=0.5,
        ),
        _figure(
            f"event that uses up a budget, once booked, to a gateway that waits, p99 of {len(enforced)}",
            [known[budget] - booked_at[budget] for budget in enforced],
            beside, limit=1.0, aim=None,
        ),
    ]  # fmt: skip


@contextmanager
def _crossings() -> Iterator[Times]:
    """Look for crossings; gives when each budget's was first there to be read, which is when its booking was done."""
    seen: Times = {}

    def look(over: threading.Event) -> None:
        used_up = Crossing.objects.filter(threshold=100, basis=Basis.ACTUAL)
        while not over.wait(LOOK_SECONDS):
            found = list(used_up.exclude(budget__in=list(seen)).values_list("budget", flat=True))
            now = time.perf_counter()
            seen.update(dict.fromkeys(found, now))
        database.close()

    with _beside(look):
        yield seen


@contextmanager
def _beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run something in a thread of its own until it is over, which it is told by its argument."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _figure(what: str, took: Sequence[float], beside: str, *, limit: float, aim: float | None) -> Figure:
    return Figure(
        what=what,
        value=statistics.quantiles(took, n=100, method="inclusive")[98],
        unit="s",
        limit=limit,
        aim=aim,
        better="less",
        note=f"median {statistics.median(took):.3f} s, the slowest {max(took):.3f} s, {beside}",
    )


def _make_budgets() -> dict[int, int]:
    """Make a budget for each of so many use cases, have its counter built, and return the budgets' ids."""
    now = timezone.now()
    made: dict[int, int] = {}
    for number in range(BUDGETS):
        name = f"crossing-{number}"
        use_cases.create(name=name, by=BY, at=now)
        made[number] = budgets.create(
            name=name, scope={"use_case": [name]}, unit="frontier_tokens", period="month", zone="UTC",
            action="alert" if number % ENFORCED_EVERY else "downgrade", thresholds=[100], amount=Decimal(TOKENS),
            reason="bench", by=BY, at=now,
        ).pk  # fmt: skip
    for counter_id in building.waiting_to_build():
        building.build(counter_id=counter_id, summed=drivers.sum_so_far, at=timezone.now(), explain=drivers.explain)
    return made


@contextmanager
def _channel() -> Iterator[Times]:
    """Set up a channel that leads to a server of ours; gives when the message of each budget was there."""
    told: Times = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            arrived = time.perf_counter()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if found := re.search(r"\bcrossing-([0-9]+)\b", body["text"]):
                told.setdefault(int(found[1]), arrived)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/services/bench"
        channels.create(
            name=f"bench {server.server_port}", kind="slack", config={}, secret=address, by=BY, at=timezone.now()
        )
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _gateway(house: House, key: str) -> Iterator[Times]:
    """Wait for newer states as a gateway does; gives when each budget, by id, was known there to be used up."""
    known: Times = {}
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=2"}

    def wait(over: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
        while not over.is_set():
            connection.request("GET", f"/api/v1/rules/{rules.ENVIRONMENT}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            arrived = time.perf_counter()
            if answer.status == 200:
                headers["If-None-Match"] = answer.headers["ETag"]
                for budget in json.loads(body)["state"]["budgets"]:
                    known.setdefault(int(budget["id"].removeprefix("b-")), arrived)
        connection.close()

    with _beside(wait):
        yield known


@contextmanager
def _half_of(booked: float, house: House, key: str) -> Iterator[Load]:
    """Post bodies at half of a rate, evenly, from two connections; gives what became of them."""
    every = ingest.BATCH / (booked / 2)
    seconds = BUDGETS * PACE_SECONDS * 1.5 + 10  # more than are needed
    ready = iter(ingest.bodies(int(seconds / every), timezone.now()))
    load, over, lock = Load(), threading.Event(), threading.Lock()
    started = time.perf_counter()
    due = started

    def client() -> None:
        nonlocal due
        connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
        while not over.is_set():
            with lock:
                body, mine = next(ready, None), due
                due += every
            if body is None:
                load.failures.append("there were too few bodies")
                return
            over.wait(max(0.0, mine - time.perf_counter()))
            if status := _post(connection, key, body):
                load.failures.append(status)
                return
            with lock:
                load.events += ingest.BATCH
                load.seconds = time.perf_counter() - started
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(ingest.CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _use_up(house: House, key: str) -> Times:
    """Use up one budget after the other, at random moments; returns when each event had its 202."""
    rng = random.Random(1)  # noqa: S311
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
    answered: Times = {}
    due = time.perf_counter() + 2  # the load has settled by then
    for number in rng.sample(range(BUDGETS), BUDGETS):
        due += rng.uniform(0, 2 * PACE_SECONDS)
        time.sleep(max(0.0, due - time.perf_counter()))
        if refused := _post(connection, key, msgspec.json.encode(_event(number))):
            raise RuntimeError(f"the edge refused an event: {refused}")
        answered[number] = time.perf_counter()
    connection.close()
    return answered


def _event(number: int) -> Mapping[str, Any]:
    provider, model = ingest.MODELS[0]
    return {
        "id": f"crossing-{number}-{time.time_ns()}",
        "time": timezone.now().astimezone(UTC),
        "use_case": f"crossing-{number}",
        "provider": provider,
        "model": model,
        "input_tokens": 2 * TOKENS,
        "output_tokens": 0,
    }


def _post(connection: http.client.HTTPConnection, key: str, body: bytes) -> str:
    """Post a body and return what went wrong, if anything."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/usage/events", body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    return "" if answer.status == 202 else f"{answer.status} {text[:200]!r}"
