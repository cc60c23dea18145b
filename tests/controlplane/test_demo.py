"""`manage.py demo` as a person meets it: it comes up, keeps its data, heals, and leaves nothing behind."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import psycopg
import pytest

from controlplane.embedded.servers import temporary_dir
from tests.controlplane.conftest import processes_of
from tests.running import PATIENCE_SECONDS, Demo, eventually


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with temporary_dir() as directory:
        demo = Demo(directory)
        yield demo
        demo.kill()


def test_sigterm_and_ctrl_c_stop_everything_and_a_second_start_keeps_the_data(demo):
    first = demo.up()
    assert demo.ready()
    with psycopg.connect(demo.database_url()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO kept DEFAULT VALUES")

    first.send_signal(signal.SIGTERM)
    ended = first.wait(PATIENCE_SECONDS)
    left = processes_of(demo.data_dir)

    assert (ended, left) == (0, [])

    second = demo.up()

    assert demo.ready()
    with psycopg.connect(demo.database_url()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert f"Open     http://127.0.0.1:{demo.port}\n" in demo.said

    second.send_signal(signal.SIGINT)
    ended = second.wait(PATIENCE_SECONDS)
    left = processes_of(demo.data_dir)

    assert (ended, left) == (0, [])
    assert demo.hears("Stopping.\nStopped; the data is kept.\n")
    assert not (demo.data_dir / "run" / "environment.json").exists()


def test_what_is_killed_comes_back_and_nothing_outlives_a_supervisor_that_is_killed(demo):
    supervisor = demo.up()
    web = demo.web()

    for process in web:
        process.kill()

    assert web
    assert demo.hears("web ended unexpectedly (SIGKILL)")
    assert demo.hears("web started again")
    assert eventually(demo.ready)
    assert not {process.pid for process in web} & {process.pid for process in demo.web()}

    servers = [one for one in processes_of(demo.data_dir) if one.name() == "postgres"]
    for process in servers:
        process.kill()

    assert servers
    assert demo.hears("PostgreSQL ended unexpectedly (SIGKILL)")
    assert demo.hears("PostgreSQL started again")
    assert eventually(demo.ready)
    assert len(processes_of(demo.data_dir)) > 5

    supervisor.kill()
    supervisor.wait()

    if sys.platform.startswith("linux"):  # nothing else tells children that their parent died
        assert eventually(lambda: not processes_of(demo.data_dir)), processes_of(demo.data_dir)
