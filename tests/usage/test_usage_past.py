"""Sums of days and weeks that are over: the same figures in fewer rows, until something is booked into them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from catalog.models import Tier, UseCase
from core.services import barrier
from tests.usage import making
from tests.usage.checks import assert_rollups_equal_ledger
from tests.usage.making import DAY, NOON
from tests.usage.waiting import another_connection, until_somebody_waits_for_a_lock
from usage.models import Reconciliation
from usage.selectors import about, chargeback, kept, months, pictured, routing_flows, savings, spend
from usage.selectors.about import Of
from usage.selectors.past import FORGET, forgotten
from usage.selectors.past import wrong as wrong_sums
from usage.selectors.routing import Scope
from usage.selectors.spend import SpendAsk
from usage.services import past, rebuilding, reconciling

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = NOON.date()  # a Monday
FIRST, UNTIL, MIDDLE = TODAY - 33 * DAY, TODAY + DAY, TODAY - 16 * DAY
ALL = Scope(first=FIRST, until=UNTIL)


def rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def gathered() -> set[date]:
    return {day for (day,) in rows("SELECT day FROM rollup_past_days")}


def call(days: int, **overrides: Any) -> Any:
    return making.make_event(occurred_at=NOON - days * DAY, **overrides)


@pytest.fixture
def _booked() -> None:
    """Book five weeks: two use cases, rules and environments, failures, fallbacks, and calls without a price."""
    making.make_priced_offering()
    making.make_offering("kimi-k3@moonshot", tier=Tier.ECONOMY, uncached_input="1", output="2")
    ways = ({"rule": "first"}, {"rule": "second", "rules_version": 3}, {"route_reason": "fallback"})
    making.send(
        *(call(days, **ways[days % 3], use_case=f"case-{days % 2}", latency_ms=days) for days in range(34)),
        *(call(days, provider="moonshot", model="kimi-k3", context={"task": "triage"}) for days in range(0, 34, 4)),
        *(call(days, status="error", provider="nobody", model="unheard-of") for days in range(0, 34, 5)),
        received_at=NOON,
    )


def every_figure() -> dict[str, Any]:
    starts_at, ends_at = (datetime(day.year, day.month, day.day, tzinfo=NOON.tzinfo) for day in (FIRST, UNTIL))

    def asked(*group_by: str, **filters: tuple[str, ...]) -> Any:
        measures = (*spend.MEASURES,)
        ask = SpendAsk(
            starts_at=starts_at, ends_at=ends_at, zone="UTC", group_by=group_by, filters=filters, measures=measures
        )
        answer = spend.spend(ask=ask)
        return [(row.keys, row.sums) for row in answer.rows], answer.total

    month = pictured.Ranges(
        first=FIRST, until=UNTIL, comparable_until=TODAY, before=FIRST - 30 * DAY, before_until=FIRST
    )
    use_case = UseCase.objects.get(name="case-0").pk
    of_statement = chargeback.Days(
        first=FIRST + 15 * DAY, until=UNTIL, comparable_until=TODAY, before=FIRST, before_until=FIRST + 15 * DAY
    )
    whole: dict[str, Callable[[], Any]] = {
        "spend by day": lambda: asked("day", "use_case", "reason"),
        "spend by rule": lambda: asked("week", "rule"),
        "spend of a model": lambda: asked("month", "team", model=("kimi-k3",)),
        "first page": lambda: pictured.pictured(first=FIRST, until=UNTIL, month=month),
        "savings": lambda: savings.saved(first=FIRST, until=UNTIL, zone="UTC"),
        "days of a use case": lambda: about.sums(
            of=Of(use_case_id=use_case), first=FIRST, until=UNTIL, ways=[("day",), ("tier", "offering")], latencies=True
        ),
        "flows": lambda: routing_flows.flows(ALL, source="use_case", middle=MIDDLE),
        "flows of tasks": lambda: routing_flows.flows(
            Scope(first=FIRST + DAY, until=UNTIL - 9 * DAY, environment="production"), source="task", middle=MIDDLE
        ),
        "flows of a use case": lambda: routing_flows.flows(
            Scope(first=FIRST, until=UNTIL, use_case_id=use_case), source="use_case", middle=FIRST
        ),
        "days": lambda: routing_flows.days(ALL),
        "weeks": lambda: routing_flows.flows(ALL, source="task", middle=MIDDLE, weekly=True),
        "a month": lambda: months.one(FIRST.replace(day=1), at=NOON, zone="UTC"),
        "statement": lambda: chargeback.cells(days=of_statement),
        "statement of a use case": lambda: chargeback.cells(days=of_statement, use_case_id=use_case),
        "offerings": lambda: routing_flows.offerings(
            Scope(first=FIRST + 20 * DAY, until=UNTIL), since=FIRST
        ),
    }  # fmt: skip
    return {name: figure() for name, figure in whole.items()}


@pytest.mark.usefixtures("_booked")
def test_every_figure_is_the_same_from_days_and_weeks_that_were_gathered():
    before = every_figure()

    assert past.gather(at=NOON) == 31

    assert gathered() == {FIRST + DAY * days for days in range(31)}  # all but today and the two days before it
    assert [week for (week,) in rows("SELECT week FROM rollup_past_weeks ORDER BY 1")] == [
        TODAY - DAY * days for days in (35, 28, 21, 14)
    ]
    (days, weeks, fine) = rows(
        "SELECT (SELECT count(*) FROM rollup_past), (SELECT count(*) FROM rollup_past_week), count(*) FROM rollup_day"
    )[0]
    assert min(days, weeks) > 0
    assert max(days, weeks) < fine
    assert every_figure() == before
    assert_rollups_equal_ledger()
    assert past.gather(at=NOON) == 0


@pytest.mark.usefixtures("_booked")
def test_what_is_booked_into_a_day_that_is_over_counts_at_once_and_the_day_is_gathered_again():
    past.gather(at=NOON)
    late = TODAY - 20 * DAY

    making.send(call(20, use_case="case-0", uncached_input_tokens=1_000_000), received_at=NOON)

    assert late not in gathered()
    assert not rows(f"SELECT FROM rollup_past WHERE day = '{late}'")
    counted = every_figure()
    assert_rollups_equal_ledger()
    assert past.gather(at=NOON) == 1
    assert every_figure() == counted
    assert_rollups_equal_ledger()


@pytest.mark.usefixtures("_booked")
def test_a_day_whose_sums_are_made_anew_is_gathered_anew():
    past.gather(at=NOON)
    wrong = TODAY - 20 * DAY
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rollup_day SET requests = requests + 1 WHERE day = %s", [wrong])

    assert rebuilding.rebuild_day(day=wrong, calendar=kept.current())

    assert wrong not in gathered()
    past.gather(at=NOON + timedelta(hours=1))
    assert_rollups_equal_ledger()


def test_bookings_into_the_same_days_wait_for_one_another_and_none_forever():
    sooner, later = TODAY - 21 * DAY, TODAY - 20 * DAY
    with (
        another_connection() as second, ThreadPoolExecutor(1) as threads, another_connection() as first,
        another_connection() as third,
    ):  # fmt: skip
        first.execute("INSERT INTO rollup_past_days VALUES (%s), (%s)", [later, sooner])  # as they lie, and are read
        first.execute("BEGIN")
        first.execute("SELECT FROM rollup_past_days WHERE day = %s FOR UPDATE", [sooner])
        waiting = threads.submit(lambda: second.execute(FORGET, forgotten([later, sooner])))
        until_somebody_waits_for_a_lock("transactionid", "tuple")

        assert third.execute("SELECT day FROM rollup_past_days FOR UPDATE SKIP LOCKED").fetchall() == [(later,)]

        first.execute("COMMIT")
        waiting.result()
    assert gathered() == set()


@pytest.mark.usefixtures("_booked")
def test_a_day_is_gathered_with_what_an_open_booking_adds_to_it():
    with another_connection() as booking, ThreadPoolExecutor(1) as threads:
        booking.execute("BEGIN")
        booking.execute("SELECT pg_advisory_xact_lock_shared(%s)", [barrier._KEY])
        gathering = threads.submit(gather_aside)
        until_somebody_waits_for_a_lock("advisory")
        assert gathered() == set()
        booking.execute("UPDATE rollup_day SET requests = requests + 1000 WHERE day = %s", [TODAY - 20 * DAY])
        booking.execute("COMMIT")
        gathering.result()

    assert wrong_sums(TODAY - 20 * DAY) == {}
    assert rows(f"SELECT max(requests) > 1000 FROM rollup_past WHERE day = '{TODAY - 20 * DAY}'") == [(True,)]


def gather_aside() -> None:
    try:
        past.gather(at=NOON)
    finally:
        connection.close()


WRONG = {
    "a figure": "UPDATE {} SET requests = 17 WHERE {} = %s",
    "too little": "DELETE FROM {} WHERE {} = %s",
}


@pytest.mark.usefixtures("_booked")
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    ("table", "column"), [("rollup_past", "day"), ("rollup_past_week", "week"), ("rollup_past_attempts", "week")]
)
def test_the_check_finds_what_is_wrong_with_a_gathered_day_or_week_and_to_rebuild_it_takes_it_away(
    table: str, column: str, wrong: str
):
    past.gather(at=NOON)
    before = every_figure()
    monday = TODAY - 21 * DAY
    assert check().differing == 0
    with connection.cursor() as cursor:
        cursor.execute(WRONG[wrong].format(table, column), [monday])

    found = check()
    rebuilding.rebuild_day(day=monday, calendar=kept.current())

    assert list(found.days) == [str(monday)]
    assert list(found.days[str(monday)]) == [table]
    assert found.differing > 0
    assert monday not in gathered()
    assert every_figure() == before
    assert_rollups_equal_ledger()
    assert check().differing == 0


def check() -> Reconciliation:
    return reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON)


def test_nothing_is_gathered_where_nothing_was_booked():
    assert past.gather(at=NOON) == 0
