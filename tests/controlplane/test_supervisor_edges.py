"""What the supervisor does where things go wrong around it: orphans, impatience, floods of output, full logs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controlplane.supervisor import Child, Log, Supervisor

PATIENCE_SECONDS = 30


class Told(list[str]):
    """What the supervisor said to the terminal."""


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervisor(tmp_path: Path, told: Told) -> Iterator[Supervisor]:
    with Supervisor(log=tmp_path / "all.log", environment=dict(os.environ), cwd=tmp_path, say=told.append) as one:
        yield one


def shell(name: str, script: str, **how: float) -> Child:
    return Child(name, ["sh", "-c", script], stage=int(how.get("stage", 0)), grace_seconds=how.get("grace", 5))


def python(name: str, script: str) -> Child:
    return Child(name, ["python", "-c", script])


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def number_in(path: Path) -> int | None:
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text else None


def test_a_child_that_cannot_be_started_at_all_is_tried_again_and_the_others_go_on(supervisor, told, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    supervisor.start(Child("gone", [str(program)]))
    program.unlink()

    assert supervisor.until(lambda: any("gone could not be started" in line for line in told), seconds=PATIENCE_SECONDS)


def test_what_a_dead_child_leaves_in_its_group_is_killed(supervisor, tmp_path):
    supervisor.start(shell("parent", "sleep 1000 & echo $! > orphan; exec sleep 1000"))
    assert supervisor.until(lambda: number_in(tmp_path / "orphan") is not None, seconds=PATIENCE_SECONDS)
    orphan = number_in(tmp_path / "orphan")
    parent = psutil.Process(orphan).parent()
    assert lives(orphan)

    parent.kill()

    assert supervisor.until(lambda: not lives(orphan), seconds=PATIENCE_SECONDS)


def test_a_second_signal_cuts_the_grace_short(supervisor, tmp_path):
    # The child sends the second Ctrl-C itself when it is asked to stop, and then takes its time.
    script = f"trap 'kill -INT {os.getpid()}' TERM; echo up > up; while :; do sleep 0.05; done"
    child = shell("slow", script, grace=PATIENCE_SECONDS * 10)
    supervisor.start(child)
    assert supervisor.until((tmp_path / "up").exists, seconds=PATIENCE_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)
    began = time.monotonic()

    supervisor.stop()

    assert child.process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_nothing_is_left_when_the_block_ends_in_an_error(tmp_path):
    child = shell("steady", "exec sleep 1000")

    def fail() -> None:
        with Supervisor(
            log=tmp_path / "all.log", environment=dict(os.environ), cwd=tmp_path, say=lambda text: None
        ) as supervisor:
            supervisor.start(child)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not lives(child.process.pid)


def test_handlers_of_signals_are_those_from_before(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with Supervisor(log=tmp_path / "all.log", environment={}, cwd=tmp_path, say=lambda text: None):
        assert signal.getsignal(signal.SIGTERM) != before[0]

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_every_line_of_a_task_is_heard_also_an_unfinished_last_one_and_what_is_no_text(supervisor, tmp_path):
    heard: list[str] = []
    task = python("task", r"import sys; sys.stdout.buffer.write(b'one\ntw\xff\nlast')")

    supervisor.begin(task, heard.append)
    assert supervisor.until(lambda: not task.running, seconds=PATIENCE_SECONDS)

    assert heard == ["one", "tw\N{REPLACEMENT CHARACTER}", "last"]
    assert [line.split(" | ")[1] for line in (tmp_path / "all.log").read_text().splitlines()] == heard
    assert "Z task " in (tmp_path / "all.log").read_text()


def test_more_output_than_a_pipe_holds_stops_nobody(supervisor):
    heard: list[str] = []
    task = python("talker", "for n in range(20000): print(n)")

    supervisor.begin(task, heard.append)
    assert supervisor.until(lambda: not task.running, seconds=PATIENCE_SECONDS)

    assert heard == [str(number) for number in range(20000)]


def test_a_full_log_makes_room_and_keeps_one_older_file(tmp_path):
    log = Log(tmp_path / "all.log", most_bytes=200)

    for number in range(20):
        log.line("web", f"line {number}")
    log.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.log", "all.log.1"]
    assert (tmp_path / "all.log.1").stat().st_size < 300
    assert "line 19" in "".join(path.read_text() for path in tmp_path.iterdir())
