"""The callback and the examples: real LangChain and LangGraph, SDKs' answers as they are, read by the real intake."""

from __future__ import annotations

import asyncio
import json
import runpy
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult
from tollkeeper_client import Tollkeeper
from tollkeeper_client.langchain import UsageCallback

from tests.clients.python.far_side import CONTEXT, FLASH, OPUS, document, given, kept
from tests.running import ROOT
from usage.formats import native
from usage.formats.contract import FormatSettings

EXAMPLES = ROOT / "clients/python/examples"
# As langchain-anthropic gives it: the cache write stands in its lifetime, and 0 in the whole.
CACHED = {
    "input_tokens": 6264, "output_tokens": 77, "total_tokens": 6341,
    "input_token_details": {"cache_read": 4096, "cache_creation": 0, "ephemeral_5m_input_tokens": 2048},
}  # fmt: skip
SAID = {"model_name": "claude-opus-4-7-20260401", "model_provider": "anthropic", "service_tier": "standard"}


@pytest.fixture
def client(far_side, tmp_path):
    far_side.answers(given(document()))
    far_side.otherwise = lambda asked: kept(len(asked.events))
    found = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path)
    found.refresh()
    yield found
    found.close()


def model(*messages: AIMessage) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter(messages))


def booked(far_side, client):
    """Send what was reported and return it twice: as it was sent, and as Tollkeeper's intake reads it."""
    assert client.flush(5)
    parsed = native.parse(
        json.dumps(far_side.events).encode(), content_type="application/json", settings=FormatSettings(user_key=b"k"),
        received_at=datetime.now(UTC) + timedelta(seconds=1),
    )  # fmt: skip
    assert parsed.rejected == []
    return far_side.events, parsed.events


def test_a_call_is_one_event_with_its_rule_its_model_and_every_token_once(client, far_side):
    decision = client.decide(CONTEXT)
    answer = AIMessage("fine", usage_metadata=CACHED, response_metadata=SAID)

    model(answer).invoke("secret words", {"callbacks": [UsageCallback(client, decision, CONTEXT)]})

    [sent], [read] = booked(far_side, client)
    assert (read.use_case, read.session, read.rule, read.rules_version) == ("code-review", "s-1", "code", 1)
    assert (read.model, read.provider, read.status) == ("claude-opus-4-7-20260401", "anthropic", "ok")
    assert (read.uncached_input_tokens, read.cache_read_tokens, read.cache_write_5m_tokens) == (120, 4096, 2048)
    assert read.output_tokens == 77
    assert sent["latency_ms"] >= 0
    assert "secret" not in json.dumps(sent)


def test_streams_batches_and_awaited_calls_are_an_event_each(client, far_side):
    callback = UsageCallback(client, client.decide(CONTEXT), CONTEXT)
    config = {"callbacks": [callback]}

    def fresh():
        return AIMessage("two words", usage_metadata=CACHED, response_metadata=SAID)

    for _ in model(fresh()).stream("x", config):
        pass
    model(fresh(), fresh()).batch(["x", "y"], config)
    asyncio.run(model(fresh()).ainvoke("x", config))

    sent, read = booked(far_side, client)
    assert len({event["id"] for event in sent}) == 4
    # The fake model streams no usage: visible as missing, and never as nothing used.
    assert [event.status for event in read] == ["usage_missing", "ok", "ok", "ok"]
    assert not callback._under_way


def test_a_call_that_failed_is_an_event_too(client, far_side):
    failing = FakeListChatModel(responses=["one", "two"], error_on_chunk_number=1)

    with pytest.raises(Exception):  # noqa: B017, PT011
        list(failing.stream("x", {"callbacks": [UsageCallback(client, client.decide(CONTEXT), CONTEXT)]}))

    [_], [read] = booked(far_side, client)
    assert (read.status, read.model, read.rule) == ("error", "claude-opus-4.7", "code")


def test_a_run_told_twice_is_one_event_and_several_answers_to_one_call_carry_its_usage_once(client, far_side):
    callback, run_id = UsageCallback(client), uuid4()
    generations = [ChatGeneration(message=AIMessage("a", usage_metadata=CACHED, response_metadata=SAID))] * 2

    for _ in range(2):
        callback.on_llm_end(LLMResult(generations=[generations]), run_id=run_id)

    sent, read = booked(far_side, client)
    assert [event["id"] for event in sent] == [str(run_id)] * 2
    assert read[0].output_tokens == 77


def test_one_callback_serves_a_whole_application_with_use_cases_from_metadata(client, far_side):
    shared = UsageCallback(client, tags={"app": "portal"})
    answer = AIMessage("fine", usage_metadata=CACHED, response_metadata=SAID)

    model(answer).invoke("x", {"callbacks": [shared], "metadata": {"use_case": "search", "user": "u-1", "noise": 1}})

    [_], [read] = booked(far_side, client)
    assert (read.use_case, read.user, read.tags, read.rule) == ("search", "u-1", {"app": "portal"}, "")
    assert read.provider == "anthropic"


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.ended = 0

    def on_llm_end(self, *arguments, **named) -> None:
        self.ended += 1


