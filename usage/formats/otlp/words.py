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
from functools import lru_cache
from typing import Final

# --- what kind of span it is ---

OPERATION: Final = ("gen_ai.operation.name", "llm.request.type")
AI_OPERATION: Final = "ai.operationId"
OPENINFERENCE_KIND: Final = "openinference.span.kind"
TRACELOOP_KIND: Final = "traceloop.span.kind"
OPENCLAW_UNIT: Final = "openclaw.model_call.observation_unit"
ERROR_TYPE: Final = ("error.type",)
CACHE_HIT: Final = ("litellm.cache_hit", "gen_ai.cache.hit", "gen_ai.response.cache_hit", "cached")

# --- what was used ---

INPUT: Final = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.inputTokens",
    "ai.usage.promptTokens", "ai.usage.tokens", "llm.usage.prompt_tokens",
)  # fmt: skip
OUTPUT: Final = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
    "ai.usage.outputTokens", "ai.usage.completionTokens", "llm.usage.completion_tokens",
)  # fmt: skip
TOTAL: Final = (
    "gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens",
)  # fmt: skip
CACHE_READ: Final = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached", "llm.token_count.prompt_details.cache_read",
    "ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens",
    "gen_ai.usage.prompt_token_details.cached_read_tokens", "gen_ai.usage.input_token_details.cached_read_tokens",
)  # fmt: skip
CACHE_WRITE: Final = (
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.input_tokens.cache_write", "gen_ai.usage.input_tokens.cache_creation",
    "llm.token_count.prompt_details.cache_write", "ai.usage.inputTokenDetails.cacheWriteTokens",
    "gen_ai.usage.prompt_token_details.cached_write_tokens", "gen_ai.usage.input_token_details.cached_write_tokens",
)  # fmt: skip
CACHE_WRITE_5M: Final = (
    "anthropic.usage.cache_creation.ephemeral_5m_input_tokens", "gen_ai.usage.input_tokens.cache_write_5m",
    "gen_ai.usage.prompt_token_details.cached_write_tokens_5m",
    "gen_ai.usage.input_token_details.cached_write_tokens_5m",
)  # fmt: skip
CACHE_WRITE_1H: Final = (
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens", "gen_ai.usage.input_tokens.cache_write_1h",
    "gen_ai.usage.prompt_token_details.cached_write_tokens_1h",
    "gen_ai.usage.input_token_details.cached_write_tokens_1h",
)  # fmt: skip
REASONING: Final = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.output_tokens.reasoning", "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning", "ai.usage.outputTokenDetails.reasoningTokens",
    "ai.usage.reasoningTokens", "gen_ai.usage.completion_token_details.reasoning_tokens",
    "openclaw.model_call.usage.reasoning_output_tokens",
)  # fmt: skip
AUDIO_INPUT: Final = (
    "llm.token_count.prompt_details.audio", "gen_ai.usage.prompt_token_details.audio_tokens",
    "gen_ai.usage.input_token_details.audio_tokens",
)  # fmt: skip
AUDIO_OUTPUT: Final = (
    "llm.token_count.completion_details.audio", "gen_ai.usage.completion_token_details.audio_tokens",
    "gen_ai.usage.output_token_details.audio_tokens",
)  # fmt: skip
IMAGE_INPUT: Final = (
    "gen_ai.usage.prompt_token_details.image_tokens", "gen_ai.usage.input_token_details.image_tokens",
)  # fmt: skip
IMAGE_OUTPUT: Final = (
    "gen_ai.usage.completion_token_details.image_tokens", "gen_ai.usage.output_token_details.image_tokens",
)  # fmt: skip
COST: Final = (
    "gen_ai.usage.total_cost", "gen_ai.usage.cost", "litellm.cost.total", "gen_ai.cost.total_cost", "llm.cost.total",
)  # fmt: skip
SERVICE_TIER: Final = (
    "gen_ai.response.service_tier", "openai.response.service_tier", "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
)  # fmt: skip

# --- what served it ---

PROVIDER: Final = (
    "gen_ai.provider.name", "gen_ai.system", "gen_ai.model.provider", "ai.model.provider", "llm.provider",
    "openclaw.provider", "llm.system",
)  # fmt: skip
ASKED: Final = ("gen_ai.request.model", "ai.model.id", "llm.request.model", "openclaw.model")
REQUESTED: Final = ("litellm.model_group", "bifrost.alias", *ASKED)  # a group or an alias is no model that could serve
SERVED: Final = (
    "litellm.provider.model", "gen_ai.response.model", "ai.response.model", "llm.response.model", "llm.model_name",
)  # fmt: skip
INVOCATION: Final = "llm.invocation_parameters"  # OpenInference: JSON, in which the model was asked for
RESPONSE: Final = ("gen_ai.response.id", "ai.response.id", "llm.response.id")
CALL: Final = ("litellm.call_id", "bifrost.request.id")  # the gateway's own name for all attempts of one call

