"""Sums are made anew from the ledger, while events keep coming, and no booking is lost or doubled by it."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from threading import Barrier, Event

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from alerts.models import Alert
from budgets.models import Counter, CounterState
from core.models import AuditEntry, Job
from core.services import barrier
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    make_event,
    make_gateway,
    make_priced_offering,
    send,
    take,
)
from tests.usage.test_usage_rollups import set_organisation
from tests.usage.waiting import PATIENCE_S, another_connection, until, until_somebody_waits_for_a_lock
from usage.models import Rebuild, Reconciliation, RollupDay, RollupDayTag
from usage.selectors import kept
from usage.services import intake, jobs, months, rebuilding, reconciling

pytestmark = pytest.mark.django_db
TODAY = NOON.date()


def sql(statement, values=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def rebuild(first=TODAY, until_day=TODAY + DAY):
    said = StringIO()
    call_command("rebuild_rollups", "--from", str(first), "--to", str(until_day), stdout=said)
    return said.getvalue()


@pytest.fixture
def booked():
    """Book a tagged call on each of three days, under a budget."""
    set_organisation(declared_tags=["env"])
    make_priced_offering()
    make_budget(name="all", scope={}, unit="usd", amount=Decimal(1000))
    send(*[make_event(tags={"env": "prod"}, latency_ms=30, occurred_at=NOON - days * DAY) for days in range(3)])


# --- what is wrong is put right, and nothing else is touched ---


WRONG = {
    "a figure": "UPDATE {} SET requests = 17, cost_usd = 0.1",
    "too much": "UPDATE {} SET use_case_id = 4711",
    "too little": "DELETE FROM {}",
}


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize("table", ["rollup_15min", "rollup_day", "rollup_day_tag"])
@pytest.mark.parametrize("wrong", WRONG)
def test_whatever_is_wrong_with_the_sums_of_a_table_is_put_right(table, wrong):
    sql(WRONG[wrong].format(table))

    said = rebuild(TODAY - 2 * DAY)

    assert_rollups_equal_ledger()
    rows = 2 if wrong == "too much" else 1
    assert said.splitlines() == [
        *(f"{TODAY - days * DAY}: {table} {rows}" for days in (2, 1, 0)),
        f"{3 * rows} rows were wrong and are made anew.",
    ]


@pytest.mark.usefixtures("booked")
def test_days_outside_and_days_that_are_right_are_not_touched():
    sql("UPDATE rollup_day SET requests = 17 WHERE day <> %s", [TODAY])
    before = dict(RollupDay.objects.values_list("day", "requests"))

    said = rebuild()

    assert said == "Every sum was what the ledger says.\n"
    assert dict(RollupDay.objects.values_list("day", "requests")) == before


@pytest.mark.usefixtures("booked")
def test_a_second_rebuild_finds_nothing_left():
    sql("UPDATE rollup_day SET requests = 17")
    rebuild(TODAY - 2 * DAY)

    assert "Every sum was what the ledger says." in rebuild(TODAY - 2 * DAY)


@pytest.mark.usefixtures("booked")
def test_a_counter_that_is_wrong_is_summed_anew():
    sql("UPDATE budgets_counter SET used = used + 1")

    said = rebuild()

    assert "2026-06-01: budgets_counter 1" in said
    assert_counters_equal_ledger()
    assert set(Counter.objects.values_list("state", flat=True)) == {CounterState.LIVE}


@pytest.mark.usefixtures("booked")
def test_a_counter_that_was_lost_is_made_again():
    sql("DELETE FROM budgets_counter WHERE used > 0")

    rebuild()

    assert Counter.objects.get(period_start=datetime(2026, 6, 1, tzinfo=UTC)).used == Decimal("0.024")


@pytest.mark.usefixtures("booked")
def test_tags_that_are_declared_later_have_sums_from_the_past_after_a_rebuild():
    send(make_event(tags={"team": "a"}))
    set_organisation(declared_tags=["team"])

    rebuild(TODAY - 2 * DAY)

    assert RollupDayTag.objects.get(tag="team").value == "a"
    set_organisation(declared_tags=["team", "env"])
    rebuild(TODAY - 2 * DAY)
    assert_rollups_equal_ledger()
    assert RollupDayTag.objects.count() == 4


# --- who may ask, and what is kept of it ---


@pytest.mark.parametrize("arguments", [[], ["--from", "2026-06-01"], ["--to", "2026-06-01"]])
def test_without_days_the_command_says_how_it_is_used(arguments):
    with pytest.raises(CommandError, match=r"--from 2026-11-01 --to 2026-12-01, .* or --all"):
        call_command("rebuild_rollups", *arguments)


@pytest.mark.parametrize(
    ("first", "until_day", "why"),
    [("2026-06-02", "2026-06-02", "No day lies between"), ("yesterday", "2026-06-02", "Write days as")],
)
def test_days_that_are_none_are_refused(first, until_day, why):
    with pytest.raises(CommandError, match=why):
        call_command("rebuild_rollups", "--from", first, "--to", until_day)


@pytest.mark.usefixtures("booked")
def test_a_rebuild_leaves_who_when_why_and_what_in_the_audit_trail():
    sql("UPDATE rollup_day SET requests = 17 WHERE day = %s", [TODAY])

    rebuilding.ask_for(first=TODAY, last=TODAY, by="admin@example.com", reason="the check found it", at=NOON)
    run_jobs(NOON + SECOND)

    done = Rebuild.objects.get()
    assert (done.finished_at, done.mended) == (NOON + SECOND, {str(TODAY): {"rollup_day": 1}})
    trail = AuditEntry.objects.filter(table="usage_rebuild")
    assert set(trail.values_list("actor", "reason")) == {("admin@example.com", "the check found it")}
    assert trail.filter(operation="insert").count() == 1


def test_a_rebuild_needs_a_reason():
    with pytest.raises(Exception, match="cannot be rebuilt") as refused:
        rebuilding.ask_for(first=TODAY, last=TODAY, by="admin@example.com", reason=" ", at=NOON)

    assert [field for field, _ in refused.value.problems] == ["reason"]


# --- as a job ---


def run_jobs(at):
    while jobs.run_next(clock=lambda: at):
        pass


@pytest.mark.usefixtures("booked")
def test_what_the_night_finds_is_mended_and_checked_again_by_one_request():
    sql("UPDATE rollup_15min SET cost_usd = 0")
    sql("UPDATE budgets_counter SET used = 7 WHERE used > 0")
    reconciling.ask_nightly(at=NOON)
    run_jobs(NOON)
    found = Reconciliation.objects.get()
    assert found.differing == 4

    days = sorted(date.fromisoformat(day) for day in found.days)
    rebuilding.ask_for(first=days[0], last=days[-1], by="admin@example.com", reason="r", at=NOON + SECOND)
    run_jobs(NOON + 2 * SECOND)

    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()
    last = Reconciliation.objects.latest("id")
    assert (last.differing, last.full, last.by) == (0, True, "admin@example.com")
    assert Alert.objects.get(kind="sums_differ").state == "resolved"


@pytest.mark.usefixtures("booked")
def test_a_rebuild_that_was_broken_off_goes_on_at_its_day():
    sql("UPDATE rollup_day SET requests = 17")
    rebuild = rebuilding.ask_for(first=TODAY - 2 * DAY, last=TODAY, by="a", reason="r", at=NOON)
    Job.objects.update(state="running", leased_until=NOON)
    assert rebuilding.run(Job.objects.get(pk=rebuild.job_id), at=NOON) is False

    run_jobs(NOON + DAY)

    rebuild.refresh_from_db()
    assert set(rebuild.mended) == {str(TODAY - days * DAY) for days in range(3)}
    assert_rollups_equal_ledger()


@pytest.mark.usefixtures("booked")
def test_sums_follow_a_change_of_zone_or_of_declared_tags_by_themselves_and_once():
    rebuilding.follow_settings(at=NOON)
    run_jobs(NOON)
    set_organisation(zone="Pacific/Auckland")

    asked = [rebuilding.follow_settings(at=NOON + DAY) for _ in range(2)]
    run_jobs(NOON + DAY)

    assert asked[0].reason == "The organisation's zone or its declared tags changed."
    assert asked[1] is None
    assert_rollups_equal_ledger()
    assert not Alert.objects.exists()


# --- days of the organisation's ---


def test_days_closed_in_another_zone_keep_their_edges():
    make_priced_offering()
    ends = [datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=hours) for hours in (-9, -5, -1, 0, 3, 5, 20)]
    send(*[make_event(occurred_at=at) for at in ends], received_at=NOON)
    months.close_month(label=date(2026, 5, 1), by="finance", at=NOON)
    closed_days = set(RollupDay.objects.filter(day__lt=date(2026, 6, 1)).values_list("day", "requests"))
    set_organisation(zone="America/New_York")  # 4 hours behind

    rebuild(date(2026, 5, 1), date(2026, 7, 1))

    # What is of June begins at the instant at which May ended, which was 20:00 of the day before in New York.
    assert closed_days == {(date(2026, 5, 31), 3)}
    assert dict(RollupDay.objects.values_list("day", "requests")) == {date(2026, 5, 31): 3 + 2, date(2026, 6, 1): 2}
    assert reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON).differing == 0


def test_every_instant_lies_in_one_day_whatever_was_closed_where():
    calendar = kept.Kept(
        zone="Asia/Kathmandu",
        declared_tags=(),
        elsewhere=(
            ("UTC", datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)),
            ("America/New_York", datetime(2026, 5, 1, 4, tzinfo=UTC), datetime(2026, 6, 1, 4, tzinfo=UTC)),
        ),
        months=frozenset({date(2026, 4, 1), date(2026, 5, 1), date(2026, 6, 1)}),
        dropped=frozenset(),
    )

    spans = sorted(span for day in calendar.days() for span in calendar.spans(day))

    assert all(one[1] == following[0] for one, following in itertools.pairwise(spans))
    assert spans[0][0] <= datetime(2026, 4, 1, tzinfo=UTC)
    assert spans[-1][1] >= datetime(2026, 7, 1, tzinfo=UTC)


# --- under traffic ---


@pytest.mark.django_db(transaction=True)
def test_sums_are_right_after_rebuilds_while_four_threads_book():
    set_organisation(declared_tags=["env"])
    make_priced_offering()
    make_budget(name="all", scope={}, unit="usd", amount=Decimal(1000))
    source = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    send(make_event(tags={"env": "prod"}), source_id=source)
    together, over = Barrier(5), Event()

    def booker(number):
        try:
            together.wait(PATIENCE_S)
            for turn in range(12):
                events = [make_event(event_id=f"{number}-{turn}-{n}", tags={"env": f"e{n}"}) for n in range(5)]
                take(*events, source_id=source)
                book(at=NOON + DAY)
        finally:
            connection.close()

    def rebuilder():
        mended = 0
        try:
            together.wait(PATIENCE_S)
            while not over.is_set() or not mended:
                sql("UPDATE rollup_day SET requests = requests + 1, cost_usd = cost_usd - 1")
                sql("DELETE FROM rollup_15min")
                sql("UPDATE budgets_counter SET used = used + 1 WHERE state = 'live'")
                mended += "made anew" in rebuild()
            return mended
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as threads:
        rebuilding_ = threads.submit(rebuilder)
        for one in [threads.submit(booker, number) for number in range(4)]:
            one.result()
        over.set()
        assert rebuilding_.result() > 1
    book(at=NOON + 2 * DAY)
    rebuild()

    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()
    assert RollupDay.objects.get().requests == 1 + 4 * 12 * 5


@pytest.mark.django_db(transaction=True)
def test_a_day_is_replaced_only_when_no_booking_is_open_and_a_check_waits_for_none():
    make_priced_offering()
    send(make_event())
    sql("UPDATE rollup_day SET requests = 17")
    with another_connection() as booking, ThreadPoolExecutor(1) as threads:
        booking.autocommit = False
        booking.execute("SELECT pg_advisory_xact_lock_shared(%s)", [barrier._KEY])

        def work():
            try:
                return rebuild()
            finally:
                connection.close()

        waiting = threads.submit(work)
        until_somebody_waits_for_a_lock("advisory")
        assert reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON).differing == 1
        booking.commit()
        assert "made anew" in waiting.result(PATIENCE_S)
    until(lambda: RollupDay.objects.get().requests == 1)
