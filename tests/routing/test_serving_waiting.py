"""Polls that wait: for how long, what ends the wait, who gets no place, and that nothing of them is left behind."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from routing.rules import document
from routing.serving import documents, waiting
from routing.serving.front import RulesFront
from routing.serving.shelf import Reader, Shelf
from routing.serving.waiting import LongPolls
from tests.routing.making import make_content
from tests.routing.test_serving_polls import PATH, Headers

ENVIRONMENT = "production"
HAVE = ("If-None-Match", '"1.1"')
PATIENCE_S = 20
SOON_S = 5  # where something has to come long before the 50 s that a poll was ready to wait


def make_served(version: int = 1, revision: int = 1) -> documents.Served:
    return documents.build(
        environment=ENVIRONMENT, version=version, revision=revision, published_at=datetime(2026, 6, 15, tzinfo=UTC),
        content=document.canonical(make_content(offerings={})), state=None,
    )  # fmt: skip


class House:
    """A shelf with one document and two keys, and gateways that wait for it."""

    def __init__(self, **bounds: int) -> None:
        self.shelf = Shelf()
        self.shelf.documents = {ENVIRONMENT: make_served()}
        self.shelf.readers = {digest("one"): Reader(1, 11, math.inf), digest("other"): Reader(2, 22, math.inf)}
        self.shelf.loaded = True
        self.polls = LongPolls(RulesFront(self.shelf), **bounds)
        self.shelf.on_change = self.polls.wake
        self.gone = asyncio.Event()
        self.polls.start(asyncio.get_running_loop())

    def poll(self, secret="one", *pairs, seconds=50, path=PATH, query="", gone=None) -> asyncio.Task[Any]:
        return asyncio.create_task(
            self.polls.answer(
                path=path, query=query, headers=Headers(("Authorization", f"Bearer {secret}"), *pairs), seconds=seconds,
                gone=gone or self.gone.wait,
            )
        )  # fmt: skip

    async def until_waiting(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.polls.waiting != count:
                await asyncio.sleep(0)

    def publish(self, *served: documents.Served) -> None:
        self.shelf.documents = {one.environment: one for one in served}
        self.shelf.on_change()


def digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def header(answer: Any, name: str) -> str | None:
    return dict(answer.headers).get(name)


def on_a_loop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test on a loop of its own, and check that it left no task and no timer there."""

    def run() -> None:
        async def watched() -> None:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE_S):
                await scenario()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert [timer for timer in loop._scheduled if not timer.cancelled()] == []

        asyncio.run(watched())

    run.__name__, run.__doc__ = scenario.__name__, scenario.__doc__
    return run


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10), ("WAIT=10", 10), ('wait="10"', 10), ("respond-async, wait=10", 10), ("wait = 7 ; x=y", 7),
        ('handling=lenient;a="b, wait=3", wait=9', 9), ("wait=5, wait=9", 5), ("wait=600", 55), ("wait=55", 55),
        ("wait=0", 0), ("wait", 0), ("wait=", 0), ("wait=ten", 0), ("wait=-1", 0), ("wait=1.5", 0), ("wait=1e3", 0),
        ("await=10", 0), ("x=wait=10", 0), ("", 0), (", ,", 0), ('"', 0), ("wait=9999999999", 0), ("wait=x, wait=4", 4),
        ("wait=\u0663", 0), ("x, " * 200 + "wait=3", 3),
        ('x="never closed, wait=3', 0), ('x="a\\", wait=3", wait=4', 4),
    ],
)  # fmt: skip
def test_a_preference_is_read_as_leniently_as_its_rfc_allows(prefer, seconds):
    assert waiting.wait_seconds(Headers(("Prefer", prefer))) == seconds


@pytest.mark.parametrize("prefer", ['"' + '\\"' * 30_000, '"a' * 30_000, "," * 60_000, '"' + "\\" * 60_000])
def test_no_preference_holds_up_the_loop(prefer):
    began = time.thread_time()

    waiting.wait_seconds(Headers(("Prefer", prefer)))

    # Read one by one it takes a hundredth of a second; each quote tried anew took minutes.
    assert time.thread_time() - began < 1


