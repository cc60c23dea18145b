"""How far a budget can be used beyond its limit, over REST."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from routing.models import GatewayPoll
from tests.factories import make_budget
from tests.usage import making


def test_the_bound_of_a_budget_says_what_it_is_made_of(api):
    now = timezone.now()
    making.make_priced_offering()
    made = make_budget(unit="usd", scope={}, amount=Decimal(10), action="block", at=now - timedelta(hours=2))
    at = now - timedelta(minutes=20)
    making.send(
        making.make_event(occurred_at=at, uncached_input_tokens=2_400_000, output_tokens=0),
        received_at=at + timedelta(seconds=4), booked_at=at + timedelta(seconds=6),
    )  # fmt: skip
    GatewayPoll.objects.create(
        gateway=making.make_gateway(), environment="production", polled_at=now, pause_ms=5000
    )  # fmt: skip

    answer = api("read").get(f"budgets/{made.pk}/overshoot")

    assert answer.status_code == 200
    assert answer.json() == {
        "unit": "usd", "enforces": True, "known": True, "amount": "0.04", "share": "0.004", "so_far": "2",
        "gateways": [
            {
                "gateway": "edge", "per_hour": "12", "reports_s": 4.0, "booking_s": 2.0, "publishing_s": 1.0,
                "asks_again_s": 5.0, "asks": True, "delay_s": 12.0, "amount": "0.04",
            }
        ],
    }  # fmt: skip


def test_a_budget_that_is_being_counted_has_no_bound_yet_and_one_that_is_not_there_none_at_all(api):
    made = make_budget(live=False, at=timezone.now() - timedelta(days=1))
    reader = api("read")

    found = reader.get(f"budgets/{made.pk}/overshoot").json()

    assert (found["known"], found["amount"], found["gateways"]) == (False, None, [])
    assert reader.get("budgets/999999/overshoot").status_code == 404
