"""The supervisor starts its children again when they die, and takes all of them down with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controlplane.supervisor import Child, Stopped, Supervisor, Watched

WAITS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
DEAF = (
    "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True)\n"
    "while True: signal.pause()"
)
WITH_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DEAF!r}])"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    with Supervisor(log=tmp_path / "log", environment=os.environ, cwd=tmp_path, say=said.append) as supervisor:
        yield supervisor


def python(name: str, code: str, **options) -> Child:
    child = Child(name, ["python", "-c", code], **options)
    child.on_line = lambda line: heard.setdefault(name, []).append(line)
    heard.pop(name, None)
    return child


heard: dict[str, list[str]] = {}


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_that_is_killed_is_started_again_and_its_death_told(supervisor, said):
    supervisor.start(python("one", WAITS))
    assert supervisor.until(lambda: len(heard.get("one", [])) == 1, seconds=20)

    os.kill(int(heard["one"][0]), signal.SIGKILL)

    assert supervisor.until(lambda: len(heard["one"]) == 2, seconds=20)
    assert said == ["one ended unexpectedly (SIGKILL); starting it again in 0.5 s", "one started again"]


def test_what_a_child_said_before_it_failed_is_shown_and_logged_under_its_name(supervisor, said, tmp_path):
    supervisor.start(python("one", "import sys; sys.exit('no such table')"))

    assert supervisor.until(lambda: len(said) >= 2, seconds=20)
    assert said[:2] == ["one ended unexpectedly (exit code 1); starting it again in 0.5 s", "    no such table"]
    assert " one        | no such table\n" in (tmp_path / "log").read_text()


def test_a_child_that_will_not_stop_is_killed_after_its_grace_with_whatever_it_started(supervisor):
    child = python("deaf", WITH_A_CHILD, grace_seconds=0.2)
    supervisor.start(child)
    assert supervisor.until(lambda: "deaf" in heard, seconds=20)
    grandchild = int(heard["deaf"][0])

    supervisor.stop()

    assert not child.running
    assert supervisor.until(lambda: is_gone(grandchild), seconds=20)


def test_lower_stages_stop_first(supervisor, tmp_path):
    code = (
        "import signal, sys, pathlib\n"
        "def stop(*_):\n"
        "    with open('order', 'a') as file: file.write(sys.argv[1])\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop); print('up', flush=True); signal.pause()"
    )
    for name, stage in (("c", 3), ("a", 1), ("b", 2)):
        child = python(name, code, stage=stage)
        child.argv.append(name)
        supervisor.start(child)
    assert supervisor.until(lambda: {"a", "b", "c"} <= set(heard), seconds=20)

    supervisor.stop()

    assert (tmp_path / "order").read_text() == "abc"


def test_a_signal_ends_whatever_is_waited_for(supervisor):
    os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped):
        supervisor.until(lambda: False, seconds=20)


def test_pauses_between_starts_double_up_to_half_a_minute_and_begin_anew_for_one_that_ran_well():
    watched = Watched("one", lambda: None, Child("one", ["true"]))
    now = watched.started_at

    assert [watched.pause_seconds(now) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert watched.pause_seconds(now + 61) == 0.5
