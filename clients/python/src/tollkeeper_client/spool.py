"""Events on their way to the server, on disk: what `add` returned from survives a restart and kill -9.

An SQLite database, because that is what the standard library has for several processes that append and delete, each of
which may die at any moment. Written ahead (WAL) and not synced for each event: the death of a process loses nothing, a
power cut may lose the last seconds.

# Note [Full]
The spool holds so many bytes of events. When it is full the oldest make room, because they are the first that would
come too late for the budgets of their day; how many were dropped is counted in the database and told by `status()`.

# Note [Whose turn]
Of the processes that share a directory and a key, one sends what all of them have spooled. Its turn is a lock on a
database of its own, which the system takes back when the process dies, however it dies. Were two to send, nothing would
count twice: the server knows an event by its id.

# Note [Under another key]
An event belongs to the gateway whose key its process had. Each process sends what was spooled under its own key. What
lies there for an hour under another one was left behind by a key that was rotated, and is sent with the present one.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("tollkeeper_client")

EVENTS = "usage/events"  # where native events go, below /api/v1/
LEFT_BEHIND_SECONDS = 3600
_BUSY_SECONDS = 5.0
_CHECKPOINT_PAGES = 16_000  # 64 MB of log, where nobody calls `tidy`
_ROOM = 50  # the part of the spool that is dropped at once when it is full: a fiftieth

_TABLES = """
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL, at REAL NOT NULL, body BLOB NOT NULL,
    "to" TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS total (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO total VALUES ('bytes', 0), ('dropped', 0), ('refused', 0), ('sent', 0);
CREATE TRIGGER IF NOT EXISTS event_added AFTER INSERT ON event BEGIN
    UPDATE total SET value = value + length(new.body) WHERE name = 'bytes';
END;
CREATE TRIGGER IF NOT EXISTS event_gone AFTER DELETE ON event BEGIN
    UPDATE total SET value = value - length(old.body) WHERE name = 'bytes';
END;
"""


class Waiting(NamedTuple):
    """One event that waits."""

    id: int
    body: bytes
    to: str = EVENTS


class Totals(NamedTuple):
    waiting: int  # events, under whatever key
    bytes: int
    sent: int  # since the spool was made, as are the next two
    dropped: int  # because it was full; see Note [Full]
    refused: int  # by the server, one by one


class Spool:
    """A bounded queue of events. `path` None keeps it in memory, where there is no place on disk.

    Every method may raise `sqlite3.Error` where the disk is full or gone.
    """

    def __init__(self, path: Path | None, *, sender: str, most_bytes: int) -> None:
        self._path = path
        self._sender = sender
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._turn: sqlite3.Connection | None = None

    @property
    def on_disk(self) -> bool:
        return self._path is not None

    def add(self, body: bytes, *, at: float, to: str = EVENTS) -> None:
        """Put an event in, of one JSON object; some 50 microseconds. `at` is the time in seconds since 1970."""
        with self._transaction("IMMEDIATE") as connection:
            self._make_room(connection, len(body))
            row = (self._sender, at, body, to)
            connection.execute('INSERT INTO event (sender, at, body, "to") VALUES (?, ?, ?, ?)', row)

    def next(self, *, most: int, most_bytes: int, at: float) -> list[Waiting]:
        """Return the oldest events to send now: at least one if any waits, at most so many and about so many bytes.

        All go to one place: the next run of those that do.
        """
        found: list[Waiting] = []
        size = 0
        with self._transaction() as connection:
            rows = connection.execute(
                'SELECT id, body, "to" FROM event WHERE sender = ? OR at < ? ORDER BY id LIMIT ?',
                (self._sender, at - LEFT_BEHIND_SECONDS, most),
            )
            for event_id, body, to in rows:
                size += len(body)
                if found and (size > most_bytes or to != found[0].to):
                    break
                found.append(Waiting(event_id, body, to))
            rows.close()
        return found

    def done(self, events: Sequence[Waiting], *, refused: int = 0) -> None:
        """Let go of events that the server has kept, or has refused: `refused` of them."""
        with self._transaction("IMMEDIATE") as connection:
            gone = connection.executemany("DELETE FROM event WHERE id = ?", [(event.id,) for event in events])
            self._count(connection, "refused", refused)
            # What made room while it was being sent stays counted as dropped.
            self._count(connection, "sent", gone.rowcount - refused)

    def waits(self) -> bool:
        """Say whether an event waits that was spooled under this key."""
        with self._transaction() as connection:
            row = connection.execute("SELECT 1 FROM event WHERE sender = ? LIMIT 1", (self._sender,)).fetchone()
            return row is not None

    def totals(self) -> Totals:
        with self._transaction() as connection:
            waiting = connection.execute("SELECT count(*) FROM event").fetchone()[0]
            values = dict(connection.execute("SELECT name, value FROM total").fetchall())
            return Totals(waiting, values["bytes"], values["sent"], values["dropped"], values["refused"])

    def my_turn(self) -> bool:
        """Say whether this process sends; see Note [Whose turn]. It keeps the turn until `close`."""
        if self._path is None:
            return True
        with self._lock:
            if self._turn is not None:
                return True
            connection = _connect(self._path.with_suffix(f".{self._sender}.turn"), timeout=0)
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                connection.close()
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                    return False
                raise
            self._turn = connection
            return True

    def close(self) -> None:
        """Let go of files and of the turn. Used again, it opens them again; one in memory is kept."""
        with self._lock:
            self._let_go()

    def tidy(self) -> None:
        """Bring the log into the database. That waits for the disk, and `add` does not wait for it."""
        if self._path is not None:
            with closing(_connect(self._path, timeout=0)) as connection, suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    # Note [SQLite and forks]: a child must not inherit an open database. What SQLite remembers there of locks would be
    # its parent's, held for ever. So everything is closed before a fork, and opened again when it is next wanted.

    def before_fork(self) -> None:
        self._lock.acquire()
        self._let_go()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        """Begin anew in a child process. What is only in memory stays with the parent."""
        self._lock = threading.Lock()
        self._connection = None

    @contextmanager
    def _transaction(self, kind: str = "DEFERRED") -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._open()
            try:
                connection.execute(f"BEGIN {kind}")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                if _is_broken(error) and self._path is not None:
                    connection.close()
                    self._connection = None  # so that opening it again finds what is wrong
                raise

    def _let_go(self) -> None:
        with suppress(sqlite3.Error):
            if self._turn is not None:
                self._turn.close()
            if self._connection is not None and self._path is not None:
                self._connection.close()
        self._turn = None
        if self._path is not None:
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _prepared(":memory:") if self._path is None else _opened(self._path)
        return self._connection

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        held = connection.execute("SELECT value FROM total WHERE name = 'bytes'").fetchone()[0]
        excess = held + size - self._most_bytes
        if excess <= 0 or not held:
            return
        excess += self._most_bytes // _ROOM
        last = freed = count = 0
        oldest = connection.execute("SELECT id, length(body) FROM event ORDER BY id")
        for event_id, length in oldest:
            last, freed, count = event_id, freed + length, count + 1
            if freed >= excess:
                break
        oldest.close()
        connection.execute("DELETE FROM event WHERE id <= ?", (last,))
        self._count(connection, "dropped", count)
        log.error("spool.full the oldest %d events were dropped", count)

    @staticmethod
    def _count(connection: sqlite3.Connection, name: str, by: int) -> None:
        if by:
            connection.execute("UPDATE total SET value = max(0, value + ?) WHERE name = ?", (by, name))


def _is_broken(error: BaseException) -> bool:
    """Say whether a database is none, or damaged; locked and full ones come right by themselves."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def _connect(path: Path | str, *, timeout: float) -> sqlite3.Connection:
    if isinstance(path, Path):
        # Events name people and use cases. SQLite gives what it makes beside a database the rights of that.
        with suppress(OSError):  # SQLite says what is wrong
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # Transactions are begun and ended by hand. Threads take turns by the spool's lock.
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a spool, make it where there is none, and set it aside for a new one where it is damaged."""
    # One process at a time: several would be in each other's way while it is made, and would each set it aside.
    with closing(_connect(path.with_suffix(".opening"), timeout=_BUSY_SECONDS)) as turn:
        turn.execute("BEGIN EXCLUSIVE")
        try:
            return _prepared(path)
        except sqlite3.DatabaseError as error:
            if not _is_broken(error):
                raise
            aside = path.with_name(f"{path.name}.broken-{int(time.time())}")
            log.error("spool.broken %s: begun anew, the old one is %s", error, aside)
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
        return _prepared(path)


def _prepared(path: Path | str) -> sqlite3.Connection:
    connection = _connect(path, timeout=_BUSY_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'event_gone'").fetchone()
        if made is None:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection
