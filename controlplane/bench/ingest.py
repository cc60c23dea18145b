"""Events per second from the HTTP edge to rollups and counters, against COPY of the same entries, as the ledger grows.

The house runs as it does for users: Granian, the intake worker, a client that posts ready-made bodies of 1000 events.
The measure it is held against is psycopg's COPY of the same entries, already encoded, in transactions of 1000, into an
empty copy of the partitioned ledger with its keys, on one connection.

Further houses, whose ledgers were filled before, are asked in turn with the first, so that a slow minute of the machine
hits all. Each has a database of its own on the same PostgreSQL and a Redis of its own.
"""

from __future__ import annotations

import http.client
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from urllib.parse import urlsplit

import msgspec
import psycopg
from django.conf import settings
from django.db import connection as django_connection
from django.utils import timezone

from budgets.models import Budget
from budgets.services import budgets
from catalog.services import gateways, standard
from controlplane.bench import growth, houses
from controlplane.bench.houses import House
from controlplane.bench.main import Figure
from controlplane.embedded.servers import Servers, temporary_dir
from usage.rules.postings import COLUMNS

BATCH = 1000
CLIENTS = 2
USE_CASES = 12
MODELS = (
    ("openai", "gpt-5.5"), ("anthropic", "claude-opus-4.7"), ("google", "gemini-3.1-pro"),
    ("deepseek", "deepseek-v4-flash"), ("anthropic", "claude-sonnet-4.6"),
)  # fmt: skip
WARM_BODIES = 10
PROCESSES = ("web", "intake")


def measure(*, events: int, rounds: int, grown: Sequence[int]) -> list[Figure]:
    """Measure each in turn, `rounds` times; the median of the ratios counts.

    `grown` is how many entries the ledgers of further houses hold before they are measured, rising: each is held
    against the one before it, the first against an empty one.
    """
    key = prepare(timezone.now())
    for entries in grown:
        _clone(entries)
    copied: list[float] = []
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(settings.DATABASE_URL, settings.REDIS_URL, key))]
        grew = [""]
        for entries in grown:
            house, how = stack.enter_context(_grown(key, entries))
            opened.append(house)
            grew.append(how)
        booked: list[list[float]] = [[] for _ in opened]
        for _ in range(rounds):
            for house, rates in zip(opened, booked, strict=True):
                rates.append(settled_rate(house, key, events))
            copied.append(_copy(events))
    what = [
        "ingest, edge to counters, against COPY",
        *(f"the same with {one:,} entries in the ledger" for one in grown),
    ]
    figures = [_against_copy(name, rates, copied, how) for name, rates, how in zip(what, booked, grew, strict=True)]
    held = [0, *grown]
    steps = zip(pairwise(held), pairwise(booked), strict=True)
    return figures + [_growth(few, many, before, after) for (few, many), (before, after) in steps]


def prepare(now: datetime) -> str:
    """Make the catalogue, a budget and a gateway, and return the gateway's key. Safe to repeat; the key is new."""
    standard.load(by="manage.py bench", at=now)
    if not Budget.objects.filter(name="Everything").exists():
        budgets.create(
            name="Everything", scope={}, unit="frontier_tokens", period="month", zone="UTC", action="alert",
            amount=Decimal(10**15), reason="bench", by="manage.py bench", at=now,
        )  # fmt: skip
    return gateways.create_key(name="bench", gateway="bench", scopes=["usage:write"], by="manage.py bench", at=now)


def _database(entries: int) -> str:
    return f"grown_{entries}"


def _clone(entries: int) -> None:
    """Make a further house's database as the first one is; nobody may be connected to that."""
    name = urlsplit(settings.DATABASE_URL).path.removeprefix("/")
    django_connection.close()
    with psycopg.connect(settings.DATABASE_URL, dbname="postgres", autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                psycopg.sql.Identifier(_database(entries)), psycopg.sql.Identifier(name)
            )
        )


