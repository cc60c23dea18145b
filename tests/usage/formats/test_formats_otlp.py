"""What of a trace request becomes an event, name by name and rule by rule."""

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from usage.events import UnreadableBody
from usage.formats import FORMATS, FormatSettings
from usage.formats.otlp import wire

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
END_NS = 1_795_176_000_000_000_000
SETTINGS = FormatSettings(user_key=b"test", max_events=100)
TRACE, PARENT = "a" * 32, "f" * 16


def value(given):
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given}
    return {"stringValue": given} if isinstance(given, str) else given


def attributes(given):
    return [{"key": key, "value": value(one)} for key, one in given.items()]


def a_span(attrs=None, *, number=1, parent="", ms=1000, failed=False, **given):
    return {
        "traceId": TRACE, "spanId": f"{number:016x}", "parentSpanId": parent, "name": "a span", "kind": 3,
        "startTimeUnixNano": str(END_NS - ms * 10**6), "endTimeUnixNano": str(END_NS),
        "status": {"code": 2} if failed else {}, "attributes": attributes(attrs or {}), **given,
    }  # fmt: skip


CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini"}
USED = CALL | {"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 85}


def a_request(*spans, resource=None, scope="app"):
    group = {"scope": {"name": scope}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource or {})}, "scopeSpans": [group]}]}


def parse(body, *, settings=SETTINGS, headers=None):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return FORMATS["otlp"](body, content_type="", received_at=NOON, settings=settings, headers=headers or {})


def event_of(attrs, *, settings=SETTINGS, above=(), resource=None, scope="app", **given):
    """Return the event of one span; `above` are attributes of what it lies in, the outermost first."""
    spans = []
    parent = ""
    for number, outer in enumerate(above, 100):
        spans.append(a_span(outer, number=number, parent=parent, kind=1))
        parent = spans[-1]["spanId"]
    (event,) = parse(
        a_request(*spans, a_span(attrs, parent=parent, **given), resource=resource, scope=scope), settings=settings
    ).events
    return event


def refusal_of(attrs, **given):
    parsed = parse(a_request(a_span(attrs, **given)))
    assert parsed.events == []
    (rejected,) = parsed.rejected
    return rejected.error


# --- which spans are calls ---


@pytest.mark.parametrize(
    ("attrs", "given"),
    [
        (USED, {}),
        (USED | {"gen_ai.operation.name": "something new"}, {"kind": 1}),
        ({"gen_ai.request.model": "m", "gen_ai.usage.output_tokens": 1}, {"kind": 2}),
        (CALL, {}),  # a stream that told no usage
        (CALL, {"kind": "SPAN_KIND_CLIENT"}),
        (CALL, {"kind": 1, "failed": True}),
        (CALL, {"kind": 1, "name": "litellm_request"}),
        (CALL | {"gen_ai.operation.name": "aresponses"}, {}),
        ({"gen_ai.request.model": "m", "gen_ai.model.provider": "p"}, {"failed": True}),
        ({"ai.operationId": "ai.streamText.doStream", "ai.model.id": "m"}, {"kind": 1}),
        ({"openinference.span.kind": "llm", "llm.model_name": "m"}, {"kind": 1}),
        ({"openclaw.model": "m"}, {"name": "openclaw.model.call"}),
        (USED | {"gen_ai.operation.name": "invoke_agent", "openclaw.model_call.observation_unit": "turn"}, {}),
    ],
)  # fmt: skip
def test_a_call(attrs, given):
    assert len(parse(a_request(a_span(attrs, **given))).events) == 1


@pytest.mark.parametrize(
    ("attrs", "given"),
    [
        ({}, {}),
        ({"http.route": "/", "db.system": "postgresql"}, {}),
        (USED | {"gen_ai.operation.name": "invoke_agent"}, {}),
        (USED | {"gen_ai.operation.name": "execute_tool"}, {}),
        (CALL, {"kind": 1}),
        (CALL, {"kind": 2, "failed": True}),
        ({"gen_ai.request.model": "m"}, {"failed": True}),
        ({"gen_ai.request.model": "m", "gen_ai.provider.name": "p"}, {}),
        (USED | {"ai.operationId": "ai.generateText"}, {}),
        (USED | {"ai.operationId": "ai.toolCall"}, {}),
        (USED | {"openinference.span.kind": "CHAIN"}, {}),
        (USED | {"traceloop.span.kind": "workflow"}, {}),
        (USED, {"name": "openclaw.model.usage"}),
    ],
)  # fmt: skip
def test_no_call(attrs, given):
    parsed = parse(a_request(a_span(attrs, **given)))

    assert (parsed.events, parsed.rejected) == ([], [])


