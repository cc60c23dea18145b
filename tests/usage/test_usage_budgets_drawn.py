"""Whatever happens to usage, counters of budgets equal a recount of the ledger, and days add up to them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from budgets.models import Counter, Crossing
from budgets.selectors import definitions
from core import periods
from tests.drawing import drawn
from tests.factories import make_budget
from tests.usage import making
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from tests.usage.test_usage_restating import restate
from tests.usage.test_usage_rollups import set_organisation
from usage.models import LedgerEntry
from usage.selectors import daily
from usage.services import months

pytestmark = pytest.mark.django_db
BEGINNING = datetime(2026, 3, 20, tzinfo=UTC)  # clocks of four of these zones change in the weeks that follow
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago")
MONTHS = {"by": "finance@example.com"}

budgets = st.lists(
    st.fixed_dictionaries(
        {
            "zone": st.sampled_from(ZONES),
            "period": st.sampled_from(periods.KINDS),
            "fiscal_start_month": st.integers(1, 12),
            "unit": st.sampled_from(["usd", "tokens", "frontier_tokens", "requests"]),
            "scope": st.sampled_from([{}, {"use_case": ["support-routing"]}, {"model": ["gpt-5.5", "late"]}]),
            "amount": st.sampled_from([Decimal(3), Decimal(1000)]),
        }
    ),
    min_size=2,
    max_size=4,
)
events = st.tuples(
    st.just("events"),
    st.lists(
        st.tuples(
            st.integers(-34 * 24 * 60, 20 * 60),  # minutes from the moment of the receipt
            st.sampled_from(["gpt-5.5", "late"]),
            st.sampled_from(["support-routing", "code"]),
            st.sampled_from(["ok", "error", "blocked", "cache_hit"]),
            st.integers(0, 10**6),
        ),
        min_size=1,
        max_size=6,
    ),
)
others = st.one_of(
    st.tuples(st.just("days go by"), st.integers(1, 20)),
    st.tuples(st.just("price"), st.sampled_from(["gpt-5.5", "late"]), st.integers(0, 40)),
    st.tuples(st.just("sent again"), st.just(0)),
    st.tuples(st.just("close"), st.just(0)),
)


@drawn(few=5, many=150)
@given(zone=st.sampled_from(ZONES), made=budgets, story=st.lists(st.one_of(events, others), min_size=3, max_size=10))
def test_counters_equal_the_ledger_and_days_add_up_to_them_whatever_happens(zone, made, story):
    with transaction.atomic():
        transaction.get_connection().atomic_blocks[-1]._from_testcase = True  # `durable` is content, as in any test
        making.forget_everything()
        at = live_through(zone, made, story)

        assert_rollups_equal_ledger()
        assert_counters_equal_ledger()
        assert_each_event_is_in_one_period()
        assert_days_add_up(at)
        told = list(Crossing.objects.values_list("budget", "period_start", "basis", "threshold", "limit"))
        assert len(told) == len(set(told))
        transaction.set_rollback(True)
    making.forget_everything()


def live_through(zone, made, story):
    """Let it happen and return the last moment; every step lies some minutes after the one before."""
    set_organisation(zone=zone)
    offerings = {
        "gpt-5.5": making.make_priced_offering(),
        "late": making.make_offering("late@openai", tier=None),  # a price comes for it, or does not
    }
    for number, one in enumerate(made):
        make_budget(name=f"budget {number}", at=BEGINNING - timedelta(days=120), **one)
    at, last, label = BEGINNING + timedelta(days=40), [], BEGINNING.date().replace(day=1)
    for what, value, *more in story:
        at += timedelta(minutes=10)
        if what == "days go by":
            at += timedelta(days=value)
        elif what == "events":
            last = [
                making.make_event(
                    occurred_at=at + timedelta(minutes=minutes), model=model, use_case=use_case, status=status,
                    uncached_input_tokens=tokens,
                )
                for minutes, model, use_case, status, tokens in value
            ]  # fmt: skip
            making.send(*last, received_at=at)
        elif what == "sent again" and last:
            making.send(*last, received_at=at)
        elif what == "price":
            making.set_price(offerings[value], "uncached_input", str(more[0]), at=at, note="the invoice says so")
            making.set_price(offerings[value], "output", str(more[0]), at=at, note="the invoice says so")
            restate(at)
        elif what == "close":
            with suppress(months.MonthNotOver):
                months.close_month(label=label, at=at, **MONTHS)
                label = periods.add_months(label, 1)
    return at


def assert_each_event_is_in_one_period():
    known = definitions.current().by_id.values()
    for moment in set(LedgerEntry.objects.values_list("occurred_at", flat=True)):
        for one in known:
            period = one.period_of(moment)
            assert moment in period
            assert one.period_of(period.starts_at) == period == one.period_of(period.ends_at - timedelta.resolution)


def assert_days_add_up(at):
    found = daily.of_budgets(at=at)
    for one in definitions.current().by_id.values():
        period, days = one.period_of(at), found[one.id]
        if min(days) > period.first_day:
            continue  # a long period in a zone whose days are known for eight weeks
        last = periods.local_day(period.ends_at - timedelta.resolution, one.zone)
        used = sum((value for day, value in days.items() if period.first_day <= day <= last), Decimal(0))
        counter = Counter.objects.filter(budget=one.id, period_start=period.starts_at).first()
        assert used == (counter.used if counter else 0), one
