"""The callables that do nothing: what a poll costs where nobody asks who polls, or for what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_HEADERS = [("content-type", "application/json"), ("content-encoding", "gzip"), ("vary", "Accept-Encoding")]
_BODY = Path(path).read_bytes() if (path := os.environ.get("TOLLKEEPER_BENCH_BODY")) else b""


async def application(scope: Any, proto: Any) -> None:
    proto.response_empty(304, [])


async def the_same_bytes(scope: Any, proto: Any) -> None:
    proto.response_bytes(200, _HEADERS, _BODY)
