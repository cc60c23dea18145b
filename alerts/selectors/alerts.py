"""Questions about alerts, answered as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet

from alerts.models import Alert, AlertComment, AlertState, Delivery, Severity


@dataclass(frozen=True, kw_only=True)
class DeliveryRow:
    id: int
    channel_id: int | None  # None: no channel wanted the alert
    channel: str  # its name; empty without one
    channel_kind: str
    state: str
    reason: str  # of failed and not_sent; the last failure while waiting
    answer: str  # of the far side
    attempts: int
    created_at: datetime
    due_at: datetime  # of the next attempt while waiting
    delivered_at: datetime | None
    asked_again_at: datetime | None  # somebody had it tried again after it had failed
    possibly_repeated: bool


@dataclass(frozen=True, kw_only=True)
class CommentRow:
    at: datetime
    by: str
    text: str


@dataclass(frozen=True, kw_only=True)
class AlertRow:
    id: int
    kind: str
    severity: int
    severity_label: str
    state: str
    title: str
    facts: dict[str, Any]  # as alerts/README.md says
    subject_kind: str
    subject_id: int | None
    team_ids: tuple[int, ...]
    budget_id: int | None
    created_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    snoozed_until: datetime | None
    resolved_at: datetime | None
    deliveries: tuple[DeliveryRow, ...]  # by id


@dataclass(frozen=True, kw_only=True)
class AlertDetail:
    alert: AlertRow
    comments: tuple[CommentRow, ...]  # oldest first


@dataclass(frozen=True, kw_only=True)
class Page:
    rows: tuple[AlertRow, ...]  # newest first
    next_before: tuple[datetime, int] | None  # where the next page begins; None at the end


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many alerts wait for somebody; each is counted once."""

    open: int
    snoozed: int  # open or acknowledged, and asleep
    acknowledged: int


def open_alerts(*, at: datetime, limit: int = 50) -> list[AlertRow]:
    """Return alerts that nobody has acknowledged or resolved and that do not sleep at `at`, gravest first, then newest.

    2 queries, 1 where there is none.
    """
    found = _awake(at).order_by("-severity", "-id")[:limit]
    return _rows(found)


def concerning(
    *, subjects: Collection[tuple[str, int]] = (), budget_ids: Collection[int] = (), limit: int = 20
) -> list[AlertRow]:
    """Return alerts that are not over about one of these (kind, id) or of these budgets, gravest first, then newest.

    Acknowledged and snoozed ones are among them. 2 queries, 1 where there is none.
    """
    about = Q(budget_id__in=list(budget_ids)) if budget_ids else Q()
    for kind, subject_id in subjects:
        about |= Q(subject_kind=kind, subject_id=subject_id)
    if not about:
        return []
    living = Alert.objects.exclude(state=AlertState.RESOLVED).filter(about)
    return _rows(living.order_by("-severity", "-id")[:limit])


def count_open(*, at: datetime) -> int:
    """Return how many alerts `open_alerts` would give without a limit. One query."""
    return _awake(at).count()


def counts(*, at: datetime) -> Counts:
    """Return how many alerts that are not over are open, snoozed and acknowledged at `at`. One query."""
    asleep = _asleep(at)
    found = Alert.objects.exclude(state=AlertState.RESOLVED).aggregate(
        open=Count("id", filter=Q(state=AlertState.OPEN) & ~asleep),
        snoozed=Count("id", filter=asleep),
        acknowledged=Count("id", filter=Q(state=AlertState.ACKNOWLEDGED) & ~asleep),
    )
    return Counts(**found)


