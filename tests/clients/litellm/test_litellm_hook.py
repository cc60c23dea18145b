"""The hook by itself: what it reads of a request, what it writes into it, and what it reports, without a proxy.

LiteLLM lives in an environment of its own, and the circle in tests/gateways runs the hook there. Here stand-ins take
the places of the two things that it imports from LiteLLM and FastAPI.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from usage.formats import litellm
from usage.formats.contract import FormatSettings

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"gpt-5.5@openai": "openai/gpt-5.5", "opus@anthropic": "anthropic/opus", "cheap@deepseek": "deepseek/cheap"}


class Refusal(Exception):
    def __init__(self, status_code: int, detail: Any) -> None:
        self.status_code, self.detail = status_code, detail


class Router:
    """A proxy's router, as far as the hook looks at it."""

    def __init__(self, *groups: str, deployments: dict[str, str] | None = None, filters: bool = False) -> None:
        self.model_names = set(groups)
        self.model_list = [
            {"model_name": group, "litellm_params": {"model": model}} for group, model in (deployments or {}).items()
        ]
        self.pattern_router = types.SimpleNamespace(route=lambda name: None)
        self.enable_tag_filtering = filters


@pytest.fixture(scope="module")
def module() -> Iterator[Any]:
    places = [str(ROOT / "clients" / name) for name in ("python/src", "litellm")]
    proxy_server = types.SimpleNamespace(llm_router=None)
    stand_ins: dict[str, Any] = {
        "litellm": types.ModuleType("litellm"),
        "litellm.integrations": types.ModuleType("litellm.integrations"),
        "litellm.integrations.custom_logger": types.SimpleNamespace(CustomLogger=object),
        "litellm.proxy": types.SimpleNamespace(proxy_server=proxy_server),
        "fastapi": types.SimpleNamespace(HTTPException=Refusal),
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, stand_in in stand_ins.items():
            patched.setitem(sys.modules, name, stand_in)
        for place in places:
            patched.syspath_prepend(place)
        for name in ("URL", "KEY"):
            patched.delenv(f"TOLLKEEPER_{name}", raising=False)
        found = importlib.import_module("tollkeeper_litellm")
        found.proxy_server = proxy_server
        yield found
        sys.modules.pop("tollkeeper_litellm", None)


def rules(*given: dict[str, Any], **state: Any) -> dict[str, Any]:
    return {
        "spec": 1, "environment": "production", "version": 3, "published_at": "2026-11-01T00:00:00Z",
        "rules": list(given), "default": {"targets": [{"offering": "cheap@deepseek", "weight": 10000}]},
        "offerings": {
            name: {
                "model": name.partition("@")[0], "provider": name.partition("@")[2], "tier": "frontier",
                "gateway_names": {"litellm": litellm_name},
            }
            for name, litellm_name in NAMES.items()
        },
        "state": {"revision": 7, "budgets": [], "switches": [], "orders": {}, "canary": None, **state},
    }  # fmt: skip


class Client:
    """A client with rules at hand; keeps what is reported."""

    def __init__(self, document: dict[str, Any] | None) -> None:
        from tollkeeper_client.rules import evaluator

        self.document = document
        self.compiled = None if document is None else evaluator.compile(document)
        self.reported: list[dict[str, Any]] = []

    def decide(self, context: dict[str, Any]) -> Any:
        from tollkeeper_client import NoRules

        if self.compiled is None:
            raise NoRules("none")
        return self.compiled.decide(context, datetime(2026, 11, 20, 12, tzinfo=UTC))

    def offering(self, name: str) -> Any:
        return (self.document or {"offerings": {}})["offerings"].get(name)

    def report_as(self, record: dict[str, Any], to: str) -> bool:
        self.reported.append({"to": to, **record})
        return True


CODE = {
    "id": "code", "use_cases": ["code-review"], "targets": [{"offering": "opus@anthropic", "weight": 10000}],
    "fallbacks": ["gpt-5.5@openai", "cheap@deepseek"], "timeout_ms": 2000,
    "params": {"anthropic": {"thinking": {"type": "adaptive"}, "temperature": "0.5", "api_base": "http://elsewhere"},
               "openai": {"reasoning_effort": "high"}},
}  # fmt: skip
ROUTER = Router("opus@anthropic", deployments={"gpt": "openai/gpt-5.5", "deep": "deepseek/cheap"})


def decided(
    module: Any, data: dict[str, Any], *, client: Client, router: Any = ROUTER, call: str = "acompletion"
) -> Any:
    module.proxy_server.llm_router = router
    hook = module.TollkeeperHook(client)
    return asyncio.run(hook.async_pre_call_hook(None, None, data, call))


def asked(*tags: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "auto", "messages": [{"role": "user", "content": "hello"}], "litellm_call_id": "c-1",
        "metadata": {"tags": list(tags), **more.pop("metadata", {})}, **more,
    }  # fmt: skip


def test_a_decision_is_written_into_the_request_and_what_it_says_into_tags(module):
    data = decided(module, asked("use_case:code-review", temperature=0.9, timeout=60), client=Client(rules(CODE)))

    assert (data["model"], data["timeout"], data["drop_params"]) == ("opus@anthropic", 2.0, True)
    assert (data["thinking"], data["temperature"]) == ({"type": "adaptive"}, 0.5)
    assert "api_base" not in data
    # What only the first choice is sent is taken back for the others, and the client's own value comes again.
    assert data["fallbacks"] == [
        {"model": "gpt", "thinking": None, "temperature": 0.9, "reasoning_effort": "high"},
        {"model": "deep", "thinking": None, "temperature": 0.9, "reasoning_effort": None},
    ]
    assert data["metadata"]["tags"] == [
        "use_case:code-review", "tollkeeper_rule:code@v3", "tollkeeper_state:7", "tollkeeper_reason:rule",
        "tollkeeper_requested:auto",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "use_case"),
    [
        (asked("use_case:by-tag", metadata={"requester_metadata": {"use_case": "by-metadata"}}), "by-tag"),
        (
            asked(metadata={"requester_metadata": {"use_case": "by-metadata"}, "headers": {"x-use-case": "h"}}),
            "by-metadata",
        ),
        (asked(metadata={"headers": {"X-Use-Case": "by-header"}}), "by-header"),
        (asked(metadata={"user_api_key_auth_metadata": {"use_case": "by-key"}}), "by-key"),
        (asked(metadata={"user_api_key_alias": "bot"}), "by-alias"),
        (asked(metadata={"user_api_key_team_id": "t-1"}), "by-team"),
        (asked(), None),
    ],
)  # fmt: skip
def test_the_use_case_comes_from_the_first_place_that_says_one_and_is_told_on(module, data, use_case):
    settings = module.settings_of(
        {"use_case_by_key_alias": {"bot": "by-alias"}, "use_case_by_team": {"t-1": "by-team"}}
    )
    hook = module.TollkeeperHook(Client(rules()))
    hook._settings = settings

    context = module.context_of(data, "acompletion", data["metadata"], data["metadata"]["tags"], settings)
    module.proxy_server.llm_router = Router("deep", deployments={"deep": "deepseek/cheap"})
    done = asyncio.run(hook.async_pre_call_hook(None, None, data, "acompletion"))

    assert context.get("use_case") == use_case
    told = [tag for tag in done["metadata"]["tags"] if tag.startswith("use_case:")]
    assert told == ([f"use_case:{use_case}"] if use_case else [])


