"""Changes of the catalogue, their runs, previews and bookings all at once: nobody is thrown out, and sums add up."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from catalog.models import AmendmentKind, Price, Tier
from catalog.services import aliases, amendments, contracts, offerings, use_cases
from core.errors import Conflict
from core.models import Job
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    LONG_AGO,
    NOON,
    book,
    make_event,
    make_gateway,
    make_priced_offering,
    send,
    set_price,
    take,
)
from tests.usage.test_usage_restating import LATER, restate, total
from tests.usage.waiting import until_somebody_waits_for_a_lock
from usage.models import EntryKind, LedgerEntry
from usage.services import jobs
from usage.services.restating import running
from usage.services.restating.previewing import preview

pytestmark = pytest.mark.django_db(transaction=True)
WHO = {"by": "finance@example.com", "at": LATER}


def hanging_up(work: Callable[[], object]) -> object:
    try:
        return work()
    finally:
        connection.close()


def terms(offering, percent="10", **overrides):
    contracts.set_terms(
        name="frame", provider=offering.provider, discount_percent=Decimal(percent), approved_by="approver@example.com",
        **{"valid_from": LONG_AGO, **WHO, **overrides},
    )  # fmt: skip


CHANGES: dict[str, Callable[..., object]] = {
    "a price": lambda one: set_price(one, "output", "50", at=LATER),
    "a price of another meter": lambda one: set_price(one, "uncached_input", "50", at=LATER),
    "a contract": terms,
    "a tier": lambda one: offerings.set_tier(offering=one, tier=Tier.MIDDLE, since_at=NOON, **WHO),
    "a name": lambda one: aliases.assign(name="openai/latest", offering=one, since_at=NOON, **WHO),
    "a merge": lambda one: offerings.merge(
        offering=one, into=offerings.get("gpt-5.6@openai"), since_at=NOON, **WHO
    ),
    "a merge the other way round": lambda one: offerings.merge(
        offering=offerings.get("gpt-5.6@openai"), into=one, since_at=NOON, **WHO
    ),
    "a region": lambda one: offerings.change(offering=one, region="eu", **WHO),
}  # fmt: skip


@pytest.mark.parametrize("second", [name for name in CHANGES if name != "a price"])
def test_changes_that_need_the_same_rows_in_another_order_wait_and_never_deadlock(second):
    offering, other = make_priced_offering(), make_priced_offering("gpt-5.6@openai")
    aliases.assign(name="openai/latest", offering=other, by="tests", since_at=LONG_AGO)

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            CHANGES["a price"](offering)
            waiting = threads.submit(hanging_up, partial(CHANGES[second], offering))
            until_somebody_waits_for_a_lock("transactionid", "tuple", "advisory")
            for change in CHANGES.values():
                # A merge may be forbidden by another one; that it is not thrown out by the database is what counts.
                with suppress(Conflict), transaction.atomic():
                    change(offering)
            transaction.set_rollback(True)
        waiting.result(30)


def test_two_who_correct_the_same_price_at_once_are_both_kept_in_turn():
    offering = make_priced_offering()
    send(make_event())
    restate()
    start = threading.Barrier(4)

    def correct(usd: str) -> None:
        start.wait(10)
        set_price(offering, "output", usd, at=LATER)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(hanging_up, partial(correct, usd)) for usd in ("31", "32", "33", "34")]:
            done.result(30)
    restate(LATER + DAY)

    held = Price.objects.get(series__meter="output", recorded__upper_inf=True)
    assert held.usd_per_1m in (31, 32, 33, 34)
    assert Price.objects.filter(series__meter="output").count() == 5
    assert total() == Decimal("0.005") + held.usd_per_1m * 100 / 1_000_000
    assert_rollups_equal_ledger()


def test_merging_a_chain_from_both_ends_at_once_leads_every_call_to_one_end():
    a, b, c = (make_priced_offering(f"gpt-{name}@openai") for name in ("a", "b", "c"))
    send(*(make_event(model=f"gpt-{name}") for name in ("a", "b", "c")))
    start = threading.Barrier(2)

    def merge(one, into) -> bool:
        start.wait(10)
        try:
            offerings.merge(offering=one, into=into, since_at=NOON, **WHO)
        except aliases.NameIsTaken:
            return False  # the other was first, and what this one would lead to is merged itself
        return True

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(hanging_up, partial(merge, *pair)) for pair in ((a, b), (b, c))]
        merged = [one.result(30) for one in done]
    restate(LATER + DAY)
    send(*(make_event(model=f"gpt-{name}") for name in ("a", "b", "c")), received_at=LATER + DAY)

    booked = LedgerEntry.objects.values_list("offering__name").annotate(calls=Sum("requests")).order_by()
    calls = {name: calls for name, calls in booked if calls}
    assert merged[1]
    assert calls == ({"gpt-c@openai": 6} if merged[0] else {"gpt-a@openai": 2, "gpt-c@openai": 4})
    assert_rollups_equal_ledger()


def test_corrections_previews_merges_bookings_and_two_workers_at_once_end_with_right_sums(monkeypatch):
    monkeypatch.setattr(running, "BATCH", 20)
    offering = make_priced_offering()
    into = use_cases.create(name="support", by="tests", at=NOON)
    make_budget(unit="usd", amount=Decimal(1_000_000))
    make_gateway("edge")
    send(*(make_event(use_case=f"case-{number % 3}") for number in range(40)))
    restate()
    over, wrong = threading.Event(), []

    def repeatedly(work: Callable[[int], object], pause_s: float) -> None:
        try:
            for turn in itertools.count():
                if over.is_set():
                    return
                work(turn)
                over.wait(pause_s)
        except BaseException as error:
            wrong.append(error)
            over.set()
        finally:
            connection.close()

    def book_some(turn: int) -> None:
        take(*(make_event(use_case=f"case-{n % 4}", occurred_at=NOON - n * DAY) for n in range(5)))
        book()

    def correct(turn: int) -> None:
        set_price(offering, ("output", "uncached_input")[turn % 2], str(20 + turn % 7), at=LATER)

    def give_a_discount(turn: int) -> None:
        terms(offering, str(turn % 9) + ".3333")

    def merge_one(turn: int) -> None:
        one, other = use_cases.get("case-1"), into
        if turn % 2:
            one, other = other, one
        use_cases.merge(use_case=one, into=other, since_at=NOON - DAY, **WHO)

    def look(turn: int) -> None:
        preview(partial(set_price, offering, "output", str(60 + turn % 5), at=LATER), at=LATER)

    def work(turn: int) -> None:
        running.take_up(at=LATER)
        jobs.run_next(clock=lambda: LATER)

    crew = (book_some, correct, give_a_discount, merge_one, look, work, work)
    with ThreadPoolExecutor(len(crew)) as threads:
        for one in crew:
            threads.submit(repeatedly, one, 0.01 if one is work else 0.25)  # or the runs would take minutes
        over.wait(2.5)
        over.set()
    assert wrong == []
    restate(LATER + DAY)

    # One more correction that changes nothing of the book finds nothing to put right: all is priced as the book says.
    lines = LedgerEntry.objects.count()
    adjusted = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT).count()
    assert adjusted > 0
    amendments.note(kind=AmendmentKind.PRICES, summary="look again", offerings=[offering.pk], starts_at=LONG_AGO, **WHO)
    restate(LATER + 2 * DAY)
    assert LedgerEntry.objects.count() == lines
    assert not Job.objects.exclude(error="").exists()
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()
