"""Where a budget's use leads: what its days usually use, carried on to the end of the period, with a band."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets.rules import forecasting
from budgets.rules.forecasting import EVEN, MEAN, WEEKDAYS, Profile
from core import periods
from tests.drawing import drawn
from tests.factories import NOON

JUNE = periods.containing(NOON, "month", "UTC")
TODAY = NOON.date()  # a Monday
DAY = timedelta(days=1)
WEEK = (80, 100, 100, 100, 80, 10, 5)  # Monday first


def flat(days, value=2):
    """Return June with the same use on each of these days of it."""
    return {date(2026, 6, day): Decimal(value) for day in days}


def weekly(weeks=8, today=TODAY, week=WEEK, **changed):
    """Return so many weeks up to yesterday that all went alike, with some days changed, by how long ago they were."""
    days = {today - n * DAY: Decimal(week[(today - n * DAY).weekday()]) for n in range(1, weeks * 7 + 1)}
    days.update({today - int(ago.removeprefix("ago_")) * DAY: Decimal(value) for ago, value in changed.items()})
    return days


def ahead(days, *, at=NOON, used=None, limit=100, zone="UTC", period=JUNE):
    used = sum(days.values(), Decimal(0)) if used is None else Decimal(used)
    profile = forecasting.profile_of(days, periods.local_day(at, zone))
    return forecasting.forecast(period=period, zone=zone, at=at, used=used, limit=Decimal(limit), profile=profile)


def test_there_is_no_forecast_before_three_full_days_of_data():
    assert ahead(flat(range(13, 16))) is None  # the 15th is not over
    assert ahead(flat(range(12, 16))).method == MEAN


def test_days_before_the_first_use_do_not_slow_the_pace_and_days_without_use_after_it_do():
    assert ahead(flat(range(11, 15))).per_day == 2
    assert ahead(flat([11, 12])).per_day == 1  # 4 in the four days from the 11th to the 14th


def test_the_pace_goes_on_until_the_period_ends_and_today_counts_by_what_is_left_of_it():
    found = ahead(flat(range(1, 15)), used=29)

    assert (found.at_end, found.low, found.high) == (29 + 2 * Decimal("15.5"), 60, 60)  # no day went its own way
    assert found.runs_out_on is None


def test_the_day_the_limit_is_reached_is_named_in_the_budgets_zone():
    found = ahead(flat(range(1, 15)), used=28, limit=49)

    assert found.runs_out_on == date(2026, 6, 25)  # 1 for the rest of the 15th, 2 for each of ten days
    kiritimati = periods.containing(NOON, "month", "Pacific/Kiritimati")
    found = ahead(flat(range(1, 16)), used=30, limit=49, zone="Pacific/Kiritimati", period=kiritimati)
    assert found.runs_out_on == date(2026, 6, 25)  # 22 hours are left of the 16th there


def test_a_budget_that_is_used_up_or_stands_still_runs_out_on_no_day():
    assert ahead(flat(range(1, 15)), used=100).runs_out_on is None
    stopped = ahead(weekly() | {TODAY - n * DAY: Decimal(0) for n in range(1, 15)}, used=50)
    assert (stopped.per_day, stopped.runs_out_on, stopped.at_end) == (0, None, 50)


def test_three_weeks_of_days_are_told_apart_by_weekday():
    mean, by_weekday = (
        forecasting.profile_of({day: used for day, used in weekly(3).items() if day >= TODAY - n * DAY}, TODAY)
        for n in (20, 21)
    )

    assert (mean.method, mean.days, len(set(mean.weekdays))) == (MEAN, 20, 1)
    assert by_weekday == Profile(WEEKDAYS, tuple(map(Decimal, WEEK)), Decimal(0), 8)


def test_a_weekend_ahead_is_no_working_week():
    friday_evening = datetime(2026, 6, 26, 18, tzinfo=UTC)

    found = ahead(weekly(today=friday_evening.date()), at=friday_evening, used=1000, limit=1140)

    assert found.at_end == 1000 + 20 + 10 + 5 + 80 + 100
    assert found.runs_out_on == date(2026, 6, 30)


def test_holidays_an_outage_and_a_run_gone_wild_bend_nothing():
    usual = forecasting.profile_of(weekly(), TODAY)

    bent = forecasting.profile_of(weekly(ago_5=0, ago_6=0, ago_11=0, ago_25=9000, ago_39=2), TODAY)

    assert bent.weekdays == usual.weekdays
    assert bent.spread == 0


def test_growth_is_followed():
    days = {day: used * (2 if day >= TODAY - 14 * DAY else 1) for day, used in weekly().items()}

    assert forecasting.profile_of(days, TODAY).weekdays == tuple(Decimal(2 * one) for one in WEEK)


def test_use_that_comes_in_bursts_goes_by_the_mean_of_its_days():
    days = {TODAY - n * DAY: Decimal(1000 if n % 10 == 0 else 1) for n in range(1, 57)}

    found = forecasting.profile_of(days, TODAY)

    assert (found.method, round(found.weekdays[0])) == (MEAN, 90)  # a middle half would expect 1 of each day


def test_days_below_zero_do_no_harm():
    corrected = forecasting.profile_of(weekly(ago_3=-100_000, ago_20=-5), TODAY)

    assert corrected.weekdays == tuple(map(Decimal, WEEK))
    assert forecasting.profile_of({TODAY - n * DAY: Decimal(-1) for n in range(1, 30)}, TODAY) is None


def test_today_and_later_days_are_not_looked_at():
    assert forecasting.profile_of(weekly() | {TODAY: Decimal(10**6), TODAY + DAY: Decimal(5)}, TODAY) == (
        forecasting.profile_of(weekly(), TODAY)
    )


def test_the_band_widens_with_the_root_of_the_days_left_and_is_wider_the_less_is_known():
    wide = {
        learned: list(
            forecasting.path(
                period=JUNE, zone="UTC", at=JUNE.starts_at, used=Decimal(500),
                profile=Profile(MEAN, (Decimal(10),) * 7, Decimal(3), learned),
            )
        )
        for learned in (3, 10**12)
    }  # fmt: skip

    one, four, thirty = (wide[10**12][n] for n in (0, 3, 29))
    assert [round(each.high - each.expected, 6) for each in (one, four)] == [3, 6]
    assert (thirty.expected, thirty.day) == (800, date(2026, 6, 30))
    assert wide[3][3].high - wide[3][3].expected > Decimal(9)  # 3 * root of 4 + 16 / 3


def test_a_band_never_goes_below_what_is_used():
    found = ahead(weekly(ago_1=0, ago_2=900, ago_4=0, ago_9=800, ago_3=0, ago_10=0, ago_12=0, ago_8=0), used=1)

    assert found.low >= 1


def test_the_days_between_which_the_limit_is_reached_enclose_the_expected_one():
    noisy = {day: used * (Decimal("1.3") if day.toordinal() % 2 else Decimal("0.7")) for day, used in weekly().items()}

    found = ahead(noisy, used=100, limit=700)

    assert found.earliest < found.runs_out_on < found.latest
    unsure = ahead(noisy, used=100, limit=found.high - 1)
    assert (unsure.runs_out_on, unsure.latest) == (None, None)
    assert unsure.earliest is not None


def test_the_band_holds_about_eight_of_ten_periods():
    numbers, held = random.Random(8), 0
    for _ in range(200):
        days = {
            TODAY + n * DAY: Decimal(round(WEEK[(TODAY + n * DAY).weekday()] * numbers.lognormvariate(0, 0.25), 3))
            for n in range(-56, 16)
        }
        used = Decimal(100)
        start = datetime(2026, 6, 15, tzinfo=UTC)
        found = ahead({day: value for day, value in days.items() if day < TODAY}, at=start, used=used)
        held += found.low <= used + sum(days[TODAY + n * DAY] for n in range(16)) <= found.high

    assert 140 <= held <= 180


def test_without_days_the_pace_is_what_was_used_over_the_time_gone_and_has_no_band():
    at = JUNE.starts_at + timedelta(days=10)

    found, early, over = (
        forecasting.even_forecast(period=JUNE, zone="UTC", at=when, used=Decimal(50), limit=Decimal(100))
        for when in (at, JUNE.starts_at + timedelta(days=2, hours=23), JUNE.ends_at)
    )

    assert (found.method, found.per_day, found.at_end) == (EVEN, 5, 150)
    assert (found.runs_out_on, found.low, found.high) == (date(2026, 6, 20), None, None)
    assert (early, over) == (None, None)


def test_a_period_that_is_over_or_has_not_begun_has_no_forecast():
    assert ahead(flat(range(1, 15)), at=JUNE.ends_at) is None
    assert ahead(flat(range(1, 15)), at=JUNE.starts_at - timedelta(seconds=1)) is None


def test_a_day_and_the_first_moment_of_a_month_are_forecast_from_what_was_before():
    today = periods.containing(NOON, "day", "UTC")
    assert ahead(weekly(), period=today, used=30).at_end == 70  # half of a Monday is left
    july = datetime(2026, 7, 1, tzinfo=UTC)
    month = periods.containing(july, "month", "UTC")
    found = ahead(weekly(today=july.date()), period=month, at=july, used=0, limit=10**6)
    assert found.at_end == 4 * sum(WEEK) + 100 + 100 + 80  # from a Wednesday to a Friday


def test_a_profile_reads_as_it_was_written():
    profile = forecasting.profile_of(weekly(ago_1="12.345678901234567891"), TODAY)

    assert forecasting.read(profile.written()) == profile
    assert forecasting.read({}) is None


ZONES = ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago", "Europe/Berlin")
amounts = st.decimals(-(10**6), 10**9, places=6)


@drawn()
@given(
    minutes=st.integers(0, 3 * 366 * 24 * 60),
    kind=st.sampled_from(periods.KINDS),
    zone=st.sampled_from(ZONES),
    past=st.dictionaries(st.integers(0, 60), amounts, max_size=60),
    used=amounts,
    limit=st.decimals(1, 10**10, places=2),
)
def test_whatever_the_days_were_a_forecast_is_in_order(minutes, kind, zone, past, used, limit):
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    period, today = periods.containing(at, kind, zone), periods.local_day(at, zone)
    days = {today - ago * DAY: value for ago, value in past.items()}

    found = ahead(days, at=at, used=used, limit=limit, zone=zone, period=period)

    if found is None:
        assert not any(value > 0 for ago, value in past.items() if 3 <= ago <= 56)
        return
    assert used <= found.low <= found.at_end <= found.high
    reached = [found.earliest, found.runs_out_on, found.latest]
    named = [day for day in reached if day is not None]
    assert named == sorted(named) == reached[: len(named)]
    assert (found.runs_out_on is not None) == (used < limit <= found.at_end)
    assert all(today <= day and periods.day_start(day, zone) < period.ends_at for day in named)


@pytest.mark.parametrize("at", ["2026-04-04T14:30:00+00:00", "2026-10-03T16:00:00+00:00", "2026-09-06T03:59:59+00:00"])
@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "America/Santiago"])
def test_days_that_are_longer_or_shorter_count_as_days(at, zone):
    now = datetime.fromisoformat(at)
    period, today = periods.containing(now, "month", zone), periods.local_day(now, zone)
    days = {today - n * DAY: Decimal(24) for n in range(1, 57)}

    [first, *rest] = forecasting.path(
        period=period, zone=zone, at=now, used=Decimal(0), profile=forecasting.profile_of(days, today)
    )

    left = (periods.day_start(today + DAY, zone) - now) / (
        periods.day_start(today + DAY, zone) - periods.day_start(today, zone)
    )
    assert float(first.expected) == pytest.approx(24 * left)
    assert [b.expected - a.expected for a, b in zip([first, *rest], rest, strict=False)] == [24] * len(rest)
