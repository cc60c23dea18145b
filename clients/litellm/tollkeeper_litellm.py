"""Tollkeeper in a LiteLLM proxy: its rules decide where calls go, and what they used is reported.

    litellm_settings:
      callbacks: ["tollkeeper_litellm.hook"]

This file beside the proxy's configuration, `tollkeeper-client` in its environment, and TOLLKEEPER_URL and
TOLLKEEPER_KEY set: README.md has the rest.

# Note [A call never fails by this]
Rules are at hand in this process; nothing is asked over the network for a call. Whatever goes wrong in here, the call
goes on as the client sent it, and a line in the log says so. Only what the rules block is refused, and says why.

# Note [How usage goes back]
LiteLLM's record of each call, with everything left out that the house does not count by (prompts, answers, addresses,
keys), goes into the client's spool on disk and from there to `usage/litellm`, until the house has said that it is kept.
The proxy's own `generic_api` callback sends the same records, and loses some under load. With both on, each call still
counts once: the house knows a call by its ids and its start, whoever reports it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import litellm
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger
from tollkeeper_client import ClientError, Decision, NoRules, Tollkeeper

log = logging.getLogger("tollkeeper_litellm")

KIND = "litellm"  # whose names of offerings decisions give
USAGE = "usage/litellm"
CHARACTERS_PER_TOKEN = 4  # for `input_tokens`, where the request does not say it: an estimate

# Call types with a model and a prompt. Others (files, batches, images, realtime) go as they are.
_CHAT = frozenset({"completion", "acompletion", "anthropic_messages", "aanthropic_messages"})
_TEXT = frozenset({"text_completion", "atext_completion", "responses", "aresponses"})
_EMBEDDING = frozenset({"embedding", "aembedding", "embeddings"})
_ROUTED = _CHAT | _TEXT | _EMBEDDING

_TEXTS = ("task", "user_tier", "data_class", "region")
_NUMBERS = ("complexity", "input_tokens", "context_needed", "latency_budget_ms")
_MODALITIES = {
    "text": "text", "input_text": "text", "image_url": "image", "image": "image", "input_image": "image",
    "input_audio": "audio", "audio": "audio", "video_url": "video", "file": "file", "input_file": "file",
    "document": "file",
}  # fmt: skip
# What no rule may set: where a call goes, with whose key, what is asked, and what the proxy keeps for itself.
_NEVER_SET = re.compile(
    r"model|models|messages|input|prompt|system|tools|functions|metadata|fallbacks|.*fallbacks|user|stream|timeout|"
    r".*api_key|.*api_base|base_url|api_version|api_type|organization|.*token|aws_.*|vertex_.*|azure_.*|"
    r"litellm_.*|proxy_.*|mock_.*|secret_.*|extra_headers|headers|custom_llm_provider|deployment_id|cache|no-log|"
    r"tags|guardrails|model_info|specific_deployment|disable_fallbacks|num_retries|.*router.*"
)
# Rules hold no numbers with a fraction; these are written there as text and are numbers to every provider.
_FRACTIONS = frozenset(("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"))
_NO_USER = "default_user_id"  # what LiteLLM calls whoever holds its master key
_OURS = "tollkeeper_"  # tags that begin so say what was decided; from clients they are not taken

# Of LiteLLM's record, what the house reads (usage/formats/litellm.py; a test holds the two together).
_KEPT: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "id", "status", "startTime", "endTime", "call_type", "litellm_call_id", "trace_id", "session_id", "model",
            "model_group", "model_id", "custom_llm_provider", "prompt_tokens", "completion_tokens", "total_tokens",
            "response_cost", "cache_hit", "request_tags", "end_user",
        )
    ),
    "status_fields": {"guardrail_status": None},
    "metadata": {
        **dict.fromkeys(
            (
                "user_api_key_alias", "user_api_key_team_id", "user_api_key_team_alias", "user_api_key_user_id",
                "user_api_key_end_user_id", "usage_object",
            )
        ),
        "requester_metadata": {"use_case": None},
        "spend_logs_metadata": {"use_case": None},
        "user_api_key_auth_metadata": {"use_case": None},
        "requester_custom_headers": {"x-use-case": None},
        "routing_decision": {"router_model_name": None, "cause": None},
    },
    "hidden_params": {
        "litellm_model_name": None,
        "additional_headers": {"x-litellm-attempted-fallbacks": None},
    },
    "cost_breakdown": {"service_tier": None},
    "response": {"service_tier": None},
}  # fmt: skip


class Settings(NamedTuple):
    """`callback_settings: {tollkeeper: {...}}` of the proxy's configuration; all of it may be left out."""

    models: tuple[str, ...] = ("auto",)  # groups for which the rules decide; `*` stands for any characters
    use_case: tuple[str, ...] = ("tag", "metadata", "header", "key", "key-alias", "team")  # places, first found
    use_case_by_key_alias: Mapping[str, str] = {}
    use_case_by_team: Mapping[str, str] = {}  # by id or alias
    gateway: str | None = None  # the name of this gateway in Tollkeeper, where budgets are of one gateway


