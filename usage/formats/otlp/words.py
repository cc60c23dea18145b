"""The attributes that are read, by what they mean. Senders call one thing by many names; of several the first holds.

| who | how it names things |
| --- | --- |
| OpenTelemetry GenAI, old and new; Anthropic's SDK | `gen_ai.usage.input_tokens`, `gen_ai.provider.name` |
| OpenLLMetry | `gen_ai.usage.prompt_tokens`, `llm.usage.total_tokens` |
| OpenInference | `llm.token_count.prompt`, `llm.model_name` |
| LiteLLM | `metadata.user_api_key_*` (its first instrumentation), `litellm.*` (its second) |
| Vercel AI SDK | `ai.usage.inputTokens`, `ai.telemetry.metadata.*` (version 6); GenAI names (version 7) |
| Bifrost | `bifrost.*`, and `gen_ai.routing_rule_id` before 1.6 |
| Cloudflare AI Gateway | `gen_ai.model.provider`, and a caller's metadata without any prefix |
| OpenRouter Broadcast | `gen_ai.usage.input_tokens.cached`, `trace.metadata.*` |
| OpenClaw | GenAI names, `openclaw.*` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

# What attributes mean. Of those that mean one thing the first in the table below holds.
OPERATION, AI_OPERATION, OPENINFERENCE_KIND, TRACELOOP_KIND = "operation", "ai", "openinference", "traceloop"
OPENCLAW_UNIT, ERROR_TYPE, CACHE_HIT, SERVICE = "openclaw", "error", "cache hit", "service"
INPUT, OUTPUT, TOTAL, REASONING = "input", "output", "total", "reasoning"
CACHE_READ, CACHE_WRITE, CACHE_WRITE_5M, CACHE_WRITE_1H = "cache read", "cache write", "5m", "1h"
AUDIO_INPUT, AUDIO_OUTPUT, IMAGE_INPUT, IMAGE_OUTPUT = "audio in", "audio out", "image in", "image out"
COST, SERVICE_TIER = "cost", "tier"
PROVIDER, CLOUDFLARE_PROVIDER, GROUP, ASKED, INVOCATION = "provider", "cloudflare", "group", "asked", "invocation"
LITELLM_MODEL, SERVED, RESPONSE, CALL = "litellm", "served", "response", "call"
USE_CASE, FUNCTION, TEAM, USER, SESSION, KEY_ALIAS = "use case", "function", "team", "user", "session", "key"
RULE, RULES_VERSION, FALLBACK = "rule", "rules version", "fallback"
REQUESTER, KEY_METADATA, USAGE_OBJECT, HIDDEN = "requester", "key metadata", "usage object", "hidden"

# Where a 0 says less than a figure: some report both their old and their new names, and one of them as 0.
COUNTS: Final = frozenset((
    INPUT, OUTPUT, TOTAL, REASONING, CACHE_READ, CACHE_WRITE, CACHE_WRITE_5M, CACHE_WRITE_1H, AUDIO_INPUT,
    AUDIO_OUTPUT, IMAGE_INPUT, IMAGE_OUTPUT,
))  # fmt: skip

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    # what kind of span it is
    OPERATION: ("gen_ai.operation.name", "llm.request.type"),
    AI_OPERATION: ("ai.operationId",),
    OPENINFERENCE_KIND: ("openinference.span.kind",),
    TRACELOOP_KIND: ("traceloop.span.kind",),
    OPENCLAW_UNIT: ("openclaw.model_call.observation_unit",),
    ERROR_TYPE: ("error.type",),
    CACHE_HIT: ("litellm.cache_hit", "gen_ai.cache.hit", "gen_ai.response.cache_hit"),
    SERVICE: ("service.name",),
    # what was used
    INPUT: (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.inputTokens",
        "ai.usage.promptTokens", "ai.usage.tokens", "llm.usage.prompt_tokens",
    ),
    OUTPUT: (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "ai.usage.outputTokens", "ai.usage.completionTokens", "llm.usage.completion_tokens",
    ),
    TOTAL: ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens"),
    CACHE_READ: (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached", "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens",
        "gen_ai.usage.prompt_token_details.cached_read_tokens",
        "gen_ai.usage.input_token_details.cached_read_tokens",
    ),
    CACHE_WRITE: (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write", "gen_ai.usage.input_tokens.cache_creation",
        "llm.token_count.prompt_details.cache_write", "ai.usage.inputTokenDetails.cacheWriteTokens",
        "gen_ai.usage.prompt_token_details.cached_write_tokens",
        "gen_ai.usage.input_token_details.cached_write_tokens",
    ),
    CACHE_WRITE_5M: (
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens", "gen_ai.usage.input_tokens.cache_write_5m",
        "gen_ai.usage.prompt_token_details.cached_write_tokens_5m",
        "gen_ai.usage.input_token_details.cached_write_tokens_5m",
    ),
    CACHE_WRITE_1H: (
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens", "gen_ai.usage.input_tokens.cache_write_1h",
        "gen_ai.usage.prompt_token_details.cached_write_tokens_1h",
        "gen_ai.usage.input_token_details.cached_write_tokens_1h",
    ),
    REASONING: (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning",
        "ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens",
        "gen_ai.usage.completion_token_details.reasoning_tokens",
        "openclaw.model_call.usage.reasoning_output_tokens",
    ),
    AUDIO_INPUT: (
        "llm.token_count.prompt_details.audio", "gen_ai.usage.prompt_token_details.audio_tokens",
        "gen_ai.usage.input_token_details.audio_tokens",
    ),
    AUDIO_OUTPUT: (
        "llm.token_count.completion_details.audio", "gen_ai.usage.completion_token_details.audio_tokens",
        "gen_ai.usage.output_token_details.audio_tokens",
    ),
    IMAGE_INPUT: ("gen_ai.usage.prompt_token_details.image_tokens", "gen_ai.usage.input_token_details.image_tokens"),
    IMAGE_OUTPUT: (
        "gen_ai.usage.completion_token_details.image_tokens", "gen_ai.usage.output_token_details.image_tokens",
    ),
    COST: (
        "gen_ai.usage.total_cost", "gen_ai.usage.cost", "litellm.cost.total", "gen_ai.cost.total_cost",
        "llm.cost.total",
    ),
    SERVICE_TIER: (
        "gen_ai.response.service_tier", "openai.response.service_tier", "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
    ),
    # what served it: a group or an alias is no model that could
    PROVIDER: (
        "gen_ai.provider.name", "gen_ai.system", "ai.model.provider", "llm.provider", "openclaw.provider",
        "llm.system",
    ),
    CLOUDFLARE_PROVIDER: ("gen_ai.model.provider",),
    GROUP: ("litellm.model_group", "bifrost.alias"),
    ASKED: ("gen_ai.request.model", "ai.model.id", "llm.request.model", "openclaw.model"),
    INVOCATION: ("llm.invocation_parameters",),
    LITELLM_MODEL: ("litellm.provider.model",),
    SERVED: ("gen_ai.response.model", "ai.response.model", "llm.response.model", "llm.model_name"),
    RESPONSE: ("gen_ai.response.id", "ai.response.id", "llm.response.id"),
    CALL: ("litellm.call_id", "bifrost.request.id"),
    # who asked, and why: looked for on the span, on what it lies in, and on the resource
    USE_CASE: (
        "tollkeeper.use_case", "use_case", "litellm.metadata.use_case", "trace.metadata.use_case",
        "ai.telemetry.metadata.use_case", "metadata.use_case",
    ),
    FUNCTION: ("ai.telemetry.functionId", "gen_ai.agent.name"),
    TEAM: (
        "tollkeeper.team", "litellm.team.id", "metadata.user_api_key_team_id",
        "litellm.metadata.user_api_key_team_id", "bifrost.team.id", "gen_ai.team_id", "ai.telemetry.metadata.team",
        "trace.metadata.team", "team", "litellm.team.alias", "metadata.user_api_key_team_alias",
        "bifrost.team.name", "gen_ai.team_name",
    ),
    USER: (
        "user.id", "enduser.id", "ai.telemetry.metadata.userId", "metadata.user_api_key_user_id",
        "litellm.metadata.user_api_key_user_id", "bifrost.user.id", "gen_ai.user", "llm.user",
        "gen_ai.request.user", "metadata.user_api_key_end_user_id", "litellm.metadata.user_api_key_end_user_id",
    ),
    SESSION: ("session.id", "gen_ai.conversation.id"),
    KEY_ALIAS: (
        "metadata.user_api_key_alias", "litellm.metadata.user_api_key_alias", "bifrost.virtual_key.name",
        "gen_ai.virtual_key_name", "bifrost.virtual_key.id", "gen_ai.virtual_key_id",
        "trace.metadata.openrouter.api_key_name",
    ),
    RULE: (
        "tollkeeper.rule_id", "tollkeeper_rule", "litellm.metadata.tollkeeper_rule",
        "trace.metadata.tollkeeper_rule", "ai.telemetry.metadata.tollkeeper_rule", "bifrost.routing_rule.id",
        "gen_ai.routing_rule_id", "rule_id",
    ),
    RULES_VERSION: ("tollkeeper.rules_version",),
    FALLBACK: ("tollkeeper.fallback_index", "bifrost.fallback_index", "gen_ai.fallback_index"),
    # LiteLLM's first instrumentation puts whole objects into text: Python's, and in the last one JSON's
    REQUESTER: ("metadata.requester_metadata",),
    KEY_METADATA: ("metadata.user_api_key_auth_metadata",),
    USAGE_OBJECT: ("metadata.usage_object",),
    HIDDEN: ("hidden_params",),
}  # fmt: skip


class Place(NamedTuple):
    """What an attribute is: of a meaning, with its rank among those that mean the same, or a tag of a caller's own."""

    meaning: str
    rank: int
    tag: str
    bare: bool  # without a prefix, as only Cloudflare has tags


