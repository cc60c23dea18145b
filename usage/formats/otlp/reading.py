"""From spans to events: which spans are calls, what served them, who asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from catalog.rules.names import tidy_service_tier
from usage.events import Event, Span
from usage.formats import tags
from usage.formats.contract import FormatSettings, Refused, UseCasePlace
from usage.formats.items import UNDECODABLE
from usage.formats.labels import MAX_ID, MAX_KEY, MAX_KEYS, MAX_LABEL, MAX_VALUE, tidy, tidy_name, use_case
from usage.formats.numbers import DO_NOT_ADD_UP, MAX_INT4, disjoint
from usage.formats.otlp import words
from usage.formats.otlp.figures import cost_of, counts_of, fallbacks_of, hidden_params, make_inclusive, small
from usage.formats.otlp.told import LONGEST_OBJECT, Told, found, mapping, shown, text
from usage.formats.otlp.wire import INTERNAL, SERVER, Seen

_CALLS = frozenset((
    "chat", "generate_content", "text_completion", "embeddings",
    # as LiteLLM and OpenLLMetry call them
    "completion", "acompletion", "atext_completion", "embedding", "aembedding", "responses", "aresponses",
    "anthropic_messages", "agenerate_content", "rerank", "arerank", "image_generation", "aimage_generation",
    "transcription", "atranscription", "speech", "aspeech",
))  # fmt: skip
_NO_CALLS = frozenset((
    "invoke_agent", "create_agent", "invoke_workflow", "execute_tool", "retrieval", "agent_step", "plan",
))  # fmt: skip
_AI_CALLS = (".doGenerate", ".doStream", ".doEmbed")
_OPENINFERENCE_CALLS = frozenset(("LLM", "EMBEDDING"))
# Turns of an agent, whose calls are reported beside them.
_SUMS = frozenset(("openclaw.model.usage",))

# Vercel's names of providers end with the API that was called.
_API = re.compile(r"\.(chat|responses|completions?|messages|embeddings?|generative-ai|image|speech|transcription)\Z")
_BLOCKED = re.compile(r"guardrail|content_?filter|content_?policy|budget_?exceeded|blocked", re.I)
_SDKS = ("com.anthropic.sdk", "com.openai.sdk")  # who made the call knows best what it was

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Where a span lies in its body: the spans above it, the nearest first, and those below it that are no calls."""

    above: Sequence[Seen]
    above_ids: list[str]
    below_ids: list[str]


class _Invocation(msgspec.Struct, gc=False):
    model: str | None = None
    model_name: str | None = None


_invocation = msgspec.json.Decoder(_Invocation)


def is_call(span: Seen) -> bool:
    """Say whether a span is one call of a model, or stands for one: never an agent, a tool or an application's span.

    Some that are will give way to others of the same call; see `usage.rules.traces`.
    """
    told = span.facts.told
    if not told or span.name in _SUMS:
        return False
    ai = told.get(words.AI_OPERATION)
    if ai is not None:
        return str(ai).endswith(_AI_CALLS)
    if words.OPENCLAW_UNIT in told or span.name == "openclaw.model.call":
        return True
    kind = told.get(words.OPENINFERENCE_KIND)
    if kind is not None:
        return str(kind).upper() in _OPENINFERENCE_CALLS
    if words.TRACELOOP_KIND in told:
        return False
    operation = told.get(words.OPERATION)
    if operation in _NO_CALLS:
        return False
    # A figure that cannot be read is for the reading to refuse.
    if told.get(words.INPUT, 0) not in (0, "0") or told.get(words.OUTPUT, 0) not in (0, "0"):
        return True
    failed = span.failed or words.ERROR_TYPE in told
    if operation in _CALLS:
        # Without usage a wrapper looks like a call; a stream that told no usage is a client's.
        client = span.kind not in (INTERNAL, SERVER) or span.name == "litellm_request"
        return client or (failed and span.kind != SERVER)
    return (
        failed
        and operation is None
        and span.kind not in (INTERNAL, SERVER)
        and words.ASKED in told
        and (words.PROVIDER in told or words.CLOUDFLARE_PROVIDER in told)
    )


