"""What is news about a day: its spend, a share on frontier models, tokens without a price."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawing import drawn
from usage.rules import watching
from usage.rules.watching import Counted

MANY = drawn()
DAY = timedelta(days=1)
FRIDAY = date(2026, 11, 20)


def days_before(day: date, count: int) -> list[date]:
    return [day - n * DAY for n in range(count, 0, -1)]


def company(
    *, weekday: int = 100, weekend: int = 20, day: date = FRIDAY, days: int = 70, **costs: int
) -> dict[date, Decimal]:
    """Make a past that is a little different each day, and a day; `costs` are by days before that day, as `d3=500`."""
    made = {
        one: Decimal(weekend if one.weekday() >= 5 else weekday) * (96 + one.toordinal() % 9) / 100
        for one in days_before(day, days)
    }
    return made | {day - int(name[1:]) * DAY: Decimal(cost) for name, cost in costs.items()}


# A past of any size and any noise of a fifth around it, weekends being another size.
sizes = st.integers(min_value=1, max_value=10**6)
noises = st.lists(st.integers(min_value=80, max_value=120), min_size=70, max_size=70)


def noisy(weekday: int, weekend: int, noise: list[int]) -> dict[date, Decimal]:
    return {
        day: Decimal(weekend if day.weekday() >= 5 else weekday) * percent / 100
        for day, percent in zip(days_before(FRIDAY, 70), noise, strict=True)
    }


@MANY
@given(sizes, sizes, noises, st.integers(min_value=0, max_value=120))
def test_a_day_of_the_usual_size_is_never_news(weekday, weekend, noise, percent):
    spend = noisy(weekday, weekend, noise) | {FRIDAY: Decimal(weekday) * percent / 100}

    assert watching.unusual(spend, FRIDAY) is None


@MANY
@given(sizes, sizes, noises, st.integers(min_value=0, max_value=600), st.integers(min_value=1, max_value=10**6))
def test_in_another_currency_the_same_days_are_news(weekday, weekend, noise, percent, rate):
    spend = noisy(weekday, weekend, noise) | {FRIDAY: Decimal(weekday) * percent / 100}
    elsewhere = {day: cost * rate for day, cost in spend.items()}

    here = watching.unusual(spend, FRIDAY, least_usd=Decimal(10))
    there = watching.unusual(elsewhere, FRIDAY, least_usd=Decimal(10) * rate)

    assert (here is None) == (there is None)
    assert here is None or (here.times, here.spent * rate) == (there.times, there.spent)


@MANY
@given(noises, st.integers(min_value=1, max_value=70), st.integers(min_value=0, max_value=10**6), st.booleans())
def test_one_day_of_the_past_whatever_happened_on_it_changes_nothing(noise, ago, cost, high):
    spend = noisy(1000, 1000, noise) | {FRIDAY: Decimal(4000 if high else 1000)}

    found = watching.unusual(spend | {FRIDAY - ago * DAY: Decimal(cost)}, FRIDAY)

    assert (found is not None) == high


def test_what_is_told_of_an_unusual_day_is_what_days_like_it_cost():
    found = watching.unusual(company(d0=410), FRIDAY)

    assert found is not None
    assert (found.spent, found.usual.median, found.beyond) == (410, 100, 310)
    assert found.times == Decimal("4.1")
    assert (found.usual.low, found.usual.high) == (97, 103)
    assert found.usual.most == 150  # a tenth of the median counts as a deviation, at least
    assert {day.weekday() for day in found.usual.days} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("cost", "news"), [(150, False), (151, True)])
def test_a_past_as_flat_as_a_board_still_has_to_be_passed_by_half(cost, news):
    flat = {day: Decimal(100) for day in days_before(FRIDAY, 70)}

    assert (watching.unusual(flat | {FRIDAY: Decimal(cost)}, FRIDAY) is not None) == news


def test_ten_dollars_beyond_the_usual_are_worth_a_message_and_cents_are_not():
    cents = {day: Decimal("0.10") for day in days_before(FRIDAY, 70)}

    assert watching.unusual(cents | {FRIDAY: Decimal(10)}, FRIDAY) is None
    assert watching.unusual(cents | {FRIDAY: Decimal("10.10")}, FRIDAY) is not None


def test_what_matters_is_a_twentieth_of_what_the_organisation_spends_on_a_day():
    assert watching.least_usd(company(weekday=1000, weekend=1000), FRIDAY) == 50
    assert watching.least_usd(company(weekday=10, weekend=10), FRIDAY) == 10
    assert watching.least_usd({}, FRIDAY) == 10


def test_a_weekend_is_held_against_weekends():
    saturday = FRIDAY + DAY

    assert watching.unusual(company(d0=100, day=saturday), saturday) is not None
    assert watching.unusual(company(d0=100, day=FRIDAY), FRIDAY) is None


def test_a_job_that_runs_on_mondays_is_no_news_on_a_monday_and_is_on_a_tuesday():
    monday = FRIDAY + 3 * DAY
    weekly = {day: Decimal(900) for day in days_before(monday, 70) if day.weekday() == 0}
    past = company(day=monday) | weekly

    assert watching.unusual(past | {monday: Decimal(900)}, monday) is None
    assert watching.unusual(past | {monday: Decimal(2000)}, monday) is not None
    assert watching.unusual(past | {monday: Decimal(900), monday + DAY: Decimal(900)}, monday + DAY) is not None


def test_what_is_used_now_and_then_has_to_pass_its_dearest_day_by_half():
    seldom = {FRIDAY - n * DAY: Decimal(100 + n) for n in (3, 11, 22, 31, 42)}

    assert watching.unusual(seldom | {FRIDAY: Decimal(213)}, FRIDAY) is None
    assert watching.unusual(seldom | {FRIDAY: Decimal(214)}, FRIDAY) is not None


def test_with_less_than_two_weeks_of_a_past_nothing_is_said():
    assert watching.unusual(company(days=13, d0=5000), FRIDAY) is None
    assert watching.unusual(company(days=14, d0=5000), FRIDAY) is not None


def test_a_step_up_is_news_on_three_days_and_a_step_on_top_of_it_again():
    monday = FRIDAY + 3 * DAY
    stepped: Mapping[date, Decimal] = company(day=monday) | {
        monday + n * DAY: Decimal(60 if (monday + n * DAY).weekday() >= 5 else 300) for n in range(20)
    }

    told = [n for n in range(20) if watching.unusual(stepped, monday + n * DAY)]

    assert told == [0, 1, 2]
    assert watching.unusual(stepped | {monday + 9 * DAY: Decimal(1000)}, monday + 9 * DAY) is not None


def test_a_step_of_weekdays_alone_is_news_on_three_of_them():
    monday = FRIDAY + 3 * DAY
    stepped = company(day=monday, weekend=0) | {
        monday + n * DAY: Decimal(0 if (monday + n * DAY).weekday() >= 5 else 300) for n in range(-1, 26)
    }

    assert [n for n in range(26) if watching.unusual(stepped, monday + n * DAY)] == [0, 1, 2]


def test_a_part_explains_the_whole_with_two_thirds_of_what_is_beyond_the_usual():
    whole = watching.unusual(company(d0=400), FRIDAY)
    parts = {1: watching.unusual(company(d0=300), FRIDAY), 2: watching.unusual(company(d0=299), FRIDAY)}

    assert watching.explaining(whole, {}) is None
    assert watching.explaining(whole, {2: parts[2]}) is None
    assert watching.explaining(whole, parts) == 1


# --- shares on frontier models ---

counts = st.integers(min_value=0, max_value=400).flatmap(
    lambda answered: st.builds(Counted, st.just(answered), st.integers(min_value=0, max_value=answered))
)


@MANY
@given(counts, counts)
def test_chance_is_that_of_fisher_s_exact_test(before, after):
    of, on_frontier = before.answered + after.answered, before.on_frontier + after.on_frontier
    most = min(on_frontier, after.answered)
    exact = sum(
        comb(on_frontier, hits) * comb(of - on_frontier, after.answered - hits)
        for hits in range(after.on_frontier, most + 1)
    ) / comb(of, after.answered)

    assert watching.chance(before=before, after=after) == pytest.approx(exact, rel=1e-6, abs=1e-12)


def week(share: int, *, answered: int = 400) -> list[Counted]:
    return [Counted(answered, answered * share // 100)] * 7


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (week(7), "two points are no three"),
        (week(3), "it fell"),
        (week(12, answered=14), "98 answered requests are too few"),
        (week(9, answered=25), "four points of 175 requests may be chance"),
    ],
)
def test_a_share_has_not_risen_when(after, why):
    assert not watching.rose(before=week(5) * 4, after=after, looks=1), why


def test_a_share_rose_by_three_points_that_are_no_chance():
    assert watching.rose(before=week(5) * 4, after=week(8), looks=1)
    assert not watching.rose(before=week(5) * 4, after=week(8), looks=1, under_way=Decimal("0.001"))


def test_the_more_use_cases_are_looked_at_the_less_is_left_to_chance():
    after = week(10, answered=50)  # once in some 8000

    assert watching.rose(before=week(5) * 4, after=after, looks=1)
    assert not watching.rose(before=week(5) * 4, after=after, looks=100)


def test_days_that_differ_much_among_themselves_have_to_be_left_behind_by_more():
    before = [Counted(400, 400 * share // 100) for share in (2, 30, 5, 45, 10, 38, 20)]

    assert not watching.rose(before=before, after=week(36)[:2], looks=1)
    assert watching.rose(before=week(21), after=week(36)[:2], looks=1)


def test_one_odd_day_is_no_drift():
    assert not watching.rose(before=week(5) * 4, after=[*week(5)[:6], Counted(400, 400)], looks=1)


def test_what_goes_together_is_known_by_how_much_days_differ():
    alike, apart = [Counted(100, 50)] * 28, [Counted(100, 40), Counted(100, 60)] * 14

    assert watching.going_together(alike) == 0
    assert watching.going_together(apart) == pytest.approx(4, rel=0.05)  # ten requests off where five are chance
    assert watching.going_together([*alike, Counted(100, 100)]) < 1
    assert watching.going_together(apart[:3]) == 1  # too few days to say


def versions(*spans: tuple[int, int], until: date = FRIDAY) -> dict[date, dict[int, Counted]]:
    """Make days that end before `until`, by version and how many days it had, the oldest first."""
    given = [version for version, days in spans for _ in range(days)]
    return {day: {version: Counted(100, 5)} for day, version in zip(days_before(until, len(given)), given, strict=True)}


def test_a_version_s_first_days_are_held_against_the_same_weekdays_of_the_one_before():
    change = watching.change(versions((18, 20), (19, 3)), today=FRIDAY)

    assert (change.version, change.version_before) == (19, 18)
    assert [day.isoformat() for day in change.after] == ["2026-11-17", "2026-11-18", "2026-11-19"]
    assert change.before == tuple(day - 7 * DAY for day in change.after)


def test_a_version_is_judged_by_its_first_week_and_for_three():
    days = versions((18, 20), (19, 21))

    assert len(watching.change(days, today=FRIDAY).after) == 7
    assert max(watching.change(days, today=FRIDAY).after) == FRIDAY - 15 * DAY
    assert watching.change(versions((18, 20), (19, 22)), today=FRIDAY) is None


def test_a_day_that_two_versions_shared_is_no_day_of_either():
    days = versions((18, 20), (19, 2))
    shared = FRIDAY - 2 * DAY
    days[shared] = {18: Counted(20, 1), 19: Counted(80, 4)}

    assert watching.change(days, today=FRIDAY).after == (FRIDAY - DAY,)
    days[shared] = {18: Counted(10, 1), 19: Counted(90, 4)}
    assert watching.change(days, today=FRIDAY).after == (shared, FRIDAY - DAY)


@pytest.mark.parametrize("days", [{}, versions((0, 30)), versions((18, 30)), versions((0, 20), (18, 10))])
def test_without_a_version_before_it_there_is_no_change(days):
    assert watching.change(days, today=FRIDAY) is None


def test_days_are_matched_once_by_weekday_else_by_kind():
    days = days_before(FRIDAY, 3)  # Tuesday to Thursday
    past = [FRIDAY - 8 * DAY, FRIDAY - 11 * DAY, FRIDAY - 12 * DAY]  # a Thursday, a Monday and a Sunday

    assert watching.matched(days, past) == [(days[1], past[1]), (days[2], past[0])]


# --- shares without a price ---


@pytest.mark.parametrize(
    ("unpriced", "tokens", "lacks"),
    [(999, 999, False), (1_000, 1_000, True), (1_000, 100_000, False), (1_001, 100_000, True), (0, 0, False)],
)
def test_more_than_one_per_cent_and_a_thousand_tokens_are_too_many(unpriced, tokens, lacks):
    assert watching.lacks_prices(unpriced_tokens=unpriced, tokens=tokens) is lacks


def test_the_past_that_is_asked_for_is_enough_for_every_question():
    """A level's three days may lie two weeks back, and each has eight weeks of its own."""
    long = company(days=400, d0=300, d1=300, d2=300, d3=300)
    short = {day: cost for day, cost in long.items() if day >= FRIDAY - watching.LONGEST_LOOK}

    for day in (FRIDAY - 2 * DAY, FRIDAY - DAY, FRIDAY):
        assert watching.usual(long, day) is not None
        assert watching.unusual(long, day) == watching.unusual(short, day)
