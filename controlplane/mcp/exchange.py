"""One HTTP exchange with the SDK's server, made in a thread of Django's.

# Note [Where tools run]
The SDK is asynchronous and speaks ASGI; the house is synchronous, and its web process keeps few threads on purpose. So
each request gets an event loop for as long as it takes, beside the thread that Django gave it, and whatever a tool
asks of the database runs in that very thread, on the connection that it has anyway: no connection, no thread and no
state outlives the request, and the loop that answers polls never waits for any of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from controlplane.mcp import server
from core.access import Caller

LONGEST_S = 120.0  # no question here takes seconds; a thread that waited for ever would be one of four
# It tells of each manager's beginning and end: here these are the request's.
logging.getLogger("mcp.server").setLevel(logging.WARNING)


def answer(request: HttpRequest, who: Callable[[], Caller]) -> HttpResponse:
    """Answer one message as whoever `who` says. Where the message is, or may be, is the view's business."""
    answered = async_to_sync(_exchange)(request, request.body, who)
    return HttpResponse(bytes(answered.body), status=answered.status, headers=answered.headers)


class _Answered:
    """What an ASGI application sends, gathered."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


async def _exchange(request: HttpRequest, body: bytes, who: Callable[[], Caller]) -> _Answered:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
        "scheme": request.scheme, "path": request.path, "raw_path": request.path.encode(), "root_path": "",
        "query_string": b"", "client": None, "server": None,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1"))
                    for name, value in request.headers.items()],
    }  # fmt: skip
    messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # for a client that goes away: nobody tells us
        return None

    answered = _Answered()
    manager = StreamableHTTPSessionManager(server.build(who), json_response=True, stateless=True)
    async with asyncio.timeout(LONGEST_S), manager.run():
        await manager.handle_request(scope, receive, answered.send)
    return answered
