"""The order of targets by score, on paper: points worked out by hand, and what must hold of any measurements."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.rules import scoring
from routing.rules.scoring import ALIKE, MARGIN, WHOLE, Measured, Weights
from usage.rules.postings import LATENCY_BOUNDS_MS

A, B, C = "a@x", "b@y", "c@z"


def measured(usd="0.001", *, calls=1000, failed=0, p50=500, p95=1000) -> Measured:
    return Measured(usd_per_1k_tokens=Decimal(usd), calls=calls, failed=failed, p50_ms=p50, p95_ms=p95)


def points(weights=ALIKE, **known):
    """Return price, latency, errors and score of each target."""
    names = [name for name in (A, B, C) if name[0] in known]
    rows = scoring.scored(names, {name: known[name[0]] for name in names if known[name[0]]}, weights)
    return {one.offering[0]: (one.price, one.latency, one.errors, one.score) for one in rows}


def order(known, weights=ALIKE, before=None):
    return scoring.ordered(scoring.scored(list(known), known, weights), before)


# --- Worked by hand


def test_points_are_those_of_the_best_of_the_rule_in_proportion():
    found = points(a=measured("0.004", p50=500, p95=4000), b=measured("0.001", p50=1000, p95=2000))

    # A costs four times as much; its median is the best, its 95th percentile twice the other's.
    assert found == {"a": (2500, 7500, 10000, 6666), "b": (10000, 7500, 10000, 9166)}


def test_failures_count_beside_a_hundred_calls_with_one():
    found = points(a=measured(calls=900, failed=49), b=measured(calls=900, failed=9))

    # (49 + 1) of 1000 against (9 + 1) of 1000: 4 per cent more, 500 points each.
    assert {name: errors for name, (_, _, errors, _) in found.items()} == {"a": 8000, "b": 10000}


def test_one_failure_of_one_call_sinks_nobody():
    cheap = measured("0.001", calls=1, failed=1, p50=None, p95=None)
    known = {A: measured("0.002"), B: cheap}

    # 2 of 101 against 1 of 1100: 1.9 per cent more.
    assert points(a=known[A], b=known[B])["b"][2] == 10000 - (19801 - 909) * 10000 // 200_000
    assert order(known) == [B, A]


def test_one_that_fails_a_fifth_more_comes_last_however_cheap_and_quick_it_is():
    known = {A: measured("0.0001", calls=900, failed=209, p50=25, p95=25), B: measured("0.1", p50=9000, p95=60_000)}

    # 210 of 1000 are 209,091 in a million more than 1 of 1100.
    assert points(a=known[A], b=known[B])["a"] == (10000, 10000, 0, 0)
    assert order(known) == [B, A]


def test_where_errors_weigh_nothing_one_that_fails_keeps_its_place():
    known = {A: measured("0.0001", failed=1000), B: measured("0.1")}

    assert order(known, Weights(1, 0, 0)) == [A, B]


def test_what_is_not_measured_stands_in_the_middle():
    unmeasured = Measured(usd_per_1k_tokens=Decimal("0.001"))
    found = points(a=measured(p50=100, p95=100), b=measured(p50=400, p95=400), c=unmeasured)

    assert [found[name][1] for name in "abc"] == [10000, 2500, 6250]
    assert found["c"][2] == 9546  # 1 of 100 against 1 of 1100: 9091 in a million more


def test_a_price_that_is_not_known_has_no_points_and_free_has_all():
    free, unknown = measured("0"), Measured(calls=1000, p50_ms=500, p95_ms=1000)

    assert [one[0] for one in points(a=free, b=measured("0.001"), c=unknown).values()] == [10000, 0, 0]
    assert order({C: unknown, B: measured("0.001")}, Weights(1, 0, 0)) == [B, C]


def test_where_nothing_was_measured_the_order_is_as_written_or_stays():
    known = {A: Measured(usd_per_1k_tokens=Decimal(2)), B: Measured(usd_per_1k_tokens=Decimal(1))}

    assert order(known) == [A, B]
    assert order(known, before=[B, A]) == [B, A]


def test_ties_go_by_price_and_at_last_as_written():
    # Both prices are nothing beside a free one, and latency and errors are the same.
    rows = {C: measured("0"), A: measured("0.002"), B: measured("0.001")}

    assert order(rows) == [C, B, A]
    assert order({B: measured(), A: measured(), C: measured()}) == [B, A, C]


def test_the_order_moves_by_a_margin_only():
    # By price alone: 10000 for the one at 0.95, 10000 * 0.95 / price for the other.
    def after(price: str) -> list[str]:
        return order({A: measured(price), B: measured("0.95")}, Weights(1, 0, 0), before=[A, B])

    assert WHOLE - MARGIN == 9500
    assert after("0.999") == [A, B]
    assert after("1") == [B, A]


def test_a_target_far_behind_that_passes_puts_all_in_order():
    known = {A: measured("1.00"), B: measured("0.99"), C: measured("0.5")}

    assert order(known, Weights(1, 0, 0), before=[A, B, C]) == [C, B, A]


@pytest.mark.parametrize(
    ("part", "weights"),
    [
        ({}, ALIKE),
        ({"score": {}}, ALIKE),
        ({"score": {"price": 0}}, ALIKE),
        ({"score": {"price": 7000, "errors": 3000}}, (7000, 0, 3000)),
    ],
)
def test_weights_are_what_the_rule_says_and_all_alike_where_it_says_nothing(part, weights):
    assert scoring.weights_of(part) == weights


def test_rules_by_score_are_found_and_the_default_among_them():
    content = {
        "rules": [{"id": "a", "choose": "score"}, {"id": "b"}, {"id": "c", "choose": "order"}],
        "default": {"choose": "score"},
    }

    assert list(scoring.by_score(content)) == ["a", "default"]


def histogram(**counts: int) -> tuple[int, ...]:
    places = {f"to_{bound}": index for index, bound in enumerate(LATENCY_BOUNDS_MS)} | {"longer": 15}
    found = [0] * 16
    for name, count in counts.items():
        found[places[name]] = count
    return tuple(found)


@pytest.mark.parametrize(
    ("latencies", "median", "high"),
    [
        (histogram(to_1000=100), 875, 987),  # 750 to 1000
        (histogram(to_500=50, to_1000=50), 500, 975),
        (histogram(to_25=19), None, None),
        (histogram(to_25=20), 12, 23),
        (histogram(longer=100), 60_000, 60_000),
        (histogram(to_100=90, longer=10), 77, 60_000),
    ],
)
def test_percentiles_lie_evenly_within_their_bucket(latencies, median, high):
    found = [scoring.percentile_ms(latencies, share) for share in (50, 95)]

    assert found == [median, high]


# --- Whatever is measured

times = st.none() | st.integers(1, 60_000)
prices = st.none() | st.integers(0, 10**8).map(lambda millionths: Decimal(millionths).scaleb(-6))


@st.composite
def anything(draw):
    calls = draw(st.integers(0, 10_000))
    median = draw(times) if calls else None
    return Measured(
        usd_per_1k_tokens=draw(prices),
        calls=calls,
        failed=draw(st.integers(0, calls)),
        p50_ms=median,
        p95_ms=None if median is None else draw(st.integers(median, 60_000)),
    )


weightings = st.builds(Weights, *(st.integers(0, WHOLE) for _ in range(3))).filter(any)
rules = st.lists(anything(), min_size=1, max_size=8).map(lambda found: {f"o{n}@p": one for n, one in enumerate(found)})


@given(rules, weightings, st.randoms(use_true_random=False))
def test_an_order_has_every_target_once_and_is_the_same_again(known, weights, chance):
    before = list(known)
    chance.shuffle(before)

    for given_before in (None, before):
        found = order(known, weights, given_before)
        assert sorted(found) == sorted(known)
        assert found == order(known, weights, given_before)
        assert order(known, weights, found) == found  # it stays, and does not swing


@given(rules, weightings)
def test_nothing_of_a_score_is_a_float_and_all_lies_within_the_points(known, weights):
    for one in scoring.scored(list(known), known, weights):
        numbers = (one.price, one.latency, one.errors, one.score)
        assert all(type(number) is int and 0 <= number <= WHOLE for number in numbers)
        assert "." not in json.dumps(numbers)


@given(rules, weightings, st.data())
def test_what_is_cheaper_quicker_and_safer_never_ranks_below(known, weights, data):
    worse = data.draw(st.sampled_from(sorted(known)))
    one = known[worse]
    if one.usd_per_1k_tokens is None or one.p50_ms is None or one.p95_ms is None:
        return
    better = Measured(
        usd_per_1k_tokens=one.usd_per_1k_tokens * data.draw(st.integers(0, 1000)) / 1000,
        calls=one.calls,
        failed=data.draw(st.integers(0, one.failed)),
        p50_ms=data.draw(st.integers(1, one.p50_ms)),
        p95_ms=data.draw(st.integers(1, one.p95_ms)),
    )
    written = [*known]
    written.insert(written.index(worse), "better@p")

    found = order({name: {**known, "better@p": better}[name] for name in written}, weights)

    assert found.index("better@p") < found.index(worse)


@given(rules, weightings)
def test_one_stays_before_another_until_that_has_the_margin_more(known, weights):
    before = list(known)
    scores = {one.offering: one.score for one in scoring.scored(before, known, weights)}

    found = order(known, weights, before)

    overtakes = any(scores[later] - scores[one] >= MARGIN for n, one in enumerate(before) for later in before[n + 1 :])
    if not overtakes:
        assert found == before
    elif any(one.calls for one in known.values()):
        assert [scores[name] for name in found] == sorted(scores.values(), reverse=True)
