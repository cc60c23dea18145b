"""Raising an alert: its row and its outbox, in the transaction of whoever found something."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from alerts import rules
from alerts.models import Alert, AlertState, Channel, Delivery, DeliveryState, Severity

NO_CHANNEL = "no-channel"

_TITLE_CHARACTERS = 300
_REASON_CHARACTERS = 200


@transaction.atomic(savepoint=False)
def raise_alert(
    *,
    kind: str,
    dedupe_key: str,
    severity: Severity,
    title: str,
    facts: Mapping[str, Any],
    subject_kind: str,
    subject_id: int | None,
    team_ids: Sequence[int],
    budget_id: int | None,
    at: datetime,
    not_sent_because: str = "",
    channels: Collection[int] | None = None,
    notice: bool = False,
) -> Alert | None:
    """Write an alert and a delivery for each channel that wants it; nothing is sent here.

    `channels` goes to exactly these, as far as they are in use, whatever their lists say; left out, the lists decide.
    A `notice` (a digest, the daily check) is told and leaves nothing to do: it is resolved from the start, so that it
    never stands among the open ones, and its deliveries go out all the same.

    Takes part in the caller's transaction, without a savepoint: if this fails, so does what raised it. At most 3
    queries, 1 where the alert exists already. The edge nudges `alerts.tasks.deliver_due` after the commit.

    Safe to repeat: an alert with this dedupe key that exists already, or that another transaction is about to
    commit (it is waited for), gives None and writes nothing. Two transactions that raise several alerts each must
    raise them in the order of their dedupe keys, or they may wait for each other.

    `facts` are JSON, shaped as alerts/README.md says. `not_sent_because` (such as "past period") records an alert
    that comes too late to act on: its deliveries are `not_sent` with that reason, and it is resolved from the start.
    An alert that no channel wants has one delivery without a channel, failed with the reason `no-channel`.
    """
    unsent = bool(not_sent_because)
    over = unsent or notice
    alert = Alert(
        kind=kind,
        dedupe_key=dedupe_key,
        severity=severity,
        state=AlertState.RESOLVED if over else AlertState.OPEN,
        title=title if len(title) <= _TITLE_CHARACTERS else title[: _TITLE_CHARACTERS - 1] + "…",
        facts=dict(facts),
        subject_kind=subject_kind,
        subject_id=subject_id,
        team_ids=sorted(set(team_ids)),
        budget_id=budget_id,
        created_at=at,
        resolved_at=at if over else None,
    )
    alert.pk = _insert_unless_there(alert)
    if alert.pk is None:
        return None

    # In the order of their ids, as everywhere: a delivery holds its channel's row against deletion.
    in_use = _channels_in_use()
    if channels is None:
        wanting = [channel for channel in in_use if _wants(channel, alert)]
    else:
        wanting = [channel for channel in in_use if channel.pk in channels]
    deliveries = [_delivery(alert, channel, at=at) for channel in wanting] or [_delivery(alert, None, at=at)]
    for delivery in deliveries:
        if unsent:
            delivery.state = DeliveryState.NOT_SENT
            delivery.reason = f"not sent: {not_sent_because}"[:_REASON_CHARACTERS]
        elif delivery.channel_id is None:
            delivery.state = DeliveryState.FAILED
            delivery.reason = NO_CHANNEL
    Delivery.objects.bulk_create(deliveries)
    return alert


def _insert_unless_there(alert: Alert) -> int | None:
    # By hand, since bulk_create(ignore_conflicts=True) does not say whether the row is ours.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO alerts_alert (kind, dedupe_key, severity, state, title, facts, subject_kind, subject_id,
                                      team_ids, budget_id, created_at, acknowledged_by, resolved_at)
            VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s::bigint[], %s, %s, '', %s)
            ON CONFLICT (dedupe_key) DO NOTHING
            RETURNING id
            """,
            [
                alert.kind,
                alert.dedupe_key,
                alert.severity,
                alert.state,
                alert.title,
                json.dumps(alert.facts),
                alert.subject_kind,
                alert.subject_id,
                alert.team_ids,
                alert.budget_id,
                alert.created_at,
                alert.resolved_at,
            ],
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _channels_in_use() -> list[Channel]:
    in_use = Channel.objects.filter(enabled=True, retired_at__isnull=True).order_by("id")
    return list(in_use.only("id", "teams", "budgets", "kinds", "least_severity"))


def _wants(channel: Channel, alert: Alert) -> bool:
    return rules.fits(
        teams=channel.teams,
        budgets=channel.budgets,
        kinds=channel.kinds,
        least_severity=channel.least_severity,
        kind=alert.kind,
        severity=alert.severity,
        team_ids=alert.team_ids,
        budget_id=alert.budget_id,
    )


def _delivery(alert: Alert, channel: Channel | None, *, at: datetime) -> Delivery:
    return Delivery(alert=alert, channel=channel, idempotency_key=uuid.uuid4(), created_at=at, due_at=at)