_PLACES: Final = {
    name: Place(meaning, rank, "", False) for meaning, names in NAMES.items() for rank, name in enumerate(names)
}
_LONGEST: Final = 128
_METADATA: Final = ("trace.metadata.", "ai.telemetry.metadata.")
# Not a caller's metadata but OpenRouter's own, of which one is a record of all attempts.
_NO_TAG: Final = ("openrouter.", "provider_responses")
# Whoever puts such things into metadata did not mean to show them to finance.
_CONTENT: Final = re.compile(
    r"prompt|completion|message|content|input|output|text|header|auth|cookie|token|secret|passw|api.?key|mail", re.I
)


def place_of(name: str) -> Place | None:
    """Say what an attribute is; None for what is not read."""
    return _place_of(name) if len(name) <= _LONGEST else None


@lru_cache(maxsize=4096)  # the usual ones are few, and asked after for each span
def _place_of(name: str) -> Place | None:
    known = _PLACES.get(name)
    if known is not None:
        return known
    bare = "." not in name
    tag = name if bare else next((name[len(prefix) :] for prefix in _METADATA if name.startswith(prefix)), "")
    if not tag or len(tag) > 64 or tag.startswith(_NO_TAG) or _CONTENT.search(tag):
        return None
    return Place("", 0, tag, bare)