def test_of_nested_calls_the_inner_counts_and_the_loser_is_put_out_in_silence():
    outer = a_span(USED | {"gen_ai.usage.input_tokens": 2400}, number=1)
    calls = [a_span(USED, number=number, parent=outer["spanId"]) for number in (2, 3)]

    parsed = parse(a_request(outer, *calls))

    assert [event.span.span for event in parsed.events] == [one["spanId"] for one in calls]
    assert parsed.rejected == []


def test_the_same_answer_in_two_traces_is_two_events():
    answered = USED | {"gen_ai.response.id": "r-1"}

    assert len(parse(a_request(a_span(answered), a_span(answered, traceId="b" * 32))).events) == 2
    assert len(parse(a_request(a_span(answered), a_span(answered, number=2))).events) == 1


def test_two_failed_attempts_to_which_litellm_gave_its_calls_id_are_two_events():
    attrs = CALL | {"gen_ai.response.id": "call-1", "litellm.call_id": "call-1"}

    events = parse(a_request(a_span(attrs, number=1, failed=True), a_span(attrs, number=2, failed=True))).events

    assert [(event.call_group, event.span.response) for event in events] == [("call-1", "")] * 2


def test_an_answer_from_a_cache_is_an_event_beside_the_first_one():
    attrs = USED | {"gen_ai.response.id": "r-1"}

    events = parse(a_request(a_span(attrs, number=1), a_span(attrs | {"litellm.cache_hit": True}, number=2))).events

    assert [event.status for event in events] == ["ok", "cache_hit"]


# --- where it lies ---


def test_an_event_knows_what_it_lies_in_and_what_of_no_account_lies_in_it():
    root = a_span({"http.route": "/"}, number=1, parent=PARENT)
    call = a_span(USED, number=2, parent=root["spanId"])
    step = a_span({"http.route": "/v1"}, number=3, parent=call["spanId"])
    deeper = a_span({}, number=4, parent=step["spanId"])

    (event,) = parse(a_request(deeper, step, call, root), settings=SETTINGS).events

    assert event.span.above == [root["spanId"], PARENT]
    assert event.span.below == [deeper["spanId"], step["spanId"]]


def test_spans_that_lie_in_themselves_end_somewhere():
    one, other = a_span(USED, number=1), a_span({}, number=2)
    one["parentSpanId"], other["parentSpanId"] = other["spanId"], one["spanId"]

    (event,) = parse(a_request(one, other)).events

    assert (event.span.above, event.span.below) == ([other["spanId"]], [other["spanId"]])


def test_an_event_is_known_by_its_span():
    first, again, other = (event_of(USED), event_of(USED | {"user.id": "x"}), event_of(USED, number=2))

    assert first.event_id == again.event_id != other.event_id
    assert len(first.event_id) == 64


# --- what was used ---


