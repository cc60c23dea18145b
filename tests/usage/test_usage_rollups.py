"""Promise 6: every sum equals a recount of the ledger, and days add up in any zone."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from budgets.models import Counter
from core.periods import local_day
from core.services import barrier
from tests.factories import make_budget, make_team
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.making import (
    DAY,
    NOON,
    SECOND,
    book,
    make_event,
    make_gateway,
    make_offering,
    make_priced_offering,
    send,
    set_price,
    take,
)
from usage.events import STATUSES
from usage.models import LedgerEntry, Rollup15Min, RollupDay, RollupDayTag
from usage.rules.postings import HISTOGRAM, LATENCY_BOUNDS_MS, Posting, reversal, sums_of
from usage.selectors import spend
from usage.selectors.spend_sums import USUAL
from usage.services import imports, jobs, months, rerating

IN_JULY = datetime(2026, 7, 3, tzinfo=UTC)
ZONES = ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham"]


def set_organisation(**values):
    barrier.pass_through()
    with connection.cursor() as cursor:
        for name, value in values.items():
            cursor.execute(f"UPDATE core_organisation SET {name} = %s", [value])


def random_event(chance, starts_at, seconds):
    cut = chance.choice([1, 10, 1000, 100_000])
    return make_event(
        occurred_at=starts_at + timedelta(seconds=chance.randrange(seconds), microseconds=chance.randrange(10**6)),
        use_case=chance.choice(["support", "code", "", "Übersetzung"]),
        team=chance.choice(["", "", "platform"]),
        model=chance.choice(["gpt-5.5", "gpt-5.5", "cheap", "mystery"]),
        requested_model=chance.choice(["", "auto"]),
        status=chance.choice(STATUSES),
        counted=chance.random() > 0.1,
        uncached_input_tokens=chance.randrange(cut),
        cache_read_tokens=chance.randrange(cut),
        cache_write_5m_tokens=chance.choice([0, 0, 7]),
        cache_write_1h_tokens=chance.choice([0, 0, 9]),
        output_tokens=chance.randrange(cut),
        audio_input_tokens=chance.choice([0, 0, 0, 5]),
        image_output_tokens=chance.choice([0, 0, 0, 5]),
        web_searches=chance.choice([0, 0, 1]),
        reasoning_tokens=chance.choice([None, 0, 13]),
        reported_cost_usd=chance.choice([None, Decimal("0.000000000000000001"), Decimal("1.5")]),
        latency_ms=chance.choice([None, 0, 25, 26, 999, 60_000, 60_001, 10**6]),
        rules_version=chance.choice([0, 42]),
        rule=chance.choice(["", "code-high"]),
        route_reason=chance.choice(["", "rule", "fallback"]),
        fallback_index=chance.choice([0, 0, 1]),
        context=chance.choice([{}, {"task": "code"}, {"task": "summary", "n": str(chance.randrange(5))}]),
        tags=chance.choice([{}, {"env": "prod"}, {"env": "dev", "cost_centre": "0815"}, {"other": "x"}]),
    )


def make_catalogue():
    make_priced_offering()
    cheap = make_offering("cheap@openai", tier=None, uncached_input="0.0000000001", cache_read="0", output="0.3")
    for meter in ("cache_write_5m", "cache_write_1h", "audio_input", "image_output", "web_searches", "requests"):
        set_price(cheap, meter, "0.1234567891")
    make_offering("mystery@openai", tier=None)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_sums_equal_a_recount_of_the_ledger_whatever_is_booked(zone):
    set_organisation(zone=zone, declared_tags=["env", "cost_centre"])
    make_catalogue()
    make_team("platform")
    make_gateway("edge")
    budgets = [
        make_budget(name="all usd", scope={}, unit="usd", zone=zone, amount=Decimal(10**6)),
        make_budget(name="frontier", scope={}, unit="frontier_tokens", zone=zone, amount=Decimal(10**9)),
        make_budget(name="requests", scope={"team": ["platform"]}, unit="requests", period="day", zone=zone),
        make_budget(name="cheap", scope={"model": ["cheap"], "gateway": ["edge"]}, unit="tokens", period="week"),
    ]
    chance = random.Random(zone)
    starts_at = datetime(2026, 6, 5, tzinfo=UTC)
    for _ in range(6):
        for gateway in ("edge", "batch"):
            events = [random_event(chance, starts_at, 20 * 86_400) for _ in range(25)]
            take(*events, gateway=gateway, received_at=starts_at + 25 * DAY)
        book(at=starts_at + 25 * DAY)
    mystery = make_offering("mystery@openai", tier=None)
    months.close_month(label=date(2026, 6, 1), by="finance", at=datetime(2026, 7, 2, tzinfo=UTC))
    take(
        *[random_event(chance, starts_at, 30 * 86_400) for _ in range(25)], received_at=datetime(2026, 7, 3, tzinfo=UTC)
    )
    book(at=datetime(2026, 7, 3, tzinfo=UTC))
    for meter in ("uncached_input", "cache_read", "output"):
        set_price(mystery, meter, "7.7777777777")
    rerating.look_for_prices(since_revision=-1, at=datetime(2026, 7, 4, tzinfo=UTC))
    while jobs.run_next(clock=lambda: datetime(2026, 7, 4, tzinfo=UTC)):
        pass

    assert LedgerEntry.objects.filter(kind=2).exists()
    assert Rollup15Min.objects.exclude(correction_of=0).exists()
    assert RollupDayTag.objects.exists()
    assert set(Counter.objects.filter(used__gt=0).values_list("budget_id", flat=True)) == {b.pk for b in budgets}
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_days_add_up_to_their_range_in_any_zone(zone):
    make_catalogue()
    chance = random.Random(zone)
    starts_at = datetime(2026, 3, 20, tzinfo=UTC)  # over the changes of clocks in spring and autumn
    events = [random_event(chance, starts_at, 25 * 86_400) for _ in range(150)]
    send(*events, received_at=starts_at + 26 * DAY)

    def ask(**given):
        return spend.spend(
            ask=spend.SpendAsk(
                starts_at=starts_at - 2 * DAY, ends_at=starts_at + 28 * DAY, zone=zone, **given
            )
        )  # fmt: skip

    whole, days = ask().total, ask(group_by=("day",))
    assert whole.requests == 150
    for name in USUAL:
        assert sum(getattr(row.sums, name) for row in days.rows) == getattr(whole, name), name
    expected = {local_day(event.occurred_at, zone).isoformat() for event in events}
    assert {row.keys["day"] for row in days.rows} == expected


@pytest.mark.django_db
def test_a_day_of_the_rollups_is_the_organisation_s():
    set_organisation(zone="Asia/Kathmandu")
    midnight = datetime(2026, 6, 14, 18, 15, tzinfo=UTC)

    send(make_event(occurred_at=midnight - timedelta(microseconds=1)), make_event(occurred_at=midnight))

    days = {row.day: row.requests for row in RollupDay.objects.all()}
    assert days == {date(2026, 6, 14): 1, date(2026, 6, 15): 1}


@pytest.mark.django_db
def test_a_quarter_hour_holds_its_start_and_not_its_end():
    starts = datetime(2026, 6, 15, 12, 15, tzinfo=UTC)

    send(*(make_event(occurred_at=starts + timedelta(microseconds=n)) for n in (-1, 0, 15 * 60 * 10**6 - 1)))

    buckets = {row.bucket: row.requests for row in Rollup15Min.objects.all()}
    assert buckets == {starts - timedelta(minutes=15): 1, starts: 2}


@pytest.mark.django_db
def test_only_declared_tags_have_sums_and_a_tag_is_summed_from_its_declaration_on():
    send(make_event(tags={"env": "prod"}))
    set_organisation(declared_tags=["env"])

    send(make_event(tags={"env": "prod", "other": "x"}), make_event(tags={"env": "dev"}))

    assert {(row.tag, row.value, row.requests) for row in RollupDayTag.objects.all()} == {
        ("env", "prod", 1),
        ("env", "dev", 1),
    }


@pytest.mark.django_db
def test_labels_with_anything_in_them_arrive_as_they_are():
    nasty = "tab\there, quote\" back\\slash {brace}, comma, NULL \\N \u2028 \U0001f4a5 'x"
    set_organisation(declared_tags=["env"])

    send(make_event(rule=nasty[:40], context={"task": nasty}, tags={"env": nasty}, session=nasty, flags=[nasty, "{}"]))

    entry = LedgerEntry.objects.get()
    assert (entry.rule, entry.task, entry.sticky_key) == (nasty[:40], nasty[:64], nasty)
    assert (entry.tags, entry.flags) == ({"env": nasty}, [nasty, "{}"])
    assert RollupDayTag.objects.get().value == nasty
    assert_rollups_equal_ledger()


# --- sums, from postings alone ---


def make_posting(**overrides):
    values = dict.fromkeys(Posting.__struct_fields__, "") | {
        "use_case_id": 1, "booked_at": NOON, "occurred_at": NOON, "id": 1, "kind": 1, "source_id": 1, "gateway_id": 1,
        "team_id": 1, "offering_id": 1, "tier": 1, "status": 1, "rules_version": 0, "state_revision": 0,
        "meters": (1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1), "reasoning_tokens": 3, "counted": True, "cost": 10,
        "list_cost": 12, "avoided": 1, "reported": 5, "rate_id": 1, "unpriced": 0, "latency_ms": 30, "context_id": None,
        "fallback_index": 1, "tags": {}, "flags": [], "receipt_id": 1, "corrects": None, "correction_of": None,
        "restatement_id": None,
    }  # fmt: skip
    return Posting(**{**values, **overrides})


@given(
    cost=st.one_of(st.none(), st.integers(min_value=0)),
    meters=st.lists(st.integers(min_value=0), min_size=9, max_size=9),
    latency=st.one_of(st.none(), st.integers(min_value=0, max_value=10**7)),
    counted=st.booleans(),
    reported=st.one_of(st.none(), st.integers(min_value=0)),
)
def test_a_posting_and_its_reversal_sum_to_nothing(cost, meters, latency, counted, reported):
    posting = make_posting(
        cost=cost, list_cost=cost, meters=(*meters, 1, 1), latency_ms=latency, counted=counted, reported=reported
    )

    back = reversal(posting, id_=2, booked_at=NOON, correction_of=None, restatement_id=1)

    assert [set(sums) for sums in sums_of([posting, back]).values()] == [{0}]
    assert back.corrects == (1, NOON, 1)


@given(st.integers(min_value=0, max_value=10**7))
def test_a_latency_falls_into_one_bucket_up_to_its_bound(latency):
    (sums,) = sums_of([make_posting(latency_ms=latency)]).values()

    bucket = sums[HISTOGRAM:].index(1)

    assert sum(sums[HISTOGRAM:]) == 1
    assert bucket == 15 or latency <= LATENCY_BOUNDS_MS[bucket]
    assert bucket == 0 or latency > LATENCY_BOUNDS_MS[bucket - 1]


@pytest.mark.django_db
def test_an_import_and_live_events_make_one_sum():
    make_priced_offering()
    gateway = make_gateway()
    source = imports.open_import(gateway_id=gateway.pk, covers=(NOON - 60 * DAY, NOON - DAY), by="tests", at=NOON)
    send(make_event(occurred_at=NOON - 2 * DAY), source_id=source.pk)
    send(make_event(), make_event(occurred_at=NOON + SECOND))

    assert RollupDay.objects.count() == 2
    assert_rollups_equal_ledger()
