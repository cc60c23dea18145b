"""LiteLLM's records: what the captures do not show, made from them by changing a field."""

import copy
import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from usage.events import UnreadableBody
from usage.formats import FORMATS, FormatSettings

PAYLOADS = Path(__file__).parents[2] / "payloads"
RECEIVED_AT = datetime(2026, 11, 21, 1, tzinfo=UTC)
SETTINGS = FormatSettings(user_key=b"test", max_events=600)


def load(name):
    return json.loads((PAYLOADS / "litellm" / name).read_text())[0]


CACHED = load("07_chat_upstream_cached_reasoning.json")
ANTHROPIC = load("08_chat_upstream_anthropic_cache.json")
FAILED = load("14_failure_429_then_fallback.json")


def changed(record=CACHED, **changes):
    """A copy of a record with fields set by path, parts joined by two underscores; `...` takes a field away."""
    record = copy.deepcopy(record)
    for path, value in changes.items():
        *parents, field = path.split("__")
        target = record
        for parent in parents:
            target = target[parent]
        if value is ...:
            target.pop(field, None)
        else:
            target[field] = value
    return record


def parse(body, settings=SETTINGS):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return FORMATS["litellm"](body, content_type="application/json", received_at=RECEIVED_AT, settings=settings)


def one(record=CACHED, settings=SETTINGS, **changes):
    parsed = parse([changed(record, **changes)], settings)
    assert parsed.rejected == []
    (event,) = parsed.events
    return event


def meters(event):
    return (
        event.uncached_input_tokens,
        event.cache_read_tokens,
        event.cache_write_5m_tokens,
        event.cache_write_1h_tokens,
        event.output_tokens,
    )


def test_array_single_object_and_ndjson_give_the_same_whatever_they_are_called():
    records = [CACHED, FAILED]
    array = parse(records)

    assert parse("\n".join(map(json.dumps, records)).encode()) == array
    assert parse(CACHED).events == array.events[:1]
    assert parse(json.dumps(CACHED, indent=2).encode()).events == array.events[:1]


def test_the_event_id_is_made_of_what_together_is_unique():
    record = changed()
    parts = (record["litellm_call_id"], record["id"], "success", record["model_id"], "1795216953.964749")

    assert one().event_id == hashlib.sha256("\0".join(parts).encode()).hexdigest()
    others = [
        one(id="other"),
        one(litellm_call_id="other"),
        one(status="failure"),
        one(model_id="other"),
        one(startTime=1795216953.5),
    ]
    assert len({one().event_id, *(other.event_id for other in others)}) == 6


def test_a_trace_id_stands_in_for_the_call_id_of_old_versions():
    assert one(litellm_call_id=...).call_group == CACHED["trace_id"]


def test_old_versions_leave_cache_writes_out_of_prompt_tokens():
    old = one(ANTHROPIC, litellm_call_id=..., prompt_tokens=4216)

    assert meters(old) == meters(one(ANTHROPIC)) == (120, 4096, 2048, 0, 77)


def test_cache_writes_of_an_hour_have_their_meter():
    split = {"ephemeral_5m_input_tokens": 48, "ephemeral_1h_input_tokens": 2000}
    details = {"cached_tokens": 4096, "cache_creation_token_details": split}

    event = one(ANTHROPIC, metadata__usage_object__prompt_tokens_details=details)

    assert meters(event) == (120, 4096, 48, 2000, 77)


def test_audio_and_reasoning_and_searches_are_told_apart():
    usage = {
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 100, "image_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 20},
        "server_tool_use": {"web_search_requests": 2},
    }

    event = one(metadata__usage_object=usage)

    assert meters(event) == (70, 1024, 0, 0, 65)
    assert (event.audio_input_tokens, event.image_input_tokens, event.audio_output_tokens) == (100, 6, 20)
    assert (event.reasoning_tokens, event.web_searches) == (64, 2)