@pytest.mark.parametrize(
    ("attrs", "figures"),
    [
        # uncached, cache read, written for 5 min and 1 h, output, reasoning
        ({"gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 5}, (10, 0, 0, 0, 5, None)),
        ({"llm.token_count.prompt": 10, "llm.token_count.completion": 5}, (10, 0, 0, 0, 5, None)),
        ({"ai.usage.inputTokens": 10, "ai.usage.cachedInputTokens": 4}, (6, 4, 0, 0, 0, None)),
        ({"ai.usage.outputTokens": 5, "ai.usage.reasoningTokens": 4}, (0, 0, 0, 0, 5, 4)),
        ({"ai.usage.tokens": 18}, (18, 0, 0, 0, 0, None)),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 4}, (6, 4, 0, 0, 0, None)),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read_input_tokens": 4}, (6, 4, 0, 0, 0, None)),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.input_tokens.cached": 4}, (6, 4, 0, 0, 0, None)),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_write.input_tokens": 4}, (6, 0, 4, 0, 0, None)),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_creation.input_tokens": 4}, (6, 0, 4, 0, 0, None)),
        (
            {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.input_tokens.cache_write": 7,
             "gen_ai.usage.input_tokens.cache_write_1h": 3},
            (3, 0, 4, 3, 0, None),
        ),
        ({"gen_ai.usage.output_tokens": 9, "gen_ai.usage.reasoning.output_tokens": 0}, (0, 0, 0, 0, 9, 0)),
        ({"gen_ai.usage.output_tokens": 9, "gen_ai.usage.output_tokens.reasoning": 8}, (0, 0, 0, 0, 9, 8)),
        # both old and new names, of which one says 0
        ({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.prompt_tokens": 10}, (10, 0, 0, 0, 0, None)),
        # JavaScript's whole numbers, and numbers as text
        ({"gen_ai.usage.input_tokens": 10.0, "gen_ai.usage.output_tokens": "5"}, (10, 0, 0, 0, 5, None)),
    ],
)  # fmt: skip
def test_figures_are_read_by_their_old_and_new_names_and_made_disjoint(attrs, figures):
    event = event_of(CALL | attrs)

    assert figures == (
        event.uncached_input_tokens, event.cache_read_tokens, event.cache_write_5m_tokens, event.cache_write_1h_tokens,
        event.output_tokens, event.reasoning_tokens,
    )  # fmt: skip
    assert (event.status, event.flags) == ("ok", [])


CACHED = {
    "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 77, "gen_ai.usage.cache_read.input_tokens": 4096,
    "gen_ai.usage.cache_creation.input_tokens": 2048,
}  # fmt: skip


def test_figures_beside_each_other_are_told_by_their_total_or_by_what_does_not_fit():
    anthropic = CALL | CACHED | {"gen_ai.provider.name": "anthropic"}
    by_total = {"gen_ai.usage.total_tokens": 120 + 77 + 4096 + 2048}
    large = {"gen_ai.usage.input_tokens": 9000, "gen_ai.usage.total_tokens": 9000 + 77 + 4096 + 2048}

    assert event_of(anthropic).uncached_input_tokens == 120
    assert event_of(anthropic | large).uncached_input_tokens == 9000
    assert event_of(CALL | CACHED | by_total).uncached_input_tokens == 120
    assert event_of(anthropic | {"gen_ai.usage.input_tokens": 9000}).uncached_input_tokens == 9000 - 4096 - 2048


def test_litellm_up_to_1_74_counts_reads_inside_and_writes_beside():
    usage = {"prompt_tokens": 4216, "cache_read_input_tokens": 4096, "cache_creation_input_tokens": 2048}
    attrs = CALL | {"gen_ai.system": "anthropic", "gen_ai.usage.input_tokens": 4216, "gen_ai.usage.output_tokens": 77}
    del attrs["gen_ai.provider.name"]

    event = event_of(attrs | {"metadata.usage_object": repr(usage)})

    assert (event.uncached_input_tokens, event.cache_read_tokens, event.cache_write_5m_tokens) == (120, 4096, 2048)
    assert event.flags == []


def test_figures_that_do_not_add_up_are_kept_as_stated_and_flagged():
    event = event_of(CALL | CACHED)

    assert (event.uncached_input_tokens, event.cache_read_tokens) == (0, 4096)
    assert event.flags == ["meters-do-not-add-up"]


@pytest.mark.parametrize("count", [-1, 10**10 + 1, "many", 1.5, True, "1e3"])
def test_a_count_that_is_none_costs_its_span_alone(count):
    good = a_span(USED, number=2)

    parsed = parse(a_request(a_span(USED | {"gen_ai.usage.input_tokens": count}), good))

    assert [event.span.span for event in parsed.events] == [good["spanId"]]
    assert [(one.index, one.error) for one in parsed.rejected] == [
        (0, "gen_ai.usage.input_tokens: not a whole number from 0 to 10**10")
    ]


