"""Promise 9, our half of it: gateways are told the rules whatever dies here, and the truth soon after it is back.

The real web process, on servers of its own that are killed with -9.
"""

from __future__ import annotations

import gzip
import http.client
import json
import time
from collections.abc import Callable, Iterator

import pytest

from controlplane.embedded.servers import Servers, temporary_dir
from tests.faults.house import PATIENCE_S, House
from tests.usage.waiting import until

pytestmark = pytest.mark.soak

POLLS = 200  # while everything is down
# What is promised is two seconds; a crowded machine gets as many again.
SOON_S = 4.0


class Gateway:
    """A gateway that polls over one connection, as they do."""

    def __init__(self, house: House, secret: str) -> None:
        self.tag: str | None = None
        self.from_memory = False  # Django, which answers until the key is known in front of it, adds headers of its own
        self._house, self._secret = house, secret
        self._connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=20)

    def close(self) -> None:
        self._connection.close()

    def poll(self, *, tag: str | None = None, accept_encoding: str = "identity", query: str = "") -> int:
        headers = {"Authorization": f"Bearer {self._secret}", "Accept-Encoding": accept_encoding}
        if tag:
            headers["If-None-Match"] = tag
        try:
            self._connection.request("GET", f"/api/v1/rules/production{query}", headers=headers)
            answer = self._connection.getresponse()
            self.body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        self.tag = answer.getheader("ETag")
        self.from_memory = answer.getheader("Referrer-Policy") is None
        return answer.status


@pytest.fixture
def gateway_with(house) -> Iterator[Callable[[str], Gateway]]:
    made: list[Gateway] = []

    def make(secret: str) -> Gateway:
        made.append(Gateway(house, secret))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture(scope="module")
def _house() -> Iterator[House]:
    with temporary_dir("tollkeeper-serving-") as directory, Servers(directory) as servers:
        built = House(servers, directory)
        try:
            built.open()
            yield built
        finally:
            built.close()


@pytest.fixture
def house(_house: House) -> House:
    _house.repair()
    return _house


def seconds_until(condition: Callable[[], bool], what: str) -> float:
    start = time.monotonic()
    until(condition, patience_s=PATIENCE_S, what=what)
    return time.monotonic() - start


def test_polls_are_answered_while_postgresql_and_redis_are_dead_and_with_the_truth_once_they_are_back(
    house, gateway_with
):
    secret = str(house.inside("key", ["rules:read"]))
    gateway, stranger = gateway_with(secret), gateway_with("tk_nobody")
    misfit = gateway_with(str(house.inside("key", ["usage:write"])))
    tag = str(house.inside("publish", "before"))
    served = seconds_until(
        lambda: gateway.poll() == 200 and gateway.tag == tag and gateway.from_memory, "the first version"
    )

    house.servers.redis.kill()
    house.servers.postgres.kill()
    unchanged = {gateway.poll(tag=tag) for _ in range(POLLS)}
    whole = {(gateway.poll(), gateway.tag, json.loads(gateway.body)["rules"][0]["rationale"]) for _ in range(20)}
    packed = gateway.poll(accept_encoding="gzip", query="?instance=pod-1")
    unpacked = json.loads(gzip.decompress(gateway.body))
    refused = [stranger.poll(tag=tag), stranger.poll(), misfit.poll(tag=tag), misfit.poll()]

    assert served < SOON_S
    assert unchanged == {304}
    assert whole == {(200, tag, "before")}
    assert (packed, gateway.tag) == (200, tag[:-1] + '-gzip"')
    assert unpacked["rules"][0]["rationale"] == "before"
    assert not {200, 304, 0} & set(refused), refused  # nobody can say who they are

    house.servers.postgres.start()
    house.servers.redis.start()
    second = str(house.inside("publish", "after"))
    published = seconds_until(lambda: gateway.poll(tag=tag) == 200 and gateway.tag == second, "the second version")
    house.inside("revoke", secret)
    revoked = seconds_until(lambda: gateway.poll(tag=second) == 401, "the end of the key")

    assert json.loads(gateway.body)["type"] == "urn:tollkeeper:problem:authentication-failed"
    assert (published < SOON_S, revoked < SOON_S) == (True, True), (published, revoked)
    until(lambda: ["pod-1", unpacked["version"]] in house.inside("polls"), what="the polls that were noted")


def test_a_process_that_starts_while_postgresql_is_dead_says_so_and_never_that_there_are_no_rules(house, gateway_with):
    gateway = gateway_with(str(house.inside("key", ["rules:read"])))
    tag = str(house.inside("publish", "something else"))
    house.kill("web")
    house.servers.postgres.kill()

    house.launch_web()
    house.wait_for_web()
    found = [gateway.poll(), gateway.poll(tag=tag)]
    house.servers.postgres.start()
    until(lambda: gateway.poll() == 200, patience_s=PATIENCE_S, what="the rules")

    assert found == [503, 503]
    assert gateway.tag == tag
