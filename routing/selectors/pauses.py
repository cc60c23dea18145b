"""How long gateways take to hear of something new: no time where their polls wait, else a pause between two polls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from routing.selectors.fleet import HEARD, LIVE


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A gateway that asked for rules within 24 hours. `longest_s` is None where it is known of no instance."""

    gateway: str
    longest_s: float | None  # of its instances that are heard of
    heard: int  # instances that polled within five minutes
    silent: int  # those that did not: they learn of it when they come back
    unknown: int  # of those heard of, how many have polled only once so far


def of_gateways(*, at: datetime) -> dict[str, Pause]:
    """Return the pause of each gateway that asked within 24 hours, by name. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT g.name, max(p.pause_ms) FILTER (WHERE heard), count(*) FILTER (WHERE heard),
                count(*) FILTER (WHERE NOT heard), count(*) FILTER (WHERE heard AND p.pause_ms IS NULL)
            FROM (SELECT p.*, p.polled_at > %(heard)s AS heard FROM routing_gatewaypoll p) p
            JOIN catalog_gateway g ON g.id = p.gateway_id
            WHERE p.polled_at > %(live)s AND p.polled_at <= %(at)s AND g.retired_at IS NULL
            GROUP BY g.name ORDER BY g.name
            """,
            {"heard": at - HEARD, "live": at - LIVE, "at": at},
        )
        return {
            name: Pause(
                gateway=name,
                longest_s=None if longest is None else longest / 1000,
                heard=heard,
                silent=silent,
                unknown=unknown,
            )
            for name, longest, heard, silent, unknown in cursor.fetchall()
        }
