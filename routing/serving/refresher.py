"""The thread that keeps a web process's shelf in step with the database, on one connection of its own.

It listens for `tollkeeper_rules` and looks once a second anyway: a word that got lost costs a second. While the
database is away it tries again after growing pauses, and what is on the shelf goes on being served.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress

import psycopg
import structlog
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection

from routing.models import Version
from routing.serving import loading
from routing.serving.shelf import Shelf

log = structlog.get_logger(__name__)

# A revoked key is refused, and a lost word made good, within this and the time of a look.
LOOK_EVERY_SECONDS = 1.0
WRITE_POLLS_EVERY_SECONDS = 3.0
CHANNEL = "tollkeeper_rules"

_SLICE_SECONDS = 0.25  # how soon it notices that it is to stop
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 1.0


class Refresher:
    """Fills a shelf until it is told to stop."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._keys: tuple[int, int] | None = None
        self._polls_at = time.monotonic()
        self._away = ""  # why the last look failed, as the log has it
        self._failed: set[loading.Pointer] = set()  # documents of which the log says that they cannot be made
        self._stop = threading.Event()
        # A daemon: a database that does not answer must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="rules-refresher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, seconds: float = 2.0) -> None:
        """End the thread, after a last write of the polls where the database answers."""
        self._stop.set()
        self._thread.join(seconds)

    def look(self) -> None:
        """Bring the shelf up to date. Two queries where nothing changed.

        A document is put on the shelf when it is whole; one that cannot be made leaves the last good one in its place,
        and is tried again at the next look.
        """
        shelf = self._shelf
        documents, broken = {}, set()
        for pointer in loading.pointers():
            kept = shelf.documents.get(pointer.name)
            if kept is None or not pointer.is_of(kept):
                try:
                    kept = loading.served(pointer)
                except (ValueError, Version.DoesNotExist) as error:
                    if pointer not in self._failed:
                        self._failed.add(pointer)
                        log.error(
                            "rules.document_failed", environment=pointer.name, version=pointer.version, exc_info=error
                        )
            if kept is None:
                broken.add(pointer.name)
            else:
                documents[pointer.name] = kept
        changed = documents != shelf.documents or broken != shelf.broken
        shelf.broken = broken
        shelf.documents = documents
        if changed:
            shelf.on_change()

        keys = loading.keys_fingerprint()
        if keys != self._keys:
            shelf.readers = loading.readers()
            self._keys = keys
            shelf.on_change()
        shelf.loaded = shelf.fresh = True

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"LISTEN {CHANNEL}")
                while not self._stop.is_set():
                    self.look()
                    if self._away:
                        self._away = ""
                        log.warning("rules.refreshed_again")
                    self._write_polls()
                    pause = _FIRST_PAUSE_SECONDS
                    self._wait()
            except (DatabaseError, InterfaceError, psycopg.Error) as error:
                self._failing("rules.database_away", error)
            except Exception as error:  # whatever it is, polls go on being answered with what is here
                self._failing("rules.refresh_failed", error)
            if not self._stop.is_set():
                _hang_up()
                self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 (so that processes do not come at once)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        with suppress(DatabaseError, InterfaceError, psycopg.Error):
            self._shelf.polls.write(now=time.time())
        _hang_up()

    def _wait(self) -> None:
        """Return at a word from the database, or when the next look is due."""
        until = time.monotonic() + LOOK_EVERY_SECONDS
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            if list(connection.connection.notifies(timeout=min(left, _SLICE_SECONDS), stop_after=1)):
                return

    def _write_polls(self) -> None:
        if time.monotonic() < self._polls_at + WRITE_POLLS_EVERY_SECONDS:
            return
        self._polls_at = time.monotonic()
        try:
            self._shelf.polls.write(now=time.time())
        except (DataError, IntegrityError) as error:  # knowing who polled is not worth a look that is not taken
            log.error("polls.not_written", exc_info=error)
            self._shelf.polls.clear()

    def _failing(self, event: str, error: Exception) -> None:
        self._shelf.fresh = False
        if event != self._away:  # once, not at every attempt
            self._away = event
            log.warning(event, exc_info=error)


def _hang_up() -> None:
    with suppress(DatabaseError, InterfaceError, psycopg.Error):
        connection.close()
