"""PromptLayer's SDK against us: its address, its key, its answer."""

import json
from pathlib import Path

import pytest
from django.utils import timezone

from tests.factories import make_key
from usage.models import LedgerEntry, Receipt
from usage.services import booking

pytestmark = pytest.mark.django_db
CAPTURED = Path(__file__).parents[1] / "payloads" / "promptlayer" / "0001_log-request.json"


def post(client, secret, body=None, **changes):
    if body is None:
        now = timezone.now().timestamp()
        request = json.loads(CAPTURED.read_text())
        body = request | {"request_start_time": now - 2, "request_end_time": now - 1} | changes
    headers = {"X-API-KEY": secret} if secret else {}
    return client.post("/log-request", body, content_type="application/json", headers=headers)


def test_a_logged_call_is_answered_as_promptlayer_does_and_booked(client):
    secret = make_key("usage:write", gateway="assistants")

    answer = post(client, secret)
    booking.book_pending(at=timezone.now())

    receipt = Receipt.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "success": True, "id": receipt.pk, "request_id": receipt.pk, "prompt_version": None,
    }  # fmt: skip
    assert (receipt.format, receipt.state, receipt.booked) == ("promptlayer", "done", 1)
    entry = LedgerEntry.objects.get()
    assert (entry.gateway.name, entry.use_case.name) == ("assistants", "support_triage")
    assert (entry.uncached_input_tokens, entry.output_tokens) == (1200, 85)


def test_a_call_that_cannot_be_counted_gets_422_with_the_reason_which_the_receipt_keeps(client):
    answer = post(client, make_key("usage:write"), input_tokens="many")

    assert (answer.status_code, answer.json()["detail"]) == (422, "input_tokens: not a number that can be one")
    assert Receipt.objects.get().rejected == [{"index": 0, "error": "input_tokens: not a number that can be one"}]


def test_a_body_that_cannot_be_read_gets_400_and_stores_nothing(client):
    assert post(client, make_key("usage:write"), b"{").status_code == 400
    assert not Receipt.objects.exists()


@pytest.mark.parametrize(("scope", "status"), [(None, 401), ("read", 403), ("write", 403), ("rules:read", 403)])
def test_only_a_key_that_may_send_usage_is_let_in(client, scope, status):
    assert post(client, make_key(scope) if scope else None).status_code == status
    assert post(client, "pl_unknown").status_code == 401
    assert not Receipt.objects.exists()
