"""Ending alerts whose cause has passed, by whatever found that it has; people end them in `acknowledging`."""

from __future__ import annotations

from datetime import datetime

from alerts.models import Alert, AlertState


def resolve(*, kind: str, at: datetime, subject_id: int | None = None, dedupe_key_prefix: str = "") -> int:
    """Resolve what is left of a kind's alerts for one subject, or of those whose dedupe key begins so; says how many.

    Takes part in the caller's transaction, if there is one. One query. Safe to repeat, and of several at once each
    alert is resolved by one: what is resolved already keeps its moment. An alert that was raised after `at` is of a
    cause that came later, and stays. What is on its way to a channel still goes out.

    Raises:
        ValueError: neither a subject nor a prefix is given; that would end every alert of the kind.
    """
    if subject_id is None and not dedupe_key_prefix:
        raise ValueError("Name the subject or the beginning of the dedupe key.")
    found = Alert.objects.filter(kind=kind, created_at__lte=at).exclude(state=AlertState.RESOLVED)
    if subject_id is not None:
        found = found.filter(subject_id=subject_id)
    if dedupe_key_prefix:
        found = found.filter(dedupe_key__startswith=dedupe_key_prefix)
    return found.update(state=AlertState.RESOLVED, resolved_at=at, snoozed_until=None)
