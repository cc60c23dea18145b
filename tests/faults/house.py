"""A house of its own, in real processes, that a test may do anything to."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg

from controlplane.embedded.servers import Servers, die_with_parent
from controlplane.processes import WEB
from tests.faults.inside import BOOKER
from tests.usage.waiting import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


@dataclass(frozen=True, kw_only=True)
class Held:
    threads: int
    connections: int  # to the database
    sockets: int


class House:
    """Servers, the web process and whatever workers a test starts."""

    def __init__(self, servers: Servers, directory: Path, **environment: str) -> None:
        self.servers = servers
        self.port = _free_port()
        self._directory = directory
        self._processes: dict[str, psutil.Process] = {}
        self._inside: subprocess.Popen[str] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            **servers.environment(),
            "PYTHONPATH": str(ROOT),
            "TOLLKEEPER_DATA_DIR": str(directory / "house"),
            "TOLLKEEPER_LOG_LEVEL": "ERROR",
            **environment,
        }
        self.answered: set[str] = set()
        self.secret = ""

    def open(self) -> None:
        """Start the web process on a database that has its tables, and wait until it answers."""
        self.launch_web()
        self.launch_inside("tests.faults.inside")
        self.secret = str(self.inside("prepare"))
        self.wait_for_web()

    def launch_inside(self, module: str) -> None:
        self._inside = subprocess.Popen(
            [sys.executable, "-m", module],
            env=self._environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def inside(self, command: str, argument: object = None) -> Any:
        """Have a command of the module that stands inside done and return its result."""
        assert self._inside is not None
        assert self._inside.stdin is not None
        assert self._inside.stdout is not None
        self._inside.stdin.write(json.dumps([command, argument]) + "\n")
        self._inside.stdin.flush()
        done, result = json.loads(self._inside.stdout.readline())
        assert done, result
        return result

    def start(self, name: str, *command: str) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command], env=self._environment, cwd=ROOT, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM),
            )  # fmt: skip
        self._processes[name] = psutil.Process(process.pid)
        self._started.append(process)

    def said(self, name: str) -> str:
        """Return what a process that `start` started has written."""
        return (self._directory / f"{name}.log").read_text()

    def launch_web(self) -> None:
        argv = WEB.argv(host="127.0.0.1", port=self.port, data=str(self._directory))
        self.start("web", *argv[1:])

    def wait_for_web(self) -> None:
        until(self._web_answers, patience_s=PATIENCE_S, what="the web process")

    def start_bookers(self, workers: int = 2) -> None:
        self.start_inside("bookers", "book", workers)

    def start_inside(self, name: str, command: str, argument: object = None) -> None:
        """Have a command done that starts a process and returns its number; from now on that has a name."""
        self._processes[name] = psutil.Process(int(str(self.inside(command, argument))))

    def runs(self, name: str) -> bool:
        return name in self._processes and _runs(self._processes[name])

    def kill_one_of(self, name: str, chance: Random) -> bool:
        """Kill -9 one of the processes that a process made, wherever that one stands; false where there is none."""
        made = self._processes[name].children()
        if made:
            with suppress(psutil.NoSuchProcess):
                chance.choice(made).kill()
        return bool(made)

    def start_celery(self) -> None:
        """Start the real intake worker and the real scheduler."""
        celery = ("-m", "celery", "-A", "controlplane")
        self.start(
            "intake", *celery, "worker", "--queues", "intake", "--concurrency", "1", "--without-gossip",
            "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR",
        )  # fmt: skip
        self.start("beat", *celery, "beat", "--schedule", str(self._directory / "schedule"), "--pidfile", "")

    def kill(self, name: str) -> None:
        """Kill -9 a process and all that it made, and wait until none of them runs."""
        parent = self._processes.pop(name)
        family = [parent]
        with suppress(psutil.NoSuchProcess):
            family += parent.children(recursive=True)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
        until(lambda: not any(_runs(member) for member in family), what=f"the end of {name}")

    def stop(self, name: str) -> float:
        """Ask a process to end, wait until it and all that it made have, and return how many seconds that took."""
        parent = self._processes.pop(name)
        family = [parent, *parent.children(recursive=True)]
        started = time.monotonic()
        parent.terminate()
        until(lambda: not any(_runs(member) for member in family), what=f"the end of {name}")
        return time.monotonic() - started

    def held(self, name: str) -> Held:
        """Return what a process and all that it made hold: as counted, and connections as the database counts them."""
        parent = self._processes[name]
        family = [parent, *parent.children(recursive=True)]
        backends = self.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollkeeper'")
        return Held(
            threads=sum(member.num_threads() for member in family),
            connections=int(backends[0][0]),
            sockets=sum(
                one.status == psutil.CONN_ESTABLISHED for member in family for one in member.net_connections("tcp")
            ),
        )

    def repair(self) -> None:
        """Leave servers and web running and nothing else, whatever an earlier test broke."""
        for name in self._processes.keys() - {"web"}:
            self.kill(name)
        for server in self.servers.each:
            if not server.running:
                server.start()
        if "web" not in self._processes:
            self.launch_web()
        self.wait_for_web()

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)
        for process in self._started:
            process.wait()
        if self._inside is not None:
            with self._inside as inside:
                inside.kill()

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the house's database; nothing where it is away."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.servers.postgres.url, autocommit=True) as asked:
            return asked.execute(sql, values).fetchall()
        return []

    @contextmanager
    def stuck_at(self, table: str, *, unless: Callable[[], bool] = lambda: False) -> Iterator[int]:
        """Keep workers from writing to a table, and give one that stands there with its transaction open.

        -1 where `unless` came to be true first.
        """
        with psycopg.connect(self.servers.postgres.url) as holding:
            holding.execute(f"LOCK TABLE {table} IN SHARE MODE")  # type: ignore[arg-type]
            yield until(
                lambda: self._waiting_worker() or (-1 if unless() else 0),
                patience_s=PATIENCE_S, what=f"a worker that wants to write to {table}",
            )  # fmt: skip

    def _waiting_worker(self) -> int:
        rows = self.query(
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s AND wait_event_type = 'Lock' "
            "AND backend_xid IS NOT NULL",
            BOOKER + "%",
        )
        # The server side of one that was killed before may still be waiting.
        return next((pid for (name,) in rows if _lives(pid := int(name.removeprefix(BOOKER)))), 0)

    def waits(self) -> bool:
        """Say whether receipts wait; true where nobody can tell."""
        rows = self.query("SELECT count(*) FROM receipt WHERE state = 'pending'")
        return not rows or rows[0][0] > 0

    def booked(self) -> int:
        rows = self.query("SELECT count(*) FROM ledger")
        return int(rows[0][0]) if rows else 0

    def until_all_is_booked(self, *, patience_s: float = PATIENCE_S) -> None:
        until(lambda: not self.waits(), patience_s=patience_s, what="the end of the backlog")

    def verify(self) -> None:
        """Check that everything answered with 202 is in the ledger once, and that every sum equals a recount."""
        assert self.answered
        self.inside("verify", sorted(self.answered))

    @contextmanager
    def clients(self, *, count: int, bodies: list[list[Mapping[str, Any]]], seed: int) -> Iterator[list[Future[None]]]:
        """Let clients post all of the bodies, each in an order of its own, until each body got its 202."""
        with ThreadPoolExecutor(count) as threads:
            sending = [threads.submit(self._post_all, bodies, seed * 100 + number) for number in range(count)]
            yield sending
            for one in sending:
                one.result(PATIENCE_S * 3)

    def _post_all(self, bodies: list[list[Mapping[str, Any]]], seed: int) -> None:
        chance = Random(seed)
        mine = list(bodies)
        chance.shuffle(mine)
        for body in mine:
            events = list(body)
            chance.shuffle(events)
            until(lambda events=events: self._post(events), patience_s=PATIENCE_S, what="a 202")
            self.answered.update(event["id"] for event in events)

    def _post(self, events: list[Mapping[str, Any]]) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
            connection.request("POST", "/api/v1/usage/events", json.dumps(events), headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)  # as a client that comes again; nothing here depends on how long
            return False
        finally:
            connection.close()
        assert answer.status in (202, 429, 500, 502, 503), answer.status
        return answer.status == 202

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lives(pid: int) -> bool:
    try:
        return _runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _runs(process: psutil.Process) -> bool:
    # One that is killed stays a zombie until its parent looks, and its parent may have been killed before it.
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
