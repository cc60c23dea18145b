"""Alerts under people and processes that do the same thing in the same moment."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection

from alerts.services import deliveries
from tests.alerts.making import NOON, make_alert, make_channel

pytestmark = pytest.mark.django_db(transaction=True)


def test_workers_that_claim_at_once_take_one_delivery_of_a_channel_and_not_one_each():
    busy, other = make_channel(), make_channel(teams=[4])
    for team in (3, 3, 3, 3, 4):
        make_alert(team_ids=[team])
    together, claimed, failed = threading.Barrier(6), [], []

    def claim() -> None:
        try:
            together.wait(20)
            claimed.extend(one.channel_id for one in deliveries.claim_due(at=NOON + timedelta(seconds=1), limit=5))
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failed == []
    assert sorted(claimed) == [busy.pk, other.pk]
