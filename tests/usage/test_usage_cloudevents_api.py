"""CloudEvents over HTTP, from the envelope to the ledger."""

import json

import pytest
from django.db.models import Sum
from django.utils import timezone

from tests.factories import make_key
from tests.usage.checks import assert_rollups_equal_ledger
from usage.models import LedgerEntry, Receipt
from usage.services import booking

pytestmark = pytest.mark.django_db
DATA = {"use_case": "support", "model": "gpt-5.5", "input_tokens": 1200, "output_tokens": 85}


def test_one_event_in_all_three_modes_counts_once_and_is_taken_back_by_the_id_of_its_envelope(client):
    headers = {"Authorization": f"Bearer {make_key('usage:write')}"}
    now = timezone.now().isoformat()
    envelope = {"specversion": "1.0", "type": "llm.call", "source": "/billing", "id": "A-1", "time": now}
    in_headers = {f"ce-{name}": value for name, value in envelope.items()}

    def post(body, content_type, **more):
        answer = client.post("/api/v1/usage/events", json.dumps(body), content_type, headers=headers | more)
        assert (answer.status_code, answer.json()["rejected"]) == (202, [])
        booking.book_pending(at=timezone.now())
        return Receipt.objects.get(pk=answer.json()["receipt"])

    first = post(DATA, "application/json", **in_headers)
    again = post(envelope | {"data": DATA}, "application/cloudevents+json")
    batch = [envelope | {"data": DATA}, envelope | {"source": "/other", "data": DATA}]
    other = post(batch, "application/cloudevents-batch+json")
    booked = LedgerEntry.objects.aggregate(requests=Sum("requests"))
    post(envelope | {"id": "A-2", "data": {"voids": "A-1"}}, "application/cloudevents+json")

    assert (first.format, first.booked) == ("native", 1)
    assert (again.booked, again.duplicates, other.booked, other.duplicates) == (0, 1, 1, 1)
    assert booked == {"requests": 2}
    left = LedgerEntry.objects.aggregate(requests=Sum("requests"), tokens=Sum("uncached_input_tokens"))
    assert left == {"requests": 1, "tokens": 1200}
    assert_rollups_equal_ledger()
