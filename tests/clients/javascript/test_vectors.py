"""The vectors of the specification, run by the JavaScript evaluator in Node.js; in a browser: tests/browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.javascript.node import CLIENT, NODE, Node, running

SPEC = CLIENT.parents[1] / "routing" / "spec"
CASES = [
    {"file": path.stem, **case}
    for path in sorted((SPEC / "cases").glob("*.json"))
    for case in json.loads(path.read_text())["cases"]
]
REFUSED = json.loads((SPEC / "refused.json").read_text())["cases"]
HASHES = json.loads((SPEC / "hash.json").read_text())["cases"]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running("evaluating.mjs") as process:
        yield process


def fails(case: dict[str, Any], decision: dict[str, Any]) -> bool:
    return {name: decision[name] for name in case["expect"]} != case["expect"]


def test_every_vector_is_decided_as_it_says(node):
    decided = [node.ask("explain", **{name: case[name] for name in ("document", "context", "now")}) for case in CASES]

    assert len(CASES) > 500
    assert [
        case["title"] for case, one in zip(CASES, decided, strict=True) if fails(case, one) or not one["steps"]
    ] == []


def test_a_document_is_refused_or_taken(node):
    problems = [node.ask("problem", document=case["document"]) for case in REFUSED]

    wrong = [
        case["title"]
        for case, problem in zip(REFUSED, problems, strict=True)
        if (problem is not None) != case["refused"]
    ]
    assert wrong == []
    assert {text for case in CASES if (text := node.ask("problem", document=case["document"]))} == set()


def test_a_key_hashes_to_its_place(node):
    for case in HASHES:
        name, colon, key = case["text"].partition(":")

        assert node.ask("hash", text=case["text"]) == case["hash"]
        assert not colon or node.ask("split", name=name, key=key) == case["place"]


def test_the_schema_that_the_client_carries_is_the_one_of_the_specification(tmp_path):
    carried = (CLIENT / "src" / "schema.mjs").read_text()
    for folder in ("clients/javascript/tools", "clients/javascript/src", "routing"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "routing" / "spec").symlink_to(SPEC)
    tool = tmp_path / "clients" / "javascript" / "tools" / "schema.mjs"
    tool.write_text((CLIENT / "tools" / "schema.mjs").read_text())

    subprocess.run([NODE, tool], check=True)

    assert (tmp_path / "clients" / "javascript" / "src" / "schema.mjs").read_text() == carried
