"""Switches: a provider, model or offering off (or on) everywhere for a while, without a version."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from catalog.models import Model, Offering, Provider
from core.errors import Invalid
from core.services import audit
from routing.models import Switch, SwitchKind
from routing.services import states

LONGEST_SECONDS = 86_400
REASON_CHARACTERS = 200
BY_CHARACTERS = 254

_NAMED = {SwitchKind.PROVIDER: Provider, SwitchKind.MODEL: Model, SwitchKind.OFFERING: Offering}


@transaction.atomic(durable=True)
def turn(*, kind: str, name: str, off: bool, seconds: int, reason: str, by: str, at: datetime) -> Switch:
    """Turn something off, or on, for so many seconds from `at` on; gateways have it with their next poll.

    The latest word on a name counts, and ends by itself, also in gateways that cannot reach us. "On" for 0 seconds
    takes an "off" back; for longer it lets an offering through though its model or provider is off. The new state is
    published in the same transaction.

    Raises:
        Invalid: nothing is called so, no reason, or for too long.
    """
    audit.acting(by=by, reason=reason)
    problems = []
    known = None
    if kind not in SwitchKind.values:
        problems.append(("kind", f"This is one of {', '.join(SwitchKind.values)}."))
    elif "\x00" not in name:
        known = _NAMED[SwitchKind(kind)]._default_manager.filter(name=name.strip()).first()
    if known is None and not problems:
        problems.append(("name", f"The catalogue has no {kind} {name.strip()[:193]!r}."))
    if not (1 if off else 0) <= seconds <= LONGEST_SECONDS:
        problems.append(("seconds", f"This is from {1 if off else 0} to {LONGEST_SECONDS}."))
    if not reason.strip():
        problems.append(("reason", "Say why: others will wonder."))
    elif len(reason.strip()) > REASON_CHARACTERS or "\x00" in reason:
        problems.append(("reason", f"This is a line of {REASON_CHARACTERS} characters at most."))
    if len(by) > BY_CHARACTERS:
        problems.append(("by", f"This is a name of {BY_CHARACTERS} characters at most."))
    if problems:
        raise Invalid("This switch cannot be turned so.", problems)
    switch = Switch.objects.create(
        kind=kind,
        name=name.strip(),
        off=off,
        since=at,
        until=at + timedelta(seconds=seconds),
        reason=reason.strip(),
        by=by,
    )
    states.renew_all(at=at)
    return switch
