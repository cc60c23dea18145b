"""Changes of the organisation's settings."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from core.errors import Invalid
from core.models import Organisation
from core.services import audit

REASON_CHARACTERS = 300


@transaction.atomic(durable=True)
def separate_duties(*, on: bool, reason: str, by: str) -> bool:
    """Let nobody approve what she contributed to, or, for a team of one, let her; says whether that changed anything.

    Who changed it, when and why stands in the audit trail. Approvals that were given stay as they are.

    Raises:
        Invalid: no reason, or one that is too long.
    """
    audit.acting(by=by, reason=_checked(reason))
    # A change that changes nothing leaves nothing in the trail.
    changed = Organisation.objects.filter(pk=1, separation_of_duties=not on).update(separation_of_duties=on)
    return bool(changed)


@transaction.atomic(durable=True)
def set_goals(
    *, frontier_from_percent: Decimal, frontier_percent: Decimal, open_weights_percent: Decimal, reason: str, by: str
) -> bool:
    """Set the goals for shares of answered requests, in per cent with one place; says whether that changed anything.

    On frontier models no more than `frontier_percent`, and `frontier_from_percent` at the least; on models with open
    weights no fewer than `open_weights_percent`. Charts of the past show the goals as they are now.

    Raises:
        Invalid: a goal is no share, has more places, or the least is above the most; no reason, or one too long.
    """
    goals = {
        "frontier_goal_from_percent": frontier_from_percent,
        "frontier_goal_percent": frontier_percent,
        "open_weights_goal_percent": open_weights_percent,
    }
    problems = [
        (name, "Give a share from 0 to 100 per cent, with one place at most.")
        for name, value in goals.items()
        if not value.is_finite() or not 0 <= value <= 100 or value != round(value, 1)
    ]
    if not problems and frontier_from_percent > frontier_percent:
        problems.append(("frontier_goal_from_percent", "The least lies above the most."))
    if problems:
        raise Invalid("These goals cannot be set.", problems)
    audit.acting(by=by, reason=_checked(reason))
    changed = Organisation.objects.filter(pk=1).exclude(**goals).update(**goals)
    return bool(changed)


def _checked(reason: str) -> str:
    reason = reason.replace("\x00", "").strip()
    if not reason:
        raise Invalid("This needs a reason.", [("reason", "Say why: it is kept in the audit trail.")])
    if len(reason) > REASON_CHARACTERS:
        raise Invalid("This reason is too long.", [("reason", f"At most {REASON_CHARACTERS} characters.")])
    return reason
