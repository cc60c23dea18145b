"""Budgets and limits over REST."""

from __future__ import annotations

import pytest

from budgets.models import Budget
from core.models import AuditEntry
from tests.factories import make_budget, make_use_case

GIVEN = {
    "name": "support frontier",
    "scope": {"use_case": ["Support-Routing"]},
    "unit": "frontier_tokens",
    "amount": "2000000",
    "reason": "agreed with finance",
}


@pytest.fixture
def writer(api):
    return api("write")


def test_a_budget_is_made_with_its_first_limit_and_says_who_made_it(writer):
    make_use_case()

    made = writer.post("budgets", GIVEN)

    found = made.json()
    assert made.status_code == 201
    assert (found["scope"], found["zone"], found["thresholds"]) == (
        {"use_case": ["support-routing"]}, "UTC", [70, 90, 100],
    )  # fmt: skip
    assert (found["limit"], found["limits"][0]["approved_by"]) == ("2000000", "key:pipeline")
    assert found["state"] == "BUILDING"  # until what was used this month is summed
    assert writer.get(f"budgets/{found['id']}").json()["name"] == "support frontier"
    trail = AuditEntry.objects.get(table="budgets_budget", operation="insert")
    assert (trail.actor, trail.reason) == ("key:pipeline", "agreed with finance")


def test_everything_that_is_wrong_with_it_is_said_at_once(writer):
    answer = writer.post(
        "budgets", GIVEN | {"name": " x ", "scope": {"use_case": ["nobody"]}, "amount": "0.5", "zone": "CEST"}
    )

    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json()["errors"]} == {"#/scope/use_case", "#/amount", "#/zone"}
    assert not Budget.objects.exists()


def test_what_may_change_changes_and_the_rest_is_refused_by_name(writer):
    budget = make_budget()

    changed = writer.patch(f"budgets/{budget.pk}", {"thresholds": [50, 100], "action": "block", "reason": "stricter"})
    refused = writer.patch(f"budgets/{budget.pk}", {"unit": "usd", "reason": "cheaper"})

    assert (changed.json()["thresholds"], changed.json()["action"]) == ([50, 100], "block")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/unit")


def test_another_limit_is_a_version_approved_by_whoever_sent_it(writer):
    budget = make_budget()

    answer = writer.post(f"budgets/{budget.pk}/limits", {"amount": "250", "reason": "launch"})

    assert answer.status_code == 201
    assert (answer.json()["limit"], answer.json()["limit_version"]) == ("250", 2)
    versions = writer.get(f"budgets/{budget.pk}/limits").json()
    assert [(each["version"], each["approved_by"]) for each in versions] == [
        (2, "key:pipeline"),
        (1, "finance@example.com"),
    ]


def test_a_retired_budget_is_left_out_and_cannot_be_changed(writer):
    budget = make_budget()

    retired = writer.patch(f"budgets/{budget.pk}", {"retired": True, "reason": "over"})
    again = writer.patch(f"budgets/{budget.pk}", {"owner": "x@example.com", "reason": "after all"})

    assert retired.json()["state"] == "RETIRED"
    assert again.status_code == 409
    assert writer.get("budgets").json()["results"] == []
    assert len(writer.get("budgets", {"retired": "true"}).json()["results"]) == 1


def test_lists_come_in_pages(writer):
    for number in range(3):
        make_budget(name=f"budget {number}")

    first = writer.get("budgets", {"limit": 2}).json()
    second = writer.get(first["next"].partition("/api/v1/")[2]).json()

    assert [row["name"] for row in first["results"] + second["results"]] == ["budget 0", "budget 1", "budget 2"]
    assert second["next"] is None


@pytest.mark.parametrize("path", ["budgets/999999", "budgets/999999/limits"])
def test_a_budget_that_is_not_there_is_404(writer, path):
    assert writer.get(path).status_code == 404
