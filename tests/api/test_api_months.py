"""Months over REST: what was booked in each, and closing one for good."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.utils import timezone

from core import periods
from core.api import written_cursor
from core.models import AuditEntry
from tests.dashboards.seeing import book, call
from tests.usage import making
from tests.usage.making import DAY
from usage.models import Month
from usage.services import months

NOW = timezone.now()
THIS = NOW.date().replace(day=1)
LAST = periods.add_months(THIS, -1)


@pytest.fixture
def booked():
    """Book 5 USD this month and 7 in the last one."""
    making.make_priced_offering()
    book(call(at=in_month(LAST), usd=7), at=in_month(LAST))
    book(call(at=NOW, usd=5), at=NOW)


def in_month(label) -> datetime:
    return datetime(label.year, label.month, 1, 12, tzinfo=UTC)


def test_months_come_newest_first_with_what_was_booked_in_each(api, booked):
    answer = api("read").get("months").json()

    assert [(one["month"], one["state"], one["cost_usd"], one["priced_share"]) for one in answer["results"]] == [
        (f"{THIS:%Y-%m}", "running", "5", "1"), (f"{LAST:%Y-%m}", "open", "7", "1"),
    ]  # fmt: skip
    assert answer["next"] is None


def test_a_page_of_months_ends_where_the_next_begins(api, booked):
    making.forget_everything()
    client = api("read")

    first = client.get("months", {"limit": 1}).json()
    second = client.get("months", {"limit": 1, "after": first["next"].partition("after=")[2].partition("&")[0]}).json()

    assert [one["month"] for one in first["results"]] == [f"{THIS:%Y-%m}"]
    assert [one["month"] for one in second["results"]] == [f"{LAST:%Y-%m}"]
    assert second["next"] is None


def test_a_gap_longer_than_a_page_is_no_end(api):
    making.make_priced_offering()
    long_ago = periods.add_months(THIS, -20)
    book(call(at=in_month(long_ago), usd=1), at=in_month(long_ago))
    book(call(at=NOW, usd=5), at=NOW)

    found = [one["month"] for one in api("read").get("months").json()["results"]]

    assert found == [f"{THIS:%Y-%m}", f"{long_ago:%Y-%m}"]


def test_an_admins_key_closes_a_month_with_a_reason_and_no_lesser_key_does(api, booked):
    path = f"months/{LAST:%Y-%m}/close"

    assert api("write", name="writer").post(path, {"reason": "done"}).status_code == 403
    answer = api("admin", name="books").post(path, {"reason": "invoices compared"})

    assert answer.status_code == 200
    told = answer.json()
    assert (told["state"], told["closed_by"], told["reason"]) == ("closed", "key:books", "invoices compared")
    assert Month.objects.get().label == LAST
    assert AuditEntry.objects.filter(table="usage_month").latest("id").reason == "invoices compared"


def test_a_month_is_closed_once_and_only_when_it_is_over(api, booked):
    admin = api("admin")

    assert admin.post(f"months/{THIS:%Y-%m}/close", {"reason": "early"}).status_code == 409
    admin.post(f"months/{LAST:%Y-%m}/close", {"reason": "done"})
    again = admin.post(f"months/{LAST:%Y-%m}/close", {"reason": "done again"})

    assert (again.status_code, Month.objects.get().reason) == (409, "done")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 301}, {"reason": "a", "b": 1}])
def test_closing_needs_a_reason_that_can_be_kept(api, booked, body):
    answer = api("admin").post(f"months/{LAST:%Y-%m}/close", body)

    assert (answer.status_code, Month.objects.count()) == (422, 0)


@pytest.mark.parametrize("label", ["2026-13", "2026-1", "0000-01", "9999-12", "nonsense"])
def test_what_is_no_month_is_not_found(api, label):
    assert api("admin").get(f"months/{label}").status_code == 404
    assert api("admin").post(f"months/{label}/close", {"reason": "a"}).status_code == 404


def test_a_cursor_that_was_made_by_hand_is_refused(api, booked):
    assert api("read").get("months", {"after": "x"}).status_code == 400
    assert api("read").get("months", {"after": written_cursor([2026, 13])}).status_code == 404


def test_one_month_says_what_was_booked_for_it_elsewhere_and_in_it_for_others(api, booked):
    months.close_month(label=LAST, by="finance@example.com", at=NOW)
    book(call(at=in_month(THIS) - DAY, usd=2, event_id="late", use_case="late"), at=NOW)
    client = api("read")

    closed, open_ = (client.get(f"months/{label:%Y-%m}").json() for label in (LAST, THIS))

    moved = {"month": f"{LAST:%Y-%m}", "booked_in": f"{THIS:%Y-%m}", "cost_usd": "2", "requests": 1}
    assert (closed["cost_usd"], closed["corrected_usd"], closed["booked_elsewhere"]) == ("7", "2", [moved])
    assert (open_["cost_usd"], open_["corrections_usd"], open_["booked_here"]) == ("7", "2", [moved])
    assert {one["name"]: (one["cost_usd"], one["corrections_usd"]) for one in open_["use_cases"]} == {
        "support-routing": ("5", "0"), "late": ("2", "2"),
    }  # fmt: skip
    assert sum(Decimal(one["cost_usd"]) for one in open_["teams"]) == 7
