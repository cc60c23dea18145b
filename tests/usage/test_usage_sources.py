"""Sources: live streams and imports, of which each call counts from one alone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert
from core.errors import Invalid
from core.models import AuditEntry
from core.services import barrier
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    entries,
    make_event,
    make_gateway,
    make_priced_offering,
    outcome,
    send,
    take,
)
from tests.usage.waiting import until_somebody_waits_for_a_lock
from usage.models import LedgerEntry, Receipt, Rollup15Min, Source, UnsummedEntry
from usage.services import imports, intake

pytestmark = pytest.mark.django_db


def open_import(gateway="edge", covers=(NOON - DAY, NOON), **overrides):
    return imports.open_import(
        gateway_id=make_gateway(gateway).pk, covers=covers, by="platform@example.com", at=NOON, **overrides
    )


def kept_aside():
    return list(UnsummedEntry.objects.order_by("id"))


# --- two formats of one gateway ---


def test_the_first_format_of_a_live_stream_is_the_one_that_counts():
    send(make_event(), format="litellm")

    assert Source.objects.get().accounting_format == "litellm"


def test_another_format_of_the_same_gateway_is_kept_aside_and_told_once():
    make_priced_offering()
    make_budget()
    send(make_event(event_id="callback"), format="litellm")

    first = send(make_event(event_id="span-1"), format="otlp")
    send(make_event(event_id="span-2"), format="otlp")

    assert outcome(first) == {"shadowed": 1}
    assert [entry.event_id for entry in entries()] == ["callback"]
    assert [(entry.event_id, entry.cost_usd) for entry in kept_aside()] == [
        ("span-1", entries()[0].cost_usd),
        ("span-2", entries()[0].cost_usd),
    ]
    notice = Alert.objects.get(kind="second_format")
    assert "edge reports usage in two formats; only litellm is counted" in notice.title
    assert sum(row.requests for row in Rollup15Min.objects.all()) == 1
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


def test_two_gateways_may_speak_two_formats():
    send(make_event(), format="litellm", gateway="edge")
    send(make_event(), format="native", gateway="batch")

    assert len(entries()) == 2
    assert not Alert.objects.exists()


def test_first_bodies_of_two_gateways_in_one_transaction_set_both_formats():
    take(make_event(), format="litellm", gateway="edge")
    take(make_event(), format="native", gateway="batch")

    book()

    assert dict(Source.objects.values_list("gateway__name", "accounting_format")) == {
        "edge": "litellm",
        "batch": "native",
    }


def test_two_formats_that_arrive_together_count_once():
    take(make_event(event_id="a"), format="litellm")
    take(make_event(event_id="b"), format="otlp")

    book()

    assert ([e.event_id for e in entries()], [e.event_id for e in kept_aside()]) == (["a"], ["b"])


def test_an_event_kept_aside_is_a_duplicate_when_it_comes_again():
    send(make_event(), format="litellm")
    event = make_event()
    send(event, format="otlp")

    assert outcome(send(event, format="otlp")) == {"duplicates": 1}
    assert len(kept_aside()) == 1


def test_a_format_that_was_made_the_accounting_one_counts_from_then_on():
    send(make_event(event_id="a"), format="litellm")
    Source.objects.update(accounting_format="otlp")

    send(make_event(event_id="b"), format="otlp")

    assert [entry.event_id for entry in entries()] == ["a", "b"]


# --- imports ---


def test_live_events_inside_the_range_of_a_counted_import_are_kept_aside():
    make_priced_offering()
    source = open_import()
    send(make_event(event_id="imported", occurred_at=NOON - timedelta(hours=1)), source_id=source.pk)

    receipt = send(
        make_event(event_id="before", occurred_at=NOON - DAY - SECOND),
        make_event(event_id="first inside", occurred_at=NOON - DAY),
        make_event(event_id="last inside", occurred_at=NOON - timedelta(microseconds=1)),
        make_event(event_id="after", occurred_at=NOON),
    )

    assert outcome(receipt) == {"booked": 2, "shadowed": 2}
    assert [entry.event_id for entry in entries()] == ["imported", "before", "after"]
    assert [entry.event_id for entry in kept_aside()] == ["first inside", "last inside"]
    assert_rollups_equal_ledger()


def test_what_an_import_holds_outside_its_range_is_kept_aside():
    source = open_import()
    send(make_event(event_id="live", occurred_at=NOON))

    receipt = send(
        make_event(event_id="too early", occurred_at=NOON - DAY - SECOND),
        make_event(event_id="inside", occurred_at=NOON - DAY),
        make_event(event_id="live, from the logs", occurred_at=NOON),
        source_id=source.pk,
    )

    assert outcome(receipt) == {"booked": 1, "shadowed": 2}
    assert [entry.event_id for entry in entries()] == ["live", "inside"]


def test_live_events_of_another_gateway_are_none_of_the_import_s_business():
    open_import("edge")

    receipt = send(make_event(occurred_at=NOON - SECOND), gateway="batch")

    assert outcome(receipt) == {"booked": 1}


def test_an_import_for_audit_is_never_summed_and_leaves_live_events_alone():
    source = open_import(audit_only=True)

    audited = send(make_event(occurred_at=NOON - SECOND), source_id=source.pk)
    live = send(make_event(occurred_at=NOON - SECOND))

    assert (outcome(audited), outcome(live)) == ({"shadowed": 1}, {"booked": 1})
    assert (LedgerEntry.objects.count(), UnsummedEntry.objects.count()) == (1, 1)
    assert_rollups_equal_ledger()


def test_an_import_is_refused_where_its_range_holds_counted_entries_of_that_gateway():
    send(make_event(occurred_at=NOON - SECOND))

    with pytest.raises(imports.RangeIsCounted):
        open_import()

    assert not Source.objects.filter(kind="import").exists()
    assert open_import(audit_only=True).audit
    assert open_import("batch").pk
    assert open_import(covers=(NOON, NOON + DAY)).pk
    assert open_import(covers=(NOON - 2 * DAY, NOON - SECOND)).pk


def test_entries_kept_aside_are_no_obstacle_to_an_import():
    send(make_event(), format="litellm", received_at=NOON + 2 * DAY)
    send(make_event(occurred_at=NOON - SECOND), format="otlp")

    assert open_import().pk


def test_two_counted_imports_of_one_gateway_do_not_overlap():
    open_import()

    with pytest.raises(imports.RangeIsCounted):
        open_import(covers=(NOON - SECOND, NOON + DAY))

    open_import(covers=(NOON, NOON + DAY))
    open_import(audit_only=True)


def test_an_empty_range_is_refused():
    with pytest.raises(Invalid):
        open_import(covers=(NOON, NOON))


def test_who_opened_an_import_and_why_is_on_record():
    source = open_import(note="three months from LiteLLM's database")

    entry = AuditEntry.objects.get(table="usage_source", row=str(source.pk))
    assert (entry.actor, entry.reason) == ("platform@example.com", "three months from LiteLLM's database")


def test_a_live_event_that_waits_while_an_import_is_opened_is_kept_aside():
    receipt_id = take(make_event(occurred_at=NOON - SECOND))
    open_import()

    book()

    assert outcome(Receipt.objects.get(pk=receipt_id)) == {"shadowed": 1}


def test_the_same_event_id_in_an_import_and_live_is_two_events():
    source = open_import()
    send(make_event(event_id="e-1", occurred_at=NOON - SECOND), source_id=source.pk)

    assert outcome(send(make_event(event_id="e-1"))) == {"booked": 1}


def test_a_gateway_has_one_live_stream_whoever_asks_first():
    gateway = make_gateway()
    first = intake.live_source(gateway_id=gateway.pk, at=NOON)
    intake._live_sources.clear()

    assert intake.live_source(gateway_id=gateway.pk, at=NOON + DAY) == first


@pytest.mark.django_db(transaction=True)
def test_an_import_waits_for_bookings_that_could_count_inside_its_range():
    make_gateway()

    def opens():
        try:
            return open_import()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            barrier.hold_shared()
            opening = threads.submit(opens)
            until_somebody_waits_for_a_lock("advisory")
            assert not Source.objects.filter(kind="import").exists()
        assert opening.result(30).pk


def test_new_sources_get_their_formats_in_one_order_whatever_came_first_lest_bookings_wait_for_each_other():
    first, second = (intake.live_source(gateway_id=make_gateway(name).pk, at=NOON) for name in ("edge", "batch"))
    for source_id in (second, first, second):
        take(make_event(), source_id=source_id)

    with CaptureQueriesContext(connection) as asked:
        book()

    told = [one["sql"] for one in asked if one["sql"].startswith("UPDATE usage_source SET accounting_format")]
    assert [sql.rpartition("WHERE id = ")[2].split()[0] for sql in told] == [str(first), str(second)]
    assert set(Source.objects.values_list("accounting_format", flat=True)) == {"native"}
