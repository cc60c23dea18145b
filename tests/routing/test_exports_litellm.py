"""LiteLLM's configuration file: groups, weights and fallbacks are those of the evaluator, and all else is refused."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.rules import evaluator
from routing.rules.conditions import folded
from routing.rules.exports import FORMS
from tests.drawing import drawn
from tests.routing.making_exports import (
    DEEPSEEK,
    GPT,
    LABELS,
    MINI,
    NOON,
    OFFERINGS,
    OPUS,
    content,
    contents,
    document,
    frozen,
    rule,
    states,
)

LITELLM = FORMS["litellm"]
SAID = "tollkeeper_rule:code@v42;tollkeeper_state:1"
KEYED = {"api_key": "os.environ/OPENAI_API_KEY"}


def rendered(*rules: dict[str, Any], state: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    given_rules = frozen(content(*rules, **facts), **(state or {}))
    assert LITELLM.unfit(given_rules) == []
    return json.loads(LITELLM.render(given_rules))


def groups(file: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for one in file["model_list"]:
        found[one["model_name"]].append(one)
    return dict(found)


def test_a_use_case_is_a_group_with_weights_fallbacks_and_settings_and_says_where_it_comes_from():
    code = rule(
        id="code", use_cases=["Code Review"], timeout_ms=1500, fallbacks=[DEEPSEEK],
        targets=[{"offering": GPT, "weight": 9000}, {"offering": OPUS, "weight": 1000}],
        params={"openai": {"temperature": "0.5"}, "anthropic": {"thinking": {"type": "adaptive"}}},
    )  # fmt: skip

    file = rendered(code)

    found = groups(file)
    assert found["code review"] == [
        {
            "model_name": "code review",
            "litellm_params": {"model": "openai/gpt-5.5", **KEYED, "weight": 9, "timeout": 1.5, "temperature": 0.5},
            "model_info": {"id": f"{SAID};use_case:code review;code review.0"},
        },
        {
            "model_name": "code review",
            "litellm_params": {
                "model": "anthropic/claude-opus-4-7", "api_key": "os.environ/ANTHROPIC_API_KEY", "weight": 1,
                "timeout": 1.5, "thinking": {"type": "adaptive"},
            },
            "model_info": {"id": f"{SAID};use_case:code review;code review.1"},
        },
    ]  # fmt: skip
    assert [one["litellm_params"]["model"] for one in found["code review:fallback-1"]] == ["deepseek/deepseek-v4-flash"]
    assert [one["litellm_params"]["model"] for one in found["auto"]] == ["openai/gpt-5-mini"]
    assert found["auto"][0]["model_info"] == {"id": "tollkeeper_rule:@v42;tollkeeper_state:1;auto.0"}
    router = file["router_settings"]
    assert router["fallbacks"] == [{"code review": ["code review:fallback-1"]}, {"auto": ["auto:fallback-1"]}]
    assert (router["num_retries"], "enable_tag_filtering" in router) == (0, False)
    assert "os.environ/TOLLKEEPER_AUTHORIZATION" in json.dumps(file["callback_settings"])


def test_what_is_exceeded_or_switched_off_is_taken_out_and_a_blocked_group_is_not_there():
    over = {"targets": [{"offering": MINI, "weight": 10_000}]}
    code = rule(id="code", use_cases=["code"], over_budget=over, use_default=False)
    budget = {"id": "b", "state": "exceeded", "until": "2026-12-01T00:00:00Z", "match": {"use_case": ["code"]}}
    frontier = {**budget, "match": {"use_case": ["code"], "tier": ["frontier"]}, "action": "downgrade"}
    off = [{"provider": "openai", "off": True, "until": "2026-11-20T13:00:00Z"}]

    downgraded = groups(rendered(code, state={"budgets": [frontier]}))
    blocked = groups(rendered(code, state={"budgets": [{**budget, "action": "block"}]}))
    switched = groups(rendered(code, state={"switches": off}))

    assert [one["litellm_params"]["model"] for one in downgraded["code"]] == ["openai/gpt-5-mini"]
    assert "code" not in blocked
    assert "code" not in switched
    assert [one["litellm_params"]["model"] for one in switched["auto"]] == ["gemini/gemini-3-flash-preview"]


def test_a_house_of_its_own_behind_an_api_like_openais_is_not_called_with_openais_key():
    own = {
        "llama@self-hosted": {
            "model": "llama", "provider": "self-hosted", "tier": "self-hosted",
            "gateway_names": {"litellm": "openai/llama"},
        },
        "claude@bedrock": {
            "model": "claude", "provider": "bedrock", "tier": "frontier",
            "gateway_names": {"litellm": "bedrock/claude"},
        },
    }  # fmt: skip
    targets = [{"offering": "llama@self-hosted", "weight": 10_000}]

    file = rendered(rule(targets=targets, fallbacks=["claude@bedrock"]), offerings={**OFFERINGS, **own})

    first, second = (groups(file)[name][0]["litellm_params"] for name in ("auto", "auto:fallback-1"))
    assert first == {
        "model": "openai/llama", "api_key": "os.environ/SELF_HOSTED_API_KEY",
        "api_base": "os.environ/SELF_HOSTED_API_BASE",
    }  # fmt: skip
    # The usual names hold what the file itself is fetched with.
    assert second["aws_access_key_id"] == "os.environ/BEDROCK_AWS_ACCESS_KEY_ID"


@pytest.mark.parametrize(
    ("facts", "code", "pointer"),
    [
        ({"when": {"field": "task", "op": "eq", "value": "code"}}, "conditions", "/rules/0/when"),
        ({"sticky_by": "session", "targets": [{"offering": GPT, "weight": 5000}, {"offering": OPUS, "weight": 5000}]},
         "sticky", "/rules/0/targets"),
        ({"use_cases": ["auto"]}, "label", "/rules/0/use_cases"),
        ({"use_cases": ["openai/gpt"]}, "label", "/rules/0/use_cases"),
        ({"params": {"openai": {"api_base": "https://elsewhere"}}}, "params", "/rules/0/params"),
        ({"targets": [{"offering": "nameless@x", "weight": 10_000}]}, "no_name", "/rules/0/targets/0/offering"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_say_is_refused_with_its_place(facts, code, pointer):
    offerings = {**OFFERINGS, "nameless@x": {"model": "nameless", "provider": "x"}}

    problems = LITELLM.unfit(frozen(content(rule(**facts), offerings=offerings)))

    assert (code, pointer) in {(one.code, one.pointer) for one in problems}


@drawn(many=2000)
@given(contents(), states(), st.lists(LABELS, min_size=3, max_size=3))
def test_a_group_sends_its_requests_where_our_evaluator_may(of, state, labels):
    for one in of["rules"]:
        one["when"] = None
    given_rules = frozen(of, **state)
    problems = LITELLM.unfit(given_rules)
    if problems:
        assert {one.code for one in problems} <= {
            "conditions", "fallbacks_differ", "label", "too_many_budgets", "sticky",
        }  # fmt: skip
        return
    file = json.loads(LITELLM.render(given_rules))
    found = groups(file)
    fallbacks = {name: rest for each in file["router_settings"]["fallbacks"] for name, rest in each.items()}
    named = {folded(name) for one in of["rules"] for name in one["use_cases"] or ()}
    named |= {name for budget in state["budgets"] for name in budget["match"].get("use_case", ())}
    ours = evaluator.compile(document(given_rules))
    for label in (*labels, "nobody's"):
        group = folded(label) if folded(label) in named else "auto"
        decided = [ours.decide({"use_case": label, "request_id": f"r{n}"}, NOON) for n in range(32)]
        if any(one.blocked for one in decided):
            assert group not in found
        if group not in found:
            continue
        models = {one["litellm_params"]["model"] for one in found[group]}
        rest = [found[name][0]["litellm_params"]["model"] for name in fallbacks.get(group, [])]
        for one in decided:
            assert called(one.offering) in models
            assert [called(name) for name in one.fallbacks] == rest


def called(offering: str) -> str:
    return OFFERINGS[offering]["gateway_names"]["litellm"]
