"""PostgreSQL and Redis for a run of the tests, started before Django reads its settings.

Loaded by `-p tests.servers` (see pyproject.toml), so that plain `pytest` works on a fresh machine. Where DATABASE_URL
is set, that server is used instead. Under pytest-xdist the controller starts them, and its workers inherit the
addresses, each with a database of its own: pytest-django names that of PostgreSQL, and this module that of Redis, where
emptying the cache of one worker would take away what a test of the other has just noted.
"""

from __future__ import annotations

import atexit
import os
import signal
from contextlib import ExitStack
from urllib.parse import urlsplit, urlunsplit

_stack = ExitStack()

# Set where the database at DATABASE_URL has every table, so that test databases can be copies of it.
HAS_TABLES = "TOLLKEEPER_TESTS_HAVE_TABLES"

_SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "controlplane.settings",
    "TOLLKEEPER_SECRET_KEY": "only-for-tests-and-thrown-away-with-their-database",
    "TOLLKEEPER_ENCRYPTION_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
    "TOLLKEEPER_LOG_LEVEL": "WARNING",
    # Playwright's synchronous API runs an event loop in the thread of the test, which then looks asynchronous.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
}


def _start() -> None:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ["REDIS_URL"] = _own_redis(os.environ["REDIS_URL"], 1 + int(worker.removeprefix("gw")))
    if "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ:
        return
    from controlplane.embedded.servers import Servers, temporary_dir
    from tests import prepared

    # The data directory of a demo that runs on this machine is none of the tests' business.
    atexit.register(_stack.close)
    # pytest turns SIGINT into an orderly end; SIGTERM would skip it and leave the servers behind.
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
    directory = _stack.enter_context(temporary_dir())
    if "DATABASE_URL" not in os.environ:
        prepared.lay_out(directory)
    servers = _stack.enter_context(
        Servers(directory, postgres="DATABASE_URL" not in os.environ, redis="REDIS_URL" not in os.environ)
    )
    os.environ["TOLLKEEPER_DATA_DIR"] = str(directory)
    os.environ.update(servers.environment())
    if "PostgreSQL" in [server.name for server in servers.each]:
        _spare(servers.postgres.url)
        os.environ[HAS_TABLES] = "1"


def _own_redis(url: str, number: int) -> str:
    """Return the address of another database of a Redis, which has sixteen unless it was told otherwise."""
    address = urlsplit(url)
    if address.scheme == "unix":
        return f"unix://{address.path}?db={number}"
    return urlunsplit(address._replace(path=f"/{number}"))


def _spare(url: str) -> None:
    """Wait for no disk: what the tests keep here is thrown away, and no machine loses its power meanwhile.

    Nor have a statement start helpers: it would for a question to many tables, though there is little in each, and
    to start them takes many times as long. The houses that tests kill have servers of their own, with the settings of
    the product.
    """
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("ALTER SYSTEM SET max_parallel_workers_per_gather = 0")
        connection.execute("SELECT pg_reload_conf()")


_start()


def pytest_unconfigure() -> None:
    _stack.close()
