"""How long to wait before the next try: longer each time, and never the same as everybody else."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LONGEST_TOLD = 3600.0  # seconds; a server that says a day has a clock that is wrong


def spread(seconds: float) -> float:
    """Return about so many seconds: a fifth more or less, so that a fleet that starts at once does not ask at once."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311


class Pauses:
    """Doubling pauses between failures, up to a limit."""

    def __init__(self, *, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self.failures = 0

    def after_success(self) -> None:
        self.failures = 0

    def after_failure(self, told: float | None = None) -> float:
        """Return the seconds until the next try: at least what the server told, if it told."""
        pause = min(self._most, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        pause *= random.uniform(0.5, 1.0)  # noqa: S311
        return pause if told is None else max(pause, told * random.uniform(1.0, 1.2))  # noqa: S311


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After`, given in seconds or as a date; None where there is none."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_TOLD)
    try:
        at: datetime = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year, or an offset, that no clock has
        return None
    left: timedelta = at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))
    return min(max(left.total_seconds(), 0.0), _LONGEST_TOLD)
