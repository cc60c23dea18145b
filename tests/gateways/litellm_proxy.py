"""LiteLLM's own proxy, as somebody runs it who sends its usage to us, and a provider for it to call.

The proxy lives in an environment of its own, .litellm, which is made here where it is not there yet. The provider is an
imitation on this machine that answers like OpenAI's API.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from controlplane.embedded.servers import die_with_parent
from tests.controlplane.conftest import a_free_port, bare_environment
from tests.running import ROOT, eventually

LITELLM = ROOT / ".litellm" / "bin"
CLIENT = {"Authorization": f"Bearer sk-{'7a' * 32}"}  # of whoever calls the proxy

# What the imitation says was used: cached and reasoning tokens are parts of their wholes.
USAGE = {
    "prompt_tokens": 1200, "completion_tokens": 85, "total_tokens": 1285,
    "prompt_tokens_details": {"cached_tokens": 1024}, "completion_tokens_details": {"reasoning_tokens": 64},
}  # fmt: skip
EMBEDDED = {"prompt_tokens": 9, "total_tokens": 9}
RESPONDED = {
    "input_tokens": 1200, "output_tokens": 85, "total_tokens": 1285,
    "input_tokens_details": {"cached_tokens": 1024}, "output_tokens_details": {"reasoning_tokens": 64},
}  # fmt: skip


class _Provider(BaseHTTPRequestHandler):
    """Answers like OpenAI's API; a model named `down` fails, and nothing else."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] == "down":
            self._send(500, {"error": {"message": "the provider is down", "type": "server_error", "code": None}})
        elif self.path.endswith("/responses"):
            said = [{"type": "output_text", "text": "A marmot.", "annotations": []}]
            message = {"type": "message", "id": "msg-1", "role": "assistant", "status": "completed", "content": said}
            head = {**_head(asked, "response"), "created_at": int(time.time()), "status": "completed"}
            self._send(200, {**head, "output": [message], "usage": RESPONDED})
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
            self._send(200, {"object": "list", "model": asked["model"], "data": data, "usage": EMBEDDED})
        elif asked.get("stream"):
            self._stream(asked)
        else:
            message = {"role": "assistant", "content": "A marmot."}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self._send(200, {**_head(asked, "chat.completion"), "choices": choices, "usage": USAGE})

    def _stream(self, asked: dict[str, Any]) -> None:
        head = _head(asked, "chat.completion.chunk")
        chunks: list[dict[str, Any]] = [
            {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}]}
            for word in ("A ", "marmot.")
        ]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": USAGE})
        lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
        self._send_text(200, "".join(f"data: {line}\n\n" for line in lines), "text/event-stream")

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        self._send_text(status, json.dumps(answer), "application/json")

    def _send_text(self, status: int, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _head(asked: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{time.time_ns()}", "object": kind, "created": int(time.time()), "model": asked["model"]}


@contextmanager
def provider() -> Iterator[str]:
    """Run the imitation; gives its base address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def install() -> None:
    """Make .litellm what its lock file says; nothing to do where it is. Raises where that fails."""
    subprocess.run([sys.executable, str(ROOT / "requirements" / "install.py"), "litellm"], check=True)


class Proxy:
    """A running proxy; `base_url` is where its clients call it."""

    def __init__(self, base_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.base_url = base_url
        self._process = process
        self._log = log
        self._client = httpx.Client(timeout=5)  # one for all looks: making one costs as much as they do

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return self._client.get(f"{self.base_url}/health/liveliness").status_code == 200
        return False

    def stop(self) -> None:
        """Stop it in order: it sends what it still holds."""
        self._client.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


@contextmanager
def proxy(config: Mapping[str, Any], directory: Path, **environment: str) -> Iterator[Proxy]:
    """Run the proxy with a configuration until it answers."""
    port = a_free_port()
    file, log = directory / "config.yaml", directory / "litellm.log"
    file.write_text(json.dumps(config))  # JSON is YAML
    given = {
        "PATH": f"{LITELLM}:{os.environ['PATH']}",
        "LITELLM_MASTER_KEY": CLIENT["Authorization"].removeprefix("Bearer "),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the table of the package: nothing is fetched
        **environment,
    }
    with log.open("wb") as said:
        process = subprocess.Popen(
            [str(LITELLM / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port),
             "--telemetry", "False"],
            cwd=directory, env=bare_environment(**given), stdout=said, stderr=said, start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
    started = Proxy(f"http://127.0.0.1:{port}", process, log)
    try:
        assert eventually(lambda: process.poll() is not None or started.ready()), started.said
        assert process.poll() is None, started.said
        yield started
    finally:
        started.stop()