def settings_of(given: Any) -> Settings:
    """Read what the configuration says. What cannot be read there is left at its default, with a line in the log."""
    found: dict[str, Any] = {}
    for name, value in (given if isinstance(given, Mapping) else {}).items():
        if name in ("models", "use_case") and isinstance(value, str | list):
            found[name] = tuple(map(str, [value] if isinstance(value, str) else value))
        elif name in ("use_case_by_key_alias", "use_case_by_team") and isinstance(value, Mapping):
            found[name] = {str(key): str(label) for key, label in value.items()}
        elif name == "gateway" and isinstance(value, str):
            found[name] = value
        else:
            log.error("settings.unknown callback_settings.tollkeeper.%s is passed over", name)
    return Settings(**found)


class TollkeeperHook(CustomLogger):
    """One for a proxy's process. `client` None makes one from the environment at the first call."""

    def __init__(self, client: Tollkeeper | None = None) -> None:
        super().__init__()
        self._client = client
        self._off = False
        self._settings: Settings | None = None
        self._told: set[str] = set()  # warnings that were given: each once
        self._tollkeeper()  # rules are asked for before the first call comes

    # Before a call.

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> Any:
        """Put the decision into a request: model, parameters, timeout, fallbacks, tags."""
        try:
            return self._decided(data, str(call_type))
        except HTTPException:
            raise
        except Exception:
            log.exception("call.passed_through as it was sent: the hook failed")
            return None

    def _decided(self, data: dict[str, Any], call_type: str) -> dict[str, Any] | None:
        _without_claims(data)
        asked = data.get("model")
        if call_type not in _ROUTED or not isinstance(asked, str):
            return None
        settings = self._read_settings()
        bucket = _bucket(data)
        tags = _tags(bucket)
        context = context_of(data, call_type, bucket, tags, settings)
        use_case = context.get("use_case")
        named = any(tag.lstrip().lower().startswith("use_case:") for tag in tags)
        known = [f"use_case:{use_case}"] if use_case and not named else []
        decision = self._decision(context) if any(fnmatchcase(asked, one) for one in settings.models) else None
        if decision is None:
            _tag(bucket, tags, known)
            return data
        said = [*known, *tags_of(decision, asked)]
        if decision.blocked:
            _tag(bucket, tags, said)
            raise _refusal(decision, context)
        ways = self._ways(decision)
        if not ways:
            self._warn(
                f"call.passed_through {decision.offering} and its fallbacks are no model group, deployment or wildcard "
                "of this proxy: add one, or name it in Tollkeeper under the offering's names for LiteLLM"
            )
            _tag(bucket, tags, known)
            return data
        _send(data, decision, ways)
        _tag(bucket, tags, said)
        return data

    def _decision(self, context: Mapping[str, Any]) -> Decision | None:
        client = self._tollkeeper()
        if client is None:
            return None
        try:
            return client.decide(context)
        except NoRules as error:
            self._warn(f"call.passed_through {error}")
            return None

    def _ways(self, decision: Decision) -> list[tuple[str, str]]:
        """Return groups of this proxy with their providers: for the offering, then for what to try next."""
        router = _router()
        client = self._tollkeeper()
        if router is None or client is None:
            return []
        found: dict[str, str] = {}
        for offering in (decision.offering, *decision.fallbacks):
            facts = client.offering(offering) if offering else None
            if offering and facts:
                group = group_of(router, offering, facts)
                if group is None:
                    self._warn(f"offering.unknown {offering}: this proxy has no model group for it, so it is skipped")
                else:
                    found.setdefault(group, str(facts.get("provider")))
        return list(found.items())

    # After a call.

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        await self._report(kwargs)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        await self._report(kwargs)

    async def _report(self, kwargs: Any) -> None:
        try:
            client, record = self._tollkeeper(), kwargs.get("standard_logging_object")
            if client is not None and isinstance(record, Mapping):
                body = reported(record, _bucket_in(kwargs))
                await asyncio.get_running_loop().run_in_executor(None, client.report_as, body, USAGE)
        except Exception:
            log.exception("usage.lost the record of a call could not be spooled")

    # What all of it stands on.

    def _tollkeeper(self) -> Tollkeeper | None:
        if self._client is None and not self._off:
            try:
                self._client = Tollkeeper()
                self._client.start()
            except ClientError as error:
                self._off = True
                log.error("hook.off calls go as they are, and nothing is reported: %s", error)
        return self._client

    def _read_settings(self) -> Settings:
        if self._settings is None:  # the proxy reads its configuration after it has made the hook
            self._settings = settings_of((getattr(litellm, "callback_settings", None) or {}).get("tollkeeper"))
        return self._settings

    def _warn(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < 1000:
            self._told.add(sentence)
            log.warning(sentence)


_SAID = "tollkeeper_said"


def context_of(
    data: Mapping[str, Any], call_type: str, bucket: Mapping[str, Any], tags: Iterable[str], settings: Settings
) -> dict[str, Any]:
    """Return the request as far as rules may read it. The text in it is for labels, and leaves this process nowhere."""
    client_said = bucket.get("requester_metadata")
    client_said = client_said if isinstance(client_said, Mapping) else {}
    named: dict[str, str] = {}
    for tag in tags:
        name, _, value = tag.partition(":")
        named.setdefault(name.strip(), value.strip())
    context: dict[str, Any] = {"gateway_kind": KIND, "request_id": data.get("litellm_call_id")}
    if settings.gateway:
        context["gateway"] = settings.gateway
    for field in (*_TEXTS, *_NUMBERS):
        value = named.get(field) or client_said.get(field)
        if isinstance(value, float):
            value = repr(value)
        if value is not None:
            context[field] = value
    if call_type in _EMBEDDING:
        context.setdefault("task", "embedding")
    batch = client_said.get("batch")
    if isinstance(batch, bool):
        context["batch"] = batch
    context["use_case"] = _use_case(bucket, client_said, data, named, settings)
    context["team"] = bucket.get("user_api_key_team_id") or bucket.get("user_api_key_team_alias")
    of_key = bucket.get("user_api_key_user_id")
    context["user"] = of_key if of_key and of_key != _NO_USER else data.get("user")
    context["session"] = data.get("litellm_session_id") or client_said.get("session_id") or bucket.get("session_id")
    taken = {"use_case", *_TEXTS, *_NUMBERS}
    context["tags"] = {name: value for name, value in named.items() if name and name not in taken}
    last, characters, modalities = _prompt(data, call_type)
    context["text"] = last
    context["modalities"] = sorted(modalities)
    if characters and "input_tokens" not in context:
        context["input_tokens"] = -(-characters // CHARACTERS_PER_TOKEN)
    return {name: value for name, value in context.items() if value is not None}


def _use_case(
    bucket: Mapping[str, Any],
    client_said: Mapping[str, Any],
    data: Mapping[str, Any],
    named: Mapping[str, str],
    settings: Settings,
) -> str | None:
    of_key = bucket.get("user_api_key_auth_metadata") or bucket.get("user_api_key_metadata")
    by_team = settings.use_case_by_team
    found: Mapping[str, Any] = {
        "tag": named.get("use_case"),
        "metadata": client_said.get("use_case"),
        "header": _headers(bucket, data).get("x-use-case"),
        "key": of_key.get("use_case") if isinstance(of_key, Mapping) else None,
        "key-alias": settings.use_case_by_key_alias.get(str(bucket.get("user_api_key_alias"))),
        "team": by_team.get(str(bucket.get("user_api_key_team_id")))
        or by_team.get(str(bucket.get("user_api_key_team_alias"))),
    }
    for place in settings.use_case:
        value = found.get(place)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _headers(bucket: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    for place in (bucket.get("headers"), (data.get("proxy_server_request") or {}).get("headers")):
        if isinstance(place, Mapping):
            return {str(name).lower(): value for name, value in place.items()}
    return {}


def _prompt(data: Mapping[str, Any], call_type: str) -> tuple[str | None, int, set[str]]:
    """Return what the person wrote last, how many characters all of the prompt has, and the modalities in it."""
    modalities: set[str] = set()
    last: str | None = None
    characters = 0
    prompt = data.get("messages") if call_type in _CHAT else data.get("input", data.get("prompt"))
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    system = data.get("system", data.get("instructions"))
    for message in [*([{"content": system}] if system else []), *(prompt if isinstance(prompt, list) else [])]:
        if isinstance(message, str):
            message = {"role": "user", "content": message}
        if not isinstance(message, Mapping):
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        texts = []
        for part in parts:
            if isinstance(part, Mapping):
                modality = _MODALITIES.get(str(part.get("type")))
                if modality:
                    modalities.add(modality)
                if isinstance(part.get("text"), str):
                    texts.append(part["text"])
        characters += sum(map(len, texts))
        if message.get("role") == "user" and texts:
            last = "\n".join(texts)
    return (None if call_type in _EMBEDDING else last), characters, modalities


def tags_of(decision: Decision, asked: str) -> list[str]:
    """Return what a decision says, as tags: the house reads them where usage comes back."""
    said = [
        f"tollkeeper_rule:{decision.rule or ''}@v{decision.version}",
        f"tollkeeper_state:{decision.revision}",
        f"tollkeeper_reason:{decision.reason}",
        f"tollkeeper_requested:{asked}",
    ]
    if decision.task is not None:
        said.append(f"tollkeeper_task:{decision.task}")
    if decision.complexity is not None:
        said.append(f"tollkeeper_complexity:{decision.complexity}")
    return said


def group_of(router: Any, offering: str, facts: Mapping[str, Any]) -> str | None:
    """Return what this proxy calls an offering; None where it has none of it.

    A group that is called like the offering or like its name for LiteLLM; a group whose deployments are all of that
    name; a wildcard group such as `anthropic/*`. A group called like the model counts only where the offering has no
    name for LiteLLM: it may be another provider's, where the data must not go.
    """
    name = (facts.get("gateway_names") or {}).get(KIND)
    for candidate in (offering, name or facts.get("model")):
        if candidate in router.model_names:
            return str(candidate)
    if not name:
        return None
    models: dict[str, set[bool]] = {}
    for deployment in router.model_list or ():
        params, info = deployment.get("litellm_params") or {}, deployment.get("model_info") or {}
        known_as = (params.get("model"), info.get("base_model"))  # Azure's deployments are called anything
        models.setdefault(deployment["model_name"], set()).add(name in known_as)
    for group, are_it in models.items():
        if are_it == {True} and "*" not in group:
            return group
    return str(name) if router.pattern_router.route(name) else None


def _send(data: dict[str, Any], decision: Decision, ways: list[tuple[str, str]]) -> None:
    """Write model, parameters, timeout and fallbacks into the request; nothing of the proxy's own falls back then."""
    (group, provider), *others = ways
    settings = {own: _allowed(decision.params.get(own)) for own in {own for _, own in ways}}
    before = {name: data.get(name) for given in settings.values() for name in given}
    # A fallback's parameters are put over the first choice's: what only that one is sent has to go again.
    fallbacks = [{"model": other, **before, **settings[own]} for other, own in others]
    changed = {"model": group, **settings[provider], "fallbacks": fallbacks}
    if before:
        changed["drop_params"] = data.get("drop_params", True)  # a setting that a model does not know fails no call
    if decision.timeout_ms is not None:
        seconds = decision.timeout_ms / 1000
        own_timeout = data.get("timeout")
        is_less = isinstance(own_timeout, int | float) and 0 < own_timeout < seconds
        changed["timeout"] = own_timeout if is_less else seconds
    data.update(changed)  # all of it or, where something above failed, nothing


def _allowed(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: float(value) if name in _FRACTIONS and isinstance(value, str) else value
        for name, value in (params or {}).items()
        if not _NEVER_SET.fullmatch(name)
    }


def _refusal(decision: Decision, context: Mapping[str, Any]) -> HTTPException:
    whose = context.get("use_case") or "this call"
    if decision.reason == "budget_blocks":
        status, why = 429, f"the budget {decision.budget} of {whose} is used up, and its rule is to block until it ends"
    else:
        status, why = 503, f"every model that the rules allow for {whose} is switched off or over budget"
    error = {
        "message": f"Tollkeeper: {why} (rule {decision.rule or 'default'}, version {decision.version}).",
        "type": decision.reason,
        "code": status,
    }
    return HTTPException(status_code=status, detail={"error": error})


def reported(record: Mapping[str, Any], bucket: Mapping[str, Any]) -> dict[str, Any]:
    """Return of LiteLLM's record what the house counts by, as plain JSON.

    `bucket` is what the proxy kept of the request: the record of some calls lacks tags, or how many fallbacks it took.
    """
    kept = _pruned(record, _KEPT)
    tags = [tag for tag in kept.get("request_tags") or () if isinstance(tag, str)]
    kept["request_tags"] = [*tags, *(tag for tag in (*_tags(bucket, _SAID), *_tags(bucket)) if tag not in tags)]
    fallbacks = bucket.get("attempted_fallbacks")
    if isinstance(fallbacks, int) and record.get("status") == "success":
        hidden = kept.setdefault("hidden_params", {})
        hidden.setdefault("additional_headers", {}).setdefault("x-litellm-attempted-fallbacks", fallbacks)
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str), parse_constant=lambda _: None)
    return plain


def _pruned(record: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in wanted.items():
        value = record.get(name)
        if inner is not None:
            value = _pruned(value, inner) if isinstance(value, Mapping) else None
        if value is not None and value != {}:
            found[name] = value
    return found


def _tag(bucket: dict[str, Any], tags: list[str], said: list[str]) -> None:
    """Put what is said into the request's tags, or beside them where a tag chooses deployments: one that none has fails
    the call there.
    """
    if said and _filters(_router()):
        bucket[_SAID], said = said, []
    bucket["tags"] = [*tags, *said]


def _filters(router: Any) -> bool:
    deployments = getattr(router, "model_list", None) or ()
    return bool(getattr(router, "enable_tag_filtering", False)) or any(
        (deployment.get("model_info") or {}).get("enable_tag_filtering") for deployment in deployments
    )


def _without_claims(data: Mapping[str, Any]) -> None:
    """Take out what a client claims that was decided: in tags, however the house would still read them, and beside."""
    for name in ("metadata", "litellm_metadata"):
        bucket = data.get(name)
        if isinstance(bucket, dict):
            bucket.pop(_SAID, None)
            if any(_is_ours(tag) for tag in _tags(bucket)):
                bucket["tags"] = [tag for tag in _tags(bucket) if not _is_ours(tag)]


def _is_ours(tag: str) -> bool:
    return tag.lstrip().lower().startswith(_OURS)


def _bucket(data: dict[str, Any]) -> dict[str, Any]:
    """Return where the proxy keeps what it knows of a request; on some routes `metadata` is the provider's own."""
    name = "litellm_metadata" if "litellm_metadata" in data else "metadata"
    bucket = data.get(name)
    if not isinstance(bucket, dict):
        bucket = data[name] = {}
    return bucket


def _tags(bucket: Mapping[str, Any], name: str = "tags") -> list[str]:
    tags = bucket.get(name)
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def _bucket_in(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    params = kwargs.get("litellm_params")
    places = [params.get(name) for name in ("litellm_metadata", "metadata")] if isinstance(params, Mapping) else []
    found = [place for place in places if isinstance(place, Mapping)]
    return next((one for one in found if _tags(one) or _tags(one, _SAID)), found[0] if found else {})


def _router() -> Any:
    from litellm.proxy import proxy_server

    return proxy_server.llm_router


hook = TollkeeperHook()
