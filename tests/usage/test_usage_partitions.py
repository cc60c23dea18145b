"""Partitions lie two months ahead; where they do not, somebody learns of it while there is time."""

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from alerts.models import Alert, Severity
from usage.selectors import kept
from usage.services import housekeeping, partitions

pytestmark = pytest.mark.django_db
AT = datetime(2031, 5, 10, tzinfo=UTC)  # nobody made any for then


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def alerts():
    return list(Alert.objects.filter(kind="partitions_short").order_by("id"))


def test_partitions_are_made_ahead_and_nobody_is_told():
    assert partitions.make_ahead(at=AT) == 9

    assert partitions.look_ahead(at=AT) == []
    assert alerts() == []


def test_what_keeps_them_from_being_made_is_told_once_a_month_and_the_other_chores_are_done():
    sql("CREATE TABLE in_the_way PARTITION OF ledger FOR VALUES FROM ('2031-07-10') TO ('2031-07-11')")

    done = [housekeeping.keep(at=AT) for _ in range(2)]

    assert "would overlap" in done[0]["partitions"]
    assert done[0]["partitions_missing"] == [date(2031, 5, 1), date(2031, 6, 1), date(2031, 7, 1)]
    assert done[0]["dropped"] == []
    (alert,) = alerts()
    assert (alert.severity, alert.dedupe_key) == (Severity.CRITICAL, "partitions_short:2031-05")
    assert "July 2031" in alert.title


def test_a_table_that_only_has_the_name_of_a_partition_is_none():
    sql("CREATE TABLE ledger_203107 ()")
    partitions.make_ahead(at=AT)

    assert partitions.look_ahead(at=AT) == [date(2031, 7, 1)]
    assert date(2031, 7, 1) not in kept.partition_months(kept.LEDGER)


def test_the_alert_ends_when_they_are_there():
    sql("CREATE TABLE ledger_203107 ()")
    partitions.make_ahead(at=AT)
    partitions.look_ahead(at=AT)

    sql("DROP TABLE ledger_203107")
    housekeeping.keep(at=AT)

    assert [alert.state for alert in alerts()] == ["resolved"]


def test_the_next_month_is_told_of_anew():
    sql("CREATE TABLE ledger_203107 ()")
    for month in (5, 6):
        housekeeping.keep(at=AT.replace(month=month))

    assert [alert.dedupe_key for alert in alerts()] == ["partitions_short:2031-05", "partitions_short:2031-06"]
