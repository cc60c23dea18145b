"""What people change about themselves."""

from __future__ import annotations

import pytest

from core.errors import Invalid
from core.models import AuditEntry
from core.services import people
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_change_of_oneself_is_kept_once_and_stands_in_the_trail():
    person = make_user("viewer")
    wanted = {"user_id": person.pk, "name": " Ada\x00 ", "zone": "Asia/Tokyo", "by": person.email}

    changed = [people.describe_oneself(**wanted), people.describe_oneself(**wanted)]

    person.refresh_from_db()
    assert (person.name, person.zone, changed) == ("Ada", "Asia/Tokyo", [True, False])
    trail = AuditEntry.objects.filter(table="core_user", row=str(person.pk), operation="update")
    assert [entry.actor for entry in trail] == [person.email]


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_kept():
    person = make_user("viewer", name="Ada")

    with pytest.raises(Invalid) as refused:
        people.describe_oneself(user_id=person.pk, name="A" * 129, zone="Mars/Olympus", by=person.email)

    person.refresh_from_db()
    assert [name for name, _ in refused.value.problems] == ["name", "zone"]
    assert person.name == "Ada"
