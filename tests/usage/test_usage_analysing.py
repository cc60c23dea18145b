"""Statistics of tables that autovacuum leaves alone."""

from __future__ import annotations

import pytest
from django.db import connection

from catalog.models import Team
from tests.usage.making import make_offering
from tests.usage.waiting import another_connection
from usage.services import analysing, partitions

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _never_analysed() -> None:
    """Forget when tables were analysed: other tests have their chores done in the same database."""
    one("SELECT pg_stat_reset()")
    one("SELECT pg_stat_clear_snapshot()")


def one(statement: str, *given: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        (found,) = cursor.fetchone()
    return found


def rows_estimated(table: str) -> object:
    return one("SELECT reltuples::int FROM pg_class WHERE oid = %s::regclass", table)


def analysed() -> int:
    one("SELECT pg_stat_clear_snapshot()")  # statistics are those of the beginning of a transaction otherwise
    return analysing.analyse()


def test_small_and_partitioned_tables_are_analysed_once_a_day():
    make_offering()
    made = Team.objects.count()
    Team.objects.bulk_create(Team(name=f"team-{n}", folded=f"team-{n}") for n in range(30))

    count = analysed()

    assert count > 40
    assert rows_estimated("catalog_team") == made + 30
    assert rows_estimated("rollup_15min") == 0  # -1: never looked at
    assert analysed() == 0


def test_a_table_that_somebody_holds_is_left_for_the_next_time(monkeypatch):
    monkeypatch.setattr(partitions, "LONGEST_WAIT", "20ms")
    with another_connection() as other, other.transaction():
        other.execute("LOCK TABLE catalog_team IN SHARE UPDATE EXCLUSIVE MODE")
        count = analysed()

    assert count > 40
    assert analysed() == 1
