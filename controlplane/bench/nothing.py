"""The callable that does nothing: what a 304 costs where nobody asks who polls, or for what."""

from __future__ import annotations

from typing import Any


async def application(scope: Any, proto: Any) -> None:
    proto.response_empty(304, [])