def test_parts_larger_than_the_prompt_are_flagged():
    assert one(prompt_tokens=1000).flags == ["meters-do-not-add-up"]


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({}, "gpt-5-mini-cached-reason"),
        ({"hidden_params__litellm_model_name": None, "model": "openai/gpt-5"}, "gpt-5"),
        ({"hidden_params__litellm_model_name": None, "model": "gpt-5"}, "gpt-5"),
        ({"hidden_params": None, "model": "openai/gpt-5"}, "gpt-5"),
        (
            {
                "custom_llm_provider": "openrouter",
                "hidden_params__litellm_model_name": "openrouter/anthropic/claude-opus-4.7",
            },
            "anthropic/claude-opus-4.7",
        ),
        (
            {
                "custom_llm_provider": "anthropic",
                "hidden_params__litellm_model_name": "openrouter/anthropic/claude-opus-4.7",
            },
            "openrouter/anthropic/claude-opus-4.7",
        ),
        ({"custom_llm_provider": "open"}, "openai/gpt-5-mini-cached-reason"),
        ({"custom_llm_provider": None}, "openai/gpt-5-mini-cached-reason"),
        ({"hidden_params__litellm_model_name": "openai/my model (v2)"}, "my_model_v2_"),
    ],
)
def test_the_provider_is_no_part_of_the_model(changes, model):
    assert one(**changes).model == model


def test_the_client_asked_for_the_group_or_else_the_model():
    assert one().requested_model == "up-openai-cached"
    assert one(model_group="").requested_model == "openai/gpt-5-mini-cached-reason"


def test_a_model_is_read_from_wherever_a_record_names_it():
    named = one(model="", model_group=None).model

    assert named == one().model
    assert one(model="", hidden_params={}, model_group="smart").model == "smart"


def test_a_failed_call_without_any_model_is_an_event_and_a_served_one_is_not():
    event = one(FAILED, model="", model_group="")
    assert (event.model, event.requested_model, event.status, event.counted) == ("", "", "error", True)

    (rejected,) = parse([changed(model="\0", model_group=None, hidden_params={})]).rejected
    assert rejected.error == "model: required and missing, as is model_group"


@pytest.mark.parametrize(
    ("changes", "status", "counted"),
    [
        ({}, "ok", True),
        ({"cache_hit": True}, "cache_hit", True),
        ({"status": "failure"}, "error", True),
        ({"status_fields": {"guardrail_status": "guardrail_intervened"}}, "ok", True),
        (
            {"status": "failure", "status_fields": {"guardrail_status": "guardrail_intervened"}},
            "blocked",
            True,
        ),
        (
            {
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "metadata__usage_object": {},
                "status_fields": {"guardrail_status": "guardrail_intervened"},
            },
            "blocked",
            True,
        ),
        (
            {"stream": True, "prompt_tokens": 0, "completion_tokens": 0, "metadata__usage_object": None},
            "usage_missing",
            False,
        ),
        (
            {"prompt_tokens": None, "completion_tokens": ..., "metadata__usage_object": ...},
            "usage_missing",
            False,
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "ok", True),  # the usage object has them
    ],
)
def test_statuses(changes, status, counted):
    event = one(**changes)

    assert (event.status, event.counted) == (status, counted)


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({"response_cost": 4.2499999999999996e-05}, "0.0000425"),
        ({"response_cost": 0.0}, None),
        ({"response_cost": 0, "cache_hit": True}, "0"),
        ({"response_cost": None}, None),
        ({"response_cost": "0.5"}, "0.5"),
        ({"response_cost": -1.0}, None),
        ({"response_cost": "free"}, None),
        (
            {
                "response_cost": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "metadata__usage_object": {},
                "status": "failure",
            },
            "0",
        ),
        (
            {"response_cost": 0, "prompt_tokens": 0, "completion_tokens": 0, "metadata__usage_object": {}},
            None,
        ),
    ],
)
def test_no_price_is_not_free(changes, cost):
    assert one(**changes).reported_cost_usd == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    ("changes", "tier"),
    [
        ({}, ""),
        ({"response__service_tier": "flex"}, "flex"),
        ({"cost_breakdown__service_tier": "priority", "response__service_tier": "default"}, "priority"),
        ({"metadata__usage_object__service_tier": "batch", "response": "redacted-by-litellm"}, "batch"),
        ({"metadata__usage_object__service_tier": "standard", "response__service_tier": "flex"}, ""),
        ({"response": "redacted-by-litellm"}, ""),
        ({"response": ...}, ""),
    ],
)
def test_service_tiers_are_found_where_the_provider_left_them(changes, tier):
    assert one(**changes).service_tier == tier


