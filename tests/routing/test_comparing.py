"""Any two sets of rules side by side, part by part."""

from __future__ import annotations

import pytest

from routing.rules.differences import compared, differences
from routing.selectors import comparing
from tests.routing.making import (
    CHEAP,
    ENVIRONMENT,
    LEAD,
    MIDDLE,
    OPUS,
    PUBLISHER,
    make_content,
    make_draft,
    make_rule,
    make_version,
    stock,
)

pytestmark = pytest.mark.django_db(transaction=True)


def three(*ids: str):
    return make_content(*(make_rule(name, use_cases=[name]) for name in ids))


def test_every_part_is_there_with_what_became_of_it_and_where_it_stands():
    stock()
    make_version(three("a", "b", "c", "d"))
    other = make_content(
        make_rule("c", use_cases=["c"]), make_rule("a", use_cases=["a"], timeout_ms=5),
        make_rule("new", use_cases=["new"]), make_rule("d", use_cases=["d"]),
    )  # fmt: skip
    make_version(other)

    found = comparing.one(environment=ENVIRONMENT, before="1", after="2")

    assert found is not None
    rules = [(one.name, one.state, one.place_before, one.place_after) for one in found.parts if one.kind == "rule"]
    assert rules == [
        ("c", "moved", 3, 1), ("a", "changed", 1, 2), ("b", "removed", 2, 0), ("new", "added", 0, 3),
        ("d", "same", 4, 4),
    ]  # fmt: skip
    assert [(one.kind, one.state) for one in found.parts if one.kind != "rule"] == [
        ("default", "same"), ("offering", "same"), ("offering", "same"), ("offering", "same"),
    ]  # fmt: skip
    assert found.lines == [
        "rule b removed",
        "rule c moved, now first",
        "rule a: time-out in ms from none to 5",
        f"rule new added, after a: 100 % {OPUS}",
    ]
    assert [(one.version, one.by, one.state) for one in (found.before, found.after)] == [
        (1, PUBLISHER, "published"), (2, PUBLISHER, "in_force"),
    ]  # fmt: skip


def test_a_member_that_changed_says_what_it_was_and_is():
    before = make_content(make_rule(), offerings={})
    after = make_content(
        make_rule(
            use_cases=None, when=None, choose="score", targets=[{"offering": OPUS}, {"offering": CHEAP}],
            fallbacks=[], params={"anthropic": {"thinking": "adaptive"}},
            over_budget={"targets": [{"offering": CHEAP, "weight": 10000}]},
        ),
        offerings={},
    )  # fmt: skip

    changed = {one.name: (one.before, one.after) for one in compared(before, after)[0].members}

    assert changed == {
        "use_cases": ("code-review", "all"),
        "when": ("task is code", "always"),
        "targets": (f"100 % {OPUS}", f"by score: {OPUS}, then {CHEAP}"),
        "over_budget": ("none", f"100 % {CHEAP}"),
        "fallbacks": (MIDDLE, "none"),
        "params": ("none", 'anthropic {"thinking": "adaptive"}'),
    }


def test_what_is_new_says_all_that_it_says_and_what_is_gone_all_that_it_said():
    with_rule, without = make_content(make_rule(), offerings={}), make_content(offerings={}, rules=[])

    added, removed = compared(without, with_rule)[0], compared(with_rule, without)[0]

    assert [(one.title, one.before) for one in added.members] == [
        ("use cases", ""), ("condition", ""), ("targets", ""), ("fallbacks", ""), ("rationale", ""), ("owner", ""),
        ("review by", ""),
    ]  # fmt: skip
    assert [(one.before, one.after) for one in removed.members] == [(one.after, "") for one in added.members]


def test_a_rule_that_a_draft_holds_twice_is_two_rules():
    before, after = (
        make_content(make_rule("a"), offerings={}),
        make_content(make_rule("a"), make_rule("a"), offerings={}),
    )

    assert differences(before, after) == [f"rule a#2 added, after a: 100 % {OPUS}"]


def test_a_further_member_that_nobody_knows_is_told_all_the_same():
    before, after = make_content(offerings={}), make_content(offerings={}, more={"a": 1})

    assert differences(before, after) == ["more added"]
    assert differences(after, {**after, "more": {"a": 2}}) == ['more: from {"a": 1} to {"a": 2}']


def test_a_draft_is_compared_with_any_version_in_two_queries(django_assert_num_queries):
    stock()
    make_version()
    make_version(make_content(make_rule(timeout_ms=5)))
    draft = make_draft(make_content(make_rule(title="mine")))

    with django_assert_num_queries(2):
        found = comparing.one(environment=ENVIRONMENT, before="1", after=comparing.draft_name(draft.pk))

    assert found is not None
    assert found.lines == ["rule code-high: title from none to mine"]
    assert (found.after.draft, found.after.version, found.after.state, found.after.by) == (
        draft.pk,
        None,
        "draft",
        LEAD,
    )


@pytest.mark.parametrize(
    "name",
    ["0", "01", "3", "-1", "draft-0", "draft-99", "draft", "", "é", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 20, "1\n"],
)
def test_what_there_is_not_is_not_compared(name):
    stock()
    make_version()

    assert comparing.one(environment=ENVIRONMENT, before="1", after=name) is None
    assert comparing.one(environment=ENVIRONMENT, before=name, after="1") is None
    assert comparing.one(environment="staging", before="1", after="1") is None
