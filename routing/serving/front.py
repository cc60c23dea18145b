"""Polls answered without Django: from the shelf, for keys that it knows, with neither thread nor connection.

Whatever is not plainly a poll of a known key (another method, a query that is not understood, an unknown, expired or
unfit key) is none of ours and goes on to Django, which says what is wrong with it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qsl

from routing.serving import documents
from routing.serving.documents import Answer
from routing.serving.polls import INSTANCE
from routing.serving.shelf import Reader, Shelf

PREFIX = "/api/v1/rules/"
_ENVIRONMENT = re.compile(r"[A-Za-z0-9._:@-]{1,64}")
_KEPT_QUERY = 300  # characters


class Headers(Protocol):
    """What is asked of a request's headers; names are in lower case."""

    def get_all(self, key: str) -> list[str]: ...


class RulesFront:
    """Answers `GET` and `HEAD rules/{environment}`."""

    def __init__(self, shelf: Shelf, *, clock: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._clock = clock

    def answer(self, *, method: str, path: str, query: str, headers: Headers) -> Answer | None:
        """Answer a poll, or None for whatever has to go on to Django. Never blocks."""
        shelf = self._shelf
        if not shelf.loaded or method not in ("GET", "HEAD") or not path.startswith(PREFIX):
            return None
        environment = path[len(PREFIX) :]
        served = shelf.documents.get(environment)
        if served is None and (environment in shelf.broken or not _ENVIRONMENT.fullmatch(environment)):
            return None
        instance = _instance(query) if query else ""
        if instance is None:
            return None
        reader = self._reader(headers)
        if reader is None:
            return None
        now = self._clock()
        if reader.expires_at <= now:
            return None

        if_none_match = _joined(headers, "if-none-match")
        # Nearly every poll has what it was last given: nothing else is looked at then.
        answer = served.unchanged.get(if_none_match) if served is not None and if_none_match is not None else None
        if answer is None:
            answer = documents.respond(
                served,
                path=path,
                if_none_match=if_none_match,
                accept_encoding=_joined(headers, "accept-encoding"),
                head=method == "HEAD",
            )
        shelf.polls.note_key(reader.key_id, now)
        if reader.gateway_id is not None:
            shelf.polls.note(
                gateway_id=reader.gateway_id, environment=environment, instance=instance, if_none_match=if_none_match,
                given=served, at=now,
            )  # fmt: skip
        return answer

    def _reader(self, headers: Headers) -> Reader | None:
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
        return self._shelf.readers.get(hashlib.sha256(secret.encode()).digest())


def _joined(headers: Headers, name: str) -> str | None:
    values = headers.get_all(name)
    if len(values) == 1:
        return values[0]
    return ",".join(values) if values else None


def _instance(query: str) -> str | None:
    """Return what an instance calls itself; None where the query string says anything else."""
    return _read_instance(query) if len(query) <= _KEPT_QUERY else None


@lru_cache(maxsize=4096)
def _read_instance(query: str) -> str | None:
    fields = parse_qsl(query, keep_blank_values=True)
    if len(fields) != 1 or fields[0][0] != "instance" or not INSTANCE.fullmatch(fields[0][1]):
        return None
    return fields[0][1]
