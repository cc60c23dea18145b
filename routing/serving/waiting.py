"""Polls that wait for something new (`Prefer: wait=N`), on the loop: each is a future, and no thread or connection.

A poll that is woken, or whose time is up, is simply asked again, so that whatever changed meanwhile (rules, a key that
was revoked or has expired) is answered as it would be to a poll that comes just now.

# Note [Whether a poll waited]
`Preference-Applied: wait=N` says that this process does let polls wait: come again at once. Where it is missing, there
was no room or the process is stopping: come again as if there were no waiting, lest a crowd asks without end.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache

import structlog

from routing.serving.documents import Answer
from routing.serving.front import Headers, RulesFront, Watch, joined

log = structlog.get_logger(__name__)

# Proxies give up a request after 60 s without a byte.
LONGEST_SECONDS = 55
MOST = 8_000  # of a process; each holds a socket and some kilobytes
MOST_OF_ONE = 2_000  # of a gateway, or of a key that belongs to none

_KEPT_HEADER = 256  # characters, as in documents
# Preferences are separated by commas, and each may have parameters behind a semicolon (RFC 7240, 2). A quote that
# is never closed goes on to the end, so that nothing is tried twice: this is read on the loop, before any key is.
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
_SECONDS = re.compile(r'[0-9]{1,9}|"[0-9]{1,9}"')


def wait_seconds(headers: Headers) -> int:
    """Return how long a poll wants to wait, 55 s at most; 0 where it does not, or says so in no known way."""
    prefer = joined(headers, "prefer") or ""
    return _wait_seconds(prefer) if len(prefer) <= _KEPT_HEADER else _wait_seconds.__wrapped__(prefer)


@lru_cache(maxsize=256)
def _wait_seconds(prefer: str) -> int:
    for preference in _PREFERENCE.findall(prefer):
        name, _, value = (part.strip() for part in preference.partition(";")[0].partition("="))
        if name.lower() == "wait" and _SECONDS.fullmatch(value):
            return min(int(value.strip('"')), LONGEST_SECONDS)
    return 0


class _Place:
    """One waiting poll."""

    __slots__ = ("watch", "woken")

    def __init__(self, watch: Watch, woken: asyncio.Future[bool]) -> None:
        self.watch = watch
        self.woken = woken  # False: its client went away

    def end(self, still_there: bool) -> None:
        if not self.woken.done():
            self.woken.set_result(still_there)


class LongPolls:
    """Everything here belongs to the loop, except `wake`."""

    def __init__(self, front: RulesFront, *, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._front = front
        self._most = most
        self._most_of_one = most_of_one
        self._places: set[_Place] = set()
        self._of_one: Counter[int] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_full = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def stop(self) -> None:
        """Have every waiting poll answered now, and none wait any more."""
        self._loop = None
        for place in self._places:
            place.end(True)

    def wake(self) -> None:
        """Answer the polls that something changed for. Any thread may call it, and needs to know nothing of them."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(self._look)

    @property
    def waiting(self) -> int:
        return len(self._places)

    async def answer(
        self, *, path: str, query: str, headers: Headers, seconds: int, gone: Callable[[], Awaitable[None]]
    ) -> Answer | None:
        """Answer a GET that may wait for some seconds; None for whatever has to go on to Django.

        `gone` returns what completes when the client goes away. What is answered then reaches nobody.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        while True:
            # Before the answer, so that nothing that changes from here on is missed.
            watch = self._front.watch(path=path, headers=headers)
            room = watch is not None and self._has_room(watch)
            answer = self._front.answer(method="GET", path=path, query=query, headers=headers, waits=room)
            if answer is None or watch is None:
                return answer
            if answer.status == 200 or loop.time() >= ends_at:
                return _applied(answer, seconds)
            if not room:
                return answer
            if not await self._woken(watch, min(ends_at, loop.time() + self._front.seconds_left(watch)), gone):
                return answer

    async def _woken(self, watch: Watch, until: float, gone: Callable[[], Awaitable[None]]) -> bool:
        loop = asyncio.get_running_loop()
        place = _Place(watch, loop.create_future())
        self._places.add(place)
        self._of_one[watch.owner] += 1
        timer = loop.call_at(until, place.end, True)
        leaving = loop.create_task(_leave(place, gone))
        try:
            return await place.woken
        finally:
            # A connection may serve many polls: one that is over must not be told of its end in place of the next.
            leaving.cancel()
            timer.cancel()
            self._places.discard(place)
            self._of_one[watch.owner] -= 1
            if not self._of_one[watch.owner]:
                del self._of_one[watch.owner]

    def _look(self) -> None:
        for place in self._places:
            if self._front.is_over(place.watch):
                place.end(True)

    def _has_room(self, watch: Watch) -> bool:
        if self._loop is None:
            return False
        if len(self._places) < self._most and self._of_one[watch.owner] < self._most_of_one:
            return True
        if not self._told_full:
            self._told_full = True
            log.warning("polls.too_many_waiting", waiting=len(self._places), key_id=watch.reader.key_id)
        return False


async def _leave(place: _Place, gone: Callable[[], Awaitable[None]]) -> None:
    await gone()
    place.end(False)


def _applied(answer: Answer, seconds: int) -> Answer:
    return Answer(answer.status, [*answer.headers, ("preference-applied", f"wait={seconds}")], answer.body)
