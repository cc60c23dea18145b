"""What a gateway's key could do to the figures of others."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.usage.making import make_event, make_offering, outcome, send
from usage.formats import native
from usage.formats.contract import FormatSettings
from usage.models import Rollup15Min, RollupDay

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_absurd_amounts_leave_room_in_the_sums_for_what_comes_after():
    make_offering("gpt-5.5@openai")
    most = Decimal("999999999999")  # the most that is believed of one event

    first = send(make_event(reported_cost_usd=most), make_event(reported_cost_usd=most))
    innocent = send(make_event(reported_cost_usd=Decimal(1)))

    assert [outcome(first), outcome(innocent)] == [{"booked": 2}, {"booked": 1}]
    assert Rollup15Min.objects.get().reported_cost_usd == RollupDay.objects.get().reported_cost_usd == 2 * most + 1


def test_no_body_holds_counts_whose_sum_passes_64_bits():
    most, events_of_a_body = 10**10, 20_000
    event = b'{"id": "e", "time": "2026-06-15T12:00:00Z", "model": "gpt-5.5", "input_tokens": %d}'

    believed, refused = (
        native.parse(event % count, content_type="", received_at=NOON, settings=FormatSettings(user_key=b"k"))
        for count in (most, most + 1)
    )

    assert [len(believed.events), len(refused.events)] == [1, 0]
    assert refused.rejected[0].error.startswith("input_tokens: ")
    assert most * events_of_a_body * 10_000 < 2**63  # ten thousand such bodies for one cell of a rollup
