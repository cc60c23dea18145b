"""Sends each channel the digests that it is ticked for, once each.

# Note [When a digest is due]
From the channel's hour on the clock of the organisation until that day is over: what a scheduler that was down missed
is made up for on the same day, and dropped after it. An hour that the clock jumps over begins where it lands, of one
that comes twice the first counts; both fall out of asking what instant it is. The weekly digest is due on Mondays.
Whether one was sent is asked of the alerts: its dedupe key names the channel and the day, so any number of schedulers
send it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from django.db import transaction

from alerts.models import Alert, Channel, Digest, Severity
from alerts.services import raising
from core import periods
from core.models import Organisation
from dashboards.selectors import digest_words
from dashboards.selectors.digest import Coverage, Sources

MONDAY = 0


@dataclass(frozen=True, kw_only=True)
class Due:
    channel: Channel
    digest: str
    day: date

    @property
    def kind(self) -> str:
        return f"digest_{self.digest}"

    @property
    def dedupe_key(self) -> str:
        return f"{self.kind}:{self.channel.pk}:{self.day.isoformat()}"


def send_due(*, at: datetime) -> int:
    """Raise what is due and was not raised; says how many. The edge nudges `alerts.tasks.deliver_due`.

    Safe to repeat, and for any number of schedulers at once. One transaction each, so what was raised stays raised
    whatever happens to the next. Two queries where nothing is due and three where all of it was sent.
    """
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    due = _unsent(due_at(_ticked(), zone=zone, at=at))
    sources = Sources(at=at, zone=zone)
    return sum(_send(one, sources) for one in due)


def due_at(channels: Iterable[Channel], *, zone: str, at: datetime) -> list[Due]:
    """Return the digests whose hour has come, in the order of their keys. See Note [When a digest is due]."""
    day = periods.local_day(at, zone)
    found = []
    for channel in channels:
        if at < hour_begins(day, channel.digest_hour, zone):
            continue
        if Digest.DAILY in channel.digests:
            found.append(Due(channel=channel, digest=Digest.DAILY.value, day=day))
        if Digest.WEEKLY in channel.digests and day.weekday() == MONDAY:
            found.append(Due(channel=channel, digest=Digest.WEEKLY.value, day=day))
    return sorted(found, key=lambda one: one.dedupe_key)


def hour_begins(day: date, hour: int, zone: str) -> datetime:
    """Return the first instant at which a clock in the zone shows the hour of a day, or a later one if it skips it."""
    begins = datetime.combine(day, time(hour), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    # A clock that jumps over midnight begins its day after the hour.
    return max(begins, periods.day_start(day, zone))


def _ticked() -> list[Channel]:
    return list(Channel.objects.filter(enabled=True, retired_at__isnull=True).exclude(digests=[]).defer("secret"))


def _unsent(due: list[Due]) -> list[Due]:
    if not due:
        return []
    keys = [one.dedupe_key for one in due]
    sent = set(Alert.objects.filter(dedupe_key__in=keys).values_list("dedupe_key", flat=True))
    return [one for one in due if one.dedupe_key not in sent]


def _send(due: Due, sources: Sources) -> bool:
    channel = due.channel
    coverage = Coverage(
        teams=frozenset(channel.teams),
        budgets=frozenset(channel.budgets),
        kinds=frozenset(channel.kinds),
        least_severity=channel.least_severity,
    )
    if due.digest == Digest.DAILY:
        title, facts = digest_words.daily(sources.daily(coverage), zone=sources.zone)
    else:
        title, facts = digest_words.weekly(sources.weekly(coverage), zone=sources.zone)
    with transaction.atomic(durable=True):
        raised = raising.raise_alert(
            kind=due.kind,
            dedupe_key=due.dedupe_key,
            severity=Severity.INFO,
            title=title,
            facts=facts,
            subject_kind="channel",
            subject_id=channel.pk,
            team_ids=[],
            budget_id=None,
            at=sources.at,
            channels=[channel.pk],
            notice=True,
        )
    return raised is not None
