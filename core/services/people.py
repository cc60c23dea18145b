"""What people change about themselves."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from core.errors import Invalid
from core.models import User, check_zone
from core.services import audit

NAME_CHARACTERS = 128


@transaction.atomic(durable=True)
def describe_oneself(*, user_id: int, name: str, zone: str, by: str) -> bool:
    """Set a person's name and the zone that she reads times in (empty: the organisation's); say whether that changed.

    Everything that is wrong is said at once. Repeating it changes nothing and leaves nothing in the audit trail.

    Raises:
        Invalid: a name that is too long, or a zone that the IANA database does not know.
    """
    name, zone = name.replace("\x00", "").strip(), zone.strip()
    wrong = []
    if len(name) > NAME_CHARACTERS:
        wrong.append(("name", f"At most {NAME_CHARACTERS} characters."))
    if zone:
        try:
            check_zone(zone)
        except ValidationError as error:
            wrong.append(("zone", str(error.message)))
    if wrong:
        raise Invalid("This cannot be kept.", wrong)
    audit.acting(by=by)
    changed = User.objects.filter(pk=user_id).exclude(name=name, zone=zone).update(name=name, zone=zone)
    return bool(changed)
