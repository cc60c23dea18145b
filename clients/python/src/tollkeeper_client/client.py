"""The client: rules decide in this process, two threads keep them new and send what calls used.

# Note [Forks]
A forked process (gunicorn with `--preload`, multiprocessing) inherits no threads and must not use its parent's
connections. Rules and settings are as they were; threads start again with the first decision or report there.
"""

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from . import events, settings, spool
from .errors import NoRules
from .http import Line
from .polling import Poller
from .posting import MOST_POST_SECONDS, Poster
from .rules.evaluator import Decision
from .spool import Spool, Totals
from .status import Status

log = logging.getLogger("tollkeeper_client")

INTERVAL_SECONDS = 10.0
WAIT_SECONDS = 50.0  # the server lets nobody wait for longer than 55
SEND_EVERY_SECONDS = 2.0
SPOOL_BYTES = 64 * 1024 * 1024  # some 150,000 events
_AFTER_A_FAULT_SECONDS = 60.0
_JOIN_SECONDS = 2.0


class Tollkeeper:
    """Decides by the rules of one environment and reports usage. Made once per process and shared by its threads.

    What is None comes from the environment: TOLLKEEPER_URL, TOLLKEEPER_KEY, TOLLKEEPER_ENVIRONMENT (else `production`),
    TOLLKEEPER_CLIENT_DIR (else a directory of the user's), TOLLKEEPER_INSTANCE (else host and process),
    TOLLKEEPER_PUBLIC_KEY (base64, several separated by commas; with it only signed rules are taken).

    `data_dir` holds the last good rules and the events that wait. It belongs to one gateway, any number of whose
    processes may share it. `interval` is the pause between polls, in seconds, where the server does not let them wait,
    `wait` for how long a poll may wait (0: never). `send_every` is the pause between batches, `spool_bytes` what may
    wait on disk before the oldest events are dropped.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        environment: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        instance: str | None = None,
        *,
        public_key: str | None = None,
        interval: float = INTERVAL_SECONDS,
        wait: float = WAIT_SECONDS,
        send_every: float = SEND_EVERY_SECONDS,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        """Read the settings and what was kept on disk; ask nobody yet.

        Raises:
            NotConfigured: a setting is missing or cannot be used.
        """
        found = settings.read(
            url=url, key=key, environment=environment, data_dir=data_dir, instance=instance, public_key=public_key
        )
        self._settings = found
        self._polls = Line(found.url, found.key)
        self._posts = Line(found.url, found.key)
        self._poller = Poller(
            line=self._polls, environment=found.environment, instance=self._instance, file=found.rules_file,
            verifier=found.verifier, interval=interval, wait=wait,
        )  # fmt: skip
        self._spool = Spool(found.spool_file, sender=found.sender, most_bytes=spool_bytes)
        self._poster = Poster(line=self._posts, spool=self._spool, every=send_every)
        self._lost = 0  # events that could not even be spooled
        self._spool_error: str | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._wanted = False  # between start and close
        self._asleep = False  # wanted, and no threads in this process yet; see Note [Forks]
        self._poller.load()
        _clients.add(self)

    # --- the life of it

    def start(self) -> Self:
        """Start polling and sending, in threads of their own, and return at once. Safe to repeat."""
        with self._lock:
            self._wanted = True
            self._run()
        return self

    def ready(self, timeout: float = 5.0) -> bool:
        """Wait for rules, at most so many seconds, and say whether there are any."""
        if self._asleep:
            self.start()
        return self._poller.arrived.wait(timeout)

    def refresh(self, timeout: float = 10.0) -> bool:
        """Poll once in this thread, where none polls (a function that runs for seconds, a script); say how it went.

        Where threads run there is nothing to do, and the answer is whether there are rules.
        """
        if self._wanted:
            return self.ready(timeout)
        self._poller.poll(wait=0, within=timeout)
        return self._poller.error is None

    def flush(self, timeout: float = 10.0) -> bool:
        """Send what waits, now and in this thread; say whether all of it was sent within so many seconds.

        What was not stays in the spool. Pauses that the server asked for are kept to.
        """
        return self._flush(timeout, insist=True)

    def close(self, timeout: float = 5.0) -> None:
        """Send what waits, for at most so many seconds and until a try fails, and end the threads. Safe to repeat.

        What was not sent stays on disk for the next start. It still decides, and still takes reports, afterwards.
        """
        with self._lock:
            running, self._threads = self._threads, []
            self._wanted = self._asleep = False
        if running:
            self._flush(timeout, insist=not self._spool.on_disk)
        self._stop.set()
        for line in (self._polls, self._posts):
            line.cut()
        for thread in running:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)
        if not any(thread.is_alive() for thread in running):
            for line in (self._polls, self._posts):
                line.close()
            self._spool.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what it is for

    def decide(self, context: Mapping[str, Any], now: datetime | None = None) -> Decision:
        """Return where a request goes, and why; some microseconds, nobody is asked.

        `context` is the request as far as rules may read it (`spec/context.schema.json`): `use_case`, `task`, `tags`
        and so on. `now` is an aware instant; None is the present one.

        Raises:
            NoRules: none were ever had. Take a default of your own.
        """
        if self._asleep:
            self.start()
        rules = self._poller.rules
        if rules is None:
            raise NoRules(self._why_no_rules())
        return rules.compiled.decide(context, datetime.now(UTC) if now is None else now)

    def explain(self, context: Mapping[str, Any], now: datetime | None = None) -> Decision:
        """Decide as `decide` does, and name each step in `steps`. For people; slower."""
        rules = self._poller.rules
        if rules is None:
            raise NoRules(self._why_no_rules())
        return rules.compiled.explain(context, datetime.now(UTC) if now is None else now)

    def offering(self, name: str) -> Mapping[str, Any] | None:
        """Return what the rules at hand say of an offering (`model`, `provider`, `gateway_names`), None if nothing.

        For trying a decision's fallbacks.
        """
        rules = self._poller.rules
        found: Mapping[str, Any] | None = None if rules is None else rules.document["offerings"].get(name)
        return found

    def report(self, event: Mapping[str, Any]) -> str | None:
        """Put a native event into the spool, from where it is sent; return its id. Nobody is asked, nothing is raised.

        `id` and `time` are filled in where they are missing. None: it could not be kept, and the log says why; it is
        counted as dropped.
        """
        return self._keep(lambda at: events.complete(event, at=at), spool.EVENTS)

    def report_as(self, record: Mapping[str, Any], to: str) -> bool:
        """Put a gateway's own record of a call into the spool as it is, for another address below /api/v1/.

        `to` is `usage/litellm`, for one. The record is told from others by what is in it. False: not kept, as with
        `report`.
        """
        return self._keep(lambda at: ("", events.encoded(record)), to) is not None

    def _keep(self, made: Callable[[float], tuple[str, bytes]], to: str) -> str | None:
        if self._asleep:
            self.start()
        at = time.time()
        try:
            event_id, body = made(at)
            self._spool.add(body, at=at, to=to)
        except events.NotAnEvent as error:
            self._lose()
            log.error("usage.not_an_event %s", error)
            return None
        except (sqlite3.Error, OSError) as error:
            self._lose()
            self._note_spool_error(error)
            return None
        self._spool_error = None
        return event_id

    def status(self) -> Status:
        """Return how it stands: what decides, what was refused, what waits, what was lost."""
        poller, poster = self._poller, self._poster
        rules, rejected = poller.rules, poller.rejected
        try:
            totals = self._spool.totals()
        except (sqlite3.Error, OSError) as error:
            self._note_spool_error(error)
            totals = Totals(0, 0, 0, 0, 0)
        return Status(
            environment=self._settings.environment,
            instance=self._instance(),
            active=None if rules is None else rules.name,
            from_disk=poller.from_disk,
            taken_at=poller.taken_at,
            checked_at=poller.checked_at,
            error=poller.error,
            failures=poller.failures,
            rejected=None if rejected is None else rejected[0],
            reason=None if rejected is None else rejected[1],
            waiting=totals.waiting,
            waiting_bytes=totals.bytes,
            sent=totals.sent,
            dropped=totals.dropped + self._lost,
            refused=totals.refused,
            last_refusal=poster.last_refusal,
            sending_error=poster.error,
            on_disk=self._spool.on_disk,
            disk_error=poller.disk_error or self._spool_error,
        )

    # --- inside

    def _instance(self) -> str:
        return self._settings.instance or settings.this_process()

    def _why_no_rules(self) -> str:
        if not self._wanted and self._poller.error is None:
            return "No rules yet: start() was not called, and none were kept from before."
        return f"No rules yet: {self._poller.error or 'the first poll has not been answered'}."

    def _run(self) -> None:
        """Start the threads unless they run. Under the lock."""
        self._asleep = False
        if self._threads:
            return
        self._stop = stop = threading.Event()
        for line in (self._polls, self._posts):
            line.open()
        for name, work in (("polls", self._poller.poll), ("posts", self._poster.post)):
            thread = threading.Thread(target=_repeat, args=(work, stop), name=f"tollkeeper-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _flush(self, timeout: float, *, insist: bool) -> bool:
        ends_at = time.monotonic() + timeout
        try:
            while self._spool.waits():
                left = ends_at - time.monotonic()
                if left <= 0:
                    return False
                pause = self._poster.pause_asked() or self._poster.post(min(left, MOST_POST_SECONDS))
                if pause and (not insist or time.monotonic() + pause > ends_at or self._stop.wait(pause)):
                    return False
        except sqlite3.Error as error:
            self._note_spool_error(error)
            return False
        return True

    def _lose(self) -> None:
        with self._lock:
            self._lost += 1

    def _note_spool_error(self, error: Exception) -> None:
        said = f"the spool cannot be used: {error}"
        if said != self._spool_error:
            log.error("spool.unusable %s", error)
        self._spool_error = said

    def _after_fork(self) -> None:
        """Begin anew in a child process. See Note [Forks]."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = []
        self._asleep = self._wanted
        for part in (self._polls, self._posts, self._poller, self._poster, self._spool):
            part.after_fork()


def _repeat(work: Callable[[], float], stop: threading.Event) -> None:
    pause = 0.0
    while not stop.wait(pause):
        try:
            pause = work()
        except Exception:
            # A thread that ended would be missed by nobody until its work is.
            log.exception("thread.fault")
            pause = _AFTER_A_FAULT_SECONDS


_clients: weakref.WeakSet[Tollkeeper] = weakref.WeakSet()


_one_fork = threading.Lock()
_forking: list[Tollkeeper] = []  # the same ones before and after


def _before_fork() -> None:
    _one_fork.acquire()
    _forking[:] = _clients
    for client in _forking:
        client._spool.before_fork()


def _in_parent() -> None:
    for client in _forking:
        client._spool.after_fork_in_parent()
    _forking.clear()
    _one_fork.release()


def _in_child() -> None:
    for client in _forking:
        client._after_fork()
    _forking.clear()
    _one_fork.release()


def _at_exit() -> None:
    for client in list(_clients):
        client.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
