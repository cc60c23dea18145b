from __future__ import annotations

import pytest

from core.models import AuditEntry
from tests.routing.making import MIDDLE, OPUS, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)

LABELS = {
    "tasks": [{"task": "code", "any": [{"count": "keywords", "words": ["bug"], "at_least": 1}]}],
    "complexity": [{"points": 80, "count": "lines", "at_least": 2}],
}
CODE = {"field": "task", "op": "eq", "value": "code"}


@pytest.fixture
def writer(api):
    stock()
    return api("write")


def labelled():
    return make_content(make_rule(use_cases=None, when=CODE), heuristics=LABELS)


def test_decide_reads_a_text_and_gives_none_of_it_back(writer):
    make_version(labelled())
    before = AuditEntry.objects.count()

    code = writer.post("rules/production/decide", {"context": {"text": "wombat BUG\nhere"}})
    chat = writer.post("rules/production/decide", {"context": {"text": "wombat", "complexity": "0.40"}})

    assert {name: code.json()[name] for name in ("offering", "task", "complexity")} == {
        "offering": OPUS, "task": "code", "complexity": "0.8",
    }  # fmt: skip
    assert {name: chat.json()[name] for name in ("offering", "task", "complexity")} == {
        "offering": MIDDLE, "task": None, "complexity": "0.40",
    }  # fmt: skip
    assert code.json()["steps"][0] == {"subject": "task", "outcome": "code: any of the words bug (1 found)"}
    assert b"wombat" not in code.content + chat.content
    assert AuditEntry.objects.count() == before


def test_a_version_shows_its_heuristics_and_one_without_has_no_such_member(writer, api):
    make_version(labelled())
    make_version(make_content())

    with_labels, without = (writer.get(f"rules/production/versions/{number}").json() for number in (1, 2))

    assert with_labels["heuristics"] == LABELS
    assert "heuristics" not in without


def test_gateways_are_served_the_heuristics_with_the_rules(writer, api):
    make_version(labelled())

    served = api("rules:read", name="gateway").get("rules/production").json()

    assert served["heuristics"] == LABELS


def test_heuristics_that_cannot_work_are_named_with_the_rest(writer):
    never = {"tasks": [{"task": "code", "any": [{"count": "lines", "at_least": 2, "at_most": 1}]}]}
    drafted = writer.post("rules/production/drafts", {"title": "x", "content": make_content(heuristics=never)}).json()

    refused = writer.post(f"rules/production/drafts/{drafted['id']}/submit")
    broken = writer.post(
        "rules/production/drafts", {"title": "x", "content": make_content(heuristics={"tasks": [{"task": "code"}]})}
    )

    assert [problem["code"] for problem in drafted["problems"]] == ["never_holds"]
    assert refused.status_code == 422
    assert "/heuristics/tasks/0/any/0/at_least" in refused.content.decode()
    assert broken.status_code == 422
