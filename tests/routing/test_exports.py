"""The forms of the rules: what each renders, to the letter, what it refuses, and what the matrix says of it."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from catalog.services.gateways import EXPORTED_KINDS
from routing.rules import exports
from routing.rules.exports import CODES, FEATURES, FORMS
from routing.rules.exports.parts import ASKED_OF_NO_RULE, NO, OUT, needs
from tests.routing.making_exports import (
    DEEPSEEK,
    FLASH,
    GPT,
    MINI,
    NOON,
    OFFERINGS,
    OPUS,
    content,
    frozen,
    limit,
    rule,
)

GOLDEN = Path(__file__).parent / "exports"
README = Path(exports.__file__).parent / "README.md"
OURS = [name for name in FORMS if name != "litellm"]  # LiteLLM's file is read by LiteLLM: tests/gateways

HARD = {"all": [{"field": "task", "op": "eq", "value": "code"}, {"field": "complexity", "op": "gte", "value": "0.75"}]}
CONDITIONAL = content(
    rule(
        id="code-high", title="Hard code work", use_cases=["Code-Review"], when=HARD,
        targets=[{"offering": OPUS, "weight": 9000}, {"offering": GPT, "weight": 1000}],
        fallbacks=[FLASH, DEEPSEEK], timeout_ms=30_000,
        over_budget={"targets": [{"offering": FLASH, "weight": 10_000}]},
    ),
    rule(
        id="batch", when={"any": [{"field": "batch", "op": "eq", "value": True},
                                  {"not": {"field": "tag:env", "op": "in", "value": ["prod", "stage"]}}]},
        choose="order", targets=[{"offering": DEEPSEEK}, {"offering": MINI}],
    ),
)  # fmt: skip
PER_USE_CASE = content(
    rule(
        id="review", use_cases=["code-review"], targets=[{"offering": OPUS, "weight": 10_000}], fallbacks=[GPT, MINI],
        max_usd_per_1k_tokens="0.02", over_budget={"targets": [{"offering": MINI, "weight": 10_000}]},
    ),
    rule(
        id="support", use_cases=["Support", "claims"], targets=[{"offering": MINI, "weight": 10_000}], timeout_ms=9000,
    ),
)  # fmt: skip
FRONTIER_SPENT = {
    "id": "b-17", "match": {"use_case": ["code-review"], "tier": ["frontier"]}, "state": "exceeded",
    "action": "downgrade", "until": "2026-12-01T00:00:00Z",
}  # fmt: skip
TEAM_SPENT = FRONTIER_SPENT | {"id": "b-18", "match": {"team": ["core"], "offering": [OPUS]}}
DEEPSEEK_OFF = {"provider": "deepseek", "off": True, "until": "2026-11-20T12:00:30Z", "reason": "a bad hour"}
LIMITS = (
    limit(17, scope={"provider": ("anthropic",)}, amount="250.5", period="week"),
    limit(18, scope={"use_case": ("Code-Review", "review"), "tier": ("frontier",)}, amount="0.1"),
)
CASES = {
    "bifrost": frozen(CONDITIONAL, revision=881, budgets=[TEAM_SPENT])._replace(limits=LIMITS),
    "cloudflare": frozen(CONDITIONAL, revision=881, budgets=[FRONTIER_SPENT], switches=[DEEPSEEK_OFF])._replace(
        limits=LIMITS
    ),
    "openrouter": frozen(PER_USE_CASE, revision=881),
    "vercel": frozen(PER_USE_CASE, revision=881, budgets=[FRONTIER_SPENT]),
    "openclaw": frozen(PER_USE_CASE, revision=881, switches=[{"offering": GPT, "off": True, "until": None}]),
}


@pytest.mark.parametrize("name", OURS)
def test_a_form_is_written_to_the_letter_and_the_same_every_time(name):
    form, rules = FORMS[name], CASES[name]

    assert form.unfit(rules) == []
    rendered = form.render(rules)

    assert rendered == (GOLDEN / f"{name}.json").read_bytes()
    assert rendered == form.render(rules._replace(content=json.loads(json.dumps(rules.content))))


def test_shares_as_they_are_written_for_bifrost_add_up_to_one():
    thirds = [{"offering": name, "weight": weight} for name, weight in ((OPUS, 3333), (GPT, 3333), (MINI, 3334))]
    rules = frozen(content(rule(targets=thirds)))

    written = json.loads(FORMS["bifrost"].render(rules), parse_float=Decimal)

    shares = [one["weight"] for one in written["governance"]["routing_rules"][0]["targets"]]
    assert (shares, sum(shares)) == ([Decimal("0.3333"), Decimal("0.3333"), Decimal("0.3334")], 1)


NEEDED = {
    "use_cases": rule(use_cases=["support"]),
    "conditions": rule(when={"field": "task", "op": "eq", "value": "x"}),
    "tags": rule(when={"field": "tag:env", "op": "eq", "value": "x"}),
    "text_order": rule(when={"field": "task", "op": "gt", "value": "x"}),
    "lists": rule(when={"field": "modalities", "op": "contains", "value": "image"}),
    "clock": rule(when={"field": "hour", "op": "lt", "value": 6, "zone": "UTC"}),
    "window": rule(active_from="2027-01-01T00:00:00Z"),
    "split": rule(targets=[{"offering": OPUS, "weight": 5000}, {"offering": MINI, "weight": 5000}]),
    "sticky": rule(targets=[{"offering": OPUS, "weight": 5000}, {"offering": MINI, "weight": 5000}], sticky_by="user"),
    "order": rule(choose="order", targets=[{"offering": OPUS}, {"offering": MINI}]),
    "fallbacks": rule(fallbacks=[MINI]),
    "over_budget": rule(over_budget={"targets": [{"offering": MINI, "weight": 10_000}]}),
    "timeout": rule(timeout_ms=1000),
    "params": rule(params={"openai": {"reasoning": "low"}}),
}
LABELLED = content(
    NEEDED["conditions"], heuristics={"tasks": [{"task": "x", "any": [{"count": "lines", "at_least": 1}]}]}
)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("feature", [*NEEDED, "labels"])
def test_a_form_refuses_what_its_matrix_says_it_cannot_say_and_nothing_else(name, feature):
    form = FORMS[name]
    rules = frozen(LABELLED if feature == "labels" else content(NEEDED[feature]))

    asked = {need.feature for need in needs(rules)}
    refused = {one.code for one in form.unfit(rules)}
    left_out = {one.code for one in form.left_out(rules)}

    assert feature in asked
    assert refused == {one for one in asked if form.says[one] == NO}
    assert left_out == {one for one in asked if form.says[one] == OUT}
    if not refused:
        json.loads(form.render(rules))


def test_every_feature_is_tried_and_every_reason_is_of_the_closed_list():
    assert set(NEEDED) | {"labels"} | ASKED_OF_NO_RULE == set(FEATURES)
    assert set(FEATURES) < set(CODES)
    assert {form.kind for form in FORMS.values()} == EXPORTED_KINDS | {"litellm"}


@pytest.mark.parametrize("name", ["bifrost", "openrouter", "vercel", "openclaw"])
def test_requests_that_are_blocked_are_refused_where_the_form_cannot_block(name):
    spent = FRONTIER_SPENT | {"action": "block", "match": {"use_case": ["code-review"]}}

    refused = FORMS[name].unfit(frozen(PER_USE_CASE, budgets=[spent]))

    assert {(one.pointer, one.code) for one in refused} == {("/rules/0", "block")}


@pytest.mark.parametrize("name", OURS)
def test_what_has_no_name_there_is_refused_and_what_the_catalogue_names_holds(name):
    ours = OFFERINGS[MINI] | {"provider": "self-hosted", "gateway_names": {}}
    unnamed = content(rule(), offerings=OFFERINGS | {MINI: ours})
    form = FORMS[name]
    named = content(rule(), offerings=OFFERINGS | {GPT: OFFERINGS[GPT] | {"gateway_names": {form.kind: "openai/ours"}}})

    assert [(one.pointer, one.code) for one in form.unfit(frozen(unnamed))] == [
        ("/default/targets/0/offering", "no_name")
    ]
    assert b"ours" in form.render(frozen(named))


def test_a_budget_of_one_gateway_holds_for_that_one_alone():
    spent = FRONTIER_SPENT | {"match": {"gateway": ["edge"], "offering": [GPT]}}
    form, rules = FORMS["bifrost"], content(rule(fallbacks=[MINI]))

    assert [one.code for one in form.unfit(frozen(rules, budgets=[spent]))] == ["gateway"]
    assert b"gpt-5.5" not in form.render(frozen(rules, gateway="edge", budgets=[spent]))
    assert b"gpt-5.5" in form.render(frozen(rules, gateway="other", budgets=[spent]))


def test_a_rule_that_has_ended_is_left_out_and_one_that_will_begin_is_refused():
    ended = content(rule(active_until="2026-11-20T12:00:00Z", when=NEEDED["clock"]["when"]))
    begun = content(rule(active_from="2026-11-20T12:00:00Z"))
    form = FORMS["bifrost"]

    assert len(json.loads(form.render(frozen(ended)))["governance"]["routing_rules"]) == 1
    assert form.unfit(frozen(begun)) == []
    assert [one.code for one in form.unfit(frozen(begun, at=NOON - timedelta(seconds=1)))] == ["window"]


def test_providers_that_could_take_each_others_models_are_not_made_one_list():
    azure = OFFERINGS[GPT] | {"provider": "azure", "gateway_names": {"openrouter": "openai/gpt-5.5"}}
    mixed = content(rule(fallbacks=[OPUS]), offerings=OFFERINGS | {GPT: azure})

    assert [one.code for one in FORMS["openrouter"].unfit(frozen(mixed))] == ["providers"]
    assert FORMS["openrouter"].unfit(frozen(content(rule(fallbacks=[OPUS])))) == []


def test_the_readme_has_the_matrix_that_the_code_goes_by():
    words = {"yes": "yes", OUT: "left out", NO: "no"}
    head = ["Rules may have", *(form.title for form in FORMS.values())]
    rows = [
        [title, *(words[form.says[feature]] for form in FORMS.values())] for feature, title in FEATURES.items()
    ]  # fmt: skip
    table = "\n".join(
        f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)
    )  # fmt: skip

    assert table in README.read_text(), f"the matrix is\n{table}"


def test_every_code_is_explained_in_the_readme():
    text = README.read_text()

    assert [code for code in CODES if f"`{code}`" not in text] == []
