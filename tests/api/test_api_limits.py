"""Requests of limits, plans and the file of budgets over REST."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from budgets.models import Budget, BudgetLimit, LimitRequest
from core.models import Organisation
from tests.factories import make_budget, make_key, make_use_case

pytestmark = pytest.mark.django_db


@pytest.fixture
def writer(api):
    return api("write")


def month(ahead: int) -> str:
    first = timezone.now().date().replace(day=1)
    for _ in range(ahead):
        first = (first + timedelta(days=32)).replace(day=1)
    return str(first)


def test_a_request_is_asked_for_listed_and_approved_by_somebody_else(writer, client):
    budget = make_budget()
    ends = (timezone.now() + timedelta(days=7)).isoformat()

    asked = writer.post(f"budgets/{budget.pk}/requests", {"amount": "250", "ends_at": ends, "reason": "launch"})
    again = writer.post(f"budgets/{budget.pk}/requests", {"amount": "300", "reason": "launch"})
    own = writer.post(f"budgets/requests/{asked.json()['id']}/approve", {})
    other = {"Authorization": f"Bearer {make_key('write', name='finance')}"}
    approved = client.post(
        f"/api/v1/budgets/requests/{asked.json()['id']}/approve", {"note": "once"}, content_type="application/json",
        headers=other,
    )  # fmt: skip

    assert (asked.status_code, asked.json()["state"], asked.json()["requested_by"]) == (201, "pending", "key:pipeline")
    assert (again.status_code, own.status_code) == (409, 409)
    assert (approved.json()["state"], approved.json()["limit_version"], approved.json()["note"]) == (
        "approved", 2, "once",
    )  # fmt: skip
    assert writer.get(f"budgets/{budget.pk}").json()["limits"][0]["approved_by"] == "key:finance"
    assert [row["id"] for row in writer.get("budgets/requests", {"state": "approved"}).json()["results"]] == [
        asked.json()["id"]
    ]
    assert writer.get(f"budgets/{budget.pk}/requests", {"state": "pending"}).json()["results"] == []


def test_a_request_is_refused_with_a_note_or_taken_back(writer):
    budget = make_budget()

    def ask() -> int:
        made = writer.post(f"budgets/{budget.pk}/requests", {"amount": "250", "reason": "launch"})
        return made.json()["id"]

    first = ask()
    silent = writer.post(f"budgets/requests/{first}/refuse", {})
    refused = writer.post(f"budgets/requests/{first}/refuse", {"note": "next month"})
    withdrawn = writer.post(f"budgets/requests/{ask()}/withdraw", {})

    assert silent.status_code == 422
    assert (refused.json()["state"], refused.json()["note"]) == ("refused", "next month")
    assert (withdrawn.json()["state"], BudgetLimit.objects.count()) == ("withdrawn", 1)
    assert writer.get(f"budgets/requests/{first}").json()["decided_by"] == "key:pipeline"
    assert writer.get("budgets/requests/999999").status_code == 404
    assert len(writer.get("budgets/requests", {"limit": 1}).json()["results"]) == 1


def test_a_plan_is_saved_by_the_first_days_of_its_periods(writer):
    budget = make_budget(at=timezone.now())
    wanted = {"limits": {month(1): "150", month(2): "100"}, "reason": "the plan", "version": 1}

    saved = writer.post(f"budgets/{budget.pk}/plan", wanted)
    overtaken = writer.post(f"budgets/{budget.pk}/plan", wanted)
    wrong = writer.post(f"budgets/{budget.pk}/plan", {"limits": {"2026": "1", month(1): "0.5"}, "reason": "x"})
    unfit = writer.post(f"budgets/{budget.pk}/plan", {"limits": {month(1): "0.5"}, "reason": "x"})

    assert [row["amount"] for row in saved.json()["ahead"][:4]] == ["100", "150", "100", "100"]
    assert (saved.json()["version"], overtaken.status_code, wrong.status_code) == (2, 409, 422)
    assert unfit.json()["errors"][0]["pointer"] == f"#/limits/{month(1)}"
    assert len(writer.get(f"budgets/{budget.pk}/plan", {"periods": 3}).json()["ahead"]) == 3
    assert writer.get("budgets/999999/plan").status_code == 404


def test_the_file_goes_out_comes_back_and_is_written_when_confirmed(writer):
    make_budget(at=timezone.now())
    out = writer.get("budgets/file", {"periods": 2})
    text = b"".join(out.streaming_content).decode()
    edited = text.replace(f"{month(1)},100", f"{month(1)},175")

    shown = writer.post("budgets/file", {"csv": edited})
    untold = writer.post("budgets/file", {"csv": edited, "confirm": shown.json()["digest"]})
    before = BudgetLimit.objects.count()
    written = writer.post("budgets/file", {"csv": edited, "confirm": shown.json()["digest"], "reason": "the plan"})
    wrong = writer.post("budgets/file", {"csv": edited.replace("175", "1e9")})

    assert out["Content-Type"] == "text/csv; charset=utf-8"
    (change,) = shown.json()["changes"]
    assert (change["first_day"], change["before"], change["after"], shown.json()["written"]) == (
        month(1), "100", "175", False,
    )  # fmt: skip
    assert (untold.status_code, before) == (422, 1)
    assert (written.json()["written"], BudgetLimit.objects.count()) == (True, 2)
    assert wrong.json()["errors"][0]["pointer"] == "#/rows/3/limit"
    assert writer.post("budgets/file", {}).status_code == 422


def test_the_file_may_come_in_a_form(client):
    make_use_case()
    content = b"budget,period,limit,unit,scope\nall,month later,5,usd,everything\n"
    form = {"file": SimpleUploadedFile("budgets.csv", content)}

    answer = client.post("/api/v1/budgets/file", form, headers={"Authorization": f"Bearer {make_key('write')}"})

    assert (answer.json()["new_budgets"], answer.json()["changes"][0]["budget_id"]) == (["all"], None)
    assert not Budget.objects.exists()


def test_thresholds_of_the_forecast_are_set_and_changed(writer):
    make_use_case()
    given = {"name": "one", "unit": "usd", "amount": "5", "reason": "r", "forecast_thresholds": [120, 100]}

    made = writer.post("budgets", given)
    changed = writer.patch(f"budgets/{made.json()['id']}", {"forecast_thresholds": [], "reason": "too loud"})

    assert made.json()["forecast_thresholds"] == [100, 120]
    assert changed.json()["forecast_thresholds"] == []


def test_whoever_asks_may_approve_where_duties_are_not_separated(writer):
    Organisation.objects.update(separation_of_duties=False)
    budget = make_budget()

    asked = writer.post(f"budgets/{budget.pk}/requests", {"amount": "250", "reason": "launch"})
    approved = writer.post(f"budgets/requests/{asked.json()['id']}/approve", {})

    assert (approved.status_code, LimitRequest.objects.get().state) == (200, "approved")
