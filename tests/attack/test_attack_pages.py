"""Hostile requests to pages and lists: refused in words, with the policy, and never a 500."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import msgspec
import pytest

from tests.alerts.making import make_alert
from tests.dashboards.seeing import signed_in
from tests.factories import make_budget, make_key

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("created_at", ["x", "\0", "2026-06-15", "2026-06-15T12:00:00"])
def test_a_page_of_alerts_that_was_never_given_out_is_refused(client, created_at):
    after = urlsafe_b64encode(msgspec.json.encode([created_at, 1])).decode().rstrip("=")

    answer = client.get("/api/v1/alerts", {"after": after}, headers={"Authorization": f"Bearer {make_key('read')}"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "after"


def test_text_with_a_nul_character_is_refused_at_every_form(client):
    alert, budget = make_alert(), make_budget()
    signed_in(client, "admin")
    forms = {
        f"/alerts/{alert.pk}/comments/": {"text": "\0"},
        f"/budgets/{budget.pk}/limits/": {"amount": "\0", "reason": "less"},
        f"/budgets/{budget.pk}/retire/": {"reason": "\0"},
    }

    answers = {path: client.post(path, typed).status_code for path, typed in forms.items()}

    assert answers == dict.fromkeys(forms, 422)


@pytest.mark.parametrize("month", ["0001-01", "1970-01", "9999-12", "2026-13", "\0"])
def test_a_month_outside_the_calendar_is_not_found(client, month):
    signed_in(client, "viewer")

    answer = client.get("/", {"month": month})

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/budgets", "localhost", 301), ("/", "evil.example", 400), ("/nowhere", "localhost", 404)],
)
def test_answers_that_no_view_gave_carry_the_policy_too(client, path, host, status):
    answer = client.get(path, headers={"Host": host})

    assert answer.status_code == status
    assert "default-src 'none'" in answer["Content-Security-Policy"]
