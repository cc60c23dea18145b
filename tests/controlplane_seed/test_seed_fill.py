"""The demo's company, told to the ordinary services, on an ordinary day and as a month has just begun."""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import Sum

from alerts.models import Delivery, DeliveryState
from budgets.models import Budget, Counter, Crossing
from catalog.models import ClaimState, Offering, Price, Team, UseCase, UseCaseTeam
from controlplane import seed
from controlplane.seed import company, story
from core import periods
from core.models import Organisation, User
from tests.drawing import FULL
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from usage.models import EntryKind, LedgerEntry, Month, Receipt, ReceiptState, Restatement, RollupDay

BERLIN = ZoneInfo(company.ZONE)
# Early on the first of a month, the second, the middle and the last day.
INSTANTS = [
    datetime(2026, 12, 1, 0, 40, tzinfo=BERLIN),
    datetime(2026, 11, 2, 9, 0, tzinfo=BERLIN),
    datetime(2026, 11, 15, 12, 0, tzinfo=BERLIN),
    datetime(2026, 10, 31, 23, 0, tzinfo=BERLIN),
]


def fill(now: datetime, events: int, progress: Callable[[str, int, int], None] = lambda step, done, of: None) -> None:
    seed.fill(now=now, progress=progress, events=events)


def sql(statement: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("now", INSTANTS if FULL else INSTANTS[:2], ids=str)
def test_support_is_past_70_per_cent_and_not_90_on_any_day_of_a_month(now):
    fill(now, 1_500)

    budget = Budget.objects.get(name="Support on frontier models")
    this = periods.containing(now, "month", company.ZONE)
    counter = Counter.objects.get(budget=budget, period_start=this.starts_at)
    per_cent = 100 * counter.used / budget.limits.get().amount
    assert 70 < per_cent < 90
    assert [one.threshold for one in budget.crossings.filter(period_start=this.starts_at, basis="actual")] == [70]
    _is_whole(now, this)


@pytest.mark.django_db(transaction=True)
def test_three_months_of_the_company_are_told_and_add_up():
    now, said = datetime(2026, 11, 20, 14, 30, tzinfo=BERLIN), []
    assert not seed.is_filled()

    fill(now, 6_000, lambda step, done, of: said.append((step, done, of)))

    assert seed.is_filled()
    this = periods.containing(now, "month", company.ZONE)
    _is_whole(now, this)
    _has_people_teams_and_owners()
    _became_cheaper(now)
    steps = [step for step, _, _ in said]
    assert steps == sorted(steps, key=steps.index)
    assert all(0 <= done <= of for _, done, of in said)
    of = story.plan(now=now, zone=company.ZONE, events=6_000)
    until = of.days[-1] + timedelta(days=1)
    told = sum(1 for name in story.GATEWAYS for _ in story.events(of, gateway=name, first=of.days[0], until=until))
    assert LedgerEntry.objects.filter(kind=EntryKind.USAGE).count() == told + 1
    _has_terms_and_a_corrected_price()


def _is_whole(now: datetime, this: periods.Period) -> None:
    assert dict(Tally(Receipt.objects.values_list("state", flat=True))).keys() == {ReceiptState.DONE}
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()

    # Of limits only this month's 70 per cent of support is still to be told, and maybe the ceiling that is tried out;
    # what crossed before is recorded, and not sent. Forecasts go by where in its month the story is.
    waiting = Delivery.objects.filter(state=DeliveryState.WAITING).exclude(alert__dedupe_key__contains=":forecast:")
    titles = sorted(waiting.values_list("alert__title", flat=True))
    assert titles[0].startswith("Growth, all models: noor.aziz@nordlicht.example asks for ")
    assert [one for one in titles[1:] if "ceiling" not in one] == [titles[-1]]
    assert re.match(rf"Support on frontier models, {this.first_day:%B %Y}: 7\d", titles[-1])
    past = Crossing.objects.filter(period_end__lte=now)
    assert past.exists()
    told = Delivery.objects.filter(alert__in=past.values("alert"))
    assert set(told.values_list("state", "reason")) == {(DeliveryState.NOT_SENT, "not sent: past period")}

    # The oldest month is closed. What came late for it is booked now, as a correction of it.
    oldest = periods.add_months(this.first_day, -2)
    closed = Month.objects.get(closed_at__isnull=False)
    assert closed.starts_at == periods.day_start(oldest, company.ZONE)
    assert sql(f"SELECT count(*) FROM ledger WHERE booked_at < '{closed.ends_at}' AND occurred_at <> booked_at") == [
        (0,)
    ]
    (late,) = LedgerEntry.objects.filter(correction_of__isnull=False)
    assert (late.correction_of, late.occurred_at < closed.ends_at, this.starts_at <= late.booked_at) == (
        oldest, True, True,
    )  # fmt: skip

    # One offering is in nobody's price list, and waits.
    unpriced = sql("SELECT DISTINCT offering_id FROM ledger WHERE cost_usd IS NULL AND counted")
    offering = Offering.objects.get(state=ClaimState.WAITING)
    assert (unpriced, offering.model.name) == ([(offering.pk,)], story.UNPRICED_MODEL)


def _has_people_teams_and_owners() -> None:
    assert Organisation.objects.get().zone == company.ZONE
    assert User.objects.count() == len(company.PEOPLE)
    email, password = seed.sign_in()
    assert User.objects.get(email=email).check_password(password)
    named = UseCase.objects.exclude(folded="unassigned")
    assert (named.count(), named.filter(owner="").exists(), named.filter(state="waiting").exists()) == (
        12,
        False,
        False,
    )
    assert UseCaseTeam.objects.values("use_case").distinct().count() == 12
    assert not Team.objects.filter(state="waiting").exists()


def _has_terms_and_a_corrected_price() -> None:
    assert sorted(Restatement.objects.values_list("kind", flat=True)) == ["contract", "prices"]
    paid = RollupDay.objects.filter(offering__provider__name=company.CONTRACT_PROVIDER).aggregate(
        cost=Sum("cost_usd"), listed=Sum("list_cost_usd")
    )
    assert paid["cost"] < paid["listed"]
    compared = RollupDay.objects.filter(gateway__name=story.LITELLM).aggregate(
        ours=Sum("compared_cost_usd"), theirs=Sum("compared_reported_usd")
    )
    assert 0 < compared["ours"] < compared["theirs"]


def _became_cheaper(now: datetime) -> None:
    cut = periods.day_start(story.plan(now=now, zone=company.ZONE).price_cut, company.ZONE)
    offering = Offering.objects.get(name=company.CUT_OFFERING)
    held = Price.objects.filter(
        series__model=offering.model, series__provider=offering.provider, series__meter="output",
        series__service_tier=None, series__context_over=None, recorded__upper_inf=True,
    )  # fmt: skip
    before = held.get(valid__endswith=cut).usd_per_1m
    after = held.get(valid__startswith=cut).usd_per_1m
    assert abs(after / before - company.CUT_TO) < Decimal("0.001")
    priced = sql(
        f"SELECT occurred_at < '{cut}', count(DISTINCT rate_id) FROM ledger WHERE offering_id = {offering.pk} "
        f"AND status = 1 GROUP BY 1 ORDER BY 1"
    )
    assert [side for side, _ in priced] == [False, True]
    crossing_rates = sql(
        f"SELECT rate_id FROM ledger WHERE offering_id = {offering.pk} AND status = 1 GROUP BY rate_id "
        f"HAVING bool_or(occurred_at < '{cut}') AND bool_or(occurred_at >= '{cut}')"
    )
    assert crossing_rates == []
