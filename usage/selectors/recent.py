"""How offerings did of late, in one environment: quarter hours of `rollup_15min`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, Sum

from usage.models import LATENCY_BUCKETS, Rollup15Min, Status

# What never came to the provider, because a gateway blocked it or had the answer, says nothing about how it does.
_REACHED = (Status.OK, Status.ERROR, Status.USAGE_MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    calls: int  # attempts that reached the offering, answered or failed
    failed: int
    latencies: tuple[int, ...]  # of those answered, how many in each bucket of the histogram


def offerings(*, environment: str, names: Collection[str], starts_at: datetime, ends_at: datetime) -> dict[str, Recent]:
    """Return how these offerings did, by name; one that was not called is left out. One query.

    Of quarter hours that begin in [starts_at, ends_at). What was booked late for a closed month is no part of it.
    """
    buckets = {
        f"latency_{n}": Sum(f"latency_histogram__{n}", filter=Q(status=Status.OK), default=0)
        for n in range(LATENCY_BUCKETS)
    }
    rows: Any = (
        Rollup15Min.objects.filter(
            bucket__gte=starts_at,
            bucket__lt=ends_at,
            environment=environment,
            offering__name__in=names,
            status__in=_REACHED,
            correction_of=0,
        )
        .values("offering__name")
        .annotate(calls=Sum("requests"), failed=Sum("requests", filter=Q(status=Status.ERROR), default=0), **buckets)
    )
    return {
        row["offering__name"]: Recent(
            calls=int(row["calls"]),
            failed=int(row["failed"]),
            latencies=tuple(max(0, int(row[name])) for name in buckets),
        )
        for row in rows
        if row["calls"] > 0
    }
