"""A server that answers as it is told, also as no server should."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Say(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    cut: bool = False  # end in the middle of the body
    hold: threading.Event | None = None  # answer only then


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float  # seconds, of a clock that only runs


class Far:
    """What is not told to be answered otherwise gets `otherwise`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Say] = []
        self.otherwise = Say(500)
        self.url = ""

    def say(self, *answers: Say) -> None:
        self.answers.extend(answers)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for one in self.asked if one.method == "POST" for event in one.body]


@contextmanager
def far_side() -> Iterator[Far]:
    far = Far()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            far.asked.append(Asked(self.command, parts.path, query, dict(self.headers), body, time.monotonic()))
            answer = far.answers.pop(0) if far.answers else far.otherwise
            if answer.hold is not None:
                answer.hold.wait(30)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
            self.close_connection = self.close_connection or answer.cut

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    far.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield far
    finally:
        server.shutdown()
        server.server_close()
