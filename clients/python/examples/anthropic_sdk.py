"""Calls through Anthropic's SDK, with the model chosen by Tollkeeper's rules.

TOLLKEEPER_URL=... TOLLKEEPER_KEY=... ANTHROPIC_API_KEY=... python anthropic_sdk.py
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tollkeeper_client import NoRules, Tollkeeper, event_of

DEFAULT_MODEL = "claude-haiku-4.5"  # without rules, or where the rules send a call to another provider


def message(tollkeeper: Tollkeeper, anthropic: Any, context: Mapping[str, Any], messages: list[dict[str, str]]) -> Any:
    """Send messages to the model that the rules choose, as far as Anthropic has it, and report what they used."""
    try:
        decision = tollkeeper.decide(context)
    except NoRules:
        decision = None
    ours = decision is not None and decision.provider == "anthropic"
    model = decision.model if ours else DEFAULT_MODEL

    began = time.monotonic()
    response = anthropic.messages.create(model=model, max_tokens=1024, messages=messages)
    event = event_of(
        decision if ours else None,  # what the rules did not decide is not reported as if they had
        context,
        provider="anthropic",
        model=response.model,
        requested_model=model,
        usage=response.usage,  # as it is: Tollkeeper knows that its input_tokens leave cached ones out
        latency_ms=round((time.monotonic() - began) * 1000),
    )
    tollkeeper.report(event)
    return response


if __name__ == "__main__":
    from anthropic import Anthropic

    with Tollkeeper() as client:
        client.ready()
        request = {"use_case": "support-routing", "task": "summary", "session": "s-1"}
        print(message(client, Anthropic(), request, [{"role": "user", "content": "Say hello."}]))
