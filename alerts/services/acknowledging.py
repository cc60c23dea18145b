"""What people do with an alert. Each verb repeats its condition in the UPDATE: of two at once, one is first."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from alerts.models import Alert, AlertComment, AlertState
from core.errors import Conflict, Invalid, NotFound
from core.services.audit import acting

_COMMENT_CHARACTERS = 4000


class NoSuchAlert(NotFound):
    """There is no alert with this number."""


class AlreadyResolved(Conflict):
    """The alert is over; nothing changed."""


@transaction.atomic(durable=True)
def acknowledge(*, alert_id: int, by: str, at: datetime) -> None:
    """Say that somebody takes care of an open alert. Safe to repeat: whoever was first stays named.

    Raises:
        NoSuchAlert, AlreadyResolved: nothing changed.
    """
    acting(by=by)
    still_open = Alert.objects.filter(pk=alert_id, state=AlertState.OPEN)
    if still_open.update(state=AlertState.ACKNOWLEDGED, acknowledged_at=at, acknowledged_by=by) == 0:
        _refuse_unless(alert_id, AlertState.ACKNOWLEDGED)


@transaction.atomic(durable=True)
def snooze(*, alert_id: int, until: datetime, by: str, at: datetime) -> None:
    """Keep an alert out of the list of open ones until then; it stays in its state.

    Raises:
        Invalid: `until` is not later than now.
        NoSuchAlert, AlreadyResolved: nothing changed.
    """
    if until <= at:
        raise Invalid("An alert is snoozed into the future.", [("until", "Choose a time that is still to come.")])
    acting(by=by)
    if Alert.objects.filter(pk=alert_id).exclude(state=AlertState.RESOLVED).update(snoozed_until=until) == 0:
        _refuse_unless(alert_id)


@transaction.atomic(durable=True)
def wake(*, alert_id: int, by: str) -> None:
    """Take a snooze back: the alert stands where its state has it at once. Safe to repeat.

    Raises:
        NoSuchAlert: nothing changed.
    """
    acting(by=by)
    if Alert.objects.filter(pk=alert_id, snoozed_until__isnull=False).update(snoozed_until=None) == 0:
        _refuse_unless(alert_id, *AlertState)


@transaction.atomic(durable=True)
def resolve(*, alert_id: int, by: str, at: datetime) -> None:
    """Say that what the alert told of is over. Safe to repeat: the first moment stays.

    Raises:
        NoSuchAlert: nothing changed.
    """
    acting(by=by)
    not_over = Alert.objects.filter(pk=alert_id).exclude(state=AlertState.RESOLVED)
    if not_over.update(state=AlertState.RESOLVED, resolved_at=at, snoozed_until=None) == 0:
        _refuse_unless(alert_id, AlertState.RESOLVED)


@transaction.atomic(durable=True)
def comment(*, alert_id: int, text: str, by: str, at: datetime) -> AlertComment:
    """Add a comment to an alert in any state.

    Raises:
        Invalid: the text is empty or longer than 4000 characters.
        NoSuchAlert: nothing was written.
    """
    text = text.strip()
    if not text or len(text) > _COMMENT_CHARACTERS:
        raise Invalid("The comment cannot be kept.", [("text", f"Write 1 to {_COMMENT_CHARACTERS} characters.")])
    if not Alert.objects.filter(pk=alert_id).exists():
        raise NoSuchAlert(f"There is no alert {alert_id}.")
    return AlertComment.objects.create(alert_id=alert_id, at=at, by=by, text=text)


def _refuse_unless(alert_id: int, *fine: AlertState) -> None:
    """Explain an UPDATE that found no row, unless the alert is where it should be already."""
    state = Alert.objects.filter(pk=alert_id).values_list("state", flat=True).first()
    if state is None:
        raise NoSuchAlert(f"There is no alert {alert_id}.")
    if state not in fine:
        raise AlreadyResolved(f"Alert {alert_id} is resolved.")
