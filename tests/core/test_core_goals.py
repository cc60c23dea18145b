"""The organisation's goals are set with a reason, and who did it stays to be read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from core.errors import Invalid
from core.models import AuditEntry, Organisation
from core.services import organisation

pytestmark = pytest.mark.django_db


def set_goals(**overrides: Any) -> bool:
    given = {
        "frontier_from_percent": Decimal("2.5"), "frontier_percent": Decimal(8), "open_weights_percent": Decimal(40),
        "reason": "the board said so", "by": "ann@example.com",
    }  # fmt: skip
    return organisation.set_goals(**{**given, **overrides})


def test_goals_are_set_and_the_trail_says_by_whom_and_why_once():
    assert (set_goals(), set_goals()) == (True, False)

    kept = Organisation.objects.get()
    goals = (kept.frontier_goal_from_percent, kept.frontier_goal_percent, kept.open_weights_goal_percent)
    assert goals == (Decimal("2.5"), 8, 40)
    trail = AuditEntry.objects.filter(table="core_organisation", operation="update")
    assert list(trail.values_list("actor", "reason")) == [("ann@example.com", "the board said so")]


@pytest.mark.parametrize(
    "wrong",
    [{"frontier_percent": Decimal(101)}, {"open_weights_percent": Decimal(-1)}, {"frontier_percent": Decimal("8.25")},
     {"frontier_percent": Decimal("NaN")}, {"frontier_from_percent": Decimal(9)}, {"reason": " "}],
)  # fmt: skip
def test_what_is_no_goal_is_refused_and_changes_nothing(wrong):
    with pytest.raises(Invalid) as refused:
        set_goals(**wrong)

    assert len(refused.value.problems) == 1
    assert Organisation.objects.get().frontier_goal_percent == 10
