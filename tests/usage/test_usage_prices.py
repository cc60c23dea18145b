"""Promises 4 and 5: unknown is not free, everything is priced as of its time, and a closed month never changes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from budgets.models import Counter, Crossing
from catalog.models import Tier
from catalog.services import offerings
from core.errors import Invalid
from core.models import AuditEntry, Job
from core.services import barrier
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    entries,
    make_event,
    make_offering,
    make_priced_offering,
    outcome,
    send,
    set_price,
    take,
    the_entry,
)
from tests.usage.waiting import until_somebody_waits_for_a_lock
from usage.models import EntryKind, LedgerEntry, Month, Rate, Restatement, Rollup15Min, RollupDay, Unpriced
from usage.selectors import world
from usage.services import booking, jobs, months, rerating

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)
JUNE, JULY, AUGUST = date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)
IN_JULY = datetime(2026, 7, 3, 9, tzinfo=UTC)


def price_what_waits(at=LATER):
    """Do what the background worker does after a change of the catalogue."""
    rerating.look_for_prices(since_revision=-1, at=at)
    while jobs.run_next(clock=lambda: at):
        pass


def ledger_totals(**filters):
    return LedgerEntry.objects.filter(**filters).aggregate(
        cost=Sum("cost_usd"), requests=Sum("requests"), output=Sum("output_tokens")
    )


# --- priced as of its time ---


def test_each_entry_is_priced_with_what_was_in_force_when_it_happened_and_names_it():
    offering = make_offering(uncached_input="5", output="30")
    set_price(offering, "output", "20", valid_from=NOON)

    send(
        make_event(occurred_at=NOON - timedelta(microseconds=1), uncached_input_tokens=0, output_tokens=1_000_000),
        make_event(occurred_at=NOON, uncached_input_tokens=0, output_tokens=1_000_000),
        received_at=NOON + DAY,
    )

    before, after = entries()
    assert (before.cost_usd, after.cost_usd) == (30, 20)
    rates = {rate.pk: rate.prices["output"]["usd_per_1m"] for rate in Rate.objects.all()}
    assert (rates[before.rate_id], rates[after.rate_id]) == ("30", "20")


def test_entries_priced_alike_share_one_rate():
    make_priced_offering()

    send(make_event(), make_event())
    world.forget()
    send(make_event())

    assert len({entry.rate_id for entry in entries()}) == Rate.objects.count() == 1


def test_a_price_that_changes_is_seen_by_the_next_booking():
    offering = make_offering(uncached_input="0", output="30")
    send(make_event(uncached_input_tokens=0, output_tokens=1000))

    set_price(offering, "output", "10")
    send(make_event(uncached_input_tokens=0, output_tokens=1000))

    assert [entry.cost_usd for entry in entries()] == [Decimal("0.03"), Decimal("0.01")]


def test_an_answer_from_the_gateway_s_cache_costs_nothing_and_says_what_it_saved():
    make_priced_offering()

    send(make_event(status="cache_hit"))

    entry = the_entry()
    assert (entry.cost_usd, entry.list_cost_usd, entry.avoided_usd) == (0, 0, Decimal("0.008"))
    assert_rollups_equal_ledger()


def test_a_cache_hit_of_an_unpriced_offering_is_unpriced():
    send(make_event(status="cache_hit"))

    assert (the_entry().unpriced, the_entry().avoided_usd) == (Unpriced.NO_PRICE, 0)


def test_free_is_a_price_of_zero_and_not_unpriced():
    make_offering(uncached_input="0", output="0")

    send(make_event())

    assert (the_entry().cost_usd, the_entry().unpriced) == (0, Unpriced.PRICED)


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ({"model": "mystery"}, Unpriced.NO_PRICE),
        ({"audio_input_tokens": 1}, Unpriced.METER_WITHOUT_PRICE),
        ({"service_tier": "priority"}, Unpriced.UNKNOWN_CONTEXT),
        ({"counted": False, "uncached_input_tokens": 0, "output_tokens": 0}, Unpriced.NOT_COUNTED),
    ],
)
def test_what_cannot_be_priced_is_stored_counted_in_tokens_and_says_why(overrides, why):
    make_priced_offering()

    send(make_event(**overrides))

    entry, sums = the_entry(), RollupDay.objects.get()
    assert (entry.cost_usd, entry.list_cost_usd, entry.unpriced, entry.rate_id) == (None, None, why, None)
    tokens = entry.uncached_input_tokens + entry.output_tokens + entry.audio_input_tokens
    assert (sums.unpriced_tokens, sums.unpriced_requests, sums.cost_usd) == (tokens, 1, 0)
    assert sums.uncounted_requests == (why == Unpriced.NOT_COUNTED)
    assert_rollups_equal_ledger()


# --- a price arrives ---


def test_when_a_price_arrives_what_waited_is_taken_back_and_booked_anew():
    offering = make_offering()
    send(make_event(event_id="e-1", latency_ms=910, tags={"env": "prod"}, reasoning_tokens=7, context={"task": "code"}))
    waited = the_entry()

    for meter, usd in (("uncached_input", "5"), ("output", "30")):
        set_price(offering, meter, usd)
    price_what_waits()

    first, taken_back, anew = entries()
    restatement = Restatement.objects.get()
    assert first.pk == waited.pk
    assert (taken_back.kind, taken_back.uncached_input_tokens, taken_back.requests) == (EntryKind.REVERSAL, -1000, -1)
    assert (taken_back.corrects_use_case_id, taken_back.corrects_booked_at, taken_back.corrects_id) == first.pk
    assert (anew.kind, anew.cost_usd, anew.unpriced) == (EntryKind.USAGE, Decimal("0.008"), Unpriced.PRICED)
    assert (anew.event_id, anew.tags, anew.latency_ms, anew.context_id) == (
        "e-1", {"env": "prod"}, 910, first.context_id,
    )  # fmt: skip
    assert {e.booked_at for e in (first, taken_back, anew)} == {NOON}
    assert taken_back.restatement_id == anew.restatement_id == restatement.pk
    assert restatement.before == {"entries": 1, "cost_usd": "0", "unpriced_tokens": 1100}
    assert restatement.after == {"entries": 1, "cost_usd": "0.008", "unpriced_tokens": 0}
    assert ledger_totals() == {"cost": Decimal("0.008"), "requests": 1, "output": 100}
    assert_rollups_equal_ledger()


def test_pricing_what_waited_twice_changes_nothing():
    offering = make_offering()
    send(*(make_event() for _ in range(5)))
    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    price_what_waits()
    after_once = LedgerEntry.objects.count()

    price_what_waits()
    rerating.ask_for(offering_id=offering.pk, by="tests", at=LATER)
    while jobs.run_next(clock=lambda: LATER):
        pass

    assert LedgerEntry.objects.count() == after_once == 15
    assert Restatement.objects.count() == 1


def test_asking_twice_while_it_waits_is_one_job():
    for _ in range(2):
        rerating.ask_for(offering_id=7, by="tests", at=NOON)

    assert Job.objects.filter(kind=rerating.KIND).count() == 1


def test_only_what_the_price_covers_is_booked_anew():
    offering = make_offering()
    send(make_event(occurred_at=NOON - DAY), make_event(), make_event(audio_input_tokens=3), make_event(model="other"))

    set_price(offering, "uncached_input", "5", valid_from=NOON - SECOND)
    set_price(offering, "output", "30", valid_from=NOON - SECOND)
    price_what_waits()

    assert [e.kind for e in entries()] == [1, 1, 1, 1, 2, 1]
    assert entries()[4].corrects_id == entries()[1].id
    assert Restatement.objects.get().before["entries"] == 1


def test_a_free_price_that_arrives_prices_too():
    offering = make_offering()
    send(make_event(), make_event(status="cache_hit"))

    set_price(offering, "uncached_input", "0")
    set_price(offering, "output", "0")
    price_what_waits()

    assert RollupDay.objects.aggregate(n=Sum("unpriced_tokens"))["n"] == 0
    assert Restatement.objects.get().after["cost_usd"] == "0"
    assert_rollups_equal_ledger()


def test_cache_hits_that_waited_are_charged_nothing_and_say_what_they_saved():
    offering = make_offering()
    send(make_event(status="cache_hit"))

    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    price_what_waits()

    anew = entries()[-1]
    assert (anew.cost_usd, anew.avoided_usd) == (0, Decimal("0.008"))
    assert_rollups_equal_ledger()


def test_budgets_in_dollars_learn_of_a_price_that_arrived_and_budgets_in_tokens_do_not_count_twice():
    offering = make_offering()
    make_budget(name="usd", unit="usd", amount=Decimal("10"))
    make_budget(name="tokens", unit="frontier_tokens", amount=Decimal(100_000))
    send(make_event())

    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    price_what_waits()

    assert {c.budget.name: c.used for c in Counter.objects.all() if c.used} == {"usd": Decimal("0.008"), "tokens": 1100}
    assert_counters_equal_ledger()


def test_a_job_that_dies_between_its_batches_is_taken_up_where_it_was(monkeypatch):
    monkeypatch.setattr(rerating, "BATCH", 3)
    offering = make_offering()
    send(*(make_event() for _ in range(10)))
    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    rerating.look_for_prices(since_revision=-1, at=LATER)
    job = jobs._lease(at=LATER)
    assert not rerating.run(job, at=LATER)
    assert not rerating.run(job, at=LATER)
    midway = LedgerEntry.objects.count()

    # The process died here: its lease runs out, and another one goes on.
    assert not jobs.run_next(clock=lambda: LATER + SECOND)
    assert jobs.run_next(clock=lambda: LATER + jobs.LEASE + SECOND)

    assert (midway, LedgerEntry.objects.count()) == (10 + 12, 30)
    restatement = Restatement.objects.get()
    assert restatement.before == {"entries": 10, "cost_usd": "0", "unpriced_tokens": 11_000}
    assert restatement.after == {"entries": 10, "cost_usd": "0.08", "unpriced_tokens": 0}
    assert set(LedgerEntry.objects.filter(restatement_id__isnull=False).values_list("restatement_id", flat=True)) == {
        restatement.pk
    }
    assert_rollups_equal_ledger()


@pytest.mark.django_db(transaction=True)
def test_two_jobs_for_one_offering_at_once_take_back_each_entry_once(monkeypatch):
    monkeypatch.setattr(rerating, "BATCH", 4)
    offering = make_offering()
    send(*(make_event() for _ in range(20)))
    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    made = []
    for _ in range(2):
        rerating.ask_for(offering_id=offering.pk, by="tests", at=LATER)
        made.append(jobs._lease(at=LATER))
    assert made[0].pk != made[1].pk

    def work(job):
        try:
            while not rerating.run(job, at=LATER):
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, made))

    assert ledger_totals() == {"cost": Decimal("0.16"), "requests": 20, "output": 2000}
    assert LedgerEntry.objects.filter(kind=EntryKind.REVERSAL).count() == 20
    assert sum(one.after["entries"] for one in Restatement.objects.all()) == 20
    assert_rollups_equal_ledger()


# --- closed months ---


def close(label=JUNE, at=IN_JULY):
    return months.close_month(label=label, by="finance@example.com", at=at, reason="books are done")


def month_sums(starts_at, ends_at):
    return list(
        Rollup15Min.objects.filter(bucket__gte=starts_at, bucket__lt=ends_at)
        .order_by("bucket", "requested_model", "correction_of")
        .values()
    )


def test_an_event_that_comes_late_for_a_closed_month_is_booked_in_the_open_one_and_says_so():
    make_priced_offering()
    send(make_event())
    close()
    june = month_sums(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))

    receipt = send(make_event(event_id="late"), received_at=IN_JULY)

    entry = LedgerEntry.objects.get(event_id="late")
    assert outcome(receipt) == {"booked": 1}
    assert (entry.occurred_at, entry.booked_at, entry.correction_of) == (NOON, IN_JULY + SECOND, JUNE)
    assert month_sums(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)) == june
    assert RollupDay.objects.get(day=date(2026, 7, 3)).correction_of == 202606
    assert entry.cost_usd == Decimal("0.008")
    assert_rollups_equal_ledger()


def test_what_is_late_for_a_closed_month_moves_no_counter_and_never_alerts():
    make_priced_offering()
    make_budget(at=datetime(2026, 6, 1, tzinfo=UTC), amount=Decimal(1000))
    close()

    send(make_event(), received_at=IN_JULY)

    assert all(counter.used == 0 for counter in Counter.objects.all())
    assert not Crossing.objects.exists()
    assert_counters_equal_ledger()


def test_an_event_of_the_open_month_is_no_correction():
    make_priced_offering()
    close()

    send(make_event(occurred_at=datetime(2026, 7, 1, tzinfo=UTC)), received_at=IN_JULY)

    assert (the_entry().correction_of, the_entry().booked_at) == (None, datetime(2026, 7, 1, tzinfo=UTC))


def test_an_event_sent_again_after_its_month_was_closed_is_a_duplicate():
    event = make_event()
    send(event)
    close()

    again = send(event, received_at=IN_JULY)

    assert outcome(again) == {"duplicates": 1}


def test_a_price_that_arrives_for_a_closed_month_is_booked_in_the_open_one():
    offering = make_offering()
    make_budget(unit="usd", amount=Decimal(10), at=datetime(2026, 6, 1, tzinfo=UTC))
    send(make_event())
    close()
    june = month_sums(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))

    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    price_what_waits(at=IN_JULY)

    _, taken_back, anew = entries()
    assert {(e.booked_at, e.correction_of, e.occurred_at) for e in (taken_back, anew)} == {(IN_JULY, JUNE, NOON)}
    assert month_sums(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)) == june
    assert ledger_totals() == {"cost": Decimal("0.008"), "requests": 1, "output": 100}
    assert all(counter.used == 0 for counter in Counter.objects.all())
    assert_rollups_equal_ledger()


def test_a_late_entry_is_priced_anew_as_a_correction_of_its_own_month_even_when_the_next_one_is_closed_too():
    offering = make_offering()
    close()
    send(make_event(), received_at=IN_JULY)
    in_august = datetime(2026, 8, 2, tzinfo=UTC)
    close(JULY, at=in_august)

    set_price(offering, "uncached_input", "5")
    set_price(offering, "output", "30")
    price_what_waits(at=in_august)

    late, *rest = entries()
    assert (late.booked_at, late.correction_of) == (IN_JULY + SECOND, JUNE)
    assert {(e.booked_at, e.correction_of) for e in rest} == {(in_august, JUNE)}
    assert_rollups_equal_ledger()


def test_a_booking_whose_clock_stands_in_a_month_closed_meanwhile_books_behind_its_end():
    close(at=datetime(2026, 7, 1, tzinfo=UTC))
    just_before = datetime(2026, 7, 1, tzinfo=UTC) - timedelta(microseconds=1)

    send(make_event(), received_at=just_before, booked_at=just_before)

    assert (the_entry().booked_at, the_entry().correction_of) == (datetime(2026, 7, 1, tzinfo=UTC), JUNE)


def test_a_month_ends_in_the_organisation_s_zone():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_organisation SET zone = 'Pacific/Auckland'")
    june_ends = datetime(2026, 6, 30, 12, tzinfo=UTC)
    close(at=june_ends)

    send(make_event(occurred_at=june_ends - SECOND), make_event(occurred_at=june_ends), received_at=IN_JULY)

    assert [entry.correction_of for entry in entries()] == [JUNE, None]


def test_a_closed_month_keeps_its_instants_when_the_organisation_moves():
    close()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_organisation SET zone = 'Pacific/Auckland'")

    send(make_event(occurred_at=datetime(2026, 6, 30, 23, 59, tzinfo=UTC)), received_at=IN_JULY)

    assert the_entry().correction_of == JUNE


def test_the_month_that_still_runs_cannot_be_closed():
    with pytest.raises(months.MonthNotOver):
        close(at=datetime(2026, 7, 1, tzinfo=UTC) - timedelta(microseconds=1))

    assert not Month.objects.exists()


def test_a_month_is_closed_once_and_by_somebody_with_a_reason():
    close()

    with pytest.raises(months.AlreadyClosed):
        close()

    month = Month.objects.get()
    assert (month.label, month.closed_by, month.closed_at, month.reason) == (
        JUNE, "finance@example.com", IN_JULY, "books are done",
    )  # fmt: skip
    assert (month.starts_at, month.ends_at) == (
        datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC),
    )  # fmt: skip
    audited = AuditEntry.objects.get(table="usage_month")
    assert (audited.actor, audited.reason) == ("finance@example.com", "books are done")


def test_a_month_is_named_by_its_first_day():
    with pytest.raises(Invalid):
        close(date(2026, 6, 2))


@pytest.mark.django_db(transaction=True)
def test_closing_a_month_waits_for_bookings_and_keeps_others_out():
    make_priced_offering()
    receipt_id = take(make_event())
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            barrier.hold_shared()  # a booking is under way

            def close_and_hang_up():
                try:
                    return close()
                finally:
                    connection.close()

            closing = threads.submit(close_and_hang_up)
            until_somebody_waits_for_a_lock("advisory")
            assert not Month.objects.exists()
        closing.result(30)

    booking.book_pending(at=IN_JULY)

    assert (the_entry().receipt_id, the_entry().correction_of) == (receipt_id, JUNE)


def test_a_tier_given_later_does_not_rewrite_what_was_booked():
    offering = make_offering(tier=None)
    send(make_event())

    offerings.set_tier(offering=offering, tier=Tier.FRONTIER, since_at=NOON - DAY, by="tests")
    send(make_event())

    assert [entry.tier for entry in entries()] == [Tier.UNCLASSIFIED, Tier.FRONTIER]
