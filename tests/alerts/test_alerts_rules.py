from datetime import UTC, datetime, timedelta

import pytest

from alerts import rules

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def wants(**overrides):
    asked = {
        "teams": [],
        "budgets": [],
        "kinds": [],
        "least_severity": 10,
        "kind": "budget_crossing",
        "severity": 20,
        "team_ids": [3, 4],
        "budget_id": 17,
    }
    return rules.fits(**asked | overrides)


def test_a_channel_that_lists_nothing_gets_everything():
    assert wants()
    assert wants(team_ids=[], budget_id=None)


@pytest.mark.parametrize(
    ("listed", "fits"),
    [
        ({"teams": [4, 9]}, True),
        ({"teams": [9]}, False),
        ({"budgets": [17]}, True),
        ({"budgets": [18]}, False),
        ({"kinds": ["budget_crossing"]}, True),
        ({"kinds": ["silent_gateway"]}, False),
        ({"least_severity": 20}, True),
        ({"least_severity": 30}, False),
        ({"teams": [4], "budgets": [18]}, False),
        ({"teams": [4], "team_ids": []}, False),
        ({"budgets": [17], "budget_id": None}, False),
    ],
)
def test_everything_that_a_channel_lists_must_be_met(listed, fits):
    assert wants(**listed) is fits


def test_pauses_grow_from_half_a_minute_to_an_hour_and_chance_spreads_them():
    shortest = [rules.pause_seconds(attempts=attempts, chance=0.0) for attempts in range(1, 12)]
    longest = [rules.pause_seconds(attempts=attempts, chance=1.0) for attempts in range(1, 12)]

    assert set(shortest) == {30.0}
    assert longest[:4] == [60, 120, 240, 480]
    assert longest[-1] == 3600
    assert longest == sorted(longest)
    assert rules.pause_seconds(attempts=10_000, chance=1.0) == 3600


def next_try(**overrides):
    asked = {
        "day_began_at": NOON,
        "failed_at": NOON,
        "attempts": 1,
        "chance": 0.0,
        "retry_after_seconds": None,
    }
    return rules.next_try_at(**asked | overrides)


def test_a_longer_wait_that_the_far_side_asks_for_is_honoured_and_a_shorter_one_is_not():
    assert next_try(retry_after_seconds=120) == NOON + timedelta(seconds=120)
    assert next_try(retry_after_seconds=1) == NOON + timedelta(seconds=30)


def test_the_last_try_comes_when_the_day_is_over_and_then_there_is_none():
    day_over = NOON + timedelta(days=1)

    assert next_try(failed_at=day_over - timedelta(seconds=10)) == day_over
    assert next_try(retry_after_seconds=1e18) == day_over
    assert next_try(failed_at=day_over) is None
