"""A client that only asks: the same request over and over on a few connections, in a process of its own.

python -m controlplane.bench.load HOST PORT SECONDS CONNECTIONS STATUS, the request on standard input. Each connection
sends its next request when it has all of its answer, so nothing is pipelined. Prints JSON: answers per second, and how
much of its own core it used; at 1.0 it would be the client that was measured.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time

END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def main(host: str, port: int, seconds: float, connections: int, status: int) -> dict[str, float]:
    """Ask until the time is over.

    Raises:
        RuntimeError: an answer with another status came back, or none.
    """
    expected = f"HTTP/1.1 {status} ".encode()
    request = sys.stdin.buffer.read()
    poll = select.epoll()
    sockets = {}
    left: dict[int, int] = {}  # bytes of its answer that a connection waits for still; 0 where none began
    for _ in range(connections):
        one = socket.create_connection((host, port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[one.fileno()] = one
        left[one.fileno()] = 0
        poll.register(one, select.EPOLLIN)
        one.sendall(request)
    answers = 0
    start, busy = time.perf_counter(), time.process_time()
    deadline = start + seconds
    while (now := time.perf_counter()) < deadline:
        for number, _ in poll.poll(1.0):
            one = sockets[number]
            answer = one.recv(1 << 18)
            if left[number] and answer:
                left[number] -= len(answer)
            else:
                left[number] = _missing(answer, expected)
            if not left[number]:
                answers += 1
                one.send(request)
    elapsed = now - start
    for one in sockets.values():
        one.close()
    return {"rate": answers / elapsed, "busy": (time.process_time() - busy) / elapsed}


def _missing(answer: bytes, expected: bytes) -> int:
    """Return how many bytes are missing of an answer that begins."""
    head = answer.find(END) + len(END)
    if not answer.startswith(expected) or head < len(END):
        raise RuntimeError(f"not the answer that is measured: {answer[:200]!r}")
    if head == len(answer) and b" 304 " in expected:
        return 0
    length = LENGTH.search(answer, 0, head)
    if length is None:
        raise RuntimeError(f"an answer that does not say how long it is: {answer[:200]!r}")
    return head + int(length[1]) - len(answer)


if __name__ == "__main__":
    found = main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    sys.stdout.write(json.dumps(found) + "\n")
