"""Pages of limits: requests, plans, the file for finance, the full form, what came after a limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from budgets.models import Budget, BudgetLimit, LimitRequest
from budgets.selectors import definitions, overview
from budgets.services import budgets, requests
from core.models import Organisation
from dashboards.templatetags.figures import GAP
from dashboards.views import budgets_parts
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_team, make_use_case
from tests.usage import making

pytestmark = pytest.mark.django_db


def ask(budget: Budget, **overrides: Any) -> LimitRequest:
    given = {"amount": Decimal(250), "reason": "a launch", "by": "engineer@example.com", "at": timezone.now()}
    return requests.ask(budget=budget, **{**given, **overrides})


def read(client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return answer.content.decode()


def months(count: int) -> list[str]:
    first = timezone.now().date().replace(day=1)
    found = [first]
    while len(found) < count:
        found.append((found[-1] + timedelta(days=32)).replace(day=1))
    return [str(one) for one in found]


# --- requests ---


def test_who_may_not_set_a_limit_asks_for_one_and_an_approver_decides(client):
    budget = make_budget(at=timezone.now())
    person = signed_in(client, "engineer")
    page = read(client, f"/budgets/{budget.pk}/")
    wrong = client.post(f"/budgets/{budget.pk}/ask/", {"amount": "1,5", "ends": "tomorrow", "reason": ""})
    unfit = client.post(f"/budgets/{budget.pk}/ask/", {"amount": "1,5", "ends": "2020-01-01", "reason": ""})
    asked = client.post(f"/budgets/{budget.pk}/ask/", {"amount": "250", "reason": "a launch"})
    again = client.post(f"/budgets/{budget.pk}/ask/", {"amount": "300", "reason": "more"})

    assert "Ask for more" in page
    assert "Set a new limit" not in page
    assert (wrong.status_code, set(wrong.context["form"].errors)) == (422, {"ends"})
    assert set(unfit.context["form"].errors) == {"amount", "ends", "reason"}
    assert (asked["Location"], again.status_code) == (f"/budgets/{budget.pk}/", 422)
    request = LimitRequest.objects.get()
    assert (request.requested_by, request.amount) == (person.email, 250)
    assert "Look at it" in read(client, f"/budgets/{budget.pk}/")  # and does not ask twice
    assert "Ask for more" not in read(client, f"/budgets/{budget.pk}/")
    assert client.post(f"/budgets/requests/{request.pk}/approve/", {}).status_code == 403

    signed_in(client, "approver")
    assert '1<span class="visually-hidden"> wait for you' in read(client, "/budgets/")
    listed = read(client, "/budgets/requests/")
    assert f"150.0{GAP}% more" in listed
    approved = client.post(f"/budgets/requests/{request.pk}/approve/", {"note": "for the launch"})
    late = client.post(f"/budgets/requests/{request.pk}/refuse/", {"note": "no"}, follow=True)

    assert approved["Location"] == "/budgets/requests/"
    assert budget.limits.get(version=2).approved_by == "approver@example.com"
    assert "was approved by approver@example.com before" in late.content.decode()
    assert "for the launch" in read(client, f"/budgets/requests/{request.pk}/")


def test_a_refusal_without_a_note_is_shown_at_its_field_and_changes_nothing(client):
    request = ask(make_budget(at=timezone.now()))
    signed_in(client, "finance")

    silent = client.post(f"/budgets/requests/{request.pk}/refuse/", {"note": " "})
    refused = client.post(f"/budgets/requests/{request.pk}/refuse/", {"note": "next month"})

    assert (silent.status_code, set(silent.context["refuse_form"].errors)) == (422, {"note"})
    assert refused.status_code == 302
    request.refresh_from_db()
    assert (request.state, request.note) == ("refused", "next month")


def test_ones_own_request_is_taken_back_not_approved_unless_duties_are_not_separated(client):
    person = signed_in(client, "finance")
    request = ask(make_budget(at=timezone.now()), by=person.email)
    page = read(client, f"/budgets/requests/{request.pk}/")
    own = client.post(f"/budgets/requests/{request.pk}/approve/", {}, follow=True).content.decode()
    assert "somebody else has to approve it" in page
    assert "somebody else has to approve it" in own
    assert "wait for you" not in read(client, "/budgets/")
    Organisation.objects.update(separation_of_duties=False)
    assert "Approve 250" in read(client, f"/budgets/requests/{request.pk}/")

    client.post(f"/budgets/requests/{request.pk}/withdraw/")

    request.refresh_from_db()
    assert request.state == "withdrawn"


@pytest.mark.parametrize("role", ["viewer", "engineer"])
def test_who_may_not_decide_sees_requests_and_decides_nothing(client, role):
    budget = make_budget(at=timezone.now())
    request = ask(budget, by="somebody@example.com")
    assert client.get("/budgets/requests/").status_code == 302  # strangers sign in first
    signed_in(client, role)

    assert "Decide" not in read(client, "/budgets/requests/")
    for step in ("approve", "refuse"):
        assert client.post(f"/budgets/requests/{request.pk}/{step}/", {"note": "x"}).status_code == 403
    client.post(f"/budgets/requests/{request.pk}/withdraw/")
    request.refresh_from_db()
    assert request.state == "pending"
    asked = client.post(f"/budgets/{budget.pk}/ask/", {"amount": "1", "reason": "x"}).status_code
    assert asked == (302 if role == "engineer" else 403)


def test_addresses_that_are_none_are_404_and_lists_come_in_pages(client, django_assert_num_queries):
    signed_in(client, "admin")
    for path in ("/budgets/requests/999/", "/budgets/999/ask/", "/budgets/999/plan/", "/budgets/999/edit/",
                 "/budgets/requests/?before=x", "/budgets/new/?from=x", "/budgets/new/?from=999"):  # fmt: skip
        read(client, path, 404)
    assert client.post("/budgets/requests/999/approve/").status_code == 404
    assert client.get("/budgets/requests/1/approve/").status_code == 405
    assert "Nobody waits" in read(client, "/budgets/requests/")

    waiting = [make_budget(name=f"budget {number}", at=timezone.now()) for number in range(3)]
    for budget in waiting:
        ask(budget)
    read(client, "/budgets/requests/")
    with django_assert_num_queries(11):
        read(client, "/budgets/requests/")


# --- plans ---


def test_a_plan_is_filled_in_from_the_past_and_saved_in_one_step(client):
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(100), at=timezone.now())
    last_year = timezone.now() - timedelta(days=365)
    days = months(3)
    later = (last_year.replace(day=1) + timedelta(days=40)).replace(day=14)
    book(call(at=later, usd=10))
    signed_in(client, "finance")

    filled = client.get(f"/budgets/{budget.pk}/plan/", {"use": "year", "percent": "10"})
    form = filled.context["form"]
    nothing = read(client, f"/budgets/{budget.pk}/plan/?use=last&percent=many")

    assert filled.status_code == 200
    given = {day: form[day].value() for day in days}
    assert list(given.values()) == ["100", "11", "100"]
    assert "Enter a number" in nothing
    sent = given | {days[1]: "150", days[2]: "", "version": "1", "reason": "the plan"}
    wrong = client.post(f"/budgets/{budget.pk}/plan/", sent | {days[1]: "1,5", "reason": " "})
    saved = client.post(f"/budgets/{budget.pk}/plan/", sent)
    overtaken = client.post(f"/budgets/{budget.pk}/plan/", sent)

    assert (wrong.status_code, set(wrong.context["form"].errors)) == (422, {days[1], "reason"})
    assert saved["Location"] == f"/budgets/{budget.pk}/plan/"
    assert (overtaken.status_code, BudgetLimit.objects.count()) == (422, 2)
    assert "Somebody set another limit" in overtaken.content.decode()
    assert "planned, version 2" in read(client, f"/budgets/{budget.pk}/plan/").replace("\n", "")


@pytest.mark.parametrize(
    ("kind", "zone"), [("quarter", "Asia/Kathmandu"), ("year", "UTC"), ("day", "Australia/Lord_Howe")]
)
def test_a_viewer_sees_the_plan_and_saves_none(client, kind, zone, django_assert_num_queries):
    budget = make_budget(at=timezone.now(), period=kind, zone=zone, fiscal_start_month=4)
    assert client.get(f"/budgets/{budget.pk}/plan/").status_code == 302
    signed_in(client, "viewer")

    with django_assert_num_queries(10):
        page = read(client, f"/budgets/{budget.pk}/plan/")

    assert "Save the plan" not in page
    assert client.post(f"/budgets/{budget.pk}/plan/", {"reason": "x"}).status_code == 403
    assert client.get(f"/budgets/{budget.pk}/plan/", {"use": "mean", "percent": "5"}).status_code == 200


# --- the file ---


def test_a_file_is_checked_shown_confirmed_and_written(client):
    make_budget(at=timezone.now())
    day = months(2)[1]
    signed_in(client, "finance")
    out = b"".join(client.get("/budgets/file/budgets.csv").streaming_content)
    edited = out.replace(f"{day},100".encode(), f"{day},175".encode())

    def upload(content: bytes):
        return client.post("/budgets/file/check/", {"file": SimpleUploadedFile("budgets.csv", content)})

    shown = upload(edited)
    confirm = shown.context["confirm"]
    sent = {"content": confirm["content"].value(), "digest": confirm["digest"].value(), "reason": ""}
    unsaid = client.post("/budgets/file/confirm/", sent)
    assert BudgetLimit.objects.count() == 1
    stale = client.post("/budgets/file/confirm/", sent | {"digest": "x", "reason": "the plan"})
    written = client.post("/budgets/file/confirm/", sent | {"reason": "the plan"})
    again = client.post("/budgets/file/confirm/", sent | {"reason": "the plan"})

    assert ">175</strong>" in shown.content.decode()
    assert (unsaid.status_code, set(unsaid.context["confirm"].errors)) == (422, {"reason"})
    assert (stale.status_code, written["Location"], again["Location"]) == (422, "/budgets/", "/budgets/file/")
    assert BudgetLimit.objects.count() == 2
    assert "It changes nothing" in upload(edited).content.decode()
    wrong = upload(edited.replace(b"175", b"1e9"))
    assert (wrong.status_code, wrong.context["wrong"][0][:2]) == (422, (3, "limit"))
    assert client.post("/budgets/file/check/", {}).status_code == 422
    assert upload(b"\xff").status_code == 422
    assert client.post("/budgets/file/confirm/", {"content": "x", "reason": "y"}).status_code == 422


def test_a_viewer_takes_the_file_out_and_brings_none_back(client):
    assert client.get("/budgets/file/budgets.csv").status_code == 302
    signed_in(client, "engineer")

    assert client.get("/budgets/file/budgets.csv").status_code == 200
    assert "Bring a file back" not in read(client, "/budgets/file/")
    assert client.post("/budgets/file/check/", {}).status_code == 403
    assert client.post("/budgets/file/confirm/", {}).status_code == 403


# --- the full form ---


def typed(**overrides: Any) -> dict[str, Any]:
    return {
        "name": "everything", "unit": "usd", "amount": "5000", "period": "quarter", "zone": "Asia/Tokyo",
        "fiscal_start_month": "4", "thresholds": "50 100", "forecast_thresholds": "100, 120", "action": "block",
        "reason": "agreed",
    } | overrides  # fmt: skip


def test_a_budget_is_made_over_every_dimension_and_copied(client):
    Organisation.objects.update(declared_tags=["env"])
    making.make_priced_offering()
    make_use_case("search")
    make_team("care")
    signed_in(client, "finance")
    scope = {
        "use_case": ["search"], "team": ["care"], "model": ["gpt-5.5"], "offering": ["gpt-5.5@openai"],
        "provider": ["openai"], "tier": ["frontier", "middle"], "tag:env": "prod\r\n staging ",
    }  # fmt: skip

    client.post("/budgets/new/", typed(**scope))

    budget = Budget.objects.get()
    assert budget.scope == {**scope, "tag:env": ["prod", "staging"]}
    assert (budget.zone, budget.fiscal_start_month, budget.forecast_thresholds) == ("Asia/Tokyo", 4, [100, 120])
    copy = client.get("/budgets/new/", {"from": budget.pk}).context["form"]
    assert (copy["name"].value(), copy["amount"].value(), copy["tag:env"].value()) == (
        "everything (copy)", "5,000", "prod\nstaging",
    )  # fmt: skip
    assert copy["offering"].value() == ["gpt-5.5@openai"]
    assert copy.narrowed_further


def test_every_error_of_the_full_form_stands_at_its_field(client):
    Organisation.objects.update(declared_tags=["env"])
    signed_in(client, "finance")
    wrong = typed(
        name="", unit="frontier_tokens", amount="1.5", zone="Mars", thresholds="0", forecast_thresholds="many",
        tier=["middle"], reason="",
    )  # fmt: skip

    answer = client.post("/budgets/new/", wrong)

    assert set(answer.context["form"].errors) == {
        "name", "amount", "zone", "thresholds", "forecast_thresholds", "tier", "reason",
    }  # fmt: skip
    assert client.post("/budgets/new/", typed(use_case=["nobody"], period="decade")).status_code == 422
    assert not Budget.objects.exists()


def test_what_may_change_is_changed_with_a_reason_and_the_rest_is_said(client):
    budget = make_budget(at=timezone.now(), action="alert")
    make_budget(name="taken", at=timezone.now())
    signed_in(client, "engineer")
    page = read(client, f"/budgets/{budget.pk}/edit/")
    given = {"name": "renamed", "owner": "lead", "thresholds": "60", "forecast_thresholds": "100",
             "action": "downgrade", "trial": "on", "reason": "a trial first"}  # fmt: skip

    wrong = client.post(f"/budgets/{budget.pk}/edit/", given | {"name": "taken", "thresholds": "", "reason": " "})
    changed = client.post(f"/budgets/{budget.pk}/edit/", given)

    assert "What holds for life" in page
    assert "Copy as a new budget" not in page  # which comes with a limit
    assert (wrong.status_code, set(wrong.context["form"].errors)) == (422, {"name", "thresholds", "reason"})
    budget.refresh_from_db()
    assert changed["Location"] == f"/budgets/{budget.pk}/"
    assert (budget.name, budget.owner, budget.thresholds, budget.forecast_thresholds, budget.action, budget.trial) == (
        "renamed", "lead", [60], [100], "downgrade", True,
    )  # fmt: skip
    signed_in(client, "approver")
    assert client.get(f"/budgets/{budget.pk}/edit/").status_code == 403


def test_a_limit_is_set_for_a_time(client):
    budget = make_budget(at=timezone.now(), zone="Europe/Berlin")
    day = months(3)[2]
    signed_in(client, "finance")

    client.post(f"/budgets/{budget.pk}/limits/", {"amount": "500", "ends": day, "reason": "a busy season"})
    wrong = client.post(
        f"/budgets/{budget.pk}/limits/", {"amount": "500", "starts": "x", "ends": "2020-01-01", "reason": "r"}
    )

    limit = budget.limits.get(version=2)
    assert limit.ends_at is not None
    assert str(limit.ends_at.astimezone(timezone.get_fixed_timezone(120)).date()) == day
    assert (wrong.status_code, set(wrong.context["limit_form"].errors)) == (422, {"starts"})


# --- what came after ---


@pytest.mark.parametrize(
    ("action", "trial", "said"),
    [
        ("block", True, "What the trial would have done"),
        ("block", False, "What came through all the same"),
        ("alert", False, ""),
    ],
)
def test_a_used_up_budget_says_what_came_after(client, action, trial, said):
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(10), action=action, trial=trial, at=timezone.now())
    book(call(usd=12))
    signed_in(client, "viewer")

    page = read(client, f"/budgets/{budget.pk}/")

    if said:
        assert said in page
        assert "Used beyond the limit so far" in page
    else:
        assert "Used beyond the limit" not in page


def test_what_came_after_is_told_in_whole_quarter_hours_since_the_limit_was_reached():
    making.make_priced_offering()
    reached = datetime(2026, 6, 10, 12, 7, tzinfo=UTC)
    budget = make_budget(unit="usd", amount=Decimal(10), action="block", trial=True)
    book(call(at=reached, usd=12))
    book(call(at=reached + timedelta(hours=1), usd=3))
    at = reached + timedelta(hours=2)
    row, definition = overview.one(budget_id=budget.pk, at=at), definitions.current().by_id[budget.pk]
    assert row is not None

    found = budgets_parts.beyond(row, definition, at)

    assert found is not None
    assert (found.requests, found.tokens_exact, found.cost, found.over) == (1, "600,000", "$3.00", "$5.00")
    assert found.since == "10 June 2026, 12:15 UTC"


def test_a_budget_without_a_threshold_at_its_limit_says_why_nothing_is_told(client):
    making.make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal(10), action="block", thresholds=[50], at=timezone.now())
    book(call(usd=12))
    signed_in(client, "viewer")

    assert "no threshold at 100 %" in read(client, f"/budgets/{budget.pk}/")


def test_names_that_are_markup_stay_text(client):
    make_use_case(HOSTILE)
    budget = make_budget(name=HOSTILE, scope={"use_case": [HOSTILE]}, reason=HOSTILE, at=timezone.now(), owner=HOSTILE)
    request = ask(budget, reason=HOSTILE)
    signed_in(client, "admin")

    for path in (f"/budgets/{budget.pk}/", f"/budgets/{budget.pk}/plan/", f"/budgets/{budget.pk}/edit/",
                 f"/budgets/{budget.pk}/ask/", "/budgets/requests/", f"/budgets/requests/{request.pk}/",
                 f"/budgets/new/?from={budget.pk}"):  # fmt: skip
        page = read(client, path)
        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


def test_a_retired_budget_is_asked_edited_and_planned_no_more(client):
    budget = make_budget(at=timezone.now())
    budgets.retire(budget=budget, reason="over", by="a@example.com", at=timezone.now())
    signed_in(client, "admin")

    assert client.get(f"/budgets/{budget.pk}/ask/").status_code == 404
    assert client.get(f"/budgets/{budget.pk}/edit/").status_code == 404
    assert "Save the plan" not in read(client, f"/budgets/{budget.pk}/plan/")
    sent = client.post(f"/budgets/{budget.pk}/plan/", {months(2)[1]: "5", "reason": "x"})
    assert sent.status_code == 422
