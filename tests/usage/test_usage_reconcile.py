"""Every sum is compared with a recount of the ledger, every night once; a difference is told of once."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from alerts.models import Alert, Severity
from budgets.models import Counter
from core.models import Job, JobState
from tests.factories import make_budget, make_team
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    book,
    make_event,
    make_gateway,
    make_priced_offering,
    send,
    take,
)
from tests.usage.test_usage_rollups import ZONES, make_catalogue, random_event, set_organisation
from usage.models import Reconciliation, Rollup15Min, RollupDay, RollupDayTag
from usage.services import housekeeping, jobs, months, reconciling
from usage.services.restating import running

pytestmark = pytest.mark.django_db
TODAY = NOON.date()


def check(first=None, last=None, at=NOON + DAY):
    return reconciling.run_now(first=first, last=last, by="tests", clock=lambda: at)


def sql(statement, values=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.fixture
def booked():
    """Book two calls, tagged, under a budget."""
    set_organisation(declared_tags=["env"])
    make_priced_offering()
    make_budget(name="all", scope={}, unit="usd", amount=Decimal(1000))
    send(make_event(tags={"env": "prod"}), make_event(tags={"env": "dev"}, occurred_at=NOON - DAY))


# --- what is right is found right ---


@pytest.mark.parametrize("zone", ZONES)
def test_whatever_is_booked_its_own_recount_agrees_and_so_does_the_one_of_the_tests(zone):
    set_organisation(zone=zone, declared_tags=["env", "cost_centre"])
    make_catalogue()
    make_team("platform")
    make_gateway("edge")
    make_budget(name="frontier", scope={}, unit="frontier_tokens", zone=zone, amount=Decimal(10**9))
    make_budget(name="dev", scope={"tag:env": ["dev"]}, unit="tokens", zone=zone)
    make_budget(
        name="team", scope={"team": ["platform"], "tier": ["frontier"]}, unit="requests", period="day", zone=zone
    )
    chance = random.Random(zone)
    starts_at = datetime(2026, 6, 5, tzinfo=UTC)
    for _ in range(3):
        take(*[random_event(chance, starts_at, 24 * 86_400) for _ in range(40)], received_at=starts_at + 25 * DAY)
        book(at=starts_at + 25 * DAY)
    months.close_month(label=date(2026, 6, 1), by="finance", at=datetime(2026, 7, 2, tzinfo=UTC))
    july = datetime(2026, 7, 3, tzinfo=UTC)
    take(*[random_event(chance, starts_at, 28 * 86_400) for _ in range(40)], received_at=july)
    book(at=july)

    found = check(at=july)

    assert_rollups_equal_ledger()
    Counter.objects.filter(budget__name="dev").delete()  # the tests' own recount knows no tags
    assert_counters_equal_ledger()
    assert (found.differing, found.differences, found.full) == (0, [], True)
    assert found.entries == 160
    kept = Rollup15Min.objects.count() + RollupDay.objects.count() + RollupDayTag.objects.count()
    assert found.rows == kept + 6  # each budget has a running and a last period


def test_a_check_of_no_kept_day_is_refused():
    with pytest.raises(Exception, match="keeps none of these days"):
        check(first=date(1999, 1, 1), last=date(1999, 1, 2))


# --- what is wrong is found, told, and told once ---


PLANTED = {
    "rollup_15min": "UPDATE rollup_15min SET cost_usd = cost_usd + 0.000000000000000001 WHERE bucket >= '2026-06-15'",
    "rollup_day": "UPDATE rollup_day SET latency_histogram[3] = 7 WHERE day = '2026-06-15'",
    "rollup_day_tag": "DELETE FROM rollup_day_tag WHERE day = '2026-06-15'",
    "budgets_counter": "UPDATE budgets_counter SET used = used + 1",
}


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize("table", PLANTED)
def test_a_difference_in_any_table_is_found_and_alerted(table):
    assert check().differing == 0

    sql(PLANTED[table])
    found = check()

    first_day = "2026-06-01" if table == "budgets_counter" else "2026-06-15"
    assert found.days == {first_day: {table: 1}}
    assert [one["what"] for one in found.differences] == [table]
    alert = Alert.objects.get(kind="sums_differ")
    assert (alert.severity, alert.subject_id) == (Severity.CRITICAL, found.pk)
    assert "rebuild_rollups --from" in alert.facts["next"]


@pytest.mark.usefixtures("booked")
def test_a_difference_says_what_which_held_and_recounted():
    sql("UPDATE rollup_day SET requests = 5, cost_usd = 0.5 WHERE day = '2026-06-15'")

    (one,) = check().differences

    assert one["what"] == "rollup_day"
    assert (one["which"]["day"], one["which"]["environment"]) == ("2026-06-15", "production")
    assert one["held"] == {"requests": 5, "cost_usd": "0.5"}
    assert one["recounted"] == {"requests": 1, "cost_usd": "0.008"}


@pytest.mark.usefixtures("booked")
def test_a_row_that_the_ledger_knows_nothing_of_is_found_too():
    sql("UPDATE rollup_day SET task = 'invented' WHERE day = '2026-06-15'")

    found = check()

    sides = {(one["held"] is None, one["recounted"] is None) for one in found.differences}
    assert (found.differing, sides) == (2, {(True, False), (False, True)})


@pytest.mark.usefixtures("booked")
def test_only_the_first_hundred_differences_are_kept_and_all_are_counted():
    sql(
        "INSERT INTO rollup_day (use_case_id, day, offering_id, team_id, gateway_id, tier, status, rules_version, "
        "correction_of, environment, rule, reason, task, requested_model, latency_histogram) "
        "SELECT n, '2026-06-15', 1, 1, 1, 1, 1, 0, 0, '', '', '', '', '', array_fill(0, ARRAY[16]) "
        "FROM generate_series(1000, 1149) AS n"
    )

    found = check()

    assert (found.differing, len(found.differences)) == (150, 100)


@pytest.mark.usefixtures("booked")
def test_the_same_difference_is_told_once_another_one_again_and_a_clean_check_ends_both():
    sql(PLANTED["rollup_day"])
    check()
    check()
    assert Alert.objects.filter(kind="sums_differ").count() == 1

    sql(PLANTED["rollup_day_tag"])
    check(first=TODAY, last=TODAY)
    assert Alert.objects.filter(kind="sums_differ").count() == 2

    call_command("rebuild_rollups", "--all", stdout=StringIO())
    check(first=TODAY, last=TODAY)
    assert set(Alert.objects.values_list("state", flat=True)) == {"open"}, "a check of one day says nothing of others"
    check()
    assert set(Alert.objects.values_list("state", flat=True)) == {"resolved"}

    sql(PLANTED["rollup_day"])
    check()
    assert Alert.objects.filter(kind="sums_differ", state="open").count() == 1


@pytest.mark.usefixtures("booked")
def test_a_wrong_quarter_hour_is_not_blamed_on_the_counters_that_are_right():
    sql("UPDATE rollup_15min SET cost_usd = cost_usd + 1")

    assert set(check().days) == {"2026-06-14", "2026-06-15"}


@pytest.mark.usefixtures("booked")
def test_the_command_exits_with_1_where_something_differs_and_says_what_to_do():
    said = StringIO()
    call_command("reconcile", stdout=said)
    assert "0 differ." in said.getvalue()
    sql(PLANTED["rollup_day"])

    said = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("reconcile", "--from", "2026-06-10", "--to", "2026-06-16", stdout=said)

    assert "2026-06-10 to 2026-06-15" in said.getvalue()
    assert "rebuild_rollups --from 2026-06-15 --to 2026-06-16" in said.getvalue()


def test_a_counter_of_a_budget_whose_scope_was_renamed_is_compared_by_the_name_of_now():
    make_priced_offering()
    make_budget(name="by name", unit="usd", amount=Decimal(1000))
    send(make_event())
    sql("UPDATE catalog_usecase SET name = 'Support routing' WHERE name = 'support-routing'")
    sql("UPDATE catalog_revision SET number = number + 1")
    running.take_up(at=NOON)
    run_jobs(NOON)

    assert check().differing == 0
    Counter.objects.update(used=0)
    assert check().days == {"2026-06-01": {"budgets_counter": 1}}


# --- the nightly job ---


def run_jobs(at):
    while jobs.run_next(clock=lambda: at):
        pass


@pytest.mark.usefixtures("booked")
def test_a_night_has_one_check_whoever_asks_and_however_often():
    at = datetime(2026, 6, 16, 2, 0, tzinfo=UTC)
    reconciling.ask_nightly(at=at)
    run_jobs(at)

    for later in (timedelta(), timedelta(hours=5), timedelta(hours=23, minutes=59)):
        reconciling.ask_nightly(at=at + later)
        run_jobs(at + later)

    assert Reconciliation.objects.get().finished_at == at
    reconciling.ask_nightly(at=at + DAY)
    assert Job.objects.filter(kind="reconcile").count() == 2


def test_a_night_is_the_organisations():
    set_organisation(zone="Asia/Kathmandu")  # 5:45 ahead
    before, after = datetime(2026, 6, 15, 20, 14, tzinfo=UTC), datetime(2026, 6, 15, 20, 15, tzinfo=UTC)

    reconciling.ask_nightly(at=before)
    reconciling.ask_nightly(at=after)

    keys = set(Job.objects.values_list("dedupe_key", flat=True))
    assert keys == {"reconcile:2026-06-15", "reconcile:2026-06-16"}


def test_nights_that_were_missed_are_caught_up_with_by_one_check():
    reconciling.ask_nightly(at=NOON)

    reconciling.ask_nightly(at=NOON + 9 * DAY + timedelta(hours=8))

    assert Job.objects.filter(kind="reconcile").count() == 2


@pytest.mark.usefixtures("booked")
def test_a_check_that_was_broken_off_goes_on_at_its_day():
    job = reconciling.ask_nightly(at=NOON)
    Job.objects.update(state=JobState.RUNNING)
    for _ in range(5):
        reconciling.run(job, at=NOON)
    begun = Reconciliation.objects.get()
    assert begun.finished_at is None

    Job.objects.update(leased_until=NOON)
    run_jobs(NOON + timedelta(minutes=5))

    found = Reconciliation.objects.get()
    assert (found.pk, found.entries, found.differing) == (begun.pk, 2, 0)
    assert found.finished_at is not None


@pytest.mark.usefixtures("booked")
def test_checks_that_are_given_up_are_told_of_once_until_one_is_through():
    for night in (NOON, NOON + DAY):
        sql("ALTER TABLE rollup_day_tag RENAME TO gone")
        reconciling.ask_nightly(at=night)
        for tries in range(jobs.MOST_ATTEMPTS):
            assert Alert.objects.count() == (night > NOON), "it is tried again before anybody is told"
            run_jobs(night + timedelta(hours=tries))
        sql("ALTER TABLE gone RENAME TO rollup_day_tag")
    alert = Alert.objects.get()
    assert (alert.kind, alert.state, alert.dedupe_key) == ("check_failed", "open", "check_failed:0")
    assert ["Last check", "none yet"] in alert.facts["rows"]

    check(first=TODAY, last=TODAY)
    alert.refresh_from_db()
    assert alert.state == "open", "some days say nothing of the others"

    check(at=NOON + 2 * DAY)
    alert.refresh_from_db()
    assert alert.state == "resolved"


@pytest.mark.usefixtures("booked")
def test_a_long_check_lets_others_go_first():
    reconciling.ask_nightly(at=NOON)
    ticks = iter(NOON + timedelta(seconds=n) for n in range(1000))

    jobs.run_next(clock=lambda: next(ticks))

    job = Job.objects.get()
    assert (job.state, job.attempts) == (JobState.WAITING, 0)
    assert 0 < job.done < job.total
    asked = Job.objects.create(
        kind="spend_query", run_after=NOON, created_at=NOON, arguments={"from": "x"}, dedupe_key="other"
    )
    jobs.run_next(clock=lambda: next(ticks))
    asked.refresh_from_db()
    assert asked.attempts == 1


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_at_once_make_one_check():
    together = Barrier(4)

    def schedule(_):
        try:
            together.wait()
            reconciling.ask_nightly(at=NOON)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(schedule, range(4)))

    assert Job.objects.filter(kind="reconcile").count() == 1


def test_housekeeping_asks_for_it():
    housekeeping.keep(at=NOON)

    assert Job.objects.filter(kind="reconcile").count() == 1


# --- constraints ---


@pytest.mark.parametrize("model", ["usage_reconciliation", "usage_rebuild"])
def test_the_last_day_is_not_before_the_first(model):
    columns = {"first_day": date(2026, 6, 2), "last_day": date(2026, 6, 1), "by": "tests"}
    columns |= (
        {'"full"': True, "started_at": NOON, "entries": 0, "rows": 0, "differing": 0, "differences": "[]", "days": "{}"}
        if model == "usage_reconciliation"
        else {"asked_at": NOON, "reason": "r", "mended": "{}"}
    )
    statement = f"INSERT INTO {model} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"

    with pytest.raises(IntegrityError, match=f"{model}_days"), transaction.atomic():
        sql(statement, list(columns.values()))
