"""What switches cost or saved, from events that were really booked, worked out by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from catalog.models import Offering, Tier
from routing.models import Switch
from routing.selectors import switch_costs, switches
from routing.selectors.switch_costs import SwitchCost
from routing.services import switches as service
from tests.factories import NOON
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version
from tests.usage import making
from usage.models import DroppedPartition
from usage.selectors import world
from usage.services import jobs
from usage.services.restating import running

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
LATER = NOON + timedelta(hours=3)


@pytest.fixture(autouse=True)
def _house() -> None:
    """Have Opus at 5 and 25 USD per million, Gemini at 2 and 12, DeepSeek at 0.2 and 0.4, and rules in force."""
    for name, tier, taken, given in (
        (OPUS, Tier.FRONTIER, "5", "25"), (MIDDLE, Tier.MIDDLE, "2", "12"), (CHEAP, Tier.ECONOMY, "0.2", "0.4"),
    ):  # fmt: skip
        making.make_offering(name, tier=tier, uncached_input=taken, output=given)
    make_version()


def turn(*, at: datetime = NOON, minutes: int = 30, **given: Any) -> Switch:
    return service.turn(
        **{"kind": "provider", "name": "anthropic", "off": True, "seconds": minutes * 60, "reason": "an outage",
           "by": "lead@example.com", "at": at, **given}
    )  # fmt: skip


def went(offering: str = MIDDLE, *, minute: float = 5, **overrides: Any) -> Any:
    """Make a call of 1000 tokens in and 100 out that a switch sent elsewhere."""
    model, provider = offering.split("@")
    return making.make_event(
        **{"occurred_at": NOON + MINUTE * minute, "model": model, "provider": provider, "use_case": "code-review",
           "rules_version": 1, "rule": "code-high", "route_reason": "switched_off", **overrides}
    )  # fmt: skip


def book(*events: Any, **taking: Any) -> None:
    making.send(*events, received_at=max(event.occurred_at for event in events) + MINUTE, **taking)


def cost(switch: Switch, *, at: datetime = LATER) -> SwitchCost:
    row = switches.one(pk=switch.pk)
    assert row is not None
    return switch_costs.of([row], at=at)[switch.pk]


def test_what_went_to_a_cheaper_offering_saved_what_the_first_target_would_have_cost_more():
    switch = turn()
    book(went(), went(), went(CHEAP))

    found = cost(switch)

    # Gemini: 1000 x 2 + 100 x 12 = 3200, twice; DeepSeek: 200 + 40 = 240; Opus thrice: 3 x (5000 + 2500) millionths.
    assert found.total.requests == found.total.compared_requests == 3
    assert found.total.tokens == 3300
    assert found.total.cost_usd == found.total.compared_usd == Decimal("0.006640")
    assert found.total.instead_usd == Decimal("0.022500")
    assert found.total.difference_usd == Decimal("-0.015860")
    assert [(move.rule, move.instead_of, move.offering, move.sums.requests) for move in found.moves] == [
        ("code-high", OPUS, MIDDLE, 2), ("code-high", OPUS, CHEAP, 1),
    ]  # fmt: skip
    assert (found.so_far, found.kept) == (False, True)


def test_what_no_rule_matched_would_have_gone_to_the_default_and_may_have_cost_more():
    switch = turn(kind="offering", name=MIDDLE)
    book(went(OPUS, rule=""))

    found = cost(switch)

    assert [move.instead_of for move in found.moves] == [MIDDLE]
    assert found.total.difference_usd == Decimal("0.007500") - Decimal("0.003200")


def test_only_what_happened_while_it_held_counts_to_the_second():
    switch = turn()
    turn(at=NOON + 20 * MINUTE, off=False, seconds=0)
    book(*(went(minute=minute) for minute in (-0.1, 0, 19.9, 20, 25)))

    found = cost(switch)

    assert found.total.requests == 2


def test_while_it_holds_it_is_so_far():
    switch = turn()
    book(went(minute=1), went(minute=9))

    found = cost(switch, at=NOON + 5 * MINUTE)

    assert (found.so_far, found.total.requests) == (True, 1)


def test_other_reasons_answers_from_a_cache_and_blocked_requests_are_none_of_it():
    switch = turn()
    book(
        went(route_reason="rule"), went(route_reason="fallback"), went(status="blocked"), went(status="cache_hit"),
    )  # fmt: skip

    assert cost(switch).total.requests == 0
    assert cost(switch).total.difference_usd is None


def test_an_offering_without_a_price_is_not_free_on_either_side():
    making.make_offering("mystery@nowhere", tier=None)
    switch = turn()
    book(went(), went("mystery@nowhere"), went("mystery@nowhere"))

    found = cost(switch)

    assert (found.total.requests, found.total.unpriced_requests, found.total.compared_requests) == (3, 2, 1)
    assert found.total.cost_usd == Decimal("0.003200")
    assert found.total.difference_usd == Decimal("0.003200") - Decimal("0.007500")


def test_what_the_first_target_has_no_price_for_is_left_out_of_the_comparison():
    making.set_price(Offering.objects.get(name=MIDDLE), "cache_read", "1")
    switch = turn()
    book(went(), went(cache_read_tokens=500))

    found = cost(switch)

    assert (found.total.requests, found.total.unpriced_requests, found.total.compared_requests) == (2, 0, 1)
    assert found.total.cost_usd == Decimal("0.003200") + Decimal("0.003700")
    assert (found.total.compared_usd, found.total.instead_usd) == (Decimal("0.003200"), Decimal("0.007500"))


def test_calls_whose_tokens_nobody_counted_are_counted_as_requests_alone():
    switch = turn()
    book(went(), went(status="usage_missing", counted=False, uncached_input_tokens=0, output_tokens=0))

    found = cost(switch)

    assert (found.total.requests, found.total.unpriced_requests, found.total.compared_requests) == (2, 1, 1)
    assert found.total.difference_usd == Decimal("-0.004300")


@pytest.mark.parametrize("given", [{"rules_version": 0}, {"rules_version": 9}, {"rule": "nobody-s"}])
def test_where_the_rule_is_not_known_nothing_is_compared(given):
    switch = turn()
    book(went(**given))

    found = cost(switch)

    assert (found.total.requests, found.total.cost_usd) == (1, Decimal("0.003200"))
    assert (found.total.compared_requests, found.total.difference_usd) == (0, None)
    assert [move.instead_of for move in found.moves] == [""]


def test_large_requests_are_priced_by_their_size_each():
    opus = Offering.objects.get(name=OPUS)
    making.set_price(opus, "uncached_input", "10", context_over=200_000)
    switch = turn()
    book(went(uncached_input_tokens=100_000, output_tokens=0), went(uncached_input_tokens=300_000, output_tokens=0))

    found = cost(switch)

    assert found.total.cost_usd == Decimal("0.8")
    assert found.total.instead_usd == Decimal("0.5") + Decimal("3")


def test_the_price_is_the_one_of_the_moment_as_it_is_known_now():
    opus = Offering.objects.get(name=OPUS)
    making.set_price(opus, "uncached_input", "6", valid_from=NOON + 10 * MINUTE)
    switch = turn()
    book(went(minute=9, output_tokens=0), went(minute=11, output_tokens=0))

    before = cost(switch)
    making.forget_everything()
    making.set_price(opus, "uncached_input", "7", valid_from=NOON + 11 * MINUTE, at=LATER)
    after = cost(switch)

    assert before.total.instead_usd == Decimal("0.005") + Decimal("0.006")
    assert after.total.instead_usd == Decimal("0.005") + Decimal("0.007")


def test_what_was_paid_is_what_it_is_corrected_to():
    switch = turn()
    book(went(), went())
    before = cost(switch)

    making.set_price(Offering.objects.get(name=MIDDLE), "output", "22", at=LATER)
    running.take_up(at=LATER)
    while jobs.run_next(clock=lambda: LATER):
        pass
    after = cost(switch)

    assert (before.total.cost_usd, after.total.cost_usd) == (Decimal("0.006400"), Decimal("0.008400"))
    assert (after.total.requests, after.total.compared_requests) == (2, 2)
    assert after.total.difference_usd == Decimal("0.008400") - Decimal("0.015000")


def test_of_several_switches_the_one_on_the_offering_counts_before_the_one_on_its_provider():
    provider = turn(minutes=60)
    offering = turn(kind="offering", name=OPUS, at=NOON + 10 * MINUTE, minutes=10)
    book(went(minute=5), went(minute=15), went(minute=16), went(minute=25))

    both = switch_costs.of([row for row in (switches.one(pk=p.pk) for p in (provider, offering)) if row], at=LATER)

    assert {pk: found.total.requests for pk, found in both.items()} == {provider.pk: 2, offering.pk: 2}
    assert cost(provider).total.requests == 2


def test_an_offering_that_is_let_through_was_in_nobody_s_way():
    switch = turn(minutes=60)
    turn(kind="offering", name=OPUS, off=False, minutes=10)
    book(went(minute=5), went(minute=15))

    assert cost(switch).total.requests == 1


def test_of_a_split_the_first_target_that_the_switch_covers_stands_for_it():
    split = make_rule(
        targets=[{"offering": MIDDLE, "weight": 5000}, {"offering": OPUS, "weight": 5000}], fallbacks=[CHEAP]
    )
    make_version(make_content(split))
    switch = turn()
    book(went(rules_version=2))

    assert [move.instead_of for move in cost(switch).moves] == [OPUS]


def test_what_the_ledger_does_not_keep_any_more_is_not_known():
    switch = turn()
    DroppedPartition.objects.create(
        table="ledger", month=date(2026, 6, 1), rows=1, dropped_at=LATER, by="tests", keep_ledger_months=1
    )

    assert not cost(switch).kept


def test_many_words_cost_the_same_few_queries_as_one(django_assert_num_queries):
    turn()
    book(went())
    cost(Switch.objects.get())
    one = switches.newest(limit=25)
    with django_assert_num_queries(6):
        switch_costs.of(one, at=LATER)
    for number in range(1, 12):
        turn(at=NOON + number * MINUTE, minutes=1)
        book(went(minute=number + 0.5))
    many = switches.newest(limit=25)

    with django_assert_num_queries(6):
        found = switch_costs.of(many, at=LATER)

    assert sum(cost.total.requests for cost in found.values()) == 12


def test_an_offering_that_another_process_met_a_moment_ago_has_its_name_all_the_same():
    switch = turn()
    book(went("brand-new@nowhere"))
    # As it is where the events were booked elsewhere: a book that was read before knows nothing of it.
    world.current().book.offerings.pop(Offering.objects.get(name="brand-new@nowhere").pk)

    assert [move.offering for move in cost(switch).moves] == ["brand-new@nowhere"]
