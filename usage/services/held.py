"""Settling events that were kept without being counted: somebody has seen them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from core.errors import Invalid, NotFound
from core.services import audit
from usage.models import HeldEvent

MOST_AT_ONCE = 1000
REASON_CHARACTERS = 200


class NoSuchHeldEvent(NotFound):
    """Some of the numbers are no held events; nothing changed."""


@transaction.atomic(durable=True)
def settle(*, held_ids: Collection[int], by: str, at: datetime, reason: str = "") -> int:
    """Say that somebody has seen held events; returns how many were open until then.

    It books nothing: what was counted stays. Safe to repeat, and of two at once the first stays named.

    Raises:
        Invalid: none or more than 1000 are named, or the reason is too long.
        NoSuchHeldEvent: nothing changed.
    """
    reason = reason.strip()
    problems = []
    if not 0 < len(held_ids) <= MOST_AT_ONCE:
        problems.append(("ids", f"Choose 1 to {MOST_AT_ONCE:,} events."))
    if len(reason) > REASON_CHARACTERS:
        problems.append(("reason", f"At most {REASON_CHARACTERS} characters."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    audit.acting(by=by, reason=reason)
    found = HeldEvent.objects.filter(pk__in=set(held_ids))
    # In one order, so that two who settle the same events wait for each other instead of both ways.
    open_ids = [
        pk for pk, settled_at in found.order_by("id").select_for_update().values_list("id", "settled_at")
        if settled_at is None
    ]  # fmt: skip
    if found.count() < len(set(held_ids)):
        raise NoSuchHeldEvent("Some of these are no held events: look again.")
    return HeldEvent.objects.filter(pk__in=open_ids).update(settled_at=at, settled_by=by, settled_because=reason)