def test_preferences_may_come_in_several_headers():
    assert waiting.wait_seconds(Headers(("Prefer", "respond-async"), ("Prefer", "wait=3"))) == 3
    assert waiting.wait_seconds(Headers()) == 0


@on_a_loop
async def test_a_poll_that_has_what_is_in_force_waits_until_that_changes():
    house = House()
    polls = [house.poll("one", HAVE), house.poll("other", ("If-None-Match", '"1.1-gzip"'), ("Accept-Encoding", "gzip"))]
    await house.until_waiting(2)
    started = time.monotonic()

    house.publish(make_served(revision=2))
    plain, packed = await asyncio.gather(*polls)

    assert time.monotonic() - started < SOON_S
    assert (plain.status, header(plain, "etag"), header(packed, "etag")) == (200, '"1.2"', '"1.2-gzip"')
    assert header(plain, "preference-applied") == "wait=50"
    assert house.polls.waiting == 0


@on_a_loop
async def test_a_poll_that_waited_in_vain_is_told_that_nothing_changed_when_its_time_is_up():
    house = House()
    started = time.monotonic()

    answer = await house.poll("one", HAVE, seconds=1)

    assert time.monotonic() - started > 0.9
    assert (answer.status, answer.body, header(answer, "preference-applied")) == (304, b"", "wait=1")
    assert header(answer, "etag") == '"1.1"'


@on_a_loop
async def test_a_poll_that_has_something_else_or_nothing_does_not_wait():
    house = House()

    answers = [await house.poll("one", *pairs) for pairs in ((), (("If-None-Match", '"1.0"'),))]

    assert [(one.status, header(one, "preference-applied")) for one in answers] == [(200, "wait=50")] * 2


@on_a_loop
async def test_a_gateway_that_refused_what_is_in_force_waits_for_the_next():
    house = House()
    house.publish(make_served(2))
    poll = house.poll("one", ("If-None-Match", '"1.1", "2.1"'), query="active=1.1&rejected=2.1&reason=no")
    await house.until_waiting(1)

    house.publish(make_served(3))

    assert header(await poll, "etag") == '"3.1"'


@on_a_loop
async def test_an_environment_without_a_version_is_waited_for_too():
    house = House()
    house.shelf.documents = {}
    waited = house.poll("one")
    in_vain = house.poll("one", path="/api/v1/rules/staging", seconds=1)
    await house.until_waiting(2)

    house.publish(make_served())

    assert (await waited).status == 200
    nothing = await in_vain
    assert (nothing.status, header(nothing, "preference-applied")) == (404, "wait=1")
    assert b"no-version" in nothing.body


@on_a_loop
async def test_what_changes_elsewhere_leaves_a_poll_waiting():
    house = House()
    poll = house.poll("one", HAVE)
    await house.until_waiting(1)

    del house.shelf.readers[digest("other")]  # type: ignore[attr-defined]
    house.shelf.documents = {**house.shelf.documents, "staging": make_served(7)}
    house.shelf.on_change()
    await asyncio.sleep(0.05)

    assert house.polls.waiting == 1
    house.polls.stop()
    assert (await poll).status == 304


@on_a_loop
async def test_a_key_that_is_revoked_while_its_poll_waits_goes_on_to_django():
    house = House()
    revoked, other = house.poll("one", HAVE), house.poll("other", HAVE)
    await house.until_waiting(2)

    house.shelf.readers = {digest("other"): house.shelf.readers[digest("other")]}
    house.shelf.on_change()

    assert await revoked is None
    assert house.polls.waiting == 1
    house.polls.stop()
    assert (await other).status == 304


@on_a_loop
async def test_a_key_that_expires_while_its_poll_waits_goes_on_to_django_though_nobody_said_so():
    house = House()
    house.shelf.readers = {digest("one"): Reader(1, 11, time.time() + 0.5)}

    assert await house.poll("one", HAVE) is None


@on_a_loop
async def test_a_key_that_is_good_for_longer_than_it_was_waits_on():
    house = House()
    house.shelf.readers = {digest("one"): Reader(1, 11, time.time() + 0.5)}
    poll = house.poll("one", HAVE, seconds=1)
    await house.until_waiting(1)

    house.shelf.readers = {digest("one"): Reader(1, 11, math.inf)}
    house.shelf.on_change()

    assert (await poll).status == 304


