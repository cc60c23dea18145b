"""Which gateways went silent, and whether such a pause is usual for them.

# Note [What counts as silence]
A gateway is silent when nothing came from it for longer than its setting says (60 minutes, unless it was changed),
unless it was just as quiet at the same time a week before; in its first week, the day before. So nights, weekends and
jobs that run once a day are no news, and a gateway that should have come back in the morning is. "The same time" is the
pause so far on the organisation's clock, shorter by half of the setting at either end: nobody begins to the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection

from catalog.rules import gateway_settings

RECENT = timedelta(days=7)  # whoever was not heard of for longer is no news any more
_COMPARED = (timedelta(days=7), timedelta(days=1))  # the first of which anything is known


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A gateway in use that was ever heard of live and whose silence is told."""

    gateway_id: int
    gateway: str
    source_id: int
    last_received_at: datetime
    silent_after: timedelta


@dataclass(frozen=True, kw_only=True)
class Before:
    """What is known of a gateway that went silent: what it sent in the 24 hours before, and its keys that may send."""

    events: int
    bodies: int
    formats: Sequence[str]
    keys: int  # that work
    key_used_at: datetime | None  # of any key that may send, also of one that is ended


def watched(*, at: datetime) -> list[Watched]:
    """Return the gateways whose silence is told, by id. One query over indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT g.id, g.name, g.settings ->> 'silent_after_minutes', s.id, last.received_at
            FROM catalog_gateway g
            JOIN usage_source s ON s.gateway_id = g.id AND s.kind = 'live'
            CROSS JOIN LATERAL (
                SELECT r.received_at FROM receipt r WHERE r.source_id = s.id AND r.received_at <= %(at)s
                ORDER BY r.received_at DESC, r.id DESC LIMIT 1
            ) last
            WHERE g.retired_at IS NULL ORDER BY g.id
            """,
            {"at": at},
        )
        rows = cursor.fetchall()
    found = []
    for id_, name, said, source_id, last in rows:
        kept = {"silent_after_minutes": int(said)} if said is not None and said.isdecimal() else {}
        minutes = gateway_settings.read(kept).silent_after_minutes
        if minutes:
            found.append(
                Watched(
                    gateway_id=id_,
                    gateway=name,
                    source_id=source_id,
                    last_received_at=last,
                    silent_after=timedelta(minutes=minutes),
                )
            )
    return found


def silent(those: Sequence[Watched], *, zone: str, at: datetime) -> list[Watched]:
    """Return those that went silent within seven days; see Note [What counts as silence]. One query at most."""
    quiet = [one for one in those if one.silent_after < at - one.last_received_at < RECENT]
    asked = [(index, *stretch) for index, one in enumerate(quiet) for stretch in _same_time_before(one, zone, at)]
    if not asked:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (t.index) t.index, EXISTS (
                SELECT FROM receipt r
                WHERE r.source_id = t.source_id AND r.received_at > t.starts_at AND r.received_at <= t.ends_at
            )
            FROM unnest(%s::int[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
                AS t(index, source_id, starts_at, ends_at)
            WHERE EXISTS (SELECT FROM receipt r WHERE r.source_id = t.source_id AND r.received_at <= t.starts_at)
            ORDER BY t.index, t.starts_at
            """,
            [list(column) for column in zip(*asked, strict=True)],
        )
        usual = {index for index, heard in cursor.fetchall() if not heard}
    return [one for index, one in enumerate(quiet) if index not in usual]


def _same_time_before(one: Watched, zone: str, at: datetime) -> list[tuple[int, datetime, datetime]]:
    """Return the stretches that a pause is compared with: (source, after, until)."""
    where, margin = ZoneInfo(zone), one.silent_after / 2

    def earlier(instant: datetime, by: timedelta) -> datetime:
        return (instant.astimezone(where) - by).astimezone(UTC)  # on the clock: days are not all of 24 hours

    return [
        (one.source_id, earlier(one.last_received_at, by) + margin, earlier(at, by) - margin) for by in _COMPARED
    ]  # fmt: skip


def before(one: Watched, *, at: datetime) -> Before:
    """Return what is known of a gateway that went silent. One query over indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT day.events, day.bodies, day.formats, keys.working, keys.used_at
            FROM (
                SELECT coalesce(sum(r.event_count), 0) AS events, count(*) AS bodies,
                    coalesce(array_agg(DISTINCT r.format), '{}') AS formats
                FROM receipt r
                WHERE r.source_id = %(source)s AND r.received_at > %(last)s::timestamptz - interval '24 hours'
                AND r.received_at <= %(last)s
            ) day, (
                SELECT count(*) FILTER (
                        WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %(at)s)
                    ) AS working, max(k.last_used_at) AS used_at
                FROM catalog_gatewaykey gk JOIN core_apikey k ON k.id = gk.key_id
                WHERE gk.gateway_id = %(gateway)s AND k.scopes && ARRAY['usage:write', 'admin']::varchar[]
            ) keys
            """,
            {"source": one.source_id, "gateway": one.gateway_id, "last": one.last_received_at, "at": at},
        )
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("a sum over nothing is still a row")
    events, bodies, formats, keys, used_at = row
    return Before(events=int(events), bodies=int(bodies), formats=formats, keys=int(keys), key_used_at=used_at)
