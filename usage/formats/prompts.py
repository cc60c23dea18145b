"""Whether a body carries prompts or answers: for a word to whoever sends them, who may not know.

Every format drops them, and this reads none of them: it looks for the names under which senders are known to put them,
in the first 16 KB of a body. Who sends prompts does so with nearly every call, so that is enough, and it costs some
microseconds a body however large it is.
"""

from __future__ import annotations

import re

_HEAD = 16 * 1024
_REDACTED = b"redacted-by-litellm"

_MESSAGES = re.compile(rb'"messages"\s*:\s*\[\s*\{')
# Pieces of the names of attributes, few because each is a search of its own: gen_ai.input.messages and
# gen_ai.output.messages, llm.input_messages, input.value, and so on.
_PIECES = (
    b"put.messages", b"put_messages", b"put.value", b"gen_ai.system_instructions", b"traceloop.entity.input",
    b"ai.prompt.messages", b"ai.response.text", b"gen_ai.completion",
)  # fmt: skip
_PROMPT = re.compile(rb"gen_ai\.prompt(?!\.name|_name|_version)")


def carries(format: str, body: bytes) -> bool:
    """Say whether a decompressed body of a format carries prompts or answers, as far as its beginning tells."""
    head = body[:_HEAD]
    if format == "otlp":
        return any(piece in head for piece in _PIECES) or (b"gen_ai.prompt" in head and bool(_PROMPT.search(head)))
    found = _MESSAGES.search(head) if b'"messages"' in head else None  # a plain search is ten times as fast
    # With turn_off_message_logging LiteLLM sends one message that says so.
    return found is not None and _REDACTED not in head[found.start() : found.start() + 200]
