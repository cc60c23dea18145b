"""The conformance vectors of routing/spec, run by our evaluator: any other one runs the same files."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import mmh3
import pytest

from routing.rules import document, evaluator, labelling

SPEC = Path(evaluator.__file__).resolve().parent.parent / "spec"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['title']}".encode("ascii", "backslashreplace").decode())
    for path in sorted((SPEC / "cases").glob("*.json"))
    for case in json.loads(path.read_text())["cases"]
]
REFUSED = json.loads((SPEC / "refused.json").read_text())["cases"]
CANONICAL = json.loads((SPEC / "canonical.json").read_text())["cases"]
HASHES = json.loads((SPEC / "hash.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES)
def test_a_vector_is_decided_as_it_says(case):
    compiled = evaluator.compile(case["document"])

    decision = compiled.explain(case["context"], datetime.fromisoformat(case["now"]))

    decided = decision._asdict() | {"fallbacks": list(decision.fallbacks), "params": dict(decision.params)}
    assert {name: decided[name] for name in case["expect"]} == case["expect"]
    assert decision.reason in evaluator.REASONS
    assert decision.steps


@pytest.mark.parametrize("path", sorted((SPEC / "cases").glob("*.json")), ids=lambda path: path.stem)
def test_the_documents_of_the_vectors_are_as_the_schema_has_them(path):
    documents = {json.dumps(case["document"]) for case in json.loads(path.read_text())["cases"]}

    assert [document.schema_problems("document", json.loads(text)) for text in documents] == [[]] * len(documents)


@pytest.mark.parametrize("case", REFUSED, ids=[case["title"] for case in REFUSED])
def test_a_document_is_refused_or_taken(case):
    problems = document.schema_problems("document", case["document"])

    assert bool(problems) == case["refused"]
    if not problems:
        assert evaluator.compile(case["document"]).decide({}, datetime(2026, 11, 20, tzinfo=UTC)).reason


@pytest.mark.parametrize("case", CANONICAL, ids=[case["title"] for case in CANONICAL])
def test_a_content_has_its_canonical_bytes_and_hash(case):
    written = document.canonical(case["content"])

    assert written.decode() == case["canonical"]
    assert document.sha256(written).hex() == case["sha256"]


@pytest.mark.parametrize("case", HASHES, ids=range(len(HASHES)))
def test_a_key_hashes_to_its_place(case):
    name, colon, key = case["text"].partition(":")

    assert mmh3.hash(case["text"].encode(), 0, False) == case["hash"]
    assert (case["hash"] * 10_000) >> 32 == case["place"]
    assert not colon or evaluator.split(name, key) == case["place"]


def test_the_vectors_meet_the_values_that_were_agreed_on():
    places = {case["text"]: (case["hash"], case["place"]) for case in HASHES}

    assert places["a"] == (1009084850, 2349)
    assert places["rule-1:user-1"] == (14958790, 34)
    assert places["rule-1:usér-é"] == (1350199252, 3143)
    assert places["rule-1:用户"] == (206279569, 480)


def test_the_vectors_see_every_operator_and_every_reason():
    text = "".join(path.read_text() for path in (SPEC / "cases").glob("*.json"))

    operators = document.schema("content")["$defs"]["condition"]["properties"]["op"]["enum"]
    assert [op for op in operators if f'"op": "{op}"' not in text] == []
    assert [reason for reason in evaluator.REASONS if f'"reason": "{reason}"' not in text] == []


def test_the_vectors_see_every_count_and_every_field():
    text = "".join(path.read_text() for path in (SPEC / "cases").glob("*.json"))

    defined = document.schema("content")["$defs"]
    counts = defined["signal"]["properties"]["count"]["enum"]
    fields = {*defined["field"]["anyOf"][0]["enum"], "tag:env"}
    assert [count for count in counts if f'"count": "{count}"' not in text] == []
    assert [field for field in fields if f'"field": "{field}"' not in text] == []


def test_word_characters_are_those_that_the_page_names():
    named = [(0x30, 0x39), (0x61, 0x7A), (0x5F, 0x5F), (0xC0, 0x1FFF)]
    page = (SPEC / "README.md").read_text()
    listed = page[page.index("**Word characters**") : page.index("From U+2000 on there are none")].partition("save")[2]
    spared = [
        (int(first, 16), int(last or first, 16))
        for first, last in re.findall(r"U\+([0-9A-F]{4})(?:\s+to\s+U\+([0-9A-F]{4}))?", listed)
    ]

    def within(code, ranges):
        return any(first <= code <= last for first, last in ranges)

    word = {code for code in range(0x2100) if labelling.is_word_character(chr(code))}
    assert word == {code for code in range(0x2100) if within(code, named) and not within(code, spared)}
    assert len(spared) == 11
