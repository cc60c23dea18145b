"""How long it takes from publishing rules until a thousand gateways that wait for them have them whole.

Each gateway is an instance whose poll waits over a connection of its own to one web process, as in production. The
clock begins before the pointer is moved and ends with the last byte of an answer.
"""

from __future__ import annotations

import select
import socket
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
from django.db import connection
from django.utils import timezone

from controlplane.bench import houses, rules
from controlplane.bench.load import END, LENGTH
from controlplane.bench.main import Figure
from routing.models import Environment, Version

GATEWAYS = 1_000
WAIT_SECONDS = 50
SETTLED_SECONDS = 1.0  # without an answer, until all of them are taken to wait
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the web process holds."""

    connections: int
    threads: int
    of_database: int  # connections to it


def measure(*, rounds: int) -> list[Figure]:
    took: list[float] = []
    with rules.serving() as served, ExitStack() as stack:
        houses.until(lambda: _lets_wait(served), "the web process to know the key")
        before = held(served.port)
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(GATEWAYS)]
        for _ in range(max(rounds, 3)):
            tag = _in_force()
            for number, one in enumerate(sockets):
                one.sendall(_asks(served, tag=tag, instance=f"pod-{number}", wait=WAIT_SECONDS))
            _until_all_wait(sockets)
            during = held(served.port)
            started = time.perf_counter()
            _publish()
            took += [arrived - started for arrived in _arrivals(sockets)]
    per_cent = statistics.quantiles(took, n=100)
    return [
        Figure(
            what=f"publish to a gateway that long-polls, p99 with {GATEWAYS:,} gateways waiting",
            value=per_cent[98],
            unit="s",
            limit=1.0,
            aim=0.2,
            better="less",
            note=f"median {statistics.median(took):.3f} s, the slowest {max(took):.3f} s; while they waited the web "
            f"process held {during.connections:,} connections, {during.threads} threads ({before.threads} before) and "
            f"{during.of_database} connections to the database ({before.of_database} before)",
        )
    ]


def held(port: int) -> Held:
    """Look at the web process that serves this port."""
    parent = next(
        one for one in psutil.Process().children() if ["--port", str(port)] == _after("--port", one.cmdline())
    )
    family = [parent, *parent.children(recursive=True)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollkeeper' AND pid <> pg_backend_pid()"
        )
        (of_database,) = cursor.fetchone()
    return Held(
        connections=sum(
            one.status == psutil.CONN_ESTABLISHED for member in family for one in member.net_connections("tcp")
        ),
        threads=sum(member.num_threads() for member in family),
        of_database=of_database,
    )


def _after(option: str, words: list[str]) -> list[str]:
    place = words.index(option) if option in words else len(words)
    return words[place : place + 2]


def _asks(served: rules.Served, *, tag: str, instance: str, wait: int) -> bytes:
    line, rest = served.first.split(b" HTTP/1.1\r\n", 1)
    report = f"?instance={instance}&active={tag}&spec=1&client=bench/1".encode()
    return b"%s%s HTTP/1.1\r\nIf-None-Match: \"%s-gzip\"\r\nPrefer: wait=%d\r\n%s" % (
        line, report, tag.encode(), wait, rest,
    )  # fmt: skip


def _lets_wait(served: rules.Served) -> bool:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as one:
        one.sendall(_asks(served, tag=_in_force(), instance="pod-0", wait=1))
        return b"preference-applied: wait=1\r\n" in one.recv(1 << 16).lower()


def _until_all_wait(sockets: list[socket.socket]) -> None:
    with select.epoll() as poll:
        for one in sockets:
            poll.register(one, select.EPOLLIN)
        if poll.poll(SETTLED_SECONDS):
            raise RuntimeError("a poll was answered that should have waited")


def _arrivals(sockets: list[socket.socket]) -> list[float]:
    """Read an answer from each, and return when it was there to its last byte."""
    arrived: list[float] = []
    got = {one.fileno(): b"" for one in sockets}
    by_number = {one.fileno(): one for one in sockets}
    deadline = time.perf_counter() + PATIENCE_SECONDS
    with select.epoll() as poll:
        for one in sockets:
            poll.register(one, select.EPOLLIN)
        while len(arrived) < len(sockets):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(sockets) - len(arrived)} gateways got nothing")
            for number, _ in poll.poll(1.0):
                got[number] += by_number[number].recv(1 << 18)
                if _is_whole(got[number]):
                    arrived.append(time.perf_counter())
                    poll.unregister(number)
    return arrived


def _is_whole(answer: bytes) -> bool:
    head = answer.find(END)
    length = LENGTH.search(answer, 0, head + 2) if head >= 0 else None
    if not answer.startswith(b"HTTP/1.1 200 ") or (head >= 0 and length is None):
        raise RuntimeError(f"not the answer that is measured: {answer[:200]!r}")
    return length is not None and len(answer) == head + len(END) + int(length[1])


def _in_force() -> str:
    version, revision = Environment.objects.values_list("live_version", "state_revision").get(name=rules.ENVIRONMENT)
    return f"{version}.{revision}"


def _publish() -> None:
    """Put the same rules in force as the next version; that they are the same makes them no lighter."""
    last = Version.objects.filter(environment__name=rules.ENVIRONMENT).latest("number")
    Version.objects.create(
        environment=last.environment, number=last.number + 1, base=last.number, canonical=last.canonical,
        sha256=last.sha256, published_at=timezone.now(), published_by="manage.py bench", approved_by="nobody",
    )  # fmt: skip
    Environment.objects.filter(pk=last.environment_id).update(live_version=last.number + 1)