def newest(
    *,
    limit: int = 50,
    before: tuple[datetime, int] | None = None,
    states: Collection[str] = (),
    kinds: Collection[str] = (),
    severities: Collection[int] = (),
    team_id: int | None = None,
    budget_id: int | None = None,
    without_kinds: Collection[str] = (),
    asleep_at: datetime | None = None,
    awake_at: datetime | None = None,
) -> Page:
    """Return a page of alerts of any state, newest first; empty filters mean all.

    `asleep_at` leaves those that are snoozed at that instant, `awake_at` those that are not; what is over never sleeps.
    `before` is (created_at, id) of the last row seen, or the page's `next_before`: alerts that come meanwhile move
    no page. 2 queries, 1 where there is none.
    """
    found = Alert.objects.order_by("-created_at", "-id")
    if before is not None:
        created_at, alert_id = before
        # The first condition alone says where the index begins, the second settles equal instants.
        found = found.filter(created_at__lte=created_at).filter(Q(created_at__lt=created_at) | Q(id__lt=alert_id))
    if states:
        found = found.filter(state__in=list(states))
    if kinds:
        found = found.filter(kind__in=list(kinds))
    if severities:
        found = found.filter(severity__in=list(severities))
    if team_id is not None:
        found = found.filter(team_ids__contains=[team_id])
    if budget_id is not None:
        found = found.filter(budget_id=budget_id)
    if without_kinds:
        found = found.exclude(kind__in=list(without_kinds))
    if asleep_at is not None:
        found = found.filter(_asleep(asleep_at))
    if awake_at is not None:
        found = found.exclude(_asleep(awake_at))
    rows = _rows(found[: limit + 1])
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows=tuple(rows[:limit]), next_before=(last.created_at, last.id) if last else None)


def one(*, alert_id: int) -> AlertDetail | None:
    """Return an alert with its deliveries and comments, or None. 3 queries."""
    rows = _rows(Alert.objects.filter(pk=alert_id))
    if not rows:
        return None
    comments = AlertComment.objects.filter(alert_id=alert_id).order_by("at", "id")
    return AlertDetail(
        alert=rows[0], comments=tuple(CommentRow(at=each.at, by=each.by, text=each.text) for each in comments)
    )


def _asleep(at: datetime) -> Q:
    return Q(snoozed_until__isnull=False) & Q(snoozed_until__gt=at)


def _awake(at: datetime) -> QuerySet[Alert]:
    return Alert.objects.filter(state=AlertState.OPEN).exclude(_asleep(at))


def _rows(found: Iterable[Alert]) -> list[AlertRow]:
    alerts = list(found)
    deliveries: dict[int, list[DeliveryRow]] = {alert.pk: [] for alert in alerts}
    if alerts:
        sent = Delivery.objects.filter(alert_id__in=deliveries).select_related("channel").order_by("id")
        for delivery in sent:
            deliveries[delivery.alert_id].append(delivery_row(delivery))
    return [_row(alert, deliveries[alert.pk]) for alert in alerts]


def _row(alert: Alert, deliveries: list[DeliveryRow]) -> AlertRow:
    return AlertRow(
        id=alert.pk,
        kind=alert.kind,
        severity=alert.severity,
        severity_label=str(Severity(alert.severity).label),
        state=alert.state,
        title=alert.title,
        facts=alert.facts,
        subject_kind=alert.subject_kind,
        subject_id=alert.subject_id,
        team_ids=tuple(alert.team_ids),
        budget_id=alert.budget_id,
        created_at=alert.created_at,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        snoozed_until=alert.snoozed_until,
        resolved_at=alert.resolved_at,
        deliveries=tuple(deliveries),
    )


def delivery_row(delivery: Delivery) -> DeliveryRow:
    """Return a delivery as a row; its channel is fetched where it was not."""
    channel = delivery.channel
    return DeliveryRow(
        id=delivery.pk,
        channel_id=delivery.channel_id,
        channel=channel.name if channel else "",
        channel_kind=channel.kind if channel else "",
        state=delivery.state,
        reason=delivery.reason,
        answer=delivery.answer,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        due_at=delivery.due_at,
        delivered_at=delivery.delivered_at,
        asked_again_at=delivery.asked_again_at,
        possibly_repeated=delivery.possibly_repeated,
    )
