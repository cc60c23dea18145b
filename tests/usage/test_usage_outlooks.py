"""Days of budgets as usage knows them, what is expected of them, and the thresholds that forecasts pass."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, Severity
from budgets.models import Counter, Crossing, Outlook
from budgets.rules.forecasting import EVEN, MEAN
from budgets.selectors import definitions, overview
from budgets.services import budgets as service
from budgets.services import limits, looking
from controlplane import settings
from core.periods import local_day
from tests.factories import make_budget
from tests.usage import making
from tests.usage.making import make_event, send
from tests.usage.test_usage_rollups import make_catalogue, random_event, set_organisation
from usage import tasks
from usage.models import LedgerEntry
from usage.selectors import daily, drivers
from usage.services import outlooks

pytestmark = pytest.mark.django_db
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
TENTH = datetime(2026, 6, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
_COUNTED = {"ok", "error", "usage_missing"}


def spend(day, usd=10, **overrides):
    """Book a call at so many dollars on a day of June, five for a million of input."""
    at = FIRST.replace(day=day, hour=overrides.pop("hour", 0))
    given = {"occurred_at": at, "uncached_input_tokens": usd * 200_000, "output_tokens": 0} | overrides
    send(make_event(**given), received_at=at)


def months_of(usd=10, until=10, **budget):
    """Make a budget of 250 USD a month, with ten dollars on each day up to one, and look at it."""
    making.make_priced_offering()
    made = make_budget(**{"unit": "usd", "amount": Decimal(250), "thresholds": [100], **budget})
    for day in range(1, until + 1):
        spend(day, usd)
    return made


def by_hand(definition):
    """Add the days of a budget up from lines of the ledger, in its zone."""
    sums: dict[date, Decimal] = defaultdict(Decimal)
    names = ("use_case", "team", "gateway", "offering__model", "offering__provider")
    for line in LedgerEntry.objects.filter(correction_of=None).select_related(*names):
        where = {
            "use_case": line.use_case.name, "team": line.team.name, "model": line.offering.model.name,
            "tag:env": (line.tags or {}).get("env"),
        }  # fmt: skip
        if any(where[dimension] not in wanted for dimension, wanted in definition.scope.items()):
            continue
        tokens = sum(getattr(line, name) for name in (*drivers.INPUT, *drivers.OUTPUT))
        status = line.get_status_display()
        amount = {
            "usd": line.cost_usd or 0,
            "requests": line.requests if status in _COUNTED | {"cache_hit"} else 0,
            "tokens": tokens if status in _COUNTED else 0,
            "frontier_tokens": tokens if status in _COUNTED and line.get_tier_display() == "frontier" else 0,
        }[definition.unit]
        sums[local_day(line.occurred_at, definition.zone)] += Decimal(amount)
    return {day: used for day, used in sums.items() if used}


def test_days_of_all_budgets_are_those_of_the_ledger_in_each_ones_zone_and_unit():
    set_organisation(zone="Europe/Berlin", declared_tags=["env"])
    make_catalogue()
    given = [
        {"unit": "usd", "scope": {}, "zone": "Europe/Berlin"},
        {"unit": "frontier_tokens", "scope": {"use_case": ["support"]}, "zone": "Europe/Berlin", "period": "week"},
        {"unit": "tokens", "scope": {"model": ["gpt-5.5", "cheap"]}, "zone": "Asia/Kathmandu", "period": "year"},
        {"unit": "requests", "scope": {"team": ["platform"]}, "zone": "Australia/Lord_Howe", "period": "day"},
        {"unit": "usd", "scope": {"tag:env": ["prod", "dev"], "model": ["gpt-5.5"]}, "zone": "Europe/Berlin"},
    ]
    chance = random.Random(7)
    send(make_event(use_case="support", team="platform", occurred_at=FIRST), received_at=FIRST)
    for number, one in enumerate(given):
        make_budget(name=f"budget {number}", at=FIRST, **one)
    send(*(random_event(chance, FIRST, 9 * 86_400) for _ in range(60)), received_at=TENTH)

    with CaptureQueriesContext(connection) as captured:
        found = daily.of_budgets(at=TENTH)

    known = {one.name: one for one in definitions.current().by_id.values()}
    assert len(found) == len(given)
    for one in known.values():
        assert {day: used for day, used in found[one.id].items() if used} == by_hand(one), one.name
    assert len(captured) == 8  # of two other zones and of tags among them


def test_a_scope_whose_days_nobody_sums_has_no_outlook_and_goes_by_the_time_gone():
    set_organisation(declared_tags=["env"])
    making.make_priced_offering()
    several = make_budget(name="several", scope={"tag:env": ["prod"], "tag:other": ["x"]}, unit="usd")
    elsewhere = make_budget(name="elsewhere", scope={"tag:env": ["prod"]}, zone="Asia/Kolkata", unit="usd")
    undeclared = make_budget(name="undeclared", scope={"tag:other": ["x"]}, unit="usd")
    for day in range(1, 10):
        spend(day, tags={"env": "prod", "other": "x"})

    outlooks.look(at=TENTH)

    assert not Outlook.objects.exists()
    for budget in (several, elsewhere, undeclared):
        row = overview.one(budget_id=budget.pk, at=TENTH)
        assert (row.outlook, row.forecast.method, row.forecast.low) == (None, EVEN, None), budget.name


def test_a_forecast_goes_by_what_was_kept_and_by_the_counter_of_the_moment():
    budget = months_of(until=9)
    outlooks.look(at=TENTH)
    before = overview.one(budget_id=budget.pk, at=TENTH)

    spend(10, usd=30, hour=11)
    after = overview.one(budget_id=budget.pk, at=TENTH)

    assert (before.forecast.method, before.forecast.per_day) == (MEAN, 10)
    assert (before.forecast.at_end, after.forecast.at_end) == (90 + 205, 120 + 205)
    assert before.outlook.days[date(2026, 6, 9)] == 10
    assert min(before.outlook.days) == date(2026, 4, 15)  # the first that was asked for


def test_what_a_forecast_passes_is_told_once_with_its_day():
    budget = months_of(forecast_thresholds=[100, 200], action="downgrade", scope={"model": ["gpt-5.5"]})

    found = [outlooks.look(at=TENTH + n * timedelta(minutes=5)) for n in range(2)]

    assert [[(one.basis, one.threshold, one.limit_version) for one in each] for each in found] == [
        [("forecast", 100, 1)], [],
    ]  # fmt: skip
    alert = Alert.objects.get()
    assert alert.severity == Severity.WARNING
    assert alert.title == f"{budget.name}, June 2026: will pass 100 % of its limit on 25 June 2026 at this pace"
    assert alert.facts["next"].startswith("A forecast switches nothing. At 100 % gateways are told to")
    rows = dict(alert.facts["rows"])
    assert rows["Thresholds that will be passed"] == "100 %"
    assert rows["Runs out at this pace"] == "on 25 June 2026"
    assert rows["Expected at the end of the period"].startswith("305.00 USD, 122.0 % of the limit")
    assert (rows["Used"], rows["Most of it"]) == ("100.00 USD", "gpt-5.5@openai, 100.0 %")
    assert Crossing.objects.get().used == 100


def test_another_limit_may_be_forecast_to_be_passed_anew():
    budget = months_of(forecast_thresholds=[100])
    outlooks.look(at=TENTH)

    for amount in (400, 300):
        limits.set_limit(
            budget=budget, amount=Decimal(amount), reason="r", by="a@example.com", approved_by="b@example.com", at=TENTH
        )

    told = Crossing.objects.order_by("id").values_list("basis", "threshold", "limit__version")
    assert list(told) == [("forecast", 100, 1), ("forecast", 100, 3)]


def test_what_is_expected_of_a_day_is_compared_with_the_limit_that_holds_then():
    budget = months_of(forecast_thresholds=[100])
    who = {"budget": budget, "reason": "launch", "by": "a@example.com", "approved_by": "b@example.com", "at": TENTH}

    limits.set_limit(amount=Decimal(500), starts_at=FIRST.replace(day=20), ends_at=FIRST.replace(day=28), **who)
    outlooks.look(at=TENTH)

    alert = Alert.objects.get()  # 285 dollars when the 28th ends, and 250 are the limit again
    assert "will pass 100 % of its limit on 28 June 2026 at this pace" in alert.title
    limits.set_limit(amount=Decimal(500), starts_at=FIRST.replace(day=20), **who)
    assert overview.one(budget_id=budget.pk, at=TENTH).forecast.runs_out_on is None


def test_a_forecast_is_no_news_where_use_has_passed_the_threshold():
    months_of(amount=Decimal(95), forecast_thresholds=[100, 300])

    outlooks.look(at=TENTH)

    told = Crossing.objects.order_by("id").values_list("basis", "threshold")
    assert list(told) == [("actual", 100), ("forecast", 300)]


def test_thresholds_of_forecasts_that_are_added_or_moved_by_time_are_told_by_the_look_at_the_time():
    budget = months_of()
    outlooks.look(at=TENTH)
    at_once = service.change(
        budget=budget, forecast_thresholds=[150], by="a@example.com", reason="earlier warning", at=TENTH
    )
    spend(10, usd=80, hour=13)

    found = looking.look_at_time(at=TENTH + timedelta(hours=2), explain=drivers.explain)

    assert at_once.forecast_thresholds == [150]
    assert [(one.basis, one.threshold) for one in found] == [("forecast", 150)]


def test_outlooks_of_retired_budgets_stay_and_of_those_whose_days_are_no_more_known_go():
    set_organisation(declared_tags=["env"])
    tagged = months_of(scope={"tag:env": ["prod"]}, until=1)
    plain = make_budget(name="plain", unit="usd")
    outlooks.look(at=TENTH)
    assert set(Outlook.objects.values_list("budget", flat=True)) == {tagged.pk, plain.pk}

    set_organisation(declared_tags=[])
    outlooks.look(at=TENTH)

    assert list(Outlook.objects.values_list("budget", flat=True)) == [plain.pk]


def test_a_budget_has_its_outlook_as_soon_as_its_counter_is_built():
    making.make_priced_offering()
    for day in range(1, 6):
        spend(day)
    budget = make_budget(unit="usd", live=False, at=TENTH)

    tasks.run_jobs()

    assert Counter.objects.get(budget=budget).used == 50
    assert Outlook.objects.get(budget=budget)


def test_looking_runs_by_the_names_of_the_schedule_and_costs_the_same_however_many_budgets_there_are():
    scheduled = {one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {tasks.look_ahead.name, tasks.look_at_time.name} <= scheduled
    months_of()
    outlooks.look(at=TENTH)
    counts = []
    for number in range(2):
        with CaptureQueriesContext(connection) as captured:
            outlooks.look(at=TENTH)
        counts.append(len([one for one in captured if "SAVEPOINT" not in one["sql"]]))
        for other in range(4):
            make_budget(name=f"other {number} {other}", unit="usd")
        outlooks.look(at=TENTH)

    assert counts[0] == counts[1]


def test_what_drives_a_budget_is_told_apart_by_model_version_rule_and_team():
    making.make_priced_offering()
    making.make_priced_offering("gpt-5.4@openai")
    make_budget(unit="usd", scope={}, amount=Decimal(100), thresholds=[90])
    spend(1, usd=20, model="gpt-5.4", team="platform")
    spend(2, usd=71, rules_version=42, rule="code-high", team="support")

    rows = dict(Alert.objects.get().facts["rows"])

    assert rows["Most of it"] == "gpt-5.5@openai, 78.0 %"
    assert rows["Under rules version"] == "42, 78.0 %"
    assert rows["By rule"] == "code-high, 78.0 %"
    assert rows["By team"] == "support, 78.0 %"


def test_what_drives_a_budget_is_told_as_well_where_a_person_lowers_its_limit():
    making.make_priced_offering()
    budget = make_budget(unit="usd", scope={}, amount=Decimal(100), thresholds=[90])
    spend(1, usd=50, rules_version=42)

    limits.set_limit(
        budget=budget, amount=Decimal(50), reason="less", by="lead@example.com", approved_by="lead@example.com",
        at=TENTH,
    )  # fmt: skip

    rows = dict(Alert.objects.get().facts["rows"])
    assert (rows["Most of it"], rows["Under rules version"]) == ("gpt-5.5@openai, 100.0 %", "42, 100.0 %")
