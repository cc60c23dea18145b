"""What the demo's company did: the same for a seed and a day, and each turn of its story told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from controlplane.seed import company, story
from core import periods
from usage.events import Event

BERLIN = ZoneInfo(company.ZONE)
NOW = datetime(2026, 11, 20, 14, 30, tzinfo=BERLIN)
DAY = timedelta(days=1)

# A month has just begun (by 20 s, by half an hour), one day is over, its middle, its last hour; and both changes of
# the clocks.
INSTANTS = [
    datetime(2026, 11, 1, 0, 0, 0, tzinfo=BERLIN),
    datetime(2026, 11, 1, 0, 0, 20, tzinfo=BERLIN),
    datetime(2027, 1, 1, 0, 30, tzinfo=BERLIN),
    datetime(2026, 11, 2, 9, 0, tzinfo=BERLIN),
    datetime(2026, 11, 15, 12, 0, tzinfo=BERLIN),
    datetime(2026, 10, 31, 23, 30, tzinfo=BERLIN),
    datetime(2027, 3, 1, 6, 0, tzinfo=BERLIN),
    datetime(2027, 3, 31, 12, 0, tzinfo=BERLIN),
]


def tell(now: datetime = NOW, **overrides) -> list[Event]:
    plan = story.plan(now=now, zone=company.ZONE, **{"events": 20_000, **overrides})
    until = plan.days[-1] + DAY
    told = [story.events(plan, gateway=name, first=plan.days[0], until=until) for name in story.GATEWAYS]
    return [event for one in told for event in one]


@cache
def told() -> list[Event]:
    return tell()


PLAN = story.plan(now=NOW, zone=company.ZONE, events=20_000)


def days(events):
    return [periods.local_day(event.occurred_at, company.ZONE) for event in events]


def share(events, wanted) -> float:
    """Return the share of answered calls for which `wanted` holds."""
    answered = [event for event in events if event.status == "ok"]
    return sum(map(wanted, answered)) / len(answered)


def week(number, **wanted):
    """Return the events of a week of the story, counted from the day of a turn where one is given."""
    start = wanted.pop("since", PLAN.days[0])
    return [
        event
        for event in told()
        if 0 <= (periods.local_day(event.occurred_at, company.ZONE) - start).days - 7 * number < 7
        and all(getattr(event, name) == value for name, value in wanted.items())
    ]


def frontier(event):
    return event.model in {story.SERVED[name].model for name in story.FRONTIER}


def test_the_same_seed_and_instant_tell_the_same_story():
    assert tell(events=3_000) == tell(events=3_000)


def test_another_seed_tells_another_one():
    ids = {event.event_id for event in tell(events=3_000)}

    assert ids.isdisjoint(event.event_id for event in tell(events=3_000, seed=7))


def test_a_later_instant_of_the_same_day_only_adds_to_the_story():
    earlier = tell(datetime(2026, 11, 20, 9, tzinfo=BERLIN), events=3_000)
    later = tell(datetime(2026, 11, 20, 18, tzinfo=BERLIN), events=3_000)

    assert {event.event_id for event in earlier} < {event.event_id for event in later}


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_it_is_told_from_two_whole_months_back_up_to_now_and_never_beyond(now):
    events = tell(now, events=3_000)

    plan = story.plan(now=now, zone=company.ZONE, events=3_000)
    times = [event.occurred_at for event in events]
    assert (plan.starts_at <= min(times), max(times) < now) == (True, True)
    assert set(days(events)) >= set(plan.days[:-1])
    assert (plan.months[0], plan.days[0]) == (periods.add_months(now.date().replace(day=1), -2), plan.months[0])
    assert 0.85 < len(events) / 3_000 < 1.15
    assert plan.starts_at < story.late_event(plan).occurred_at < periods.day_start(plan.months[1], plan.zone)


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_each_turn_of_the_story_lies_inside_it(now):
    plan = story.plan(now=now, zone=company.ZONE)

    for turn in (plan.fallback_added, plan.price_cut, plan.outage, plan.takeover, plan.experiment):
        assert plan.days[0] <= turn < plan.days[-1]
    assert plan.months[1] < plan.price_cut < plan.months[2] - timedelta(days=10)
    assert plan.outage.weekday() < 5


@pytest.mark.parametrize("now", INSTANTS[1:], ids=str)
def test_support_has_called_a_frontier_model_however_young_the_month_is(now):
    plan = story.plan(now=now, zone=company.ZONE, events=3_000)
    events = story.of_use_case(plan, story.SUPPORT, plan.months[2])

    assert sum(map(frontier, events)) >= story.LEAST_FRONTIER_CALLS
    assert story.frontier_tokens(events) > 10_000


def test_ids_are_told_once_and_a_gateway_s_events_come_in_order_of_time():
    events = told()

    assert max(Counter(event.event_id for event in events).values()) == 1
    one = list(story.events(PLAN, gateway=story.LITELLM, first=PLAN.days[0], until=PLAN.days[-1] + DAY))
    assert all(earlier.occurred_at <= later.occurred_at for earlier, later in pairwise(one))


def test_a_part_told_alone_is_the_same_as_in_the_whole():
    alone = story.of_use_case(PLAN, story.SUPPORT, PLAN.outage)

    whole = [event for event in told() if event.use_case == story.SUPPORT]
    assert alone == [event for event in whole if periods.local_day(event.occurred_at, company.ZONE) == PLAN.outage]


def test_every_use_case_of_the_company_is_told_by_its_gateway_and_no_other():
    names = {name for owned in company.TEAMS.values() for name, _, _ in owned}

    assert {event.use_case for event in told()} == names
    assert {work.gateway for work in story.WORKS} == {name for name, _ in company.GATEWAYS}


def test_support_s_share_on_frontier_creeps_up_after_the_fallback_was_added():
    since = PLAN.fallback_added
    before = [share(week(number, since=since, use_case=story.SUPPORT), frontier) for number in (-4, -2, -1)]
    after = [share(week(number, since=since, use_case=story.SUPPORT), frontier) for number in (0, 2, 4)]

    assert max(before) < 0.09
    assert [later > earlier for earlier, later in pairwise(after)] == [True] * 2
    assert after[-1] > 0.25
    fallbacks = [
        event for event in told() if event.use_case == story.SUPPORT and event.fallback_index and frontier(event)
    ]
    assert min(days(fallbacks)) >= since


def test_a_provider_fails_by_day_and_its_fallbacks_answer():
    day = periods.day_start(PLAN.outage, company.ZONE)
    failed, others = [], []
    for event in told():
        if day + timedelta(hours=9) <= event.occurred_at < day + timedelta(hours=17):
            (failed if event.provider == story.FAILED_PROVIDER else others).append(event.status == "error")

    assert sum(failed) / len(failed) > 0.8
    assert sum(others) / len(others) < 0.25
    calm = [event.status == "error" for event in told() if event.provider == story.FAILED_PROVIDER]
    assert sum(calm) / len(calm) < 0.1


def test_an_open_model_takes_over_batch_work():
    def open_model(event):
        return event.provider == "self-hosted"

    before, soon, now = (
        share(week(number, since=PLAN.takeover, use_case=story.BATCH), open_model) for number in (-1, 2, 7)
    )

    assert before == 0
    assert 0.15 < soon < 0.7
    assert now > 0.75


def test_a_model_without_a_price_appears_and_stays():
    tried = [event for event in told() if event.model == story.SERVED[story.UNPRICED_MODEL].model]

    assert min(days(tried)) >= PLAN.experiment
    assert {event.use_case for event in tried} == {"campaign-copy"}
    assert len(set(days(tried))) > 5


def test_attempts_of_one_call_share_a_group_and_name_their_place_in_the_chain():
    groups: dict[str, list[Event]] = {}
    for event in told():
        if event.call_group:
            groups.setdefault(event.call_group, []).append(event)

    for attempts in groups.values():
        attempts.sort(key=lambda event: event.fallback_index)
        assert [event.fallback_index for event in attempts] == list(range(len(attempts)))
        assert all(event.status == "error" for event in attempts[:-1])
    assert any(len(attempts) > 1 for attempts in groups.values())


def test_only_counted_meters_of_frontier_calls_make_frontier_tokens():
    at = datetime(2026, 11, 1, tzinfo=UTC)

    def event(model, status="ok"):
        return Event(
            event_id="x", occurred_at=at, use_case="u", provider="openai", model=model, status=status,
            uncached_input_tokens=1, cache_read_tokens=10, cache_write_5m_tokens=100, output_tokens=1_000,
        )  # fmt: skip

    gpt = story.SERVED["gpt-5.5"].model
    assert story.frontier_tokens([event(gpt), event("gpt-4o-mini"), event(gpt, "cache_hit")]) == 1_111
