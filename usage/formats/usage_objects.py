"""Providers' own `usage` objects, told apart by their keys and read into one shape.

| shape | told by | input includes cached? |
| --- | --- | --- |
| OpenAI chat, and who copies it | `prompt_tokens`, `completion_tokens` | yes |
| Ollama | `prompt_eval_count`, `eval_count` | yes |
| Bedrock Converse | `cacheReadInputTokens`, `cacheWriteInputTokens` | no: beside |
| Vercel AI SDK | `inputTokens`, `outputTokens` (`promptTokens`, `completionTokens` in version 4) | yes |
| LangChain | `input_token_details`, `output_token_details` | yes |
| Anthropic | `cache_read_input_tokens`, `cache_creation_input_tokens`, `cache_creation` | no: beside |
| OpenAI Responses | `input_tokens`, `output_tokens` | yes |

The order of the table is the order of the tests. `{"input_tokens", "output_tokens"}` alone is what three of
them send for a call without a cache, and means the same in each.
"""

from __future__ import annotations

from typing import Any

import msgspec

from usage.formats.contract import Refused
from usage.formats.numbers import MAX_COUNT


class Usage(msgspec.Struct, kw_only=True, gc=False):
    """Counts as `numbers.Counts` wants them: wholes that include their parts, None for "not given"."""

    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_5m_input_tokens: int | None = None
    cache_write_1h_input_tokens: int | None = None
    audio_input_tokens: int | None = None
    image_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_output_tokens: int | None = None
    web_searches: int | None = None
    service_tier: str | None = None


def read(usage: dict[str, Any]) -> Usage:
    """Read a usage object of any provider.

    Raises:
        Refused: no provider's shape, or a count that is none.
    """
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return openai_chat(usage)
    if "prompt_eval_count" in usage or "eval_count" in usage:
        return _ollama(usage)
    if "cacheReadInputTokens" in usage or "cacheWriteInputTokens" in usage:
        return _bedrock(usage)
    if not usage.keys().isdisjoint(("inputTokens", "outputTokens", "promptTokens", "completionTokens")):
        return _vercel(usage)
    if "input_token_details" in usage or "output_token_details" in usage:
        return _langchain(usage)
    if not usage.keys().isdisjoint(("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation")):
        return _anthropic(usage)
    if "input_tokens" in usage or "output_tokens" in usage:
        return _openai_responses(usage)
    raise Refused("usage: not the usage object of a provider known here")


