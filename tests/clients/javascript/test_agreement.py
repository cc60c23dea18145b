"""The evaluator in Python and the one in JavaScript say the same of any valid document and any request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given

from routing.rules import document, evaluator
from tests.clients.javascript import strategies
from tests.clients.javascript.node import Node, running
from tests.drawing import drawn
from tests.routing import test_evaluator_properties as plain

HARD = drawn(30, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running("evaluating.mjs") as process:
        yield process


def whole(value: Any) -> Any:
    """Return a value as readers have it that cannot tell 3.0 from 3."""
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else None if value != value or abs(value) == float("inf") else value
    return value


def decided(rules_document: Any, context: Any, now: Any) -> dict[str, Any]:
    decision = evaluator.compile(rules_document).explain(context, now)._asdict()
    steps = [step._asdict() for step in decision["steps"]]
    return decision | {"fallbacks": list(decision["fallbacks"]), "params": dict(decision["params"]), "steps": steps}


@HARD
@given(strategies.documents(), strategies.requests(), strategies.NOWS)
def test_both_decide_alike_where_it_is_hard(node, rules_document, context, now):
    assert document.schema_problems("document", rules_document) == []
    assert node.ask("problem", document=rules_document) is None

    told = node.ask("explain", document=rules_document, context=context, now=strategies.written(now))

    assert told == decided(rules_document, context, now)


@HARD
@given(plain.documents(), plain.CONTEXTS, plain.NOWS)
def test_both_decide_alike_on_what_the_evaluator_is_tested_with(node, rules_document, context, now):
    rules_document, context = whole(rules_document), whole(context)

    told = node.ask("explain", document=rules_document, context=context, now=strategies.written(now))

    assert told == decided(rules_document, context, now)


@HARD
@given(strategies.mutated(), strategies.requests(), strategies.NOWS)
def test_both_refuse_and_take_the_same_documents(node, rules_document, context, now):
    problems = document.schema_problems("document", rules_document)

    told = node.ask("problem", document=rules_document)

    assert (told is not None) == bool(problems), (told, problems)
    if not problems:
        rules_document = whole(rules_document)
        answer = node.ask("explain", document=rules_document, context=context, now=strategies.written(now))
        assert answer == decided(rules_document, context, now)