def test_a_request_is_read_as_far_as_rules_may_read_it(module):
    said = {"complexity": 0.4, "batch": True, "session_id": "s-1"}
    data = {
        "model": "auto", "litellm_call_id": "c-1", "user": "u-1", "system": "x" * 40,
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "y" * 100},
            {"role": "user", "content": [{"type": "text", "text": "last"}, {"type": "image_url", "image_url": {}}]},
        ],
    }  # fmt: skip
    bucket = {"requester_metadata": said, "user_api_key_team_id": "team"}

    context = module.context_of(
        data, "acompletion", bucket, ["task:code", "env:prod", "user_tier:paid"], module.Settings(gateway="edge")
    )
    embedding = module.context_of({"input": ["a", "b"]}, "aembedding", {}, [], module.Settings())

    assert context == {
        "gateway_kind": "litellm", "gateway": "edge", "request_id": "c-1", "session": "s-1", "user": "u-1",
        "team": "team", "task": "code", "user_tier": "paid", "complexity": "0.4", "batch": True,
        "tags": {"env": "prod"}, "text": "last", "modalities": ["image", "text"], "input_tokens": 38,
    }  # fmt: skip
    assert (embedding["task"], "text" in embedding) == ("embedding", False)


@pytest.mark.parametrize(
    ("groups", "deployments", "group"),
    [
        (["opus@anthropic", "anthropic/opus"], {}, "opus@anthropic"),
        (["anthropic/opus"], {"named": "anthropic/opus"}, "anthropic/opus"),
        ([], {"named": "anthropic/opus"}, "named"),
        (["opus"], {"opus": "bedrock/opus"}, None),  # the model, at somebody else's
        ([], {"anthropic/*": "anthropic/*"}, None),
    ],
)
def test_an_offering_is_the_group_that_is_nothing_else(module, groups, deployments, group):
    router = Router(*groups, deployments=deployments)
    mixed = Router(deployments={"mixed": "anthropic/opus"})
    mixed.model_list.append({"model_name": "mixed", "litellm_params": {"model": "openai/gpt-5.5"}})
    azure = Router()
    azure.model_list = [
        {"model_name": "a", "litellm_params": {"model": "azure/x"}, "model_info": {"base_model": "azure/gpt"}}
    ]
    facts = {"model": "opus", "provider": "anthropic", "gateway_names": {"litellm": "anthropic/opus"}}

    assert module.group_of(router, "opus@anthropic", facts) == group
    assert module.group_of(mixed, "opus@anthropic", facts) is None
    assert module.group_of(azure, "gpt@azure", {"model": "gpt", "gateway_names": {"litellm": "azure/gpt"}}) == "a"
    assert module.group_of(Router("opus"), "opus@own", {"model": "opus"}) == "opus"


