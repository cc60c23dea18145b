"""The schema as it stands in the database: what models say of it, its classes past one machine, its partitions."""

import re
from datetime import date
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from catalog.models import Meter, Tier
from catalog.rules import METERS
from core.periods import add_months
from usage.models import (
    LATENCY_BUCKETS,
    EntryKind,
    EventKey,
    LedgerEntry,
    Metered,
    Rollup15Min,
    RollupDay,
    RollupDayTag,
    RollupDayUser,
    Status,
    UnsummedEntry,
)
from usage.rules import postings
from usage.services import partitions

pytestmark = pytest.mark.django_db
README = Path(__file__).parents[2] / "usage" / "README.md"
UNMANAGED = [EventKey, LedgerEntry, UnsummedEntry, Rollup15Min, RollupDay, RollupDayTag, RollupDayUser]


def rows(sql, values=()):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def columns_of(table):
    """Return name -> (type, may be null) in the table's order."""
    return {
        name: (kind, not not_null)
        for name, kind, not_null in rows(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [table],
        )
    }


def as_in_database(db_type):
    """Return a Django type as PostgreSQL writes it; it knows no size of an array, and these tables bound no text."""
    text = re.sub(r"varchar\(\d+\)", "text", db_type)
    return re.sub(r"\[\d+\]", "[]", text).replace(", ", ",")


# --- models that Django does not manage ---


def test_there_are_no_other_models_that_django_does_not_manage():
    assert {model for model in apps.get_models() if not model._meta.managed} == set(UNMANAGED)


@pytest.mark.parametrize("model", UNMANAGED)
def test_a_model_says_what_its_table_has(model):
    fields = [field for field in model._meta.concrete_fields if field.column]

    said = {field.column: (as_in_database(field.db_type(connection)), field.null) for field in fields}

    assert said == columns_of(model._meta.db_table)


@pytest.mark.parametrize("model", UNMANAGED)
def test_a_model_has_the_key_of_its_table(model):
    assert [field.column for field in model._meta.pk_fields] == key_of(model._meta.db_table)


def test_migrations_say_all_that_the_models_say():
    call_command("makemigrations", "--check", "--dry-run", "usage", verbosity=0)


# --- numbers and orders that plain Python repeats ---


def test_the_ledger_is_written_with_all_its_columns_and_so_is_its_twin():
    assert sorted(postings.COLUMNS) == sorted(columns_of("ledger"))
    assert columns_of("ledger_unsummed") == columns_of("ledger")


def test_meters_stand_in_one_order_everywhere():
    meters = [f"{meter}_tokens" if meter not in ("requests", "web_searches") else meter for meter in METERS]

    assert list(METERS) == Meter.values
    assert [field.name for field in Metered._meta.get_fields()] == meters
    first = postings.COLUMNS.index(meters[0])
    assert list(postings.COLUMNS[first : first + 11]) == meters
    for table in ("ledger", "rollup_15min", "rollup_day"):
        assert [name for name in columns_of(table) if name in meters] == meters


def test_numbers_mean_the_same_in_rules_and_records():
    assert {status.label: status.value for status in Status} == postings.STATUS_NUMBERS
    assert tuple(EntryKind) == (postings.USAGE, postings.REVERSAL, postings.ADJUSTMENT)
    assert len(postings.LATENCY_BOUNDS_MS) + 1 == LATENCY_BUCKETS
    assert (Tier.UNCLASSIFIED, Tier.FRONTIER) == (0, 1)


# --- past one machine ---


def key_of(table):
    return [
        name
        for (name,) in rows(
            "SELECT a.attname FROM pg_index i, unnest(i.indkey::int[]) WITH ORDINALITY AS k(number, place) "
            "JOIN pg_attribute a ON a.attnum = k.number "
            "WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.place",
            [table],
        )
    ]


def classes():
    """Read the README's table: name -> (class, distribution column or None)."""
    found = {}
    for names, kind, column in re.findall(
        r"^\| (`[^|]*`) \| (distributed|reference|local)(?: by `(\w+)`)? \|", README.read_text(), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+)`", names):
            assert name not in found, f"{name} is listed twice"
            found[name] = (kind, column or None)
    return found


def test_the_readme_names_the_class_of_each_table():
    tables = {
        name
        for (name,) in rows(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
    }
    theirs = {name for name in tables if name.startswith(("account_", "auth_", "django_"))}

    assert set(classes()) == tables - theirs


def test_what_is_distributed_by_use_case_has_it_first_in_its_key():
    distributed = {name: column for name, (kind, column) in classes().items() if kind == "distributed"}

    assert {name for name, column in distributed.items() if column == "use_case_id"} == {
        "ledger", "ledger_unsummed", "rollup_15min", "rollup_day", "rollup_day_tag", "rollup_day_user", "rollup_past",
        "rollup_past_week", "rollup_past_attempts",
    }  # fmt: skip
    for name, column in distributed.items():
        key = key_of(name)
        assert column in key, f"every unique index of a distributed table holds its distribution column: {name}"
        assert column != "use_case_id" or key[0] == column


def test_the_catalogue_and_nothing_else_is_for_reference():
    catalogue = {model._meta.db_table for model in apps.get_app_config("catalog").get_models()}

    assert {name for name, (kind, _) in classes().items() if kind == "reference"} == catalogue


def test_no_foreign_key_leads_to_or_from_what_is_distributed():
    distributed = [name for name, (kind, _) in classes().items() if kind == "distributed"]

    assert (
        rows(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' "
            "AND (conrelid = ANY(%s::regclass[]) OR confrelid = ANY(%s::regclass[]))",
            [distributed, distributed],
        )
        == []
    )


# --- partitions ---


def test_there_is_no_default_partition():
    assert rows("SELECT partrelid::regclass::text FROM pg_partitioned_table WHERE partdefid <> 0") == []


def test_partitions_are_there_two_months_ahead_and_each_is_one_utc_month():
    this = timezone.now().date().replace(day=1)

    assert {add_months(this, months) for months in range(partitions.MONTHS_AHEAD + 1)} <= partitions.months()
    bounds = rows(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "JOIN pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p'"
    )
    assert bounds
    for name, bound in bounds:
        month = date(int(name[-6:-2]), int(name[-2:]), 1)
        wanted = f"FOR VALUES FROM ('{month} 00:00:00+00') TO ('{add_months(month, 1)} 00:00:00+00')"
        assert bound == wanted, name


def test_the_three_partitioned_tables_have_the_same_months():
    partitions.make(first=date(2020, 11, 30), last=date(2021, 2, 1))

    months = {}
    for parent in ("ledger", "ledger_unsummed", "rollup_15min"):
        months[parent] = {
            name[-6:]
            for (name,) in rows(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                "WHERE i.inhparent = %s::regclass",
                [parent],
            )
        }
    assert months["ledger"] == months["ledger_unsummed"] == months["rollup_15min"]
    assert {"202011", "202012", "202101", "202102"} <= months["ledger"]


def test_every_partition_of_a_ledger_refuses_truncate():
    partitions.make(first=date(2020, 11, 1), last=date(2020, 11, 1))

    unguarded = rows(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent IN ('ledger'::regclass, 'ledger_unsummed'::regclass) AND NOT EXISTS ("
        "SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'ledger_all' AND t.tgenabled = 'O')"
    )

    assert unguarded == []
