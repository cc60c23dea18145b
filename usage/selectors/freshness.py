"""How far the figures go: what has been received and booked, and how each gateway's stream is doing.

Imports are no part of it: a file says nothing about whether a gateway is heard of. What a gateway sends counts by when
it was received here, save for lags, which go by the calls' own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

HEARD_OF = timedelta(hours=24)
LAST_BODIES = 200  # of a gateway, which its lags are taken from


@dataclass(frozen=True, kw_only=True)
class Lag:
    """How long something took, in seconds: half of the bodies were quicker than `median_s`, 95 of 100 than `p95_s`."""

    median_s: float
    p95_s: float


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What came in within 24 hours and is in no total, in events; of what waits nothing is known yet."""

    rejected: int = 0  # by the edge: they can be no events
    conflicts: int = 0
    quarantined: int = 0
    shadowed: int = 0
    superseded: int = 0

    @property
    def wrong(self) -> int:
        """Those somebody should look at: what is shadowed or superseded counts elsewhere."""
        return self.rejected + self.conflicts + self.quarantined


@dataclass(frozen=True, kw_only=True)
class GatewayFreshness:
    """How a gateway's live stream is doing. Lags are those of its last bodies, 200 at most; None where none has one."""

    gateway_id: int
    gateway: str
    retired_at: datetime | None
    last_received_at: datetime | None  # of its last body
    last_occurred_at: datetime | None  # the newest call in its last bodies, by its own word
    events_15min: int  # received in the last 15 minutes, repeats included
    events_hour: int
    events_day: int
    lag: Lag | None  # from the oldest call of a body until that was received
    booking: Lag | None  # from receiving a body until it was booked
    errors: Errors
    oldest_waiting_at: datetime | None
    waiting_events: int
    set_aside: int  # bodies that could not be booked and were not given up

    @property
    def per_minute_15min(self) -> float:
        return self.events_15min / 15

    @property
    def per_minute_hour(self) -> float:
        return self.events_hour / 60

    @property
    def per_minute_day(self) -> float:
        return self.events_day / (24 * 60)


def gateways(*, at: datetime, only: int | None = None) -> list[GatewayFreshness]:
    """Return how each gateway that ever sent anything live is doing, or one of them. One query over indexes."""
    with connection.cursor() as cursor:
        cursor.execute(_GATEWAYS, {"at": at, "only": only, "bodies": LAST_BODIES})
        return [
            GatewayFreshness(
                gateway_id=id_,
                gateway=name,
                retired_at=retired_at,
                last_received_at=received,
                last_occurred_at=occurred,
                events_15min=int(quarter),
                events_hour=int(hour),
                events_day=int(day),
                lag=Lag(median_s=lag[0], p95_s=lag[1]) if lag else None,
                booking=Lag(median_s=booking[0], p95_s=booking[1]) if booking else None,
                errors=Errors(
                    rejected=int(rejected),
                    conflicts=int(conflicts),
                    quarantined=int(quarantined),
                    shadowed=int(shadowed),
                    superseded=int(superseded),
                ),
                oldest_waiting_at=oldest,
                waiting_events=int(waiting),
                set_aside=int(aside),
            )
            for (
                id_, name, retired_at, received, quarter, hour, day, rejected, conflicts, quarantined, shadowed,
                superseded, occurred, lag, booking, oldest, waiting, aside,
            ) in cursor.fetchall()
        ]  # fmt: skip


_LAST = """
    LEFT JOIN LATERAL (
        SELECT r.received_at FROM receipt r WHERE r.source_id = s.id AND r.received_at <= %(at)s
        ORDER BY r.received_at DESC, r.id DESC LIMIT 1
    ) last ON true
"""
_WAITING = """
    LEFT JOIN (
        SELECT source_id, min(received_at) AS oldest, sum(event_count) AS events
        FROM receipt WHERE state = 'pending' GROUP BY source_id
    ) waiting ON waiting.source_id = s.id
"""
# The sums of a day are answered by the index alone: it has every column that they name.
_GATEWAYS = f"""
SELECT g.id, g.name, g.retired_at, last.received_at,
    day.quarter, day.hour, day.events, day.rejected, day.conflicts, day.quarantined, day.shadowed, day.superseded,
    bodies.occurred, bodies.lag, bodies.booking,
    waiting.oldest, coalesce(waiting.events, 0), coalesce(aside.bodies, 0)
FROM catalog_gateway g
JOIN usage_source s ON s.gateway_id = g.id AND s.kind = 'live'
{_LAST}
CROSS JOIN LATERAL (
    SELECT coalesce(sum(r.event_count) FILTER (WHERE r.received_at > %(at)s - interval '15 minutes'), 0) AS quarter,
        coalesce(sum(r.event_count) FILTER (WHERE r.received_at > %(at)s - interval '1 hour'), 0) AS hour,
        coalesce(sum(r.event_count), 0) AS events,
        coalesce(sum(r.rejected_count), 0) AS rejected, coalesce(sum(r.conflicts), 0) AS conflicts,
        coalesce(sum(r.quarantined), 0) AS quarantined, coalesce(sum(r.shadowed), 0) AS shadowed,
        coalesce(sum(r.superseded), 0) AS superseded
    FROM receipt r
    WHERE r.source_id = s.id AND r.received_at > %(at)s - interval '24 hours' AND r.received_at <= %(at)s
) day
CROSS JOIN LATERAL (
    SELECT max(b.last_occurred_at) AS occurred,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY greatest(0, extract(epoch FROM b.received_at - b.first_occurred_at)::float8)
        ) FILTER (WHERE b.first_occurred_at IS NOT NULL) AS lag,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY greatest(0, extract(epoch FROM b.done_at - b.received_at)::float8)
        ) FILTER (WHERE b.done_at IS NOT NULL AND b.event_count > 0) AS booking
    FROM (
        SELECT r.received_at, r.first_occurred_at, r.last_occurred_at, r.done_at, r.event_count
        FROM receipt r WHERE r.source_id = s.id AND r.received_at <= %(at)s
        ORDER BY r.received_at DESC, r.id DESC LIMIT %(bodies)s
    ) b
) bodies
{_WAITING}
LEFT JOIN (
    SELECT source_id, count(*) AS bodies FROM receipt
    WHERE state = 'failed' AND given_up_at IS NULL GROUP BY source_id
) aside ON aside.source_id = s.id
WHERE %(only)s::bigint IS NULL OR g.id = %(only)s
ORDER BY g.name
"""


def complete_through(*, at: datetime) -> datetime | None:
    """Return the instant up to which everything received is booked; None where no gateway was heard of in 24 hours.

    The least, over gateways heard of in 24 hours, of the receive time of its oldest waiting receipt (those set aside
    left out), or of its last one when none waits. A gateway that is retired sends nothing more, so it holds nothing
    back once nothing of it waits. One query over indexes.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COMPLETE_THROUGH, {"at": at, "since": at - HEARD_OF})
        row = cursor.fetchone()
    least: datetime | None = row[0] if row else None
    return least


_COMPLETE_THROUGH = f"""
SELECT min(coalesce(waiting.oldest, last.received_at))
FROM catalog_gateway g
JOIN usage_source s ON s.gateway_id = g.id AND s.kind = 'live'
{_LAST}
{_WAITING}
WHERE last.received_at > %(since)s AND (g.retired_at IS NULL OR waiting.oldest IS NOT NULL)
"""
