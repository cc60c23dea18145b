"""How long an instance may take to hear of something new, measured by its polls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from routing.models import GatewayPoll
from routing.selectors import pauses
from routing.serving.polls import Polls
from routing.serving.reports import Report
from tests.routing.test_serving_waiting import ENVIRONMENT, HAVE, House, on_a_loop
from tests.usage.making import make_gateway

START = 1_780_000_000.0


def note(polls: Polls, at: float, *, gateway_id: int, instance: str = "pod-1", waits: bool = False) -> None:
    said = {"report": Report(instance=instance), "if_none_match": None, "given": None}
    polls.note(gateway_id=gateway_id, environment=ENVIRONMENT, **said, at=START + at, waits=waits)


@pytest.mark.django_db
def test_the_longest_pause_since_it_was_last_written_is_kept_and_none_where_it_waits():
    polls, edge = Polls(), make_gateway("edge").pk
    note(polls, 0, gateway_id=edge)
    polls.write(now=START)
    assert GatewayPoll.objects.get().pause_ms is None

    for at in (10, 45, 60):
        note(polls, at, gateway_id=edge)
    polls.write(now=START + 60)
    assert GatewayPoll.objects.get().pause_ms == 35_000

    for at in (70, 80, 90, 100, 110, 120):
        note(polls, at, gateway_id=edge)
    polls.write(now=START + 120)
    assert GatewayPoll.objects.get().pause_ms == 10_000

    for at in (130, 185):
        note(polls, at, gateway_id=edge, waits=True)
    polls.write(now=START + 185)
    assert GatewayPoll.objects.get().pause_ms == 0


@pytest.mark.django_db
def test_a_gateway_is_as_slow_as_its_slowest_instance_that_is_heard_of():
    polls, edge = Polls(), make_gateway("edge").pk
    for instance, pause in (("pod-1", 8), ("pod-2", 20), ("gone", 3000)):
        note(polls, 0, gateway_id=edge, instance=instance)
        note(polls, pause, gateway_id=edge, instance=instance)
    note(polls, 3600, gateway_id=edge, instance="new")
    polls.write(now=START + 3600)
    GatewayPoll.objects.exclude(instance="gone").update(polled_at=datetime.fromtimestamp(START + 3600, UTC))
    make_gateway("silent")

    found = pauses.of_gateways(at=datetime.fromtimestamp(START + 3600, UTC) + timedelta(minutes=4))

    assert found == {"edge": pauses.Pause(gateway="edge", longest_s=20.0, heard=3, silent=1, unknown=1)}


@on_a_loop
async def test_a_poll_that_waits_is_noted_as_one_and_one_without_a_place_is_not():
    house = House(most_of_one=1)
    first = house.poll("one", HAVE, query="instance=pod-1")
    await house.until_waiting(1)
    await house.poll("one", HAVE, query="instance=pod-2")
    await house.poll("one", HAVE, query="instance=pod-2")

    known = {asking[2]: seconds for asking, seconds in house.shelf.polls._pauses.items()}
    house.polls.stop()
    await first

    assert known["pod-1"] == 0
    assert known["pod-2"] > 0
