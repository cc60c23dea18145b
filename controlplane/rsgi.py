"""The web process's callable, served by Granian: polls for rules are answered here, everything else by Django.

A plain Django view answers some thousands of polls a second and waits for a thread and a connection; from memory, on
the loop, they are answered though every thread is busy and PostgreSQL is away.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from types import FrameType
from typing import Any

from django.core.wsgi import get_wsgi_application

from controlplane import memory
from controlplane.bridge import Scope, WSGIBridge

# A thread holds a database connection; more of them only wait for each other on two cores.
THREADS = 4
OPEN_FILES = 16_384  # wanted: sockets above all
FILES_BESIDE = 1_000  # of them, for everything that is no waiting poll

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
_django = get_wsgi_application()

# What follows needs Django's apps.
from django.conf import settings  # noqa: E402

from core import statements  # noqa: E402
from routing.serving import waiting  # noqa: E402
from routing.serving.front import RulesFront  # noqa: E402
from routing.serving.refresher import Refresher  # noqa: E402
from routing.serving.shelf import SHELF  # noqa: E402
from routing.serving.waiting import LongPolls  # noqa: E402


class Application:
    """What Granian calls, with its beginning and its end."""

    def __init__(self) -> None:
        self._rules = RulesFront(SHELF)
        self._long_polls = LongPolls(self._rules, most=_room())
        self._refresher = Refresher(SHELF)
        self._bridge = WSGIBridge(_django, threads=THREADS, largest_body=settings.MAX_BODY_BYTES)

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        self._long_polls.start(loop)
        SHELF.on_change = self._long_polls.wake
        SHELF.served_here = True
        self._refresher.start()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                _also(number, lambda: loop.call_soon_threadsafe(self._long_polls.stop))

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        self._refresher.stop()
        self._bridge.stop()

    async def __rsgi__(self, scope: Scope, proto: Any) -> None:
        headers = scope.headers
        if "prefer" in headers and scope.method == "GET" and (seconds := waiting.wait_seconds(headers)):
            answer = await self._long_polls.answer(
                path=scope.path, query=scope.query_string, headers=headers, seconds=seconds,
                gone=proto.client_disconnect,
            )  # fmt: skip
        else:
            answer = self._rules.answer(method=scope.method, path=scope.path, query=scope.query_string, headers=headers)
        if answer is None:
            await self._bridge(scope, proto)
        elif answer.body:
            proto.response_bytes(answer.status, answer.headers, answer.body)
        else:
            proto.response_empty(answer.status, answer.headers)


def _room() -> int:
    """Ask for sockets enough, and return how many polls may wait: others are to find one as well.

    Many systems begin with 1024 open files and give more to whoever asks.
    """
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if usual != resource.RLIM_INFINITY and usual < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(0, min(waiting.MOST, files - FILES_BESIDE))


def _also(number: int, call: Callable[[], object]) -> None:
    """Do something at a signal besides what the loop does at it, which is untouched: it goes by `set_wakeup_fd`.

    Granian waits for every request that is open before it ends the application, and so waits for those that wait.
    """
    before = signal.getsignal(number)

    def handle(number: int, frame: FrameType | None) -> None:
        call()
        if callable(before):
            before(number, frame)

    signal.signal(number, handle)
    signal.siginterrupt(number, False)


# The loop takes turns with Django's threads. With Python's 5 ms for a turn a poll would wait that long for a thread
# that decodes a body; on a busy machine single events were quicker with this, too.
sys.setswitchinterval(0.0005)
statements.limit(seconds=settings.STATEMENT_SECONDS)
application = Application()
memory.settle()
