"""How each kind of gateway is told to report here: lines to paste, with this installation's address and a key.

# Note [The first format]
The first format that comes in is what a live stream is counted by from then on. So the event to try a key with is sent
in the format that the gateway itself will send: a native event to try LiteLLM's key would leave everything that LiteLLM
sends uncounted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

YOUR_KEY = "YOUR-KEY"


@dataclass(frozen=True, kw_only=True)
class Paste:
    """Lines to copy, below a title, with what else there is to know."""

    id: str
    title: str
    text: str
    note: str


FORMAT_OF_KIND = {
    "native": "native",
    "litellm": "litellm",
    "promptlayer": "promptlayer",
    "otlp": "otlp",
    "bifrost": "otlp",
    "cloudflare": "otlp",
    "openrouter": "otlp",
    "vercel": "otlp",
}


def format_of(kind: str) -> str:
    """Return the format that gateways of a kind send; those of an unknown kind send our own."""
    return FORMAT_OF_KIND.get(kind, "native")


def first_event(kind: str, secret: str) -> str:
    """Return the lines that send an event as a gateway of this kind does; see Note [The first format]."""
    return _FIRST[format_of(kind)](secret)


def pastes(kind: str, secret: str = YOUR_KEY) -> list[Paste]:
    """Return how a gateway of a kind is told to report here; nothing where its events are sent by code of one's own."""
    make = _BY_KIND.get(kind)
    return make(secret) if make else []


def _traces_url() -> str:
    return f"{settings.BASE_URL}/v1/traces"


# --- a first event ---

_SECONDS, _NOW = "'\"$(date +%s)\"'", "'\"$(date -u +%FT%TZ)\"'"


def _curl(path: str, header: str, body: str) -> str:
    return (
        f"curl -i -X POST {settings.BASE_URL}{path} \\\n"
        f'  -H "{header}" -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def _native(secret: str) -> str:
    return _curl(
        "/api/v1/usage/events",
        f"Authorization: Bearer {secret}",
        f'{{"id": "hello-{_SECONDS}", "time": "{_NOW}", "use_case": "hello-tollkeeper",\n'
        '    "model": "gpt-5.5", "input_tokens": 12, "output_tokens": 3}',
    )


def _litellm(secret: str) -> str:
    return _curl(
        "/api/v1/usage/litellm",
        f"Authorization: Bearer {secret}",
        f'[{{"id": "hello-{_SECONDS}", "litellm_call_id": "hello-{_SECONDS}", "status": "success",\n'
        f'    "startTime": {_SECONDS}, "endTime": {_SECONDS}, "model": "gpt-5.5", "custom_llm_provider": "openai",\n'
        '    "prompt_tokens": 12, "completion_tokens": 3, "request_tags": ["use_case:hello-tollkeeper"]}]',
    )


def _otlp(secret: str) -> str:
    trace, span = "'\"$(printf %032x $(date +%s))\"'", "'\"$(printf %016x $(date +%s))\"'"
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.5",
        "tollkeeper.use_case": "hello-tollkeeper",
    }
    attributes = [
        *(f'{{"key": "{key}", "value": {{"stringValue": "{text}"}}}}' for key, text in texts.items()),
        '{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}}',
        '{"key": "gen_ai.usage.output_tokens", "value": {"intValue": "3"}}',
    ]
    return _curl(
        "/v1/traces",
        f"Authorization: Bearer {secret}",
        f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"traceId": "{trace}", "spanId": "{span}",\n'
        f'    "name": "chat gpt-5.5", "kind": 3, "startTimeUnixNano": "{_SECONDS}000000000",\n'
        f'    "endTimeUnixNano": "{_SECONDS}000000000", "attributes": [\n      '
        + ",\n      ".join(attributes)
        + "\n    ]}]}]}]}",
    )


def _promptlayer(secret: str) -> str:
    return _curl(
        "/log-request",
        f"X-API-KEY: {secret}",
        '{"provider": "openai", "model": "gpt-5.5", "input_tokens": 12, "output_tokens": 3, "status": "SUCCESS",\n'
        f'    "request_start_time": {_SECONDS}, "request_end_time": {_SECONDS},\n'
        '    "metadata": {"use_case": "hello-tollkeeper"}}',
    )


_FIRST: dict[str, Callable[[str], str]] = {
    "native": _native,
    "litellm": _litellm,
    "otlp": _otlp,
    "promptlayer": _promptlayer,
}


# --- a gateway's own configuration ---


