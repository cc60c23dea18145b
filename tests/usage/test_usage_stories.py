"""One event's story: every line that was ever booked of it, and a sum that is the ledger's to the last decimal."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from budgets.models import Crossing
from catalog.services import contracts, use_cases
from tests.factories import make_budget, make_team, make_use_case
from tests.usage import making
from tests.usage.making import DAY, LONG_AGO, NOON, SECOND, make_event, make_offering, make_priced_offering, send
from usage.models import EventKey, LedgerEntry, Source
from usage.rules.postings import USAGE
from usage.selectors import moved, stories, story_lines
from usage.selectors.lines import Place
from usage.selectors.story_facts import Story, Unknown
from usage.services import jobs, months
from usage.services.once import digest_of
from usage.services.restating import running

pytestmark = pytest.mark.django_db

IN_JULY = NOON.replace(month=7, day=3)
MORE = {"by": "ann@example.com", "approved_by": "bob@example.com"}


def restate(at: Any) -> None:
    running.take_up(at=at)
    while jobs.run_next(clock=lambda: at):
        pass


def story(event_id: str, *, place: Place | None = None, gateway: str = "edge") -> Story:
    source = Source.objects.get(gateway__name=gateway)
    found = stories.one(source_id=source.pk, digest=digest_of(event_id), place=place)
    assert isinstance(found, Story)
    return found


def in_ledger(**only: Any) -> tuple[Decimal, int]:
    costs = list(LedgerEntry.objects.filter(**only).values_list("cost_usd", flat=True))
    return sum((cost or Decimal(0) for cost in costs), Decimal(0)), len(costs)


def place_of(entry: LedgerEntry) -> Place:
    return Place(booked_at=entry.booked_at, use_case_id=entry.use_case_id, id=entry.id)


def test_an_event_corrected_twice_and_moved_tells_all_its_lines_and_its_sum_is_the_ledgers():
    offering = make_priced_offering()
    send(make_event(event_id="one", uncached_input_tokens=1237, cache_read_tokens=411, output_tokens=173), make_event())
    restate(NOON + DAY)
    making.set_price(offering, "output", "31.7300000001", at=NOON + DAY, note="the invoice says so", **MORE)
    restate(NOON + DAY)
    making.set_price(offering, "uncached_input", "4.9999999999", at=NOON + 2 * DAY, note="and this", **MORE)
    restate(NOON + 2 * DAY)
    into = use_cases.create(name="support", by="tests", at=NOON)
    use_cases.merge(
        use_case=use_cases.get("support-routing"), into=into, since_at=NOON - DAY, by="ann@example.com",
        at=NOON + 3 * DAY,
    )  # fmt: skip
    restate(NOON + 3 * DAY)

    told = story("one")

    assert [one.row.kind for one in told.lines] == ["usage", "adjustment", "adjustment", "reversal", "usage"]
    assert (told.cost_usd, len(told.lines)) == in_ledger(event_id="one")
    assert told.lines[-1].running_usd == told.cost_usd
    assert told.lines[3].running_usd == 0
    assert (told.first.row.use_case, told.entry.row.use_case) == ("support-routing", "support")
    assert [one.restatement.reason for one in told.lines[1:3]] == ["the invoice says so", "and this"]
    assert {one.restatement.by for one in told.lines[1:3]} == {"ann@example.com"}
    assert told.worked_out.total_usd == told.cost_usd
    assert (
        told.worked_out.total_usd
        == (1237 * Decimal("4.9999999999") + 411 * Decimal("0.5") + 173 * Decimal("31.7300000001")) / 1_000_000
    )
    output = told.prices[told.worked_out.parts[-1].price_id]
    assert (output.entered_by, output.approved_by, output.note) == (*MORE.values(), "the invoice says so")


def test_a_line_booked_late_for_a_closed_month_is_found_and_its_adjustment_too():
    offering = make_priced_offering()
    send(make_event(event_id="early"))
    months.close_month(label=date(2026, 6, 1), by="finance@example.com", at=IN_JULY)
    send(make_event(event_id="late"), received_at=IN_JULY)
    restate(IN_JULY)
    making.set_price(offering, "output", "40", at=IN_JULY + DAY, **MORE)
    restate(IN_JULY + DAY)

    for event_id in ("early", "late"):
        told = story(event_id)

        assert [one.row.kind for one in told.lines] == ["usage", "adjustment"]
        assert (told.cost_usd, 2) == in_ledger(event_id=event_id)
        assert told.worked_out.total_usd == told.cost_usd
        assert told.lines[1].row.correction_of == date(2026, 6, 1)


def test_a_contract_s_discount_is_worked_out_to_the_last_place_beside_the_list():
    offering = make_offering(uncached_input="5", output="30.0000000001")
    terms = {"valid_from": LONG_AGO, "at": NOON, "by": "ann@example.com", "approved_by": "bob@example.com"}
    contracts.set_terms(name="big", offering=offering, discount_percent=Decimal("13.37"), **terms)
    restate(NOON)
    send(make_event(event_id="one", uncached_input_tokens=999, output_tokens=77))

    told = story("one")

    assert (told.cost_usd, 1) == in_ledger(event_id="one")
    assert told.worked_out.total_usd == told.cost_usd
    assert told.worked_out.list_usd == LedgerEntry.objects.get(event_id="one").list_cost_usd
    assert told.worked_out.total_usd < told.worked_out.list_usd
    assert {part.discount_percent for part in told.worked_out.parts} == {Decimal("13.37")}
    assert (told.worked_out.contract.name, told.worked_out.contract.approved_by) == ("big", "bob@example.com")


def test_a_cache_hit_costs_nothing_and_its_parts_say_what_was_avoided():
    make_priced_offering()
    send(make_event(event_id="hit", status="cache_hit"))

    told = story("hit")

    assert told.cost_usd == 0
    assert told.worked_out.total_usd == LedgerEntry.objects.get().avoided_usd > 0


def test_what_has_no_price_has_no_cost_and_no_sum():
    make_offering()
    send(make_event(event_id="one"))

    told = story("one")

    assert (told.cost_usd, told.worked_out, told.entry.row.unpriced) == (None, None, "no price for the offering")


def test_an_event_whose_key_is_pruned_is_found_by_its_place_and_by_use_case_and_day():
    make_priced_offering()
    send(make_event(event_id="old"), make_event(event_id="other"))
    entry = LedgerEntry.objects.get(event_id="old")
    EventKey.objects.all().delete()
    digest = digest_of("old")

    without = stories.one(source_id=entry.source_id, digest=digest)
    by_day = story_lines.find(
        digest=digest, use_case_id=entry.use_case_id, starts_at=NOON - DAY, ends_at=NOON + SECOND
    )  # fmt: skip
    wrong_day = story_lines.find(digest=digest, use_case_id=entry.use_case_id, starts_at=NOON - DAY, ends_at=NOON)

    assert isinstance(without, Unknown)
    assert story("old", place=place_of(entry)).first.posting.id == entry.id
    assert [row.place for row in by_day] == [place_of(entry)]
    assert wrong_day == []
    other = LedgerEntry.objects.get(event_id="other")
    assert isinstance(stories.one(source_id=other.source_id + 1, digest=digest, place=place_of(entry)), Unknown)


def test_attempts_at_one_call_are_told_with_what_they_cost_after_corrections_and_nobody_else_s():
    offering = make_priced_offering()
    group = {"call_group": "c-7"}
    send(
        make_event(event_id="first", status="error", output_tokens=0, **group),
        make_event(event_id="second", occurred_at=NOON + SECOND, fallback_index=1, **group),
        make_event(event_id="another", call_group="c-8"),
        make_event(event_id="alone"),
        make_event(event_id="long after", occurred_at=NOON + timedelta(hours=1), **group),
        received_at=NOON + timedelta(hours=2),
    )
    send(make_event(event_id="foreign", **group), gateway="other")
    restate(NOON + DAY)
    making.set_price(offering, "uncached_input", "10", at=NOON + DAY, **MORE)
    restate(NOON + DAY)

    told = story("second")

    assert [(one.row.event_id, one.cost_usd) for one in told.attempts] == [("first", Decimal("0.01"))]
    assert [one.row.event_id for one in story("first").attempts] == ["second"]
    assert story("alone").attempts == []


def test_conflicts_shadow_entries_and_what_took_an_event_s_place_are_told():
    make_priced_offering()
    send(make_event(event_id="one"))
    send(make_event(event_id="one", output_tokens=999))
    send(make_event(event_id="shadow"), format="otlp")

    told, shadow = story("one"), story("shadow")

    assert [one.reason for one in told.held] == ["conflict"]
    assert told.summed
    assert (shadow.summed, shadow.first.row.event_id) == (False, "shadow")


def test_an_event_whose_place_another_took_says_so_and_an_event_that_never_came_does_too():
    make_priced_offering()
    send(make_event(event_id="draft"))
    send(make_event(event_id="final", replaces="draft", output_tokens=200))
    send(make_event(event_id="known", replaces="never came"))

    replaced, final = story("draft"), story("final")
    source = Source.objects.get()
    never = stories.one(source_id=source.pk, digest=digest_of("never came"))

    assert [one.row.kind for one in replaced.lines] == ["usage", "reversal"]
    assert (replaced.entry, replaced.cost_usd) == (None, 0)
    assert replaced.other == (source.pk, digest_of("final").hex())
    assert (final.other, final.cost_usd) == (None, Decimal("0.011"))
    assert isinstance(never, Unknown)
    assert (never.never_came, never.other) == (True, (source.pk, digest_of("known").hex()))


def test_an_id_that_two_sources_have_is_named_by_both_and_each_has_its_own_lines():
    make_priced_offering()
    send(make_event(event_id="same"))
    send(make_event(event_id="same", output_tokens=5), gateway="other")

    both = stories.named(digest=digest_of("same"))

    assert [one.source.gateway for one in both] == ["edge", "other"]
    assert [one.source.gateway for one in stories.named(digest=digest_of("same"), gateway="other")] == ["other"]
    assert story("same", gateway="other").lines[0].row.output_tokens == 5
    assert stories.named(digest=digest_of("nobody's")) == []


def test_the_budgets_that_count_an_event_say_what_it_is_in_their_unit_and_what_was_crossed():
    make_priced_offering()
    make_use_case("another")
    make_team("support")
    counted = make_budget(unit="tokens", amount=Decimal(1000), scope={"team": ["support"]}, name="tokens of support")
    make_budget(unit="usd", amount=Decimal(1000), name="dollars")
    make_budget(scope={"use_case": ["another"]}, name="not this one")
    send(make_event(event_id="one", team="support"))
    told = story("one")

    found = moved.of(row=told.entry.row, cost_usd=told.cost_usd)

    assert [(one.name, one.by, one.used) for one in found] == [
        ("dollars", Decimal("0.008"), Decimal("0.008")),
        ("tokens of support", Decimal(1100), Decimal(1100)),
    ]
    crossings = Crossing.objects.filter(budget=counted).order_by("id")
    assert {one.threshold for one in found[1].crossings} == {one.threshold for one in crossings} != set()


def test_a_story_takes_so_many_queries_whatever_the_ledger_holds():
    offering = make_priced_offering()
    send(make_event(event_id="one", call_group="c-1", context={"task": "code"}), *(make_event() for _ in range(30)))
    making.set_price(offering, "output", "40", at=NOON + DAY, **MORE)
    restate(NOON + DAY)

    with CaptureQueriesContext(connection) as queries:
        told = story("one")

    assert told.first.posting.kind == USAGE
    assert len(queries) <= 19, "\n".join(one["sql"][:100] for one in queries.captured_queries)
