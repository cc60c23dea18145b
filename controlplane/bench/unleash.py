"""What Unleash's server makes of the same poll, for comparison: a client that has what it asks for, and a 304.

It comes from npm by `requirements/unleash/package-lock.json`, into `.unleash`, at the first time; it runs on the
database server of the bench, in a database of its own, as its makers start it: one Node process. Where Node is missing
or something fails, the figure says why, and nothing else is held up.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import psycopg
from psycopg.conninfo import conninfo_to_dict

from controlplane.bench import houses, rules
from controlplane.bench.main import Figure

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "unleash"
HOME = ROOT / ".unleash"
INSTALL_S, START_S = 600, 120
WARM_S = 3.0  # Node compiles what it has run often
DATABASE = "unleash"
PATH = "/api/client/features"
WHAT = "304 of Unleash's server, a client with a token"


class _Missing(Exception):
    """What is compared with is not to be had on this machine; the message says why."""


def measure(*, rounds: int) -> list[Figure]:
    """Ask both in turn, so that a slow second of the machine hits both."""
    theirs: list[float] = []
    ours: list[float] = []
    try:
        _install()
        with rules.serving() as served, _running() as (port, request):
            rules.ask(served.port, served.unchanged, seconds=0.5)  # warm
            rules.ask(port, request, seconds=WARM_S)
            for _ in range(max(rounds, 3)):
                ours.append(rules.ask(served.port, served.unchanged, seconds=rules.SECONDS)["rate"])
                theirs.append(rules.ask(port, request, seconds=rules.SECONDS)["rate"])
    except _Missing as error:
        return [Figure(what=WHAT, value=None, unit="per s", better="more", note=str(error))]
    one, other = statistics.median(ours), statistics.median(theirs)
    note = f"ours, asked in turn with it: {one:,.0f} per second, {one / other:,.1f} times as many"
    return [Figure(what=WHAT, value=other, unit="per s", better="more", note=note)]


def _install() -> None:
    """Bring .unleash to what the lock file says; does nothing where it is that already."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise _Missing("Unleash needs Node and npm, and this machine has none")
    files = sorted(LOCK.iterdir())
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in files)).hexdigest()
    stamp = HOME / ".installed"
    if stamp.exists() and stamp.read_text() == digest:
        return
    HOME.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    for one in files:
        shutil.copy(one, HOME)
    # Nothing that a package brings along is run while it is installed.
    command = [npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=HOME, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Missing(f"Unleash could not be installed: {error}") from error
    if done.returncode:
        raise _Missing(f"Unleash could not be installed: {_end(done.stderr)}")
    stamp.write_text(digest)


@contextmanager
def _running() -> Iterator[tuple[int, bytes]]:
    """Run the server; gives its port and the request of a client that has what it asks for."""
    token = f"default:development.{secrets.token_hex(16)}"
    port = houses.free_port()
    environment = os.environ | _database() | {
        "HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(port), "INIT_BACKEND_API_TOKENS": token, "NODE_ENV": "production",
        "LOG_LEVEL": "error",
        # It asks nobody whether it is the newest, and tells nobody that it runs.
        "CHECK_VERSION": "false", "SEND_TELEMETRY": "false",
    }  # fmt: skip
    with TemporaryFile() as log:
        process = subprocess.Popen(
            ["node", "node_modules/unleash-server/dist/server.js"],  # noqa: S607
            cwd=HOME, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            try:
                houses.until(lambda: process.poll() is not None or bool(_tag(port, token)), "Unleash", START_S)
            except TimeoutError as error:
                raise _Missing(f"Unleash does not answer: {error}") from error
            if process.poll() is not None:
                log.seek(0)
                raise _Missing(f"Unleash does not run: {_end(log.read().decode(errors='replace'))}")
            yield (
                port,
                (
                    f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\nAccept-Encoding: gzip\r\n"
                    f"If-None-Match: {_tag(port, token)}\r\nUser-Agent: bench\r\n\r\n"
                ).encode(),
            )
        finally:
            houses.end(process)


def _database() -> dict[str, str]:
    """Make an empty database beside ours and say where it is."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    parts = conninfo_to_dict(url)
    return {
        "DATABASE_HOST": str(parts.get("host") or "127.0.0.1"), "DATABASE_PORT": str(parts.get("port") or 5432),
        "DATABASE_USERNAME": str(parts.get("user") or ""), "DATABASE_PASSWORD": str(parts.get("password") or ""),
        "DATABASE_NAME": DATABASE, "DATABASE_SSL": "false",
    }  # fmt: skip


def _tag(port: int, token: str) -> str:
    """Return the ETag of what a client gets, empty where nothing is answered yet."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", PATH, headers={"Authorization": token})
        answer = connection.getresponse()
        return (answer.getheader("ETag") or "") if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""


def _end(text: str) -> str:
    """Return the end of what a process said, on one line."""
    return " ".join(text.split())[-300:] or "it said nothing"
