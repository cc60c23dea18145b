"""`manage.py demo` as a person meets it: it comes up, keeps its data, heals, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from controlplane.embedded.servers import die_with_parent, temporary_dir
from tests.controlplane.conftest import a_free_port, bare_environment, processes_of

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 180  # what a crowded machine may take; nobody waits that long otherwise


class Demo:
    """One data directory and the demo that runs on it, if it runs."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = a_free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.said = ""

    def up(self) -> subprocess.Popen[bytes]:
        """Start it unless it runs, and return when it has said that everything is there."""
        if self.process is not None and self.process.poll() is None:
            return self.process
        arguments = ["--no-seed", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *arguments],
            cwd=ROOT, env=bare_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
        self.said = ""
        assert self.hears("Ctrl-C stops everything"), self.said
        return self.process

    def hears(self, text: str) -> bool:
        assert self.process is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.said and time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 1)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    break
                self.said += data.decode()
        return text in self.said

    def ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def web(self) -> list[psutil.Process]:
        return [one for one in processes_of(self.data_dir) if "granian" in " ".join(one.cmdline())]

    def database_url(self) -> str:
        return json.loads((self.data_dir / "run" / "environment.json").read_text())["environment"]["DATABASE_URL"]

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with temporary_dir() as directory:
        demo = Demo(directory)
        yield demo
        demo.kill()


def test_sigterm_stops_everything_and_a_second_start_keeps_the_data(demo):
    first = demo.up()
    assert demo.ready()
    with psycopg.connect(demo.database_url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO kept DEFAULT VALUES")

    first.send_signal(signal.SIGTERM)
    ended = first.wait(PATIENCE_SECONDS)
    left = processes_of(demo.data_dir)
    demo.up()

    assert (ended, left) == (0, [])
    assert demo.ready()
    with psycopg.connect(demo.database_url()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert f"Open     http://127.0.0.1:{demo.port}\n" in demo.said


def test_ctrl_c_stops_everything_and_says_so(demo):
    process = demo.up()

    process.send_signal(signal.SIGINT)
    ended = process.wait(PATIENCE_SECONDS)
    left = processes_of(demo.data_dir)

    assert (ended, left) == (0, [])
    assert demo.hears("Stopping.\nStopped; the data is kept.\n")
    assert not (demo.data_dir / "run" / "environment.json").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells children that their parent died")
def test_nothing_outlives_a_supervisor_that_is_killed(demo):
    process = demo.up()
    assert len(processes_of(demo.data_dir)) > 5

    process.kill()
    process.wait()

    assert eventually(lambda: not processes_of(demo.data_dir)), processes_of(demo.data_dir)


def test_a_web_process_that_is_killed_comes_back(demo):
    demo.up()
    before = demo.web()

    for process in before:
        process.kill()

    assert before
    assert demo.hears("web ended unexpectedly (SIGKILL)")
    assert demo.hears("web started again")
    assert eventually(demo.ready)
    assert not {process.pid for process in before} & {process.pid for process in demo.web()}


def test_a_postgresql_that_is_killed_comes_back(demo):
    demo.up()
    servers = [one for one in processes_of(demo.data_dir) if one.name() == "postgres"]

    for process in servers:
        process.kill()

    assert servers
    assert demo.hears("PostgreSQL ended unexpectedly (SIGKILL)")
    assert demo.hears("PostgreSQL started again")
    assert eventually(demo.ready)
