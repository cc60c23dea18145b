"""Shares on frontier models that rise, and tokens without a price, are told once and taken back when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest

from alerts.models import Alert, AlertState
from catalog.models import Tier, UseCase
from tests.factories import make_team
from tests.usage import making
from tests.usage.making import DAY
from tests.usage.watching_made import HOUR, NOON, TODAY, ago, at, book
from usage import tasks as usage_tasks
from usage.events import Event
from usage.services.watching import drifting, unpriced
from usage.services.watching.looked import Looked

pytestmark = pytest.mark.django_db
NOTHING = Looked()
CHEAP = {"provider": "google", "model": "gemini-3-flash"}


@pytest.fixture(autouse=True)
def _offerings() -> None:
    making.make_offering(uncached_input="5", output="0")
    making.make_offering("gemini-3-flash@google", tier=Tier.ECONOMY, uncached_input="1", output="0")


def calls(days: Iterable[date], *, on_frontier: int, of: int = 20, **overrides: Any) -> list[Event]:
    """Make answered calls of a million tokens on each day, some of them on a frontier model by a fallback."""
    made = []
    for day in days:
        for n in range(of):
            how = {"fallback_index": 1, "route_reason": "fallback"} if n < on_frontier else CHEAP
            given = {
                "occurred_at": at(day),
                "uncached_input_tokens": 1_000_000,
                "output_tokens": 0,
                "rule": "default-1",
            }
            made.append(making.make_event(**{**given, **how, **overrides}))
    return made


def last(days: int, *, before: int = 0) -> list[date]:
    return [ago(n) for n in range(days + before, before, -1)]


def told() -> list[str]:
    return [alert.dedupe_key for alert in Alert.objects.order_by("id")]


def use_case_id(name: str = "support-routing") -> int:
    return UseCase.objects.get(name=name).pk


def test_a_share_that_rose_under_a_version_is_told_once_with_what_grew_and_what_it_costs():
    team = make_team("Customer Care")
    book(calls(last(7, before=7), on_frontier=1, rules_version=18, team="Customer Care"))
    book(calls(last(7), on_frontier=8, rules_version=19, team="Customer Care"))

    assert drifting.look(at=NOON) == Looked(raised=1)
    assert drifting.look(at=NOON + DAY) == NOTHING

    alert = Alert.objects.get()
    rows = dict(alert.facts["rows"])
    assert (alert.kind, alert.subject_id, alert.team_ids) == ("frontier_drift", use_case_id(), [team.pk])
    assert told() == [f"frontier_drift:{use_case_id()}:v19:production"]
    assert alert.title == (
        "support-routing: 40.0 % on frontier models since version 19 of the rules, 5.0 % before"
    )  # fmt: skip
    assert rows["Share before"] == "5.0 %: 7 of 140 answered, 15 June 2026 to 21 June 2026, version 18"
    assert rows["Share now"] == "40.0 %: 56 of 140 answered, 22 June 2026 to 28 June 2026, version 19"
    assert rows["What grew"] == "rule default-1, by a fallback: 40.0 % of all answered, 5.0 % before"
    assert rows["Costs more a week"] == "about 196.00 USD, for 49 more requests on frontier"
    assert rows["Cost per answered request"] == "5.00 USD on frontier, 1.00 USD elsewhere"
    assert ["What version 19 changed", "/rules/production/compare/?before=18&after=19"] in alert.facts["links"]
    assert alert.facts["next"].startswith("Find out why the first choice of rule default-1 fails")


def test_a_share_that_rose_without_a_version_is_told_and_not_again_for_four_weeks():
    book(calls(last(21, before=7), on_frontier=1), calls(last(7), on_frontier=5))

    assert drifting.look(at=NOON) == Looked(raised=1)
    book(calls([TODAY], on_frontier=20))
    assert drifting.look(at=NOON + DAY) == NOTHING
    assert drifting.look(at=NOON + 6 * DAY) == NOTHING

    alert = Alert.objects.get()
    assert told() == [f"frontier_drift:{use_case_id()}:{ago(1)}:production"]
    assert alert.title == "support-routing: 25.0 % on frontier models in a week, 5.0 % before"
    assert alert.facts["summary"].endswith("No new version of the rules explains it.")
    assert [text for text, _ in alert.facts["links"]] == ["Routing of these weeks", "Spend by rule"]


def test_what_was_under_way_before_a_version_is_not_its_doing():
    book(calls(last(7, before=14), on_frontier=1, rules_version=18))
    book(calls(last(7, before=7), on_frontier=5, rules_version=18))
    book(calls(last(7), on_frontier=9, rules_version=19))

    assert drifting.look(at=NOON) == Looked(raised=1)

    assert told() == [f"frontier_drift:{use_case_id()}:{ago(1)}:production"]


def test_only_answered_requests_of_whole_days_count_each_use_case_and_environment_alone():
    book(calls(last(14, before=7), on_frontier=1))
    book(calls(last(7), on_frontier=1), calls(last(7), on_frontier=20, status="error"))
    book(calls([TODAY], on_frontier=300, of=300))
    book(calls(last(21), on_frontier=0, use_case="code-review"))
    book(calls(last(7), on_frontier=20, use_case="code-review"), environment="staging")

    assert drifting.look(at=NOON) == NOTHING


def test_a_drift_ends_when_the_share_went_back_and_no_sooner_than_after_a_week():
    book(calls(last(14, before=7), on_frontier=1), calls(last(7), on_frontier=5))
    drifting.look(at=NOON)
    book(calls([TODAY + n * DAY for n in range(8)], on_frontier=1))

    assert drifting.look(at=NOON + 6 * DAY) == NOTHING
    assert drifting.look(at=NOON + 8 * DAY) == Looked(resolved=1)

    assert Alert.objects.get().state == AlertState.RESOLVED


def test_a_look_at_shares_asks_little(django_assert_num_queries):
    book(calls(last(14, before=7), on_frontier=1), calls(last(7), on_frontier=1))
    with django_assert_num_queries(6):  # beginning and end of the transaction among them
        drifting.look(at=NOON)

    book(calls(last(7), on_frontier=8, of=8))
    with django_assert_num_queries(12):
        assert drifting.look(at=NOON).raised == 1


# --- tokens without a price ---


def use(tokens: int, *, day: date = TODAY, **overrides: Any) -> Event:
    given = {"occurred_at": at(day), "uncached_input_tokens": tokens, "output_tokens": 0}
    return making.make_event(**{**given, **overrides})


def strange(tokens: int, *, day: date = TODAY, name: str = "kimi-k3") -> Event:
    return use(tokens, day=day, provider="moonshot", model=name)


def test_more_than_one_per_cent_without_a_price_is_told_while_the_day_runs_and_once_while_it_lasts():
    book(use(1_000_000, day=ago(1)), use(10_000), strange(9_000))
    assert unpriced.look(at=NOON) == NOTHING  # not yet a hundredth of a day as yesterday was
    book(strange(3_000), strange(2_000, name="kimi-k4"))

    assert unpriced.look(at=NOON) == Looked(raised=1)
    assert unpriced.look(at=NOON + HOUR) == NOTHING
    assert unpriced.look(at=NOON + 20 * HOUR) == NOTHING

    alert = Alert.objects.get()
    rows = dict(alert.facts["rows"])
    assert (alert.kind, alert.title) == ("unpriced_share", "58.3 % of the tokens of 29 June 2026 so far are unpriced")
    assert rows["Unpriced tokens"] == "14,000 of 24,000 (58.3 %)"
    assert rows["kimi-k3@moonshot"] == "12,000 tokens in 2 requests"
    assert rows["kimi-k4@moonshot"] == "2,000 tokens in 1 requests"
    assert alert.facts["links"][0] == ["What is unpriced", "/attention/?list=unpriced"]


def test_it_is_known_by_the_day_it_began_and_ends_when_the_price_arrives():
    book(*(use(1_000_000, day=day) for day in last(3)), *(strange(50_000, day=day) for day in last(3)))
    unpriced.look(at=NOON)
    assert told()[0].startswith(f"unpriced_share:{ago(3)}:")
    assert dict(Alert.objects.get().facts["rows"])["Since"] == "26 June 2026"

    making.make_offering("kimi-k3@moonshot", uncached_input="1")
    usage_tasks.run_jobs()

    assert unpriced.look(at=NOON + HOUR) == Looked(resolved=1)


def test_what_somebody_settled_by_hand_is_not_told_again_while_it_lasts_and_another_offering_is():
    book(*(use(1_000_000, day=day) for day in (*last(2), TODAY)), *(strange(50_000, day=day) for day in last(2)))
    unpriced.look(at=NOON)
    Alert.objects.update(state=AlertState.RESOLVED, resolved_at=NOON)

    assert unpriced.look(at=NOON + HOUR) == NOTHING
    book(strange(90_000, name="kimi-k4"))
    assert unpriced.look(at=NOON + HOUR) == Looked(raised=1)


def test_a_look_at_prices_asks_little(django_assert_num_queries):
    book(use(1_000_000, day=ago(1)), use(1_000_000))

    with django_assert_num_queries(6):  # beginning and end of the transaction among them
        unpriced.look(at=NOON)
