"""Changes of the organisation's settings."""

from __future__ import annotations

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
    reason = reason.replace("\x00", "").strip()
    if not reason:
        raise Invalid("This needs a reason.", [("reason", "Say why: it is kept in the audit trail.")])
    if len(reason) > REASON_CHARACTERS:
        raise Invalid("This reason is too long.", [("reason", f"At most {REASON_CHARACTERS} characters.")])
    audit.acting(by=by, reason=reason)
    # A change that changes nothing leaves nothing in the trail.
    changed = Organisation.objects.filter(pk=1, separation_of_duties=not on).update(separation_of_duties=on)
    return bool(changed)