@pytest.mark.parametrize(
    ("attrs", "given", "status"),
    [
        (USED, {}, "ok"),
        (CALL, {}, "usage_missing"),
        (CALL | {"gen_ai.usage.input_tokens": 0}, {}, "usage_missing"),
        (CALL, {"failed": True}, "error"),
        (CALL | {"error.type": "RateLimitError"}, {}, "error"),
        (USED, {"failed": True}, "error"),
        (CALL | {"error.type": "GuardrailRaisedException"}, {"failed": True}, "blocked"),
        (CALL | {"error.type": "content_filter"}, {"failed": True}, "blocked"),
        (USED | {"litellm.cache_hit": True}, {}, "cache_hit"),
        (USED | {"gen_ai.model.provider": "openai", "cached": "true"}, {}, "cache_hit"),
        (USED | {"cached": True}, {}, "ok"),  # anybody's word, where it is not Cloudflare's
        (USED | {"litellm.cache_hit": False}, {}, "ok"),
    ],
)  # fmt: skip
def test_the_status(attrs, given, status):
    event = event_of(attrs, **given)

    assert (event.status, event.counted) == (status, status != "usage_missing")


@pytest.mark.parametrize(
    ("attrs", "cost"),
    [
        ({"gen_ai.usage.total_cost": 4.2499999999999996e-05}, Decimal("0.0000425")),
        ({"gen_ai.usage.cost": "0.00639196"}, Decimal("0.00639196")),
        ({"litellm.cost.total": 0.1}, Decimal("0.1")),
        ({"gen_ai.cost.total_cost": 2}, Decimal(2)),
        ({"litellm.cost.total": 0.0}, None),  # no price, not free
        ({}, None),
        ({"hidden_params": '{"response_cost": 0.00314}'}, Decimal("0.00314")),
        ({"hidden_params": "not JSON"}, None),
    ],
)
def test_the_reported_cost(attrs, cost):
    assert event_of(USED | attrs).reported_cost_usd == cost


@pytest.mark.parametrize("cost", [-1.0, "free", {"doubleValue": "NaN"}, {"doubleValue": "Infinity"}, 1e300, "1E+99999"])
def test_a_cost_that_is_none_is_left_out_and_flagged(cost):
    event = event_of(USED | {"litellm.cost.total": cost})

    assert (event.reported_cost_usd, event.flags) == (None, ["reported-cost-unreadable"])


def test_litellms_first_instrumentation_tells_parts_in_the_text_of_a_python_object():
    usage = {
        "prompt_tokens": 6264, "completion_tokens": 77, "cache_read_input_tokens": 4096,
        "cache_creation_input_tokens": 2048, "completion_tokens_details": {"reasoning_tokens": 3, "text_tokens": None},
        "prompt_tokens_details": None,
    }  # fmt: skip
    attrs = CALL | {"gen_ai.usage.input_tokens": 6264, "gen_ai.usage.output_tokens": 77}

    event = event_of(attrs | {"metadata.usage_object": repr(usage)})
    unreadable = event_of(attrs | {"metadata.usage_object": repr(usage | {"cache_read_input_tokens": -1})})

    assert (event.uncached_input_tokens, event.cache_read_tokens, event.reasoning_tokens) == (120, 4096, 3)
    assert (unreadable.uncached_input_tokens, unreadable.flags) == (6264, ["usage-object-unreadable"])


@pytest.mark.parametrize(
    "text", ["{'a': " * 5000, "{1: __import__('os')}", "{'a': 1", "{**{}}", "{" + "-" * 15_000 + "1: 2}", "{'\\d': 1}"]
)
def test_text_that_is_no_python_object_is_passed_over(text):
    names = ("metadata.usage_object", "metadata.requester_metadata", "metadata.user_api_key_auth_metadata")

    assert event_of(USED | dict.fromkeys(names, text)).uncached_input_tokens == 1200


# --- what served it ---


