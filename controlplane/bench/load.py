"""A client that only asks: the same request over and over on a few connections, in a process of its own.

python -m controlplane.bench.load HOST PORT SECONDS CONNECTIONS, the request on standard input. Each connection sends
its next request when it has its answer, so nothing is pipelined. Prints JSON: answers per second, and how much of its
own core it used; at 1.0 it would be the client that was measured.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

EXPECTED = b"HTTP/1.1 304 "
END = b"\r\n\r\n"


def main(host: str, port: int, seconds: float, connections: int) -> dict[str, float]:
    """Ask until the time is over.

    Raises:
        RuntimeError: something else than a 304 came back.
    """
    request = sys.stdin.buffer.read()
    poll = select.epoll()
    sockets = {}
    for _ in range(connections):
        one = socket.create_connection((host, port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[one.fileno()] = one
        poll.register(one, select.EPOLLIN)
        one.sendall(request)
    answers = 0
    start, busy = time.perf_counter(), time.process_time()
    deadline = start + seconds
    while (now := time.perf_counter()) < deadline:
        for number, _ in poll.poll(1.0):
            one = sockets[number]
            answer = one.recv(4096)
            if not answer.startswith(EXPECTED) or not answer.endswith(END):
                raise RuntimeError(f"not the answer that is measured: {answer[:200]!r}")
            answers += 1
            one.send(request)
    elapsed = now - start
    for one in sockets.values():
        one.close()
    return {"rate": answers / elapsed, "busy": (time.process_time() - busy) / elapsed}


if __name__ == "__main__":
    found = main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.write(json.dumps(found) + "\n")