# --- who asked, and why; looked for on the span, on what it lies in, and on the resource ---

USE_CASE: Final = (
    "tollkeeper.use_case", "use_case", "litellm.metadata.use_case", "trace.metadata.use_case",
    "ai.telemetry.metadata.use_case", "metadata.use_case",
)  # fmt: skip
FUNCTION: Final = ("ai.telemetry.functionId", "gen_ai.agent.name")  # what stands for a use case where nobody names one
TEAM: Final = (
    "tollkeeper.team", "litellm.team.id", "metadata.user_api_key_team_id", "litellm.metadata.user_api_key_team_id",
    "bifrost.team.id", "gen_ai.team_id", "ai.telemetry.metadata.team", "trace.metadata.team", "team",
    "litellm.team.alias", "metadata.user_api_key_team_alias", "bifrost.team.name", "gen_ai.team_name",
)  # fmt: skip
USER: Final = (
    "user.id", "enduser.id", "ai.telemetry.metadata.userId", "metadata.user_api_key_user_id",
    "litellm.metadata.user_api_key_user_id", "bifrost.user.id", "gen_ai.user", "llm.user", "gen_ai.request.user",
    "metadata.user_api_key_end_user_id", "litellm.metadata.user_api_key_end_user_id",
)  # fmt: skip
SESSION: Final = ("session.id", "gen_ai.conversation.id")
KEY_ALIAS: Final = (
    "metadata.user_api_key_alias", "litellm.metadata.user_api_key_alias", "bifrost.virtual_key.name",
    "gen_ai.virtual_key_name", "bifrost.virtual_key.id", "gen_ai.virtual_key_id",
    "trace.metadata.openrouter.api_key_name",
)  # fmt: skip
RULE: Final = (
    "tollkeeper.rule_id", "tollkeeper_rule", "litellm.metadata.tollkeeper_rule", "trace.metadata.tollkeeper_rule",
    "ai.telemetry.metadata.tollkeeper_rule", "bifrost.routing_rule.id", "gen_ai.routing_rule_id", "rule_id",
)  # fmt: skip
RULES_VERSION: Final = ("tollkeeper.rules_version",)
FALLBACK: Final = ("tollkeeper.fallback_index", "bifrost.fallback_index", "gen_ai.fallback_index")

# LiteLLM's first instrumentation puts whole objects into text: Python's, and in the last one JSON's.
REQUESTER: Final = "metadata.requester_metadata"
KEY_METADATA: Final = "metadata.user_api_key_auth_metadata"
USAGE_OBJECT: Final = "metadata.usage_object"
HIDDEN: Final = "hidden_params"

_READ: Final = frozenset(
    key
    for keys in (
        OPERATION, ERROR_TYPE, CACHE_HIT, INPUT, OUTPUT, TOTAL, CACHE_READ, CACHE_WRITE, CACHE_WRITE_5M,
        CACHE_WRITE_1H, REASONING, AUDIO_INPUT, AUDIO_OUTPUT, IMAGE_INPUT, IMAGE_OUTPUT, COST, SERVICE_TIER, PROVIDER,
        REQUESTED, SERVED, RESPONSE, CALL, USE_CASE, FUNCTION, TEAM, USER, SESSION, KEY_ALIAS, RULE, RULES_VERSION,
        FALLBACK,
    )
    for key in keys
) | {
    AI_OPERATION, OPENINFERENCE_KIND, TRACELOOP_KIND, OPENCLAW_UNIT, INVOCATION, REQUESTER, KEY_METADATA,
    USAGE_OBJECT, HIDDEN, "service.name",
}  # fmt: skip

# --- what becomes tags ---

_LONGEST: Final = 128
_METADATA: Final = ("trace.metadata.", "ai.telemetry.metadata.")
# Not a caller's metadata but OpenRouter's own, of which one is a record of all attempts.
_NO_TAG: Final = ("openrouter.", "provider_responses")
# Whoever puts such things into metadata did not mean to show them to finance.
_CONTENT: Final = re.compile(
    r"prompt|completion|message|content|input|output|text|header|auth|cookie|token|secret|passw|api.?key|mail", re.I
)


def is_read(key: str) -> bool:
    """Say whether an attribute is looked at."""
    return len(key) <= _LONGEST and _is_read(key)


@lru_cache(maxsize=4096)  # the usual ones are few, and asked after for each span
def _is_read(key: str) -> bool:
    return key in _READ or tag_name(key) != ""


def tag_name(key: str) -> str:
    """Return what tag an attribute of a caller's own becomes; empty for all others.

    Without any dot a name can be a caller's metadata only at Cloudflare, which is for who knows the span to say.
    """
    if key in _READ:
        return ""
    for prefix in _METADATA:
        if key.startswith(prefix):
            name = key[len(prefix) :]
            break
    else:
        name = key if "." not in key else ""
    if not name or len(name) > 64 or name.startswith(_NO_TAG) or _CONTENT.search(name):
        return ""
    return name
