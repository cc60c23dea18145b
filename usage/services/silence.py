"""Tells of gateways that went silent, once per silence, and takes it back when they are heard again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max

from alerts.models import Alert, AlertState, Severity
from alerts.services import raising, resolving
from core import periods
from core.models import Organisation
from usage.selectors import silences
from usage.selectors.silences import Before, Watched

KIND = "gateway_silent"
_OF_ALL = f"{KIND}:all:"
# Where nobody at all was heard of for so long it is no gateway's doing, most likely, and told once.
NOBODY_FOR = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Looked:
    raised: int
    resolved: int


@transaction.atomic(durable=True)
def look(*, at: datetime) -> Looked:
    """Raise an alert for each gateway that went silent, and resolve those of gateways that were heard again.

    Safe to repeat, and for any number of schedulers at once: a silence is known by its gateway and the moment it was
    last heard of. Where no gateway at all was heard of for ten minutes, and there are several, one alert tells of all;
    when that is over each has the time of its setting to come back. Three queries where all is well.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    watched = silences.watched(at=at)
    resolved = _take_back(watched, at=at)
    silent = silences.silent(watched, zone=zone, at=at)
    new = _not_told(silent, at=at) if silent else []
    if not new:
        return Looked(raised=0, resolved=resolved)
    newest = max(one.last_received_at for one in watched)
    if len(watched) > 1 and at - newest > NOBODY_FOR:
        alerts = [_raise_for_all(watched, newest=newest, zone=zone, at=at)]
    else:
        # In the order of their keys, as the alerts want it.
        alerts = [_raise(one, zone=zone, at=at) for one in sorted(new, key=_key)]
    return Looked(raised=sum(alert is not None for alert in alerts), resolved=resolved)


def _not_told(silent: Sequence[Watched], *, at: datetime) -> list[Watched]:
    told = set(Alert.objects.filter(dedupe_key__in=[_key(one) for one in silent]).values_list("dedupe_key", flat=True))
    of_all = Alert.objects.filter(kind=KIND, dedupe_key__startswith=_OF_ALL, resolved_at__lte=at)
    back_at = of_all.aggregate(last=Max("resolved_at"))["last"]
    return [
        one
        for one in silent
        if _key(one) not in told and (back_at is None or at - back_at > one.silent_after)
    ]  # fmt: skip


def _key(one: Watched) -> str:
    return f"{KIND}:{one.gateway_id}:{one.last_received_at.isoformat()}"


def _key_of_all(newest: datetime) -> str:
    return f"{_OF_ALL}{newest.isoformat()}"


def _take_back(watched: Sequence[Watched], *, at: datetime) -> int:
    """Resolve the alerts of silences that are over: the gateway was heard again, retired, or nobody wants to know."""
    left = Alert.objects.filter(kind=KIND).exclude(state=AlertState.RESOLVED)
    open_keys = list(left.order_by("dedupe_key").values_list("dedupe_key", flat=True))
    lasting = {_key(one) for one in watched}
    if watched:
        lasting.add(_key_of_all(max(one.last_received_at for one in watched)))
    return sum(
        resolving.resolve(kind=KIND, dedupe_key_prefix=key, at=at) for key in open_keys if key not in lasting
    )  # fmt: skip


def _raise(one: Watched, *, zone: str, at: datetime) -> Alert | None:
    known = silences.before(one, at=at)
    quiet = _words(at - one.last_received_at)
    return raising.raise_alert(
        kind=KIND,
        dedupe_key=_key(one),
        severity=Severity.WARNING,
        title=f"Nothing from {one.gateway} for {quiet}",
        facts={
            "summary": f"The gateway {one.gateway} sent nothing for {quiet}, which is not usual for this time. What it "
            "serves meanwhile is in no figure and moves no budget.",
            "rows": [
                ["Last heard of", periods.clock_text(one.last_received_at, zone)],
                ["In the 24 hours before", f"{known.events:,} events in {known.bodies:,} bodies"],
                ["Format", ", ".join(known.formats)],
                ["Its keys that work", f"{known.keys:,}"],
                ["A key was last used", periods.clock_text(known.key_used_at, zone) if known.key_used_at else "never"],
            ],
            "next": _advice(one, known),
            "links": [["Open the gateway", f"/gateways/{one.gateway_id}/"]],
        },
        subject_kind="gateway",
        subject_id=one.gateway_id,
        team_ids=[],
        budget_id=None,
        at=at,
    )


def _advice(one: Watched, known: Before) -> str:
    """Say what to look at first, by what is known."""
    if not known.keys:
        first = "None of its keys may send any more: make one on its page, and put it into the gateway."
    elif known.key_used_at is not None and known.key_used_at > one.last_received_at + timedelta(minutes=2):
        first = "One of its keys was used since, so it reaches us, and what it sends is refused: look into its log."
    else:
        first = (
            "Check that it runs and serves calls, that its callback or exporter is still switched on, and that it "
            "reaches Tollkeeper's address; its log says what it was answered."
        )
    return f"{first} What it kept for itself is taken when it comes back, and counts once."


def _raise_for_all(watched: Sequence[Watched], *, newest: datetime, zone: str, at: datetime) -> Alert | None:
    quiet = _words(at - newest)
    names = sorted(one.gateway for one in watched)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
    facts: dict[str, Any] = {
        "summary": f"None of {len(watched):,} gateways was heard of for {quiet}, which is not usual for this time. "
        "What they serve meanwhile is in no figure and moves no budget.",
        "rows": [["Last heard of any", periods.clock_text(newest, zone)], ["Gateways", shown]],
        "next": "As all are silent at once, check first what they share: that Tollkeeper's address answers "
        "(GET /healthz), its certificate, and the network between. What they kept for themselves is taken when they "
        "come back, and counts once.",
        "links": [["Open the gateways", "/gateways/"]],
    }
    return raising.raise_alert(
        kind=KIND,
        dedupe_key=_key_of_all(newest),
        severity=Severity.WARNING,
        title=f"Nothing from any gateway for {quiet}",
        facts=facts,
        subject_kind="gateway",
        subject_id=None,
        team_ids=[],
        budget_id=None,
        at=at,
    )


def _words(length: timedelta) -> str:
    minutes = int(length.total_seconds()) // 60
    if minutes < 120:
        return f"{minutes} minute{'s' if minutes != 1 else ''}"
    if minutes < 48 * 60:
        return f"{minutes // 60} hours"
    return f"{minutes // 1440} days"
