"""Calls through OpenAI's SDK, or any endpoint that speaks its protocol, with the model chosen by Tollkeeper's rules.

TOLLKEEPER_URL=... TOLLKEEPER_KEY=... OPENAI_API_KEY=... python openai_sdk.py
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tollkeeper_client import NoRules, Tollkeeper, event_of, new_id

DEFAULT_MODEL = "gpt-5-mini"  # for as long as no rules were ever had


class Blocked(Exception):
    """The rules let this call go nowhere: a budget is used up, or everything is switched off."""


def complete(tollkeeper: Tollkeeper, openai: Any, context: Mapping[str, Any], messages: list[dict[str, str]]) -> Any:
    """Send a chat to the model that the rules choose, then to its fallbacks, and report every attempt."""
    try:
        decision = tollkeeper.decide(context)
    except NoRules:
        response = openai.chat.completions.create(model=DEFAULT_MODEL, messages=messages)
        tollkeeper.report(event_of(None, context, model=response.model, provider="openai", usage=response.usage))
        return response

    if decision.blocked:
        tollkeeper.report(event_of(decision, context))
        raise Blocked(f"{decision.reason}, budget {decision.budget}")

    call = new_id()  # attempts of one call belong together
    failure: Exception | None = None
    for offering in (decision.offering, *decision.fallbacks):
        facts = tollkeeper.offering(offering) or {}
        attempt = {"offering": offering, "call_group": call}
        began = time.monotonic()
        try:
            response = openai.chat.completions.create(
                model=facts.get("model"),
                messages=messages,
                timeout=(decision.timeout_ms or 60_000) / 1000,
                **decision.params.get(facts.get("provider", ""), {}),
            )
        except Exception as error:
            tollkeeper.report(event_of(decision, context, status="error", latency_ms=since(began), **attempt))
            failure = error
            continue
        answered = {"model": response.model, "usage": response.usage, "service_tier": response.service_tier}
        tollkeeper.report(event_of(decision, context, latency_ms=since(began), **answered, **attempt))
        return response
    assert failure is not None
    raise failure


def since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


if __name__ == "__main__":
    from openai import OpenAI

    with Tollkeeper() as client:
        client.ready()
        request = {"use_case": "support-routing", "task": "summary", "session": "s-1"}
        print(complete(client, OpenAI(), request, [{"role": "user", "content": "Say hello."}]))
