"""One line to the server: a request at a time, bounded in bytes and in time, that another thread may cut."""

from __future__ import annotations

import socket
import ssl
import threading
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import httpx

from ._version import VERSION

CLIENT = f"tollkeeper-python/{VERSION}"
MOST_BYTES = 64 * 1024 * 1024  # of an answer; rules are 1 MB at most, and their state some more
MOST_SECONDS_BEYOND = 60.0  # what an answer may take beyond the time for which nothing may be said
_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0

# Clients of the process that forked this one. Ending them here would end what they share with it.
_OF_THE_PARENT: list[httpx.Client] = []


class Unreachable(Exception):
    """No whole answer came; the message says what happened."""


class Closed(Unreachable):
    """The line was cut on this side."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # not compressed


class Line:
    """Connections to one server with one key. One thread asks; any other may `cut`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": CLIENT, "Accept-Encoding": "gzip"}
        self._client: httpx.Client | None = None
        self._socket: socket.socket | None = None
        self._cut = False

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        seconds: float,
    ) -> Answer:
        """Ask once and return the whole answer, whatever its status; redirects are not followed.

        Nothing may be silent for longer than `seconds`, and all of it takes a minute more at most.

        Raises:
            Unreachable: no answer, or not all of it; `Closed` where that is of our own making.
        """
        if self._cut:
            raise Closed("the client is closed")
        client = self._opened()
        timeout = httpx.Timeout(_WRITE_SECONDS, connect=min(_CONNECT_SECONDS, seconds), read=seconds)
        # The time limits of httpx begin anew with each byte, and headers may come one by one.
        late = threading.Event()
        ending = threading.Timer(seconds + MOST_SECONDS_BEYOND, self._end, [late])
        ending.daemon = True
        ending.start()
        try:
            with client.stream(
                method, self._url + path, params=params, headers=headers, content=content, timeout=timeout,
                extensions={"trace": self._note_socket},
            ) as response:  # fmt: skip
                raw = bytearray()
                for chunk in response.iter_raw():
                    raw += chunk
                    if len(raw) > MOST_BYTES:
                        raise Unreachable(f"the answer is over {MOST_BYTES:,} bytes")
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, found, _unpacked(bytes(raw), found.get("content-encoding", "")))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:  # a host that is no name, too
            if self._cut:
                raise Closed("the client is closed") from error
            told = "the answer takes too long" if late.is_set() else f"{type(error).__name__}: {error}".rstrip(": ")
            raise Unreachable(told) from error
        finally:
            ending.cancel()

    def _opened(self) -> httpx.Client:
        if self._client is None:
            try:
                self._client = httpx.Client(headers=self._headers, follow_redirects=False, verify=_authorities())
            except (OSError, ValueError, ImportError) as error:
                # HTTPS_PROXY and SSL_CERT_FILE are read here, and may say anything.
                raise Unreachable(f"the settings of proxies or authorities cannot be used: {error}") from error
        return self._client

    def open(self) -> None:
        """Let requests through again after a cut."""
        self._cut = False

    def cut(self) -> None:
        """End a request that is under way in another thread, and refuse those to come."""
        self._cut = True
        self._shut()

    def _end(self, late: threading.Event) -> None:
        late.set()
        self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # Not the method of a TLS socket, which forgets its state while the other thread uses it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connections. For the thread that asks, or when it has ended."""
        self._socket = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def after_fork(self) -> None:
        """Begin anew in a child process."""
        if self._client is not None:
            _OF_THE_PARENT.append(self._client)
        self._client = self._socket = None

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._cut:  # meanwhile
                self.cut()


@cache
def _authorities() -> ssl.SSLContext:
    """Return whom TLS trusts: certifi's list, or SSL_CERT_FILE and SSL_CERT_DIR. Read once: it takes a while."""
    return httpx.create_ssl_context()


def _unpacked(raw: bytes, encoding: str) -> bytes:
    if encoding.lower() not in ("gzip", "x-gzip"):
        return raw
    unpacking = zlib.decompressobj(wbits=31)
    try:
        body = unpacking.decompress(raw, MOST_BYTES)
    except zlib.error as error:
        raise Unreachable(f"the answer cannot be unpacked: {error}") from error
    if not unpacking.eof:
        raise Unreachable("the answer is cut off, or over the limit")
    return body
