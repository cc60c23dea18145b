"""What waits for a person is found with its reason, and found no more when somebody has seen to it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from catalog.models import Tier
from catalog.services import offerings, teams, use_cases
from tests.usage.making import DAY, LONG_AGO, NOON, make_event, make_offering, make_priced_offering, send, set_price
from tests.usage.test_usage_rollups import set_organisation
from usage.models import DroppedPartition, Unpriced
from usage.selectors import attention
from usage.selectors.attention import Reason
from usage.services import jobs
from usage.services.restating import running

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)
WHO = {"by": "finance@example.com", "at": LATER}
SHOWN = {"at": NOON, "zone": "UTC", "most": 10}


def restate() -> None:
    running.take_up(at=LATER)
    while jobs.run_next(clock=lambda: LATER):
        pass


def reasons() -> dict[str, tuple[Reason, ...]]:
    return {line.name: line.reasons for line in attention.unpriced(most=10)}


def test_each_reason_for_being_unpriced_is_told_apart():
    make_offering("no-price@openai")
    make_offering("half-priced@openai", uncached_input="5")
    make_offering("no-flex@openai", uncached_input="5", output="30")
    set_price(offerings.get("no-flex@openai"), "output", "15", service_tier="batch")
    send(
        make_event(model="no-price"),
        make_event(model="half-priced", cache_read_tokens=5),
        make_event(model="no-flex", service_tier="flex"),
        make_event(model="no-flex", service_tier="batch"),
        make_event(
            model="half-priced", uncached_input_tokens=0, output_tokens=0, status="usage_missing", counted=False
        ),
    )

    assert reasons() == {
        "no-price@openai": (Reason(code=Unpriced.NO_PRICE),),
        "half-priced@openai": (
            Reason(code=Unpriced.METER_WITHOUT_PRICE, meters=("cache_read", "output")),
            Reason(code=Unpriced.NOT_COUNTED),
        ),
        "no-flex@openai": (
            Reason(code=Unpriced.METER_WITHOUT_PRICE, meters=("uncached_input",)),
            Reason(code=Unpriced.UNKNOWN_CONTEXT, service_tier="flex"),
        ),
    }


def test_what_no_gateway_counted_waits_for_no_price_and_is_a_list_of_its_own():
    make_priced_offering()
    send(make_event(uncached_input_tokens=0, output_tokens=0, status="usage_missing", counted=False), make_event())

    (line,) = attention.unpriced(most=10, uncounted=True)

    assert attention.unpriced(most=10) == []
    assert (line.name, line.requests, line.uncounted, line.tokens) == ("gpt-5.5@openai", 1, 1, 0)
    assert line.reasons == (Reason(code=Unpriced.NOT_COUNTED),)
    counted = attention.counts(at=LATER)
    assert (counted.unpriced, counted.uncounted, counted.total) == (0, 1, 1)  # the use case


def test_unpriced_offerings_come_with_most_tokens_first_and_the_days_they_were_used():
    make_offering("little@openai")
    send(
        make_event(model="little", uncached_input_tokens=1, output_tokens=0),
        make_event(model="much", uncached_input_tokens=70, output_tokens=7, occurred_at=NOON - 3 * DAY),
        make_event(model="much", uncached_input_tokens=0, output_tokens=3),
    )

    much, little = attention.unpriced(most=10)

    assert (much.name, much.tokens, much.requests) == ("much@openai", 80, 2)
    assert (much.first_day, much.last_day) == ((NOON - 3 * DAY).date(), NOON.date())
    assert (much.state, little.state, little.tokens) == ("waiting", "claimed", 1)
    assert [line.name for line in attention.unpriced(most=1, skip=1)] == ["little@openai"]


def test_what_got_its_price_waits_no_more():
    offering = make_offering("no-price@openai")
    send(make_event(model="no-price"), make_event(model="no-price", occurred_at=NOON - DAY))
    before = attention.counts(at=LATER).unpriced
    for meter in ("uncached_input", "output"):
        set_price(offering, meter, "5", valid_from=NOON - timedelta(hours=1), at=LATER)
    restate()

    (line,) = attention.unpriced(most=10)

    assert (before, attention.counts(at=LATER).unpriced) == (1, 1)
    assert (line.requests, line.first_day) == (1, (NOON - DAY).date())
    assert line.reasons == (Reason(code=Unpriced.NO_PRICE),)
    for meter in ("uncached_input", "output"):
        set_price(offering, meter, "5", valid_from=LONG_AGO, at=LATER + DAY)
    running.take_up(at=LATER + DAY)
    while jobs.run_next(clock=lambda: LATER + DAY):
        pass
    assert attention.unpriced(most=10) == []
    assert attention.counts(at=LATER).unpriced == 0


def test_what_was_dropped_with_its_month_waits_no_more_though_its_sums_stay():
    set_organisation(zone="Europe/Berlin")
    send(make_event(model="dropped", occurred_at=NOON))
    edge = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)  # of a day that July begins with in Berlin, and June in UTC
    send(make_event(model="edge", occurred_at=edge), received_at=edge)
    month = {"table": "ledger", "rows": 1, "dropped_at": edge, "by": "retention", "keep_ledger_months": 12}

    DroppedPartition.objects.create(month=date(2026, 5, 1), **month)
    assert (attention.counts(at=edge).unpriced, len(attention.unpriced(most=10))) == (2, 2)

    DroppedPartition.objects.create(month=date(2026, 6, 1), **month)
    assert [line.name.partition("@")[0] for line in attention.unpriced(most=10)] == ["edge"]
    assert attention.counts(at=edge).unpriced == 1

    DroppedPartition.objects.create(month=date(2026, 7, 1), **month)
    assert (attention.counts(at=edge).unpriced, attention.unpriced(most=10)) == (0, [])


def test_a_name_without_a_provider_is_shown_as_it_was_written():
    send(make_event(provider="", model="openai/GPT 5.5 Turbo"))

    (line,) = attention.names(**SHOWN)

    assert line.reported.names == ("openai/GPT 5.5 Turbo",)


def test_a_name_nobody_knows_is_shown_as_gateways_wrote_it_until_it_is_assigned():
    known = make_priced_offering()
    send(make_event(model="GPT 5.5 Turbo"), gateway="azure-west")
    send(make_event(model="GPT 5.5 Turbo"))

    (line,) = attention.names(**SHOWN)

    assert (line.name, line.tokens, line.requests) == ("gpt-5.5-turbo@openai", 2200, 2)
    assert line.reported.names == ("openai/GPT 5.5 Turbo",)
    assert line.reported.gateways == ("azure-west", "edge")
    assert (line.first_seen_at, line.last_day) == (offerings.get(line.name).first_seen_at, NOON.date())
    offerings.merge(offering=offerings.get(line.name), into=known, since_at=NOON - DAY, **WHO)
    restate()
    assert attention.names(**SHOWN) == []
    assert attention.unpriced(most=10) == []


def test_offerings_without_a_tier_wait_those_in_use_first_and_neither_retired_nor_assigned_ones():
    for name in ("a@openai", "b@openai", "gone@openai", "assigned@openai"):
        make_offering(name, tier=None)
    make_offering("classified@openai", tier=Tier.MIDDLE)
    offerings.retire(offering=offerings.get("gone@openai"), **WHO)
    offerings.merge(
        offering=offerings.get("assigned@openai"), into=offerings.get("classified@openai"), since_at=NOON, **WHO
    )
    send(make_event(model="b"), make_event(model="classified"))

    lines = attention.unclassified(**{**SHOWN, "at": LATER})

    assert [(line.name, line.tokens) for line in lines] == [("b@openai", 1100), ("a@openai", 0)]
    assert attention.counts(at=LATER).unclassified == 2


def test_use_cases_and_teams_wait_until_somebody_claims_them():
    make_priced_offering()
    send(make_event(use_case="Chat Bot", team="Payments"), make_event(use_case="", team=""))

    (use_case,) = attention.use_cases(**SHOWN)
    (team,) = attention.teams(**SHOWN)

    assert (use_case.name, use_case.tokens, use_case.beside) == ("Chat Bot", 1100, ("Payments",))
    assert (team.name, team.requests, team.beside) == ("Payments", 1, ("Chat Bot",))
    none = attention.unassigned(at=NOON, zone="UTC")
    assert (none.no_use_case_tokens, none.no_team_requests) == (1100, 1)
    use_cases.claim(use_case=use_cases.get("chat bot"), owner="ann@example.com", **WHO)
    teams.claim(team=teams.get("payments"), by="ann@example.com")
    assert (attention.use_cases(**SHOWN), attention.teams(**SHOWN)) == ([], [])


def test_counts_and_lists_ask_the_same_few_questions_however_much_there_is(django_assert_num_queries):
    for n in range(3):
        send(make_event(model=f"unknown-{n}", use_case=f"use {n}", team=f"team {n}"))
    attention.unpriced(most=1)

    with django_assert_num_queries(1):
        counted = attention.counts(at=timezone.now())
    with django_assert_num_queries(3):
        attention.unpriced(most=10)
    with django_assert_num_queries(2):
        attention.names(**SHOWN)
    with django_assert_num_queries(4):
        attention.unclassified(**SHOWN)
        attention.use_cases(**SHOWN)
        attention.teams(**SHOWN)
        attention.unassigned(at=NOON, zone="UTC")

    assert (counted.unpriced, counted.names, counted.unclassified, counted.use_cases, counted.teams) == (3, 3, 3, 3, 3)
    assert counted.total == 15
