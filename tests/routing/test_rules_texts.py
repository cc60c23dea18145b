"""Rules as JSON and YAML: laid out for people, read back to the same bytes, and every slip with its line."""

from __future__ import annotations

import time
import tracemalloc

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from routing.rules import document, texts
from tests.drawing import drawn
from tests.routing.test_documents import CONTENT

TRAPS = [
    "no", "No", "off", "y", "~", "null", "true", "1.0", "1", "010", "0x1F", "0o17", "1_000", "1e3", "12:30:45", "08:30",
    "2026-02-01", ".5", ".inf", "<<", "=", "- a", "a: b", "a #b", "@a", "&a", "*a", "!a", "{", "[a", "", " a", "a ",
    "a\n", "a\nb", "a\n\nb", "a\n\n\nb", "\na", "a\r\nb", "a\n b", "tag:x", "größe", "\u2028", "\x85", "\ufeff", "😀",
    "\t", "---", "...", "'", '"', "\\", "%a", "a\x7f", "rules:", "a: |\n- b",
]  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS | st.sampled_from(TRAPS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def wrongs(text, form=texts.YAML):
    content, wrong = texts.read(text, form)
    assert content is None
    return [(one.line, one.text) for one in wrong]


def test_yaml_is_laid_out_as_people_write_rules():
    rule = {
        "review_by": "2027-02-20", "owner": "platform", "rationale": "Because.\nAnd for this.", "timeout_ms": 3000,
        "targets": [{"weight": 10000, "offering": "opus@anthropic"}], "id": "code-high",
        "when": {
            "all": [
                {"value": "no", "op": "eq", "field": "task"},
                {"zone": "UTC", "value": 8, "op": "gte", "field": "hour"},
            ]
        },
        "params": {"anthropic": {"thinking": "adaptive"}}, "active_from": None,
    }  # fmt: skip
    content = {"offerings": {}, "default": CONTENT["default"], "rules": [rule, CONTENT["rules"][1]]}

    written = texts.written(content, texts.YAML)

    assert written == (
        "rules:\n"
        "- id: code-high\n"
        "  when:\n"
        "    all:\n"
        '    - {field: task, op: eq, value: "no"}\n'
        "    - {field: hour, op: gte, value: 8, zone: UTC}\n"
        "  targets:\n"
        "  - {offering: opus@anthropic, weight: 10000}\n"
        "  params:\n"
        "    anthropic: {thinking: adaptive}\n"
        "  timeout_ms: 3000\n"
        "  active_from: null\n"
        "  rationale: |-\n"
        "    Because.\n"
        "    And for this.\n"
        "  owner: platform\n"
        '  review_by: "2027-02-20"\n'
        "\n"
        "- id: chat\n"
        "  targets:\n"
        "  - {offering: gemini@google, weight: 10000}\n"
        "\n"
        "default:\n"
        "  targets:\n"
        "  - {offering: gemini@google, weight: 10000}\n"
        "  fallbacks: []\n"
        "\n"
        "offerings: {}\n"
    )


@drawn()
@example(values={name: name for name in TRAPS}, form=texts.YAML)
@example(values={"list": TRAPS}, form=texts.YAML)
@given(values=st.dictionaries(TEXTS, VALUES, max_size=5), form=st.sampled_from(texts.FORMS))
def test_what_is_written_is_read_back_to_the_same_canonical_bytes(values, form):
    content = {**CONTENT, "default": {**CONTENT["default"], "params": {"any": values}}}

    read, wrong = texts.read(texts.written(content, form), form)

    assert wrong == []
    assert read is not None
    assert document.canonical(read) == document.canonical(content)


@pytest.mark.parametrize("text", TRAPS)
def test_a_text_stays_a_text_to_other_readers_of_yaml_too(text):
    written = texts.written({"rules": [{"id": text}], "default": {text or "empty": 1}}, texts.YAML)

    theirs = yaml.safe_load(written)

    assert theirs == {"rules": [{"id": text}], "default": {text or "empty": 1}}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("1.0", "1.0: write a number with a fraction or an exponent as a decimal string"),
        ("-.5", "-.5: write a number with a fraction or an exponent as a decimal string"),
        ("1e3", "1e3: write a number with a fraction or an exponent as a decimal string"),
        (".inf", ".inf: write a number with a fraction or an exponent as a decimal string"),
        ("no", "no is true or false to some and a text to others"),
        ("On", "On is true or false to some and a text to others"),
        ("010", "010 is not how a whole number is written"),
        ("0x1F", "0x1F is not how a whole number is written"),
        ("1_000", "1_000 is not how a whole number is written"),
        ("+5", "+5 is not how a whole number is written"),
        ("!!str 5", "tag:yaml.org,2002:str: tags are not read"),
        ("!python/object:os.system x", "!python/object:os.system: tags are not read"),
        ("&a 5", "&a: anchors are not read"),
        ("*a", "*a: aliases are not read"),
    ],
)
def test_what_json_cannot_say_and_what_readers_disagree_about_is_refused_with_its_line(value, line):
    found = wrongs(f"rules: []\ndefault:\n  a: {value}\n  b: 1\n")

    assert [(number, text[: len(line)]) for number, text in found] == [(3, line)]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-02-01", "2026-02-01"), ("08:30", "08:30"), ("12:30:45", "12:30:45"),
        ("gpt-5.5@openai", "gpt-5.5@openai"),
        ("1.2.3", "1.2.3"), ("5", 5), ("-5", -5), ("0", 0), ("true", True), ("False", False), ("~", None), ("", None),
        ("'no'", "no"), ('"1.0"', "1.0"), ("|\n    a\n    b\n", "a\nb\n"), ("{no: 1}", {"no": 1}), ("[]", []),
    ],
)  # fmt: skip
def test_what_can_only_be_meant_in_one_way_is_taken_so(value, read):
    content, wrong = texts.read(f"a: {value}\n", texts.YAML)

    assert (content, wrong) == ({"a": read}, [])


