"""A WSGI application that tells what it was asked, behind the bridge and as Granian serves it itself."""

from __future__ import annotations

import json
import threading
from collections import Counter

from controlplane.bridge import WSGIBridge

LARGEST_BODY = 1_000_000
THREADS = 2

happened: Counter[str] = Counter()
go_on = threading.Event()


class Streamed:
    """Chunks, of which the second comes when somebody has asked for /go-on."""

    streaming = True

    def __init__(self, *, endless: bool = False, broken: bool = False) -> None:
        self._endless, self._broken = endless, broken

    def __iter__(self):
        yield b"first\n"
        while self._endless:
            happened["chunks"] += 1
            yield b"x" * 65536
        if self._broken:
            raise RuntimeError("in the middle")
        go_on.wait(30)
        yield b"second\n"

    def close(self):
        happened["closed"] += 1
        happened["endless closed"] += self._endless


class Whole:
    """As a Django response: iterable, and not a stream."""

    streaming = False

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self):
        return iter([self._body])

    def close(self):
        happened["closed"] += 1


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    happened["calls"] += 1
    if path == "/go-on":
        go_on.set()
    if path == "/raise":
        raise RuntimeError("as it must not")
    if path in ("/stream", "/endless", "/broken"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Streamed(endless=path == "/endless", broken=path == "/broken")
    if path in ("/204", "/304"):
        start_response(f"{path[1:]} Nothing", [("ETag", '"a"')])
        return Whole(b"")
    if path == "/cookies":
        start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return Whole(b"")
    if path == "/written":
        start_response("200 OK", [])(b"written, ")
        return [b"and returned"]
    if path == "/happened":
        body = json.dumps(happened).encode()
    else:
        said = environ.get("CONTENT_LENGTH")
        read = environ["wsgi.input"].read(int(said)) if said else b""
        told = {name: value for name, value in environ.items() if isinstance(value, str | bool | tuple)}
        body = json.dumps({**told, "read": len(read), "ends": read[-8:].decode("latin-1")}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return Whole(body)


class Application:
    def __init__(self) -> None:
        self._bridge = WSGIBridge(wsgi, threads=THREADS, largest_body=LARGEST_BODY)

    def __rsgi_del__(self, loop) -> None:
        self._bridge.stop()

    async def __rsgi__(self, scope, proto) -> None:
        await self._bridge(scope, proto)


application = Application()
