"""Corrections that would show any rounding, and entries that are no ordinary calls."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import partial

import pytest
from django.db.models import Sum

from budgets.models import Counter, Crossing
from catalog.services import contracts
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    LONG_AGO,
    NOON,
    SECOND,
    make_event,
    make_gateway,
    make_offering,
    make_priced_offering,
    send,
    set_price,
)
from tests.usage.test_usage_restating import LATER, kinds, previewed_and_restated, restate, total
from usage.models import EntryKind, LedgerEntry, Restatement, Unpriced

pytestmark = pytest.mark.django_db
WHO = {"by": "finance@example.com", "approved_by": "approver@example.com"}
ATTO = Decimal("1e-18")


def change(offering, meter, usd, at=LATER, **overrides):
    return partial(set_price, offering, meter, usd, at=at, note="the invoice says so", **overrides)


def discount(offering, percent, at=LATER, **overrides):
    return partial(
        contracts.set_terms, name="frame", provider=offering.provider, discount_percent=Decimal(percent), at=at,
        **{"valid_from": LONG_AGO, **WHO, **overrides},
    )  # fmt: skip


def now_costs() -> dict[str, Decimal]:
    """Return what each event costs by the ledger, whatever was booked for it."""
    rows = LedgerEntry.objects.values_list("event_id").annotate(cost=Sum("cost_usd")).order_by()
    return {event: cost for event, cost in rows if event}


def by_hand(tokens: int, usd: str, percent: str = "0") -> Decimal:
    """Cost tokens at a price per million: its discount comes off the price of one, to the last place of the ledger."""
    with localcontext() as context:
        context.prec = 60
        off = Decimal(usd) * (100 - Decimal(percent)) / 100 / 1_000_000
        return tokens * off.quantize(ATTO, rounding=ROUND_HALF_EVEN)


COUNTS = (1, 3, 7, 999_999_999, 2**33, 2**33 - 1)


def test_ten_places_of_a_price_and_huge_counts_are_costed_to_the_last_place():
    offering = make_offering(uncached_input="0.0000000001", output="0.3333333333")
    send(*(make_event(event_id=f"e{n}", uncached_input_tokens=n, output_tokens=n) for n in COUNTS))

    previewed_and_restated(change(offering, "output", "4999.9999999999"))

    expected = {f"e{n}": by_hand(n, "0.0000000001") + by_hand(n, "4999.9999999999") for n in COUNTS}
    assert now_costs() == expected
    assert total() == sum(expected.values())


@pytest.mark.parametrize("percent", ["33.3333", "0.0001", "99.9999", "66.6667"])
def test_a_discount_with_four_places_is_taken_off_to_the_last_place_of_the_ledger(percent):
    offering = make_offering(uncached_input="0.0000000003", output="0.0000000007")
    send(*(make_event(event_id=f"e{n}", uncached_input_tokens=n, output_tokens=0) for n in COUNTS))

    previewed_and_restated(discount(offering, percent))

    assert now_costs() == {f"e{n}": by_hand(n, "0.0000000003", percent) for n in COUNTS}
    listed = LedgerEntry.objects.aggregate(listed=Sum("list_cost_usd"))["listed"]
    assert listed == sum(by_hand(n, "0.0000000003") for n in COUNTS)


def test_twenty_corrections_back_and_forth_end_at_exactly_the_first_total():
    offering = make_offering(uncached_input="0.1234567891", output="33.3333333333")
    make_budget(unit="usd", amount=Decimal(1_000_000))
    send(*(make_event(uncached_input_tokens=n, output_tokens=n % 7) for n in (1, 10, 333, 99_999_999)))
    before, at = total(), LATER

    for turn in range(20):
        at += DAY
        if turn % 4 < 2:
            discount(offering, "33.3333" if turn % 2 == 0 else "0", at=at)()
        else:
            change(offering, "output", "0.0000000001" if turn % 2 == 0 else "33.3333333333", at=at)()
        restate(at)

    assert total() == before
    assert Restatement.objects.count() == 20
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


def test_a_price_of_nothing_is_free_and_no_price_is_unpriced_also_when_corrected():
    offering = make_priced_offering()
    send(make_event())

    free, _ = previewed_and_restated(change(offering, "output", "0"))
    discounted, _ = previewed_and_restated(discount(offering, "100", at=LATER + DAY), at=LATER + DAY)

    assert (free.total.after_usd, free.total.unpriced_after) == (Decimal("0.005"), 0)
    assert (discounted.total.after_usd, discounted.total.unpriced_after) == (0, 0)
    sums = LedgerEntry.objects.aggregate(cost=Sum("cost_usd"), listed=Sum("list_cost_usd"))
    assert (sums["cost"], sums["listed"]) == (0, Decimal("0.005"))
    assert not LedgerEntry.objects.exclude(unpriced=Unpriced.PRICED).exists()


@pytest.mark.parametrize("discounted", [False, True])
def test_calls_that_are_no_ordinary_ones_are_corrected_as_what_they_are(discounted):
    offering = make_priced_offering()
    send(
        make_event(event_id="hit", status="cache_hit"),
        make_event(event_id="error", status="error"),
        make_event(event_id="ok"),
        make_event(event_id="nothing", uncached_input_tokens=0, output_tokens=0, status="error"),
        make_event(event_id="missing", status="usage_missing", uncached_input_tokens=0, output_tokens=0),
    )

    if discounted:
        previewed_and_restated(discount(offering, "50"))
    else:
        previewed_and_restated(change(offering, "output", "80"))

    cost = Decimal("0.004") if discounted else Decimal("0.013")
    costs = {"ok": cost, "error": cost, "hit": 0, "nothing": 0}
    assert {event: one for event, one in now_costs().items() if event in costs} == costs
    avoided = LedgerEntry.objects.filter(event_id="hit").aggregate(sum=Sum("avoided_usd"))["sum"]
    assert avoided == cost
    assert_rollups_equal_ledger()


def test_a_budget_s_past_and_present_periods_move_and_tell_each_crossing_once():
    offering = make_priced_offering()
    make_budget(unit="usd", amount=Decimal("0.010"))
    send(make_event(), make_event(occurred_at=NOON - 30 * DAY), received_at=NOON + SECOND)
    before = Crossing.objects.count()

    for turn, usd in enumerate(("60", "30", "60", "30", "60")):
        at = LATER + turn * DAY
        change(offering, "output", usd, at=at)()
        restate(at)

    assert {counter.used for counter in Counter.objects.all()} == {Decimal("0.011")}
    crossings = Crossing.objects.values_list("period_start", "basis", "threshold")
    assert len(crossings) == len(set(crossings)) > before
    assert_counters_equal_ledger()


def test_a_gateway_s_contract_of_all_taken_off_and_put_back_leaves_other_gateways_alone():
    offering = make_priced_offering()
    send(make_event(event_id="edge"))
    send(make_event(event_id="west"), gateway="west")
    west = partial(contracts.set_terms, name="west", gateway=make_gateway("west"), valid_from=LONG_AGO, **WHO)

    previewed_and_restated(partial(west, discount_percent=Decimal(100), at=LATER))
    gone = now_costs()
    previewed_and_restated(partial(contracts.end, name="west", ends_at=LONG_AGO, at=LATER + DAY, **WHO), at=LATER + DAY)

    assert gone == {"edge": Decimal("0.008"), "west": 0}
    assert now_costs() == dict.fromkeys(("edge", "west"), Decimal("0.008"))
    assert kinds().count("ADJUSTMENT") == 2
    assert LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT, requests=0).count() == 2
    assert offering.name == "gpt-5.5@openai"
