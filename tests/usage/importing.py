"""What tests of imports share: rows of a file, and the work that workers do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from usage.services import booking, jobs
from usage.services.imports import running

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def row(number: int, **overrides: Any) -> dict[str, Any]:
    """Make a native event of a file: 1000 tokens of input and 100 of output, a minute after the one before."""
    given = {
        "id": f"call-{number}",
        "time": (NOON + timedelta(minutes=number)).isoformat(),
        "use_case": "support-routing",
        "provider": "openai",
        "model": "gpt-5.5",
        "input_tokens": 1000,
        "output_tokens": 100,
    }
    return {**given, **overrides}


def lines(*rows: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in rows)


def work(at: datetime | None = None) -> None:
    """Do what the workers do, on a clock that goes a second further each time, until nothing is left."""
    at = at or timezone.now()
    for step in range(500):
        now = at + step * timedelta(seconds=1)
        busy = jobs.run_next(clock=lambda now=now: now)
        if not booking.book_pending(at=now) and not busy and not running.feeds():
            return
    raise AssertionError("it does not come to an end")
