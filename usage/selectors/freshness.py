"""How far the figures go: what has been received and booked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

HEARD_OF = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class GatewayFreshness:
    gateway_id: int
    gateway: str
    last_received_at: datetime | None
    oldest_waiting_at: datetime | None
    waiting_events: int
    set_aside: int


def gateways(*, at: datetime) -> list[GatewayFreshness]:
    """Return what arrived and what waits, per gateway that takes events. One query over indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT g.id, g.name,
                max((SELECT r.received_at FROM receipt r WHERE r.source_id = s.id AND r.received_at <= %(at)s
                     ORDER BY r.received_at DESC LIMIT 1)),
                min(w.oldest), coalesce(sum(w.events), 0),
                coalesce(sum((SELECT count(*) FROM receipt r WHERE r.source_id = s.id AND r.state = 'failed')), 0)
            FROM catalog_gateway g
            JOIN usage_source s ON s.gateway_id = g.id AND s.kind = 'live'
            LEFT JOIN (
                SELECT source_id, min(received_at) AS oldest, sum(event_count) AS events
                FROM receipt WHERE state = 'pending' GROUP BY source_id
            ) w ON w.source_id = s.id
            GROUP BY g.id, g.name ORDER BY g.name
            """,
            {"at": at},
        )
        return [
            GatewayFreshness(
                gateway_id=id_,
                gateway=name,
                last_received_at=last,
                oldest_waiting_at=oldest,
                waiting_events=int(events),
                set_aside=int(aside),
            )
            for id_, name, last, oldest, events, aside in cursor.fetchall()
        ]


def complete_through(*, at: datetime) -> datetime | None:
    """Return the instant up to which everything received is booked; None where no gateway was heard of in 24 hours.

    The least, over gateways heard of in 24 hours, of the receive time of its oldest waiting receipt (those set aside
    left out), or of its last one when none waits.
    """
    heard = [row for row in gateways(at=at) if row.last_received_at and row.last_received_at > at - HEARD_OF]
    times = [row.oldest_waiting_at or row.last_received_at for row in heard]
    return min((time for time in times if time is not None), default=None)
