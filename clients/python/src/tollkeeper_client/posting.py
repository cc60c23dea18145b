"""Posts: spooled events to the server, in batches, until it says of each that it was kept or refused.

# Note [What ends an event]
Only the server's word does: 202 with what it made of each. An event that it refused by itself is let go of with its
reason in the log and in `status()`. Whatever else happens (no answer, 401, 403, 429, 5xx, a page of some proxy) the
events stay and are sent again after a pause that grows. Sent twice they count once, by their ids.

A body that is too large (413) or cannot be read as a whole (400) is sent again in halves, until it passes or a single
event is found that does not.
"""

from __future__ import annotations

import gzip
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from .http import Answer, Line, Unreachable
from .pauses import Pauses, retry_after, spread
from .spool import Spool, Waiting

log = logging.getLogger("tollkeeper_client")

MOST_EVENTS = 500
MOST_BATCH_BYTES = 1_000_000  # before compression
FIRST_PAUSE_SECONDS = 1.0
MOST_PAUSE_SECONDS = 120.0
MOST_POST_SECONDS = 30.0
_TIDY_SECONDS = 30.0
_REASONS_LOGGED = 5  # of one batch
_UNREADABLE = "urn:tollkeeper:problem:malformed"


class Poster:
    """Sends what is in the spool. Any thread may call `post`; one sends at a time."""

    def __init__(self, *, line: Line, spool: Spool, every: float, clock: Callable[[], float] = time.time) -> None:
        self._line = line
        self._spool = spool
        self._every = every
        self._clock = clock
        self._pauses = Pauses(first=FIRST_PAUSE_SECONDS, most=MOST_PAUSE_SECONDS)
        self._most = MOST_EVENTS
        self._lock = threading.Lock()

        self.error: str | None = None  # of the last try
        self.last_refusal: str | None = None  # why the server refused an event, the last one
        self._tidied_at = 0.0
        self._asked_until = 0.0  # by the monotonic clock: no post before, the server said

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def pause_asked(self) -> float:
        """Return for how many seconds the server asked to be left alone, 0 where it did not."""
        return max(0.0, self._asked_until - time.monotonic())

    def post(self, within: float = MOST_POST_SECONDS) -> float:
        """Send one batch if any event waits and it is our turn; return the seconds until the next try. 0: at once.

        It takes about `within` seconds at most, in which another thread may be sending, too.
        """
        ends_at = time.monotonic() + within
        if not self._lock.acquire(timeout=within):
            return spread(self._every)
        try:
            if not self._spool.my_turn():
                return spread(self._every)
            events = self._spool.next(most=self._most, most_bytes=MOST_BATCH_BYTES, at=self._clock())
            if not events:
                return spread(self._every)
            pause = self._send(events, max(ends_at - time.monotonic(), 0.1))
            if time.monotonic() - self._tidied_at > _TIDY_SECONDS:
                self._tidied_at = time.monotonic()
                self._spool.tidy()
            return pause
        except sqlite3.Error as error:
            return self._failed(f"the spool cannot be read: {error}")
        finally:
            self._lock.release()

    def _send(self, events: list[Waiting], seconds: float) -> float:
        body = gzip.compress(b"[" + b",".join(event.body for event in events) + b"]", 6)
        try:
            answer = self._line.ask(
                "POST", f"/api/v1/{events[0].to}", content=body, seconds=seconds,
                headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
            )  # fmt: skip
        except Unreachable as error:
            return self._failed(f"out of reach: {error}")
        problem = _object(answer)
        if answer.status == 202 and "accepted" in problem:
            return self._taken(events, problem)
        if answer.status == 413 or (answer.status == 400 and problem.get("type") == _UNREADABLE):
            return self._too_much(events, f"{problem.get('detail') or 'too large'}")
        return self._failed(_words(answer, problem), answer)

    def _taken(self, events: list[Waiting], told: dict[str, object]) -> float:
        refused = told.get("rejected")
        reasons = [
            f"event {_id(events[index])}: {item.get('error')}"
            for item in (refused if isinstance(refused, list) else ())
            if isinstance(item, dict) and isinstance(index := item.get("index"), int) and 0 <= index < len(events)
        ]
        for reason in reasons[:_REASONS_LOGGED]:
            log.error("usage.refused %s", reason)
        if reasons:
            self.last_refusal = reasons[-1]
        self._spool.done(events, refused=len(reasons))
        self._most = min(MOST_EVENTS, self._most * 2)
        return self._succeeded()

    def _too_much(self, events: list[Waiting], reason: str) -> float:
        if len(events) > 1:
            self._most = len(events) // 2
            return 0.0
        self.last_refusal = f"event {_id(events[0])}: {reason}"
        log.error("usage.refused %s", self.last_refusal)
        self._spool.done(events, refused=1)
        return self._succeeded()

    def _succeeded(self) -> float:
        self._pauses.after_success()
        self.error = None
        return 0.0

    def _failed(self, error: str, answer: Answer | None = None) -> float:
        if error != self.error:
            log.warning("usage.not_sent %s; the events are kept", error)
        self.error = error
        told = None if answer is None else retry_after(answer.headers)
        pause = self._pauses.after_failure(told)
        if told is not None:
            self._asked_until = time.monotonic() + pause
        return pause


def _object(answer: Answer) -> dict[str, object]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _id(event: Waiting) -> str:
    return str(json.loads(event.body).get("id"))


def _words(answer: Answer, problem: dict[str, object]) -> str:
    known = {
        401: "the key is unknown, expired or revoked",
        403: "the key may not report usage",
        404: "there is no such address: is the URL that of a Tollkeeper?",
        429: "asked for a pause",
    }
    said = problem.get("detail") or known.get(answer.status) or "no answer that says that the events were kept"
    return f"answered {answer.status}: {said}"
