"""Polls that wait behind Granian itself, for rules that change when somebody asks for /publish, without a database."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime
from hashlib import sha256

from routing.serving import documents, waiting
from routing.serving.front import RulesFront
from routing.serving.shelf import Reader, Shelf
from routing.serving.waiting import LongPolls

SECRET = "tk_waiting"
MOST = 3


class Application:
    def __init__(self) -> None:
        self._shelf = Shelf()
        self._shelf.readers = {sha256(SECRET.encode()).digest(): Reader(1, 11, math.inf)}
        self._shelf.loaded = True
        self._version = 0
        self._polls = LongPolls(RulesFront(self._shelf), most=MOST)
        self._shelf.on_change = self._polls.wake
        self._publish()

    def __rsgi_init__(self, loop) -> None:
        self._polls.start(loop)

    async def __rsgi__(self, scope, proto) -> None:
        if scope.path == "/publish":
            self._publish()
        elif scope.path != "/held":
            answer = await self._polls.answer(
                path=scope.path, query=scope.query_string, headers=scope.headers,
                seconds=waiting.wait_seconds(scope.headers), gone=proto.client_disconnect,
            )  # fmt: skip
            proto.response_bytes(answer.status, answer.headers, answer.body)
            return
        told = {"waiting": self._polls.waiting, "tasks": len(asyncio.all_tasks()), "tag": f'"{self._version}.1"'}
        proto.response_bytes(200, [], json.dumps(told).encode())

    def _publish(self) -> None:
        self._version += 1
        served = documents.build(
            environment="production", version=self._version, revision=1, published_at=datetime(2026, 6, 15, tzinfo=UTC),
            content=b'{"default":{},"offerings":{},"rules":[]}', state=None,
        )  # fmt: skip
        self._shelf.documents = {"production": served}
        self._shelf.on_change()


application = Application()