def _litellm_yaml(secret: str) -> list[Paste]:
    text = (
        'litellm_settings:\n  callbacks: ["tollkeeper"]\ncallback_settings:\n  tollkeeper:\n'
        f"    callback_type: generic_api\n    endpoint: {settings.BASE_URL}/api/v1/usage/litellm\n"
        f'    headers: {{Authorization: "Bearer {secret}"}}\n'
        "    event_types: [llm_api_success, llm_api_failure]\n"
        "    max_retries: 3\n    retry_delay: 1\n    timeout: 10"
    )
    note = (
        "From LiteLLM 1.80.7 on. Leave max_retries in: LiteLLM's own default is 0, and what meets an error is lost. "
        "Tag requests with use_case:NAME, or map keys and teams to use cases in the gateway's settings here. Prompts "
        "and answers are dropped before anything is stored."
    )
    return [Paste(id="litellm", title="In LiteLLM's configuration", text=text, note=note)]


_USE_CASE_NOTE = (
    "The use case is the attribute tollkeeper.use_case or use_case of a span, of one around it, or of the resource. "
    "Prompts and answers are dropped before anything is stored."
)


def _otlp_environment(secret: str) -> list[Paste]:
    text = (
        f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={_traces_url()}\n"
        f"OTEL_EXPORTER_OTLP_TRACES_HEADERS=Authorization=Bearer%20{secret}\n"
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"
    )
    note = f"For any OpenTelemetry SDK; JSON and gzip are taken, too. {_USE_CASE_NOTE}"
    return [Paste(id="otlp", title="In the environment of what sends traces", text=text, note=note)]


def _bifrost(secret: str) -> list[Paste]:
    config = {
        "service_name": "bifrost",
        "collector_url": _traces_url(),
        "trace_type": "genai_extension",
        "protocol": "http",
        "headers": {"Authorization": f"Bearer {secret}"},
        "disable_content_logging": True,
    }
    text = json.dumps({"plugins": [{"name": "otel", "enabled": True, "config": config}]}, indent=2)
    note = f"Rules and virtual keys of Bifrost come along. {_USE_CASE_NOTE}"
    return [Paste(id="bifrost", title="In Bifrost's config.json", text=text, note=note)]


def _cloudflare(secret: str) -> list[Paste]:
    text = f"URL: {_traces_url()}\nContent type: json\nHeader: Authorization: Bearer {secret}"
    note = (
        "An OpenTelemetry exporter of the AI Gateway. Say the use case in the request header cf-aig-metadata, such as "
        '{"use_case": "support-routing", "team": "support"}. It tells of no cached tokens, so our cost of cached input '
        "is too high there; what it reports itself stands beside."
    )
    return [Paste(id="cloudflare", title="In the gateway's settings at Cloudflare", text=text, note=note)]


def _openrouter(secret: str) -> list[Paste]:
    headers = json.dumps({"Authorization": f"Bearer {secret}"})
    text = f"Destination: OpenTelemetry Collector\nEndpoint: {_traces_url()}\nHeaders: {headers}"
    note = (
        "In OpenRouter's Broadcast. Say the use case in the request, as metadata: "
        '{"use_case": "support-routing"}. Leave the sampling rate at 1: what is sampled away is in no figure.'
    )
    return [Paste(id="openrouter", title="In OpenRouter's Broadcast", text=text, note=note)]


def _vercel(secret: str) -> list[Paste]:
    text = f"Endpoint: {_traces_url()}\nEncoding: protobuf\nHeader: Authorization: Bearer {secret}"
    note = f"A trace drain of the AI Gateway. What sampling rules leave out is in no figure. {_USE_CASE_NOTE}"
    drain = Paste(id="vercel", title="In a trace drain at Vercel", text=text, note=note)
    return [drain, *_otlp_environment(secret)]


def _promptlayer_environment(secret: str) -> list[Paste]:
    text = f"PROMPTLAYER_BASE_URL={settings.BASE_URL}\nPROMPTLAYER_API_KEY={secret}"
    note = (
        "Its SDK then logs each request here. Say the use case with a tag use_case:NAME, or as metadata. PromptLayer's "
        "log has no id and no cached tokens: a request that is logged twice with the same times counts once."
    )
    return [Paste(id="promptlayer", title="In the environment of PromptLayer's SDK", text=text, note=note)]


_BY_KIND: dict[str, Callable[[str], list[Paste]]] = {
    "litellm": _litellm_yaml,
    "otlp": _otlp_environment,
    "bifrost": _bifrost,
    "cloudflare": _cloudflare,
    "openrouter": _openrouter,
    "vercel": _vercel,
    "promptlayer": _promptlayer_environment,
}
