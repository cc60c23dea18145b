"""Anthropic: `GET /v1/organizations/usage_report/messages`.

Here input does not include what was cached: uncached input, cache reads and cache writes of either life are beside each
other, and input is their sum. The report counts no requests. `context_window` and other groups are summed.
"""

from __future__ import annotations

from collections.abc import Iterator

from catalog.rules.names import tidy_service_tier
from core.errors import Invalid
from usage.statements.buckets import Buckets, read_buckets
from usage.statements.contract import Line, Statement, statement
from usage.statements.values import count, needed, text, wrong

_ENDPOINT = "/v1/organizations/usage_report/messages"


def read(content: bytes) -> Statement:
    """Return what a report of messages says. Raises Malformed and Invalid (`contract`)."""
    found = read_buckets(content, starts="starting_at", ends="ending_at", endpoint=_ENDPOINT)
    return statement(_lines(found), whole_days=found.whole_days, partial_days=found.partial_days, notes=found.notes)


def _lines(found: Buckets) -> Iterator[Line]:
    for bucket in found.buckets:
        for where, result in bucket.results:
            if "amount" in result:
                raise Invalid(f"{where} is an amount of money: this is a cost report.", [("format", "a cost report")])
            written = result.get("cache_creation")
            if not isinstance(written, dict):
                wrong(where, "cache_creation is missing")
            tools = result.get("server_tool_use")
            cache_read = needed(result, "cache_read_input_tokens", where)
            cache_write = sum(
                needed(written, name, where) for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
            )
            yield Line(
                day=bucket.day,
                provider="anthropic",
                model=text(result, "model", 193),
                key=text(result, "api_key_id", 128),
                project=text(result, "workspace_id", 128),
                service_tier=tidy_service_tier(text(result, "service_tier", 32)),
                input_tokens=needed(result, "uncached_input_tokens", where) + cache_read + cache_write,
                cache_read_tokens=cache_read,
                cache_write_tokens=cache_write,
                output_tokens=needed(result, "output_tokens", where),
                web_searches=count(tools, "web_search_requests", where, optional=True)
                if isinstance(tools, dict)
                else None,
            )
