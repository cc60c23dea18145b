"""Channels: where alerts go, set up by people. Secrets are encrypted before they reach the database."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from alerts.channels import KINDS, Delivered, Outcome, Signing
from alerts.messages import compose
from alerts.models import Channel, Delivery, DeliveryState, Digest, Severity
from catalog.models import Team
from core import secrets
from core.errors import Conflict, Invalid, NotFound
from core.services.audit import acting

log = structlog.get_logger(__name__)

LONGEST_OVERLAP = timedelta(days=30)  # of a rotated secret with the former one
_NAME_CHARACTERS = 128
_KIND_CHARACTERS = 32
_MOST_LISTED = 500  # teams, budgets, kinds: whoever raises an alert reads those of every channel


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
    digests: Sequence[str] = (),
    digest_hour: int = 8,
    canary: bool = False,
) -> Channel:
    """Set up a channel; alerts raised from its commit on reach it, earlier ones do not.

    Where the secret is ours to make, take it from `made_secret` and show it to whoever sets the channel up: it is
    never shown again.

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
        digests=sorted(set(digests)),
        digest_hour=digest_hour,
        canary=canary,
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
    digests: Sequence[str] | None = None,
    digest_hour: int | None = None,
    canary: bool | None = None,
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
    if digests is not None:
        channel.digests = sorted(set(digests))
    if digest_hour is not None:
        channel.digest_hour = digest_hour
    if canary is not None:
        channel.canary = canary
    if secret is not None:
        secret = secret.strip()
        channel.secret = secrets.encrypt(secret.encode()) if secret else None
    _check(channel, secret if secret is not None else _secret(channel))
    _save(channel, new=False)
    return channel


def made_secret(*, kind: str) -> str:
    """Return a new secret for a kind of channel whose far side checks our signatures by it; empty for other kinds."""
    found = KINDS.get(kind)
    return found.make_secret() if isinstance(found, Signing) else ""


@transaction.atomic(durable=True)
def rotate_secret(*, channel_id: int, new: str, keep_for: timedelta, by: str, at: datetime) -> datetime:
    """Let a new secret sign; the present one signs as well for `keep_for`, so that the far side can change over.

    Returns until when. `new` is what `made_secret` gave, to be shown once; one of an earlier rotation ends at once.

    Raises:
        Invalid: such a channel signs nothing, or `keep_for` is not from nothing to 30 days.
        NoSuchChannel, secrets.Unreadable: nothing changed.
    """
    if not timedelta(0) <= keep_for <= LONGEST_OVERLAP:
        days = f"Keep the former secret for {LONGEST_OVERLAP.days} days at most."
        raise Invalid(days, [("keep_hours", days)])
    acting(by=by, reason="another signing secret")
    channel = _locked(channel_id)
    kind = KINDS.get(channel.kind)
    if not isinstance(kind, Signing):
        raise Invalid("Only a channel that signs has a secret to rotate.", [("kind", "It signs nothing.")])
    until = at + keep_for
    secret = kind.rotated(_secret(channel), new=new, former_until=until)
    _check(channel, secret)
    channel.secret = secrets.encrypt(secret.encode())
    _save(channel, new=False)
    return until


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
    """Send a test message at once, switched off or not, and return what became of it; it is not recorded or repeated.

    Where it was taken, messages that rest after a failure are due at once, for the next sweep. Takes up to about 10 s.
    Call it outside of a transaction.

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
        sent_at=at,
    )
    outcome = KINDS[channel.kind].send(message, channel.config, _secret(channel), uuid.uuid4())
    log.info("channel.tested", channel=channel.pk, by=by, outcome=type(outcome).__name__)
    if isinstance(outcome, Delivered):
        resting = Delivery.objects.filter(channel=channel, state=DeliveryState.WAITING, due_at__gt=at)
        resting.update(due_at=at)
    return outcome


def _locked(channel_id: int) -> Channel:
    # No key changes: bookings that raise alerts refer to the row, and do not wait while a name server is asked here.
    in_use = Channel.objects.select_for_update(no_key=True).filter(pk=channel_id, retired_at__isnull=True)
    channel = in_use.first()
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
    if not set(channel.digests) <= set(Digest.values):
        problems.append(("digests", f"Choose among {', '.join(Digest.values)}."))
    if channel.digest_hour not in range(24):
        problems.append(("digest_hour", "Choose an hour from 0 to 23."))
    for field, listed in (("teams", channel.teams), ("budgets", channel.budgets), ("kinds", channel.kinds)):
        if len(listed) > _MOST_LISTED:
            problems.append((field, f"List {_MOST_LISTED} at most, or none for all."))
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
