"""From Granian's RSGI to WSGI: Django's callable, in a bounded pool of threads, behind whatever answers on the loop.

A thread holds a database connection, so there are few of them, and requests wait in a queue. Bodies are read on the
loop, before a thread is taken: a slow client holds none.

# Note [Bodies in memory]
A body is whole before Django sees it, which lets one that comes in chunks have a CONTENT_LENGTH. Up to a quarter of a
megabyte is just read; whatever is larger, or grows so, reserves its room first, all of it at once, so that two that
have half of theirs never wait for each other. What is over the limit is refused by its Content-Length, or once as much
has come.

# Note [Streams]
Granian takes a stream as fast as Django makes it and keeps what its client has not yet taken, and no setting bounds
that; the README has figures. So a stream is compressed for whoever takes that, and says by itself where it broke off:
to its reader an end is an end.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

FREE_BYTES = 256 * 1024  # see Note [Bodies in memory]
LARGE_AT_ONCE = 4  # bodies of the largest size
IDLE_SECONDS = 30.0  # without a byte of a body, until its client is given up

Environ = dict[str, Any]
WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_VERSIONS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2"}
_BASE: Environ = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}


class Scope(Protocol):
    """What is used of Granian's scope."""

    @property
    def http_version(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def authority(self) -> str | None: ...
    @property
    def headers(self) -> Any: ...


class _Refused(Exception):
    """A body that is not taken; the answer says why."""

    def __init__(self, status: int, title: str, code: str, detail: str) -> None:
        self.answer = (status, title, code, detail)


class _Room:
    """Bytes that large bodies may hold together, given out in the order in which they ask."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def reserve(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release(size)
            raise

    def release(self, size: int) -> None:
        self._free += size
        while self._waiting:
            wanted, place = self._waiting[0]
            if place.cancelled():
                self._waiting.popleft()
            elif wanted <= self._free:
                self._waiting.popleft()
                self._free -= wanted
                place.set_result(None)
            else:
                return


class WSGIBridge:
    """Serves a WSGI application. `start` belongs to the loop's beginning, `stop` to its end."""

    def __init__(self, application: WSGIApplication, *, threads: int, largest_body: int) -> None:
        self._application = application
        self._largest = largest_body
        self._room = _Room(LARGE_AT_ONCE * largest_body)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="django")

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, proto: Any) -> None:
        """Answer one request."""
        reserved = 0
        try:
            environ = environ_of(scope)
            body = b""
            if _has_body(scope, environ):
                try:
                    body, reserved = await self._read(environ, proto)
                except _Refused as refused:
                    _problem(proto, scope.path, *refused.answer)
                    return
                environ["CONTENT_LENGTH"] = str(len(body))
                # It is no longer in chunks.
                environ.pop("HTTP_TRANSFER_ENCODING", None)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["wsgi.errors"] = sys.stderr
            del body
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._answer, environ, proto, loop)
        finally:
            if reserved:
                self._room.release(reserved)

    async def _read(self, environ: Environ, proto: Any) -> tuple[bytes, int]:
        """Return the whole body, and how much room is reserved for it."""
        said = environ.get("CONTENT_LENGTH")
        expected = int(said) if said is not None and said.isdecimal() else None
        if expected is not None and expected > self._largest:
            raise self._too_large()
        if expected is not None and expected <= FREE_BYTES:
            return await self._read_small(proto), 0
        chunks: list[bytes] = []
        size = reserved = empties = 0
        loop = asyncio.get_running_loop()
        whole = False
        try:
            if expected is not None:
                await self._room.reserve(expected)
                reserved = expected
            async with asyncio.timeout(IDLE_SECONDS) as idle:
                async for chunk in proto:
                    if not chunk:
                        empties += 1
                        continue
                    size += len(chunk)
                    if size > self._largest:
                        raise self._too_large()
                    chunks.append(chunk)
                    if size > FREE_BYTES and not reserved:
                        idle.reschedule(None)
                        await self._room.reserve(self._largest)
                        reserved = self._largest
                    idle.reschedule(loop.time() + IDLE_SECONDS)
            # Granian ends a body with one empty chunk, and puts another before it where the client broke off (or sent
            # trailers, which nobody does): what came is then no body, though it may look like one.
            if empties != 1 or (expected is not None and size != expected):
                raise _broke_off()
            whole = True
            return b"".join(chunks), reserved
        except TimeoutError:
            raise _too_slow() from None
        finally:
            if reserved and not whole:
                self._room.release(reserved)

    @staticmethod
    async def _read_small(proto: Any) -> bytes:
        """Return a body whose length is known and small: the loop is waited for once, and not for each chunk."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                body: bytes = await proto()
                return body
        except TimeoutError:
            raise _too_slow() from None
        except RuntimeError:  # Granian's ProtocolClosed
            raise _broke_off() from None

    def _too_large(self) -> _Refused:
        return _Refused(413, "Too large", "too-large", f"The body is over {self._largest:,} bytes, the limit here.")

    def _answer(self, environ: Environ, proto: Any, loop: AbstractEventLoop) -> None:
        """Have the application answer; runs in a thread of the pool."""
        begun: list[tuple[int, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., Any]:
            begun[:] = [(int(status.split(" ", 1)[0]), headers)]
            return written.append

        result: Any = None
        try:
            result = self._application(environ, start_response)
            if getattr(result, "streaming", True) and environ["REQUEST_METHOD"] != "HEAD":
                self._stream(result, begun, written, proto, loop)
                return
            body = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"".join((*written, *result))
            status, headers = begun[0]
            if body:
                proto.response_bytes(status, headers, body)
            else:
                proto.response_empty(status, headers)
        except Exception:
            log.exception("web.failed", path=environ["PATH_INFO"])
            # Harmless where an answer has begun.
            proto.response_empty(500, [])
        finally:
            if hasattr(result, "close"):
                result.close()

    @staticmethod
    def _stream(result: Any, begun: list[Any], written: list[bytes], proto: Any, loop: AbstractEventLoop) -> None:
        transport: Any = None

        async def send(chunk: bytes) -> None:
            await transport.send_bytes(chunk)

        for chunk in result:
            if transport is None:
                # Not before the first chunk: only then has an application to have said the status.
                transport = proto.response_stream(*begun[0])
                chunk = b"".join((*written, chunk))
            if chunk:
                try:
                    asyncio.run_coroutine_threadsafe(send(chunk), loop).result()
                except RuntimeError as error:  # Granian's ProtocolClosed: the client went away
                    log.info("web.client_gone", error=str(error))
                    return
        if transport is None:
            status, headers = begun[0]
            proto.response_bytes(status, headers, b"".join(written))


def environ_of(scope: Scope) -> Environ:
    """Return the WSGI environment of a request, without its body (PEP 3333, RFC 3875)."""
    environ = dict(_BASE)
    environ["SERVER_PROTOCOL"] = _VERSIONS.get(scope.http_version, "HTTP/1.1")
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _host_and_port(scope.server)
    environ["REMOTE_ADDR"] = _host_and_port(scope.client)[0]
    environ["REQUEST_METHOD"] = scope.method
    # Decoded by Granian once, and never again here: what is still encoded after that is part of a name.
    environ["PATH_INFO"] = scope.path.encode().decode("latin-1")
    environ["QUERY_STRING"] = scope.query_string.encode().decode("latin-1")
    environ["wsgi.url_scheme"] = scope.scheme
    for name, value in scope.headers.items():
        key = _key(name)
        if key is None:
            continue
        if key not in environ:
            environ[key] = value
        elif key == "HTTP_COOKIE":
            environ[key] += ";" + value
        elif key.startswith("HTTP_"):
            environ[key] += "," + value
    if "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority or ""
    return environ


@lru_cache(maxsize=512)
def _key(name: str) -> str | None:
    # X_Forwarded_Proto would pass for the X-Forwarded-Proto that a proxy in front sets, or strips.
    if "_" in name or name == "proxy":
        return None
    if name in ("content-type", "content-length"):
        return name.upper().replace("-", "_")
    return "HTTP_" + name.upper().replace("-", "_")


def _host_and_port(address: str) -> tuple[str, str]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():  # a Unix socket, perhaps without a name
        return address, "0"
    return host.strip("[]"), port


def _has_body(scope: Scope, environ: Environ) -> bool:
    if "HTTP_TRANSFER_ENCODING" in environ:
        return True
    said = environ.get("CONTENT_LENGTH")
    if said is not None:
        return said != "0"
    # HTTP/2 frames a body without saying how long it is.
    return scope.http_version == "2" and scope.method not in ("GET", "HEAD")


def _too_slow() -> _Refused:
    return _Refused(408, "The request did not come", "too-slow", "The body did not come in time.")


def _broke_off() -> _Refused:
    return _Refused(400, "The request cannot be read", "malformed", "The body broke off.")


def _problem(proto: Any, path: str, status: int, title: str, code: str, detail: str) -> None:
    """Answer as `core.api.problem` would."""
    body = {
        "type": f"urn:tollkeeper:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    proto.response_bytes(status, [("content-type", "application/problem+json")], text.encode())
