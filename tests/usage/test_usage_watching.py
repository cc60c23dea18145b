"""A day that costs far more than usual is told once, of whoever it happened to, and taken back when it is over."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import pytest
from django.conf import settings
from django.db import connection

from alerts.models import Alert, AlertState, Delivery
from catalog.models import UseCase
from core.models import Organisation
from tests.alerts.making import make_channel
from tests.factories import make_team
from tests.usage import making
from tests.usage.making import DAY
from tests.usage.watching_made import HOUR, NOON, TODAY, ago, at, book, spend, usual
from usage import tasks as usage_tasks
from usage.models import RollupDay
from usage.services import months
from usage.services.watching import spending
from usage.services.watching.looked import Looked

pytestmark = pytest.mark.django_db
NOTHING = Looked()


@pytest.fixture(autouse=True)
def _offering() -> None:
    making.make_priced_offering()


def told() -> list[str]:
    return [alert.dedupe_key.split(":", 1)[1] for alert in Alert.objects.order_by("id")]


def key(name: str, day: date = TODAY) -> str:
    return f"{day}:use_case:{UseCase.objects.get(name=name).pk}"


def test_a_day_that_is_far_above_its_past_is_told_while_it_runs_and_once():
    book(usual(100), usual(300, use_case="code-review"))
    assert spending.look(at=NOON) == NOTHING
    book(spend(140))
    assert spending.look(at=NOON) == NOTHING
    book(spend(60))

    assert spending.look(at=NOON) == Looked(raised=1)
    assert spending.look(at=NOON) == NOTHING
    assert spending.look(at=NOON + 14 * HOUR) == NOTHING

    alert = Alert.objects.get()
    assert told() == [key("support-routing")]
    assert (alert.kind, alert.subject_kind, alert.state) == ("spend_unusual", "use_case", "open")
    assert alert.title == "support-routing: 200.00 USD on 29 June 2026 so far, 2.0 times what is usual"


def test_the_alert_says_what_is_usual_what_made_the_difference_and_where_to_look():
    channel = make_channel()
    Organisation.objects.update(zone="Europe/Berlin")
    making.make_offering("claude-opus-4.7@anthropic", uncached_input="10")
    team = make_team("Customer Care")
    book(usual(100, team="Customer Care", rules_version=18))
    dear = {"provider": "anthropic", "model": "claude-opus-4.7", "team": "Customer Care", "rules_version": 19}
    book(spend(100, team="Customer Care", rules_version=18), spend(200, **dear))

    spending.look(at=NOON)

    alert = Alert.objects.get()
    rows = dict(alert.facts["rows"])
    assert alert.facts["summary"] == (
        "support-routing cost 500.00 USD on 29 June 2026 by 14:00 Europe/Berlin. On a weekday 100.00 USD is usual for "
        "the whole day. It is what made the organisation's day unusual: 500.00 USD, where 100.00 USD is usual."
    )
    assert rows["Spent so far"] == "500.00 USD"
    assert rows["Usual on a weekday"] == "100.00 USD; 8 of 10 such days between 97.00 USD and 103.00 USD, by 20 days"
    assert rows["Unusual above"] == "150.00 USD"
    assert rows["Requests"] == "2, usually 1 a day"
    assert rows["Model"] == "claude-opus-4.7 400.00 USD more (100.0 % of the difference)"
    assert rows["Rules version"] == "19 (80.0 % of the day), 18 (20.0 % of the day)"
    assert "Use case" not in rows
    assert alert.facts["links"][0] == [
        "Spend of that day", "/spend/?from=2026-06-29&to=2026-06-29&use_case=support-routing&by=model",
    ]  # fmt: skip
    assert alert.team_ids == [team.pk]
    assert Delivery.objects.get().channel == channel


@pytest.mark.parametrize(
    ("calls", "mostly"),
    [
        ([spend(100, day=TODAY) for _ in range(5)], "more requests, 5.0 times the usual"),
        ([spend(500)], "more tokens for each request, 5.0 times the usual"),
        (
            [spend(0, output_tokens=20_000_000)],
            "dearer tokens (other models, less from caches, or higher prices), 6.0 times the usual",
        ),
    ],
)
def test_it_says_whether_it_was_volume_or_price(calls, mostly):
    book(usual(100), calls)

    spending.look(at=NOON)

    assert dict(Alert.objects.get().facts["rows"])["Mostly"] == mostly


def test_one_use_case_that_explains_the_organisation_s_day_is_told_alone():
    book(usual(100), usual(100, use_case="code-review"))
    book(spend(1000), spend(300, use_case="code-review"))

    spending.look(at=NOON)

    assert told() == [key("support-routing")]


def test_a_day_that_nobody_explains_is_the_organisation_s_and_nobody_s_beside_it():
    names = ["one", "two", "three"]
    book(*(usual(100, use_case=name) for name in names), *(spend(400, use_case=name) for name in names))

    assert spending.look(at=NOON) == Looked(raised=1)

    alert = Alert.objects.get()
    assert (told(), alert.subject_kind, alert.subject_id) == ([f"{TODAY}:organisation:0"], "organisation", None)
    assert alert.title.startswith("The organisation: 1,200.00 USD")
    assert dict(alert.facts["rows"])["Use case"].count("33.3 % of the difference") == 3
    book(spend(5000, use_case="one"))  # which explains it by now
    assert spending.look(at=NOON + HOUR) == NOTHING


def test_each_unusual_use_case_is_told_where_the_organisation_s_day_is_usual():
    book(usual(1000), usual(50, use_case="one", team="Growth"), usual(50, use_case="two"), usual(50, use_case="three"))
    book(
        spend(1000), spend(200, use_case="one", team="Growth"), spend(200, use_case="two"), spend(80, use_case="three")
    )

    spending.look(at=NOON)

    assert told() == sorted([key("one"), key("two")])


def test_a_team_is_told_unless_its_use_cases_say_it_already():
    names = [f"job-{n}" for n in range(6)]
    book(usual(2000), *(usual(30, use_case=name, team="Growth") for name in names))
    book(spend(2000), *(spend(85, use_case=name, team="Growth") for name in names))

    spending.look(at=NOON)

    alert = Alert.objects.get()
    assert (alert.subject_kind, alert.title.split(":")[0]) == ("team", "Growth")
    assert alert.team_ids == [alert.subject_id]


def test_yesterday_is_told_too_when_it_is_over_and_no_day_before():
    book(usual(100), spend(300, day=ago(1)), spend(300, day=ago(2)))

    spending.look(at=at(TODAY, 1))

    alert = Alert.objects.get()
    assert told() == [key("support-routing", ago(1))]
    assert alert.title == "support-routing: 400.00 USD on 28 June 2026, 3.9 times what is usual"
    assert "Usual at weekends" in dict(alert.facts["rows"])


def test_an_alert_ends_when_the_day_after_was_usual():
    book(usual(100), spend(400), spend(100, day=TODAY + DAY), spend(100, day=TODAY + 2 * DAY))

    spending.look(at=NOON)
    assert spending.look(at=NOON + DAY) == NOTHING  # the day after runs still
    assert spending.look(at=NOON + 2 * DAY) == Looked(resolved=1)

    assert Alert.objects.get().state == AlertState.RESOLVED


def test_a_level_that_holds_is_told_on_three_days_and_then_all_of_it_ends():
    book(usual(100), *(spend(400, day=TODAY + n * DAY) for n in range(5)))

    looks = [spending.look(at=NOON + n * DAY) for n in range(5)]

    assert [(one.raised, one.resolved) for one in looks] == [(1, 0), (1, 0), (1, 0), (0, 0), (0, 3)]


def test_an_alert_ends_when_a_correction_makes_its_day_usual():
    wrong = spend(400)
    book(usual(100), wrong)
    spending.look(at=NOON)

    making.send(spend(0, voids=wrong.event_id), received_at=NOON)

    assert spending.look(at=NOON + HOUR) == Looked(resolved=1)


def test_what_is_booked_late_for_a_closed_month_is_no_day_s_spend():
    book(usual(100))
    months.close_month(label=date(2026, 5, 1), by="finance@example.com", at=NOON)
    making.send(spend(4000, day=ago(30)), received_at=NOON)

    assert RollupDay.objects.filter(day=TODAY, correction_of=202605).exists()
    assert spending.look(at=NOON + HOUR) == NOTHING


def test_tasks_look_for_all_three_and_the_schedule_names_them():
    scheduled = {one["task"]: one["schedule"] for one in settings.CELERY_BEAT_SCHEDULE.values()}

    for task in (usage_tasks.watch_spending, usage_tasks.watch_frontier, usage_tasks.watch_prices):
        task()
        assert scheduled[task.name] == 600

    assert not Alert.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_several_schedulers_at_once_tell_once():
    book(usual(100), spend(400), usual(50, use_case="two"), spend(900, use_case="two"))
    ready = threading.Barrier(4)
    looked = []

    def look() -> None:
        ready.wait()
        looked.append(spending.look(at=NOON))
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.raised for one in looked) == Alert.objects.count() == 1


def test_a_look_where_all_is_well_asks_little(django_assert_num_queries):
    book(usual(100), usual(50, use_case="two", team="Growth"))

    with django_assert_num_queries(6):  # beginning and end of the transaction among them
        spending.look(at=NOON)

    book(spend(1000))
    with django_assert_num_queries(11):
        assert spending.look(at=NOON + timedelta(minutes=10)).raised == 1
