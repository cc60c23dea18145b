"""Which spans of a trace count: each call once, whatever comes first and however it is split into bodies."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawing import drawn
from usage.rules.traces import MOST_ABOVE, Call, settle

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def call(span, above="", *, starts=0, lasts=1, **given):
    """Make a call; `above` are its ancestors, the parent first, apart by blanks."""
    return Call(
        event_id=span, span=span, above=above.split(), started_at=NOON + timedelta(seconds=starts),
        ended_at=NOON + timedelta(seconds=starts + lasts), **given,
    )  # fmt: skip


def counting(*bodies):
    """Settle bodies one after the other, and return what counts in the end, as booking would have it."""
    known = []
    counted = set()
    for body in bodies:
        settled = settle(known, body)
        counted -= {one for _, taken in settled.counting for one in taken} | set(settled.withdrawn)
        counted |= {one.event_id for one, _ in settled.counting}
        known = [msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Call) for one in settled.known]
        assert {one.event_id for one in known} == counted
    return counted


def in_any_order(*calls):
    """Return what counts in the end: the same whether they come at once or one by one, in any order."""
    (end,) = {
        frozenset(counting(*bodies))
        for order in itertools.permutations(calls)
        for bodies in ([order], [[one] for one in order])
    }
    return set(end)


# --- nested ---


def test_of_nested_spans_the_innermost_counts():
    assert in_any_order(call("outer"), call("middle", "outer"), call("inner", "middle")) == {"inner"}


def test_neither_rank_nor_time_makes_a_wrapper_count():
    assert in_any_order(call("a", response="r", rank=1, starts=1), call("b", "a", response="r")) == {"b"}


def test_a_wrapper_gives_way_to_all_that_is_in_it():
    assert in_any_order(call("outer"), call("one", "outer"), call("two", "outer")) == {"one", "two"}


def test_attempts_without_usage_give_way_to_the_record_of_the_call_that_has_it():
    attempts = [call("first", "record", used=False, failed=True), call("second", "record", used=False)]

    assert in_any_order(call("record"), *attempts) == {"record"}


def test_an_attempt_that_failed_counts_beside_the_one_that_was_answered_whatever_wraps_them():
    failed, answered = call("failed", "outer", used=False, failed=True), call("answered", "outer")

    for order in itertools.permutations([call("outer"), failed, answered]):
        assert counting(order) == {"failed", "answered"}
    assert counting([failed, answered], [call("outer")]) == {"failed", "answered"}


def test_an_attempt_does_not_come_back_when_the_wrapper_that_it_gave_way_to_gives_way():
    failed, answered = call("failed", "outer", used=False, failed=True), call("answered", "outer")

    assert counting([call("outer")], [failed], [answered]) == {"answered"}


def test_a_step_between_a_wrapper_and_its_call_is_known_when_it_comes_with_one_of_them():
    with_wrapper = (call("outer", below=["step"]), call("inner", "step"))
    with_call = (call("outer"), call("inner", "step outer"))

    assert in_any_order(*with_wrapper) == in_any_order(*with_call) == {"inner"}


def test_what_lay_below_an_attempt_lies_below_what_it_gave_way_to():
    attempt = call("attempt", "record", below=["step"], used=False)

    assert counting([call("record")], [attempt], [call("inner", "step", used=False)]) == {"record"}


def test_a_step_that_comes_in_a_body_of_its_own_is_not_seen():
    assert in_any_order(call("outer"), call("inner", "step")) == {"outer", "inner"}


def test_what_lies_between_two_that_count_already_shows_that_they_are_one_call():
    settled = settle([call("outer"), call("inner", "middle")], [call("middle", "outer")])

    assert settled.counting == []
    assert settled.withdrawn == ["outer"]
    assert [one.event_id for one in settled.giving_way] == ["middle"]
    assert [(one.event_id, one.above) for one in settled.known] == [("inner", ["middle", "outer"])]


# --- one answer ---


def test_of_two_that_tell_one_answer_the_one_with_usage_counts_then_the_one_of_the_higher_rank():
    used = call("used", "root", response="r-1")

    assert in_any_order(used, call("unused", "root", response="r-1", rank=1, used=False)) == {"used"}
    assert in_any_order(used, call("z-sdk", "root", response="r-1", rank=1)) == {"z-sdk"}


def test_of_two_alike_that_tell_one_answer_the_one_that_began_last_counts():
    assert in_any_order(call("a", response="r-1"), call("b", response="r-1", starts=0.1)) == {"b"}
    assert in_any_order(call("a", response="r-1"), call("b", response="r-1")) == {"a"}


def test_answers_without_an_id_are_not_the_same_answer():
    assert in_any_order(call("a", "root"), call("b", "root")) == {"a", "b"}


# --- failures ---


def failure(span, above="root", **given):
    return call(span, above, failed=True, used=False, **{"model": "m", **given})


def test_a_failure_that_two_instrumentations_tell_is_one():
    assert in_any_order(failure("a", scope="x"), failure("b", scope="y", rank=1, starts=0.5)) == {"b"}


@pytest.mark.parametrize(
    "other",
    [{"scope": "x"}, {"above": "elsewhere"}, {"model": "n"}, {"starts": 1}, {"response": "r-1"}],
    ids=lambda other: next(iter(other)),
)
def test_failures_that_differ_in_more_than_who_tells_them_are_several(other):
    assert in_any_order(failure("a", scope="x"), failure("b", **{"scope": "y", **other})) == {"a", "b"}


def test_failures_without_a_parent_are_several():
    assert in_any_order(failure("a", "", scope="x"), failure("b", "", scope="y")) == {"a", "b"}


def test_a_failures_parent_stays_its_parent_whatever_else_it_is_known_to_lie_in():
    (inner,) = settle([call("outer", used=False, below=["inner"])], [failure("inner", "parent", scope="x")]).known

    assert inner.above == ["parent", "outer"]
    assert counting([inner], [failure("twin", "parent", scope="y", starts=0.5)]) == {"twin"}


# --- what comes again ---


def test_a_span_that_comes_again_counts_as_before_and_takes_nothing_back():
    known = settle([], [call("outer"), call("inner", "outer")]).known

    again = settle(known, [call("inner", "outer"), call("outer")])

    assert [(one.event_id, taken) for one, taken in again.counting] == [("inner", [])]
    assert [one.event_id for one in again.giving_way] == ["outer"]
    assert again.known == known


def test_a_span_that_is_twice_in_a_body_is_one():
    settled = settle([], [call("a"), call("a")])

    assert [one.event_id for one, _ in settled.counting] == ["a"]


def test_of_several_that_are_taken_back_each_is_taken_back_once():
    settled = settle([call("one", response="r"), call("two")], [call("new", "two", response="r", starts=1)])

    assert [(one.event_id, sorted(taken)) for one, taken in settled.counting] == [("new", ["one", "two"])]
    assert settled.withdrawn == []


# --- what nobody sends ---


def test_spans_that_lie_inside_each_other_come_to_an_end():
    assert len(counting([call("a", "b"), call("b", "a")])) == 1
    assert len(counting([call("a", "a")])) == 1


def test_many_spans_take_no_more_than_their_number():
    chain = [
        call(f"c{n}", " ".join(f"c{m}" for m in range(n - 1, max(n - MOST_ABOVE, 0) - 1, -1))) for n in range(3000)
    ]
    same = [call(f"s{n}", response="r") for n in range(10_000)]
    failures = [failure(f"f{n}", scope=str(n), starts=n) for n in range(10_000)]
    started = time.process_time()

    settle([], chain)
    settle([], same)
    settle([], failures)

    assert time.process_time() - started < 20  # comparing each with each would take minutes


# --- any trace, in any order ---


@st.composite
def traces(draw):
    """Return a trace's spans with the call that each stands for; None for wrappers of several.

    All have usage, all spans are events, and answers' ids are told by the spans of one call alone: see
    Note [What settling cannot see].
    """
    spans = []
    parents = [()]
    for number in range(draw(st.integers(1, 5))):
        above = draw(st.sampled_from(parents))
        if draw(st.booleans()):  # a wrapper, in which later ones may lie
            name = f"w{number}"
            spans.append((name, above))
            parents.append((name, *above))
            above = parents[-1]
        answer = draw(st.sampled_from(["", f"r{number}"]))
        tellers = draw(st.integers(1, 3)) if answer else 1
        for teller in range(tellers):
            given = {"rank": draw(st.integers(0, 1)), "starts": draw(st.integers(0, 3)), "response": answer}
            spans.append((f"c{number}-{teller}", above, given))
    return [
        # A body of one span tells no more of what is above it than the parent.
        call(name, above[0] if above else "", **(given[0] if given else {}))
        for name, above, *given in spans
    ]


@given(data=st.data())
@drawn(40, 3000)
def test_each_call_counts_once_in_any_order_and_split_into_any_bodies(data):
    spans = data.draw(traces())
    calls = {one.event_id.partition("-")[0] for one in spans if one.event_id.startswith("c")}
    at_once = counting(spans)

    order = data.draw(st.permutations(spans))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    bodies = [order[start:end] for start, end in itertools.pairwise([0, *cuts, len(order)])]
    again = data.draw(st.lists(st.sampled_from(order), max_size=3))

    assert counting(*bodies, again) == at_once
    assert sorted(one.partition("-")[0] for one in at_once) == sorted(calls)
