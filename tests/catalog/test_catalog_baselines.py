"""What savings are told against is chosen with a reason, for one use case or for all that have none."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.models import UseCase
from catalog.services import baselines
from core.errors import Invalid
from core.models import AuditEntry
from tests.factories import make_use_case
from tests.usage import making

pytestmark = pytest.mark.django_db


def choose(*use_cases: UseCase, **overrides: Any) -> int:
    given = {"offering": making.make_priced_offering(), "by": "ann@example.com", "reason": "it did all before"}
    return baselines.choose(use_cases=use_cases, **{**given, **overrides})


def chosen() -> dict[str, str | None]:
    return dict(UseCase.objects.exclude(pk=1).values_list("name", "baseline__name"))


def test_a_baseline_is_chosen_changed_and_taken_away_and_the_trail_says_why():
    use_case, dear = make_use_case(), making.make_offering("opus@anthropic", output="25")

    assert (choose(use_case), choose(use_case), choose(use_case, offering=dear)) == (1, 0, 1)
    assert chosen() == {"support-routing": "opus@anthropic"}
    assert (choose(use_case, offering=None), choose(use_case, offering=None)) == (1, 0)

    assert chosen() == {"support-routing": None}
    trail = AuditEntry.objects.filter(table="catalog_usecase", operation="update")
    assert set(trail.values_list("actor", "reason")) == {("ann@example.com", "it did all before")}
    assert trail.count() == 3


def test_of_all_those_that_have_one_keep_it():
    has, has_none = make_use_case("has"), make_use_case("has-none")
    choose(has)

    changed = choose(has, has_none, offering=making.make_offering("opus@anthropic", output="25"), only_without=True)

    assert (changed, chosen()) == (1, {"has": "gpt-5.5@openai", "has-none": "opus@anthropic"})


def test_an_offering_without_a_price_or_a_reason_that_is_missing_is_refused():
    use_case = make_use_case()

    with pytest.raises(baselines.NoBaseline, match="has no price"):
        choose(use_case, offering=making.make_offering("new@lab"))
    for reason in ("", "\x00 ", "x" * 301):
        with pytest.raises(Invalid):
            choose(use_case, reason=reason)

    assert chosen() == {"support-routing": None}
