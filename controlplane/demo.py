"""`make demo`: the whole house on one machine, with nothing to install beforehand, until Ctrl-C.

Runs before Django's settings are read, because they need the addresses of servers that this starts. Whatever
can be known to go wrong beforehand is one sentence on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import http.client
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from controlplane.embedded import discovery, places
from controlplane.embedded.places import Refused
from controlplane.embedded.servers import ServerFailed, Servers
from controlplane.processes import PROCESSES, WEB
from controlplane.supervisor import Child, Stopped, Supervisor

BASE_DIR = Path(__file__).resolve().parent.parent
_STATIC_ROOT = BASE_DIR / "static-root"
_WEB_ATTEMPTS = 3


class Failed(Exception):
    """A step of the start did not succeed; the message says which, and where its output is."""


def main(argv: Sequence[str] | None = None, *, free: Callable[[Path], int] = places.free_bytes) -> int:
    """Run the demo until it is told to stop; return the exit code (0 stopped, 1 failed, 2 refused)."""
    try:
        return _run(_parser().parse_args(argv), free)
    except Refused as refusal:
        return _complain(str(refusal), 2)
    except (Failed, ServerFailed) as failure:
        return _complain(str(failure), 1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _complain(f"The disk is full ({error.filename or 'while writing the data directory'}).", 2)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message[:1].upper()}{message[1:]}; see .venv/bin/python manage.py demo --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="manage.py demo", description="Run Tollkeeper with data to look at.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("TOLLKEEPER_DATA_DIR", ""),
        help="where data and logs are kept (TOLLKEEPER_DATA_DIR, else a place of this user's)",
    )
    parser.add_argument("--no-seed", action="store_true", help="start empty, without the made-up company")
    return parser


def _run(options: argparse.Namespace, free: Callable[[Path], int]) -> int:
    _check_port(options.host, options.port)
    data_dir = discovery.data_dir(options.data_dir or None)
    servers = Servers(data_dir, postgres=not os.environ.get("DATABASE_URL"), redis=not os.environ.get("REDIS_URL"))
    servers.prepare()
    try:
        places.check_room(data_dir, free=free)
        discovery.make_secrets(data_dir)
        with Supervisor(
            log=data_dir / "log" / "tollkeeper.log",
            environment=_environment(options, data_dir, servers),
            cwd=BASE_DIR,
            say=_say,
        ) as supervisor:
            try:
                _start(supervisor, servers, options, data_dir)
                supervisor.serve()
            except Stopped:
                pass
            _say("Stopping.")
        _say("Stopped; the data is kept.")
    finally:
        discovery.forget(data_dir)
        servers.stop()
    return 0


def _start(supervisor: Supervisor, servers: Servers, options: argparse.Namespace, data_dir: Path) -> None:
    _say(f"Data and logs are in {data_dir}")
    if not servers.initialised:
        _step("Making a new database")
    for server in servers.each:
        supervisor.watch(server)
    if not supervisor.until(lambda: all(server.ready() for server in servers.each), seconds=120):
        raise Failed(f"The embedded servers did not start; see {data_dir / 'log'}.")
    url = _url(options)
    discovery.record(data_dir, {**servers.environment(), "TOLLKEEPER_BASE_URL": url})

    _prepare(supervisor, data_dir)

    place = {"host": options.host, "port": options.port, "data": str(data_dir / "run")}
    web = supervisor.start(_child(WEB.name, place))
    if not supervisor.until(
        lambda: web.deaths >= _WEB_ATTEMPTS or _answers(options.host, options.port), seconds=120
    ) or not _answers(options.host, options.port):
        raise Failed(f"The web process did not come up; see {data_dir / 'log' / 'tollkeeper.log'}.")
    _say(f"Tollkeeper answers at {url}")

    # After the data is there: the sweeps would otherwise compete for it with whoever fills it in.
    sign_in = None
    if options.no_seed:
        _load_catalog(supervisor, data_dir)
    else:
        sign_in = _fill(supervisor, data_dir)
    for process in PROCESSES:
        if process is not WEB:
            supervisor.start(_child(process.name, place))
    if not options.no_seed:
        supervisor.start(Child("gateways", ["python", "-m", "controlplane.visiting"], stage=3, grace_seconds=2))

    _say("")
    _say(f"  Open     {url}")
    if sign_in is not None:
        _say(f"  Sign in  {sign_in[0]}  password  {sign_in[1]}")
    elif options.no_seed:
        usual = data_dir == discovery.data_dir(os.environ.get("TOLLKEEPER_DATA_DIR"))
        where = "" if usual else f"TOLLKEEPER_DATA_DIR={shlex.quote(str(data_dir))} "
        _say(f"  Sign in  with an account, made by: {where}.venv/bin/python manage.py createsuperuser")
    _say("  Ctrl-C stops everything and keeps the data.")
    _say("")


def _prepare(supervisor: Supervisor, data_dir: Path) -> None:
    """Bring the database and the static files up to date, both at the same time."""

    def migrated(line: str) -> None:
        # A line for each is progress on a terminal and noise in a file.
        if line.strip().startswith("Applying ") and sys.stdout.isatty():
            _step(f"Making tables: {line.strip().removeprefix('Applying ').split('...')[0]}")

    _step("Bringing the database up to date")

    # Django's checks would import every page, which takes longer than to find that there is nothing to do.
    migrate = Child("migrate", ["python", "manage.py", "migrate", "--no-input", "--skip-checks"])
    tasks = [supervisor.begin(migrate, migrated)]
    stamp = _static_stamp()
    if not _static_is_current(stamp):
        tasks.append(
            supervisor.begin(
                Child("static", ["python", "manage.py", "collectstatic", "--no-input", "--clear", "-v", "0"])
            )
        )
    supervisor.until(lambda: not [task for task in tasks if task.running])
    _step_done()
    for task in tasks:
        if task.process is None or task.process.returncode != 0:
            said = "\n".join(f"    {line}" for line in task.said)
            raise Failed(f"{task.name} failed (all of it is in {data_dir / 'log' / 'tollkeeper.log'}):\n{said}")
    (_STATIC_ROOT / ".stamp").write_text(stamp)


def _load_catalog(supervisor: Supervisor, data_dir: Path) -> None:
    """Put the common offerings in, so that what an empty house is sent first has a price."""
    _step("Loading the common models and their prices")
    task = supervisor.begin(Child("catalog", ["python", "manage.py", "load_catalog"]))
    supervisor.until(lambda: not task.running)
    _step_done()
    if task.process is None or task.process.returncode != 0:
        raise Failed(f"Loading the catalogue failed (see {data_dir / 'log' / 'tollkeeper.log'}).")


def _fill(supervisor: Supervisor, data_dir: Path) -> tuple[str, str] | None:
    found: list[tuple[str, str]] = []

    def hear(line: str) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        if "step" in message:
            _step(str(message["step"]), int(message["done"]), int(message["of"]))
        if "sign_in" in message:
            found.append((message["sign_in"][0], message["sign_in"][1]))

    task = supervisor.begin(Child("seed", ["python", "-m", "controlplane.filling"]), hear)
    supervisor.until(lambda: not task.running)
    _step_done()
    if task.process is None or task.process.returncode != 0:
        said = "\n".join(f"    {line}" for line in task.said)
        raise Failed(f"Filling in the data failed (see {data_dir / 'log' / 'tollkeeper.log'}):\n{said}")
    return found[0] if found else None


def _child(name: str, place: dict[str, object]) -> Child:
    process = next(one for one in PROCESSES if one.name == name)
    argv = process.argv(host=str(place["host"]), port=int(str(place["port"])), data=str(place["data"]))
    return Child(name, argv, stage=process.stage, grace_seconds=process.grace_seconds)


def _environment(options: argparse.Namespace, data_dir: Path, servers: Servers) -> dict[str, str]:
    ours = {
        "TOLLKEEPER_BASE_URL": _url(options),
        "TOLLKEEPER_EMAIL_URL": "console:",
        "TOLLKEEPER_ALLOWED_HOSTS": _names(options.host),
    }
    return {
        **ours,
        **os.environ,
        **servers.environment(),
        "TOLLKEEPER_DATA_DIR": str(data_dir),
        "PYTHONUNBUFFERED": "1",
    }


def _url(options: argparse.Namespace) -> str:
    # What a person can type: the wildcard addresses are no place to go to.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{options.port}"


def _names(host: str) -> str:
    """Return the names to answer to: whoever opens the demo to the network reaches it by names unknown here."""
    if host in ("0.0.0.0", "::"):  # noqa: S104
        return "*"
    return f"localhost,127.0.0.1,[::1],{f'[{host}]' if ':' in host else host}"


def _check_port(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise Refused(f"{port} is not a port; choose one from 1 to 65535 with --port.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(f"Port {port} on {host} is taken; choose another with --port.") from None
        if error.errno == errno.EACCES:
            raise Refused(f"Port {port} is not for this user; choose one above 1023 with --port.") from None
        raise Refused(f"Nothing can listen on {host}: {error.strerror or error}.") from None


def _answers(host: str, port: int) -> bool:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(target, port, timeout=1)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _static_stamp() -> str:
    """Return what the collected static files depend on: the parts installed, and our own files."""
    digest = hashlib.sha256(sys.prefix.encode())
    lock = BASE_DIR / "requirements" / "base.lock"
    digest.update(lock.read_bytes() if lock.exists() else b"")
    for path in _own_static_files():
        found = path.stat()
        digest.update(f"{path.relative_to(BASE_DIR)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _own_static_files() -> Iterator[Path]:
    for directory in sorted(BASE_DIR.glob("*/static")):
        yield from sorted(path for path in directory.rglob("*") if path.is_file())


def _static_is_current(stamp: str) -> bool:
    try:
        manifest = _STATIC_ROOT / "staticfiles.json"
        return manifest.exists() and (_STATIC_ROOT / ".stamp").read_text() == stamp
    except OSError:
        return False


def _step(step: str, done: int | None = None, of: int | None = None) -> None:
    """Show progress: on one line of a terminal, elsewhere on a line of its own where a step begins or ends."""
    text = step if done is None or of in (None, 1) else f"{step}: {done:,} of {of:,}"
    if sys.stdout.isatty():
        _write(f"\r\x1b[K  {text[:100]}")
    elif done is None or done == 0 or (done == of and of != 1):
        _say(f"  {text}")


def _step_done() -> None:
    if sys.stdout.isatty():
        _write("\r\x1b[K")


def _say(text: str) -> None:
    _write(f"{text}\n")


def _write(text: str) -> None:
    # The terminal may be gone already, and what is being stopped because of that must still stop.
    with suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


def _complain(text: str, code: int) -> int:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
