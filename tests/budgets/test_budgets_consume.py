"""What a booking consumes, the thresholds it passes, and what is told of them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, Delivery, DeliveryState, Severity
from budgets.models import Change, Counter, Crossing
from budgets.selectors import definitions
from budgets.services import budgets, counters, forecasts, looking
from catalog.models import UseCaseTeam
from catalog.services import teams
from core.services import barrier
from tests.factories import NOON, make_budget, make_consumption, make_team, make_use_case

pytestmark = pytest.mark.django_db


def consume(*tokens, at=NOON, explain=None, **overrides):
    """Book so many tokens, each number a consumption of one batch."""
    consumptions = [make_consumption(input_tokens=one, **overrides) for one in tokens]
    return counters.consume(consumptions=consumptions, at=at, explain=explain)


def told(found):
    return [(one.basis, one.threshold, one.limit_version) for one in found]


def used(budget):
    return {(c.period_start.date().isoformat(), c.used, c.unclassified) for c in Counter.objects.filter(budget=budget)}


def test_a_batch_is_one_sum_per_budget_and_period():
    budget = make_budget()

    consume(10, 20)
    consume(5, occurred_at=datetime(2026, 7, 1, tzinfo=UTC))

    assert used(budget) == {("2026-06-01", 30, 0), ("2026-07-01", 5, 0)}


def test_sums_are_exact_to_the_last_place():
    budget = make_budget(unit="usd", amount=Decimal("99999999999999999999") - 1)
    cost = Decimal("12345678901234567.000000000000000001")

    consume(1, 1, cost_usd=cost)
    consume(1, cost_usd=cost)

    assert Counter.objects.get(budget=budget).used == Decimal("37037036703703701.000000000000000003")


def test_the_first_event_of_a_later_period_opens_its_counter_live():
    budget = make_budget()

    consume(80, occurred_at=datetime(2026, 7, 1, tzinfo=UTC), at=datetime(2026, 7, 1, tzinfo=UTC))

    counter = Counter.objects.get(budget=budget, period_start=datetime(2026, 7, 1, tzinfo=UTC))
    assert (counter.state, counter.used, counter.period_end) == ("live", 80, datetime(2026, 8, 1, tzinfo=UTC))
    assert Crossing.objects.get().period_start == counter.period_start


def test_periods_over_before_the_budget_was_made_and_retired_budgets_are_not_counted():
    budget = make_budget(at=NOON)

    consume(10, occurred_at=datetime(2026, 5, 31, 23, 45, tzinfo=UTC))
    budgets.retire(budget=budget, reason="done", by="finance@example.com", at=NOON)
    consume(10)

    assert used(budget) == {("2026-06-01", 0, 0)}


def test_what_is_out_of_scope_or_does_not_count_moves_nothing():
    budget = make_budget()

    consume(10, use_case="chat")
    consume(10, tier="middle")
    consume(10, status="cache_hit")
    consume(10, -10)

    assert used(budget) == {("2026-06-01", 0, 0)}


def test_a_scope_may_name_tags_and_booking_learns_which():
    budget = make_budget(scope={"tag:env": ["prod"]})

    consume(10, tags={"env": "prod"})
    consume(10, tags={"env": "test"})

    assert definitions.tag_names() == {"env"}
    assert used(budget) == {("2026-06-01", 10, 0)}


def test_a_team_that_got_another_name_stays_in_scope():
    team = make_team("support")
    budget = make_budget(scope={"team": ["Support "]})
    consume(10, team="support")

    teams.change(team=team, name="Customer care", by="platform@example.com", at=NOON)
    consume(10, team="Customer care")

    assert used(budget) == {("2026-06-01", 20, 0)}


def test_passing_a_threshold_is_told_once():
    make_budget()

    found = [told(consume(tokens)) for tokens in (69, 1, 5, 5)]

    assert found == [[], [("actual", 70, 1)], [], []]
    assert Alert.objects.count() == 1


def test_a_jump_over_several_thresholds_is_one_alert_that_names_the_highest():
    make_budget()
    consume(60)

    found = consume(60)

    alert = Alert.objects.get()
    assert told(found) == [("actual", 70, 1), ("actual", 90, 1), ("actual", 100, 1)]
    assert {one.alert_id for one in found} == {alert.pk}
    assert set(Crossing.objects.values_list("alert", flat=True)) == {alert.pk}
    assert alert.severity == Severity.CRITICAL
    assert alert.title == "support frontier, June 2026: 120.0 % of 100 frontier tokens used"
    assert ["Thresholds passed", "70 %, 90 %, 100 %"] in alert.facts["rows"]


def test_a_trial_that_is_used_up_is_a_warning_since_nothing_was_done():
    make_budget(action="block", trial=True)

    consume(120)

    alert = Alert.objects.get()
    assert alert.severity == Severity.WARNING
    assert alert.facts["next"].startswith("Were it not a trial, gateways would now refuse what it covers")


def test_below_and_above_again_is_not_told_twice():
    make_budget()
    consume(75)

    consume(-75)
    found = consume(80)

    assert found == []
    assert Alert.objects.count() == 1


def test_what_was_crossed_again_is_left_out_when_more_is_passed():
    make_budget()
    consume(75)
    consume(-75)

    found = consume(95)

    assert told(found) == [("actual", 90, 1)]
    assert ["Thresholds passed", "90 %"] in Alert.objects.latest("id").facts["rows"]


def test_a_raised_limit_may_be_crossed_anew():
    budget = make_budget()
    consume(80)

    budgets.set_limit(
        budget=budget, amount=Decimal(200), reason="a launch", by="a@example.com", approved_by="b@example.com", at=NOON
    )
    found = [told(consume(tokens)) for tokens in (59, 1)]

    assert found == [[], [("actual", 70, 2)]]
    assert list(Crossing.objects.order_by("id").values_list("threshold", "limit__version")) == [(70, 1), (70, 2)]


def test_a_lowered_limit_is_evaluated_at_that_moment():
    budget = make_budget()
    consume(60)

    budgets.set_limit(
        budget=budget, amount=Decimal(65), reason="savings", by="a@example.com", approved_by="b@example.com", at=NOON
    )

    alert = Alert.objects.get()
    assert list(Crossing.objects.order_by("id").values_list("threshold", "limit__version")) == [(70, 2), (90, 2)]
    assert alert.title == "support frontier, June 2026: 92.3 % of 65 frontier tokens used"


def test_a_threshold_added_below_what_is_used_is_told():
    budget = make_budget()
    consume(60)

    budgets.change(budget=budget, thresholds=[50, 70], reason="earlier", by="a@example.com", at=NOON)

    assert Crossing.objects.get().threshold == 50


def test_a_crossing_booked_after_its_period_is_recorded_and_not_sent():
    make_budget()
    july = datetime(2026, 7, 1, tzinfo=UTC)

    found = consume(80, at=july)

    delivery = Delivery.objects.get()
    assert told(found) == [("actual", 70, 1)]
    assert Crossing.objects.get().crossed_at == july
    assert (delivery.state, delivery.reason) == (DeliveryState.NOT_SENT, "not sent: past period")
    assert Alert.objects.get().facts["next"] == "The period is over, so nothing is switched for it."


def test_a_threshold_passed_only_with_unclassified_tokens_is_told_as_may_have():
    make_budget()
    consume(60)

    found = consume(15, tier="unclassified")

    alert = Alert.objects.get()
    assert told(found) == [("may_have", 70, 1)]
    assert "may have passed 70 %, 60.0 % of 100 frontier tokens used" in alert.title
    assert "75.0 % of the limit would be used" in alert.facts["summary"]
    assert ["Unclassified beside it", "15 tokens"] in alert.facts["rows"]


def test_may_have_is_told_once_and_passing_for_sure_is_told_besides():
    make_budget()
    consume(60)
    consume(15, tier="unclassified")

    found = [told(consume(1, tier="unclassified")), told(consume(9)), told(consume(1))]

    assert found == [[], [], [("actual", 70, 1)]]


def test_may_have_is_no_news_where_the_threshold_was_passed_for_sure():
    make_budget()
    consume(75)
    consume(-10)

    assert consume(10, tier="unclassified") == []


def test_a_batch_may_pass_one_threshold_surely_and_another_perhaps():
    make_budget()

    found = counters.consume(
        consumptions=[
            make_consumption(input_tokens=75),
            make_consumption(input_tokens=20, tier="unclassified"),
        ],
        at=NOON,
        explain=None,
    )

    assert told(found) == [("actual", 70, 1), ("may_have", 90, 1)]
    assert Alert.objects.count() == 2


def test_the_alert_says_everything_that_field_notes_ask_for():
    use_case, team = make_use_case(), make_team("support")
    UseCaseTeam.objects.create(use_case=use_case, team=team, valid=("2026-01-01T00:00Z", None))
    budget = make_budget(amount=Decimal(2_000_000), action="downgrade", owner="lead@example.com")
    asked = []

    def explain(definition, period):
        asked.append((definition.id, period.first_day.isoformat()))
        return {
            "rows": [("Most of it", "gpt-5.5@openai, 81.2 %")],
            "links": [("Spend", "/spend/?use_case=support-routing")],
            "daily": {NOON.date() - timedelta(days=days): Decimal(100_000) for days in range(1, 15)},
        }

    daily = {NOON.date() - timedelta(days=days): Decimal(100_000) for days in range(1, 15)}
    forecasts.look(daily={budget.pk: daily}, at=NOON)

    consume(1_428_571, explain=explain)
    consume(1, explain=explain)

    alert = Alert.objects.get()
    assert asked == [(budget.pk, "2026-06-01")]
    assert (alert.kind, alert.subject_kind, alert.subject_id) == ("budget_crossing", "budget", budget.pk)
    assert (alert.budget_id, alert.team_ids, alert.severity) == (budget.pk, [team.pk], Severity.WARNING)
    assert alert.title == "support frontier, June 2026: 71.4 % of 2,000,000 frontier tokens used"
    assert alert.facts == {
        "summary": "support frontier has used 1,428,571 frontier tokens of 2,000,000 frontier tokens: "
        "71.4 % of the limit, with 48.3 % of the period gone.",
        "rows": [
            ["Used", "1,428,571 frontier tokens"],
            ["Limit", "2,000,000 frontier tokens (version 1)"],
            ["Per cent of the limit used", "71.4 %"],
            ["Thresholds passed", "70 %"],
            ["Period", "1 June 2026 to 30 June 2026 (UTC)"],
            ["Per cent of the period gone", "48.3 %"],
            ["Runs out at this pace", "on 21 June 2026"],
            ["Expected at the end of the period", "2,978,571 frontier tokens, 148.9 % of the limit"],
            ["Covers", "use case support-routing"],
            ["Most of it", "gpt-5.5@openai, 81.2 %"],
            ["Owner", "lead@example.com"],
        ],
        "links": [["Budget", f"/budgets/{budget.pk}/"], ["Spend", "/spend/?use_case=support-routing"]],
        "next": "At 100 % gateways are told to send what it covers to the cheaper targets of their rules up to and "
        "including 30 June 2026. Calls already under way are not stopped.",
    }


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"action": "alert"}, "This budget only alerts"),
        ({"action": "block"}, "From now on gateways are told to refuse what it covers"),
        ({"action": "block", "trial": True}, "Were it not a trial, gateways would now refuse what it covers"),
    ],
)
def test_the_alert_says_what_happens_at_the_limit(overrides, words):
    make_budget(**overrides)

    consume(100)

    assert Alert.objects.get().facts["next"].startswith(words)


# --- what the publisher reads ---------------------------------------------------------------------------------------


def change():
    row = Change.objects.get()
    return row.states, row.next_at


def test_states_move_only_when_an_enforcing_budget_becomes_exceeded_or_ceases_to_be():
    make_budget(action="block")
    states, _ = change()
    july = datetime(2026, 7, 1, tzinfo=UTC)

    seen = []
    for tokens in (99, 1, 1, -1, -1):
        consume(tokens)
        seen.append((change()[0] - states, change()[1]))

    assert seen == [(0, None), (1, july), (1, july), (1, july), (2, july)]


@pytest.mark.parametrize("overrides", [{"action": "alert"}, {"action": "downgrade", "trial": True}])
def test_budgets_that_enforce_nothing_do_not_move_states(overrides):
    make_budget(**overrides)
    before = change()

    consume(150)

    assert change() == before


def test_a_period_over_or_ahead_does_not_move_states_but_one_ahead_is_looked_at_when_it_begins():
    make_budget(action="block")
    before, july = change(), datetime(2026, 7, 1, tzinfo=UTC)

    consume(150, at=july)
    assert change() == before
    Counter.objects.all().delete()

    consume(150, occurred_at=july, at=july - timedelta(minutes=5))
    assert change() == (before[0], july)


def test_looking_at_the_time_moves_on_when_the_instant_has_come():
    make_budget(action="block")
    consume(150)
    states, july = change()

    looking.look_at_time(at=july - timedelta(seconds=1))
    before = change()
    looking.look_at_time(at=july)
    looking.look_at_time(at=july)

    assert before == (states, july)
    assert change() == (states + 1, None)


@pytest.mark.parametrize("action", ["block", "alert"])
def test_a_limit_that_starts_and_ends_by_date_is_evaluated_then_whatever_happens_at_it(action):
    budget = make_budget(action=action)
    consume(60)
    starts, ends = NOON + timedelta(days=1), NOON + timedelta(days=2)
    budgets.set_limit(
        budget=budget,
        amount=Decimal(50),
        starts_at=starts,
        ends_at=ends,
        reason="a quiet day",
        by="a@example.com",
        approved_by="b@example.com",
        at=NOON,
    )
    noticed = [change()[1]]

    found = []
    for at in (NOON, starts, starts, ends):
        found.append(told(looking.look_at_time(at=at)))
        noticed.append(change()[1])

    assert found == [[], [("actual", 70, 2), ("actual", 90, 2), ("actual", 100, 2)], [], []]
    assert noticed == [starts, starts, ends, ends, None]


def test_looking_finds_what_a_process_that_died_left_untold():
    budget = make_budget()
    consume(60)
    budget.limits.create(
        version=2, amount=Decimal(80), reason="r", by="a", approved_by="b", created_at=NOON
    )  # committed, and then its process was gone

    found = looking.look_at_time(at=NOON)

    assert told(found) == [("actual", 70, 2)]


# --- cost -----------------------------------------------------------------------------------------------------------


def queries(call):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        call()
    return [one["sql"] for one in captured if "SAVEPOINT" not in one["sql"]]


def test_a_booking_that_crosses_nothing_costs_two_queries_however_many_budgets_there_are():
    for number in range(5):
        make_budget(name=f"budget {number}", amount=Decimal(10_000), action="block")
    consume(7_500)
    consume(1, tier="unclassified")

    assert len(queries(lambda: consume(1, 2, 3))) == 2
    assert len(queries(lambda: consume(1, use_case="chat"))) == 1


def test_looking_costs_six_queries_where_there_is_nothing_to_do():
    make_budget(action="block")
    consume(75)

    assert len(queries(lambda: looking.look_at_time(at=NOON))) == 6


def test_definitions_that_were_rolled_back_are_forgotten():
    make_budget(name="one")
    before = transaction.savepoint()
    make_budget(name="never was")
    seen = len(definitions.current().by_id)
    transaction.savepoint_rollback(before)
    make_budget(name="other")

    assert seen == 2
    assert sorted(one.name for one in definitions.current().by_id.values()) == ["one", "other"]


# --- threads --------------------------------------------------------------------------------------------------------


def in_threads(number, call):
    gate = Barrier(number)

    def one(index):
        try:
            gate.wait()
            return call(index)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


@pytest.mark.django_db(transaction=True)
def test_eight_bookings_at_once_cross_each_threshold_once():
    budget = make_budget(amount=Decimal(1000))

    def book(_):
        found = []
        for _ in range(5):
            with transaction.atomic():
                barrier.hold_shared()
                found += consume(25)
        return found

    found = [one for each in in_threads(8, book) for one in each]

    assert Counter.objects.get(budget=budget).used == 1000
    assert sorted(one.threshold for one in found) == [70, 90, 100]
    assert sorted(Crossing.objects.values_list("threshold", flat=True)) == [70, 90, 100]
    assert Alert.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_bookings_of_many_budgets_at_once_wait_for_each_other_in_one_order():
    names = [f"case-{number}" for number in range(6)]
    for name in names:
        make_use_case(name)
        make_budget(name=name, scope={"use_case": [name]}, action="block")
    make_budget(name="all", scope={}, action="block")

    def book(index):
        for turn in range(5):
            order = names if (index + turn) % 2 else names[::-1]
            with transaction.atomic():
                barrier.hold_shared()
                counters.consume(
                    consumptions=[make_consumption(use_case=name, input_tokens=3) for name in order], at=NOON
                )

    in_threads(8, book)

    assert sorted(Counter.objects.values_list("used", flat=True)) == [120] * 6 + [720]
    assert Crossing.objects.count() == 7 * 3


@pytest.mark.django_db(transaction=True)
def test_a_limit_lowered_while_bookings_run_is_crossed_once_whoever_finds_it():
    budget = make_budget(amount=Decimal(10_000))

    def work(index):
        if index == 0:
            budgets.set_limit(budget=budget, amount=Decimal(100), reason="r", by="a", approved_by="b", at=NOON)
            return
        for _ in range(5):
            with transaction.atomic():
                barrier.hold_shared()
                consume(5)

    in_threads(8, work)

    assert Counter.objects.get(budget=budget).used == 175
    assert sorted(Crossing.objects.filter(limit__version=2).values_list("threshold", flat=True)) == [70, 90, 100]