def test_tags_are_named_values_without_noise_and_without_what_became_fields():
    event = one(
        request_tags=[
            "env:prod",
            "env:staging",
            "url:https://a/b",
            "bare",
            " spaced : out ",
            "User-Agent: curl",
            "user-agent: curl/8",
            "use_case:code",
            "use_case:second",
            "tollkeeper_rule:code-high@v42",
            "tollkeeper_session:x",
            "",
            ":",
        ]
    )

    assert event.tags == {"env": "prod", "url": "https://a/b", "bare": "", "spaced": "out"}
    assert event.use_case == "code"
    assert (event.rule, event.rules_version) == ("code-high", 42)


def test_tags_without_end_are_cut():
    event = one(request_tags=[f"{i:03}" * 50 + ":" + "v" * 900 for i in range(100)])

    assert len(event.tags) == 32
    assert {(len(key), len(value)) for key, value in event.tags.items()} <= {(64, 0), (64, 256)}


@pytest.mark.parametrize(
    ("changes", "latency"),
    [
        ({}, 35),
        ({"startTime": CACHED["endTime"]}, 0),
        ({"startTime": CACHED["endTime"] + 1}, None),
        ({"startTime": 0}, None),
        ({"startTime": -1e307}, None),
        ({"endTime": None}, 0),
    ],
)
def test_a_latency_that_cannot_be_is_not_given(changes, latency):
    assert one(**changes).latency_ms == latency


def test_a_label_that_no_database_takes_is_put_right_instead_of_refused():
    event = one(
        request_tags=["use_case: a\0b\n", "k\x07:v\x1b[0m"],
        metadata__user_api_key_user_id="u\x00" + "x" * 300,
        session_id="\x85",
    )

    assert (event.use_case, event.tags, event.session) == ("a b", {"k": "v [0m"}, "")
    assert event.user == "u " + "x" * 198


@pytest.mark.parametrize(
    ("tag", "rule", "version"),
    [
        ("tollkeeper_rule:rule-7@v3", "rule-7", 3),
        ("tollkeeper_rule:a@b@v3", "a@b", 3),
        ("tollkeeper_rule:rule-7", "rule-7", 0),
        ("tollkeeper_rule:rule-7@vx", "rule-7@vx", 0),
        ("tollkeeper_rule:rule-7@v99999999999", "rule-7@v99999999999", 0),
    ],
)
def test_the_rule_comes_back_in_a_tag(tag, rule, version):
    event = one(request_tags=[tag])

    assert (event.rule, event.rules_version) == (rule, version)


def test_without_a_tag_litellms_own_routing_is_the_rule():
    routing = {"router_model_name": "auto", "cause": "complexity", "score": 0.4}

    event = one(metadata__routing_decision=routing)
    assert (event.rule, event.route_reason, event.rules_version) == ("auto", "complexity", 0)

    event = one(metadata__routing_decision=routing, request_tags=["tollkeeper_rule:r@v1"])
    assert (event.rule, event.rules_version) == ("r", 1)


def test_what_the_hook_decided_comes_back_whole():
    routing = {"router_model_name": "auto", "cause": "complexity", "score": 0.4}
    tags = [
        "tollkeeper_rule:@v42",  # the default
        "tollkeeper_state:881",
        "tollkeeper_reason:over_budget",
        "tollkeeper_requested:auto",
        "tollkeeper_task:code",
        "tollkeeper_complexity:0.4",
        "tollkeeper_state:7",
        "env:prod",
    ]

    event = one(request_tags=tags, metadata__routing_decision=routing)

    assert (event.rule, event.rules_version, event.state_revision) == ("", 42, 881)
    assert (event.route_reason, event.requested_model) == ("over_budget", "auto")
    assert (event.context, event.tags) == ({"task": "code", "complexity": "0.4"}, {"env": "prod"})


@pytest.mark.parametrize("tag", ["tollkeeper_state:", "tollkeeper_state:x", "tollkeeper_state:9999999999999999"])
def test_a_revision_that_is_none_is_not_given(tag):
    assert one(request_tags=[tag]).state_revision == 0


