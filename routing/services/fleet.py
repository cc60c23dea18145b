"""Watches the fleet: tells of versions that gateways refuse, and forgets instances that are long gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from alerts.models import Alert, AlertState, Severity
from alerts.services import raising, resolving
from core import periods
from core.models import Organisation
from routing.selectors import fleet
from routing.selectors.fleet import Refusal

KIND = "rules_refused"
# Told again only where it was quiet for so long: processes that share a name take turns in saying yes and no.
AGAIN_AFTER = timedelta(hours=1)

_END = "~"  # in no environment's name, so that no key is the beginning of another one
_MOST_NAMES = 5
_MOST_REASONS = 3
_REASON_CHARACTERS = 300
_FORGOTTEN_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class Looked:
    raised: int
    resolved: int


@transaction.atomic(durable=True)
def look(*, at: datetime) -> Looked:
    """Raise an alert for each version that instances of a gateway refuse, and resolve those that none refuses now.

    Safe to repeat, and for any number of schedulers at once: there is one alert for an environment, a gateway and a
    version, with the instances that refused it when it was raised. A version that is refused again an hour or more
    after the alert was resolved is told of again. Two queries where nothing is refused.
    """
    refused = {_subject(one): one for one in fleet.refusals(at=at)}
    resolved = _take_back(set(refused), at=at)
    if not refused:
        return Looked(raised=0, resolved=resolved)
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    # In the order of their keys, as the alerts want it.
    due = sorted((key, one) for one, key in zip(refused.values(), _keys(refused, at=at), strict=True) if key)
    return Looked(raised=sum(_raise(one, key=key, zone=zone, at=at) is not None for key, one in due), resolved=resolved)


def forget(*, at: datetime, at_once: int = _FORGOTTEN_AT_ONCE) -> int:
    """Delete the polls of instances that were not heard of for seven days, `at_once` in a transaction; says how many.

    Safe to repeat, to break off anywhere and to do twice at once.
    """
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM routing_gatewaypoll WHERE id IN (SELECT id FROM routing_gatewaypoll WHERE polled_at < %s "
                "ORDER BY polled_at LIMIT %s FOR UPDATE SKIP LOCKED)",
                [at - fleet.FORGOTTEN, at_once],
            )
            gone = int(cursor.rowcount)
        total += gone
        if gone < at_once:
            return total


def _subject(one: Refusal) -> str:
    return f"{KIND}:{one.gateway_id}:{one.version}:{one.environment}{_END}"


def _subject_in(key: str) -> str:
    return key.rsplit(_END, 2)[0] + _END


def _keys(subjects: dict[str, Refusal], *, at: datetime) -> list[str]:
    """Return the key of the alert that is due for each; empty where it is told, or was a moment ago."""
    ids = {one.gateway_id for one in subjects.values()}
    told: dict[str, list[datetime | None]] = {}
    rows = Alert.objects.filter(kind=KIND, subject_id__in=ids).values_list("dedupe_key", "resolved_at")
    for key, resolved_at in rows:
        told.setdefault(_subject_in(key), []).append(resolved_at)
    keys = []
    for subject in subjects:
        ends = told.get(subject, [])
        over = all(end is not None and end <= at - AGAIN_AFTER for end in ends)
        keys.append(f"{subject}{len(ends) + 1}{_END}" if over else "")
    return keys


def _take_back(subjects: set[str], *, at: datetime) -> int:
    left = Alert.objects.filter(kind=KIND).exclude(state=AlertState.RESOLVED)
    told = left.order_by("dedupe_key").values_list("dedupe_key", flat=True)
    return sum(
        resolving.resolve(kind=KIND, dedupe_key_prefix=key, at=at)
        for key in list(told)
        if _subject_in(key) not in subjects
    )


def _raise(one: Refusal, *, key: str, zone: str, at: datetime) -> Alert | None:
    version, where = f"version {one.version}", one.environment
    base = f"/rules/{where.replace('/', '~')}/"
    still = [number for number in one.running if number is not None]
    many = one.instances > 1
    links = [["Open the fleet", f"{base}fleet/"], [f"Open {version}", f"{base}versions/{one.version}/"]]
    if still and one.version == one.live_version:
        links.append([f"Roll back to version {still[0]}", f"{base}versions/{still[0]}/back/"])
    rows = [
        ["Reason, in its words", " / ".join(_plain(reason) for reason in one.reasons[:_MOST_REASONS]) or "none given"],
        ["Instances", _listed([name or "unnamed" for name in one.names])],
        ["Goes on with", _versions(one)],
        ["In force" if one.version == one.live_version else "Published", periods.clock_text(one.published_at, zone)],
    ]
    if one.clients:
        rows.append(["Client", _listed([_plain(client) for client in one.clients])])
    if one.spec is not None and one.spec < one.needs:
        rows.append(["Specification", f"it understands {one.spec}; the version needs {one.needs}"])
    return raising.raise_alert(
        kind=KIND,
        dedupe_key=key,
        severity=Severity.WARNING if still else Severity.CRITICAL,
        title=f"{one.gateway} refuses {version} of the rules in {where}",
        facts={
            "summary": f"{f'{one.instances:,} instances' if many else 'An instance'} of the gateway {one.gateway} "
            f"{'refuse' if many else 'refuses'} to run {version} of the rules in {where}, and "
            f"{'go' if many else 'goes'} on with {_versions(one)}.",
            "rows": rows,
            "next": "Calls there are routed as before. Publish rules that it can run, or roll back, or bring the "
            "gateway to a newer client. This alert ends by itself when no instance refuses the version any more.",
            "links": links,
        },
        subject_kind="gateway",
        subject_id=one.gateway_id,
        team_ids=[],
        budget_id=None,
        at=at,
    )


def _versions(one: Refusal) -> str:
    still = [f"version {number}" for number in one.running if number is not None]
    return _listed([*still, *(["no rules at all"] if None in one.running else [])])


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST_NAMES
    return ", ".join(words[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _plain(text: str) -> str:
    """Return what a gateway says as one line of printable text, not too long."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 1] + "…"