@on_a_loop
async def test_an_environment_that_breaks_while_it_is_waited_for_goes_on_to_django():
    house = House()
    house.shelf.documents = {}
    poll = house.poll("one")
    await house.until_waiting(1)

    house.shelf.broken = {ENVIRONMENT}
    house.shelf.on_change()

    assert await poll is None


@on_a_loop
async def test_strangers_and_other_addresses_never_wait():
    house = House()

    assert [await house.poll("nobody", HAVE), await house.poll("one", path="/api/v1/spend")] == [None, None]
    assert await house.poll("one", path=PATH + "/versions/1") is None


@on_a_loop
async def test_a_process_that_has_read_nothing_yet_lets_nobody_wait():
    house = House()
    house.shelf.loaded = False

    assert await house.poll("one", HAVE) is None


@on_a_loop
async def test_a_client_that_goes_away_frees_its_place_at_once():
    house, leaves = House(most=1), asyncio.Event()
    leaver = house.poll("one", HAVE, gone=leaves.wait)
    await house.until_waiting(1)

    leaves.set()
    await leaver
    stayer = house.poll("one", HAVE)
    await house.until_waiting(1)

    house.polls.stop()
    assert (await stayer).status == 304


@on_a_loop
async def test_beyond_the_bounds_polls_are_answered_at_once_and_not_told_that_they_waited():
    house = House(most=3, most_of_one=2)
    waits = [house.poll("one", HAVE), house.poll("one", HAVE)]
    await house.until_waiting(2)
    third = await house.poll("one", HAVE)
    waits.append(house.poll("other", HAVE))
    await house.until_waiting(3)
    fourth = await house.poll("other", HAVE)

    assert [(one.status, header(one, "preference-applied")) for one in (third, fourth)] == [(304, None)] * 2
    house.publish(make_served(2))
    assert [one.status for one in await asyncio.gather(*waits)] == [200] * 3
    again = house.poll("one", ("If-None-Match", '"2.1"'))
    await house.until_waiting(1)
    house.polls.stop()
    assert (await again).status == 304


@on_a_loop
async def test_keys_without_a_gateway_have_places_of_their_own():
    house = House(most_of_one=1)
    house.shelf.readers = {digest(name): Reader(number, None, math.inf) for number, name in enumerate(("a", "b"), 1)}

    polls = [house.poll("a", HAVE), house.poll("b", HAVE)]

    await house.until_waiting(2)
    house.polls.stop()
    await asyncio.gather(*polls)


@on_a_loop
async def test_a_process_that_stops_answers_all_that_wait_and_lets_none_wait_any_more():
    house = House()
    polls = [house.poll("one", HAVE) for _ in range(50)]
    await house.until_waiting(50)

    house.polls.stop()
    answers = [*await asyncio.gather(*polls), await house.poll("one", HAVE)]

    assert {(one.status, header(one, "preference-applied")) for one in answers} == {(304, None)}
    house.polls.wake()  # from the refresher, which stops later


@on_a_loop
async def test_a_word_from_another_thread_wakes_the_loop():
    house = House()
    poll = house.poll("one", HAVE)
    await house.until_waiting(1)
    started = time.monotonic()

    threading.Thread(target=house.publish, args=(make_served(2),)).start()

    assert (await poll).status == 200
    assert time.monotonic() - started < SOON_S


@on_a_loop
async def test_a_waiting_poll_is_noted_at_its_beginning_and_at_its_end():
    house = House()
    poll = house.poll("one", HAVE, query="instance=pod-1")
    await house.until_waiting(1)
    noted = dict(house.shelf.polls._latest)

    house.publish(make_served(2))
    await poll

    asking = (11, ENVIRONMENT, "pod-1")
    assert noted[asking][:2] == ((1, 1), (1, 1))
    assert house.shelf.polls._latest[asking][:2] == ((1, 1), (2, 1))
    assert house.shelf.polls._latest[asking][3] >= noted[asking][3]
