"""The rules document as bytes, and what changed from one to the next."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.rules import document, labelling_words
from routing.rules.differences import differences
from routing.rules.words import condition_text, percent
from tests.drawing import drawn, rounds

CONTENT = {
    "rules": [
        {
            "id": "code-high",
            "title": "Hard code work",
            "use_cases": ["code-review"],
            "when": {"field": "task", "op": "eq", "value": "code"},
            "targets": [
                {"offering": "opus@anthropic", "weight": 9000},
                {"offering": "gpt-5.5@openai", "weight": 1000},
            ],
            "fallbacks": ["gemini@google"],
            "rationale": "größte Güte",
            "owner": "platform",
            "review_by": "2027-02-20",
        },
        {"id": "chat", "targets": [{"offering": "gemini@google", "weight": 10000}]},
        {"id": "rest", "targets": [{"offering": "gemini@google", "weight": 10000}]},
    ],
    "default": {"targets": [{"offering": "gemini@google", "weight": 10000}], "fallbacks": []},
    "offerings": {"gemini@google": {"model": "gemini", "provider": "google", "tier": "middle"}},
}


def changed(change):
    after = copy.deepcopy(CONTENT)
    change(after)
    return differences(CONTENT, after)


def shuffled(value, random):
    """Give the same document with its members in another order."""
    if isinstance(value, dict):
        members = [(name, shuffled(child, random)) for name, child in value.items()]
        random.shuffle(members)
        return dict(members)
    return [shuffled(child, random) for child in value] if isinstance(value, list) else value


@drawn(20)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_documents_that_differ_only_in_layout_have_the_same_bytes_and_hash(random, indent, escaped):
    text = json.dumps(shuffled(CONTENT, random), indent=indent, ensure_ascii=escaped)

    read = document.parse(text.encode())

    assert document.canonical(read) == document.canonical(CONTENT)
    assert document.sha256(document.canonical(read)) == document.sha256(document.canonical(CONTENT))


def test_the_canonical_bytes_are_read_back_as_they_were_written():
    written = document.canonical(CONTENT)

    assert document.parse(written) == CONTENT
    assert document.canonical(document.parse(written)) == written
    assert "größte Güte".encode() in written


def test_the_order_of_rules_and_of_targets_shows_in_the_bytes():
    other = copy.deepcopy(CONTENT)
    other["rules"].reverse()

    assert document.canonical(other) != document.canonical(CONTENT)


def test_what_surrounds_the_content_does_not_show_in_the_bytes():
    served = CONTENT | {"spec": 1, "version": 42, "state": {"revision": 881}}

    assert document.canonical(served) == document.canonical(CONTENT)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 0.5}', '{"a": 1e3}', '{"a": 1.0}', '{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}', "[]", "", "{",
        b"\xff", "[" * 100_000, '{"a": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_what_readers_disagree_about_is_no_document(text):
    with pytest.raises(document.NotADocument):
        document.parse(text)


@pytest.mark.parametrize("default", [0.5, float("nan"), "\ud800", object()])
def test_what_has_no_canonical_bytes_is_no_document(default):
    with pytest.raises(document.NotADocument):
        document.canonical(CONTENT | {"default": default})


def test_a_document_does_not_differ_from_itself():
    assert differences(CONTENT, copy.deepcopy(CONTENT)) == []


def test_changed_weights_are_told_in_per_cent():
    def change(content):
        content["rules"][0]["targets"] = [
            {"offering": "opus@anthropic", "weight": 6950},
            {"offering": "gpt-5.5@openai", "weight": 3000},
            {"offering": "gemini@google", "weight": 50},
        ]

    assert changed(change) == [
        "rule code-high: opus@anthropic from 90 % to 69.5 %",
        "rule code-high: gpt-5.5@openai from 10 % to 30 %",
        "rule code-high: gemini@google added with 0.5 %",
    ]


def test_rules_added_removed_and_moved_are_told():
    def change(content):
        code, _, rest = content["rules"]
        new = {"id": "new", "targets": [{"offering": "gemini@google", "weight": 10000}]}
        content["rules"] = [rest, code, new]

    assert changed(change) == [
        "rule chat removed",
        "rule rest moved, now first",
        "rule new added, after code-high: 100 % gemini@google",
    ]


def test_changes_within_a_rule_are_told():
    def change(content):
        rule = content["rules"][0]
        rule["use_cases"] = ["code-review", "refactoring"]
        rule["when"] = {"all": [rule["when"], {"field": "complexity", "op": "gte", "value": "0.75"}]}
        rule["fallbacks"] = []
        rule["over_budget"] = {"targets": [{"offering": "gemini@google", "weight": 10000}]}
        rule["owner"] = "search"
        rule["params"] = {"openai": {"effort": "high"}}

    assert changed(change) == [
        "rule code-high: use case refactoring added",
        "rule code-high: condition from task is code to (task is code and complexity is at least 0.75)",
        "rule code-high: over budget added: 100 % gemini@google",
        "rule code-high: fallbacks from gemini@google to none",
        'rule code-high: settings of openai from none to {"effort": "high"}',
        "rule code-high: owner from platform to search",
    ]


def test_changes_of_the_default_and_of_offerings_are_told():
    def change(content):
        content["default"]["targets"] = [{"offering": "flash@deepseek", "weight": 10000}]
        content["offerings"]["flash@deepseek"] = {"model": "flash", "provider": "deepseek"}
        content["offerings"]["gemini@google"]["tier"] = "frontier"

    assert changed(change) == [
        "default: flash@deepseek added with 100 %",
        "default: gemini@google removed, had 100 %",
        "offering flash@deepseek added",
        "offering gemini@google: tier from middle to frontier",
    ]


def test_what_is_written_out_as_it_was_understood_is_no_change():
    def change(content):
        content["rules"][1] |= {
            "choose": "weight",
            "use_default": True,
            "sticky_by": None,
            "when": None,
            "fallbacks": [],
        }

    assert changed(change) == []


def test_conditions_are_told_in_plain_words():
    known = {"field": "tag:cost_centre", "op": "exists", "value": False}
    tier = {"field": "user_tier", "op": "eq", "value": "business"}
    night = {"field": "hour", "op": "not_in", "value": [8, 9], "zone": "Europe/Berlin"}

    assert condition_text({"field": "input_tokens", "op": "gte", "value": 20_000}) == "input tokens is at least 20,000"
    assert condition_text({"any": [{"not": known}, tier, night]}) == (
        "(not tag cost_centre is not known or user tier is business or hour in Europe/Berlin is none of 8, 9)"
    )
    assert [percent(n) for n in (0, 5, 50, 1000, 1050, 10_000)] == ["0 %", "0.05 %", "0.5 %", "10 %", "10.5 %", "100 %"]


LABELS = {
    "tasks": [
        {"task": "code", "any": [{"count": "code_fences", "at_least": 1}]},
        {"task": "chat", "any": [{"count": "keywords", "words": ["hello", "thanks"], "at_least": 1}]},
    ],
    "complexity": [
        {"points": 30, "count": "characters", "at_least": 2000},
        {"points": -1, "count": "lines", "at_most": 1},
    ],
}


def relabelled(change):
    before, after = (CONTENT | {"heuristics": copy.deepcopy(LABELS)} for _ in range(2))
    change(after["heuristics"])
    return differences(before, after)


def test_heuristics_that_come_or_go_are_told():
    come, gone = (
        differences(*pair)
        for pair in ((CONTENT, CONTENT | {"heuristics": LABELS}), (CONTENT | {"heuristics": LABELS}, CONTENT))
    )

    assert come == [
        "labels: task code labelled by at least 1 code fence line",
        "labels: task chat labelled by any of the words hello, thanks",
        "labels: complexity: +30 points for at least 2000 characters added",
        "labels: complexity: -1 point for at most 1 line added",
    ]
    assert gone[0] == "labels: task code no longer labelled by at least 1 code fence line"
    assert gone[2] == "labels: complexity: +30 points for at least 2000 characters removed"
    assert len(gone) == 4


def test_heuristics_that_label_nothing_differ_from_none_in_bytes_only():
    assert differences(CONTENT, CONTENT | {"heuristics": None}) == []
    assert differences(CONTENT | {"heuristics": {"tasks": []}}, CONTENT) == []
    assert document.canonical(CONTENT | {"heuristics": None}) != document.canonical(CONTENT)


def test_changed_heuristics_are_told_word_by_word():
    def change(labels):
        code, chat = labels["tasks"]
        code["any"].append({"count": "lines", "at_least": 5, "at_most": 5})
        chat["any"][0]["words"] = ["thanks", "bye"]
        labels["tasks"] = [chat, code]
        labels["complexity"][0]["points"] = 40

    assert relabelled(change) == [
        "labels: task chat: word bye added",
        "labels: task chat: word hello removed",
        "labels: task code from at least 1 code fence line to at least 1 code fence line, or exactly 5 lines",
        "labels: tasks asked in another order: chat, code",
        "labels: complexity: +40 points for at least 2000 characters, not +30 points for at least 2000 characters",
    ]


def test_heuristics_in_another_order_of_points_change_nothing_and_say_so():
    assert relabelled(lambda labels: labels["complexity"].reverse()) == [
        "labels: complexity: entries in another order, which changes nothing"
    ]
    assert relabelled(lambda labels: labels["tasks"][1]["any"][0]["words"].reverse()) == [
        "labels: task chat: words in another order, which changes nothing"
    ]


def test_an_entry_that_is_there_once_more_is_told():
    assert relabelled(lambda labels: labels["complexity"].append(labels["complexity"][0])) == [
        "labels: complexity: 3 entries, not 2: some are there more than once"
    ]


def test_a_long_list_of_words_is_told_in_part():
    signal = {"count": "keywords", "words": [f"w{n}" for n in range(15)], "at_most": 0}

    assert labelling_words.signal_text(signal).endswith("w11 and 3 more")
    assert labelling_words.signal_text(signal).startswith("none of the words w0, ")


def test_heuristics_are_part_of_the_canonical_bytes():
    labelled = CONTENT | {"heuristics": LABELS}

    written = document.canonical(labelled)

    assert document.parse(written) == labelled
    assert document.canonical(labelled | {"spec": 1, "state": {}}) == written
    assert document.unresolved(labelled) == {name: labelled[name] for name in ("rules", "default", "heuristics")}


MEMBERS = st.sampled_from(["a", "b", "\u00e9", "z\u0301", "\U0001f600", "\uffff", "heuristics"])
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
    max_leaves=12,
)


@drawn()
@given(
    st.fixed_dictionaries(dict.fromkeys(document.CONTENT, ANY_JSON), optional={"heuristics": ANY_JSON}),
    st.randoms(use_true_random=False), st.sampled_from([None, 0, 2, "\t"]), st.booleans(),
)  # fmt: skip
def test_any_two_documents_that_differ_only_in_layout_have_the_same_bytes_and_hash(content, random, indent, escaped):
    text = json.dumps(shuffled(content, random), indent=indent, ensure_ascii=escaped)

    read = document.parse(text.encode())

    assert document.canonical(read) == document.canonical(content)
    assert document.parse(document.canonical(content)) == content


@drawn()
@given(ANY_JSON, ANY_JSON)
def test_two_documents_that_say_different_things_have_different_bytes(one, other):
    pair = [document.canonical(CONTENT | {"heuristics": value}) for value in (one, other)]

    # To Python true and 1 are equal; as JSON they are not.
    assert (pair[0] == pair[1]) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


@pytest.mark.soak
def test_of_however_many_wrong_values_the_first_thousand_are_named():
    problems = document.schema_problems("content", {**CONTENT, "rules": [0] * len(rounds(20_000, 500_000))})

    assert len(problems) == 1000
