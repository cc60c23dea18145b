"""Channels: where alerts go, set up by people. Secrets are encrypted before they reach the database."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from alerts.channels import KINDS, Outcome
from alerts.messages import compose
from alerts.models import Channel, Severity
from catalog.models import Team
from core import secrets
from core.errors import Conflict, Invalid, NotFound
from core.services.audit import acting

log = structlog.get_logger(__name__)

_NAME_CHARACTERS = 128
_KIND_CHARACTERS = 32


class NoSuchChannel(NotFound):
    """There is no channel with this number, or it was retired."""


class NameTaken(Conflict):
    """Another channel in use has this name."""


@transaction.atomic(durable=True)
def create(
    *,
    name: str,
    kind: str,
    config: Mapping[str, Any],
    secret: str,
    by: str,
    at: datetime,
    enabled: bool = True,
    teams: Sequence[int] = (),
    budgets: Sequence[int] = (),
    kinds: Sequence[str] = (),
    least_severity: int = Severity.INFO,
) -> Channel:
    """Set up a channel; alerts raised from its commit on reach it, earlier ones do not.

    Raises:
        Invalid: with everything that is wrong.
        NameTaken: nothing changed.
        secrets.KeysMissing: there is a secret and no key to encrypt it with.
    """
    acting(by=by)
    channel = Channel(
        name=name.strip(),
        kind=kind,
        config=dict(config),
        enabled=enabled,
        teams=list(teams),
        budgets=list(budgets),
        kinds=list(kinds),
        least_severity=least_severity,
        created_at=at,
    )
    secret = secret.strip()
    _check(channel, secret)
    channel.secret = secrets.encrypt(secret.encode()) if secret else None
    _save(channel, new=True)
    return channel


@transaction.atomic(durable=True)
def change(
    *,
    channel_id: int,
    by: str,
    reason: str = "",
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    secret: str | None = None,
    enabled: bool | None = None,
    teams: Sequence[int] | None = None,
    budgets: Sequence[int] | None = None,
    kinds: Sequence[str] | None = None,
    least_severity: int | None = None,
) -> Channel:
    """Change what is given and leave the rest (None) as it is; the kind never changes.

    What waits for the channel goes out by its new settings. Switched off, its deliveries end failed, visibly.

    Raises:
        Invalid: with everything that is wrong.
        NoSuchChannel, NameTaken: nothing changed.
        secrets.Unreadable: the stored secret cannot be read, and no new one was given.
    """
    acting(by=by, reason=reason)
    channel = _locked(channel_id)
    if name is not None:
        channel.name = name.strip()
    if config is not None:
        channel.config = dict(config)
    if enabled is not None:
        channel.enabled = enabled
    if teams is not None:
        channel.teams = list(teams)
    if budgets is not None:
        channel.budgets = list(budgets)
    if kinds is not None:
        channel.kinds = list(kinds)
    if least_severity is not None:
        channel.least_severity = least_severity
    if secret is not None:
        secret = secret.strip()
        channel.secret = secrets.encrypt(secret.encode()) if secret else None
    _check(channel, secret if secret is not None else _secret(channel))
    _save(channel, new=False)
    return channel


@transaction.atomic(durable=True)
def retire(*, channel_id: int, by: str, at: datetime, reason: str = "") -> None:
    """Take a channel out of use for good and forget its secret; its deliveries stay, what waits ends failed.

    Safe to repeat.

    Raises:
        NoSuchChannel: there never was one.
    """
    acting(by=by, reason=reason)
    in_use = Channel.objects.filter(pk=channel_id, retired_at__isnull=True)
    changed = in_use.update(retired_at=at, enabled=False, secret=None)
    if not changed and not Channel.objects.filter(pk=channel_id).exists():
        raise NoSuchChannel(f"There is no channel {channel_id}.")


def send_test(*, channel_id: int, by: str, at: datetime) -> Outcome:
    """Send a test message at once, switched off or not, and return what became of it; nothing is recorded or repeated.

    Takes up to about 10 s. Call it outside of a transaction.

    Raises:
        NoSuchChannel: nothing was sent.
        secrets.Unreadable, secrets.KeysMissing: the stored secret cannot be read.
    """
    channel = Channel.objects.filter(pk=channel_id, retired_at__isnull=True).first()
    if channel is None or channel.kind not in KINDS:
        raise NoSuchChannel(f"There is no channel {channel_id}.")
    message = compose(
        title=f"Test of the channel {channel.name}",
        severity=str(Severity.INFO.label),
        facts={
            "summary": "This is a test. If you can read it, alerts will reach you here.",
            "rows": [["Channel", channel.name], ["Sent by", by], ["Sent at", f"{at:%Y-%m-%d %H:%M:%S %Z}"]],
        },
        base_url=settings.BASE_URL,
    )
    outcome = KINDS[channel.kind].send(message, channel.config, _secret(channel), uuid.uuid4())
    log.info("channel.tested", channel=channel.pk, by=by, outcome=type(outcome).__name__)
    return outcome


def _locked(channel_id: int) -> Channel:
    channel = Channel.objects.select_for_update().filter(pk=channel_id, retired_at__isnull=True).first()
    if channel is None:
        raise NoSuchChannel(f"There is no channel {channel_id} in use.")
    return channel


def _secret(channel: Channel) -> str:
    return secrets.decrypt(bytes(channel.secret)).decode() if channel.secret else ""


def _check(channel: Channel, secret: str) -> None:
    """Raise Invalid with everything that is wrong with a channel's settings."""
    problems: list[tuple[str, str]] = []
    if not 1 <= len(channel.name) <= _NAME_CHARACTERS or not channel.name.isprintable():
        problems.append(("name", f"Give it a name of 1 to {_NAME_CHARACTERS} characters on one line."))
    kind = KINDS.get(channel.kind)
    if kind is None:
        problems.append(("kind", f"Choose one of {', '.join(KINDS)}."))
    else:
        problems += kind.check(channel.config, secret)
    if channel.least_severity not in Severity.values:
        problems.append(("least_severity", f"Choose one of {', '.join(Severity.labels)}."))
    if any(not 1 <= len(each) <= _KIND_CHARACTERS for each in channel.kinds):
        problems.append(("kinds", f"A kind of alert has 1 to {_KIND_CHARACTERS} characters."))
    unknown = set(channel.teams) - set(Team.objects.filter(pk__in=channel.teams).values_list("pk", flat=True))
    if unknown:
        problems.append(("teams", f"There is no team {', '.join(str(each) for each in sorted(unknown))}."))
    if problems:
        raise Invalid("The channel cannot be used like this.", problems)


def _save(channel: Channel, *, new: bool) -> None:
    try:
        with transaction.atomic():
            channel.save(force_insert=new)
    except IntegrityError as error:
        if "alerts_channel_name_once" not in str(error):
            raise
        raise NameTaken(f"Another channel is named {channel.name}.") from error
