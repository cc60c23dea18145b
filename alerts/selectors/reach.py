"""Which alerts find which channels: what a channel would have been told, and what was told nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from alerts import rules
from alerts.models import Alert, Channel, Delivery, DeliveryState, Severity

# Of alerts told nobody; more are not read.
_MOST = 2000


@dataclass(frozen=True, kw_only=True)
class Head:
    """An alert in a line."""

    id: int
    title: str
    kind: str
    severity: int
    severity_label: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Alerts that a channel with some choices wants."""

    count: int
    of: int  # alerts there were
    newest: tuple[Head, ...]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Alerts of a kind and severity that no channel wants."""

    kind: str
    severity: int
    severity_label: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Untold:
    """Alerts that were told nobody, and those of them that would be told nobody again, by kind and severity."""

    count: int
    still: int
    gaps: tuple[Gap, ...]  # the gravest first, then the most


def fitting(
    *,
    teams: Collection[int],
    budgets: Collection[int],
    kinds: Collection[str],
    least_severity: int,
    since: datetime,
    limit: int,
) -> Fitting:
    """Return which alerts raised at or after `since` such choices fit, as `rules.fits` says; notices left out.

    Two queries.
    """
    raised = Alert.objects.filter(created_at__gte=since).exclude(kind__in=rules.NOTICES)
    wanted = Q(severity__gte=least_severity)
    if kinds:
        wanted &= Q(kind__in=list(kinds))
    if teams:
        wanted &= Q(team_ids__overlap=list(teams))
    if budgets:
        wanted &= Q(budget_id__in=list(budgets))
    newest = raised.filter(wanted).order_by("-created_at", "-id").defer("facts")[:limit]
    counted = raised.aggregate(of=Count("id"), count=_count(wanted))
    return Fitting(count=counted["count"], of=counted["of"], newest=tuple(_head(alert) for alert in newest))


def untold(*, since: datetime) -> Untold:
    """Return which alerts raised at or after `since` were told nobody, for want of a channel. Two queries at most.

    `still` counts those that the channels in use now would not fit either.
    """
    unwanted = Delivery.objects.filter(state=DeliveryState.FAILED, channel_id__isnull=True, created_at__gte=since)
    unwanted = unwanted.exclude(alert__kind__in=rules.NOTICES)
    alerts = list(
        unwanted.order_by("-id").values_list(
            "alert__kind", "alert__severity", "alert__team_ids", "alert__budget_id"
        )[:_MOST]
    )  # fmt: skip
    if not alerts:
        return Untold(count=0, still=0, gaps=())
    in_use = list(
        Channel.objects.filter(enabled=True, retired_at__isnull=True).only(
            "teams", "budgets", "kinds", "least_severity"
        )
    )
    missing: Counter[tuple[str, int]] = Counter()
    for kind, severity, team_ids, budget_id in alerts:
        reached = any(
            rules.fits(
                teams=channel.teams,
                budgets=channel.budgets,
                kinds=channel.kinds,
                least_severity=channel.least_severity,
                kind=kind,
                severity=severity,
                team_ids=team_ids,
                budget_id=budget_id,
            )
            for channel in in_use
        )
        if not reached:
            missing[kind, severity] += 1
    gaps = [
        Gap(kind=kind, severity=severity, severity_label=str(Severity(severity).label), count=count)
        for (kind, severity), count in missing.items()
    ]
    gaps.sort(key=lambda gap: (-gap.severity, -gap.count, gap.kind))
    return Untold(count=len(alerts), still=missing.total(), gaps=tuple(gaps))


def _count(wanted: Q) -> Count:
    return Count("id", filter=wanted)


def _head(alert: Alert) -> Head:
    return Head(
        id=alert.pk,
        title=alert.title,
        kind=alert.kind,
        severity=alert.severity,
        severity_label=str(Severity(alert.severity).label),
        created_at=alert.created_at,
    )
