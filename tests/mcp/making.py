"""What the tests of the MCP server need: a house with rules, a budget and usage, and somebody who asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from controlplane.mcp import asking
from controlplane.mcp.tools import TOOLS
from core import keys
from tests.factories import NOON, make_budget, make_key, make_team, make_use_case
from tests.routing.making import CHEAP, make_content, make_rule, make_version, stock
from tests.usage.making import make_event, send

SECOND = timedelta(seconds=1)
LATER = NOON + timedelta(hours=1)  # when these tests ask
HARD = {"use_case": "code-review", "task": "code"}

_numbers = count(1)


def make_house(*, at: datetime = NOON, used: int = 40) -> None:
    """Make rules in force, a budget of 100 frontier tokens a month for code-review, and a call that used some of it."""
    stock()
    make_use_case("support-routing")
    make_use_case("code-review")
    make_team("platform")
    make_version(make_content(make_rule("code-high", fallbacks=[CHEAP])), at=at)
    make_budget(
        name="code frontier", scope={"use_case": ["code-review"]}, action="downgrade", at=at - timedelta(days=40)
    )  # fmt: skip
    call(at=at, event_id="call-1", uncached_input_tokens=used)


def call(*, at: datetime = NOON, **overrides: Any) -> None:
    """Report and book a call of code-review that went to the frontier as its rule says."""
    given = {
        "occurred_at": at, "use_case": "code-review", "team": "platform", "model": "claude-opus-4.7",
        "provider": "anthropic", "uncached_input_tokens": 40, "output_tokens": 0, "latency_ms": 400,
        "rules_version": 1, "state_revision": 1, "rule": "code-high", "route_reason": "rule",
        "context": {"task": "code"},
    }  # fmt: skip
    send(make_event(**given | overrides), received_at=at + SECOND)


def asked(name: str, arguments: Mapping[str, Any], *scopes: str, at: datetime = LATER) -> Any:
    """Ask as a key with these scopes does, `read` where none is named; returns the answer as JSON has it."""
    secret = make_key(*(scopes or ("read",)), name=f"assistant {next(_numbers)}")
    caller = keys.caller(secret=secret, at=timezone.now())
    assert caller is not None
    tool = TOOLS[name]
    asking.demand(caller, tool.action)
    return tool.answer(asking.read(tool, arguments), caller, at).model_dump(mode="json", by_alias=True)