def openai_chat(usage: dict[str, Any]) -> Usage:
    """Read OpenAI's chat shape with what others add to it (DeepSeek, Together, LiteLLM's view of Anthropic).

    Raises:
        Refused: a count that is none.
    """
    given = _details(usage, "prompt_tokens_details")
    made = _details(usage, "completion_tokens_details")
    written = _first(
        _count(usage, "cache_creation_input_tokens"),
        _count(given, "cache_write_tokens"),
        _count(given, "cache_creation_tokens"),
    )
    write_5m, write_1h = _writes(written, _details(given, "cache_creation_token_details"))
    return Usage(
        input_tokens=_count(usage, "prompt_tokens"),
        cache_read_input_tokens=_first(
            _count(usage, "cache_read_input_tokens"),
            _count(given, "cached_tokens"),
            _count(usage, "cached_tokens"),
            _count(usage, "prompt_cache_hit_tokens"),
        ),
        cache_write_5m_input_tokens=write_5m,
        cache_write_1h_input_tokens=write_1h,
        audio_input_tokens=_count(given, "audio_tokens"),
        image_input_tokens=_count(given, "image_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        reasoning_tokens=_count(made, "reasoning_tokens"),
        audio_output_tokens=_count(made, "audio_tokens"),
        image_output_tokens=_count(made, "image_tokens"),
        web_searches=_first(
            _count(given, "web_search_requests"),
            _count(_details(usage, "server_tool_use"), "web_search_requests"),
        ),
        service_tier=_text(usage, "service_tier"),
    )


def _openai_responses(usage: dict[str, Any]) -> Usage:
    given = _details(usage, "input_tokens_details")
    made = _details(usage, "output_tokens_details")
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        cache_read_input_tokens=_count(given, "cached_tokens"),
        cache_write_5m_input_tokens=_count(given, "cache_write_tokens"),
        audio_input_tokens=_count(given, "audio_tokens"),
        image_input_tokens=_count(given, "image_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_count(made, "reasoning_tokens"),
        audio_output_tokens=_count(made, "audio_tokens"),
        image_output_tokens=_count(made, "image_tokens"),
        service_tier=_text(usage, "service_tier"),
    )


def _anthropic(usage: dict[str, Any]) -> Usage:
    made = _details(usage, "output_tokens_details")
    read_tokens = _count(usage, "cache_read_input_tokens")
    write_5m, write_1h = _writes(_count(usage, "cache_creation_input_tokens"), _details(usage, "cache_creation"))
    return Usage(
        input_tokens=_sum(_count(usage, "input_tokens"), read_tokens, write_5m, write_1h),
        cache_read_input_tokens=read_tokens,
        cache_write_5m_input_tokens=write_5m,
        cache_write_1h_input_tokens=write_1h,
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_first(_count(made, "reasoning_tokens"), _count(made, "thinking_tokens")),
        web_searches=_count(_details(usage, "server_tool_use"), "web_search_requests"),
        service_tier=_text(usage, "service_tier"),
    )


def _bedrock(usage: dict[str, Any]) -> Usage:
    read_tokens = _count(usage, "cacheReadInputTokens")
    written = _count(usage, "cacheWriteInputTokens")
    return Usage(
        input_tokens=_sum(_count(usage, "inputTokens"), read_tokens, written),
        cache_read_input_tokens=read_tokens,
        cache_write_5m_input_tokens=written,
        output_tokens=_count(usage, "outputTokens"),
    )


def _ollama(usage: dict[str, Any]) -> Usage:
    return Usage(
        input_tokens=_count(usage, "prompt_eval_count"),
        cache_read_input_tokens=_count(usage, "prompt_eval_cached_count"),
        output_tokens=_count(usage, "eval_count"),
    )


def _vercel(usage: dict[str, Any]) -> Usage:
    given = _details(usage, "inputTokenDetails")
    made = _details(usage, "outputTokenDetails")
    write_5m, write_1h = _writes(
        _count(given, "cacheWriteTokens"),
        # The SDK has one figure for cache writes; what the provider said is beside it, if it split them.
        _details(_details(usage, "raw"), "cache_creation"),
    )
    return Usage(
        input_tokens=_first(_count(usage, "inputTokens"), _count(usage, "promptTokens")),
        cache_read_input_tokens=_first(_count(given, "cacheReadTokens"), _count(usage, "cachedInputTokens")),
        cache_write_5m_input_tokens=write_5m,
        cache_write_1h_input_tokens=write_1h,
        output_tokens=_first(_count(usage, "outputTokens"), _count(usage, "completionTokens")),
        reasoning_tokens=_first(_count(made, "reasoningTokens"), _count(usage, "reasoningTokens")),
    )


def _langchain(usage: dict[str, Any]) -> Usage:
    given = _details(usage, "input_token_details")
    made = _details(usage, "output_token_details")
    # langchain-openai moves the details of other tiers to keys of their own: `priority`,
    # `priority_cache_read`.
    tier = next((tier for tier in ("priority", "flex") if tier in given or f"{tier}_cache_read" in given), "")
    prefix = tier and tier + "_"
    write_5m, write_1h = _writes(_count(given, "cache_creation"), given)
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        cache_read_input_tokens=_first(_count(given, prefix + "cache_read"), _count(given, "cache_read")),
        cache_write_5m_input_tokens=write_5m,
        cache_write_1h_input_tokens=write_1h,
        audio_input_tokens=_count(given, "audio"),
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_first(_count(made, prefix + "reasoning"), _count(made, "reasoning")),
        audio_output_tokens=_count(made, "audio"),
        service_tier=tier or None,
    )


def _writes(total: int | None, split: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return cache writes of five minutes and of an hour.

    langchain-anthropic says 0 written in all beside 2048 written for five minutes, so the larger of the two
    figures is the total; what of it is not told apart is of five minutes, every provider's default.
    """
    write_5m = _count(split, "ephemeral_5m_input_tokens")
    write_1h = _count(split, "ephemeral_1h_input_tokens")
    if write_5m is None and write_1h is None:
        return total, None
    return max(write_5m or 0, (total or 0) - (write_1h or 0)), write_1h


def _details(usage: dict[str, Any], key: str) -> dict[str, Any]:
    value = usage.get(key)
    return value if isinstance(value, dict) else {}


def _count(usage: dict[str, Any], key: str) -> int | None:
    value = usage.get(key)
    if value is None:
        return None
    if type(value) is float and value.is_integer():  # JavaScript's and PHP's whole numbers
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise Refused(f"usage.{key}: not a whole number from 0 to 10**10")
    return value


def _text(usage: dict[str, Any], key: str) -> str | None:
    value = usage.get(key)
    return value if isinstance(value, str) else None


def _first(*counts: int | None) -> int | None:
    """Return the first that says something; a 0 says less than a figure, as some report both."""
    zero = None
    for count in counts:
        if count:
            return count
        if count == 0:
            zero = 0
    return zero


def _sum(*counts: int | None) -> int | None:
    given = [count for count in counts if count is not None]
    return sum(given) if given else None
