"""The documents of routing/spec/invalid are refused, for the reasons that stand beside them and no others."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from routing.rules import validation
from routing.rules.validation import OfferingFacts

SPEC = Path(validation.__file__).resolve().parent.parent / "spec"


class Known:
    """A catalogue of plain values."""

    def __init__(self, offerings, data_classes):
        self._offerings = {name: OfferingFacts(**facts) for name, facts in offerings.items()}
        self._data_classes = data_classes

    def offering(self, name):
        return self._offerings.get(name)

    def data_classes(self):
        return self._data_classes


FILES = {path.stem: json.loads(path.read_text()) for path in sorted((SPEC / "invalid").glob("*.json"))}
CASES = [
    pytest.param(file["catalogue"], case, id=f"{name}: {case['title']}")
    for name, file in FILES.items()
    for case in file["cases"]
]


@pytest.mark.parametrize(("catalogue", "case"), CASES)
def test_a_document_is_refused_with_all_reasons(catalogue, case):
    problems = validation.validate(case["content"], Known(**catalogue))

    assert sorted([problem.pointer, problem.code] for problem in problems) == case["problems"]
    assert all(problem.text for problem in problems)


def sound():
    """Give a content with nothing against it, and its catalogue."""
    file = FILES["targets"]
    content = copy.deepcopy(file["cases"][0]["content"])
    content["rules"][0]["targets"] = [{"offering": "opus@anthropic", "weight": 10000}]
    return content, Known(**file["catalogue"])


def test_a_sound_document_has_no_problems():
    content, catalogue = sound()

    assert validation.validate(content, catalogue) == []


def test_everything_is_named_at_once():
    content, catalogue = sound()
    content["rules"][0] |= {"owner": "", "targets": [{"offering": "nobody@nowhere", "weight": 1}]}
    content["default"]["fallbacks"] = ["old@openai", "new@openai"]

    problems = validation.validate(content, catalogue)

    assert [(problem.pointer, problem.code) for problem in problems] == [
        ("/default/fallbacks/0", "retired"),
        ("/default/fallbacks/1", "no_price"),
        ("/rules/0/owner", "missing_owner"),
        ("/rules/0/targets", "weights"),
        ("/rules/0/targets/0/offering", "unknown_offering"),
    ]


def test_more_than_500_rules_or_a_megabyte_are_refused():
    content, catalogue = sound()
    rule = content["rules"][0]
    content["rules"] = [
        rule | {"id": f"r{n}", "when": {"field": "task", "op": "eq", "value": f"{n}"}} for n in range(501)
    ]

    assert [problem.pointer for problem in validation.validate(content, catalogue)] == ["/rules"]

    content["rules"] = [rule | {"rationale": "x" * 4000} for rule in content["rules"][:300]]

    assert [problem.code for problem in validation.validate(content, catalogue)] == ["too_large"]


def test_what_no_reader_could_read_is_refused_and_raises_nothing():
    content, catalogue = sound()
    deep = {}
    for _ in range(5000):
        deep = {"not": deep}

    for when in (deep, {"field": "task", "op": "eq", "value": "\ud800"}, {"field": "task"}, [], "x", 1.5):
        content["rules"][0]["when"] = when
        assert validation.validate(content, catalogue)


def test_two_sides_of_a_split_may_be_each_others_fallback():
    content, catalogue = sound()
    names = ["opus@anthropic", "gemini@google"]
    content["rules"][0] |= {"targets": [{"offering": name, "weight": 5000} for name in names], "fallbacks": names}

    assert validation.validate(content, catalogue) == []


def test_a_rule_that_leaves_nothing_to_the_default_is_not_judged_by_it():
    file = FILES["residency"]
    rule = copy.deepcopy(file["cases"][-1]["content"]["rules"][0]) | {"use_default": False}
    content = copy.deepcopy(file["cases"][-1]["content"]) | {"rules": [rule]}

    assert validation.validate(content, Known(**file["catalogue"])) == []