@pytest.mark.parametrize(
    ("attrs", "told"),
    [
        # provider, model, requested model
        ({"gen_ai.response.model": "gpt-5-mini-2026-04-23"}, ("openai", "gpt-5-mini-2026-04-23", "gpt-5-mini")),
        ({"litellm.provider.model": "openai/x", "gen_ai.response.model": "cheap"}, ("openai", "x", "gpt-5-mini")),
        ({"litellm.model_group": "cheap"}, ("openai", "gpt-5-mini", "cheap")),
        ({"gen_ai.provider.name": "", "litellm.provider.model": "anthropic/c"}, ("anthropic", "c", "gpt-5-mini")),
        ({"gen_ai.provider.name": "azure.ai.openai"}, ("azure.ai.openai", "gpt-5-mini", "gpt-5-mini")),
        ({"gen_ai.provider.name": "openai.responses"}, ("openai", "gpt-5-mini", "gpt-5-mini")),
        ({"gen_ai.provider.name": "google.generative-ai"}, ("google", "gpt-5-mini", "gpt-5-mini")),
        ({"gen_ai.request.model": "a model"}, ("openai", "a_model", "a_model")),
    ],
)
def test_provider_model_and_what_was_asked_for(attrs, told):
    event = event_of(USED | attrs)

    assert (event.provider, event.model, event.requested_model) == told


def test_openinference_tells_what_was_asked_for_in_json():
    attrs = {"openinference.span.kind": "LLM", "llm.model_name": "served", "llm.token_count.prompt": 1}

    assert event_of(attrs | {"llm.invocation_parameters": '{"model": "asked"}'}).requested_model == "asked"
    assert event_of(attrs | {"llm.invocation_parameters": "{"}).requested_model == "served"


def test_openrouter_is_who_serves_and_bills_whoever_made_the_model():
    event = event_of(
        USED | {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "anthropic/claude-haiku-4.5"},
        resource={"service.name": "openrouter"},
    )

    assert (event.provider, event.model) == ("openrouter", "anthropic/claude-haiku-4.5")


def test_a_call_without_a_model_is_refused_unless_it_failed():
    nameless = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}

    assert refusal_of(nameless) == "gen_ai.request.model: required and missing, as is gen_ai.response.model"
    assert event_of({"gen_ai.operation.name": "chat"}, failed=True).model == ""


def test_the_service_tier():
    assert event_of(USED | {"openai.response.service_tier": "default"}).service_tier == ""
    assert event_of(USED | {"gen_ai.response.service_tier": "Priority"}).service_tier == "priority"


# --- who asked ---


@pytest.mark.parametrize(
    ("span", "above", "resource", "use_case"),
    [
        ({"use_case": "own"}, [{"use_case": "outer"}], {"use_case": "resource"}, "own"),
        ({}, [{"use_case": "root"}, {"use_case": "nearer"}], {"use_case": "resource"}, "nearer"),
        ({}, [{}], {"use_case": "resource"}, "resource"),
        ({"tollkeeper.use_case": "ours", "use_case": "bare"}, [], {}, "ours"),
        ({"litellm.metadata.use_case": "x"}, [], {}, "x"),
        ({"trace.metadata.use_case": "x"}, [], {}, "x"),
        ({"ai.telemetry.metadata.use_case": "x", "ai.telemetry.functionId": "f"}, [], {}, "x"),
        ({"ai.telemetry.functionId": "f"}, [], {}, "f"),
        # what stands for a use case gives way to one that is named, wherever that is
        ({"ai.telemetry.functionId": "f"}, [], {"use_case": "resource"}, "resource"),
        ({}, [{"gen_ai.agent.name": "agent"}], {}, "agent"),
        ({"metadata.requester_metadata": "{'use_case': 'x', 'tags': []}"}, [], {}, "x"),
        ({"metadata.requester_metadata": "{'tags': ['use_case:tagged'], 'use_case': 'x'}"}, [], {}, "tagged"),
        ({"metadata.user_api_key_auth_metadata": "{'use_case': 'key'}"}, [], {}, "key"),
        ({"metadata.requester_metadata": "{'use_case': 1}"}, [], {}, ""),
        ({}, [], {}, ""),
    ],
)
def test_the_use_case_is_looked_for_on_the_span_what_it_lies_in_and_the_resource(span, above, resource, use_case):
    assert event_of(USED | span, above=above, resource=resource).use_case == use_case


