"""A server of the tests' own: answers each request with the next line of a script, remembers what it was asked."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

OPUS, FLASH = "claude-opus-4.7@anthropic", "deepseek-v4-flash@deepseek"
CONTEXT = {"use_case": "code-review", "task": "code", "session": "s-1"}


def document(version: int = 1, revision: int = 1, *, target: str = OPUS, **overrides: Any) -> dict[str, Any]:
    """Make rules that send code to `target`, and all else to the cheap one."""
    return {
        "spec": 1, "environment": "production", "version": version, "published_at": "2026-11-20T12:00:00Z",
        "rules": [
            {
                "id": "code", "when": {"field": "task", "op": "eq", "value": "code"},
                "targets": [{"offering": target, "weight": 10000}], "fallbacks": [FLASH],
                "rationale": "the best at code", "owner": "platform", "review_by": "2027-02-20",
            },
        ],
        "default": {"targets": [{"offering": FLASH, "weight": 10000}]},
        "offerings": {
            OPUS: {
                "model": "claude-opus-4.7", "provider": "anthropic", "tier": "frontier",
                "gateway_names": {"litellm": "anthropic/claude-opus-4-7"},
            },
            FLASH: {"model": "deepseek-v4-flash", "provider": "deepseek", "tier": "economy"},
        },
        "state": {"revision": revision, "budgets": [], "switches": [], "orders": {}, "canary": None},
        **overrides,
    }  # fmt: skip


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def tags(self) -> str | None:
        return self.headers.get("If-None-Match")

    @property
    def events(self) -> list[dict[str, Any]]:
        return json.loads(gzip.decompress(self.body))


class Line(NamedTuple):
    """One answer. `claimed` is a Content-Length that is not true; status 0 hangs up without a word."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    claimed: int | None = None
    wait_for: threading.Event | None = None


def given(
    found: Mapping[str, Any] | bytes, *, tag: str | None = None, packed: bool = True, cut: int = 0, **headers: str
) -> Line:
    """Answer 200 with a document as the server gives it; `cut` takes so many bytes off its end."""
    body = found if isinstance(found, bytes) else json.dumps(found).encode()
    if tag is None and not isinstance(found, bytes):
        tag = f'"{found["version"]}.{found["state"]["revision"]}{"-gzip" if packed else ""}"'
    sent = gzip.compress(body) if packed else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    told = {"ETag": tag or '"9.9"'} | ({"Content-Encoding": "gzip"} if packed else {}) | named
    return Line(200, sent[: len(sent) - cut], told, None)


def same(tag: str, **headers: str) -> Line:
    return Line(304, headers={"ETag": tag} | {name.replace("_", "-"): value for name, value in headers.items()})


def problem(status: int, code: str = "about", **headers: str) -> Line:
    body = json.dumps({"type": f"urn:tollkeeper:problem:{code}", "detail": "a sentence", "status": status}).encode()
    return Line(status, body, {"Content-Type": "application/problem+json"} | headers)


def kept(accepted: int = 1, *rejected: tuple[int, str]) -> Line:
    """Answer a post of events as the intake does."""
    refused = [{"index": index, "error": error} for index, error in rejected]
    return Line(202, json.dumps({"receipt": "7", "accepted": accepted, "rejected": refused}).encode())


class FarSide:
    """The server, on a port of its own. What has no line in its script is answered by `otherwise`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.otherwise: Callable[[Asked], Line] = lambda asked: Line(599, b"nothing left in the script")
        self._script: list[Line] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answers(self, *lines: Line) -> None:
        self._script.extend(lines)

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event of every post, whatever became of it."""
        return [event for asked in self.asked if asked.method == "POST" for event in asked.events]

    @contextmanager
    def running(self) -> Iterator[FarSide]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _next(self, asked: Asked) -> Line:
        with self._lock:
            self.asked.append(asked)
            return self._script.pop(0) if self._script else self.otherwise(asked)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        far_side = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                where = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(self.command, where.path, dict(parse_qsl(where.query)), dict(self.headers), body)
                line = far_side._next(asked)
                if line.wait_for is not None:
                    line.wait_for.wait(20)
                if line.status == 0:
                    self.close_connection = True
                    return
                self.send_response(line.status)
                for name, value in line.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(line.body) if line.claimed is None else line.claimed))
                self.end_headers()
                self.wfile.write(line.body)
                self.close_connection = line.claimed is not None

            do_POST = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the client hung up
                    self.close_connection = True

        return Handler
