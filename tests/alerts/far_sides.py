"""Far sides that are real servers on this machine, scripted to behave well or badly."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Reply:
    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)


class Hang:
    """Takes the request and says nothing until the client goes away."""


class CloseEarly:
    """Takes the request and closes the connection."""


class CloseUnread:
    """Closes the connection without a look at the request."""


class Drip:
    """Sends a header byte by byte, each well within any time-out of a single read."""


class Endless:
    """Answers 200 and goes on talking."""


class Webhook:
    """An HTTP server that keeps what was posted; replies come from the script, then 200 for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.script: deque[Any] = deque()
        self.fine = Reply()  # once the script is over
        self.posts: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if outer.script and isinstance(outer.script[0], CloseUnread):
                    outer.answer(self, outer.script.popleft())
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append(json.loads(body))
                outer.bodies.append(body)
                outer.headers.append(dict(self.headers))
                outer.paths.append(self.path)
                outer.answer(self, outer.script.popleft() if outer.script else outer.fine)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/services/T000/B000/very-secret"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler, reply: Any) -> None:
        if isinstance(reply, Hang):
            self._over.wait(30)
            handler.close_connection = True
        elif isinstance(reply, CloseEarly | CloseUnread):
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        elif isinstance(reply, Endless):
            handler.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            until = time.monotonic() + 30
            while time.monotonic() < until and not self._over.wait(0.001):
                handler.connection.sendall(b"x" * 16_384)
        elif isinstance(reply, Drip):
            handler.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            until = time.monotonic() + 30
            while time.monotonic() < until and not self._over.wait(0.02):
                handler.connection.sendall(b"x")
        else:
            data = reply.body.encode()
            # `send_response` adds a date, and a reply may bear that of another clock.
            (handler.send_response_only if "Date" in reply.headers else handler.send_response)(reply.status)
            for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class MailServer:
    """An SMTP server that keeps what it took; `at_rcpt` and `at_data` are scripted replies, None takes the mail."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.at_rcpt: dict[str, str] = {}
        self.at_data: str | None = None  # a reply, "drop", "drop-after-taking" or "hang"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.at_rcpt:
            return self.at_rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.at_data == "hang":
            await asyncio.sleep(5)
            return "250 OK"
        if self.at_data == "drop":
            server.transport.abort()
            return "451 gone"
        if self.at_data == "drop-after-taking":
            self.letters.append(envelope)
            server.transport.abort()
            return "250 OK"
        if self.at_data:
            return self.at_data
        self.letters.append(envelope)
        return "250 taken as 42"

    def stop(self) -> None:
        self._controller.stop()


def tls_for(name: str, directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's side of TLS for one name, and the file of the certificate that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = directory / "certificate.pem", directory / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