def test_a_use_case_may_follow_from_the_key_and_the_team_in_the_order_of_the_gateway():
    mapped = FormatSettings(
        user_key=b"test", use_case_by_key_alias={"bot": "by-key"}, use_case_by_team={"cx": "by-team"}
    )
    of_key = {"litellm.metadata.user_api_key_alias": "bot"}
    of_team = {"bifrost.team.id": "cx"}

    assert event_of(USED | of_key | of_team, settings=mapped).use_case == "by-key"
    assert event_of(USED | of_team, settings=mapped).use_case == "by-team"
    assert event_of(USED | of_key | {"use_case": "named"}, settings=mapped).use_case == "named"
    only_team = FormatSettings(user_key=b"test", use_case_from=("team",), use_case_by_team={"cx": "by-team"})
    assert event_of(USED | of_team | {"use_case": "named"}, settings=only_team).use_case == "by-team"


def test_team_user_and_session_are_looked_for_likewise():
    event = event_of(USED, above=[{"user.id": "u-42", "session.id": "s-1"}], resource={"team": "cx"})

    assert (event.team, event.user, event.session) == ("cx", "u-42", "s-1")


@pytest.mark.parametrize(
    ("attrs", "told"),
    [
        ({"tollkeeper.rule_id": "r", "tollkeeper.rules_version": 42}, ("r", 42)),
        ({"rule_id": "r@v7"}, ("r", 7)),
        ({"bifrost.routing_rule.id": "r-7"}, ("r-7", 0)),
        ({"gen_ai.routing_rule_id": "r-8"}, ("r-8", 0)),
        ({"trace.metadata.tollkeeper_rule": "rule-7@v3"}, ("rule-7", 3)),
        ({"metadata.requester_metadata": "{'tags': ['tollkeeper_rule:rule-7@v3']}"}, ("rule-7", 3)),
    ],
)
def test_the_rule_that_was_applied(attrs, told):
    event = event_of(USED | attrs)

    assert (event.rule, event.rules_version) == told


def test_the_fallback_index():
    hidden = '{"additional_headers": {"x-litellm-attempted-fallbacks": 2}}'

    assert event_of(USED | {"bifrost.fallback_index": 1}).fallback_index == 1
    assert event_of(USED | {"gen_ai.fallback_index": "3"}).fallback_index == 3
    assert event_of(USED | {"hidden_params": hidden}).fallback_index == 2
    assert event_of(USED | {"bifrost.fallback_index": 10**9}).fallback_index == 1000


def test_tags_are_what_a_caller_said_and_nothing_else():
    event = event_of(
        USED | {
            "trace.metadata.env": "prod", "ai.telemetry.metadata.trial": True, "ai.telemetry.metadata.step": 3,
            "ai.telemetry.metadata.userId": "u", "trace.metadata.openrouter.entity_id": "e",
            "trace.metadata.provider_responses": "[]", "trace.metadata.system_prompt": "You are", "bare": "x",
            "trace.metadata.long": "x" * 257, "trace.metadata.list": {"arrayValue": {"values": []}},
            "ai.settings.maxRetries": 2,
        },
        above=[{"trace.metadata.env": "outer", "trace.metadata.region": "eu"}],
    )  # fmt: skip

    assert event.tags == {"env": "prod", "trial": "true", "step": "3", "region": "eu"}


def test_metadata_without_a_prefix_is_read_of_cloudflares_spans_alone():
    bare = {"region": "eu", "message": "Summarise the ticket.", "auth_token": "x"}

    assert event_of(USED | bare).tags == {}
    assert event_of(USED | bare | {"gen_ai.model.provider": "openai"}).tags == {"region": "eu"}


def test_tags_are_bounded():
    event = event_of(USED | {f"trace.metadata.t{number}": "x" for number in range(100)})

    assert len(event.tags) == 32


def test_addresses_and_keys_that_strayed_into_labels_are_not_shown():
    planted = dict.fromkeys(("user.id", "team", "use_case", "trace.metadata.owner", "session.id"), "ann@example.com")

    event = event_of(USED | planted | {"gen_ai.response.id": "sk-proj-4f9ab8c7d6e5f4a3"}, scope="ann@example.com")

    assert "ann@" not in repr(event)
    assert "4f9ab8c7" not in repr(event)
    assert event.user.startswith("h:")


# --- times ---