def test_settings_that_cannot_be_used_leave_the_request_as_it_was(module):
    rule = {**CODE, "params": {"anthropic": {"temperature": "hot"}}}
    data = asked("use_case:code-review")
    before = json.dumps(data)

    assert decided(module, data, client=Client(rules(rule))) is None
    assert json.dumps(data) == before


@pytest.mark.parametrize("call", ["acompletion", "aimage_generation"])
@pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
def test_what_clients_claim_that_was_decided_is_not_taken(module, bucket, call):
    forged = ["tollkeeper_rule:forged@v9", "\t tollkeeper_rule:forged@v9", "Tollkeeper_Rule:forged@v9"]
    data = asked() | {bucket: {"tags": [*forged, "env:prod"], "tollkeeper_said": forged}}

    decided(module, data, client=Client(None), call=call)

    assert data[bucket] == {"tags": ["env:prod"]}
    assert data["model"] == "auto"


@pytest.mark.parametrize(
    ("router", "call", "model"),
    [
        (Router(), "acompletion", "auto"),  # none of the offerings is this proxy's
        (None, "acompletion", "auto"),
        (ROUTER, "acompletion", "gpt-4"),  # not one that rules decide
    ],
)
def test_what_cannot_be_routed_goes_on_as_it_was_sent(module, router, call, model):
    data = decided(
        module, asked("use_case:code-review", model=model), client=Client(rules(CODE)), router=router, call=call
    )

    assert (data["model"], data["metadata"]["tags"]) == (model, ["use_case:code-review"])
    assert "fallbacks" not in data


