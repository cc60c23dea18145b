"""Three-way merges of rules: what holds of all of them, and what becomes of each kind of change."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.rules import document
from routing.rules.differences import differences
from routing.rules.merging import MINE, THEIRS, Merged, merge
from tests.drawing import drawn
from tests.routing.test_evaluator_properties import NAMES, choices

A, B, C = "a@p", "b@p", "c@q"
Change = Callable[[dict[str, Any]], object]


def rule(rule_id: str, **overrides: Any) -> dict[str, Any]:
    given = {"id": rule_id, "use_cases": [rule_id], "targets": [{"offering": A, "weight": 10000}], "title": "as it was"}
    return {**given, **overrides}


def offering(name: str, **facts: Any) -> dict[str, Any]:
    model, _, provider = name.partition("@")
    return {"model": model, "provider": provider, **facts}


def content(*rules: dict[str, Any], offerings: tuple[str, ...] = (A,), **further: Any) -> dict[str, Any]:
    return {
        "rules": list(rules),
        "default": {"targets": [{"offering": A, "weight": 10000}]},
        "offerings": {name: offering(name) for name in offerings},
        **further,
    }


BASE = content(rule("one"), rule("two"), rule("three"))


def merged(theirs: Change, mine: Change, *, base: dict[str, Any] = BASE, **choices: str) -> Merged:
    sides = [copy.deepcopy(base), copy.deepcopy(base)]
    theirs(sides[0])
    mine(sides[1])
    return merge(base, *sides, choices={place.replace("__", "/"): taken for place, taken in choices.items()})


def ids(found: Merged) -> list[str]:
    return [one["id"] for one in found.content["rules"]]


def untouched(_content: dict[str, Any]) -> None:
    pass


def sets(index: int, **members: Any) -> Change:
    return lambda one: one["rules"][index].update(members)


def removes(index: int) -> Change:
    return lambda one: one["rules"].pop(index)


def adds(*rules: dict[str, Any], at: int = 99) -> Change:
    def change(one: dict[str, Any]) -> None:
        one["rules"][at:at] = rules

    return change


def orders(*order: int) -> Change:
    return lambda one: one.update(rules=[one["rules"][place] for place in order])


# --- What holds of every merge


@st.composite
def some_rules(draw: Any, rule_id: str) -> dict[str, Any]:
    return draw(choices()) | {
        "id": rule_id,
        "when": draw(
            st.none() | st.sampled_from(["x", "y"]).map(lambda one: {"field": "task", "op": "eq", "value": one})
        ),
        "fallbacks": draw(st.lists(NAMES, max_size=2, unique=True)),
        **draw(st.sampled_from([{}, {"title": "x"}, {"title": "y", "use_default": True}, {"timeout_ms": None}])),
        **draw(st.sampled_from([{}, {"over_budget": None}, {"params": {}}, {"params": {"p": {"x": 1}}}])),
    }


@st.composite
def some_contents(draw: Any) -> dict[str, Any]:
    # Few ids, so that two contents often share rules; at times one twice, as a draft may hold it.
    taken = draw(st.lists(st.sampled_from(["r0", "r1", "r2"]), max_size=3))
    known = draw(st.lists(NAMES, max_size=4, unique=True))
    return {
        "rules": [draw(some_rules(rule_id)) for rule_id in taken],
        "default": draw(choices()),
        "offerings": {name: offering(name, **draw(st.sampled_from([{}, {"tier": "middle"}]))) for name in known},
        **draw(st.sampled_from([{}, {"further": {"words": 1}}, {"further": {"words": True}}, {"further": None}])),
    }


@st.composite
def edited(draw: Any, before: dict[str, Any]) -> dict[str, Any]:
    """Do to a content what people do: change some rules, drop some, add some, move some."""
    after = copy.deepcopy(before)
    for index, one in enumerate(after["rules"]):
        if draw(st.booleans()):
            after["rules"][index] = draw(some_rules(one["id"]))
    if after["rules"] and draw(st.booleans()):
        del after["rules"][draw(st.integers(0, len(after["rules"]) - 1))]
    if draw(st.booleans()):
        after["rules"].append(draw(some_rules(draw(st.sampled_from(["r4", "r5"])))))
    after["rules"] = draw(st.permutations(after["rules"])) if draw(st.booleans()) else after["rules"]
    return after


def written(one: Any) -> str:
    return json.dumps(one, sort_keys=True)


@drawn(20)
@given(some_contents(), some_contents())
def test_where_one_side_changed_nothing_the_other_holds_byte_for_byte(base, other):
    assert written(merge(base, base, other).content) == written(other)
    assert written(merge(base, other, base).content) == written(other)
    assert not merge(base, base, other).conflicts
    assert not merge(base, other, base).conflicts


@drawn(20)
@given(some_contents(), some_contents())
def test_the_same_change_on_both_sides_is_that_change_and_no_conflict(base, other):
    both = merge(base, other, copy.deepcopy(other))

    assert (written(both.content), both.conflicts) == (written(other), ())


@drawn(20)
@given(st.data())
def test_what_is_merged_fits_the_schema_and_loses_no_rule_whatever_is_chosen(data):
    base = data.draw(some_contents())
    theirs, mine = data.draw(edited(base)), data.draw(edited(base))
    first = merge(base, theirs, mine)
    taken = {one.place: data.draw(st.sampled_from([THEIRS, MINE, ""])) for one in first.conflicts}

    found = merge(base, theirs, mine, taken)

    whole = {name: value for name, value in found.content.items() if name != "further"}
    assert document.schema_problems("content", whole) == []
    assert {one.place for one in found.unsettled} == {place for place, side in taken.items() if not side}
    assert len({one.place for one in found.conflicts}) == len(found.conflicts)
    before, there, here = ({one["id"] for one in side["rules"]} for side in (base, theirs, mine))
    assert {one["id"] for one in found.content["rules"]} >= (there & here) | (there - before) | (here - before)
    assert found == merge(base, theirs, mine, taken), "the same every time"


# --- Members


def test_changes_of_different_members_of_a_rule_are_both_kept():
    found = merged(sets(0, title="theirs"), sets(0, timeout_ms=900, title="as it was"))

    assert found.content["rules"][0] == rule("one", title="theirs", timeout_ms=900)
    assert not found.conflicts


def test_a_member_that_both_changed_is_a_conflict_named_with_all_three_in_plain_words():
    when = {"field": "task", "op": "eq", "value": "code"}

    found = merged(sets(0, when=when), sets(0, when={"not": when}))

    [conflict] = found.conflicts
    assert (conflict.place, conflict.title) == ("/rules/one/when", "rule one, condition")
    assert (conflict.base, conflict.theirs, conflict.mine) == ("none", "task is code", "not task is code")
    assert found.unsettled == (conflict,)
    assert found.content["rules"][0]["when"] == when, "what is in force, as long as nobody chose"


@pytest.mark.parametrize(("taken", "title"), [(THEIRS, "theirs"), (MINE, "mine")])
def test_a_conflict_is_settled_by_choosing_a_side(taken, title):
    found = merged(sets(0, title="theirs"), sets(0, title="mine"), __rules__one__title=taken)

    assert found.content["rules"][0]["title"] == title
    assert (found.unsettled, [one.taken for one in found.conflicts]) == ((), [taken])


def test_weights_changed_on_both_sides_are_one_conflict_and_never_mixed():
    split = [{"offering": A, "weight": 5000}, {"offering": B, "weight": 5000}]
    theirs = [{"offering": A, "weight": 9000}, {"offering": B, "weight": 1000}]
    base = content(rule("one", targets=split), offerings=(A, B))

    found = merged(sets(0, targets=theirs), sets(0, choose="order", targets=[{"offering": B}]), base=base)

    [conflict] = found.conflicts
    assert conflict.place == "/rules/one/targets"
    assert (conflict.base, conflict.theirs, conflict.mine) == (f"50 % {A}, 50 % {B}", f"90 % {A}, 10 % {B}", B)
    assert found.content["rules"][0]["targets"] == theirs
    assert "choose" not in found.content["rules"][0]


def test_what_says_the_same_in_other_letters_is_no_conflict():
    base = content(rule("one", use_default=False))

    found = merged(sets(0, use_default=True, fallbacks=[]), lambda one: one["rules"][0].pop("use_default"), base=base)

    assert not found.conflicts
    assert found.content["rules"][0].get("use_default", True) is True


def test_true_and_1_are_two_things():
    when = {"field": "batch", "op": "eq", "value": True}

    found = merged(sets(0, when=when), sets(0, when={**when, "value": 1}))

    assert [one.place for one in found.conflicts] == ["/rules/one/when"]


def test_values_that_read_alike_are_told_as_they_are_written():
    when = {"field": "tag:n", "op": "eq", "value": "1"}

    [conflict] = merged(sets(0, when=when), sets(0, when={**when, "value": 1})).conflicts

    assert conflict.theirs != conflict.mine


def test_the_default_is_merged_member_by_member():
    found = merged(lambda one: one["default"].update(timeout_ms=5), lambda one: one["default"].update(fallbacks=[A]))
    clash = merged(lambda one: one["default"].update(timeout_ms=5), lambda one: one["default"].update(timeout_ms=6))

    assert found.content["default"] == {**BASE["default"], "timeout_ms": 5, "fallbacks": [A]}
    assert [(one.place, one.title) for one in clash.conflicts] == [("/default/timeout_ms", "default, time-out in ms")]


def test_a_further_member_is_one_thing():
    base = {**BASE, "further": {"a": 1}}

    apart = merged(lambda one: one.update(further={"a": 2}), sets(0, title="mine"), base=base)
    clash = merged(lambda one: one["further"].update(a=2), lambda one: one["further"].update(b=3), base=base)
    gone = merged(lambda one: one.pop("further"), untouched, base=base)

    assert (apart.content["further"], apart.conflicts) == ({"a": 2}, ())
    assert [(one.place, one.title, one.mine) for one in clash.conflicts] == [
        ("/further", "further", '{"a": 1, "b": 3}')
    ]
    assert "further" not in gone.content


# --- Whole rules


def test_a_rule_removed_on_one_side_and_left_alone_on_the_other_is_gone():
    assert ids(merged(removes(0), sets(1, title="mine"))) == ["two", "three"]
    assert ids(merged(sets(1, title="theirs"), removes(0))) == ["two", "three"]


@pytest.mark.parametrize(("taken", "left"), [(THEIRS, ["two", "three"]), (MINE, ["one", "two", "three"])])
def test_removed_in_force_and_changed_here_is_a_conflict_about_the_whole_rule(taken, left):
    found = merged(removes(0), sets(0, title="mine"), __rules__one=taken)

    [conflict] = found.conflicts
    assert (conflict.title, conflict.theirs, conflict.mine) == ("rule one", "removed", "title from as it was to mine")
    assert conflict.base == f"use cases one; targets 100 % {A}; title as it was"
    assert ids(found) == left


@pytest.mark.parametrize(("taken", "left"), [(THEIRS, ["one", "two", "three"]), (MINE, ["one", "three"])])
def test_changed_in_force_and_removed_here_is_a_conflict_and_comes_back_to_its_place(taken, left):
    found = merged(sets(1, title="theirs"), removes(1), __rules__two=taken)

    assert [one.mine for one in found.conflicts] == ["removed"]
    assert ids(found) == left


def test_two_new_rules_of_one_id_are_a_conflict_and_not_one_rule_of_both():
    found = merged(adds(rule("new", timeout_ms=5)), adds(rule("new", title="mine", owner="me")))

    [conflict] = found.conflicts
    assert (conflict.place, conflict.base) == ("/rules/new", "not there")
    assert found.content["rules"][3] == rule("new", timeout_ms=5)


def test_a_rule_that_a_draft_holds_twice_stays_twice():
    found = merged(sets(1, title="theirs"), adds(rule("one", title="copy"), at=1))

    assert [(one["id"], one["title"]) for one in found.content["rules"]] == [
        ("one", "as it was"), ("one", "copy"), ("two", "theirs"), ("three", "as it was"),
    ]  # fmt: skip


# --- Order


@pytest.mark.parametrize(
    ("theirs", "mine", "order"),
    [
        (orders(2, 0, 1), untouched, ["three", "one", "two"]),
        (untouched, orders(2, 0, 1), ["three", "one", "two"]),
        (orders(2, 0, 1), orders(2, 0, 1), ["three", "one", "two"]),
        # New rules at one place: those in force first.
        (adds(rule("x")), adds(rule("y")), ["one", "two", "three", "x", "y"]),
        (adds(rule("x"), at=0), adds(rule("y"), at=0), ["x", "y", "one", "two", "three"]),
        (adds(rule("x"), at=1), adds(rule("y"), rule("z"), at=1), ["one", "x", "y", "z", "two", "three"]),
        (adds(rule("x"), at=2), adds(rule("y"), at=1), ["one", "y", "two", "x", "three"]),
        # What the draft added goes along with the rule it stands behind.
        (orders(2, 0, 1), adds(rule("y")), ["three", "y", "one", "two"]),
        (removes(2), adds(rule("y")), ["one", "two", "y"]),
        # Each moved another rule.
        (orders(1, 2, 0), orders(0, 2, 1), ["two", "one", "three"]),
    ],
)
def test_orders_are_merged(theirs, mine, order):
    found = merged(theirs, mine)

    assert (ids(found), found.conflicts) == (order, ())


@pytest.mark.parametrize(("taken", "order"), [
    (THEIRS, ["two", "three", "one", "four"]), (MINE, ["two", "three", "four", "one"]),
])  # fmt: skip
def test_a_rule_that_both_moved_elsewhere_is_a_conflict_about_its_place(taken, order):
    base = content(*(rule(name) for name in ("one", "two", "three", "four")))

    found = merged(orders(1, 2, 0, 3), orders(1, 2, 3, 0), base=base, __rules__one__place=taken)

    [conflict] = found.conflicts
    assert (conflict.title, conflict.base) == ("rule one, place", "first")
    assert (conflict.theirs, conflict.mine) == ("after three", "after four")
    assert ids(found) == order


# --- Offerings


def test_offerings_follow_the_rules_that_name_them():
    def to(name: str, index: int) -> Change:
        def change(one: dict[str, Any]) -> None:
            one["rules"][index]["targets"] = [{"offering": name, "weight": 10000}]
            one["offerings"][name] = offering(name)

        return change

    apart = merged(to(B, 0), to(C, 1))
    clash = merged(to(B, 0), to(C, 0), __rules__one__targets=THEIRS)

    assert set(apart.content["offerings"]) == {A, B, C}
    assert set(clash.content["offerings"]) == {A, B}, "nobody names the other any more"


def test_an_offering_that_one_side_needs_no_more_stays_for_the_other():
    base = content(rule("one", targets=[{"offering": B, "weight": 10000}]), rule("two"), offerings=(A, B))

    def dropped(one: dict[str, Any]) -> None:
        one["rules"][0]["targets"] = [{"offering": A, "weight": 10000}]
        del one["offerings"][B]

    found = merged(dropped, lambda one: one["rules"][1].update(fallbacks=[B]), base=base)
    nobody = merged(dropped, untouched, base=base)

    assert set(found.content["offerings"]) == {A, B}
    assert set(nobody.content["offerings"]) == {A}


def test_facts_of_an_offering_are_merged_by_member():
    found = merged(
        lambda one: one["offerings"][A].update(tier="middle", region="eu"),
        lambda one: one["offerings"][A].update(data_class="public", region="us"),
    )

    assert found.content["offerings"][A] == offering(A, tier="middle", region="eu", data_class="public")
    assert [one.title for one in found.conflicts] == [f"offering {A}, region"]


def test_a_merge_is_told_against_what_is_in_force_in_the_words_of_any_difference():
    theirs = content(rule("one", title="theirs"), rule("two"), rule("three"))

    found = merge(BASE, theirs, content(rule("one"), rule("two", title="mine"), rule("three")))

    assert differences(theirs, found.content) == ["rule two: title from as it was to mine"]
