"""Whether a gateway is connected well: what came in of late, and what the newest quarter hour of it became."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q, Sum

from catalog.models import UNASSIGNED_ID
from usage.models import Receipt, ReceiptState, Rollup15Min, SourceKind

LAST_BODIES = 50
RECENT = timedelta(hours=24)
_NEWEST = 3  # bodies that say whether prompts are still being sent
_QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The last bodies of a gateway's live stream, 50 at most, since an instant; counts are of events.

    `rejected` are the reasons why events were refused at the edge, the most frequent first. `formats` are those that
    came in, the newest first. `ahead_s` is how far in the future the newest call was when it came in, by its own clock.
    `error` is why the newest body that is set aside could not be booked.
    """

    bodies: int
    first_received_at: datetime | None
    last_received_at: datetime | None
    events: int
    waiting: int
    booked: int
    duplicates: int
    shadowed: int
    held: int  # in conflict or too old
    set_aside: int  # bodies
    error: str
    rejected: Sequence[tuple[str, int]]
    formats: Sequence[str]
    carries_prompts: bool
    ahead_s: float


@dataclass(frozen=True, kw_only=True)
class Quarter:
    """What was booked of a gateway in its newest quarter hour with calls, in requests.

    `unpriced` were counted and have no price; `models` are those of them, some, by the names of their offerings.
    """

    starts_at: datetime
    requests: int
    unassigned: int
    unpriced: int
    uncounted: int
    models: Sequence[str]


def stream(*, gateway_id: int, since: datetime, at: datetime) -> Stream:
    """Return what came in of a gateway's live stream in [since, at], of the last 24 hours. One query over an index."""
    found = Receipt.objects.filter(
        source__gateway=gateway_id,
        source__kind=SourceKind.LIVE,
        received_at__gte=max(since, at - RECENT),
        received_at__lte=at,
    ).order_by("-received_at", "-id")
    columns = (
        "received_at", "last_occurred_at", "state", "format", "event_count", "rejected", "booked", "duplicates",
        "conflicts", "quarantined", "shadowed", "error", "carried_prompts",
    )  # fmt: skip
    rows: list[dict[str, Any]] = list(found.values(*columns)[:LAST_BODIES])
    reasons = Counter(str(one.get("error", "")) for row in rows for one in row["rejected"])
    with_events = [row for row in rows if row["event_count"]]
    aside = [row for row in rows if row["state"] == ReceiptState.FAILED]
    newest = rows[0] if rows else None
    return Stream(
        bodies=len(rows),
        first_received_at=rows[-1]["received_at"] if rows else None,
        last_received_at=newest["received_at"] if newest else None,
        events=sum(row["event_count"] for row in rows),
        waiting=sum(row["event_count"] for row in rows if row["state"] == ReceiptState.PENDING),
        booked=sum(row["booked"] for row in rows),
        duplicates=sum(row["duplicates"] for row in rows),
        shadowed=sum(row["shadowed"] for row in rows),
        held=sum(row["conflicts"] + row["quarantined"] for row in rows),
        set_aside=len(aside),
        error=aside[0]["error"] if aside else "",
        rejected=reasons.most_common(3),
        formats=list(dict.fromkeys(row["format"] for row in rows)),
        carries_prompts=any(row["carried_prompts"] for row in with_events[:_NEWEST]),
        ahead_s=max(
            ((row["last_occurred_at"] - row["received_at"]).total_seconds() for row in with_events[:_NEWEST]), default=0
        ),
    )


def newest_quarter(*, gateway_id: int, since: datetime, at: datetime) -> Quarter | None:
    """Return the newest quarter hour in which calls of a gateway were booked, of the last 24 hours. One query.

    Quarter hours that began before `since` and reach into it count. Imports are part of what was booked.
    """
    first = max(since, at - RECENT) - _QUARTER
    rows: Any = (
        Rollup15Min.objects.filter(gateway=gateway_id, bucket__gt=first, bucket__lte=at)
        .values("bucket")
        .annotate(
            n=Sum("requests"),
            unassigned=Sum("requests", filter=Q(use_case=UNASSIGNED_ID), default=0),
            unpriced=Sum("unpriced_requests"),
            uncounted=Sum("uncounted_requests"),
            models=ArrayAgg("offering__name", distinct=True, filter=Q(unpriced_requests__gt=0), default=[]),
        )
        .filter(n__gt=0)
        .order_by("-bucket")[:1]
    )
    for row in rows:
        return Quarter(
            starts_at=row["bucket"],
            requests=int(row["n"]),
            unassigned=int(row["unassigned"]),
            unpriced=max(0, int(row["unpriced"]) - int(row["uncounted"])),
            uncounted=int(row["uncounted"]),
            models=[name for name in row["models"] if name][:5],
        )
    return None
