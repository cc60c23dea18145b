"""What is rendered for Cloudflare, walked element by element and held to the evaluator."""

import json

from hypothesis import given
from hypothesis import strategies as st

from routing.rules import evaluator
from routing.rules.exports import FORMS
from tests.drawing import drawn
from tests.routing.making_exports import (
    CONTEXTS,
    DEEPSEEK,
    GPT,
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

CLOUDFLARE = FORMS["cloudflare"]
THEIRS = {"google": "google-ai-studio"}
REQUESTS = [f"request-{number}" for number in range(32)]
NOT_THERE = frozenset({"modalities", "order"})


def called(offering):
    facts = OFFERINGS[offering]
    provider = THEIRS.get(facts["provider"], facts["provider"])
    return provider, facts["gateway_names"]["litellm"].partition("/")[2]


def metadata(context):
    """Return what a client says of a request: labels folded, numbers as numbers, no list, nothing that is missing."""
    said = {name: value for name, value in context.items() if name not in ("tags", "modalities")}
    said |= context.get("tags", {})
    for name in {"use_case", "team"} & said.keys():
        said[name] = evaluator.folded(said[name])
    if "complexity" in said:
        said["complexity"] = float(said["complexity"])
    return said


def holds(conditions, said):
    ((path, asked),) = conditions.items()
    assert path.startswith("metadata.")
    value = said.get(path.removeprefix("metadata."))
    ((op, operand),) = asked.items()
    if op == "$exists":
        return (value is not None) is operand
    if value is None:
        return False
    if op == "$in":
        return value in operand
    return {
        "$eq": lambda: value == operand, "$gt": lambda: value > operand, "$gte": lambda: value >= operand,
        "$lt": lambda: value < operand, "$lte": lambda: value <= operand,
    }[op]()  # fmt: skip


def ways(elements, said):
    """Return every way of a request through a route: its models in the order in which they are tried, and its share."""
    by_id = {one["id"]: one for one in elements}
    assert len(by_id) == len(elements)

    def after(name):
        one = by_id[name]
        outputs = {output: leads["elementId"] for output, leads in one["outputs"].items()}
        if one["type"] == "end":
            return {(): 100}
        if one["type"] == "start":
            return after(outputs["next"])
        if one["type"] == "conditional":
            return after(outputs["true" if holds(one["properties"]["conditions"], said) else "false"])
        if one["type"] == "model":
            assert by_id[outputs["success"]]["type"] == "end"
            properties = one["properties"]
            assert set(properties) == {"provider", "model", "retries", "timeout"}
            ((rest, share),) = after(outputs["fallback"]).items()
            return {((properties["provider"], properties["model"]), *rest): share}
        assert one["type"] == "percentage"
        assert len(outputs) <= 5
        left, found = 100, {}
        for output, leads in outputs.items():
            share = left if output == "else" else int(output.removesuffix("%"))
            left -= share
            ((way, _),) = after(leads).items()
            found[way] = found.get(way, 0) + share
        assert left == 0, "the shares are whole"
        return found

    return after(elements[0]["id"])


@drawn(many=2000)
@given(contents(without=NOT_THERE), states(), st.lists(CONTEXTS, min_size=4, max_size=4))
def test_cloudflare_sends_every_request_where_our_evaluator_does(of, state, contexts):
    rules = frozen(of, **state)
    problems = CLOUDFLARE.unfit(rules)
    if problems:
        assert {one.code for one in problems} <= {"metadata", "split_size"}
        return
    route = json.loads(CLOUDFLARE.render(rules))
    ours = evaluator.compile(document(rules))
    for context in contexts:
        decisions = [ours.decide(context | {"request_id": name}, NOON) for name in REQUESTS]

        found = ways(route["elements"], metadata(context))

        wanted = {() if one.blocked else tuple(map(called, (one.offering, *one.fallbacks))) for one in decisions}
        assert wanted <= found.keys()
        assert {way for way, share in found.items() if share >= 25} <= wanted


def test_equal_shares_of_a_route_are_told_apart_by_the_rest():
    shares = [{"offering": OPUS, "weight": 1000}, {"offering": GPT, "weight": 1000}, {"offering": MINI, "weight": 8000}]

    route = json.loads(CLOUDFLARE.render(frozen(content(rule(targets=shares)))))

    assert ways(route["elements"], {}) == {(called(OPUS),): 10, (called(GPT),): 10, (called(MINI),): 80}


def test_shares_that_a_route_cannot_write_are_refused():
    def codes(*weights):
        names = [OPUS, GPT, MINI, DEEPSEEK]
        targets = [{"offering": name, "weight": weight} for name, weight in zip(names, weights, strict=False)]
        return [(one.pointer, one.code) for one in CLOUDFLARE.unfit(frozen(content(rule(targets=targets))))]

    too_fine = [("/rules/0/targets", "split_size")]
    assert [codes(9950, 50), codes(2500, 2500, 2500, 2500), codes(9900, 100)] == [too_fine, too_fine, []]


def test_more_fields_than_a_request_carries_are_refused():
    fields = ["task", "user_tier", "data_class", "region", "tag:env"]
    asked = {"all": [{"field": field, "op": "eq", "value": "x"} for field in fields]}

    five = CLOUDFLARE.unfit(frozen(content(rule(when=asked))))
    six = CLOUDFLARE.unfit(frozen(content(rule(when=asked, use_cases=["support"]))))

    assert five == []
    assert [one.code for one in six] == ["metadata"]
