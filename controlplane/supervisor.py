"""One process that starts the others, starts them again when they die, and takes all of them down with it.

It is single-threaded: output of the children, their deaths and signals all arrive in one `select`. Every
child leads a process group of its own, so Ctrl-C reaches only the supervisor, which stops the children in
their order, and what a child leaves behind (workers of a pool) is killed with its group. On Linux children
are also asked to stop by the kernel when the supervisor itself is killed.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from controlplane.embedded.servers import Server, die_with_parent

_LOG_BYTES = 20 * 1024 * 1024
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_SETTLED_SECONDS = 60.0  # one that ran this long starts counting its deaths anew


class Stopped(Exception):
    """Ctrl-C, SIGTERM or a closed terminal: whatever was waited for does not matter any more."""


class Log:
    """Lines of all children in one file, each with its time and the child's name; one older file is kept."""

    def __init__(self, path: Path, *, most_bytes: int = _LOG_BYTES) -> None:
        self.path = path
        self._most_bytes = most_bytes
        self._file = path.open("a", encoding="utf-8", errors="replace")

    def line(self, name: str, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self._file.write(f"{stamp}Z {name:<10} | {text}\n")
        self._file.flush()
        if self._file.tell() > self._most_bytes:
            self._file.close()
            self.path.replace(self.path.with_suffix(".log.1"))
            self._file = self.path.open("a", encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._file.close()


class Child:
    """One child process and what it last said."""

    def __init__(self, name: str, argv: Sequence[str], *, stage: int = 0, grace_seconds: float = 5) -> None:
        self.name = name
        self.argv = list(argv)
        self.stage = stage
        self.grace_seconds = grace_seconds
        self.said: deque[str] = deque(maxlen=8)
        self.on_line: Callable[[str], None] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def launch(self, environment: Mapping[str, str], cwd: Path) -> None:
        python = sys.executable if self.argv[0] == "python" else self.argv[0]
        self.process = subprocess.Popen(  # noqa: S603
            [python, *self.argv[1:]],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    @property
    def running(self) -> bool:
        """Whether it lives; when it does not, whatever it left in its process group is killed first."""
        if self.process is None or self.process.returncode is not None:
            return False
        if hasattr(os, "waitid"):
            # Looked at without reaping: until it is reaped its number, and so its group's, cannot be reused.
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return True
        elif self.process.poll() is None:
            return True
        self.kill()
        return False

    def terminate(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def fileno(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    @property
    def readable(self) -> bool:
        return self.process is not None and self.process.stdout is not None and not self.process.stdout.closed

    def read(self) -> list[str]:
        """Return the whole lines that wait, without waiting for more; at the end also an unfinished one."""
        assert self.process is not None
        assert self.process.stdout is not None
        lines: list[bytes] = []
        with suppress(BlockingIOError):
            while True:
                data = os.read(self.fileno(), 65536)
                *whole, self._rest = (self._rest + data).split(b"\n")
                lines += whole
                if not data:
                    lines += [self._rest] if self._rest else []
                    self._rest = b""
                    self.process.stdout.close()
                    break
        return [line.decode(errors="replace").rstrip("\r") for line in lines]


class Watched:
    """Something to be kept alive: how to start it, whether it lives, and when to try again."""

    def __init__(self, name: str, start: Callable[[], None], thing: Child | Server) -> None:
        self.name = name
        self.start = start
        self.thing = thing
        self.deaths = 0
        self.started_at = time.monotonic()
        self.next_start_at: float | None = None

    def pause_seconds(self, now: float) -> float:
        """Count a death and return how long to wait before the next start."""
        if now - self.started_at > _SETTLED_SECONDS:
            self.deaths = 0
        self.deaths += 1
        return min(_FIRST_PAUSE_SECONDS * 2 ** (self.deaths - 1), _LONGEST_PAUSE_SECONDS)


class Supervisor:
    """Runs children and watches servers until told to stop; a context manager that leaves nothing behind."""

    def __init__(self, *, log: Path, environment: Mapping[str, str], cwd: Path, say: Callable[[str], None]) -> None:
        self.environment = dict(environment)
        self.say = say
        self._cwd = cwd
        self._log = Log(log)
        self._watched: list[Watched] = []
        self._tasks: list[Child] = []
        self._signals = 0
        self._stopping = False
        self._previous: dict[int, Any] = {}
        self._wakeup: socket.socket | None = None

    def __enter__(self) -> Supervisor:
        self._wakeup, writer = socket.socketpair()
        self._writer = writer
        for end in (self._wakeup, writer):
            end.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A demo started with nohup was told to outlive its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._on_signal)
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the select
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._previous_wakeup)
            if self._wakeup is not None:
                self._wakeup.close()
                self._writer.close()
            self._log.close()

    def start(self, child: Child) -> Watched:
        """Start a child and keep it running."""
        watched = Watched(child.name, lambda: child.launch(self.environment, self._cwd), child)
        watched.start()
        self._watched.append(watched)
        return watched

    def watch(self, server: Server) -> None:
        """Launch a server and keep it running; it stops after all children."""
        watched = Watched(server.name, server.launch, server)
        watched.start()
        self._watched.append(watched)

    def begin(self, task: Child, on_line: Callable[[str], None] | None = None) -> Child:
        """Start a child that ends by itself; await it with `until(lambda: not task.running)`."""
        task.on_line = on_line
        task.launch(self.environment, self._cwd)
        self._tasks.append(task)
        return task

    def until(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Keep everything going until the condition holds; False when it did not within `seconds`.

        Raises:
            Stopped: a signal came first.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not condition():
            if self._signals:
                raise Stopped
            if deadline is not None and time.monotonic() > deadline:
                return False
            self._turn(0.1)
        # Its last words may still wait in the pipe.
        self._turn(0)
        return True

    def serve(self) -> None:
        """Keep everything going until a signal comes."""
        while not self._signals:
            self._turn(1.0)

    def stop(self) -> None:
        """Stop everything in order: tasks, children by stage, servers in the opposite order of their start.

        A child that outlives its grace is killed with its group; a second signal cuts the grace short.
        """
        self._stopping = True
        signals_before = max(self._signals, 1)
        children = [*self._tasks, *(one.thing for one in self._watched if isinstance(one.thing, Child))]
        for stage in sorted({child.stage for child in children}):
            together = [child for child in children if child.stage == stage]
            for child in together:
                child.terminate()
            deadline = time.monotonic() + max(child.grace_seconds for child in together)
            while [child for child in together if child.running]:
                if time.monotonic() > deadline or self._signals > signals_before:
                    for child in together:
                        child.kill()
                    break
                self._turn(0.1)
        self._turn(0)
        for one in reversed(self._watched):
            if isinstance(one.thing, Server):
                one.thing.stop()
        self._watched, self._tasks = [], []

    def _turn(self, seconds: float) -> None:
        """Wait for output, a death or a signal, `seconds` at most, and deal with it."""
        children = [*self._tasks, *(one.thing for one in self._watched if isinstance(one.thing, Child))]
        readable = [child for child in children if child.readable]
        assert self._wakeup is not None
        sources: list[Child | socket.socket] = [self._wakeup, *readable]
        ready, _, _ = select.select(sources, [], [], self._patience(seconds))
        for source in ready:
            if isinstance(source, Child):
                self._hear(source)
            else:
                with suppress(BlockingIOError):
                    source.recv(4096)
        if not self._stopping:
            for watched in self._watched:
                self._keep_alive(watched)

    def _patience(self, seconds: float) -> float:
        due = [one.next_start_at for one in self._watched if one.next_start_at is not None]
        if not due or self._stopping:
            return seconds
        return max(0.0, min(seconds, min(due) - time.monotonic()))

    def _hear(self, child: Child) -> None:
        for line in child.read():
            child.said.append(line)
            self._log.line(child.name, line)
            if child.on_line is not None:
                child.on_line(line)

    def _keep_alive(self, watched: Watched) -> None:
        now = time.monotonic()
        if watched.next_start_at is None:
            if watched.thing.running:
                return
            pause = watched.pause_seconds(now)
            watched.next_start_at = now + pause
            process = watched.thing.process
            how = "" if process is None else f" ({_how(process.returncode)})"
            self._report(f"{watched.name} ended unexpectedly{how}; starting it again in {pause:g} s")
            if isinstance(watched.thing, Child):
                if watched.thing.readable:
                    self._hear(watched.thing)
                # What it said explains an exit; somebody else's kill it cannot explain.
                if process is not None and process.returncode >= 0:
                    for line in watched.thing.said:
                        self.say(f"    {line[:160]}")
                watched.thing.said.clear()
        elif now >= watched.next_start_at:
            watched.next_start_at = None
            watched.started_at = now
            try:
                watched.start()
            except Exception as error:
                watched.next_start_at = now + watched.pause_seconds(now)
                self._report(f"{watched.name} could not be started: {error}")
            else:
                self._report(f"{watched.name} started again")

    def _report(self, text: str) -> None:
        self._log.line("supervisor", text)
        self.say(text)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1


def _how(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
