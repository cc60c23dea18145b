"""Questions about deliveries, answered as rows: what went out, what did not, and how each channel does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, Min, Q
from django.db.models.functions import Coalesce

from alerts.models import Delivery, DeliveryState, Severity
from alerts.selectors.alerts import DeliveryRow, delivery_row

# So many of a channel's last deliveries say how it does.
_LOOKED_AT = 200


@dataclass(frozen=True, kw_only=True)
class Told:
    """A delivery and the alert that it tells."""

    delivery: DeliveryRow
    alert_id: int
    title: str
    kind: str
    severity: int
    severity_label: str
    raised_at: datetime

    @property
    def took(self) -> timedelta | None:
        """The time from the alert to its delivery; None while it was not delivered."""
        return None if self.delivery.delivered_at is None else self.delivery.delivered_at - self.raised_at


@dataclass(frozen=True, kw_only=True)
class Page:
    rows: tuple[Told, ...]  # newest first
    next_before: int | None  # where the next page begins; None at the end


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Deliveries that ended failed: to a channel, and for want of one."""

    to_channels: int
    to_nobody: int


@dataclass(frozen=True, kw_only=True)
class FailedThere:
    """What failed of one channel that is in use."""

    channel_id: int
    channel: str
    count: int
    oldest_at: datetime  # when the first of it was raised


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What is on its way, and what did not arrive."""

    waiting: int
    oldest_waiting_seconds: float  # since it was made, or asked for again; 0 where nothing waits
    failed: int  # made within a day


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a channel does, by its last 200 deliveries."""

    last: Told
    failing_since: (
        datetime | None
    )  # creation of the first that failed, or is being tried again, after the last good one
    failing: int  # how many those are
    waiting: int


def newest(
    *,
    limit: int,
    before: int | None = None,
    states: Collection[str] = (),
    channel_id: int | None = None,
    to_nobody: bool = False,
) -> Page:
    """Return a page of deliveries, newest first, those with an id under `before`; empty filters mean all.

    `to_nobody` leaves those that no channel wanted. One query.
    """
    found = Delivery.objects.select_related("alert", "channel").defer("alert__facts", "channel__secret")
    if before is not None:
        found = found.filter(pk__lt=before)
    if states:
        found = found.filter(state__in=list(states))
    if channel_id is not None:
        found = found.filter(channel_id=channel_id)
    if to_nobody:
        found = found.filter(channel_id__isnull=True)
    rows = [_told(delivery) for delivery in found.order_by("-id")[: limit + 1]]
    more = len(rows) > limit
    return Page(rows=tuple(rows[:limit]), next_before=rows[limit - 1].delivery.id if more else None)


def failed(*, since: datetime) -> Failed:
    """Return how many deliveries that were made at or after `since` ended failed. One query."""
    counted = Delivery.objects.filter(state=DeliveryState.FAILED, created_at__gte=since).aggregate(
        to_channels=Count("id", filter=Q(channel_id__isnull=False)),
        to_nobody=Count("id", filter=Q(channel_id__isnull=True)),
    )
    return Failed(**counted)


def failed_by_channel(*, channel_id: int | None = None) -> list[FailedThere]:
    """Return what ended failed of each channel in use, or of one of them, by name. One query."""
    found = Delivery.objects.filter(state=DeliveryState.FAILED, channel__enabled=True, channel__retired_at__isnull=True)
    if channel_id is not None:
        found = found.filter(channel_id=channel_id)
    rows = found.values("channel_id", "channel__name").annotate(count=Count("id"), oldest_at=Min("created_at"))
    return [
        FailedThere(
            channel_id=row["channel_id"], channel=row["channel__name"], count=row["count"], oldest_at=row["oldest_at"]
        )
        for row in rows.order_by("channel__name", "channel_id")
    ]


def backlog(*, at: datetime) -> Backlog:
    """Return what waits at `at`, and what failed within a day before. Two queries."""
    began = Coalesce("asked_again_at", "created_at")
    on_their_way = Delivery.objects.filter(state__in=[DeliveryState.WAITING, DeliveryState.SENDING])
    waiting = on_their_way.aggregate(count=Count("id"), oldest=Min(began))
    ended = failed(since=at - timedelta(days=1))
    oldest = waiting["oldest"]
    return Backlog(
        waiting=waiting["count"],
        oldest_waiting_seconds=max((at - oldest).total_seconds(), 0) if oldest else 0,
        failed=ended.to_channels + ended.to_nobody,
    )


def standings(*, channel_ids: Collection[int]) -> dict[int, Standing]:
    """Return how each of these channels does; those that were sent nothing are left out. Two queries for any number."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH recent AS (
                SELECT d.*
                FROM unnest(%(channels)s::bigint[]) AS wanted(id)
                CROSS JOIN LATERAL (
                    SELECT id, channel_id, state, attempts, created_at
                    FROM alerts_delivery
                    WHERE channel_id = wanted.id
                    ORDER BY id DESC
                    LIMIT %(looked_at)s
                ) d
            ), good AS (
                SELECT channel_id, max(id) AS id FROM recent WHERE state = 'delivered' GROUP BY channel_id
            ), marked AS (
                SELECT recent.*,
                       recent.id > coalesce(good.id, 0) AND attempts > 0
                           AND (state = 'failed' OR state = 'waiting') AS failing
                FROM recent LEFT JOIN good USING (channel_id)
            )
            SELECT channel_id, max(id), min(created_at) FILTER (WHERE failing), count(*) FILTER (WHERE failing),
                   count(*) FILTER (WHERE state IN ('waiting', 'sending'))
            FROM marked
            GROUP BY channel_id
            """,
            {"channels": list(channel_ids), "looked_at": _LOOKED_AT},
        )
        counted = cursor.fetchall()
    last = Delivery.objects.select_related("alert", "channel").defer("alert__facts", "channel__secret")
    by_id = last.in_bulk([row[1] for row in counted])
    return {
        channel_id: Standing(last=_told(by_id[last_id]), failing_since=since, failing=failing, waiting=waiting)
        for channel_id, last_id, since, failing, waiting in counted
    }


def _told(delivery: Delivery) -> Told:
    alert = delivery.alert
    return Told(
        delivery=delivery_row(delivery),
        alert_id=alert.pk,
        title=alert.title,
        kind=alert.kind,
        severity=alert.severity,
        severity_label=str(Severity(alert.severity).label),
        raised_at=alert.created_at,
    )
