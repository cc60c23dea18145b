"""PostgreSQL and Redis for a run of the tests, started before Django reads its settings.

Loaded by `-p tests.servers` (see pyproject.toml), so that plain `pytest` works on a fresh machine. Where DATABASE_URL
is set, that server is used instead. Under pytest-xdist the controller starts them, and its workers inherit the
addresses.
"""

from __future__ import annotations

import atexit
import os
import signal
from contextlib import ExitStack

_stack = ExitStack()

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
    if "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ:
        return
    from controlplane.embedded.servers import Servers, temporary_dir

    # The data directory of a demo that runs on this machine is none of the tests' business.
    atexit.register(_stack.close)
    # pytest turns SIGINT into an orderly end; SIGTERM would skip it and leave the servers behind.
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
    directory = _stack.enter_context(temporary_dir())
    servers = _stack.enter_context(
        Servers(directory, postgres="DATABASE_URL" not in os.environ, redis="REDIS_URL" not in os.environ)
    )
    os.environ["TOLLKEEPER_DATA_DIR"] = str(directory)
    os.environ.update(servers.environment())


_start()


def pytest_unconfigure() -> None:
    _stack.close()
