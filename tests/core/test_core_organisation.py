"""Separation of duties is turned off and on with a reason, and who did it stays to be read."""

from __future__ import annotations

import pytest

from core.errors import Invalid
from core.models import AuditEntry, Organisation
from core.services import organisation

pytestmark = pytest.mark.django_db

ANN = "ann@example.com"


def separate(on: bool, reason: str = "a team of one") -> bool:
    return organisation.separate_duties(on=on, reason=reason, by=ANN)


def entries() -> list[tuple[str, str]]:
    found = AuditEntry.objects.filter(table="core_organisation", operation="update").order_by("id")
    return list(found.values_list("actor", "reason"))


def test_it_is_turned_off_and_on_and_the_trail_says_by_whom_and_why():
    assert separate(False) is True
    assert Organisation.objects.get().separation_of_duties is False
    assert separate(True, "we are two now") is True

    assert Organisation.objects.get().separation_of_duties is True
    assert entries() == [(ANN, "a team of one"), (ANN, "we are two now")]


def test_what_is_so_already_leaves_no_trace():
    assert separate(True) is False
    assert entries() == []


@pytest.mark.parametrize("reason", ["", "  ", "\x00", "x" * 301])
def test_a_reason_is_asked_for(reason):
    with pytest.raises(Invalid) as caught:
        separate(False, reason)

    assert [at for at, _ in caught.value.problems] == ["reason"]
    assert Organisation.objects.get().separation_of_duties is True
