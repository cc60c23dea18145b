"""The bridge to Django against Granian itself: what an application is told, and what becomes of bodies and streams."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from controlplane.embedded.servers import die_with_parent
from tests.controlplane import echo
from tests.controlplane.conftest import a_free_port
from tests.usage.waiting import until

ROOT = Path(__file__).resolve().parents[2]


class Server:
    target = ""  # of those that serve something else

    def __init__(self, interface: str) -> None:
        self.port = a_free_port()
        target = self.target or "tests.controlplane.echo:" + ("application" if interface == "rsgi" else "wsgi")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "granian", "--interface", interface, "--port", str(self.port), "--no-ws", target],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def send(self, raw: bytes) -> http.client.HTTPResponse:
        """Send bytes as they are and read the answer."""
        with closing(self.connect()) as connection:
            connection.sendall(raw)
            answer = http.client.HTTPResponse(connection, method=raw.split(b" ", 1)[0].decode())
            answer.begin()
            answer.body = answer.read()
            return answer

    def told(self, raw: bytes) -> dict:
        return json.loads(self.send(raw).body)

    def ask(self, path: str, *, body: object = None, method: str | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, body)
            answer = connection.getresponse()
            answer.body = answer.read()
            return answer

    def happened(self, what: str) -> int:
        return json.loads(self.ask("/happened").body).get(what, 0)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        started = {}
        for interface in ("rsgi", "wsgi"):
            started[interface] = Server(interface)
            stack.callback(started[interface].stop)
        for server in started.values():
            until(server.answers, what="Granian")
        yield started


@pytest.fixture
def server(servers) -> Server:
    return servers["rsgi"]


@pytest.fixture
def granian(servers) -> Server:
    """What Granian makes of the same request itself."""
    return servers["wsgi"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: h:8\r\n\r\n",
        b"GET /a%20b%2Fc/%c3%a9/%252e/../x?q=%20%c3%a9&a=+ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET //double//slash HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http://elsewhere/path?x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"HEAD /x HTTP/1.1\r\nHost: h\r\nAccept: a\r\nAccept: b\r\n\r\n",
        b"DELETE /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain; charset=x\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        b"PUT /x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCookie: b=2\r\nAuthorization: Bearer \t x\r\n\r\n",
    ],
)
def test_an_application_is_told_what_granian_would_tell_it(server, granian, raw):
    if raw.startswith(b"HEAD"):
        raw = raw.replace(b"HEAD", b"GET", 1)
    ours, theirs = server.told(raw), granian.told(raw)

    for told in (ours, theirs):
        del told["SERVER_PORT"]
    # Granian puts the process's environment in, and says it of one process among several.
    assert ours == {name: value for name, value in theirs.items() if name in ours}
    assert {name for name in theirs if name.startswith(("HTTP_", "CONTENT_"))} <= set(ours)


def test_an_address_and_a_port_are_told_apart(server):
    told = server.told(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")

    assert (told["REMOTE_ADDR"], told["SERVER_NAME"], told["SERVER_PORT"]) == (
        "127.0.0.1", "127.0.0.1", str(server.port),
    )  # fmt: skip
    assert (told["wsgi.url_scheme"], told["wsgi.multithread"], told["SCRIPT_NAME"]) == ("http", True, "")


def test_a_header_that_passes_for_a_proxys_is_dropped(server, granian):
    raw = b"GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_Proto: https\r\nProxy: http://evil\r\n\r\n"

    assert {"HTTP_X_FORWARDED_PROTO", "HTTP_PROXY"} <= set(granian.told(raw))
    assert not {"HTTP_X_FORWARDED_PROTO", "HTTP_PROXY"} & set(server.told(raw))


def test_a_path_that_is_no_utf8_is_told_as_one_that_matches_nothing(server):
    told = server.told(b"GET /rules/%ff%fe HTTP/1.1\r\nHost: h\r\n\r\n")

    assert told["PATH_INFO"].encode("latin-1").decode() == "/rules/\ufffd\ufffd"


def test_a_body_in_chunks_is_read_whole_and_has_a_length(server):
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n, body\r\n0\r\n\r\n"

    told = server.told(raw)

    assert (told["CONTENT_LENGTH"], told["read"], told["ends"]) == ("11", 11, "lo, body")
    assert "HTTP_TRANSFER_ENCODING" not in told


def test_a_length_beside_chunks_does_not_count(server):
    raw = (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    )

    told = server.told(raw)

    assert (told["CONTENT_LENGTH"], told["read"], told["PATH_INFO"]) == ("5", 5, "/")


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n, b",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhello",
    ],
)
def test_a_body_that_breaks_off_never_reaches_the_application(server, raw):
    before = server.happened("calls")

    with closing(server.connect()) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)

    assert answer == b"" or b" 400 " in answer.split(b"\r\n", 1)[0]
    assert server.happened("calls") == before + 1  # the question itself


@pytest.mark.parametrize("length", [echo.LARGEST_BODY + 1, 10**18, 10**25])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(server, length):
    before = server.happened("calls")

    answer = server.send(b"POST /x?y HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % length)

    assert answer.status in (400, 413)  # 400: Granian itself, of a number that is none
    if answer.status == 413:
        problem = json.loads(answer.body)
        assert (problem["type"], problem["instance"]) == ("urn:tollkeeper:problem:too-large", "/x")
        assert answer.getheader("Content-Type") == "application/problem+json"
    assert server.happened("calls") == before + 1


def test_a_body_in_chunks_is_refused_once_it_is_too_large(server):
    before = server.happened("calls")

    with closing(server.connect()) as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(echo.LARGEST_BODY // 50_000 + 1):
            connection.sendall(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
        answer = connection.recv(65536)

    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert server.happened("calls") == before + 1


def test_more_large_bodies_than_there_is_room_for_are_all_read(server):
    def send(number: int) -> dict:
        body = b"x" * (echo.LARGEST_BODY - 8) + b"%08d" % number
        in_chunks = iter([body[:300_000], body[300_000:]])  # http.client sends what has no length in chunks
        return json.loads(server.ask("/x", body=in_chunks if number % 2 else body).body)

    with ThreadPoolExecutor(12) as threads:
        told = list(threads.map(send, range(24)))

    assert {one["read"] for one in told} == {echo.LARGEST_BODY}
    assert [one["ends"] for one in told] == [f"{number:08d}" for number in range(24)]


def test_slow_clients_hold_no_thread(server):
    with ExitStack() as stack:
        for _ in range(echo.THREADS * 4):
            slow = stack.enter_context(closing(server.connect()))
            slow.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nslow")
        told = json.loads(server.ask("/x", body=b"quick").body)

    assert told["read"] == 5


def test_more_requests_than_threads_wait_their_turn(server):
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda number: server.ask(f"/{number}").status, range(60)))

    assert answers == [200] * 60


@pytest.mark.parametrize("path", ["/204", "/304", "/cookies", "/raise"])
def test_answers_are_those_that_granian_would_give(server, granian, path):
    ours, theirs = server.ask(path), granian.ask(path)

    def headers(answer):
        return sorted((name.lower(), value) for name, value in answer.getheaders() if name.lower() != "date")

    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    ignored = {"content-length", "transfer-encoding", "server"}  # of nothing; a stream there, a whole here
    assert [one for one in headers(ours) if one[0] not in ignored] == [
        one for one in headers(theirs) if one[0] not in ignored
    ]


def test_what_is_written_comes_before_what_is_returned(server):
    answer = server.ask("/written")

    assert (answer.status, answer.body) == (200, b"written, and returned")


def test_head_has_the_length_of_what_get_would_bring_and_brings_nothing(server):
    head = server.ask("/x", method="HEAD")

    assert (head.status, head.body) == (200, b"")
    assert int(head.getheader("Content-Length")) > 0


def test_a_response_is_closed_and_a_head_of_a_stream_is_not_streamed(server):
    before = server.happened("closed")

    head = server.ask("/stream", method="HEAD")

    assert (head.status, head.body) == (200, b"")
    until(lambda: server.happened("closed") > before + 1, what="the close")


def test_a_stream_arrives_as_it_is_made(server):
    with closing(server.connect()) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        first = answer.readline()  # the application waits now, until it is told to go on
        server.ask("/go-on")
        second = answer.read()

    assert (first, second) == (b"first\n", b"second\n")


def test_a_stream_ends_when_its_client_goes_away(server):
    chunks, closed = server.happened("chunks"), server.happened("endless closed")

    with closing(server.connect()) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        read = 0
        while read < 65536:  # the head alone may come long before the first chunk
            read += len(connection.recv(65536))

    until(lambda: server.happened("endless closed") == closed + 1, what="the end of the stream")
    assert server.happened("chunks") > chunks


def test_a_stream_that_breaks_is_closed_and_the_next_request_is_answered(server):
    closed = server.happened("closed")

    server.ask("/broken")

    assert server.happened("closed") >= closed + 2
    assert server.ask("/x").status == 200
