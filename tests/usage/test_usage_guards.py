"""What the database itself refuses, whoever asks: changes of the past, and rows that cannot be."""

from datetime import date, datetime, timedelta

import pytest
from django.apps import apps
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core.models import Job
from tests.usage.making import DAY, NOON, SECOND, make_event, make_gateway, make_priced_offering, send, take
from usage.models import (
    Correction,
    DroppedPartition,
    EventKey,
    HeldEvent,
    ImportPart,
    Month,
    Rate,
    Rebuild,
    Receipt,
    Reconciliation,
    RequestContext,
    Restatement,
    Source,
    StatementFile,
    UsageImport,
)
from usage.services import imports, months, partitions

pytestmark = pytest.mark.django_db


def sql(statement, values=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def refused(statement, values=(), *, match):
    with pytest.raises(DatabaseError, match=match), transaction.atomic():
        sql(statement, values)


@pytest.fixture
def ledgers():
    """One line in the ledger and one in its unsummed twin."""
    make_priced_offering()
    send(make_event(context={"task": "code"}))
    send(make_event(), format="otlp")


# --- what was written stays written ---


LEDGERS = ["ledger", "ledger_202606", "ledger_unsummed", "ledger_unsummed_202606"]


@pytest.mark.usefixtures("ledgers")
@pytest.mark.parametrize("table", LEDGERS)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET cost_usd = 0", "UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_the_ledger_refuses_every_change_and_so_does_each_of_its_partitions(table, statement):
    refused(statement.format(table), match="its rows never change")

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("table", ["ledger", "ledger_unsummed"])
def test_a_partition_made_for_an_import_is_guarded_too(table):
    imports.open_import(gateway_id=make_gateway().pk, covers=(NOON - 900 * DAY, NOON - 890 * DAY), by="tests", at=NOON)
    child = f"{table}_{NOON - 895 * DAY:%Y%m}"

    refused(f"TRUNCATE {child}", match="its rows never change")


def test_the_ledger_is_not_truncated_along_with_others():
    refused("TRUNCATE ledger, rollup_day", match="its rows never change")


@pytest.fixture
def kept():
    make_priced_offering()
    send(make_event(context={"task": "code"}))
    months.close_month(label=date(2026, 5, 1), by="finance", at=NOON)
    Restatement.objects.create(kind="k", reason="r", by="b", at=NOON, subject={}, before={}, after={})


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "table", ["usage_month", "usage_rate", "usage_context", "usage_restatement", "core_auditentry"]
)
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_others_point_back_to_never_changes(table, statement):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) > 0 FROM {table}")
        assert cursor.fetchone() == (True,)

    refused(statement.format(table), match="its rows never change|cannot truncate")


def test_a_partition_of_the_ledger_may_be_dropped_whole_as_retention_does():
    send(make_event())

    sql("DROP TABLE ledger_202606")
    partitions.forget()

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger")
        assert cursor.fetchone() == (0,)


# --- the ledger's own checks, each broken once ---


def entry(**overrides):
    values = {
        "use_case_id": 1, "booked_at": NOON, "id": 1, "kind": 1, "occurred_at": NOON, "source_id": 1, "gateway_id": 1,
        "environment": "production", "team_id": 1, "offering_id": 1, "tier": 1, "status": 1, "requested_model": "",
        "counted": True, "service_tier": "", "cost_usd": 1, "list_cost_usd": 1, "avoided_usd": 0, "unpriced": 0,
        "task": "", "sticky_key": "", "user_key": "", "rules_version": 0, "state_revision": 0, "rule": "",
        "reason": "", "fallback_index": 0, "call_group": "", "event_id": "e",
    }  # fmt: skip
    return {**values, **overrides}


def insert(table, values):
    partitions.make(first=NOON.date(), last=NOON.date())
    sql(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})", list(values.values()))


@pytest.mark.parametrize("table", ["ledger", "ledger_unsummed"])
def test_a_line_that_breaks_nothing_is_taken(table):
    insert(table, entry())


