"""What the intake worker does around bookings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from alerts.tasks import DELIVER_DUE
from core import nudges
from tests.alerts.making import make_channel
from tests.factories import make_budget, make_use_case
from tests.usage import making
from tests.usage.waiting import another_connection, until
from usage import tasks
from usage.models import Receipt
from usage.services import booking


@pytest.mark.django_db(transaction=True)
def test_alerts_go_out_while_what_came_later_is_still_being_booked(monkeypatch):
    monkeypatch.setattr(nudges, "_resting_until", 0.0)
    now = timezone.now()
    making.make_priced_offering()
    make_use_case("later")
    make_budget(name="crossed", at=now - timedelta(seconds=5))
    held = make_budget(name="held", scope={"use_case": ["later"]}, at=now - timedelta(seconds=5))
    make_channel()
    for _ in range(booking._CLAIMED_AT_ONCE):
        making.take(making.make_event(occurred_at=now), received_at=now)
    making.take(making.make_event(occurred_at=now, use_case="later"), received_at=now)
    nudges.begun(DELIVER_DUE)

    def book() -> None:
        try:
            tasks.book_pending()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, another_connection() as holding:
        with holding.transaction():
            holding.execute("SELECT FROM budgets_counter WHERE budget_id = %s FOR UPDATE", [held.pk])
            working = pool.submit(book)
            until(lambda: nudges._redis().exists(f"tollkeeper:nudge:{DELIVER_DUE}"), what="the nudge")
            waits = Receipt.objects.filter(state="pending").count()
        working.result(30)

    assert waits == 1
    assert set(Receipt.objects.values_list("state", flat=True)) == {"done"}