def event_of(span: Seen, place: Place, latest: datetime, settings: FormatSettings) -> Event:
    """Read a span that is a call.

    Raises:
        Refused: it has no id, no time, no model, or a count that is none.
    """
    key = settings.user_key
    told = span.facts.told
    levels = (told, *(one.facts.told for one in place.above), span.resource.told)
    flags: list[str] = []

    if not span.trace or not span.span:
        raise Refused("traceId, spanId: not 16 and 8 bytes in hexadecimal")
    started_at, ended_at = _times(span, latest)
    hidden = hidden_params(told)

    counts = counts_of(told, flags)
    provider, model, requested = _models(span, key)
    make_inclusive(counts, told)
    uncached, output, fits = disjoint(counts)
    if not fits:
        flags.append(DO_NOT_ADD_UP)
    used = bool(counts.input_tokens or counts.output_tokens) or not fits
    status = _status(span, used)
    counted = status != "usage_missing"
    if not model and status not in ("error", "blocked"):
        raise Refused("gen_ai.request.model: required and missing, as is gen_ai.response.model")

    stated = told.get(words.COST)
    cost = cost_of(hidden.response_cost if stated is None else stated, flags)
    if not cost and status != "cache_hit" and (used or not counted):
        cost = None  # 0 is said where a gateway has no price, and where it saw no usage

    call = text(told, words.CALL)
    requester = mapping(told.get(words.REQUESTER))
    tagged = _tags(span, place, requester, key)
    team = tidy(found(levels, words.TEAM), MAX_LABEL, key)
    rule = found(levels[:-1], words.RULE)
    ruled = tags.read([f"tollkeeper_rule:{rule}"], key) if rule else tagged
    # A cached answer tells the id of the first; and LiteLLM tells its call's where the provider told none.
    response = text(told, words.RESPONSE)
    if status == "cache_hit" or response == call:
        response = ""
    seconds = (ended_at - started_at).total_seconds()

    return Event(
        # By span, not by answer: which of several spans of one answer counts is settled with their trace.
        event_id=hashlib.sha256("\0".join(("otlp", span.trace, span.span)).encode()).hexdigest(),
        occurred_at=ended_at,
        use_case=_use_case(levels, requester, tagged.use_case, team, settings),
        team=team,
        provider=provider,
        model=model,
        requested_model=requested,
        status=status,
        counted=counted,
        uncached_input_tokens=uncached,
        cache_read_tokens=counts.cache_read_input_tokens or 0,
        cache_write_5m_tokens=counts.cache_write_5m_input_tokens or 0,
        cache_write_1h_tokens=counts.cache_write_1h_input_tokens or 0,
        output_tokens=output,
        audio_input_tokens=counts.audio_input_tokens or 0,
        audio_output_tokens=counts.audio_output_tokens or 0,
        image_input_tokens=counts.image_input_tokens or 0,
        image_output_tokens=counts.image_output_tokens or 0,
        web_searches=counts.web_searches or 0,
        reasoning_tokens=counts.reasoning_tokens,
        service_tier=tidy_service_tier(tidy_name(text(told, words.SERVICE_TIER) or counts.service_tier, key)),
        reported_cost_usd=cost,
        latency_ms=round(seconds * 1000) if seconds <= MAX_INT4 // 1000 else None,
        # LiteLLM's first instrumentation gives each attempt a trace of its own, and a trace may hold many calls.
        call_group=tidy(call, MAX_ID, key) or span.trace,
        rules_version=ruled.rules_version or small(found(levels[:-1], words.RULES_VERSION), MAX_INT4),
        rule=ruled.rule,
        fallback_index=fallbacks_of(told, hidden),
        session=tidy(found(levels, words.SESSION), MAX_ID, key),
        user=tidy(found(levels, words.USER), MAX_ID, key),
        tags=tagged.tags,
        flags=flags,
        span=Span(
            trace=span.trace,
            span=span.span,
            above=place.above_ids,
            below=place.below_ids,
            response=tidy(response, MAX_LABEL, key),
            scope=tidy(span.scope, MAX_KEY, key),
            rank=int(span.scope.startswith(_SDKS)),
            started_at=started_at,
        ),
    )


