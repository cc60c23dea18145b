"""What a label of a use case or a team means."""

from __future__ import annotations

import pytest

from catalog.models import Team, TeamAlias
from catalog.selectors import labels
from tests.catalog.making import JANUARY, JULY, MARCH, span

pytestmark = pytest.mark.django_db


def test_a_label_means_its_own_name_in_any_case_else_an_alias_that_holds_without_end_or_at_an_instant(
    django_assert_num_queries,
):
    core, edge = (Team.objects.create(name=name, folded=name.lower()) for name in ("Core", "Edge"))
    TeamAlias.objects.create(folded="infra", team=core, valid=span(JANUARY, MARCH))
    TeamAlias.objects.create(folded="infra", team=edge, valid=span(MARCH))
    TeamAlias.objects.create(folded="plumbing", team=core, valid=span(JANUARY, JULY))

    with django_assert_num_queries(2):
        found = labels.meant("team", [" CORE ", "infra", "plumbing", "nobody", "a\0b"])
    with django_assert_num_queries(1):
        own = labels.meant("team", ["edge"])

    assert found == {" CORE ": (core.pk, "Core"), "infra": (edge.pk, "Edge")}
    assert own == {"edge": (edge.pk, "Edge")}
    assert [labels.id_of("team", label, at=JANUARY) for label in ("infra", "plumbing")] == [core.pk, core.pk]
    assert labels.id_of("use_case", "core") is None
