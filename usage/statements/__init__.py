"""Providers' statements: exports of sums by day, read into one shape. Plain Python; see `contract`.

`FORMATS` is the registry: a new export is a module with one function and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from usage.statements import anthropic_costs, anthropic_usage, openai_costs, openai_usage, openrouter
from usage.statements.contract import Line, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An export that can be read: whose it is, what it tells, where one gets it."""

    title: str
    provider: str
    read: Callable[[bytes], Statement]
    endpoint: str  # of the provider's API, with what to group by
    usage: bool = False  # whether it counts tokens
    costs: bool = False  # whether it has money
    also: str = ""  # another way to get it
    key: str = ""  # which of the provider's keys may ask
    reseller: bool = False  # serves other providers' models, which gateways may report under their names


FORMATS: Mapping[str, Format] = {
    "openai-usage": Format(
        title="OpenAI usage (completions)",
        provider="openai",
        read=openai_usage.read,
        usage=True,
        endpoint="GET https://api.openai.com/v1/organization/usage/completions"
        "?start_time=…&bucket_width=1d&limit=31&group_by=model&group_by=project_id&group_by=api_key_id&group_by=batch",
        key="an admin key of the organisation",
    ),
    "openai-embeddings": Format(
        title="OpenAI usage (embeddings)",
        provider="openai",
        read=openai_usage.read_embeddings,
        usage=True,
        endpoint="GET https://api.openai.com/v1/organization/usage/embeddings"
        "?start_time=…&bucket_width=1d&limit=31&group_by=model&group_by=project_id&group_by=api_key_id",
        key="an admin key of the organisation",
    ),
    "openai-costs": Format(
        title="OpenAI costs",
        provider="openai",
        read=openai_costs.read,
        costs=True,
        endpoint="GET https://api.openai.com/v1/organization/costs"
        "?start_time=…&bucket_width=1d&limit=31&group_by=line_item&group_by=project_id",
        key="an admin key of the organisation",
    ),
    "anthropic-usage": Format(
        title="Anthropic usage report",
        provider="anthropic",
        read=anthropic_usage.read,
        usage=True,
        endpoint="GET https://api.anthropic.com/v1/organizations/usage_report/messages"
        "?starting_at=…&bucket_width=1d&limit=31&group_by[]=model&group_by[]=workspace_id&group_by[]=api_key_id"
        "&group_by[]=service_tier",
        key="an admin key (sk-ant-admin…)",
    ),
    "anthropic-costs": Format(
        title="Anthropic cost report",
        provider="anthropic",
        read=anthropic_costs.read,
        costs=True,
        endpoint="GET https://api.anthropic.com/v1/organizations/cost_report"
        "?starting_at=…&limit=31&group_by[]=description&group_by[]=workspace_id",
        key="an admin key (sk-ant-admin…)",
    ),
    "openrouter": Format(
        title="OpenRouter activity",
        provider="openrouter",
        read=openrouter.read,
        usage=True,
        costs=True,
        endpoint="GET https://openrouter.ai/api/v1/activity",
        also="the CSV file of openrouter.ai/activity",
        key="a management key",
        reseller=True,
    ),
}

__all__ = ["FORMATS", "Format", "Line", "Statement"]
