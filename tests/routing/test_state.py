"""What gateways are held to: exceeded budgets and switches, written down as revisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from budgets.models import Counter
from budgets.selectors import enforced
from budgets.services import budgets
from catalog.models import UseCaseAlias
from routing.models import Environment, StateRevision
from routing.rules import document
from routing.selectors import deciding, state
from routing.services import states, switches
from tests.factories import NOON, make_budget, make_use_case
from tests.routing.making import CHEAP, ENVIRONMENT, MIDDLE, OPUS, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)

MONTH_ENDS = datetime(2026, 7, 1, tzinfo=UTC)


def use(budget: Any, amount: int) -> None:
    Counter.objects.update_or_create(
        budget=budget,
        period_start=datetime(2026, 6, 1, tzinfo=UTC),
        defaults={"period_end": MONTH_ENDS, "used": amount, "state": "live"},
    )


def test_a_budget_that_is_used_up_is_told_with_its_tier_and_its_end():
    budget = make_budget(action="downgrade")
    use(budget, 100)

    told = state.of(environment=ENVIRONMENT, at=NOON)

    assert told["budgets"] == [
        {
            "id": f"b-{budget.pk}",
            "match": {"tier": ["frontier"], "use_case": ["support-routing"]},
            "state": "exceeded",
            "action": "downgrade",
            "until": "2026-07-01T00:00:00Z",
        }
    ]


@pytest.mark.parametrize("given", [{"action": "alert"}, {"action": "downgrade", "trial": True}])
def test_trial_and_alert_only_budgets_are_never_told(given):
    use(make_budget(**given), 100)

    assert state.of(environment=ENVIRONMENT, at=NOON)["budgets"] == []


def test_a_budget_below_its_limit_or_still_being_built_is_not_told():
    below = make_budget(action="block")
    use(below, 99)
    building = make_budget(action="block", name="another")
    use(building, 500)
    Counter.objects.filter(budget=building).update(state="building")

    assert state.of(environment=ENVIRONMENT, at=NOON)["budgets"] == []


def test_a_period_that_is_over_is_not_told():
    use(make_budget(action="block"), 100)

    assert state.of(environment=ENVIRONMENT, at=MONTH_ENDS)["budgets"] == []


def test_a_limit_that_rises_within_the_period_ends_it_then():
    budget = make_budget(action="block")
    use(budget, 100)
    rises = NOON + timedelta(days=3)
    budgets.set_limit(
        budget=budget, amount=Decimal(90), starts_at=rises - timedelta(days=1), ends_at=None, reason="still too low",
        by="a@example.com", approved_by="b@example.com", at=NOON,
    )  # fmt: skip
    budgets.set_limit(
        budget=budget, amount=Decimal(200), starts_at=rises, ends_at=None, reason="a launch",
        by="a@example.com", approved_by="b@example.com", at=NOON,
    )  # fmt: skip

    assert [one.until for one in enforced.exceeded(at=NOON)] == [rises]
    assert enforced.exceeded(at=rises) == []


def test_a_use_case_is_named_by_all_its_labels_as_gateways_know_no_aliases():
    use_case = make_use_case()
    UseCaseAlias.objects.create(folded="support", use_case=use_case, valid=DateTimeTZRange(None, None))
    UseCaseAlias.objects.create(folded="former", use_case=use_case, valid=DateTimeTZRange(None, NOON))
    use(make_budget(action="block"), 100)

    [one] = enforced.exceeded(at=NOON)

    assert one.match["use_case"] == ["support", "support-routing"]


def test_a_switch_ends_by_itself():
    stock()
    switches.turn(kind="provider", name="anthropic", off=True, seconds=60, reason="outage", by="a@example.com", at=NOON)

    during, after = NOON + timedelta(seconds=59), NOON + timedelta(seconds=60)

    assert state.of(environment=ENVIRONMENT, at=during)["switches"] == [
        {"provider": "anthropic", "off": True, "until": "2026-06-15T12:01:00Z", "reason": "outage"}
    ]
    assert state.next_change(at=during) == after
    assert (state.of(environment=ENVIRONMENT, at=after)["switches"], state.next_change(at=after)) == ([], None)


def test_the_last_word_on_a_name_counts():
    stock()
    for off, seconds in ((True, 600), (False, 0)):
        switches.turn(
            kind="model", name="claude-opus-4.7", off=off, seconds=seconds, reason="x", by="a@example.com", at=NOON
        )

    assert state.of(environment=ENVIRONMENT, at=NOON)["switches"] == []


def test_an_offering_may_be_let_through_while_its_provider_is_off():
    stock()
    make_version()
    switches.turn(kind="provider", name="anthropic", off=True, seconds=600, reason="x", by="a@example.com", at=NOON)
    switches.turn(kind="offering", name=OPUS, off=False, seconds=60, reason="a test", by="a@example.com", at=NOON)
    context = {"use_case": "code-review", "task": "code"}

    now = deciding.live(environment=ENVIRONMENT, context=context, at=NOON)
    later = deciding.live(environment=ENVIRONMENT, context=context, at=NOON + timedelta(seconds=60))

    assert (now.offering, later.offering) == (OPUS, MIDDLE)


def test_a_revision_is_written_only_when_something_differs():
    stock()
    make_version()
    first = StateRevision.objects.count()

    nothing = states.renew_all(at=NOON)
    budget = make_budget(action="downgrade")
    use(budget, 100)
    something = states.renew_all(at=NOON)
    again = states.renew_all(at=NOON + timedelta(seconds=1))

    assert (nothing, something, again) == (0, 1, 0)
    assert StateRevision.objects.count() == first + 1
    assert Environment.objects.get().state_revision == first + 1


def test_revisions_hold_one_after_the_other_whatever_the_clocks_of_processes_say():
    stock()
    make_version()
    use(make_budget(action="downgrade"), 100)

    states.renew_all(at=NOON - timedelta(seconds=3))

    held = list(StateRevision.objects.order_by("revision").values_list("holds_from", flat=True))
    assert held == sorted(held)


def test_over_budget_the_cheaper_target_is_taken_and_nothing_leads_back_to_the_frontier():
    stock()
    rule = make_rule(
        use_cases=["support-routing"], when=None, fallbacks=[CHEAP, OPUS],
        targets=[{"offering": OPUS, "weight": 5000}, {"offering": MIDDLE, "weight": 5000}],
        over_budget={"targets": [{"offering": MIDDLE, "weight": 10000}]},
    )  # fmt: skip
    make_version(make_content(rule, default={"targets": [{"offering": OPUS, "weight": 10000}]}))
    use(make_budget(action="downgrade"), 100)
    states.renew_all(at=NOON)

    held = document.parse(bytes(StateRevision.objects.latest("revision").canonical))
    decision = deciding.live(environment=ENVIRONMENT, context={"use_case": "support-routing"}, at=NOON)

    assert [one["state"] for one in held["budgets"]] == ["exceeded"]
    assert (decision.offering, decision.reason) == (MIDDLE, "over_budget")
    assert OPUS not in decision.fallbacks
    assert decision.fallbacks == (CHEAP,)
