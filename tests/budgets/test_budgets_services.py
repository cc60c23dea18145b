"""Making, changing and retiring budgets, and versions of their limits."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from budgets.models import Budget, BudgetLimit, Change, Counter
from budgets.selectors import definitions
from budgets.services import budgets
from catalog.models import Gateway, Model, Provider
from catalog.services import offerings, teams
from core.errors import Invalid
from core.models import AuditEntry
from tests.factories import NOON, make_budget, make_team, make_use_case

pytestmark = pytest.mark.django_db

JULY = datetime(2026, 7, 1, tzinfo=UTC)


def problems(**overrides):
    with pytest.raises(Invalid) as refused:
        make_budget(**overrides)
    return sorted({field for field, _ in refused.value.problems})


def set_limit(budget, amount, **overrides):
    given = {"reason": "agreed", "by": "a@example.com", "approved_by": "b@example.com", "at": NOON}
    return budgets.set_limit(budget=budget, amount=Decimal(amount), **{**given, **overrides})


def test_a_budget_comes_with_its_first_limit_and_a_counter_to_be_built():
    budget = make_budget(live=False, at=NOON, owner="support-leads", thresholds=[90, 70, 90])

    limit = budget.limits.get()
    counter = Counter.objects.get(budget=budget)
    assert (limit.version, limit.amount, limit.starts_at, limit.approved_by) == (1, 100, None, "finance@example.com")
    assert (counter.state, counter.period_start, counter.period_end) == (
        "building",
        datetime(2026, 6, 1, tzinfo=UTC),
        JULY,
    )
    budget.refresh_from_db()
    assert (budget.thresholds, budget.owner, budget.created_by) == ([70, 90], "support-leads", "finance@example.com")


def test_who_and_why_are_in_the_audit_trail():
    make_budget()

    entry = AuditEntry.objects.get(table="budgets_budget", operation="insert")
    assert (entry.actor, entry.reason) == ("finance@example.com", "agreed with finance")


def test_everything_that_is_wrong_is_said_at_once():
    wrong = problems(
        name=" ",
        scope={"use_case": ["nobody"], "colour": ["red"]},
        unit="euros",
        period="fortnight",
        zone="CET+1",
        fiscal_start_month=13,
        action="explode",
        thresholds=[0],
        amount=Decimal(-1),
        reason="",
        owner="x" * 300,
    )

    assert wrong == [
        "action", "amount", "fiscal_start_month", "name", "owner", "period", "reason", "scope", "scope/use_case",
        "thresholds", "unit", "zone",
    ]  # fmt: skip
    assert not Budget.objects.exists()


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"thresholds": []}, "thresholds"),
        ({"thresholds": [70, 1001]}, "thresholds"),
        ({"thresholds": [Decimal("70.5")]}, "thresholds"),
        ({"thresholds": list(range(1, 30))}, "thresholds"),
        ({"forecast_thresholds": [100, 0]}, "forecast_thresholds"),
        ({"amount": Decimal("1.5")}, "amount"),
        ({"amount": Decimal("1.5"), "unit": "requests"}, "amount"),
        ({"amount": Decimal("1e-19"), "unit": "usd"}, "amount"),
        ({"amount": Decimal("1e20")}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("Infinity"), "unit": "usd"}, "amount"),
        ({"name": "x" * 129}, "name"),
        ({"zone": "EST5EDT4"}, "zone"),
        ({"zone": "../UTC"}, "zone"),
        ({"zone": "localtime"}, "zone"),
        ({"scope": {"use_case": []}}, "scope/use_case"),
        ({"scope": {"use_case": "support-routing"}}, "scope/use_case"),
        ({"scope": {"tag:": ["prod"]}}, "scope"),
        ({"scope": {"tag:\0": ["prod"]}}, "scope"),
        ({"scope": {"tag:env": ["prod\0"]}}, "scope/tag:env"),
        ({"scope": {"tag:env": ["v" * 257]}}, "scope/tag:env"),
        ({"scope": {f"tag:{number}": ["prod"] for number in range(33)}}, "scope"),
        ({"scope": {"tier": ["middle"]}}, "scope/tier"),
        ({"scope": {"tier": ["best"]}, "unit": "usd"}, "scope/tier"),
        ({"scope": {"model": ["gpt-9"]}}, "scope/model"),
        ({"scope": {"offering": ["gpt-5.5"]}}, "scope/offering"),
        ({"scope": {"gateway": ["nowhere"]}}, "scope/gateway"),
    ],
)
def test_what_cannot_work_is_refused(overrides, field):
    assert problems(**overrides) == [field]


def test_a_name_belongs_to_one_budget_until_it_is_retired():
    budget = make_budget()
    assert problems() == ["name"]

    budgets.retire(budget=budget, reason="replaced", by="a@example.com", at=NOON)

    assert make_budget().pk != budget.pk


def test_scopes_are_kept_with_the_catalogues_names():
    make_use_case("Support Routing")
    team = make_team("Care")
    teams.add_alias(team=team, label="Kundendienst", since_at=NOON, by="a@example.com")
    offering = offerings.ensure(model="gpt-5.5", provider="openai", by="a@example.com")
    Gateway.objects.create(name="edge", created_at=NOON)

    budget = make_budget(
        scope={
            "use_case": [" support  routing", "SUPPORT ROUTING"],
            "team": ["kundendienst"],
            "model": [Model.objects.get().name],
            "provider": [Provider.objects.get().name],
            "offering": [offering.name],
            "gateway": ["edge"],
            "tier": ["frontier"],
            "tag:env": ["prod", "Prod"],
        }
    )

    assert budget.scope == {
        "use_case": ["Support Routing"],
        "team": ["Care"],
        "model": ["gpt-5.5"],
        "provider": ["openai"],
        "offering": ["gpt-5.5@openai"],
        "gateway": ["edge"],
        "tag:env": ["Prod", "prod"],
    }  # tier is implied by frontier tokens


@pytest.mark.parametrize(
    ("unit", "scope", "allowed"),
    [
        ("frontier_tokens", {}, True),
        ("usd", {"tier": ["frontier"]}, True),
        ("usd", {"use_case": ["support-routing"]}, False),
        ("requests", {}, False),
    ],
)
def test_downgrade_needs_something_to_go_down_to(unit, scope, allowed):
    if allowed:
        assert make_budget(unit=unit, scope=scope, action="downgrade").action == "downgrade"
    else:
        assert problems(unit=unit, scope=scope, action="downgrade") == ["action"]
    assert make_budget(name="block", unit=unit, scope=scope, action="block").action == "block"


def test_what_may_change_is_changed_and_the_rest_stays():
    budget = make_budget()

    changed = budgets.change(
        budget=budget, name="support", action="block", trial=True, owner="x", by="a@example.com", reason="r", at=NOON
    )

    changed.refresh_from_db()
    assert (changed.name, changed.action, changed.trial, changed.owner) == ("support", "block", True, "x")
    assert (changed.thresholds, changed.unit) == ([70, 90, 100], "frontier_tokens")


def test_a_change_is_checked_as_a_new_budget_is():
    make_budget(name="taken")
    budget = make_budget(unit="usd")

    with pytest.raises(Invalid) as refused:
        budgets.change(
            budget=budget, name="taken", action="downgrade", thresholds=[0], by="a@example.com", reason="r", at=NOON
        )

    assert [field for field, _ in refused.value.problems] == ["name", "action", "thresholds"]


def test_a_retired_budget_cannot_be_changed_and_retiring_again_keeps_the_first_time():
    budget = make_budget()
    budgets.retire(budget=budget, reason="done", by="a@example.com", at=NOON)

    again = budgets.retire(budget=budget, reason="done", by="a@example.com", at=JULY)

    assert again.retired_at == NOON
    with pytest.raises(budgets.Retired):
        set_limit(budget, 5)
    with pytest.raises(budgets.Retired):
        budgets.change(budget=budget, owner="x", by="a@example.com", reason="r", at=NOON)


def test_limits_are_versions_and_the_highest_in_force_holds():
    budget = make_budget()
    set_limit(budget, 300, starts_at=NOON + timedelta(days=1), ends_at=NOON + timedelta(days=2))
    set_limit(budget, 150)

    definition = definitions.current().by_id[budget.pk]
    amounts = [definition.limit_at(NOON + timedelta(days=days)).amount for days in (0, 1, 2)]

    assert list(BudgetLimit.objects.order_by("version").values_list("version", "amount")) == [
        (1, 100),
        (2, 300),
        (3, 150),
    ]
    assert amounts == [150, 150, 150]


@pytest.mark.parametrize(
    ("overrides", "fields"),
    [
        ({"starts_at": NOON - timedelta(seconds=1)}, ["starts_at"]),
        ({"ends_at": NOON}, ["ends_at"]),
        ({"starts_at": JULY, "ends_at": JULY}, ["ends_at"]),
        ({"reason": " ", "approved_by": ""}, ["reason", "approved_by"]),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(overrides, fields):
    budget = make_budget()

    with pytest.raises(Invalid) as refused:
        set_limit(budget, 10, **overrides)

    assert [field for field, _ in refused.value.problems] == fields
    assert budget.limits.count() == 1


def test_every_change_of_a_budget_is_noticed_by_bookings():
    before = definitions.current()
    budget = make_budget()
    seen = [definitions.current()]
    set_limit(budget, 200)
    seen.append(definitions.current())
    budgets.retire(budget=budget, reason="done", by="a@example.com", at=NOON)

    assert [len(one.by_id) for one in (before, *seen, definitions.current())] == [0, 1, 1, 0]
    assert seen[1].by_id[budget.pk].limits[0].amount == 200


def test_raising_the_limit_of_an_exceeded_budget_lets_its_look_at_the_periods_end_go():
    budget = make_budget(action="block")
    Counter.objects.update(used=120)
    set_limit(budget, 110)
    exceeded = Change.objects.get().next_at

    set_limit(budget, 500)

    assert (exceeded, Change.objects.get().next_at) == (JULY, None)


def test_the_database_refuses_a_taken_name_that_the_check_missed():
    make_budget(name="taken")
    budget = make_budget()
    budget.name = "taken"

    with pytest.raises(budgets.NameTaken):
        budgets._save_named(budget, lambda: budget.save(update_fields=["name"]))

    assert connection.needs_rollback is False
