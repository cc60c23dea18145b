"""What is rendered for Bifrost, run as Bifrost runs it: in Google's own CEL, the first match in order of priority."""

import json
from functools import lru_cache

from cel_expr_python import cel
from hypothesis import given
from hypothesis import strategies as st

from routing.rules import evaluator
from routing.rules.exports import FORMS
from tests.drawing import drawn
from tests.routing.making_exports import (
    CONTEXTS,
    NOON,
    OFFERINGS,
    contents,
    document,
    frozen,
    states,
)  # fmt: skip

BIFROST = FORMS["bifrost"]
# As its engine declares them: without the functions that other hosts of CEL add.
ENVIRONMENT = cel.NewEnv(
    variables={
        "headers": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
        "params": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
        **dict.fromkeys(("model", "provider", "request_type", "team_name", "virtual_key_id"), cel.Type.STRING),
        **dict.fromkeys(("budget_used", "tokens_used", "request"), cel.Type.DOUBLE),
    }
)
REQUESTS = [f"request-{number}" for number in range(32)]


def called(offering):
    names = OFFERINGS[offering]["gateway_names"]
    return names.get("bifrost", names["litellm"])


@lru_cache(maxsize=512)
def program(expression):
    return ENVIRONMENT.compile(expression)


def headers(context):
    """Return what a client says of a request in headers."""
    said = {f"x-{name.replace('_', '-')}": value for name, value in context.items() if name != "tags"}
    said |= {f"x-tag-{name}": value for name, value in context.get("tags", {}).items()}
    return {name: written(value) for name, value in said.items()}


def written(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)


def first(rules, context):
    """Return the rule that takes a request. None of the expressions before it may end in an error."""
    said = headers(context)
    for one in sorted(rules, key=lambda one: one["priority"]):
        result = program(one["cel_expression"]).eval(data={"headers": said})
        assert result.type() == cel.Type.BOOL, (one["cel_expression"], said, result.value())
        if result.value():
            return one
    raise AssertionError("the default takes everything")


@drawn(many=2000)
@given(contents(), states(), st.lists(CONTEXTS, min_size=4, max_size=4))
def test_bifrost_sends_every_request_where_our_evaluator_does(of, state, contexts):
    given_rules = frozen(of, **state)
    problems = BIFROST.unfit(given_rules)
    if problems:
        assert {one.code for one in problems} <= {"block", "fallbacks_differ", "too_many_budgets"}
        return
    rules = json.loads(BIFROST.render(given_rules))["governance"]["routing_rules"]
    ours = evaluator.compile(document(given_rules))
    for context in contexts:
        decisions = [ours.decide(context | {"request_id": name}, NOON) for name in REQUESTS]

        taken = first(rules, context)

        name, _, number = taken["id"].rpartition("@v")
        assert (name or None, int(number)) == (decisions[0].rule, 42)
        shares = {f"{one['provider']}/{one['model']}": one["weight"] for one in taken["targets"]}
        assert {called(one.offering) for one in decisions} <= shares.keys()
        assert {name for name, share in shares.items() if share > 0.25} <= {called(one.offering) for one in decisions}
        for one in decisions:
            left = [other for other in taken["fallbacks"] if other != called(one.offering)]
            assert left == [called(other) for other in one.fallbacks]