CORRECTS = {"corrects_use_case_id": 1, "corrects_booked_at": NOON, "corrects_id": 1}
BROKEN = {
    "ledger_kind_known": {"kind": 4, **CORRECTS},
    "ledger_status_known": {"status": 6},
    "ledger_tier_known": {"tier": 5},
    "ledger_priced_or_says_why": {"cost_usd": None, "list_cost_usd": None},
    "ledger_corrects_whole": {"kind": 2},
    "ledger_booked_when_it_happened": {"booked_at": NOON + SECOND},
    "ledger_meters_signed": {"output_tokens": -1},
}


@pytest.mark.parametrize("table", ["ledger", "ledger_unsummed"])
@pytest.mark.parametrize("constraint", BROKEN)
def test_a_line_that_cannot_be_is_refused(table, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        insert(table, entry(**BROKEN[constraint]))


@pytest.mark.parametrize(
    ("overrides", "constraint"),
    [
        ({"unpriced": 1}, "ledger_priced_or_says_why"),
        ({"list_cost_usd": None}, "ledger_priced_or_says_why"),
        ({"cost_usd": None}, "ledger_priced_or_says_why"),
        (CORRECTS, "ledger_corrects_whole"),
        ({"kind": 3, **CORRECTS, "corrects_booked_at": None}, "ledger_corrects_whole"),
    ],
)
def test_a_line_is_priced_or_says_why_and_corrects_in_full_or_not_at_all(overrides, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        insert("ledger", entry(**overrides))


def test_what_is_booked_late_and_what_is_taken_back_is_taken():
    insert("ledger", entry(booked_at=NOON + SECOND, correction_of=date(2026, 5, 1)))
    insert("ledger", entry(id=2, kind=2, output_tokens=-1, requests=-1, cost_usd=-1, list_cost_usd=-1, **CORRECTS))
    insert("ledger", entry(id=3, unpriced=1, cost_usd=None, list_cost_usd=None))


def test_every_check_of_the_ledger_is_broken_above():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = ANY(%s::regclass[]) AND contype = 'c'",
            [["ledger", "ledger_unsummed"]],
        )
        assert {name for (name,) in cursor.fetchall()} == set(BROKEN)


def test_a_line_has_a_key_of_its_own():
    insert("ledger", entry())

    with pytest.raises(IntegrityError, match="pkey"), transaction.atomic():
        insert("ledger", entry())


def test_a_line_outside_every_partition_is_refused_and_not_put_somewhere():
    with pytest.raises(IntegrityError, match="no partition"), transaction.atomic():
        insert("ledger", entry(booked_at=NOON + 9000 * DAY, occurred_at=NOON + 9000 * DAY))


def test_a_digest_has_16_bytes():
    key = EventKey(
        source_id=1, digest=b"1" * 16, content=b"2" * 16, use_case_id=1, booked_at=NOON, entry_id=1,
        first_received_at=NOON,
    )  # fmt: skip
    for short in ({"digest": b"1" * 15}, {"content": b"2" * 17}):
        values = {name: getattr(key, name) for name in ("digest", "content")} | short
        with pytest.raises(IntegrityError, match="event_key_digest_is_16_bytes"), transaction.atomic():
            sql(
                "INSERT INTO event_key VALUES (1, %s, %s, 1, %s, 1, %s)",
                [values["digest"], values["content"], NOON, NOON],
            )


@pytest.mark.parametrize("table", ["rollup_15min", "rollup_day"])
def test_a_histogram_has_16_buckets(table):
    send(make_event())

    with pytest.raises(IntegrityError, match=f"{table}_histogram_is_16"), transaction.atomic():
        sql(f"UPDATE {table} SET latency_histogram = ARRAY[1, 2]::bigint[]")


# --- the records' named constraints, each broken once ---


def a_source(**overrides):
    given = {"gateway_id": make_gateway().pk, "kind": "live", "created_at": NOON}
    return Source(**{**given, **overrides})


def an_import(**overrides):
    return a_source(**{"kind": "import", "covers": DateTimeTZRange(NOON, NOON + DAY), **overrides})


def a_receipt(**overrides):
    source = Source.objects.filter(kind="live").first()
    if source is None:
        source = a_source()
        source.save()
    given = {
        "source": source, "environment": "production", "format": "native", "received_at": NOON, "events": b"x",
        "event_count": 1, "try_after": NOON,
    }  # fmt: skip
    return Receipt(**{**given, **overrides})


def a_held_event(**overrides):
    receipt = Receipt.objects.first()
    if receipt is None:
        receipt = a_receipt()
        receipt.save()
    given = {
        "receipt": receipt, "source": receipt.source, "reason": "conflict", "event_id": "e-1", "occurred_at": NOON,
        "event": {}, "content": b"1" * 16, "held_at": NOON,
    }  # fmt: skip
    return HeldEvent(**{**given, **overrides})


def a_month(**overrides):
    given = {
        "label": date(2026, 5, 1), "starts_at": datetime.fromisoformat("2026-05-01T00:00Z"),
        "ends_at": datetime.fromisoformat("2026-06-01T00:00Z"), "zone": "UTC", "closed_at": NOON, "closed_by": "b",
    }  # fmt: skip
    return Month(**{**given, **overrides})


def a_correction(**overrides):
    return Correction(**{"amendment_id": 7, "job_id": 7, "taken_up_at": NOON, **overrides})


BACKWARDS = {"first_day": NOON.date(), "last_day": NOON.date() - DAY}


def a_file_of_usage(**overrides):
    given = {
        "gateway_id": make_gateway().pk, "format": "csv", "file_name": "calls.csv", "sha256": b"0" * 32,
        "started_at": NOON, "started_by": "b",
    }  # fmt: skip
    return UsageImport(**{**given, **overrides})


def a_part(brought):
    return ImportPart(usage_import=brought, number=0, event_count=0)


def a_statement(**overrides):
    given = {
        "format": "openai-usage", "file_name": "usage.json", "sha256": b"0" * 32, "first_day": NOON.date(),
        "last_day": NOON.date(), "lines": 1, "imported_at": NOON, "imported_by": "b",
    }  # fmt: skip
    return StatementFile(**{**given, **overrides})


def a_dropped_month():
    return DroppedPartition(
        table="ledger", month=NOON.date().replace(day=1), rows=0, dropped_at=NOON, by="b", keep_ledger_months=12
    )


ROWS = {
    "usage_source_one_live_stream": lambda: [a_source(), a_source()],
    "usage_source_import_has_range": lambda: [an_import(covers=None)],
    "usage_source_imports_do_not_overlap": lambda: [
        an_import(),
        an_import(covers=DateTimeTZRange(NOON + DAY - timedelta(microseconds=1), NOON + 2 * DAY)),
    ],
    "usage_receipt_state_known": lambda: [a_receipt(state="lost")],
    "usage_receipt_done_whole": lambda: [a_receipt(state="done")],
    "usage_receipt_pending_has_events": lambda: [a_receipt(events=None)],
    "usage_heldevent_reason_known": lambda: [a_held_event(reason="whim")],
    "usage_heldevent_once": lambda: [a_held_event(), a_held_event()],
    "usage_month_closed_once": lambda: [a_month(), a_month()],
    "usage_month_ordered": lambda: [a_month(ends_at=datetime.fromisoformat("2026-05-01T00:00Z"))],
    "usage_month_over_when_closed": lambda: [a_month(closed_at=datetime.fromisoformat("2026-05-31T23:59Z"))],
    "usage_rate_once": lambda: [Rate(digest=b"1" * 16, prices={}), Rate(digest=b"1" * 16, prices={})],
    "usage_correction_once": lambda: [a_correction(job_id=1), a_correction(job_id=2)],
    "usage_correction_job_once": lambda: [a_correction(amendment_id=1), a_correction(amendment_id=2)],
    "usage_context_once": lambda: [
        RequestContext(digest=b"1" * 16, content={}),
        RequestContext(digest=b"1" * 16, content={}),
    ],
    "usage_receipt_given_up_whole": lambda: [a_receipt(given_up_at=NOON)],
    "usage_import_state_known": lambda: [a_file_of_usage(state="lost")],
    "usage_import_booked_under_a_source": lambda: [a_file_of_usage(state="booking")],
    "usage_import_times_ordered": lambda: [a_file_of_usage(first_at=NOON, last_at=NOON - DAY)],
    "usage_import_dropped_before_booking": lambda: [
        (source := an_import()),
        a_file_of_usage(state="dropped", source=source),
    ],
    "usage_import_file_once": lambda: [a_file_of_usage(), a_file_of_usage()],
    "usage_importpart_once": lambda: [(brought := a_file_of_usage()), a_part(brought), a_part(brought)],
    "usage_statementfile_days": lambda: [a_statement(last_day=NOON.date() - DAY)],
    "usage_statementfile_once": lambda: [a_statement(), a_statement()],
    "usage_reconciliation_days": lambda: [Reconciliation(**BACKWARDS, full=False, started_at=NOON, by="b")],
    "usage_rebuild_days": lambda: [Rebuild(**BACKWARDS, asked_at=NOON, reason="r", by="b")],
    "usage_droppedpartition_ledger_once": lambda: [a_dropped_month(), a_dropped_month()],
}


@pytest.mark.parametrize("constraint", ROWS)
def test_a_row_that_cannot_be_is_refused(constraint):
    *before, broken = ROWS[constraint]()
    for row in before:
        row.save()

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        broken.save(force_insert=True)


def test_every_named_constraint_of_usage_is_broken_above():
    named = {
        constraint.name
        for model in apps.get_app_config("usage").get_models()
        if model._meta.managed
        for constraint in model._meta.constraints
    }

    assert named == set(ROWS)


@pytest.mark.parametrize("range_", [DateTimeTZRange(NOON, NOON), DateTimeTZRange(empty=True)])
def test_an_import_of_no_time_at_all_is_refused(range_):
    with pytest.raises(IntegrityError, match="usage_source_import_has_range"), transaction.atomic():
        an_import(covers=range_).save()


def test_a_live_stream_has_no_range_and_is_never_for_audit():
    for overrides in ({"covers": DateTimeTZRange(NOON, NOON + DAY)}, {"audit": True}):
        with pytest.raises(IntegrityError, match="usage_source_import_has_range"), transaction.atomic():
            a_source(**overrides).save()


def test_imports_for_audit_and_of_other_gateways_may_overlap():
    an_import().save()
    an_import(audit=True).save()
    an_import(gateway_id=make_gateway("batch").pk).save()


def test_of_one_kind_of_work_one_job_waits():
    Job.objects.create(kind="k", dedupe_key="k:1", run_after=NOON, created_at=NOON)

    with pytest.raises(IntegrityError, match="core_job_waits_once"), transaction.atomic():
        Job.objects.create(kind="k", dedupe_key="k:1", run_after=NOON, created_at=NOON)


def test_partitions_are_made_once_and_as_far_ahead_as_it_takes():
    made = partitions.make_ahead(at=datetime.fromisoformat("2031-11-30T23:00-02:00"))

    assert made == 3 * 3
    assert {date(2031, 12, 1), date(2032, 1, 1), date(2032, 2, 1)} <= partitions.months()
    assert partitions.make_ahead(at=datetime.fromisoformat("2031-12-05T00:00Z")) == 0


def test_what_cannot_be_told_from_a_repeat_is_held_only_once_per_reason():
    receipt_id = take(make_event())
    for reason in ("conflict", "too_old"):
        a_held_event(reason=reason, receipt_id=receipt_id).save()

    assert HeldEvent.objects.count() == 2
