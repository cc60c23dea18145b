"""Forms without conditions, held to the evaluator: one way per use case, and one for all others."""

import json

from hypothesis import given
from hypothesis import strategies as st

from routing.rules import evaluator
from routing.rules.conditions import folded
from routing.rules.exports import FORMS
from tests.drawing import drawn
from tests.routing.making_exports import LABELS, NAMES, NOON, OFFERINGS, document, frozen, states, targets

VERCEL = FORMS["vercel"]
ONE_WAY = targets(weights=((10_000,), (10_000, 0)))


@st.composite
def contents(draw):
    rules = [
        draw(ONE_WAY)
        | {
            "id": f"r{number}",
            "use_cases": draw(st.none() | st.lists(LABELS, min_size=1, max_size=2)),
            "fallbacks": draw(st.lists(NAMES, max_size=3, unique=True)),
            "over_budget": draw(st.none() | ONE_WAY),
            "use_default": draw(st.booleans()),
        }
        for number in range(draw(st.integers(1, 3)))
    ]
    return {
        "rules": rules,
        "default": draw(ONE_WAY) | {"fallbacks": draw(st.lists(NAMES, max_size=2, unique=True))},
    } | {"offerings": OFFERINGS}


def called(offering):
    facts = OFFERINGS[offering]
    return f"{facts['provider']}/{facts['model']}"


@drawn(many=2000)
@given(contents(), states())
def test_each_use_case_goes_where_our_evaluator_sends_it(of, state):
    rules = frozen(of, **state)
    problems = VERCEL.unfit(rules)
    if problems:
        assert {one.code for one in problems} <= {"block", "conditions"}
        return
    written = json.loads(VERCEL.render(rules))
    ours = evaluator.compile(document(rules))

    for label in ("support", " SUPPORT ", "k-use_case", "code", "a.b|c", "unheard-of"):
        decision = ours.decide({"use_case": label, "request_id": "r"}, NOON)
        request = written["requests"].get(folded(label), written["others"])
        options = request["providerOptions"]["gateway"]

        assert [request["model"], *options.get("models", ())] == [
            called(name) for name in (decision.offering, *decision.fallbacks)
        ]
        assert f"tollkeeper_rule:{decision.rule or ''}@v42" in options["tags"]