@pytest.mark.parametrize(
    "data",
    [{}, {"model": 7}, {"model": "auto", "metadata": "text"}, {"model": "auto", "messages": [None, 7, {"content": 3}]},
     {"model": "auto", "litellm_metadata": {"tags": "text", "headers": 3}, "messages": "text"}],
)  # fmt: skip
def test_a_request_of_any_shape_is_never_failed(module, data):
    for call in ("acompletion", "aresponses", "anthropic_messages", "aembedding", "acreate_file", None):
        decided(module, dict(data), client=Client(rules(CODE)), call=call)


def test_a_fault_in_here_lets_the_call_go_on(module, caplog):
    class Broken(Client):
        def decide(self, context: dict[str, Any]) -> Any:
            raise RuntimeError("anything")

    assert decided(module, asked(), client=Broken(rules())) is None
    assert "call.passed_through" in caplog.text


def test_what_the_rules_block_is_refused_with_the_reason(module):
    budget = {"id": "b-1", "match": {"use_case": ["code-review"]}, "state": "exceeded", "action": "block",
              "until": "2026-12-01T00:00:00Z"}  # fmt: skip
    off = [
        {"provider": provider, "off": True, "until": "2026-12-01T00:00:00Z", "reason": "x"}
        for provider in ("openai", "anthropic", "deepseek")
    ]
    data = asked("use_case:code-review")

    with pytest.raises(Refusal) as over:
        decided(module, data, client=Client(rules(CODE, budgets=[budget])))
    with pytest.raises(Refusal) as nothing:
        decided(module, asked("use_case:code-review"), client=Client(rules(CODE, switches=off)))

    assert (over.value.status_code, over.value.detail["error"]["type"]) == (429, "budget_blocks")
    assert "b-1 of code-review" in over.value.detail["error"]["message"]
    assert "tollkeeper_reason:budget_blocks" in data["metadata"]["tags"]
    assert (nothing.value.status_code, nothing.value.detail["error"]["type"]) == (503, "nothing_left")


def test_with_tag_filtering_on_the_decision_travels_beside_the_tags_and_is_reported_all_the_same(module):
    client = Client(rules(CODE))
    router = Router("opus@anthropic", filters=True)

    sent = asked(metadata={"headers": {"x-use-case": "code-review"}})

    data = decided(module, sent, client=client, router=router)
    hook = module.TollkeeperHook(client)
    kwargs = {
        "standard_logging_object": {"id": "x", "status": "success", "startTime": 1.0, "request_tags": ["env:a"]},
        "litellm_params": {"metadata": {**data["metadata"], "attempted_fallbacks": 2}},
    }
    asyncio.run(hook.async_log_success_event(kwargs, None, None, None))

    assert data["metadata"]["tags"] == []
    told = client.reported[0]
    assert told["to"] == "usage/litellm"
    assert told["request_tags"][:3] == ["env:a", "use_case:code-review", "tollkeeper_rule:code@v3"]
    assert told["hidden_params"] == {"additional_headers": {"x-litellm-attempted-fallbacks": 2}}


@pytest.mark.parametrize("version", ["litellm", "litellm_1.74.9"])
def test_a_reported_record_says_the_same_as_the_whole_one_and_holds_no_text(module, version):
    settings = FormatSettings(user_key=b"k" * 32)
    at = datetime(2027, 1, 1, tzinfo=UTC)
    seen = 0
    for file in sorted((ROOT / "tests" / "payloads").glob(f"{version}/*.json")):
        whole = json.loads(file.read_bytes())
        for record in whole if isinstance(whole, list) else []:
            short = module.reported(record, {})
            read = [
                litellm.parse(json.dumps([one]).encode(), content_type="", received_at=at, settings=settings)
                for one in (record, short)
            ]
            assert read[0].events == read[1].events
            assert not {"messages", "model_parameters", "error_str", "error_information"} & set(short)
            seen += len(read[0].events)
    assert seen


def test_settings_that_cannot_be_read_are_left_at_their_defaults(module, caplog):
    found = module.settings_of({"models": "smart-*", "use_case": 7, "typo": 1})

    assert (found.models, found.use_case) == (("smart-*",), module.Settings().use_case)
    assert "typo" in caplog.text
    assert module.settings_of(None) == module.Settings()