@contextmanager
def _opened(database_url: str, redis_url: str, key: str) -> Iterator[House]:
    """Open a house that has booked some events: caches filled, statements prepared."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with houses.opened(processes=PROCESSES, environment=environment) as house:
        rate(house, key, bodies(WARM_BODIES, timezone.now()))
        yield house


@contextmanager
def _grown(key: str, entries: int) -> Iterator[tuple[House, str]]:
    """Open a house whose ledger holds so many entries; also says what filling it took and what came of it."""
    database_url = urlsplit(settings.DATABASE_URL)._replace(path=f"/{_database(entries)}").geturl()
    with ExitStack() as stack:
        redis = stack.enter_context(
            Servers(stack.enter_context(temporary_dir("tollkeeper-bench-redis-")), postgres=False)
        )
        house = stack.enter_context(_opened(database_url, redis.environment()["REDIS_URL"], key))
        started = time.perf_counter()
        # In a process of its own, because Django here speaks to the first house's database.
        subprocess.run(  # noqa: S603 (our own commands)
            [sys.executable, "-m", "controlplane.bench.growth", str(entries)],
            env={**os.environ, "DATABASE_URL": database_url}, check=True,
        )  # fmt: skip
        growth.settle(database_url)
        took = time.perf_counter() - started
        sizes = ", ".join(
            f"{table} {rows:,} rows and {size / 2**20:,.0f} MB"
            for table, (rows, size) in growth.sizes(database_url).items()
        )
        yield house, f"; filled in {took:.0f} s: {sizes}"


def bodies(count: int, now: datetime) -> list[bytes]:
    """Make bodies as a gateway sends them: what happened in the last minutes, a dozen use cases, five models."""
    rng = random.Random(now.timestamp())  # noqa: S311
    return [msgspec.json.encode([_event(rng, now) for _ in range(BATCH)]) for _ in range(count)]


def _event(rng: random.Random, now: datetime) -> dict[str, object]:
    provider, model = rng.choice(MODELS)
    use_case = rng.randrange(USE_CASES)
    cached = rng.choice((0, 0, 1024))
    return {
        "id": f"{rng.getrandbits(128):032x}",
        "time": (now - timedelta(seconds=rng.random() * 120)).astimezone(UTC),
        "use_case": f"use-case-{use_case}",
        "team": f"team-{use_case % 5}",
        "provider": provider,
        "model": model,
        "requested_model": "auto",
        "input_tokens": cached + rng.randrange(20, 4000),
        "cache_read_input_tokens": cached,
        "output_tokens": rng.randrange(5, 800),
        "latency_ms": rng.randrange(80, 9000),
        "status": "ok",
        "call_group": f"{rng.getrandbits(64):016x}",
        "rules_version": 42,
        "state_revision": 881,
        "rule_id": f"rule-{use_case % 4}",
        "route_reason": "rule",
        "session": f"s-{rng.randrange(10_000)}",
        "user": f"u-{rng.randrange(5_000)}",
        "context": {"task": "code", "user_tier": "paid"},
        "tags": {"env": "prod"},
    }


def settled_rate(house: House, key: str, events: int) -> float:
    """Return how many events per second a house books that has nothing else to do."""
    growth.settle(house.database_url)
    return rate(house, key, bodies(events // BATCH, timezone.now()))


def rate(house: House, key: str, ready: Sequence[bytes]) -> float:
    """Post the bodies from two connections and wait until all is booked; returns events per second."""
    todo: Iterator[bytes] = iter(ready)
    lock = threading.Lock()
    failures: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=60)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        while True:
            with lock:
                body = next(todo, None)
            if body is None:
                return
            connection.request("POST", "/api/v1/usage/events", body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 202:
                failures.append(f"{answer.status} {text[:200]!r}")
                return

    with psycopg.connect(house.database_url, autocommit=True) as looking:
        start = time.perf_counter()
        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise RuntimeError(f"the edge refused a body: {failures[0]}")
        houses.until(
            lambda: not looking.execute("SELECT FROM receipt WHERE state = 'pending' LIMIT 1").rowcount,
            "the receipts to be booked",
        )
        elapsed = time.perf_counter() - start
        failed = looking.execute("SELECT error FROM receipt WHERE state = 'failed' LIMIT 1").fetchone()
    if failed:
        raise RuntimeError(failed[0])
    return len(ready) * BATCH / elapsed


def _copy(events: int) -> float:
    """Copy as many of the newest entries into an empty partitioned table; returns entries per second."""
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_ledger (LIKE ledger INCLUDING DEFAULTS) PARTITION BY RANGE (booked_at)")
        cursor.execute("ALTER TABLE bench_ledger ADD PRIMARY KEY (use_case_id, booked_at, id)")
        this = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        for first, last in ((this - timedelta(days=40), this), (this, this + timedelta(days=40))):
            cursor.execute(
                psycopg.sql.SQL("CREATE TABLE {} PARTITION OF bench_ledger FOR VALUES FROM ({}) TO ({})").format(
                    psycopg.sql.Identifier(f"bench_ledger_{first:%Y%m%d}"), first.isoformat(), last.isoformat()
                )
            )
        columns = ", ".join(COLUMNS)
        with cursor.copy(f"COPY (SELECT {columns} FROM ledger ORDER BY id DESC LIMIT {events}) TO STDOUT") as out:
            lines = b"".join(bytes(chunk) for chunk in out).splitlines(keepends=True)
        batches = [b"".join(lines[index : index + BATCH]) for index in range(0, len(lines), BATCH)]
        start = time.perf_counter()
        for batch in batches:
            with connection.transaction(), cursor.copy(f"COPY bench_ledger ({columns}) FROM STDIN") as copy:
                copy.write(batch)
        elapsed = time.perf_counter() - start
        cursor.execute("DROP TABLE bench_ledger")
    return len(lines) / elapsed


def _against_copy(what: str, booked: Sequence[float], copied: Sequence[float], note: str) -> Figure:
    ratios = [one / other for one, other in zip(booked, copied, strict=True)]
    return Figure(
        what=what,
        value=statistics.median(ratios),
        unit="",
        limit=0.2,
        aim=0.35,
        better="more",
        note=f"{statistics.median(booked):,.0f} of {statistics.median(copied):,.0f} events per second; "
        f"ratios {_written(ratios)}{note}",
    )


def _growth(few: int, many: int, before: Sequence[float], after: Sequence[float]) -> Figure:
    ratios = [one / other for one, other in zip(after, before, strict=True)]
    return Figure(
        what=f"ingest rate at {many:,} entries against that at {few:,}",
        value=statistics.median(ratios),
        unit="",
        limit=0.9,
        aim=1,
        better="more",
        note=f"ratios {_written(ratios)}",
    )


def _written(ratios: Sequence[float]) -> str:
    return ", ".join(f"{ratio:.3f}" for ratio in ratios)
