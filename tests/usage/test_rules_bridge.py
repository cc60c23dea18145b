from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from catalog.rules import METERS
from tests.drawing import drawn
from usage.rules import bridge
from usage.rules.bridge import Cell, Parts, Side

IN, OUT = METERS.index("uncached_input"), METERS.index("output")
NOTHING = Side(0, 0, (0,) * len(METERS))


def prices(input_: int, output: int) -> tuple[Fraction | None, ...]:
    return tuple({IN: Fraction(input_), OUT: Fraction(output)}.get(index) for index in range(len(METERS)))


def side(requests: int, input_: int = 100, output: int = 10, *, at: tuple[int, int] = (1, 5)) -> Side:
    """Make requests of so many tokens each, paid at these prices per token."""
    meters = tuple({IN: requests * input_, OUT: requests * output}.get(index, 0) for index in range(len(METERS)))
    return Side(requests, requests * (input_ * at[0] + output * at[1]), meters)


def cell(before: Side, after: Side, *, use_case: int = 1, offering: int = 1, then=(1, 5), now=(1, 5)) -> Cell:
    return Cell(use_case, offering, before, after, prices(*then), prices(*now))


def explained(*cells: Cell) -> Parts:
    return bridge.total(bridge.explain(cells).values())


def test_more_requests_of_everything_alike_are_volume_alone():
    found = explained(cell(side(10), side(20)), cell(side(4), side(8), use_case=2))

    assert found == Parts(volume=14 * 150)


def test_a_use_case_that_grows_while_another_shrinks_changes_the_mix_of_use_cases():
    found = bridge.explain([cell(side(10), side(15)), cell(side(10, 200), side(5, 200), use_case=2)])

    assert found == {1: Parts(use_cases=5 * 150), 2: Parts(use_cases=-5 * 250)}


def test_requests_that_go_to_a_cheaper_model_change_the_mix_of_models():
    dear, cheap = (10, 50), (1, 5)
    found = explained(
        cell(side(10, at=dear), side(2, at=dear), then=dear, now=dear),
        cell(side(10, at=cheap), side(18, at=cheap), offering=2),
    )

    assert found == Parts(models=-8 * 1500 + 8 * 150)


def test_a_model_that_a_use_case_did_not_use_before_counts_with_the_tokens_of_before():
    found = explained(
        cell(side(10, at=(10, 50)), NOTHING, then=(10, 50), now=(10, 50)),
        cell(NOTHING, side(10, 100, 20), offering=2),
    )

    assert found == Parts(models=10 * 150 - 10 * 1500, tokens=10 * 10 * 5)


def test_longer_answers_are_tokens_per_call():
    assert explained(cell(side(10), side(10, output=30))) == Parts(tokens=10 * 20 * 5)


def test_a_price_that_was_cut_is_price_and_what_the_book_does_not_know_of_is_not():
    assert explained(cell(side(10, at=(2, 10)), side(10), then=(2, 10), now=(1, 5))) == Parts(price=-10 * 150)
    assert explained(cell(side(10), side(10, at=(2, 10)))) == Parts(tokens=10 * 150)


def test_a_use_case_that_was_not_there_before_is_new_and_one_that_is_not_any_more_is_gone():
    found = bridge.explain([cell(NOTHING, side(3), use_case=1), cell(side(4), NOTHING, use_case=2)])

    assert found == {1: Parts(new=3 * 150), 2: Parts(gone=-4 * 150)}


count = st.integers(0, 10**6)
drawn_side = st.builds(
    lambda requests, cost, input_, output: Side(
        requests, cost, tuple({IN: input_, OUT: output}.get(index, 0) for index in range(len(METERS)))
    ),
    st.integers(0, 1000),
    st.integers(-(10**6), 10**24),
    count,
    count,
)
drawn_prices = st.none() | st.builds(prices, st.integers(0, 10**13), st.integers(0, 10**13))
drawn_cell = st.builds(Cell, st.integers(1, 3), st.integers(1, 3), drawn_side, drawn_side, drawn_prices, drawn_prices)


@given(st.lists(drawn_cell, max_size=8))
@drawn(50)
def test_the_parts_of_every_use_case_add_up_to_its_change_to_the_last_decimal(cells):
    found = bridge.explain(cells)

    assert set(found) == {one.use_case for one in cells}
    for use_case, parts in found.items():
        change = sum(one.after.cost - one.before.cost for one in cells if one.use_case == use_case)
        assert parts.total == change
    assert explained(*cells).total == sum(one.after.cost - one.before.cost for one in cells) if cells else True
