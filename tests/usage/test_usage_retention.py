"""Months of the ledger go whole, only when they are closed and old enough, and leave their sums."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction

from core import periods
from core.errors import Invalid
from core.models import AuditEntry, Organisation
from tests.factories import make_budget
from tests.usage.checks import assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    make_event,
    make_gateway,
    make_priced_offering,
    outcome,
    send,
    set_price,
    take,
)
from tests.usage.test_usage_rollups import set_organisation
from tests.usage.waiting import another_connection
from usage.models import (
    DroppedPartition,
    EventKey,
    LedgerEntry,
    Receipt,
    Restatement,
    Rollup15Min,
    RollupDay,
    Trace,
    UnsummedEntry,
)
from usage.selectors import corrections, spend
from usage.services import housekeeping, intake, jobs, months, partitions, reconciling, retention, spend_queries
from usage.services.imports import opening
from usage.services.restating import previewing, running

pytestmark = pytest.mark.django_db
OLD = datetime(2025, 3, 10, 12, tzinfo=UTC)  # 15 months before
MARCH = date(2025, 3, 1)


def sql(statement, values=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else None


def close(first=date(2025, 1, 1), last=date(2026, 5, 1)):
    while first <= last:
        months.close_month(label=first, by="finance", at=NOON)
        first = periods.add_months(first, 1)


def keep(ledger_months):
    Organisation.objects.update(keep_ledger_months=ledger_months)


def tables():
    return {
        name
        for (name,) in sql("SELECT relname FROM pg_class WHERE relname ~ '^ledger.*_20[0-9]{4}$' AND relkind = 'r'")
    }


@pytest.fixture
def booked():
    """Book a call in March of last year, and one today, at the time of each."""
    make_priced_offering()
    send(make_event(occurred_at=OLD), received_at=OLD + SECOND)
    send(make_event())


# --- which months go ---


@pytest.mark.usefixtures("booked")
def test_without_a_setting_everything_is_kept():
    close()

    assert retention.drop_old_months(at=NOON) == []


@pytest.mark.usefixtures("booked")
def test_a_closed_month_that_is_old_enough_goes_with_its_twin_and_leaves_its_sums():
    close()
    keep(12)
    before = (Rollup15Min.objects.count(), RollupDay.objects.count())

    dropped = retention.drop_old_months(at=NOON)

    assert dropped == ["ledger_202503", "ledger_unsummed_202503"]
    assert LedgerEntry.objects.get().occurred_at == NOON
    assert (Rollup15Min.objects.count(), RollupDay.objects.count()) == before
    assert retention.drop_old_months(at=NOON) == []


@pytest.mark.usefixtures("booked")
def test_a_month_that_is_open_stays_however_old_it_is():
    close(first=date(2025, 4, 1))
    keep(12)

    assert retention.drop_old_months(at=NOON) == []


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize(("ledger_months", "goes"), [(15, False), (14, True)])
def test_as_many_months_are_kept_before_the_running_one_as_the_setting_says(ledger_months, goes):
    close()
    keep(ledger_months)

    assert bool(retention.drop_old_months(at=NOON)) is goes


def test_a_partition_that_reaches_into_a_kept_or_an_open_month_of_the_zone_stays():
    set_organisation(zone="Europe/Berlin")
    make_priced_offering()
    # Half an hour after midnight in Berlin: June of the organisation's, May of the partitions.
    send(
        make_event(occurred_at=datetime(2025, 5, 31, 22, 30, tzinfo=UTC)), received_at=datetime(2025, 6, 1, tzinfo=UTC)
    )
    close(first=date(2025, 5, 1), last=date(2025, 5, 1))
    keep(12)

    assert retention.drop_old_months(at=datetime(2026, 7, 2, tzinfo=UTC)) == [], "its last hours are of an open month"
    close(first=date(2025, 6, 1), last=date(2025, 6, 1))
    assert retention.drop_old_months(at=datetime(2026, 6, 30, tzinfo=UTC)) == [], "and of one that is kept"
    assert "ledger_202505" in retention.drop_old_months(at=datetime(2026, 7, 2, tzinfo=UTC))


@pytest.mark.usefixtures("booked")
def test_it_is_in_the_audit_trail_what_went_and_why():
    close()
    keep(12)

    retention.drop_old_months(at=NOON)

    kept_of_it = DroppedPartition.objects.order_by("table").values_list("table", "month", "rows", "dropped_at")
    assert list(kept_of_it) == [("ledger", MARCH, 1, NOON), ("ledger_unsummed", MARCH, 0, NOON)]
    trail = AuditEntry.objects.filter(table="usage_droppedpartition").values_list("actor", "reason").distinct()
    assert list(trail) == [("retention", "The ledger is kept for 12 months.")]


@pytest.mark.usefixtures("booked")
def test_the_other_partitions_are_guarded_as_before():
    close()
    keep(12)

    retention.drop_old_months(at=NOON)

    for statement in (
        "TRUNCATE ledger_202606",
        "TRUNCATE ledger_unsummed_202606",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
    ):
        with pytest.raises(DatabaseError, match="its rows never change"), transaction.atomic():
            sql(statement)


@pytest.mark.django_db(transaction=True)
def test_a_partition_that_somebody_reads_is_left_for_the_next_time_and_keeps_no_booking_waiting():
    make_priced_offering()
    send(make_event(occurred_at=OLD), received_at=OLD + SECOND)
    send(make_event())
    close()
    keep(12)
    try:
        with another_connection() as reader:
            reader.autocommit = False
            reader.execute("SELECT count(*) FROM ledger")
            assert retention.drop_old_months(at=NOON) == ["ledger_unsummed_202503"]
            send(make_event())
        assert retention.drop_old_months(at=NOON) == ["ledger_202503"]
    finally:
        partitions.make(first=MARCH, last=MARCH)
    assert LedgerEntry.objects.count() == 2


# --- what copes with it ---


@pytest.fixture
def dropped(booked):
    close()
    keep(12)
    retention.drop_old_months(at=NOON)


@pytest.mark.usefixtures("dropped")
def test_sums_of_a_dropped_month_are_neither_checked_nor_rebuilt():
    before = RollupDay.objects.count()

    assert reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON).differing == 0
    with pytest.raises(CommandError, match="does not keep March 2025 any more"):
        call_command("rebuild_rollups", "--from", "2025-02-20", "--to", "2025-04-10")
    call_command("rebuild_rollups", "--all")

    assert RollupDay.objects.count() == before


@pytest.mark.usefixtures("dropped")
def test_partitions_that_are_made_once_more_for_an_import_do_not_make_the_month_whole():
    partitions.make(first=MARCH, last=MARCH)

    assert reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON).differing == 0
    with pytest.raises(CommandError, match="does not keep March 2025"):
        call_command("rebuild_rollups", "--from", "2025-03-10", "--to", "2025-03-11")
    assert retention.drop_old_months(at=NOON) == ["ledger_202503", "ledger_unsummed_202503"]
    assert DroppedPartition.objects.filter(table="ledger").count() == 1


@pytest.mark.usefixtures("dropped")
def test_an_import_for_audit_of_a_dropped_month_is_kept_as_long_as_any_other_month_from_then_on():
    source = opening.open_import(
        gateway_id=make_gateway().pk, covers=(OLD - DAY, OLD + DAY), by="tests", at=NOON, audit_only=True
    )
    send(make_event(occurred_at=OLD), source_id=source.pk, received_at=NOON + SECOND)

    retention.drop_old_months(at=NOON + DAY)
    assert UnsummedEntry.objects.count() == 1
    later = datetime(2027, 8, 1, tzinfo=UTC)
    assert "ledger_unsummed_202503" in retention.drop_old_months(at=later)


@pytest.mark.usefixtures("booked")
def test_a_worker_that_remembers_a_month_that_was_dropped_since_makes_it_again():
    send(make_event(occurred_at=OLD + SECOND), received_at=OLD + DAY)  # remembers March
    close()
    keep(12)
    remembered = set(partitions._known)
    retention.drop_old_months(at=NOON)
    partitions._known.update(remembered)

    with pytest.raises(partitions.Missing):
        partitions.require([OLD])


@pytest.mark.usefixtures("dropped")
def test_a_correction_of_the_far_past_restates_what_is_kept():
    offering = make_priced_offering("cheap@openai")
    send(make_event(model="cheap", occurred_at=NOON - DAY))

    set_price(offering, "output", "60", at=NOON + SECOND, valid_from=OLD - 30 * DAY)
    running.take_up(at=NOON + 2 * SECOND)
    while jobs.run_next(clock=lambda: NOON + 2 * SECOND):
        pass

    assert [row.before["entries"] for row in Restatement.objects.all()] == [1]
    assert LedgerEntry.objects.filter(kind=3).count() == 1
    (row,) = [row for row in corrections.listed(most=50, states=corrections.STATES) if row.restatement_id]
    assert corrections.one(row.key).not_kept == (MARCH,)


@pytest.mark.usefixtures("dropped")
def test_the_preview_of_such_a_correction_says_what_it_does_not_reach():
    offering = make_priced_offering("cheap@openai")

    found = previewing.preview(
        lambda: set_price(offering, "output", "60", at=NOON + SECOND, valid_from=OLD - 30 * DAY), at=NOON + SECOND
    )

    assert found.not_kept == (MARCH,)


@pytest.mark.usefixtures("dropped")
def test_a_question_that_only_dropped_entries_could_answer_is_refused_and_sums_are_still_there():
    ask = spend.SpendAsk(starts_at=OLD, ends_at=OLD + DAY, zone="UTC", group_by=("tag:undeclared",), filters={})

    with pytest.raises(Invalid, match="does not keep March 2025 any more"):
        spend_queries.ask_for(ask=ask, complete_through=None, by="tests", at=NOON)
    with pytest.raises(Invalid, match="does not keep March 2025 any more"):
        spend.ledger_spend(ask=ask)
    of_day = spend.SpendAsk(
        starts_at=datetime(2025, 3, 10, tzinfo=UTC), ends_at=datetime(2025, 3, 11, tzinfo=UTC), zone="UTC",
        group_by=("use_case",), filters={},
    )  # fmt: skip
    assert spend.spend(ask=of_day).total.requests == 1


@pytest.mark.usefixtures("dropped")
def test_a_counter_of_a_period_that_began_before_what_is_kept_is_compared_by_its_sums():
    make_budget(
        name="fiscal year", unit="usd", amount=Decimal(1000), period="year", fiscal_start_month=7, at=OLD - 400 * DAY
    )
    sql(
        "INSERT INTO budgets_counter (budget_id, period_start, period_end, state, used, unclassified) "
        "SELECT id, '2024-07-01Z', '2025-07-01Z', 'live', 0.008, 0 FROM budgets_budget"
    )
    sql(
        "INSERT INTO budgets_counter (budget_id, period_start, period_end, state, used, unclassified) "
        "SELECT id, '2025-07-01Z', '2026-07-01Z', 'live', 0.008, 0 FROM budgets_budget ON CONFLICT DO NOTHING"
    )

    found = reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON)

    assert found.differing == 0
    sql("UPDATE budgets_counter SET used = 7")
    found = reconciling.run_now(first=None, last=None, by="tests", clock=lambda: NOON)
    assert set(found.days) == {"2024-07-01", "2025-07-01"}


# --- settings ---


def test_settings_are_changed_with_a_reason_and_audited():
    retention.change_settings(
        keep_ledger_months=24, keep_receipts_days=30, by="admin@example.com", reason="as our policy says", at=NOON
    )

    organisation = Organisation.objects.get()
    assert (organisation.keep_ledger_months, organisation.keep_receipts_days) == (24, 30)
    last = AuditEntry.objects.filter(table="core_organisation").latest("id")
    assert (last.actor, last.reason) == ("admin@example.com", "as our policy says")


@pytest.mark.parametrize(
    ("ledger_months", "days", "reason", "fields"),
    [
        (11, 90, "r", ["keep_ledger_months"]),
        (10**6, 90, "r", ["keep_ledger_months"]),
        (12, 0, "r", ["keep_receipts_days"]),
        (12, 10**6, "r", ["keep_receipts_days"]),
        (0, 0, " ", ["keep_ledger_months", "keep_receipts_days", "reason"]),
    ],
)
def test_settings_that_cannot_be_are_refused_with_all_reasons(ledger_months, days, reason, fields):
    with pytest.raises(Exception, match="cannot be set so") as refused:
        retention.change_settings(
            keep_ledger_months=ledger_months, keep_receipts_days=days, by="a", reason=reason, at=NOON
        )

    assert [field for field, _ in refused.value.problems] == fields


def test_less_than_a_year_is_refused_by_the_database():
    with pytest.raises(IntegrityError, match="core_organisation_keeps_a_year"), transaction.atomic():
        Organisation.objects.update(keep_ledger_months=11)


def test_a_month_of_the_ledger_is_dropped_once():
    one = {"table": "ledger", "month": MARCH, "rows": 1, "dropped_at": NOON, "by": "a", "keep_ledger_months": 12}
    DroppedPartition.objects.create(**one)
    DroppedPartition.objects.create(**one | {"table": "ledger_unsummed"})
    DroppedPartition.objects.create(**one | {"table": "ledger_unsummed"})

    with pytest.raises(IntegrityError, match="usage_droppedpartition_ledger_once"), transaction.atomic():
        DroppedPartition.objects.create(**one)


# --- what goes row by row ---


def test_what_receipts_hold_is_let_go_after_the_days_of_the_setting_and_the_receipt_stays():
    Organisation.objects.update(keep_receipts_days=30)
    old, new = send(make_event()), send(make_event(), received_at=NOON + DAY)
    waiting = take(make_event(), received_at=NOON)

    assert housekeeping.forget_receipts(at=old.done_at + 30 * DAY) == 0
    assert housekeeping.forget_receipts(at=old.done_at + 30 * DAY + SECOND) == 1

    held = dict(Receipt.objects.values_list("id", "events"))
    assert held[old.pk] is None
    assert held[new.pk]
    assert held[waiting], "what is not booked keeps its events, however old"
    old.refresh_from_db()
    assert outcome(old) == {"booked": 1}


def test_batches_go_on_until_nothing_is_left(monkeypatch):
    monkeypatch.setattr(housekeeping, "_RECEIPTS_AT_ONCE", 2)
    for _ in range(5):
        send(make_event())

    assert housekeeping.forget_receipts(at=NOON + 1000 * DAY) == 5


def test_traces_are_kept_as_long_as_event_keys():
    source = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    for days, name in ((0, "young"), (1, "old")):
        Trace.objects.create(source_id=source, trace_id=name, touched_at=NOON - days * DAY)

    assert housekeeping.prune_traces(at=NOON + 36 * DAY) == 0
    assert housekeeping.prune_traces(at=NOON + 36 * DAY + SECOND) == 1
    assert [trace.trace_id for trace in Trace.objects.all()] == ["young"]


@pytest.mark.django_db(transaction=True)
def test_pruning_passes_over_what_a_booking_holds_and_waits_for_none():
    make_priced_offering()
    send(make_event(event_id="held"), make_event(event_id="free"))
    source = intake.live_source(gateway_id=make_gateway().pk, at=NOON)
    for name in ("held", "free"):
        Trace.objects.create(source_id=source, trace_id=name, touched_at=NOON)
    with another_connection() as booking, ThreadPoolExecutor(1) as threads:
        booking.autocommit = False
        booking.execute("SELECT 1 FROM usage_trace WHERE trace_id = 'held' FOR UPDATE")
        booking.execute("SELECT 1 FROM event_key WHERE digest = (SELECT min(digest) FROM event_key) FOR UPDATE")

        def work():
            try:
                return housekeeping.prune_traces(at=NOON + 40 * DAY), housekeeping.prune_keys(at=NOON + 40 * DAY)
            finally:
                connection.close()

        assert threads.submit(work).result(20) == (1, 1)
    assert (Trace.objects.get().trace_id, EventKey.objects.count()) == ("held", 1)


def test_every_chore_is_done_and_says_what_it_did():
    make_priced_offering()
    send(make_event())

    done = housekeeping.keep(at=NOON + 100 * DAY)

    assert done | {"reconcile": 0, "partitions": 0, "analysed": 0} == {
        "analysed": 0, "partitions": 0, "partitions_missing": [], "rebuild": None, "reconcile": 0, "past": 98,
        "keys": 1, "traces": 0, "receipts": 1, "dropped": [],
    }  # fmt: skip
    assert_rollups_equal_ledger()
