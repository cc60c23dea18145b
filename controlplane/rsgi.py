"""The web process's callable, served by Granian: polls for rules are answered here, everything else by Django.

A plain Django view answers some thousands of polls a second and waits for a thread and a connection; from memory, on
the loop, they are answered though every thread is busy and PostgreSQL is away.
"""

from __future__ import annotations

import os
import sys
from asyncio import AbstractEventLoop
from typing import Any

from django.core.wsgi import get_wsgi_application

from controlplane import memory
from controlplane.bridge import Scope, WSGIBridge

# A thread holds a database connection; more of them only wait for each other on two cores.
THREADS = 4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
_django = get_wsgi_application()

# What follows needs Django's apps.
from django.conf import settings  # noqa: E402

from routing.serving.front import RulesFront  # noqa: E402
from routing.serving.refresher import Refresher  # noqa: E402
from routing.serving.shelf import SHELF  # noqa: E402


class Application:
    """What Granian calls, with its beginning and its end."""

    def __init__(self) -> None:
        self._rules = RulesFront(SHELF)
        self._refresher = Refresher(SHELF)
        self._bridge = WSGIBridge(_django, threads=THREADS, largest_body=settings.MAX_BODY_BYTES)

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        SHELF.served_here = True
        self._refresher.start()

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        self._refresher.stop()
        self._bridge.stop()

    async def __rsgi__(self, scope: Scope, proto: Any) -> None:
        # A poll that asks to wait (`Prefer: wait=N`) would await a change of the shelf here, before it is answered: on
        # the loop, so that a thousand of them hold neither a thread nor a connection.
        answer = self._rules.answer(
            method=scope.method, path=scope.path, query=scope.query_string, headers=scope.headers
        )
        if answer is None:
            await self._bridge(scope, proto)
        elif answer.body:
            proto.response_bytes(answer.status, answer.headers, answer.body)
        else:
            proto.response_empty(answer.status, answer.headers)


# The loop takes turns with Django's threads. With Python's 5 ms for a turn a poll would wait that long for a thread
# that decodes a body; on a busy machine single events were quicker with this, too.
sys.setswitchinterval(0.0005)
application = Application()
memory.settle()
