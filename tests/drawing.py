"""How many examples tests of drawn values try: few in `make test`, many in `make soak`.

Every run draws others, so that what few examples miss in one run is tried in another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")
FULL = os.environ.get("TOLLKEEPER_SOAK") == "1"


def drawn(few: int = 25, many: int = 1000, **more: Any) -> settings:
    """Return settings for a drawn test. A busy machine is slow, not wrong: nothing is said of time."""
    return settings(
        **{
            "max_examples": many if FULL else few,
            "deadline": None,
            "suppress_health_check": [HealthCheck.too_slow],
            **more,
        }
    )


def rounds(few: int, many: int) -> range:
    """Return the rounds of a test that tries things by chance; mark it `soak`, so that many are made there."""
    return range(many if FULL else few)


def some(each: Sequence[T], turn: int, few: int) -> Sequence[T]:
    """Return all of them in `make soak`, and else a few, other ones at each turn; mark the test `soak`."""
    return each if FULL else [each[(turn * few + n) % len(each)] for n in range(few)]
