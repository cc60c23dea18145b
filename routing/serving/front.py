"""Polls answered without Django: from the shelf, for keys that it knows, with neither thread nor connection.

Whatever is not plainly a poll of a known key (another method, an unknown, expired or unfit key) is none of ours and
goes on to Django, which says what is wrong with it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from routing.serving import documents, reports
from routing.serving.documents import Answer, Served
from routing.serving.shelf import Reader, Shelf

PREFIX = "/api/v1/rules/"
_ENVIRONMENT = re.compile(r"[A-Za-z0-9._:@-]{1,64}")


class Headers(Protocol):
    """What is asked of a request's headers; names are in lower case."""

    def get_all(self, key: str) -> list[str]: ...


class Watch(NamedTuple):
    """What the answer to a poll depends on."""

    environment: str
    served: Served | None
    digest: bytes
    reader: Reader

    @property
    def owner(self) -> int:
        """The gateway, or a key that belongs to none."""
        return -self.reader.key_id if self.reader.gateway_id is None else self.reader.gateway_id


class RulesFront:
    """Answers `GET` and `HEAD rules/{environment}`."""

    def __init__(self, shelf: Shelf, *, clock: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._clock = clock

    def answer(self, *, method: str, path: str, query: str, headers: Headers, waits: bool = False) -> Answer | None:
        """Answer a poll, or None for whatever has to go on to Django. Never blocks.

        `waits` says that the poll is let wait where this answer holds nothing new.
        """
        shelf = self._shelf
        if not shelf.loaded or method not in ("GET", "HEAD") or not path.startswith(PREFIX):
            return None
        environment = path[len(PREFIX) :]
        served = shelf.documents.get(environment)
        if served is None and (environment in shelf.broken or not _ENVIRONMENT.fullmatch(environment)):
            return None
        digest = _digest(headers)
        reader = None if digest is None else shelf.readers.get(digest)
        if reader is None:
            return None
        now = self._clock()
        if reader.expires_at <= now:
            return None

        if_none_match = joined(headers, "if-none-match")
        # Nearly every poll has what it was last given: nothing else is looked at then.
        answer = served.unchanged.get(if_none_match) if served is not None and if_none_match is not None else None
        if answer is None:
            answer = documents.respond(
                served,
                path=path,
                if_none_match=if_none_match,
                accept_encoding=joined(headers, "accept-encoding"),
                head=method == "HEAD",
            )
        shelf.polls.note_key(reader.key_id, now)
        if reader.gateway_id is not None:
            shelf.polls.note(
                gateway_id=reader.gateway_id, environment=environment, report=reports.read(query),
                if_none_match=if_none_match, given=served, at=now, waits=waits,
            )  # fmt: skip
        return answer

    def watch(self, *, path: str, headers: Headers) -> Watch | None:
        """Return what the answer to a GET depends on; None where it is none of ours."""
        digest = _digest(headers) if path.startswith(PREFIX) else None
        reader = None if digest is None else self._shelf.readers.get(digest)
        if digest is None or reader is None:
            return None
        environment = path[len(PREFIX) :]
        return Watch(environment, self._shelf.documents.get(environment), digest, reader)

    def is_over(self, watch: Watch) -> bool:
        """Say whether something changed, so that the poll has to be asked again."""
        shelf = self._shelf
        return (
            shelf.documents.get(watch.environment) is not watch.served
            or shelf.readers.get(watch.digest) != watch.reader
            or watch.environment in shelf.broken
        )

    def seconds_left(self, watch: Watch) -> float:
        """Return how long the key still counts; infinite for one that does not expire."""
        return watch.reader.expires_at - self._clock()


def _digest(headers: Headers) -> bytes | None:
    # As core.api.KeyAuthentication reads them. A header that is there twice is for Django to refuse.
    given = headers.get_all("authorization")
    secret = None
    if given:
        scheme, _, rest = given[0].partition(" ")
        if scheme.lower() == "bearer":
            secret = rest.strip()
    if secret is None:
        given = headers.get_all("x-api-key")
        secret = given[0] if given else None
    if secret is None or len(given) != 1:
        return None
    return hashlib.sha256(secret.encode()).digest()


def joined(headers: Headers, name: str) -> str | None:
    """Return the values of a header, several joined by commas; None where there is none."""
    values = headers.get_all(name)
    if len(values) == 1:
        return values[0]
    return ",".join(values) if values else None