def test_a_call_happened_when_it_ended():
    event = event_of(USED, ms=1234)

    assert (event.occurred_at, event.latency_ms) == (NOON, 1234)
    assert event.span.started_at == NOON - timedelta(milliseconds=1234)


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (None, "endTimeUnixNano: required and missing, or no time"),
        ("soon", "endTimeUnixNano: required and missing, or no time"),
        (-1, "endTimeUnixNano: required and missing, or no time"),
        (str(END_NS + 86_400 * 10**9 + 1000), "endTimeUnixNano: more than a day ahead of its arrival"),
        (2**63 - 1, "endTimeUnixNano: more than a day ahead of its arrival"),
    ],
)
def test_a_time_that_is_none_is_refused(ends, reason):
    assert refusal_of(USED, endTimeUnixNano=ends) == reason


def test_a_span_that_ends_before_it_starts_took_no_time():
    assert event_of(USED, startTimeUnixNano=str(END_NS + 10**9)).latency_ms == 0


# --- bodies ---


def test_ids_may_come_in_base64_and_in_capitals():
    in_hex = event_of(USED)
    ids = {"traceId": base64.b64encode(b"\xaa" * 16).decode(), "spanId": base64.b64encode(b"\0" * 7 + b"\1").decode()}

    assert event_of(USED, **ids).event_id == in_hex.event_id
    assert event_of(USED, traceId=TRACE.upper()).event_id == in_hex.event_id


@pytest.mark.parametrize(
    "ids", [{"traceId": ""}, {"traceId": "0" * 32}, {"spanId": "zz"}, {"spanId": "é" * 16}, {"traceId": "a" * 31}]
)
def test_a_call_without_ids_is_refused(ids):
    assert refusal_of(USED, **ids) == "traceId, spanId: not 16 and 8 bytes in hexadecimal"


def test_one_span_of_wrong_types_costs_the_others_nothing():
    body = a_request(a_span(USED, number=1), {"traceId": 7}, 3, a_span(USED, number=2))

    parsed = parse(body)

    assert len(parsed.events) == 2
    assert [one.index for one in parsed.rejected] == [1, 2]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", "neither a JSON object nor a protobuf"),
        (b"[]", "neither a JSON object nor a protobuf"),
        (b"{", "not JSON"),
        (b'{"resourceSpans": 3}', "no ExportTraceServiceRequest"),
        (b'{"x":' * 100_000, "not JSON"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(body, reason):
    with pytest.raises(UnreadableBody, match=reason):
        parse(body)


@pytest.mark.parametrize("body", [b"", b"{}", b' \r\n\t{"resourceSpans": []}', b'\xef\xbb\xbf{"resourceSpans": null}'])
def test_a_body_without_spans_is_read(body):
    parsed = parse(body)

    assert (parsed.events, parsed.rejected) == ([], [])


def test_more_events_than_a_body_may_have_make_it_unreadable_and_spans_that_are_none_do_not():
    few = FormatSettings(user_key=b"test", max_events=2)
    others = [a_span({"http.route": "/"}, number=number) for number in range(10, 20)]

    assert len(parse(a_request(*others, a_span(USED)), settings=few).events) == 1
    with pytest.raises(UnreadableBody, match="more than 2 events"):
        parse(a_request(*(a_span(USED, number=number) for number in (1, 2, 3))), settings=few)


def test_a_body_of_nothing_but_spans_is_not_read_to_its_end():
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(wire.MOST_SPANS + 1):
        spans.add()

    with pytest.raises(UnreadableBody, match="more than 100000 spans"):
        parse(request.SerializeToString())


def test_of_a_spans_attributes_the_first_thousand_are_looked_at():
    noise = {f"noise.{number}": "x" for number in range(wire.MOST_ATTRIBUTES)}

    assert event_of({**USED, **noise, "use_case": "late"}).use_case == ""
    assert parse(a_request(a_span({**noise, **USED}))).events == []


def test_a_test_of_the_connection_gives_nothing():
    assert parse(a_request(a_span(USED)), headers={"x-test-connection": "true"}).events == []
    assert len(parse(a_request(a_span(USED)), headers={"x-test-connection": "false"}).events) == 1