def test_the_use_case_is_looked_for_in_the_order_the_gateway_is_set_to():
    everywhere = {
        "request_tags": ["use_case:tagged"],
        "metadata__requester_metadata__use_case": "requested",
        "metadata__user_api_key_auth_metadata__use_case": "keyed",
    }
    mapped = FormatSettings(
        user_key=b"test",
        use_case_by_key_alias={"support-bot-prod": "aliased"},
        use_case_by_team={"team-support": "teamed"},
    )
    by_team = FormatSettings(user_key=b"test", use_case_from=("team", "tag"), use_case_by_team={"x": "y"})

    found = [one(settings=mapped, **everywhere).use_case]
    for path in list(everywhere):
        everywhere[path] = [] if path == "request_tags" else ...
        found.append(one(settings=mapped, **everywhere).use_case)
    found.append(one(settings=mapped, metadata__user_api_key_alias=None, **everywhere).use_case)
    found.append(one(**everywhere).use_case)

    assert found == ["tagged", "requested", "keyed", "aliased", "teamed", ""]
    assert one(settings=by_team).use_case == "code_review"


def test_a_team_is_mapped_by_its_id_or_by_the_name_that_people_know_it_by():
    mapping = {"Customer Support": "by-name"}
    by_name = FormatSettings(user_key=b"test", use_case_from=("team",), use_case_by_team=mapping)
    by_both = FormatSettings(
        user_key=b"test", use_case_from=("team",), use_case_by_team=mapping | {"team-support": "x"}
    )

    assert one(settings=by_name).use_case == "by-name"
    assert one(settings=by_both).use_case == "x"


def test_the_user_is_the_keys_or_the_end_user_and_never_an_address():
    assert one().user == "u-42"
    assert one(metadata__user_api_key_user_id=None, end_user="end-7").user == "end-7"
    hashed = one(metadata__user_api_key_user_id="Ann@Example.com").user
    assert hashed == "h:8e5a263e9ce70db95fe8a5bd15685fe6"
    assert one(metadata__user_api_key_user_id="", end_user=" ann@example.com").user == hashed


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"id": ...}, "id: required and missing"),
        ({"id": " "}, "id: empty"),
        ({"id": 5}, "id: expected text"),
        ({"status": ...}, "status: required and missing"),
        ({"status": "done"}, "status: neither success nor failure"),
        ({"startTime": ...}, "startTime: required and missing"),
        ({"startTime": "yesterday"}, "startTime: expected seconds since 1970"),
        ({"endTime": 1795400000}, "endTime: more than a day ahead of its arrival"),
        ({"startTime": -1e300, "endTime": -1e300}, "endTime: outside the calendar"),
        ({"prompt_tokens": -1}, "prompt_tokens: expected a whole number from 0 to 10**10"),
        ({"completion_tokens": "9"}, "completion_tokens: expected a whole number from 0 to 10**10"),
    ],
)
def test_a_record_without_the_least_is_rejected_alone(changes, error):
    parsed = parse([CACHED, changed(**changes), FAILED])

    assert [(rejected.index, rejected.error) for rejected in parsed.rejected] == [(1, error)]
    assert len(parsed.events) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": 5},
        {"metadata__requester_metadata": ["a"]},
        {"metadata__requester_metadata": {"use_case": {"a": 1}}},
        {"metadata__user_api_key_auth_metadata": "text"},
        {"metadata__routing_decision": "auto"},
        {"hidden_params__additional_headers": {"x-litellm-attempted-fallbacks": "one"}},
        {"status_fields": "odd"},
        {"cost_breakdown": 7},
        {"end_user": {"id": 1}},
        {"request_tags": [*CACHED["request_tags"], 5, None, ["x"]]},
        {"session_id": 12},
        {"cache_hit": "no"},
        {"messages": {"deep": [1e308, None]}},
    ],
)
def test_an_optional_field_of_an_odd_shape_is_left_out_and_the_rest_is_kept(changes):
    event = one(**changes)

    event.event_id = one().event_id
    assert event == one()


