"""Polls that wait behind Granian itself: what it tells of clients that go away, and that nothing piles up."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.controlplane import waiting
from tests.controlplane.test_bridge import Server
from tests.usage.waiting import until

PATH = "/api/v1/rules/production"


class WaitingServer(Server):
    target = "tests.controlplane.waiting:application"

    def held(self, path: str = "/held") -> dict:
        return json.loads(self.ask(path).body)

    def wait(self, connection: socket.socket, tag: str, seconds: int = 50) -> None:
        """Begin a poll that waits, and return once it does."""
        before = self.held()["waiting"]
        connection.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {waiting.SECRET}\r\nIf-None-Match: {tag}\r\n"
            f"Prefer: wait={seconds}\r\n\r\n".encode()
        )
        until(lambda: self.held()["waiting"] == before + 1, what="a poll that waits")


def read(connection: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.body = answer.read()
    return answer


@pytest.fixture(scope="module")
def server() -> Iterator[WaitingServer]:
    started = WaitingServer("rsgi")
    until(started.answers, what="Granian")
    yield started
    started.stop()


def test_a_client_that_goes_away_frees_its_place_at_once(server):
    tag = server.held()["tag"]
    clients = [server.connect() for _ in range(waiting.MOST)]
    for client in clients:
        server.wait(client, tag)

    for client in clients:
        client.close()

    until(lambda: server.held()["waiting"] == 0, patience_s=10, what="the places that were left")


def test_many_polls_over_one_connection_leave_nothing_and_the_last_one_notices_its_end(server):
    before = server.held()
    connection = server.connect()
    tag = before["tag"]

    for _ in range(20):
        server.wait(connection, tag)
        tag = server.held("/publish")["tag"]
        assert read(connection).getheader("ETag") == tag
    server.wait(connection, tag)
    during = server.held()
    connection.close()

    assert during["tasks"] <= before["tasks"] + 2  # the poll, and who looks whether its client is there
    until(lambda: server.held()["waiting"] == 0, patience_s=10, what="the place of the last poll")
    until(lambda: server.held()["tasks"] <= before["tasks"], patience_s=10, what="the end of its tasks")


def test_who_finds_no_place_is_answered_at_once(server):
    tag = server.held()["tag"]
    waits = [server.connect() for _ in range(waiting.MOST)]
    for one in waits:
        server.wait(one, tag)

    with closing(server.connect()) as late:
        late.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: h\r\nX-API-Key: {waiting.SECRET}\r\nIf-None-Match: {tag}\r\n"
            "Prefer: wait=50\r\n\r\n".encode()
        )
        answer = read(late)
    published = server.held("/publish")["tag"]

    assert (answer.status, answer.getheader("Preference-Applied")) == (304, None)
    assert [read(one).getheader("ETag") for one in waits] == [published] * waiting.MOST
    for one in waits:
        one.close()
