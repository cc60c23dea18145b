"""The past is corrected in the open: previewed, adjusted or moved in batches, restated once, exact to the end."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection
from django.db.models import Sum

from catalog.models import Amendment, HourWindow, Tier
from catalog.services import aliases, contracts, offerings, teams, use_cases
from core.errors import Invalid
from core.models import AuditEntry, Job
from tests.factories import make_budget
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    LONG_AGO,
    NOON,
    make_event,
    make_gateway,
    make_offering,
    make_priced_offering,
    send,
    set_price,
)
from usage.models import Correction, EntryKind, LedgerEntry, Restatement, RollupDay
from usage.services import jobs, months
from usage.services.restating import running
from usage.services.restating.previewing import TakesTooLong, preview

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)
JUNE = date(2026, 6, 1)
IN_JULY = datetime(2026, 7, 3, 9, tzinfo=UTC)
WHO = {"by": "finance@example.com", "at": LATER}


def restate(at=LATER):
    """Do what the background worker does after an amendment."""
    running.take_up(at=at)
    while jobs.run_next(clock=lambda: at):
        pass
    failed = Job.objects.exclude(error="").first()
    assert failed is None, failed.error


def previewed_and_restated(change, at=LATER):
    """Make a change, and check that the run does what the preview said, and that every sum still adds up."""
    restate(at)  # what was amended before
    lines, restated = LedgerEntry.objects.count(), Restatement.objects.count()
    before = total()
    expected = preview(change, at=at)
    assert (LedgerEntry.objects.count(), total()) == (lines, before), "a preview leaves nothing behind"

    change()
    restate(at)

    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()
    done = Restatement.objects.order_by("-id").first()
    if expected.total.entries:
        assert done.before["entries"] == expected.total.entries
        assert Decimal(done.before["cost_usd"]) == expected.total.before_usd
        assert Decimal(done.after["cost_usd"]) == expected.total.after_usd
        assert done.before["unpriced_tokens"] == expected.total.unpriced_before
        assert done.after["unpriced_tokens"] == expected.total.unpriced_after
        months_said = {f"{one.month:%Y-%m}": str(one.effect.after_usd.normalize()) for one in expected.months}
        months_done = {key: str(Decimal(row["cost_usd"]).normalize()) for key, row in done.after["months"].items()}
        assert months_said == months_done
    else:
        assert Restatement.objects.count() == restated
    assert total() - before == expected.total.difference_usd
    return expected, done


def total(**filters):
    return LedgerEntry.objects.filter(**filters).aggregate(cost=Sum("cost_usd"))["cost"] or Decimal(0)


def kinds():
    return sorted(EntryKind(kind).name for kind in LedgerEntry.objects.values_list("kind", flat=True))


def new_price(offering, meter, usd, **overrides):
    return partial(set_price, offering, meter, usd, **{"at": LATER, "note": "the invoice says so", **overrides})


def test_a_corrected_price_is_adjusted_and_restated_once():
    offering = make_priced_offering()
    make_budget(unit="usd", amount=Decimal(1000))
    send(make_event(), make_event(occurred_at=NOON - DAY), make_event(occurred_at=NOON - 3 * DAY))

    expected, done = previewed_and_restated(new_price(offering, "output", "40", valid_from=NOON - 2 * DAY))

    assert kinds() == ["ADJUSTMENT", "ADJUSTMENT", "USAGE", "USAGE", "USAGE"]
    assert (expected.total.entries, expected.total.difference_usd) == (2, Decimal("0.002"))
    assert (done.by, done.reason, done.kind) == ("finance@example.com", "the invoice says so", "prices")
    adjusted = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT)
    assert {(one.requests, one.output_tokens, one.cost_usd) for one in adjusted} == {(0, 0, Decimal("0.001"))}
    assert {one.restatement_id for one in adjusted} == {done.pk}
    assert RollupDay.objects.aggregate(n=Sum("requests"))["n"] == 3


def test_a_second_correction_adjusts_from_where_the_first_one_left():
    offering = make_priced_offering()
    send(make_event())
    previewed_and_restated(new_price(offering, "output", "40"))

    expected, _ = previewed_and_restated(new_price(offering, "output", "20", at=LATER + DAY), at=LATER + DAY)

    assert (expected.total.before_usd, expected.total.after_usd) == (Decimal("0.009"), Decimal("0.007"))
    assert kinds() == ["ADJUSTMENT", "ADJUSTMENT", "USAGE"]


def test_the_preview_tells_events_that_cost_too_much_too_little_or_just_enough_apart():
    offering = make_priced_offering()
    restate()
    set_price(offering, "output", "20", valid_from=NOON - 3 * DAY, at=NOON)
    set_price(offering, "output", "40", valid_from=NOON - 2 * DAY, at=NOON)
    send(*(make_event(occurred_at=NOON - days * DAY) for days in (1, 3, 5)))

    expected, _ = previewed_and_restated(new_price(offering, "output", "30", valid_from=NOON - 6 * DAY))

    assert (expected.total.entries, expected.total.difference_usd) == (2, 0)
    again, _ = previewed_and_restated(
        new_price(offering, "output", "40", valid_from=NOON - 2 * DAY, at=LATER + DAY), at=LATER + DAY
    )
    assert (again.total.entries, again.total.difference_usd) == (1, Decimal("0.001"))


def test_a_correction_that_changes_no_cost_books_nothing_and_leaves_no_restatement():
    offering = make_priced_offering()
    send(make_event())

    previewed_and_restated(new_price(offering, "audio_input", "40"))

    assert kinds() == ["USAGE"]
    assert Correction.objects.count() == Amendment.objects.count()


def test_a_change_for_the_future_starts_nothing():
    offering = make_priced_offering()
    restate()
    before = Amendment.objects.count()

    set_price(offering, "output", "40", valid_from=LATER + DAY, at=LATER)

    assert (running.take_up(at=LATER), Amendment.objects.count()) == (0, before)


def test_an_amendment_is_taken_up_once():
    offering = make_priced_offering()
    restate()
    new_price(offering, "output", "40")()

    assert (running.take_up(at=LATER), running.take_up(at=LATER)) == (1, 0)


def test_what_waited_for_a_price_is_booked_anew_under_the_name_of_who_gave_it():
    offering = make_offering(uncached_input="5")
    send(make_event())

    expected, done = previewed_and_restated(new_price(offering, "output", "30"))

    assert kinds() == ["REVERSAL", "USAGE", "USAGE"]
    assert (expected.total.unpriced_before, expected.total.unpriced_after) == (1100, 0)
    assert total() == Decimal("0.008")
    assert done.by == "finance@example.com"


def test_a_closed_month_keeps_its_total_and_the_correction_is_booked_in_the_open_one():
    offering = make_priced_offering()
    send(make_event())
    months.close_month(label=JUNE, by="finance@example.com", at=IN_JULY)
    june = RollupDay.objects.filter(correction_of=0).aggregate(cost=Sum("cost_usd"))["cost"]

    expected, _ = previewed_and_restated(new_price(offering, "output", "40", at=IN_JULY), at=IN_JULY)

    (adjusted,) = LedgerEntry.objects.filter(kind=EntryKind.ADJUSTMENT)
    assert (adjusted.booked_at, adjusted.correction_of) == (IN_JULY, JUNE)
    assert RollupDay.objects.filter(correction_of=0).aggregate(cost=Sum("cost_usd"))["cost"] == june
    assert [(one.month, one.closed) for one in expected.months] == [(JUNE, True)]


def test_the_preview_knows_context_tiers_hours_service_tiers_and_cache_hits_apart():
    offering = make_priced_offering()
    night = HourWindow.objects.create(
        name="night", zone="Europe/Berlin", weekdays=[0, 1, 2, 3, 4], starts="22:00", ends="06:00"
    )
    set_price(offering, "uncached_input", "3", hour_window=night)
    set_price(offering, "uncached_input", "10", context_over=200_000)
    set_price(offering, "output", "45", context_over=200_000)
    for meter, usd in (("uncached_input", "2.5"), ("output", "15")):
        set_price(offering, meter, usd, service_tier="batch")
    restate()
    sizes, hours = (199_999, 200_000, 200_001), (0, 3, 5, 9, 15, 21)
    send(
        *(
            make_event(occurred_at=NOON - timedelta(days=day, hours=hour), uncached_input_tokens=size,
                       service_tier=tier, status=status, web_searches=searches)
            for day in (0, 2, 20)
            for hour in hours
            for size in sizes
            for tier, status, searches in (("", "ok", 0), ("batch", "ok", 0), ("", "cache_hit", 0), ("", "error", 1))
        )
    )  # fmt: skip

    expected, _ = previewed_and_restated(
        new_price(offering, "uncached_input", "4", hour_window=night, valid_from=NOON - 3 * DAY)
    )
    again, _ = previewed_and_restated(
        new_price(offering, "uncached_input", "11", context_over=200_000, at=LATER + DAY), at=LATER + DAY
    )

    assert expected.total.difference_usd > 0
    assert again.total.entries > 0


def test_a_contract_for_the_past_takes_its_discount_off_and_keeps_the_list_price_beside():
    offering = make_priced_offering()
    send(make_event(), make_event(occurred_at=NOON - 20 * DAY))

    previewed_and_restated(
        partial(
            contracts.set_terms, name="frame", provider=offering.provider, discount_percent=Decimal("12.5"),
            valid_from=NOON - DAY, approved_by="approver@example.com", note="signed", **WHO,
        )
    )  # fmt: skip

    sums = LedgerEntry.objects.aggregate(cost=Sum("cost_usd"), listed=Sum("list_cost_usd"))
    assert (sums["cost"], sums["listed"]) == (Decimal("0.015"), Decimal("0.016"))


def test_a_contract_of_a_gateway_concerns_only_what_it_reported():
    make_priced_offering()
    send(make_event(), gateway="azure-west")
    send(make_event())

    expected, _ = previewed_and_restated(
        partial(
            contracts.set_terms, name="west", gateway=make_gateway("azure-west"), discount_percent=Decimal(50),
            valid_from=NOON - DAY, approved_by="approver@example.com", **WHO,
        )
    )  # fmt: skip

    assert (expected.total.entries, expected.total.difference_usd) == (1, Decimal("-0.004"))


def test_an_unknown_name_is_assigned_and_what_waited_is_rated():
    known = make_priced_offering()
    send(make_event(model="GPT 5.5 Turbo"), make_event(model="GPT 5.5 Turbo", occurred_at=NOON - 9 * DAY))
    unknown = offerings.get("gpt-5.5-turbo@openai")

    expected, done = previewed_and_restated(
        partial(offerings.merge, offering=unknown, into=known, since_at=NOON - DAY, reason="the same", **WHO)
    )
    send(make_event(model="GPT 5.5 Turbo", event_id="later"), received_at=LATER)

    assert (expected.total.entries, expected.total.after_usd) == (1, Decimal("0.008"))
    assert done.subject["summary"] == "gpt-5.5-turbo@openai means gpt-5.5@openai"
    assert LedgerEntry.objects.get(event_id="later").offering_id == known.pk
    moved = LedgerEntry.objects.get(kind=EntryKind.USAGE, offering=known, restatement_id=done.pk)
    assert (moved.tier, moved.reported_model) == (Tier.FRONTIER, "openai/GPT 5.5 Turbo")


def test_a_name_that_moves_on_takes_along_only_what_was_reported_under_it():
    old, new = make_priced_offering(), make_offering("gpt-5.6@openai", uncached_input="4", output="20")
    aliases.assign(name="openai/latest", offering=old, by="tests", since_at=LONG_AGO)
    send(make_event(model="latest"), make_event(model="latest", occurred_at=NOON - 9 * DAY), make_event())

    expected, _ = previewed_and_restated(
        partial(aliases.assign, name="openai/latest", offering=new, since_at=NOON - DAY, **WHO)
    )

    assert (expected.total.entries, total(offering=new)) == (1, Decimal("0.006"))


def test_a_tier_for_the_past_moves_frontier_tokens_of_open_months_only():
    offering = make_priced_offering()
    make_budget(unit="frontier_tokens", amount=Decimal(1_000_000), scope={"use_case": ["support-routing"]})
    send(make_event(), make_event(occurred_at=datetime(2026, 5, 30, 12, tzinfo=UTC)))
    months.close_month(label=date(2026, 5, 1), by="finance@example.com", at=LATER)

    expected, _ = previewed_and_restated(
        partial(offerings.set_tier, offering=offering, tier=Tier.MIDDLE, since_at=NOON - 30 * DAY, **WHO)
    )

    assert (expected.total.entries, expected.total.difference_usd) == (1, 0)
    tiers = RollupDay.objects.values_list("tier").annotate(n=Sum("requests")).order_by("tier")
    assert [row for row in tiers if row[1]] == [(Tier.FRONTIER, 1), (Tier.MIDDLE, 1)]


def test_use_cases_are_merged_from_a_day_on_with_their_adjustments_and_their_team():
    offering = make_priced_offering()
    team = teams.create(name="support", by="tests", at=NOON)
    into = use_cases.create(name="support", by="tests", at=NOON, team=team, team_since=LONG_AGO)
    send(make_event(), make_event(occurred_at=NOON - 9 * DAY), make_event(team="others"))
    previewed_and_restated(new_price(offering, "output", "40"))

    expected, _ = previewed_and_restated(
        partial(
            use_cases.merge, use_case=use_cases.get("support-routing"), into=into, since_at=NOON - DAY,
            by="finance@example.com", at=LATER + DAY,
        ),
        at=LATER + DAY,
    )  # fmt: skip
    send(make_event(event_id="later"), received_at=LATER + DAY)

    assert (expected.total.entries, expected.total.difference_usd) == (2, 0)
    assert total(use_case=into) == 3 * Decimal("0.009")
    assert LedgerEntry.objects.get(event_id="later").use_case_id == into.pk
    rows = RollupDay.objects.filter(use_case=into).values_list("team__name").annotate(n=Sum("requests"))
    assert dict(rows) == {"support": 2, "others": 1}


def test_teams_are_merged_and_a_use_case_is_given_to_a_team_for_the_past():
    make_priced_offering()
    send(make_event(team="Suport"), make_event(event_id="none"))
    support = teams.create(name="support", by="tests", at=NOON)

    previewed_and_restated(partial(teams.merge, team=teams.get("suport"), into=support, since_at=NOON - DAY, **WHO))
    previewed_and_restated(
        partial(
            use_cases.assign_team, use_case=use_cases.get("support-routing"), team=support,
            since_at=NOON - DAY, **WHO,
        )
    )  # fmt: skip

    rows = RollupDay.objects.values_list("team__name").annotate(n=Sum("requests"))
    assert {row for row in rows if row[1]} == {("support", 2)}


def test_a_preview_that_takes_too_long_is_broken_off_and_changes_nothing():
    def sleep():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '50ms'")
            cursor.execute("SELECT pg_sleep(10)")

    with pytest.raises(TakesTooLong, match="could not be summed within 20 seconds"):
        preview(sleep, at=LATER)

    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_a_refused_change_is_refused_by_its_preview_with_the_same_words():
    offering = make_priced_offering()

    with pytest.raises(Invalid, match="is the unit right"):
        preview(new_price(offering, "output", "300000"), at=LATER)


def test_the_audit_trail_names_who_amended_and_why():
    offering = make_priced_offering()
    send(make_event())

    previewed_and_restated(new_price(offering, "output", "40"))

    written = AuditEntry.objects.filter(table="catalog_price").latest("id")
    assert (written.actor, written.reason) == ("finance@example.com", "the invoice says so")
