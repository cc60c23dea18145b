import json
import socket
import time
import uuid

import pytest

from core import nudges


@pytest.fixture(autouse=True)
def awake(monkeypatch):
    """Each test begins as a fresh process does."""
    monkeypatch.setattr(nudges, "_resting_until", 0.0)
    nudges._redis.cache_clear()
    yield
    nudges._redis.cache_clear()


@pytest.fixture
def queue():
    name = f"nudges-{uuid.uuid4()}"
    yield name
    nudges._redis().delete(name, f"tollkeeper:nudge:{name}")


def test_many_nudges_are_one_message_until_the_task_has_begun(queue):
    task = queue  # any name

    sent = [nudges.nudge(task, queue) for _ in range(5)]
    nudges.begun(task)
    after = nudges.nudge(task, queue)

    assert sent == [True, False, False, False, False]
    assert after
    messages = [json.loads(each) for each in nudges._redis().lrange(queue, 0, -1)]
    assert [message["headers"]["task"] for message in messages] == [task, task]


def test_a_nudge_whose_task_was_lost_hinders_others_for_seconds_only(queue):
    nudges.nudge(queue, queue)

    assert 0 < nudges._redis().ttl(f"tollkeeper:nudge:{queue}") <= 5


def test_without_redis_a_nudge_is_skipped_and_raises_nothing(settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"

    assert not nudges.nudge("usage.tasks.book_pending", "intake")
    nudges.begun("usage.tasks.book_pending")


def test_a_redis_that_hangs_costs_a_second_once_and_then_nothing_for_a_while(settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()

        first = nudges.nudge("usage.tasks.book_pending", "intake")
        once = time.monotonic() - began
        others = [nudges.nudge("usage.tasks.book_pending", "intake") for _ in range(1000)]
        took = time.monotonic() - began - once

    assert not first
    assert not any(others)
    assert once < 1.2
    assert took < 0.1