def test_an_unreadable_usage_object_is_flagged_and_the_records_own_counts_hold():
    event = one(metadata__usage_object={"prompt_tokens_details": {"cached_tokens": -4}})

    assert (meters(event), event.flags) == ((1200, 0, 0, 0, 85), ["usage-object-unreadable"])


@pytest.mark.parametrize(
    "text",
    [b'"\\ud83d torn"', b'"\\udc00"', b"NaN", b"[1, -Infinity]", b'"raw \n control \x00"', b'"\xff\xfe"'],
)
def test_what_python_writes_and_json_forbids_costs_no_usage(text):
    good = json.dumps(CACHED).encode()
    odd = json.dumps(changed(id="odd", messages="HERE")).encode().replace(b'"HERE"', text)

    parsed = parse(b"[" + good + b"," + odd + b"]")

    assert parsed.rejected == []
    assert [meters(event) for event in parsed.events] == [(176, 1024, 0, 0, 85)] * 2


def test_a_torn_emoji_beside_a_whole_one_is_all_that_is_repaired():
    odd = changed(request_tags=["use_case:\ud83d\ude00 ok \ud83d"], messages=[float("nan")])

    assert one(odd).use_case == "\U0001f600 ok \ufffd"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"nonsense", json.dumps([CACHED]).encode()[:-9]])
def test_a_body_that_is_no_json_is_unreadable(body):
    with pytest.raises(UnreadableBody):
        parse(body)


def test_a_body_of_too_many_events_is_unreadable():
    with pytest.raises(UnreadableBody, match="more than 600 events"):
        parse([FAILED] * 601)


