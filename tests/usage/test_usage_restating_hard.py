"""Restating where things happen at once, fail half-way, come twice, or lie exactly on an edge."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection
from django.db.models import Sum

from budgets.models import Counter, Crossing
from catalog.services import contracts, prices, use_cases
from core.errors import NotFound
from core.models import Job, JobState, Organisation
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    LONG_AGO,
    NOON,
    SECOND,
    make_event,
    make_offering,
    make_priced_offering,
    send,
    set_price,
)
from tests.usage.test_usage_restating import JUNE, LATER, kinds, previewed_and_restated, restate, total
from usage.models import EntryKind, LedgerEntry, Restatement, RollupDay, RollupDayTag
from usage.services import jobs, months, rerating
from usage.services.restating import again, running

pytestmark = pytest.mark.django_db
JULY, AUGUST = date(2026, 7, 1), date(2026, 8, 1)
IN_JULY = datetime(2026, 7, 3, 9, tzinfo=UTC)
IN_AUGUST = datetime(2026, 8, 3, 9, tzinfo=UTC)
TICK = timedelta(microseconds=1)
WHO = {"by": "finance@example.com", "approved_by": "approver@example.com", "at": LATER}


@pytest.fixture
def small_batches(monkeypatch) -> int:
    """Let a run take many steps over a few entries."""
    monkeypatch.setattr(running, "BATCH", 2)
    return 2


def change(offering, meter, usd, **overrides):
    set_price(offering, meter, usd, **{"at": LATER, "note": "the invoice says so", **overrides})


def take_up(at=LATER) -> list[Job]:
    running.take_up(at=at)
    return list(Job.objects.filter(kind=running.KIND, state=JobState.WAITING).order_by("id"))


def finish(job, at=LATER) -> None:
    while not running.run(job, at=at):
        pass


def sums_add_up() -> None:
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


def test_two_amendments_whose_runs_take_turns_correct_each_entry_once(small_batches):
    offering = make_priced_offering()
    make_budget(unit="usd", amount=Decimal(1000))
    send(*(make_event(use_case=name) for name in ("a", "b", "c") for _ in range(3)))
    restate()
    change(offering, "output", "40")
    change(offering, "uncached_input", "6")
    first, second = take_up()

    finished = set()
    while len(finished) < 2:
        finished |= {job.pk for job in (first, second) if job.pk not in finished and running.run(job, at=LATER)}

    assert total() == 9 * Decimal("0.010")
    assert kinds().count("ADJUSTMENT") == 9
    restated = Restatement.objects.all()
    assert sum(one.before["entries"] for one in restated) == 9
    moved = sum(Decimal(one.after["cost_usd"]) - Decimal(one.before["cost_usd"]) for one in restated)
    assert moved == 9 * Decimal("0.002")
    sums_add_up()


def test_an_amendment_that_takes_another_back_before_either_ran_moves_nothing():
    offering = make_priced_offering()
    send(make_event())
    restate()
    change(offering, "output", "40")
    change(offering, "output", "30", at=LATER + SECOND)

    restate(LATER + 2 * SECOND)

    assert (kinds(), Restatement.objects.count()) == (["USAGE"], 0)


def test_what_is_left_of_a_run_when_its_month_is_closed_is_booked_in_the_open_one(small_batches):
    offering = make_priced_offering()
    send(*(make_event() for _ in range(5)))
    restate()
    change(offering, "output", "40", at=IN_JULY)
    (job,) = take_up(at=IN_JULY)
    while not job.done:  # the first step makes July's partition, and books nothing
        assert not running.run(job, at=IN_JULY)
        job.refresh_from_db()
    june = RollupDay.objects.filter(correction_of=0).aggregate(cost=Sum("cost_usd"))["cost"]
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)

    finish(job, at=IN_JULY + SECOND)

    adjusted = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT)
    assert (adjusted.filter(correction_of=None).count(), adjusted.filter(correction_of=JUNE).count()) == (2, 3)
    assert {one.booked_at for one in adjusted.filter(correction_of=JUNE)} == {IN_JULY + SECOND}
    assert RollupDay.objects.filter(correction_of=0).aggregate(cost=Sum("cost_usd"))["cost"] == june
    assert total() == 5 * Decimal("0.009")
    (done,) = Restatement.objects.all()
    assert done.before["months"] == {"2026-06": {"entries": 5, "cost_usd": "0.04"}}
    sums_add_up()


def break_restatements() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk on fire'; "
            "END $$; CREATE TRIGGER broken BEFORE INSERT ON usage_restatement FOR EACH ROW EXECUTE FUNCTION broken()"
        )


def mend_restatements() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER broken ON usage_restatement; DROP FUNCTION broken()")


def test_a_batch_that_fails_leaves_nothing_and_is_tried_again_until_it_succeeds(small_batches):
    offering = make_priced_offering()
    send(*(make_event() for _ in range(5)))
    restate()
    change(offering, "output", "40")
    running.take_up(at=LATER)
    break_restatements()

    assert jobs.run_next(clock=lambda: LATER)
    job = Job.objects.latest("id")
    assert (job.state, job.attempts, "disk on fire" in job.error) == (JobState.RUNNING, 1, True)
    assert kinds().count("ADJUSTMENT") == 4, "the last batch is not there, and those before it are"
    assert not jobs.run_next(clock=lambda: LATER + 5 * SECOND), "it waits a while"
    mend_restatements()
    assert jobs.run_next(clock=lambda: LATER + 60 * SECOND)

    job.refresh_from_db()
    assert (job.state, job.attempts, kinds().count("ADJUSTMENT")) == (JobState.DONE, 2, 5)
    assert Restatement.objects.get().before["entries"] == 5
    sums_add_up()


def test_a_run_that_failed_for_good_goes_on_where_it_stopped_when_somebody_asks(small_batches):
    offering = make_priced_offering()
    send(*(make_event() for _ in range(5)))
    restate()
    change(offering, "output", "40")
    running.take_up(at=LATER)
    break_restatements()
    at = LATER
    for _ in range(jobs.MOST_ATTEMPTS):
        at += timedelta(hours=1)
        assert jobs.run_next(clock=lambda: at)  # noqa: B023
    job = Job.objects.latest("id")
    assert job.state == JobState.FAILED
    assert not jobs.run_next(clock=lambda: at + DAY), "nobody tries it by itself any more"
    mend_restatements()

    again.again(job_id=job.pk, by="approver@example.com", at=at + DAY)
    assert jobs.run_next(clock=lambda: at + DAY)

    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.DONE, 1)
    assert job.arguments["again"] == [{"by": "approver@example.com", "at": (at + DAY).isoformat()}]
    assert (kinds().count("ADJUSTMENT"), total()) == (5, 5 * Decimal("0.009"))
    sums_add_up()


def test_only_a_run_that_failed_is_put_in_line_again():
    offering = make_priced_offering()
    send(make_event())
    restate()
    change(offering, "output", "40")
    (waiting,) = take_up()

    with pytest.raises(again.NotFailed):
        again.again(job_id=waiting.pk, by="tests", at=LATER)
    finish(waiting)
    with pytest.raises(again.NotFailed):
        again.again(job_id=waiting.pk, by="tests", at=LATER)
    other = Job.objects.create(kind="spend_query", state=JobState.FAILED, run_after=LATER, created_at=LATER)
    with pytest.raises(NotFound):
        again.again(job_id=other.pk, by="tests", at=LATER)


def test_a_price_that_arrived_is_put_in_line_again_beside_the_same_work_asked_for_anew():
    offering = make_offering(uncached_input="5")
    send(make_event())
    rerating.ask_for(offering_id=offering.pk, by="price book", at=LATER)
    failed = Job.objects.get(kind=rerating.KIND)
    Job.objects.filter(pk=failed.pk).update(state=JobState.FAILED, attempts=5, finished_at=LATER)
    set_price(offering, "output", "30", at=NOON - DAY)
    rerating.ask_for(offering_id=offering.pk, by="price book", at=LATER)

    again.again(job_id=failed.pk, by="approver@example.com", at=LATER)
    while jobs.run_next(clock=lambda: LATER):
        pass

    assert kinds() == ["REVERSAL", "USAGE", "USAGE"]
    assert total() == Decimal("0.008")


def test_a_run_whose_process_died_is_taken_over_when_its_lease_runs_out(small_batches):
    offering = make_priced_offering()
    send(*(make_event() for _ in range(5)))
    restate()
    change(offering, "output", "40")
    (job,) = take_up()
    leased = jobs._lease(at=LATER)
    assert leased is not None
    assert leased.pk == job.pk
    assert not running.run(leased, at=LATER)  # and here the process dies

    assert not jobs.run_next(clock=lambda: LATER + jobs.LEASE), "it may still be alive"
    assert jobs.run_next(clock=lambda: LATER + jobs.LEASE + TICK)

    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (JobState.DONE, 5, 5)
    assert (kinds().count("ADJUSTMENT"), Restatement.objects.get().before["entries"]) == (5, 5)
    sums_add_up()


def test_a_process_that_was_thought_dead_and_goes_on_repeats_nothing(small_batches):
    offering = make_priced_offering()
    send(*(make_event() for _ in range(5)))
    restate()
    change(offering, "output", "40")
    (job,) = take_up()
    asleep = Job.objects.get(pk=job.pk)
    assert not running.run(asleep, at=LATER)
    finish(job)

    assert running.run(asleep, at=LATER + DAY)

    assert (kinds().count("ADJUSTMENT"), Restatement.objects.count()) == (5, 1)
    sums_add_up()


def test_an_entry_that_is_corrected_then_merged_then_corrected_again_costs_what_it_should():
    offering = make_priced_offering()
    into = use_cases.create(name="support", by="tests", at=NOON)
    make_budget(unit="usd", amount=Decimal(1000), scope={"use_case": ["support"]})
    send(make_event(), make_event(occurred_at=NOON - 5 * DAY))
    previewed_and_restated(partial(change, offering, "output", "40"))
    previewed_and_restated(
        partial(
            use_cases.merge, use_case=use_cases.get("support-routing"), into=into, since_at=NOON - DAY,
            by="finance@example.com", at=LATER + DAY,
        ),
        at=LATER + DAY,
    )  # fmt: skip

    expected, _ = previewed_and_restated(
        partial(change, offering, "output", "50", at=LATER + 2 * DAY), at=LATER + 2 * DAY
    )

    assert (expected.total.entries, expected.total.difference_usd) == (2, Decimal("0.002"))
    assert {name: effect.entries for name, effect in expected.use_cases} == {"support": 1, "support-routing": 1}
    assert (total(use_case=into), total()) == (Decimal("0.010"), Decimal("0.020"))
    assert Counter.objects.get().used == Decimal("0.010")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue", "Asia/Kathmandu"])
def test_months_are_the_organisations_however_far_from_utc_it_lives(zone):
    Organisation.objects.update(zone=zone)
    offering = make_priced_offering()
    edge = months.periods.month(JUNE, zone)
    send(
        *(
            make_event(occurred_at=instant)
            for instant in (edge.starts_at - TICK, edge.starts_at, edge.ends_at - TICK, edge.ends_at)
        ),
        received_at=edge.ends_at + SECOND,
    )
    at = edge.ends_at + DAY
    months.close_month(label=JUNE, by="finance@example.com", at=at)

    expected, done = previewed_and_restated(partial(change, offering, "output", "40", at=at), at=at)

    assert [(f"{one.month:%Y-%m}", one.closed, one.effect.entries) for one in expected.months] == [
        ("2026-05", False, 1), ("2026-06", True, 2), ("2026-07", False, 1),
    ]  # fmt: skip
    assert {key: row["entries"] for key, row in done.before["months"].items()} == {
        "2026-05": 1, "2026-06": 2, "2026-07": 1,
    }  # fmt: skip
    late = LedgerEntry.objects.filter(correction_of=JUNE)
    assert {one.booked_at for one in late} == {at}


@pytest.mark.parametrize("entries", [1, 2, 3, 4, 5])
def test_batches_that_end_exactly_with_a_use_case_skip_and_repeat_nothing(small_batches, entries):
    offering = make_priced_offering()
    send(*(make_event(use_case=f"case-{number}") for number in range(3) for _ in range(entries)))

    expected, done = previewed_and_restated(partial(change, offering, "output", "40"))

    assert expected.total.entries == done.before["entries"] == 3 * entries
    assert len(done.before["use_cases"]) == 3
    job = Job.objects.get(pk=done.job_id)
    assert (job.done, job.total) == (3 * entries, 3 * entries)


def test_a_range_holds_its_first_instant_and_not_its_last():
    offering = make_priced_offering()
    starts, ends = NOON - 2 * DAY, NOON - DAY
    inside = [starts, starts + TICK, ends - TICK]
    outside = [starts - TICK, ends, ends + TICK]
    send(*(make_event(occurred_at=instant) for instant in inside + outside))

    previewed_and_restated(partial(change, offering, "output", "40", valid_from=starts, valid_until=ends))

    adjusted = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT)
    assert sorted(one.occurred_at for one in adjusted) == inside


def test_a_correction_of_a_closed_month_is_corrected_again_after_its_own_month_is_closed_too():
    offering = make_priced_offering()
    make_budget(unit="usd", amount=Decimal(1000))
    send(make_event())
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)
    previewed_and_restated(partial(change, offering, "output", "40", at=IN_JULY), at=IN_JULY)
    months.close_month(label=JULY, by="finance@example.com", at=IN_AUGUST)

    expected, _ = previewed_and_restated(partial(change, offering, "output", "20", at=IN_AUGUST), at=IN_AUGUST)

    adjusted = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT).order_by("id")
    assert [(one.booked_at, one.correction_of, one.cost_usd) for one in adjusted] == [
        (IN_JULY, JUNE, Decimal("0.001")), (IN_AUGUST, JUNE, Decimal("-0.002")),
    ]  # fmt: skip
    assert [(one.month, one.closed) for one in expected.months] == [(JUNE, True)]
    assert total() == Decimal("0.007")


def test_what_was_priced_late_for_a_closed_month_is_corrected_like_any_other():
    offering = make_offering(uncached_input="5")
    send(make_event())
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)
    previewed_and_restated(partial(change, offering, "output", "30", at=IN_JULY), at=IN_JULY)
    months.close_month(label=JULY, by="finance@example.com", at=IN_AUGUST)

    expected, _ = previewed_and_restated(partial(change, offering, "output", "40", at=IN_AUGUST), at=IN_AUGUST)

    assert (expected.total.entries, expected.total.difference_usd) == (1, Decimal("0.001"))
    (adjusted,) = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT)
    assert (adjusted.booked_at, adjusted.correction_of) == (IN_AUGUST, JUNE)
    assert total(correction_of=None) == 0, "June had no price when it was closed"
    assert total(correction_of=JUNE) == Decimal("0.009")


def test_an_entry_that_waited_for_the_price_of_one_meter_is_adjusted_once_it_has_it():
    offering = make_priced_offering()
    send(make_event(web_searches=1))
    previewed_and_restated(partial(change, offering, "web_searches", "10000"))

    expected, _ = previewed_and_restated(
        partial(change, offering, "web_searches", "20000", at=LATER + DAY), at=LATER + DAY
    )

    assert (expected.total.before_usd, expected.total.after_usd) == (Decimal("0.018"), Decimal("0.028"))
    assert kinds() == ["ADJUSTMENT", "REVERSAL", "USAGE", "USAGE"]


def test_what_only_a_contract_priced_has_no_cost_when_the_contract_is_ended_before_it():
    offering = make_offering()
    own = [
        prices.NewPrice(offering=offering, meter=meter, usd_per_1m=Decimal(usd), valid_from=LONG_AGO, source="contract")
        for meter, usd in (("uncached_input", "4"), ("output", "20"))
    ]
    contract = contracts.set_terms(
        name="frame", provider=offering.provider, own_prices=own, valid_from=LONG_AGO, by="finance@example.com",
        approved_by="approver@example.com", at=NOON - DAY,
    )  # fmt: skip
    send(make_event(), make_event(occurred_at=NOON - 5 * DAY))
    assert total() == 2 * Decimal("0.006")

    expected, _ = previewed_and_restated(partial(contracts.end, name=contract.name, ends_at=NOON - DAY, **WHO))

    assert (expected.total.entries, expected.total.after_usd, expected.total.unpriced_after) == (1, 0, 1100)
    assert (kinds(), total()) == (["REVERSAL", "USAGE", "USAGE", "USAGE"], Decimal("0.006"))


def test_a_correction_moves_counters_and_what_it_takes_past_a_threshold_is_told_once():
    offering = make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal("0.020"), thresholds=[90])
    send(make_event(), make_event())
    assert (Counter.objects.get(budget=budget).used, Crossing.objects.count()) == (Decimal("0.016"), 0)

    previewed_and_restated(partial(change, offering, "output", "50"))
    crossed = list(Crossing.objects.values_list("budget", "threshold", "used"))
    previewed_and_restated(partial(change, offering, "output", "10", at=LATER + DAY), at=LATER + DAY)
    previewed_and_restated(partial(change, offering, "output", "50", at=LATER + 2 * DAY), at=LATER + 2 * DAY)

    assert crossed == [(budget.pk, 90, Decimal("0.020"))]
    assert Crossing.objects.count() == 1, "going below and past it again is the same crossing"
    assert Counter.objects.get(budget=budget).used == Decimal("0.020")


def test_what_is_booked_late_for_a_closed_month_moves_no_counter():
    offering = make_priced_offering()
    budget = make_budget(unit="usd", amount=Decimal("0.010"), thresholds=[90], period="year")
    send(make_event())
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)

    previewed_and_restated(partial(change, offering, "output", "40", at=IN_JULY), at=IN_JULY)

    assert Counter.objects.get(budget=budget).used == Decimal("0.008")
    assert not Crossing.objects.exists()


def test_events_that_arrive_between_the_change_and_its_run_are_priced_right_and_left_alone():
    offering = make_priced_offering()
    send(make_event())
    restate()
    change(offering, "output", "40")
    send(make_event(event_id="between", occurred_at=NOON + SECOND), received_at=LATER)

    restate(LATER + SECOND)

    (adjusted,) = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT)
    assert adjusted.event_id != "between"
    assert total() == 2 * Decimal("0.009")
    sums_add_up()


@pytest.mark.parametrize("entries", [1, 2, 3, 4])
def test_what_the_run_itself_books_anew_is_not_looked_at_again(small_batches, entries):
    offering = make_offering(uncached_input="5")
    send(*(make_event() for _ in range(entries)))
    restate()
    change(offering, "output", "30")
    (job,) = take_up()

    finish(job)

    job.refresh_from_db()
    assert (job.done, job.total) == (entries, entries)
    assert kinds().count("REVERSAL") == entries


def test_a_process_that_fails_after_its_job_was_done_by_another_does_not_undo_that(monkeypatch):
    def overtaken(job, *, at):
        Job.objects.filter(pk=job.pk).update(state=JobState.DONE, finished_at=at)  # as the one that took over did
        raise RuntimeError("the connection was lost long ago")

    monkeypatch.setitem(jobs.KINDS, "odd", overtaken)
    job = Job.objects.create(kind="odd", run_after=LATER, created_at=LATER)

    assert jobs.run_next(clock=lambda: LATER)

    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.DONE, "")


def test_sums_by_tag_and_budgets_on_tags_follow_a_correction_and_a_merge():
    Organisation.objects.update(declared_tags=["env", "region"])
    offering = make_priced_offering()
    into = use_cases.create(name="support", by="tests", at=NOON)
    budget = make_budget(unit="usd", amount=Decimal(1000), scope={"tag:env": ["prod"]})
    send(
        make_event(tags={"env": "prod", "region": "eu"}),
        make_event(tags={"env": "test"}),
        make_event(tags={"env": "prod"}, occurred_at=NOON - 5 * DAY),
        make_event(),
    )

    restate()
    change(offering, "output", "40")
    restate()
    use_cases.merge(
        use_case=use_cases.get("support-routing"), into=into, since_at=NOON - DAY, by="finance@example.com",
        at=LATER + DAY,
    )  # fmt: skip
    restate(LATER + DAY)

    assert_rollups_equal_ledger()
    sums = RollupDayTag.objects.filter(tag="env").values_list("value", "use_case__name").annotate(cost=Sum("cost_usd"))
    assert {(value, name): cost for value, name, cost in sums if cost} == {
        ("prod", "support"): Decimal("0.009"),
        ("test", "support"): Decimal("0.009"),
        ("prod", "support-routing"): Decimal("0.009"),
    }
    assert Counter.objects.get(budget=budget).used == Decimal("0.018")


def test_what_is_compared_with_the_gateways_own_figure_follows_a_correction():
    offering = make_priced_offering()
    send(make_event(reported_cost_usd=Decimal("0.009")), make_event())

    previewed_and_restated(partial(change, offering, "output", "40"))

    sums = RollupDay.objects.aggregate(ours=Sum("compared_cost_usd"), theirs=Sum("compared_reported_usd"))
    assert sums == {"ours": Decimal("0.009"), "theirs": Decimal("0.009")}


def test_calls_that_were_blocked_missed_their_counts_or_came_from_a_cache_are_restated_as_what_they_are():
    offering = make_priced_offering()
    send(
        make_event(status="cache_hit"),
        make_event(status="error"),
        make_event(status="blocked", uncached_input_tokens=0, output_tokens=0),
        make_event(status="usage_missing", counted=False, uncached_input_tokens=0, output_tokens=0),
    )

    expected, _ = previewed_and_restated(partial(change, offering, "output", "40"))

    assert expected.total.entries == 2, "the error and what the cache spared"
    sums = LedgerEntry.objects.aggregate(cost=Sum("cost_usd"), avoided=Sum("avoided_usd"))
    assert sums == {"cost": Decimal("0.009"), "avoided": Decimal("0.009")}
