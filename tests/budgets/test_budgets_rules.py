"""Scopes, amounts, periods, thresholds and forecasts: everything that can be argued on paper."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgets import rules
from budgets.rules import Definition, Limit
from core import periods
from tests.factories import NOON, make_consumption

JUNE = periods.containing(NOON, "month", "UTC")


def definition(**overrides):
    given = {
        "id": 1,
        "name": "support frontier",
        "scope": {},
        "unit": "frontier_tokens",
        "period": "month",
        "zone": "UTC",
        "fiscal_start_month": 1,
        "action": "alert",
        "trial": False,
        "thresholds": (70, 90, 100),
        "owner": "",
        "created_at": NOON,
        "limits": (),
    }
    return Definition(**{**given, **overrides})


def concerns(one, **overrides):
    return rules.concerns(one, rules.values_of(make_consumption(**overrides)))


def test_a_scope_is_a_conjunction_of_dimensions_each_a_list_of_values():
    one = definition(unit="usd", scope={"use_case": {"support-routing", "chat"}, "model": {"gpt-5.5"}})

    assert concerns(one)
    assert concerns(one, use_case="chat")
    assert not concerns(one, use_case="batch")
    assert not concerns(one, model="gemini-3.1-pro")


def test_an_empty_scope_is_the_whole_organisation():
    assert concerns(definition(unit="usd"), use_case="anything", tier="economy")


def test_a_missing_tag_is_in_no_list():
    one = definition(unit="usd", scope={"tag:env": {"prod", ""}})

    assert concerns(one, tags={"env": "prod"})
    assert not concerns(one, tags={"env": "test"})
    assert not concerns(one)


def test_a_frontier_budget_looks_at_frontier_and_unclassified_whatever_its_scope_says_about_tiers():
    one = definition(scope={"tier": frozenset({"frontier"})})

    assert [tier for tier in rules.TIERS if concerns(one, tier=tier)] == ["frontier", "unclassified"]


@pytest.mark.parametrize(
    ("unit", "counted"),
    [
        ("frontier_tokens", {"ok": 12, "error": 12, "usage_missing": 12, "cache_hit": 0, "blocked": 0}),
        ("tokens", {"ok": 12, "error": 12, "usage_missing": 12, "cache_hit": 0, "blocked": 0}),
        ("requests", {"ok": 3, "error": 3, "usage_missing": 3, "cache_hit": 3, "blocked": 0}),
        ("usd", {status: Decimal("0.5") for status in ("ok", "error", "usage_missing", "cache_hit", "blocked")}),
    ],
)
def test_what_counts_depends_on_unit_and_status(unit, counted):
    for status, expected in counted.items():
        one = make_consumption(status=status, requests=3, input_tokens=10, output_tokens=2, cost_usd=Decimal("0.5"))

        assert rules.amount(unit, one) == (expected, 0), status


def test_unclassified_tokens_stand_beside_a_frontier_budget_with_the_same_statuses():
    beside = make_consumption(tier="unclassified", output_tokens=5)

    assert rules.amount("frontier_tokens", beside) == (0, 15)
    assert rules.amount("frontier_tokens", make_consumption(tier="unclassified", status="cache_hit")) == (0, 0)
    assert rules.amount("frontier_tokens", make_consumption(tier="middle")) == (0, 0)
    assert rules.amount("tokens", beside) == (15, 0)


def test_a_reversal_counts_negative():
    assert rules.amount("tokens", make_consumption(input_tokens=-10, requests=-1)) == (-10, 0)


def test_the_highest_version_in_force_is_the_limit():
    raised_for_a_week = Limit(2, 2, Decimal(200), NOON, NOON + timedelta(days=7))
    one = definition(limits=(raised_for_a_week, Limit(1, 1, Decimal(100), None, None)))

    amounts = [one.limit_at(NOON + timedelta(days=days)).amount for days in (-1, 0, 6, 7)]

    assert amounts == [100, 200, 200, 100]


def test_a_threshold_is_passed_when_it_is_reached():
    assert rules.passed((70, 90, 100), Decimal("69.999999999999999999"), Decimal(100)) == ()
    assert rules.passed((70, 90, 100), Decimal(70), Decimal(100)) == (70,)
    assert rules.passed((70, 90, 100), Decimal(120), Decimal(100)) == (70, 90, 100)


def test_thresholds_are_exact_beyond_the_digits_of_the_default_context():
    limit = Decimal("99999999999999999999")
    just_below = Decimal("99999999999999999998.999999999999999999")

    assert rules.passed((100,), just_below, limit) == ()
    assert rules.add(just_below, Decimal("1e-18")) == limit


def test_what_may_have_been_passed_leaves_out_what_surely_was():
    assert rules.may_have_passed((70, 90, 100), Decimal(75), Decimal(20), Decimal(100)) == (90,)
    assert rules.may_have_passed((70,), Decimal(50), Decimal(10), Decimal(100)) == ()


def test_per_cent_is_rounded_down_so_that_it_never_reads_as_a_threshold_not_yet_passed():
    assert rules.per_cent(Decimal("69.999"), Decimal(100)) == Decimal("69.9")
    assert rules.per_cent(Decimal(1_428_571), Decimal(2_000_000)) == Decimal("71.4")
    assert rules.per_cent(Decimal(5), Decimal(0)) == 0


def test_the_share_of_a_period_gone_stays_between_0_and_100():
    instants = [JUNE.starts_at - timedelta(days=1), JUNE.starts_at, NOON, JUNE.ends_at, JUNE.ends_at + timedelta(1)]

    gone = [rules.per_cent_gone(JUNE, instant) for instant in instants]

    assert gone == [0, 0, Decimal("48.3"), 100, 100]


@pytest.mark.parametrize(
    ("used", "thresholds", "state"),
    [
        (0, (70, 90, 100), "OK"),
        (70, (70, 90, 100), "WARN"),
        (90, (70, 90, 100), "ALERT"),
        (100, (70, 90, 100), "EXCEEDED"),
        (130, (70, 90, 150), "EXCEEDED"),
        (95, (70, 100), "WARN"),  # there is one step before the limit only
        (99, (100,), "OK"),
    ],
)
def test_the_state_of_a_budget_follows_its_thresholds(used, thresholds, state):
    assert rules.standing(used=Decimal(used), limit=Decimal(100), thresholds=thresholds) == state


# --- periods --------------------------------------------------------------------------------------------------------

# Half-hour and quarter-hour offsets, a summer time of half an hour, clocks that jump over midnight.
ZONES = ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago", "Europe/Berlin")
quarter_hours = st.integers(0, 20 * 366 * 96).map(
    lambda number: datetime(2020, 1, 1, tzinfo=UTC) + number * timedelta(minutes=15)
)


@given(
    instant=quarter_hours,
    kind=st.sampled_from(periods.KINDS),
    zone=st.sampled_from(ZONES),
    fiscal_start_month=st.integers(1, 12),
)
def test_each_event_falls_in_exactly_one_period(instant, kind, zone, fiscal_start_month):
    one = definition(period=kind, zone=zone, fiscal_start_month=fiscal_start_month)

    period = one.period_of(instant)

    before, after = one.period_of(period.starts_at - timedelta(minutes=15)), one.period_of(period.ends_at)
    assert instant in period
    assert instant not in before
    assert instant not in after
    assert (before.ends_at, period.ends_at) == (period.starts_at, after.starts_at)
    assert one.period_of(period.starts_at) == one.period_of(period.ends_at - timedelta(minutes=15)) == period
    assert int(period.starts_at.timestamp()) % 900 == 0


@given(
    instant=quarter_hours,
    kind=st.sampled_from(["week", "month", "quarter", "year"]),
    zone=st.sampled_from(ZONES),
    fiscal_start_month=st.integers(1, 12),
)
def test_a_longer_period_is_made_of_whole_days(instant, kind, zone, fiscal_start_month):
    long = definition(period=kind, zone=zone, fiscal_start_month=fiscal_start_month).period_of(instant)
    daily = definition(period="day", zone=zone)

    assert daily.period_of(long.starts_at).starts_at == long.starts_at
    assert daily.period_of(long.ends_at - timedelta(minutes=15)).ends_at == long.ends_at


def test_fiscal_months_move_quarters_and_years():
    april = definition(period="year", fiscal_start_month=4, zone="Asia/Kolkata").period_of(NOON)
    quarter = definition(period="quarter", fiscal_start_month=2).period_of(NOON)

    assert (april.first_day, april.starts_at) == (date(2026, 4, 1), datetime(2026, 3, 31, 18, 30, tzinfo=UTC))
    assert quarter.first_day == date(2026, 5, 1)


@pytest.mark.parametrize(
    ("kind", "fiscal_start_month", "called"),
    [
        ("day", 1, "30 November 2026"),
        ("week", 1, "30 November to 6 December 2026"),
        ("month", 4, "November 2026"),
        ("quarter", 1, "Q4 2026"),
        ("quarter", 11, "November 2026 to January 2027"),
        ("quarter", 3, "September to November 2026"),
        ("year", 1, "2026"),
        ("year", 4, "April 2026 to March 2027"),
    ],
)
def test_a_period_is_called_by_what_people_know_it_by(kind, fiscal_start_month, called):
    last_of_november = datetime(2026, 11, 30, 12, tzinfo=UTC)
    one = definition(period=kind, fiscal_start_month=fiscal_start_month)

    assert one.called(one.period_of(last_of_november)) == called


def test_periods_that_events_may_have_run_ahead_into_are_built_too():
    midmonth = definition(created_at=NOON)
    last_evening = definition(created_at=datetime(2026, 6, 30, 23, tzinfo=UTC))
    daily = definition(period="day", created_at=datetime(2026, 6, 30, 23, 30, tzinfo=UTC))

    counts = [len(rules.periods_to_build(one)) for one in (midmonth, last_evening, daily)]

    assert counts == [1, 2, 3]
