"""What was used, and what it cost by the sender's account.

# Note [What is counted inside what]
OpenTelemetry wants `input_tokens` to hold cache reads and writes, and every capture here does as it says. Older
instrumentations of Anthropic passed that provider's own figures on, which stand beside each other. A span shows it by
its total, which is then the sum of all four, or by cached tokens that do not fit into its input. Anything else that
does not add up is kept as stated, and flagged.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from usage.formats import usage_objects
from usage.formats.contract import Refused
from usage.formats.items import UNDECODABLE
from usage.formats.numbers import MAX_COUNT, money
from usage.formats.otlp import words
from usage.formats.otlp.told import LONGEST_OBJECT, Told, mapping, text
from usage.formats.otlp.wire import Value

_UNKNOWN_COST = "reported-cost-unreadable"


class Hidden(msgspec.Struct, gc=False):
    """What is read of the hidden parameters that LiteLLM's first instrumentation sends along."""

    class Headers(msgspec.Struct, gc=False):
        fallbacks: int | None = msgspec.field(default=None, name="x-litellm-attempted-fallbacks")

    response_cost: Decimal | None = None
    additional_headers: Headers | None = None


_hidden = msgspec.json.Decoder(Hidden)


def counts_of(told: Told, flags: list[str]) -> usage_objects.Usage:
    counts = _usage_object(told, flags)
    counts.input_tokens = _count(told, words.INPUT) or counts.input_tokens
    counts.output_tokens = _count(told, words.OUTPUT) or counts.output_tokens
    counts.cache_read_input_tokens = _count(told, words.CACHE_READ) or counts.cache_read_input_tokens
    written, write_5m, write_1h = (
        _count(told, meaning) for meaning in (words.CACHE_WRITE, words.CACHE_WRITE_5M, words.CACHE_WRITE_1H)
    )
    if written or write_5m or write_1h:
        # What is not told apart is of five minutes, every provider's default.
        counts.cache_write_5m_input_tokens = max(write_5m or 0, (written or 0) - (write_1h or 0))
        counts.cache_write_1h_input_tokens = write_1h
    reasoning = _count(told, words.REASONING)
    if reasoning is not None:
        counts.reasoning_tokens = reasoning
    counts.audio_input_tokens = _count(told, words.AUDIO_INPUT) or counts.audio_input_tokens
    counts.audio_output_tokens = _count(told, words.AUDIO_OUTPUT) or counts.audio_output_tokens
    counts.image_input_tokens = _count(told, words.IMAGE_INPUT) or counts.image_input_tokens
    counts.image_output_tokens = _count(told, words.IMAGE_OUTPUT) or counts.image_output_tokens
    return counts


def _usage_object(told: Told, flags: list[str]) -> usage_objects.Usage:
    """Return what LiteLLM's first instrumentation tells of the parts: only its copy of the answer's usage has them."""
    given = mapping(told.get(words.USAGE_OBJECT))
    if given:
        try:
            return usage_objects.openai_chat(given)
        except Refused:
            flags.append("usage-object-unreadable")
    return usage_objects.Usage()


def make_inclusive(counts: usage_objects.Usage, told: Told) -> None:
    """Bring figures that stand beside each other into the input. See Note [What is counted inside what]."""
    read = counts.cache_read_input_tokens or 0
    written = (counts.cache_write_5m_input_tokens or 0) + (counts.cache_write_1h_input_tokens or 0)
    if not (read or written):
        return
    given = counts.input_tokens or 0
    beside = given + read + written
    total = _count(told, words.TOTAL)
    anthropic = "anthropic" in text(told, words.PROVIDER).lower() or "claude" in text(told, words.SERVED).lower()
    if total == beside + (counts.output_tokens or 0):
        counts.input_tokens = beside
    elif given < read + written and anthropic:
        # LiteLLM up to 1.74 counts reads inside and writes beside.
        counts.input_tokens = given + written if words.USAGE_OBJECT in told and given >= read else beside


def _count(told: Told, meaning: str) -> int | None:
    """Return a count, None where none is given.

    Raises:
        Refused: it is none.
    """
    value = told.get(meaning)
    if value is None:
        return None
    count = _whole(value)
    if count is None or not 0 <= count <= MAX_COUNT:
        raise Refused(f"{words.NAMES[meaning][0]}: not a whole number from 0 to 10**10")
    return count


def _whole(value: Value) -> int | None:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():  # JavaScript's and PHP's whole numbers
        return int(value)
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def cost_of(given: Value | Decimal | None, flags: list[str]) -> Decimal | None:
    if given is None or given == "":
        return None
    try:
        # Of a binary float its shortest digits are meant, never its bits.
        amount = given if isinstance(given, Decimal) else Decimal(str(given)[:64])
        return money("cost", amount)
    except (Refused, InvalidOperation, ValueError, OverflowError):
        flags.append(_UNKNOWN_COST)
        return None


def hidden_params(told: Told) -> Hidden:
    given = told.get(words.HIDDEN)
    if isinstance(given, str) and len(given) <= LONGEST_OBJECT:
        try:
            return _hidden.decode(given)
        except UNDECODABLE:
            pass
    return Hidden()


def fallbacks_of(told: Told, hidden: Hidden) -> int:
    index = told.get(words.FALLBACK)
    if index is None and hidden.additional_headers:
        index = hidden.additional_headers.fallbacks
    return small(index, 1000)


def small(value: Value | None, most: int) -> int:
    number = _whole(value) if value is not None else None
    return min(max(number or 0, 0), most)