# --- times and status ---


def _times(span: Seen, latest: datetime) -> tuple[datetime, datetime]:
    if not span.ended:
        raise Refused("endTimeUnixNano: required and missing, or no time")
    started = span.started if 0 < span.started <= span.ended else span.ended
    try:
        started_at, ended_at = (_EPOCH + timedelta(microseconds=one // 1000) for one in (started, span.ended))
    except OverflowError:
        raise Refused("endTimeUnixNano: outside the calendar") from None
    if ended_at > latest:
        raise Refused("endTimeUnixNano: more than a day ahead of its arrival")
    return started_at, ended_at


def _status(span: Seen, used: bool) -> str:
    told = span.facts.told
    error = text(told, words.ERROR_TYPE)
    if span.failed or error:
        return "blocked" if _BLOCKED.search(error) else "error"
    hit = text(told, words.CACHE_HIT)
    if words.CLOUDFLARE_PROVIDER in told:
        hit = hit or str(span.facts.bare.get("cached"))
    if hit.lower() in ("true", "hit", "1"):
        return "cache_hit"
    return "ok" if used else "usage_missing"


# --- what served it ---


def _models(span: Seen, key: bytes) -> tuple[str, str, str]:
    """Return provider, model and requested model."""
    told = span.facts.told
    in_litellm = text(told, words.LITELLM_MODEL)
    served = in_litellm or text(told, words.SERVED)
    asked = text(told, words.ASKED)
    requested = text(told, words.GROUP) or asked or _asked(told) or served
    served = served or asked or requested
    provider = _API.sub("", text(told, words.PROVIDER) or text(told, words.CLOUDFLARE_PROVIDER))
    if span.resource.told.get(words.SERVICE) == "openrouter":
        # Broadcast tells the author of the model as its provider, but OpenRouter is who serves and bills.
        provider = "openrouter"
    if not provider and "/" in in_litellm:
        provider = in_litellm.partition("/")[0]  # LiteLLM's names begin with it
    provider = tidy_name(provider, key)
    served = tidy_name(served, key)
    # Without its provider's prefix, not another's: OpenRouter's `anthropic/x` stays.
    return provider, served.removeprefix(provider + "/") if provider else served, tidy_name(requested, key)


def _asked(told: Told) -> str:
    given = told.get(words.INVOCATION)
    if isinstance(given, str) and len(given) <= LONGEST_OBJECT:
        try:
            asked = _invocation.decode(given)
        except UNDECODABLE:
            return ""
        return asked.model or asked.model_name or ""
    return ""


# --- who asked ---


def _use_case(
    levels: Sequence[Told], requester: dict[str, Any], tagged: str, team: str, settings: FormatSettings
) -> str:
    def named_at(place: UseCasePlace) -> object:
        match place:
            case "tag":
                return tagged
            case "request":
                return found(levels, words.USE_CASE) or requester.get("use_case") or found(levels, words.FUNCTION)
            case "key":
                return mapping(levels[0].get(words.KEY_METADATA)).get("use_case")
            case "key-alias":
                return settings.use_case_by_key_alias.get(found(levels, words.KEY_ALIAS))
            case "team":
                return settings.use_case_by_team.get(team)

    return use_case(settings, named_at)


def _tags(span: Seen, place: Place, requester: dict[str, Any], key: bytes) -> tags.Tagged:
    """Return tags, with the use case and the rule that LiteLLM's name; of one name the nearest span's holds."""
    given = requester.get("tags")
    read = tags.read((one for one in given if isinstance(one, str)) if isinstance(given, list) else None, key)
    for one in (span, *place.above):
        facts = one.facts
        cloudflare = facts.bare if words.CLOUDFLARE_PROVIDER in facts.told else {}
        for name, fact in (facts.tags | cloudflare).items() if facts.tags or cloudflare else ():
            value = shown(fact)
            name = tidy(name, MAX_KEY, key)
            # What is longer than a label may be is not one, and may be a prompt.
            if name and name not in read.tags and len(read.tags) < MAX_KEYS and len(value) <= MAX_VALUE:
                read.tags[name] = tidy(value, MAX_VALUE, key)
    return read
