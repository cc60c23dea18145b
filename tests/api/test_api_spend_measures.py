"""What GET spend measures beside cost: errors, latency and each meter, by rollups as by the ledger."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import quantiles

import pytest

from core import periods
from core.models import Organisation
from tests.api.ledgers import make_entries, make_entry, make_names, roll_up
from usage.rules.postings import LATENCY_BOUNDS_MS
from usage.selectors import spend
from usage.selectors.spend import MEASURES, OTHERS, SpendAsk

pytestmark = pytest.mark.django_db

ZONE = "Asia/Kathmandu"
FIRST, UNTIL = date(2026, 9, 28), date(2026, 11, 4)  # a Monday; months and weeks are cut


def asked(**given: object) -> SpendAsk:
    usual = {
        "starts_at": periods.day_start(FIRST, ZONE),
        "ends_at": periods.day_start(UNTIL, ZONE),
        "zone": ZONE,
        "measures": MEASURES,
    }
    return SpendAsk(**(usual | given))


@pytest.fixture
def ledger():
    Organisation.objects.filter(pk=1).update(zone=ZONE, declared_tags=["cost_centre"])
    names = make_names()
    starts_at = periods.day_start(FIRST, ZONE)
    make_entries(names, starts_at=starts_at, ends_at=periods.day_start(UNTIL, ZONE), count=80)
    chance = random.Random(3)
    for number in range(60):
        taken_back = number % 10 == 9
        make_entry(
            names,
            id=1000 + number,
            at=starts_at + timedelta(hours=chance.randrange(36 * 24)),
            latency_ms=chance.choice([None, 1, 25, 26, 1000, 1001, 59_999, 60_001, chance.randrange(5000)]),
            status=chance.choice([1, 1, 2]),
            requests=-1 if taken_back else 1,
            **(
                {"kind": 2, "corrects_use_case_id": 1, "corrects_booked_at": starts_at, "corrects_id": 1}
                if taken_back
                else {}
            ),
        )
    roll_up(zone=ZONE, tags=("cost_centre",))
    return names


def test_every_measure_is_the_same_from_rollups_and_from_the_ledger(ledger):
    for group_by in ((), ("week",), ("month", "status"), ("day",), ("hour",), ("use_case", "week", "month")):
        ask = replace(asked(group_by=group_by), ends_at=periods.day_start(date(2026, 10, 29), ZONE))
        found, of_ledger = spend.spend(ask=ask), spend.ledger_spend(ask=ask)

        assert found == of_ledger, group_by
        assert found.total.timed_requests
        assert found.total.failed_requests > 0
        assert found.total.uncached_input_tokens


def test_weeks_begin_on_monday_and_add_up_to_the_days_in_them(ledger):
    by_week = spend.spend(ask=asked(group_by=("week",)))
    by_day = spend.spend(ask=asked(group_by=("day",)))

    assert [row.keys["week"] for row in by_week.rows] == [
        f"{FIRST + timedelta(weeks=n)}" for n in range(6)
    ]  # fmt: skip
    for row in by_week.rows:
        monday = date.fromisoformat(row.keys["week"] or "")
        days = [day.sums for day in by_day.rows if 0 <= (date.fromisoformat(day.keys["day"] or "") - monday).days < 7]
        assert spend.added(days) == row.sums


def test_names_that_are_not_told_apart_are_one_row_and_nothing_is_lost(ledger):
    by_model = spend.spend(ask=asked(group_by=("model",)))
    apart = spend.spend(ask=asked(group_by=("model", "rule"), apart={"model": ("gpt-5.5",), "rule": (None,)}))

    assert {(row.keys["model"], row.keys["rule"]) for row in apart.rows} == {
        ("gpt-5.5", None), ("gpt-5.5", OTHERS), (OTHERS, None), (OTHERS, OTHERS)
    }  # fmt: skip
    assert apart.total == by_model.total
    (whole,) = [row.sums for row in by_model.rows if row.keys["model"] == "gpt-5.5"]
    assert spend.added([row.sums for row in apart.rows if row.keys["model"] == "gpt-5.5"]) == whole


def test_what_was_not_asked_for_is_not_known_and_tags_keep_few(ledger):
    few = spend.spend(ask=asked(measures=("reasoning_tokens",))).total
    by_tag = spend.spend(ask=asked(group_by=("tag:cost_centre",))).total
    whole = spend.spend(ask=asked()).total

    assert (few.cost_usd, few.failed_requests, few.reasoning_tokens) == (whole.cost_usd, whole.failed_requests, 0)
    assert (few.latency_ms, few.list_cost_usd, few.latency_percentile_ms(95)) == (None, None, None)
    assert (by_tag.failed_requests, by_tag.latencies, by_tag.uncached_input_tokens) == (
        whole.failed_requests, None, None
    )  # fmt: skip


def test_a_percentile_is_that_of_its_bucket():
    chance = random.Random(5)
    latencies = sorted(int(chance.lognormvariate(6.5, 1)) for _ in range(2000))
    edges = (0, *LATENCY_BOUNDS_MS, 10**9)
    counts = tuple(sum(low < ms <= high for ms in latencies) for low, high in pairwise(edges))
    sums = spend.Sums(requests=2000, latency_ms=sum(latencies), latencies=counts)
    exact = quantiles(latencies, n=100)

    for percentile in (50, 95):
        bucket = next(n for n, bound in enumerate(LATENCY_BOUNDS_MS) if exact[percentile - 1] <= bound)
        estimate = sums.latency_percentile_ms(percentile)
        assert estimate is not None
        assert edges[bucket] <= estimate <= edges[bucket + 1]
    assert sums.mean_latency_ms == round(sum(latencies) / 2000)
    assert spend.Sums().latency_percentile_ms(50) is None
    assert replace(sums, latencies=(0,) * 15 + (7,)).latency_percentile_ms(50) == LATENCY_BOUNDS_MS[-1]


def test_the_api_answers_errors_and_meters_always_and_latency_on_request(api):
    names = make_names()
    at = datetime(2026, 10, 5, tzinfo=UTC)
    for number, latency in enumerate((100, 200, 300)):
        make_entry(names, id=number + 1, at=at, latency_ms=latency, uncached_input_tokens=10)
    make_entry(names, id=4, at=at, latency_ms=9000, status=2)
    roll_up()
    reader, days = api("read"), {"from": "2026-10-01", "to": "2026-11-01", "group_by": "week"}

    plain = reader.get("spend", days).json()["rows"]
    timed = reader.get("spend", days | {"latency": "true"}).json()["rows"]

    assert [(row["week"], row["failed_requests"], row["error_share"]) for row in plain] == [("2026-10-05", 1, "0.25")]
    assert (plain[0]["uncached_input_tokens"], plain[0]["mean_latency_ms"], plain[0]["p95_latency_ms"]) == (
        30, None, None
    )  # fmt: skip
    assert (timed[0]["timed_requests"], timed[0]["mean_latency_ms"], timed[0]["p50_latency_ms"]) == (3, 200, 150)
    assert reader.get("spend", days | {"latency": "perhaps"}).status_code == 400
