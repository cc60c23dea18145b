"""A limit for a whole exchange: time-outs of single reads do not add up to one, since a far side may drip."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType


class Deadline:
    """Cut the connection off when the time is over; whoever reads from it then gets an error or the end.

    with Deadline(10) as deadline:
        deadline.watch(lambda: connection.sock)
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._current: Callable[[], object] = lambda: None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def watch(self, current: Callable[[], object]) -> None:
        """Name the socket to cut, as a function: TLS puts another socket in the place of the first."""
        self._current = current
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        self.passed = True
        connected = self._current()
        if isinstance(connected, socket.socket):
            with suppress(OSError):
                # The plain socket's method: a TLS socket's own one would take its state away from the reader.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
