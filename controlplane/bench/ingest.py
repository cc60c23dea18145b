"""Events per second from the HTTP edge to rollups and counters, against COPY of the same entries.

The house runs as it does for users: Granian, the intake worker, a client that posts ready-made bodies of 1000 events.
The measure it is held against is psycopg's COPY of the same entries, already encoded, in transactions of 1000, into an
empty copy of the partitioned ledger with its keys, on one connection.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import psycopg
from django.conf import settings
from django.utils import timezone

from budgets.services import budgets
from catalog.services import gateways, standard
from controlplane.bench.main import Figure
from controlplane.processes import PROCESSES
from usage.models import Receipt, ReceiptState
from usage.rules.postings import COLUMNS

BATCH = 1000
CLIENTS = 2
USE_CASES = 12
MODELS = (
    ("openai", "gpt-5.5"), ("anthropic", "claude-opus-4.7"), ("google", "gemini-3.1-pro"),
    ("deepseek", "deepseek-v4-flash"), ("anthropic", "claude-sonnet-4.6"),
)  # fmt: skip


def measure(*, events: int, rounds: int) -> list[Figure]:
    """Measure both in turn, so that a slow minute of the machine hits both; the median of the ratios counts."""
    now = timezone.now()
    standard.load(by="manage.py bench", at=now)
    key = _key(now)
    budgets.create(
        name="Everything", scope={}, unit="frontier_tokens", period="month", zone="UTC", action="alert",
        amount=Decimal(10**15), reason="bench", by="manage.py bench", at=now,
    )  # fmt: skip
    copied, booked = [], []
    with ExitStack() as stack:
        port = _free_port()
        for process in PROCESSES:
            if process.name in ("web", "intake"):
                stack.enter_context(_running(process.argv(host="127.0.0.1", port=port, data=str(Path.cwd()))))
        _until(lambda: _answers(port), "the web process to answer")
        _ingest(port, key, _bodies(10, now))  # warm: caches filled, statements prepared
        for _ in range(rounds):
            booked.append(_ingest(port, key, _bodies(events // BATCH, timezone.now())))
            copied.append(_copy(events))
    ratios = [one / other for one, other in zip(booked, copied, strict=True)]
    return [
        Figure(
            what="ingest, edge to counters, against COPY",
            value=statistics.median(ratios),
            unit="",
            limit=0.2,
            aim=0.35,
            better="more",
            note=f"{statistics.median(booked):,.0f} of {statistics.median(copied):,.0f} events per second; "
            f"ratios {', '.join(f'{ratio:.3f}' for ratio in ratios)}",
        )
    ]


def _key(now: datetime) -> str:
    return gateways.create_key(name="bench", gateway="bench", scopes=["usage:write"], by="manage.py bench", at=now)


def _bodies(count: int, now: datetime) -> list[bytes]:
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


def _ingest(port: int, key: str, bodies: list[bytes]) -> float:
    """Post the bodies from two connections and wait until all is booked; returns events per second."""
    todo: Iterator[bytes] = iter(bodies)
    lock = threading.Lock()
    failures: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
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

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"the edge refused a body: {failures[0]}")
    _until(lambda: not Receipt.objects.filter(state=ReceiptState.PENDING).exists(), "the receipts to be booked")
    elapsed = time.perf_counter() - start
    if Receipt.objects.filter(state=ReceiptState.FAILED).exists():
        raise RuntimeError(Receipt.objects.filter(state=ReceiptState.FAILED).values_list("error", flat=True)[0])
    return len(bodies) * BATCH / elapsed


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


@contextmanager
def _running(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable if argv[0] == "python" else argv[0], *argv[1:]]
    process = subprocess.Popen(  # noqa: S603 (our own commands)
        argv, env=os.environ, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
