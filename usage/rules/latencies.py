"""What a histogram of latencies tells: the one rule for pages, API and routing."""

from __future__ import annotations

from collections.abc import Sequence

from usage.rules.postings import LATENCY_BOUNDS_MS

MEDIAN, HIGH = 50, 95  # the percentiles that are shown, answered and scored
LONGEST_MS = LATENCY_BOUNDS_MS[-1]


def percentile_ms(latencies: Sequence[int], percentile: int) -> int | None:
    """Return below what time so many per cent of the calls were answered, in ms; None where there are none.

    Calls are taken to lie evenly within their bucket, so this is an estimate. The bucket's bound would be none, but it
    jumps by up to threefold as one call more or less moves a share past it, and hides that one of two offerings in the
    same bucket is quicker. The last bucket has no end: what lies there is told as `LONGEST_MS`.
    """
    calls = sum(latencies)
    if calls <= 0:
        return None
    passed, start = 0, 0
    for count, bound in zip(latencies, LATENCY_BOUNDS_MS, strict=False):
        if count > 0 and (passed + count) * 100 >= percentile * calls:
            return max(1, start + (bound - start) * (percentile * calls - passed * 100) // (count * 100))
        passed, start = passed + count, bound
    return LONGEST_MS