def test_all_slips_of_a_file_are_named_at_once_and_a_broken_one_alone():
    assert [line for line, _ in wrongs("a: 1.0\nb: yes\na: 1\n<<: 1\nc: *x\n")] == [1, 2, 3, 4, 5]
    assert wrongs("a: [1\nb: {\n")[0][0] in (2, 3)
    assert len(wrongs("a: [1\nb: {\n")) == 1
    assert wrongs("a: 1\n---\nb: 1\n") == [(2, "a second document begins here: a file has one")]
    assert wrongs("- a\n- b\n") == [(1, "not an object: rules begin with members such as rules and default")]
    assert wrongs("? [a]\n: 1\n") == [(1, "the name of a member is a text")]
    assert "control characters are not allowed" in wrongs("a: \x01\n")[0][1]
    assert wrongs("") == [(1, "There is nothing in it.")]


def test_bombs_are_put_out_at_once():
    laughs = "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 8)}]\n" for n in range(20)
    )
    began = time.monotonic()

    found = [wrongs(laughs), wrongs("a: " + "[" * 500_000), wrongs("{a: " * 500_000), wrongs("- " * 500_000)]

    assert "anchors are not read" in found[0][0][1]
    assert [one[-1][1] for one in found[1:]] == ["nested too deeply"] * 3
    assert time.monotonic() - began < 10


def test_every_part_of_a_file_has_its_line_in_both_forms():
    as_yaml, as_json = (texts.written(CONTENT, form) for form in (texts.YAML, texts.JSON))

    lines = texts.lines(as_yaml, texts.YAML)
    theirs = texts.lines(as_json, texts.JSON)

    assert lines.keys() == theirs.keys()
    assert (
        as_yaml.split("\n")[lines["/rules/0/targets/1/weight"] - 1].strip()
        == "- {offering: gpt-5.5@openai, weight: 1000}"
    )
    assert as_yaml.split("\n")[lines["/default"] - 1] == "default:"
    assert as_yaml.split("\n")[lines["/rules/1"] - 1] == "- id: chat"
    assert texts.line_of("/rules/0/nothing/here", lines) == lines["/rules/0"]


def test_five_hundred_rules_are_written_and_read_in_moments():
    rules = [{**CONTENT["rules"][0], "id": f"rule-{number}"} for number in range(500)]
    content = {**CONTENT, "rules": rules}
    began = time.monotonic()

    read, _ = texts.read(texts.written(content, texts.YAML), texts.YAML)

    assert read == content
    assert time.monotonic() - began < 10  # the pure Python reader takes a minute


@pytest.mark.parametrize("form", texts.FORMS)
def test_a_long_name_is_not_kept_once_more_for_every_value_inside_of_it(form):
    name = "n" * 100_000
    text = '{"' + name + '": [' + "0, " * 20_000 + "0]}" if form == texts.JSON else f'? "{name}"\n: [{"0, " * 20_000}0]'
    tracemalloc.start()

    known = texts.lines(text, form)
    content, _ = texts.read(text, form)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert content == {name: [0] * 20_001}
    assert document.dumps(content)
    assert texts.line_of(f"/{name}/7", known) == 0
    assert most < 50_000_000  # 2 GB


@pytest.mark.parametrize("form", texts.FORMS)
def test_a_text_of_nothing_but_values_is_refused_before_all_of_them_are_looked_at(form):
    assert wrongs('{"a": [' + "0," * 310_000 + "0]}", form)[-1] == (
        0, "There are too many values in it: at most 300,000 are allowed.",
    )  # fmt: skip


def test_the_form_of_a_text_is_what_its_name_says_or_what_it_begins_with():
    assert [texts.guessed("{", "a.YML"), texts.guessed("a: 1", "a.json")] == [texts.YAML, texts.JSON]
    assert [texts.guessed('\n {"a": 1}'), texts.guessed("a: 1"), texts.guessed("a: 1", "rules")] == [
        texts.JSON, texts.YAML, texts.YAML,
    ]  # fmt: skip
