"""Providers' own `usage` objects, told apart by their keys and read into one shape.

| shape | told by | input includes cached? |
| --- | --- | --- |
| OpenAI chat, and who copies it | `prompt_tokens`, `completion_tokens` | yes |
| Ollama | `prompt_eval_count`, `eval_count` | yes |
| Gemini | `promptTokenCount`, `candidatesTokenCount` | yes; reasoning is beside output |
| Bedrock Converse | `cacheReadInputTokens`, `cacheWriteInputTokens` | no: beside |
| Vercel AI SDK | `inputTokens`, `outputTokens` (`promptTokens`, `completionTokens` in version 4) | yes |
| LangChain | `input_token_details`, `output_token_details` | yes |
| Anthropic | `cache_read_input_tokens`, `cache_creation_input_tokens`, `cache_creation` | no: beside |
| OpenAI Responses | `input_tokens`, `output_tokens` | yes |
| OpenClaw | `input`, `output`, `cacheRead`, `cacheWrite` | no: beside |
| Vercel's embeddings | `tokens` | |

The order of the table is the order of the tests. `{"input_tokens", "output_tokens"}` alone is what three of
them send for a call without a cache, and means the same in each.

A total that comes along is a check. Where it holds the reasoning a second time (xAI, and Gemini behind OpenAI's shape,
count it beside the output), the output is put right by it; where it says something else, the event is flagged.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from usage.formats.contract import Refused
from usage.formats.numbers import MAX_COUNT, money


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
    total_tokens: int | None = None  # as it was reported, of input and output
    cost_usd: Decimal | None = None

    @property
    def adds_up(self) -> bool:
        """Say whether input and output make up the total, where one was reported."""
        return not self.total_tokens or (self.input_tokens or 0) + (self.output_tokens or 0) == self.total_tokens


def read(usage: dict[str, Any]) -> Usage:
    """Read a usage object of any provider.

    Raises:
        Refused: no provider's shape, or a count that is none.
    """
    counts = _told_apart(usage)
    settle_reasoning(counts)
    return counts


def settle_reasoning(counts: Usage) -> None:
    """Put reasoning into the output where the total tells that it was counted beside it."""
    if counts.reasoning_tokens and not counts.adds_up:
        whole = (counts.output_tokens or 0) + counts.reasoning_tokens
        if (counts.input_tokens or 0) + whole == counts.total_tokens:
            counts.output_tokens = whole


def _told_apart(usage: dict[str, Any]) -> Usage:
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return openai_chat(usage)
    if "prompt_eval_count" in usage or "eval_count" in usage:
        return _ollama(usage)
    if "promptTokenCount" in usage or "candidatesTokenCount" in usage:
        return _gemini(usage)
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
    if not usage.keys().isdisjoint(("input", "output", "cacheRead", "cacheWrite")):
        return _openclaw(usage)
    if "tokens" in usage:
        return Usage(input_tokens=_count(usage, "tokens"))
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
        total_tokens=_count(usage, "total_tokens"),
        # OpenRouter's; of a key of one's own it is only the fee, and the provider's bill is elsewhere.
        cost_usd=None if usage.get("is_byok") else _amount(usage, "cost"),
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
        total_tokens=_count(usage, "total_tokens"),
        cost_usd=None if usage.get("is_byok") else _amount(usage, "cost"),
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


def _gemini(usage: dict[str, Any]) -> Usage:
    made = _by_modality(usage, "candidatesTokensDetails")
    reasoning = _count(usage, "thoughtsTokenCount")
    # Images cost what text costs on the way in; audio does not. What of it was cached is in both lists.
    heard = _by_modality(usage, "promptTokensDetails").get("AUDIO")
    cached = _by_modality(usage, "cacheTokensDetails").get("AUDIO")
    return Usage(
        input_tokens=_sum(_count(usage, "promptTokenCount"), _count(usage, "toolUsePromptTokenCount")),
        cache_read_input_tokens=_count(usage, "cachedContentTokenCount"),
        audio_input_tokens=None if heard is None else max(heard - (cached or 0), 0),
        output_tokens=_sum(_count(usage, "candidatesTokenCount"), reasoning),
        reasoning_tokens=reasoning,
        audio_output_tokens=made.get("AUDIO"),
        image_output_tokens=made.get("IMAGE"),
        total_tokens=_count(usage, "totalTokenCount"),
    )


def _openclaw(usage: dict[str, Any]) -> Usage:
    read_tokens, written = _count(usage, "cacheRead"), _count(usage, "cacheWrite")
    return Usage(
        input_tokens=_sum(_count(usage, "input"), read_tokens, written),
        cache_read_input_tokens=read_tokens,
        cache_write_5m_input_tokens=written,
        output_tokens=_count(usage, "output"),
        reasoning_tokens=_count(usage, "reasoningTokens"),
        total_tokens=_first(_count(usage, "totalTokens"), _count(usage, "total")),
        cost_usd=_amount(_details(usage, "cost"), "total"),
    )


def _vercel(usage: dict[str, Any]) -> Usage:
    if isinstance(usage.get("inputTokens"), dict) or isinstance(usage.get("outputTokens"), dict):
        usage = _flat(usage)
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
        total_tokens=_count(usage, "totalTokens"),
    )


def _flat(usage: dict[str, Any]) -> dict[str, Any]:
    """Return what a middleware of the SDK sees (of the specification's version 3 on) as its caller would see it."""
    given, made = _details(usage, "inputTokens"), _details(usage, "outputTokens")
    return {
        "inputTokens": given.get("total"),
        "inputTokenDetails": {"cacheReadTokens": given.get("cacheRead"), "cacheWriteTokens": given.get("cacheWrite")},
        "outputTokens": made.get("total"),
        "outputTokenDetails": {"reasoningTokens": made.get("reasoning")},
        "raw": usage.get("raw"),
    }


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
        total_tokens=_count(usage, "total_tokens"),
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


def _amount(usage: dict[str, Any], key: str) -> Decimal | None:
    """Return a cost in USD, None where none is told: gateways say 0 where they have no price."""
    value = usage.get(key)
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        amount = Decimal(repr(value) if isinstance(value, float) else value)
    except ArithmeticError:
        raise Refused(f"usage.{key}: not an amount") from None
    return money(f"usage.{key}", amount) or None


def _by_modality(usage: dict[str, Any], key: str) -> dict[str, int | None]:
    """Return Gemini's list of counts by kind of content as a mapping."""
    listed = usage.get(key)
    parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    return {str(part.get("modality")): _count(part, "tokenCount") for part in parts}


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
