"""Where the time of an event goes: what each stage takes at the edge, in the worker, and in their PostgreSQL.

Both run in this process, one after the other, over the code that a house runs: the web process's own callable, and the
booking of what waits. A stage is a function of theirs that is called once for a body or a batch; the clock is read
where one begins and ends, so a stage does not hold what a stage inside it took. Beside the time that passed stands the
processor's time, of this process and of PostgreSQL's for it: on a machine that does other work too, that is what tells.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from budgets.services import counters
from controlplane.bench.ingest import BATCH, bodies, prepare
from core import nudges
from usage import api_intake
from usage.formats.items import Reader
from usage.rules import postings
from usage.services import booking, intake, ledger, naming, once, pricing

REST = "the rest"

Name = str | Callable[..., str]


@dataclass(slots=True)
class Spent:
    """Seconds: that passed, of this process's processor, of PostgreSQL's."""

    wall: float = 0.0
    here: float = 0.0
    database: float = 0.0


@dataclass
class Clock:
    """Adds up what stages take; what no stage takes is `REST`."""

    spent: dict[str, Spent] = field(default_factory=dict)
    _open: list[str] = field(default_factory=lambda: [REST])
    _backend: Path = Path("/nowhere")
    _last: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def start(self) -> None:
        self.spent = {}
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self._backend = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
        self._last = self._now()

    def stop(self) -> None:
        self._turn()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = self._now()
        spent = self.spent.setdefault(self._open[-1], Spent())
        spent.wall += now[0] - self._last[0]
        spent.here += now[1] - self._last[1]
        spent.database += now[2] - self._last[2]
        self._last = now

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), _seconds(self._backend)


def _seconds(schedstat: Path) -> float:
    """Return the processor's time of a process, as Linux counts it; elsewhere nobody knows."""
    try:
        return int(schedstat.read_bytes().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One way of an event: its stages in order, and what its whole took, in seconds for so many events."""

    title: str
    events: int
    stages: dict[str, Spent]


_EDGE: Sequence[tuple[Any, str, Name]] = (
    (intake, "check_room", "is there room"),
    (api_intake, "decompress", "read the body"),
    (Reader, "read", "make events: check, normalise"),
    (Reader, "_records", "decode JSON"),
    (intake, "pack", "pack: msgpack, zstd"),
    (intake, "take", "INSERT of the receipt, commit"),
    (nudges, "nudge", "nudge"),
)


def _upsert_name(cursor: object, statement: str, *_: object) -> str:
    return "rollups of quarter hours" if statement == ledger._SQL_15MIN else "rollups of days"


_WORKER: Sequence[tuple[Any, str, Name]] = (
    (booking, "_waiting", "look for receipts"),
    (booking, "_book", "claim, barrier, is the world the same"),
    (intake, "unpack", "unpack: zstd, msgpack"),
    (booking, "_read", "digests of ids and contents"),
    (naming, "name", "names"),
    (booking, "_place", "times and numbers"),
    (once, "keep_new", "event keys"),
    (pricing, "postings", "price, make postings"),
    (ledger, "_copy", "COPY into the ledger"),
    (postings, "sums_of", "sums of postings"),
    (ledger, "_quarter_hours", "sort the sums, fold them to days"),
    (ledger, "_days", "sort the sums, fold them to days"),
    (ledger, "_upsert", _upsert_name),
    (ledger, "_consumptions", "counters, crossings"),
    (counters, "consume", "counters, crossings"),
    (booking, "_finish", "receipts done"),
    (BaseDatabaseWrapper, "commit", "commit"),
)


def measure(*, events: int) -> list[Part]:
    """Send so many events in bodies of 1000 and book them, after some of each to warm up."""
    key = prepare(timezone.now())
    clock = Clock()
    application = get_wsgi_application()
    for one in bodies(10, timezone.now()):
        _post(application, key, one)
    booking.book_pending(at=timezone.now())
    ready = bodies(events // BATCH, timezone.now())
    parts = []
    with _timed(clock, _EDGE):
        clock.start()
        for one in ready:
            _post(application, key, one)
        clock.stop()
    parts.append(_part("The edge, a body of 1000 events at a time", clock, _EDGE, len(ready) * BATCH))
    with _timed(clock, _WORKER):
        clock.start()
        booking.book_pending(at=timezone.now())
        clock.stop()
    parts.append(_part("The worker, 4000 events in a transaction", clock, _WORKER, len(ready) * BATCH))
    return parts


def show(parts: Iterable[Part]) -> None:
    """Print microseconds per event as tables of Markdown."""
    lines = []
    for part in parts:
        lines += [f"| {part.title} | passed | Python's | PostgreSQL's |", "| --- | ---: | ---: | ---: |"]
        total = Spent()
        for name, spent in part.stages.items():
            lines.append(_row(name, spent, part.events))
            for kind in ("wall", "here", "database"):
                setattr(total, kind, getattr(total, kind) + getattr(spent, kind))
        lines += [_row("all of it", total, part.events), ""]
    lines.append("Microseconds per event: the time that passed, and the processor's time of either.")
    sys.stdout.write("\n".join(lines) + "\n")


def _row(name: str, spent: Spent, events: int) -> str:
    times = (spent.wall, spent.here, spent.database)
    return f"| {name} | {' | '.join(f'{seconds / events * 1e6:.2f}' for seconds in times)} |"


def _part(title: str, clock: Clock, stages: Sequence[tuple[Any, str, Name]], events: int) -> Part:
    order = [name for _, _, name in stages if isinstance(name, str)]
    known = {name: clock.spent[name] for name in (*dict.fromkeys(order), *clock.spent) if name in clock.spent}
    rest = known.pop(REST)
    return Part(title=title, events=events, stages={**known, REST: rest})


@contextmanager
def _timed(clock: Clock, stages: Sequence[tuple[Any, str, Name]]) -> Iterator[None]:
    """Have the clock read around these functions."""
    with ExitStack() as stack:
        for owner, attribute, name in stages:
            original = getattr(owner, attribute)
            setattr(owner, attribute, _around(clock, original, name))
            stack.callback(setattr, owner, attribute, original)
        yield


def _around(clock: Clock, function: Callable[..., Any], name: Name) -> Callable[..., Any]:
    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.stage(name if isinstance(name, str) else name(*args)):
            return function(*args, **kwargs)

    return timed


def _post(application: Callable[..., Iterable[bytes]], key: str, body: bytes) -> None:
    answered: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/api/v1/usage/events", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json",
        "HTTP_HOST": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {key}", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    answer = application(environ, lambda status, headers, error=None: answered.append(status))
    text = b"".join(answer)
    close = getattr(answer, "close", None)
    if close is not None:
        close()
    if not answered[0].startswith("202"):
        raise RuntimeError(f"the edge refused a body: {answered[0]} {text[:200]!r}")