def test_the_graph_of_the_example_asks_the_rules_and_reports(client, far_side):
    build = runpy.run_path(str(EXAMPLES / "langgraph_agent.py"))["build"]
    made, listener = [], Listener()

    def make_model(name, provider):
        made.append((name, provider))
        return model(AIMessage("fine", usage_metadata=CACHED, response_metadata=SAID))

    answered = build(client, make_model).invoke(
        {"messages": [("user", "Fix it.")], "task": "code"},
        {"configurable": {"thread_id": "t-1"}, "callbacks": [listener]},
    )

    assert answered["messages"][-1].content == "fine"
    assert made == [("claude-opus-4.7", "anthropic")]
    assert listener.ended == 1  # the graph's own callbacks go on hearing of the call
    [_], [read] = booked(far_side, client)
    assert (read.use_case, read.session, read.rule) == ("support-routing", "t-1", "code")
    assert read.cache_write_5m_tokens == 2048


class OpenAI:
    """As much of OpenAI's SDK as the example touches; models in `down` do not answer."""

    def __init__(self, *down: str) -> None:
        self.asked: list[dict] = []
        self.down = down
        self.chat = SimpleNamespace(completions=self)

    def create(self, **asked):
        self.asked.append(asked)
        if asked["model"] in self.down:
            raise TimeoutError("no answer")
        details = SimpleNamespace(cached_tokens=1024, audio_tokens=0)
        usage = SimpleNamespace(
            prompt_tokens=1200, completion_tokens=85, total_tokens=1285, prompt_tokens_details=details
        )
        return SimpleNamespace(model=f"{asked['model']}-2026-04-23", usage=usage, service_tier="default")


@pytest.fixture
def complete():
    return runpy.run_path(str(EXAMPLES / "openai_sdk.py"))


def test_the_openai_example_goes_to_the_fallback_and_reports_both_attempts_as_one_call(client, far_side, complete):
    openai = OpenAI("claude-opus-4.7")

    complete["complete"](client, openai, CONTEXT, [{"role": "user", "content": "x"}])

    _, [failed, answered] = booked(far_side, client)
    assert [asked["model"] for asked in openai.asked] == ["claude-opus-4.7", "deepseek-v4-flash"]
    assert (failed.status, failed.fallback_index, failed.model) == ("error", 0, "claude-opus-4.7")
    assert (answered.status, answered.fallback_index, answered.provider) == ("ok", 1, "deepseek")
    assert (answered.uncached_input_tokens, answered.cache_read_tokens, answered.output_tokens) == (176, 1024, 85)
    assert failed.call_group == answered.call_group != ""
    assert answered.rule == "code"


def test_the_openai_example_takes_its_default_without_rules_and_refuses_what_is_blocked(
    client, far_side, complete, tmp_path
):
    nobody = Tollkeeper(far_side.url, "a-key", data_dir=tmp_path / "other")
    openai = OpenAI()
    complete["complete"](nobody, openai, CONTEXT, [])
    off = [{"offering": name, "off": True} for name in (OPUS, FLASH)]
    state = {"revision": 2, "orders": {}, "canary": None, "budgets": [], "switches": off}
    far_side.answers(given(document(2, state=state)))
    client.refresh()

    with pytest.raises(complete["Blocked"], match="nothing_left"):
        complete["complete"](client, openai, CONTEXT, [])

    assert [asked["model"] for asked in openai.asked] == ["gpt-5-mini"]
    assert nobody.flush(5)
    _, [free, blocked] = booked(far_side, client)
    assert (free.model, free.rules_version, free.use_case) == ("gpt-5-mini-2026-04-23", 0, "code-review")
    assert (blocked.status, blocked.rule, blocked.rules_version) == ("blocked", "code", 2)
    nobody.close()


def test_the_anthropic_example_reports_input_with_what_anthropic_leaves_out(client, far_side):
    message = runpy.run_path(str(EXAMPLES / "anthropic_sdk.py"))["message"]
    usage = SimpleNamespace(
        input_tokens=120, output_tokens=77, cache_read_input_tokens=4096, cache_creation_input_tokens=2048,
        cache_creation=SimpleNamespace(ephemeral_5m_input_tokens=2048, ephemeral_1h_input_tokens=0),
        server_tool_use=None, service_tier="standard",
    )  # fmt: skip
    asked = []

    def create(**given_to):
        asked.append(given_to["model"])
        return SimpleNamespace(model=given_to["model"], usage=usage)

    anthropic = SimpleNamespace(messages=SimpleNamespace(create=create))
    message(client, anthropic, CONTEXT, [])
    message(client, anthropic, {"use_case": "chat"}, [])

    _, [decided, free] = booked(far_side, client)
    assert asked == ["claude-opus-4.7", "claude-haiku-4.5"]
    assert (decided.uncached_input_tokens, decided.cache_read_tokens) == (120, 4096)
    assert decided.cache_write_5m_tokens == 2048
    assert (decided.rule, decided.rules_version, free.rules_version) == ("code", 1, 0)


def test_chunks_that_carry_usage_add_up_to_it(client, far_side):
    """What a streamed call ends with is what LangChain makes of its chunks."""
    chunks = [
        AIMessageChunk("fi", usage_metadata={"input_tokens": 10, "output_tokens": 0, "total_tokens": 10}),
        AIMessageChunk("ne", usage_metadata={"input_tokens": 0, "output_tokens": 4, "total_tokens": 4}),
    ]
    whole = LLMResult(generations=[[ChatGeneration(message=chunks[0] + chunks[1])]])

    UsageCallback(client).on_llm_end(whole, run_id=uuid4())

    [_], [read] = booked(far_side, client)
    assert (read.uncached_input_tokens, read.output_tokens, read.status, read.model) == (10, 4, "ok", "unknown")
