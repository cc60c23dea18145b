"""A demo of a test's own: real processes on a data directory that may be killed."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from controlplane.embedded.servers import die_with_parent
from tests.controlplane.conftest import a_free_port, bare_environment, processes_of

ROOT = Path(__file__).resolve().parents[1]
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