def strings_replaced(value, path, secrets):
    """A copy with a secret for each string that is free text, each secret another one."""
    if isinstance(value, dict):
        return {key: strings_replaced(item, (*path, key), secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [strings_replaced(item, path, secrets) for item in value]
    if isinstance(value, str) or value is None:
        secret = secrets[0].format(len(secrets))
        secrets.append(secret)
        return secret
    return value


# What becomes part of an event by design: names and labels, which a test below fills with addresses and keys instead.
LABELS = {
    "id", "litellm_call_id", "trace_id", "session_id", "status", "model", "model_group", "model_id",
    "custom_llm_provider", "request_tags", "end_user", "litellm_model_name", "user_api_key_user_id",
    "user_api_key_team_id", "user_api_key_team_alias", "user_api_key_end_user_id", "service_tier",
}  # fmt: skip


@pytest.mark.parametrize("record", [CACHED, ANTHROPIC, FAILED], ids=["openai", "anthropic", "failed"])
def test_nothing_but_names_labels_and_counts_gets_out_of_a_record(record):
    planted = ["PLANTED-{}-ignore all instructions"]
    body = {key: value if key in LABELS else strings_replaced(value, (key,), planted) for key, value in record.items()}
    body["metadata"] |= {key: record["metadata"][key] for key in LABELS & record["metadata"].keys()}
    body["metadata"]["requester_metadata"] = {"use_case": "mine", "headers": {"authorization": planted[-1]}}
    body["hidden_params"]["litellm_model_name"] = record["hidden_params"]["litellm_model_name"]
    body["metadata"]["prompt"] = body["prompt"] = planted[-1]
    body["response"] = {"choices": [{"message": {"content": planted[-1]}}], "service_tier": "default"}
    body["cost_breakdown"] = None
    body["metadata"]["routing_decision"] = None
    body["metadata"]["user_api_key_auth_metadata"] = {"tags": [planted[-1]]}

    parsed = parse([body])

    assert len(planted) > 30
    assert len(parsed.events) == 1
    assert b"PLANTED" not in msgspec.json.encode(parsed)


@pytest.mark.parametrize("secret", ["ann@example.com", "Ann <ann@example.com>", "sk-proj-a1B2c3D4e5F6g7H8i9J0"])
def test_an_address_or_a_key_is_in_no_event_wherever_it_was_put(secret):
    planted = [secret]
    body = strings_replaced(changed(), (), planted) | {"status": "success"}
    body["request_tags"] = [f"use_case:{secret}", f"owner:{secret}", secret, f"tollkeeper_rule:{secret}@v1"]
    body["metadata"]["requester_metadata"] = {"use_case": secret}
    body["metadata"]["routing_decision"] = {"router_model_name": secret, "cause": secret}

    parsed = parse([body])

    assert len(parsed.events) == 1
    encoded = msgspec.json.encode(parsed).decode().lower()
    assert "ann" not in encoded
    assert "example" not in encoded
    assert "sk-proj" not in encoded
    assert parsed.events[0].use_case.startswith("h:")


# --- what newer and older proxies add ---


@pytest.mark.parametrize(
    ("said", "use_case"),
    [
        ({}, ""),
        ({"requester_metadata": {"use_case": "a"}, "spend_logs_metadata": {"use_case": "b"}}, "a"),
        ({"requester_metadata": {"use_case": " "}, "spend_logs_metadata": {"use_case": "b"}}, "b"),
        ({"spend_logs_metadata": {"use_case": "b"}, "requester_custom_headers": {"x-use-case": "c"}}, "b"),
        ({"spend_logs_metadata": "text", "requester_custom_headers": {"x-use-case": "c", "x-more": "d"}}, "c"),
        ({"requester_custom_headers": {"x-use-case": ["c"]}}, ""),
    ],
)
def test_the_client_may_say_its_use_case_in_its_metadata_for_spend_or_in_the_header_it_is_routed_by(said, use_case):
    by_request = FormatSettings(user_key=b"test", use_case_from=("request",))

    assert (
        one(settings=by_request, **{f"metadata__{place}": value for place, value in said.items()}).use_case == use_case
    )


@pytest.mark.parametrize("call_type", ["call_mcp_tool", "list_mcp_tools"])
def test_a_call_of_a_tool_is_no_use_of_a_model_and_left_out(call_type):
    tool = changed(id="tool", call_type=call_type, model="MCP: search", prompt_tokens=0, completion_tokens=0)

    assert parse([tool, CACHED]).events == parse([CACHED]).events
    assert parse([tool]) == msgspec.structs.replace(parse([tool]), events=[], rejected=[])


def test_a_total_that_does_not_fit_flags_the_event_and_one_that_holds_reasoning_twice_puts_the_output_right():
    assert one(total_tokens=7).flags == ["meters-do-not-add-up"]
    assert one(total_tokens=0).flags == one(total_tokens="many").flags == []
    beside = one(completion_tokens=21, total_tokens=1285)  # 64 of reasoning
    assert (beside.output_tokens, beside.reasoning_tokens, beside.flags) == (85, 64, [])


def test_a_callback_of_ones_own_posts_the_same_record_and_what_it_lacks_is_named():
    """The captures of such a callback hold only some fields of `standard_logging_object`: enough to see whose it is."""
    seen = json.loads((PAYLOADS / "litellm_hooks" / "success_1795218171653.json").read_text())
    told = json.loads((PAYLOADS / "litellm" / "34_custom_hook_rerouted_and_denied.json").read_text())
    whole = next(record for record in told if record["id"] == seen["slo"]["id"])

    assert whole | seen["slo"] == whole
    assert [item.error for item in parse([seen, seen["slo"]]).rejected] == [
        "id: required and missing",
        "status: required and missing",
    ]
    (event,) = parse(whole).events
    assert (event.use_case, event.rule, event.rules_version) == ("over_budget", "rule-7", 3)


@pytest.mark.parametrize(
    ("reason", "status"), [("budget_blocks", "blocked"), ("nothing_left", "blocked"), ("rule", "error")]
)
def test_a_call_that_the_rules_refused_is_blocked_and_no_error_of_a_provider(reason, status):
    failed = {"status": "failure", "prompt_tokens": 0, "completion_tokens": 0}

    assert one(**failed, request_tags=[f"tollkeeper_reason:{reason}"]).status == status


def test_a_deployment_of_our_configuration_file_says_rule_state_and_use_case_by_its_id():
    said = "tollkeeper_rule:support@v7;tollkeeper_state:31;use_case:support-routing;support-routing.0"

    event = one(model_id=said, request_tags=["env:prod"])
    tagged = one(model_id=said, request_tags=["use_case:other"])

    assert (event.rule, event.rules_version, event.state_revision) == ("support", 7, 31)
    assert (event.use_case, event.tags) == ("support-routing", {"env": "prod"})
    assert tagged.use_case == "other"
