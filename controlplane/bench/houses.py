"""Houses that are measured: their processes, on a database and a Redis of their own, as they run for users."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.servers import die_with_parent
from controlplane.processes import PROCESSES


@dataclass(frozen=True, kw_only=True)
class House:
    """A house that answers on `port`; `database_url` is where it books."""

    port: int
    database_url: str


@contextmanager
def opened(*, processes: Sequence[str], environment: Mapping[str, str], data: Path | None = None) -> Iterator[House]:
    """Run some processes of an installation with DATABASE_URL and REDIS_URL of `environment`, until they answer.

    `data` is where publisher and scheduler leave their files.
    """
    with ExitStack() as stack:
        house = House(port=free_port(), database_url=environment["DATABASE_URL"])
        for process in PROCESSES:
            if process.name in processes:
                argv = process.argv(host="127.0.0.1", port=house.port, data=str(data or Path.cwd()))
                argv = ["warning" if part == "info" else part for part in argv]  # workers name each delivery
                stack.enter_context(running(argv, environment=environment))
        until(lambda: answers(house.port), "the web process to answer")
        yield house


@contextmanager
def running(argv: list[str], *, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of ours; it is stopped afterwards."""
    argv = [sys.executable if argv[0] == "python" else argv[0], *argv[1:]]
    process = subprocess.Popen(  # noqa: S603 (our own commands)
        argv, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Tell a process to stop, and kill it where it has not within 15 s."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Say whether a house on this port is ready."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait for something to come to pass.

    Raises:
        TimeoutError: it did not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
