"""What a histogram of latencies tells."""

from __future__ import annotations

from collections.abc import Sequence

from usage.rules.postings import LATENCY_BOUNDS_MS


def percentile_ms(latencies: Sequence[int], percentile: int) -> int | None:
    """Return below what time so many per cent of the calls were answered, in ms; None where there are none.

    Calls are taken to lie evenly within their bucket, so this is an estimate. The last bucket has no end: there it is
    the last bound.
    """
    calls = sum(latencies)
    if calls <= 0:
        return None
    passed, start = 0, 0
    for count, bound in zip(latencies, LATENCY_BOUNDS_MS, strict=False):
        if count > 0 and (passed + count) * 100 >= percentile * calls:
            return max(1, start + (bound - start) * (percentile * calls - passed * 100) // (count * 100))
        passed, start = passed + count, bound
    return LATENCY_BOUNDS_MS[-1]
