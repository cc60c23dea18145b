"""How far a budget can be used beyond its limit: measured times and rates, and what no limit reaches."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from budgets.models import Budget
from budgets.selectors import definitions, overview
from dashboards.selectors import overshoot
from dashboards.selectors.overshoot import Overshoot
from dashboards.views import budgets_overshoot
from dashboards.views.budgets_overshoot import Shown, seconds
from routing.models import GatewayPoll
from tests.dashboards.seeing import signed_in
from tests.factories import make_budget
from tests.usage import making
from tests.usage.making import NOON

pytestmark = pytest.mark.django_db
DASH = "\N{EN DASH}"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _offering() -> None:
    making.make_priced_offering()


def call(usd: int, *, at: datetime, lag_s: int = 4, booking_s: int = 2, gateway: str = "edge", **event: Any) -> None:
    """Book a call that cost so much, as its gateway reported it so many seconds later."""
    made = making.make_event(occurred_at=at, uncached_input_tokens=usd * 200_000, output_tokens=0, **event)
    received = at + lag_s * SECOND
    making.send(made, gateway=gateway, received_at=received, booked_at=received + booking_s * SECOND)


def poll(gateway: str = "edge", *, pause_ms: int | None = 5_000, ago: timedelta = MINUTE, instance: str = "") -> None:
    GatewayPoll.objects.create(
        gateway=making.make_gateway(gateway), environment="production", instance=instance, polled_at=NOON - ago,
        pause_ms=pause_ms,
    )  # fmt: skip


def budget(**overrides: Any) -> Budget:
    given = {"unit": "usd", "scope": {}, "amount": Decimal(1000), "action": "block", "at": NOON - 3 * HOUR}
    return make_budget(**{**given, **overrides})


def bound(of: Budget, at: datetime = NOON) -> Overshoot | None:
    row = overview.one(budget_id=of.pk, at=at)
    assert row is not None
    return overshoot.bound(definition=definitions.current().by_id[of.pk], row=row, at=at)


def shown(of: Budget, at: datetime = NOON) -> Shown | None:
    row = overview.one(budget_id=of.pk, at=at)
    assert row is not None
    return budgets_overshoot.of(definition=definitions.current().by_id[of.pk], row=row, at=at)


def test_the_bound_is_the_rate_of_each_gateway_times_the_time_until_it_knows():
    made = budget()
    call(36, at=NOON - HOUR)
    call(72, at=NOON - 16 * MINUTE, gateway="slow", lag_s=20, booking_s=2)
    poll()
    poll("slow", pause_ms=30_000)

    found = bound(made)

    assert [(one.gateway, one.per_hour, one.delay_s) for one in found.gateways] == [
        ("slow", 72, 20 + 2 + 1 + 30),
        ("edge", 36, 4 + 2 + 1 + 5),
    ]
    assert found.per_hour == 108
    assert found.amount == Decimal("1.06") + Decimal("0.12")
    assert (found.share, found.so_far) == (Decimal("0.00118"), None)


def test_the_rate_is_the_last_full_hour_s_or_the_day_s_mean_where_that_is_more():
    made = budget()
    poll()
    call(240, at=NOON - 5 * HOUR)

    assert [one.per_hour for one in bound(made).gateways] == [10]
    call(7, at=NOON - 10 * MINUTE)
    assert [one.per_hour for one in bound(made).gateways] == [Decimal(247) / 24]
    call(50, at=NOON - 5 * MINUTE)
    assert [one.per_hour for one in bound(made).gateways] == [57]
    assert [one.per_hour for one in bound(made, NOON - 6 * MINUTE).gateways] == [Decimal(240) / 24]  # that quarter runs
    assert bound(made, NOON + 2 * making.DAY).gateways == []


def test_only_what_the_budget_counts_sets_its_rate():
    made = budget(unit="frontier_tokens", scope={"use_case": ["support-routing"]}, amount=Decimal(10**9))
    making.make_offering("gemini-3-flash@google", tier=None, uncached_input="1")
    call(1, at=NOON - 20 * MINUTE)
    call(1, at=NOON - 20 * MINUTE, use_case="other")
    call(1, at=NOON - 20 * MINUTE, provider="google", model="gemini-3-flash")
    poll(pause_ms=0)

    assert [(one.gateway, one.per_hour) for one in bound(made).gateways] == [("edge", 200_000)]


def test_a_scope_on_tags_has_a_rate_too():
    made = budget(scope={"tag:env": ["prod"]})
    poll()
    call(6, at=NOON - 20 * MINUTE, tags={"env": "prod"})
    call(9, at=NOON - 20 * MINUTE, tags={"env": "test"})

    assert [(one.gateway, one.per_hour) for one in bound(made).gateways] == [("edge", 6)]


def test_a_gateway_whose_polls_wait_adds_no_time_and_one_that_never_asks_is_held_to_nothing():
    made = budget()
    call(36, at=NOON - HOUR)
    call(10, at=NOON - HOUR, gateway="deaf")
    call(10, at=NOON - HOUR, gateway="fresh")
    poll(pause_ms=0)
    poll("deaf", ago=25 * HOUR)
    poll("fresh", pause_ms=None)

    found, said = bound(made), shown(made)

    assert found.gateways[0].delay_s == 7
    assert (found.held_to_nothing, found.not_measured) == (["deaf"], ["fresh"])
    assert found.amount == found.gateways[0].amount
    assert [(line.gateway, line.polls, line.amount) for line in said.lines] == [
        ("edge", "waits", "$0.0700"), ("deaf", "never", DASH), ("fresh", DASH, DASH),
    ]  # fmt: skip
    assert [text.split(" not ")[0] for text in said.warnings] == ["deaf did", "Of fresh"]


def test_a_budget_that_is_used_up_says_by_how_much_it_was_passed():
    made = budget(amount=Decimal(40))
    poll()
    call(42, at=NOON - HOUR)

    assert bound(made).so_far == 2
    said = shown(made).so_far
    assert said.startswith("So far $2.00 was used beyond the limit, 5.0\N{NO-BREAK SPACE}% of it. That is more than")


@pytest.mark.parametrize(
    ("how", "begins"),
    [
        ({"action": "block"}, "At most about $0.12, "),
        (
            {"action": "alert"},
            "This budget only alerts: nothing is held back at its limit. If it were",
        ),
        ({"action": "block", "trial": True}, "This budget is on trial: nothing is held back"),
    ],
)
def test_the_answer_says_whether_anything_is_held_back(how, begins):
    made = budget(**how)
    call(36, at=NOON - HOUR)
    poll()

    assert shown(made).headline.startswith(begins)


def test_without_use_or_without_a_known_time_it_says_so():
    made = budget()
    assert shown(made).headline.startswith("Nothing was used in the last 24 hours")

    call(36, at=NOON - HOUR)
    assert shown(made).headline == "How far use can go is not bounded, or not known yet."


def test_while_a_budget_is_counted_nothing_is_said():
    assert bound(budget(live=False)) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, DASH),
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (119, "119 s"),
        (720, "12 min"),
        (12_600, "3.5 h"),
    ],
)
def test_times_are_as_people_read_them(value, text):
    assert seconds(value) == text


def test_three_queries_tell_the_bound(django_assert_num_queries):
    made = budget()
    call(36, at=NOON - HOUR)
    row, definition = overview.one(budget_id=made.pk, at=NOON), definitions.current().by_id[made.pk]

    with django_assert_num_queries(3):
        overshoot.bound(definition=definition, row=row, at=NOON)


def test_the_page_of_a_budget_shows_it(client):
    made = budget(at=NOON, name="<b>hostile</b>")
    signed_in(client, "viewer")

    page = client.get(f"/budgets/{made.pk}/").content.decode()

    assert "What can be used beyond the limit" in page
    assert "Nothing was used in the last 24 hours" in page
