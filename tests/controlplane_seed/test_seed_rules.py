"""The demo's rules: versions that agree with what the story stamps, and what is being proposed."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalog.services import standard
from controlplane.seed import company, rules, story
from controlplane.seed.fill import _cut_a_price, _organisation, _own_models, _teams
from controlplane.seed.story import Plan
from core import periods
from routing.models import Environment, Proposal, ProposalState, Schedule, Version
from routing.rules import document, evaluator, merging
from routing.selectors import checks
from tests.drawing import FULL

BERLIN = ZoneInfo(company.ZONE)
NOW = datetime(2026, 11, 15, 12, 0, tzinfo=BERLIN)
# The first minutes of a month, its second day, the middle, a day of the clocks' change, the last hour of a month.
INSTANTS = [
    datetime(2026, 12, 1, 0, 40, tzinfo=BERLIN),
    datetime(2026, 11, 2, 9, 0, tzinfo=BERLIN),
    NOW,
    datetime(2026, 10, 25, 12, 0, tzinfo=BERLIN),
    datetime(2027, 3, 31, 23, 0, tzinfo=BERLIN),
]


def plan_at(now: datetime, events: int = 2_000) -> Plan:
    return story.plan(now=now, zone=company.ZONE, events=events)


def make_company(plan: Plan) -> None:
    """Make what rules need of the company: its catalogue."""
    founded = plan.starts_at - timedelta(days=10)
    _organisation()
    standard.load(by=company.BY, at=founded)
    _own_models(founded)
    _cut_a_price(plan)
    _teams(founded)


def content_of(version: Version) -> Any:
    return document.parse(bytes(version.canonical))


@pytest.mark.parametrize("now", INSTANTS, ids=str)
def test_every_call_of_the_story_went_where_a_rule_of_its_version_says(now):
    plan = plan_at(now)
    by_id = {
        number: {rule["id"]: rule for rule in rules.content(plan, number)["rules"]}
        for number in range(rules.BEFORE_THE_STORY, rules.CHANGES[-1].number + 1)
    }
    names = {served.model: f"{name}@{served.provider}" for name, served in story.SERVED.items()}
    seen = set()

    for work in story.WORKS:
        for day in plan.days:
            for event in story.of_use_case(plan, work.name, day):
                if event.rule == rules.TRIAL_RULE:
                    continue
                rule = by_id[event.rules_version or 0][event.rule]
                seen.add((event.rules_version, event.rule))
                chain = [target["offering"] for target in rule["targets"]] + rule["fallbacks"]
                assert rule["use_cases"] == [event.use_case]
                assert names[event.model] == chain[event.fallback_index]
                assert rules.published_at(plan, event.rules_version or 0) <= event.occurred_at

    assert len({rule for _, rule in seen}) >= 25


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("now", INSTANTS if FULL else [INSTANTS[3]], ids=str)
def test_the_history_is_published_in_order_by_four_eyes(now):
    plan = plan_at(now)
    make_company(plan)

    rules.publish_history(plan)
    rules.publish_history(plan)

    versions = list(Version.objects.order_by("number"))
    assert [one.number for one in versions] == [change.number for change in rules.CHANGES]
    assert all(earlier.published_at < later.published_at for earlier, later in pairwise(versions))
    assert versions[rules.BEFORE_THE_STORY - 1].published_at <= plan.starts_at
    assert versions[-1].published_at <= now
    assert {one.approved_by for one in versions} == {rules.APPROVER, ""}
    (back,) = (one for one in versions if one.rolls_back_to)
    assert (back.number, back.rolls_back_to) == (13, 11)
    assert content_of(back) == content_of(versions[10])
    assert Environment.objects.get().live_version == rules.CHANGES[-1].number
    (overtaken,) = Proposal.objects.exclude(state=ProposalState.PUBLISHED)
    assert (overtaken.title, overtaken.base_version) == (rules.OVERTAKEN, rules.CHANGES[-1].number - 1)
    assert versions[-2].published_at < overtaken.created_at < versions[-1].published_at


@pytest.mark.django_db(transaction=True)
def test_a_history_that_is_broken_off_goes_on_where_it_was():
    plan = plan_at(NOW)
    make_company(plan)
    first, second = rules.CHANGES[:2]
    at = rules.published_at(plan, 1)
    step = timedelta(minutes=40)
    rules._submitted(first.title, rules.content(plan, 1), at - 3 * step, step)  # and the power went
    rules.publish_history(plan)
    whole = [(one.number, bytes(one.sha256), one.published_at) for one in Version.objects.order_by("number")]

    rules.publish_history(plan)

    assert [number for number, _, _ in whole] == list(range(1, len(rules.CHANGES) + 1))
    assert [(one.number, bytes(one.sha256), one.published_at) for one in Version.objects.order_by("number")] == whole
    assert Proposal.objects.filter(title=first.title).count() == 1
    assert Proposal.objects.get(title=second.title).version == 2


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("now", INSTANTS if FULL else INSTANTS[:1], ids=str)
def test_one_proposal_waits_for_review_one_for_its_day_and_a_draft_for_a_price(now):
    plan = plan_at(now)
    make_company(plan)
    rules.publish_history(plan)

    rules.propose(plan)
    rules.propose(plan)

    waiting = Proposal.objects.get(state=ProposalState.IN_REVIEW)
    assert (waiting.title, waiting.base_version) == (rules.IN_REVIEW, rules.CHANGES[-1].number)
    live = Version.objects.get(number=rules.CHANGES[-1].number)
    assert live.published_at <= waiting.created_at <= waiting.submitted_at <= now
    schedule = Schedule.objects.get()
    assert (schedule.proposal.title, schedule.state) == (rules.SCHEDULED, "waiting")
    assert timedelta(days=1) < schedule.publish_at - now < timedelta(days=3)
    assert schedule.made_at <= now
    draft = Proposal.objects.get(title=rules.DRAFT)
    assert {problem.code for problem in checks.problems(draft.content, at=now)} == {"unknown_offering"}
    assert draft.created_at <= now


@pytest.mark.django_db(transaction=True)
def test_the_overtaken_draft_and_the_newest_version_disagree_about_one_condition():
    plan = plan_at(NOW)
    make_company(plan)
    rules.publish_history(plan)
    overtaken = Proposal.objects.get(title=rules.OVERTAKEN)
    base, live = (content_of(Version.objects.get(number=number)) for number in (overtaken.base_version, 21))

    merged = merging.merge(base, live, overtaken.content)

    assert {one.title for one in merged.unsettled} == {"rule code-high, condition", "rule code-high, rationale"}


def test_some_rules_are_overdue_for_review_and_most_are_not():
    for now in INSTANTS:
        plan = plan_at(now)
        live = rules.content(plan, rules.CHANGES[-1].number)["rules"]

        overdue = {rule["id"] for rule in live if rule["review_by"] < plan.days[-1].isoformat()}

        assert overdue == {"support-default", "parse-domestic"}


@pytest.mark.django_db(transaction=True)
def test_a_used_up_budget_takes_hard_questions_of_support_off_the_frontier():
    plan = plan_at(NOW)
    make_company(plan)
    rules.publish_history(plan)
    live = content_of(Version.objects.get(number=rules.CHANGES[-1].number))
    support = {"use_case": [story.SUPPORT], "tier": ["frontier"]}
    until = periods.day_start(periods.add_months(plan.months[2], 1), company.ZONE)
    exceeded = {
        "id": "b-1", "match": support, "state": "exceeded", "action": "downgrade",
        "until": until.astimezone(ZoneInfo("UTC")).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    request = {"use_case": story.SUPPORT, "task": "tool-use", "complexity": "0.8", "request_id": "r-1"}

    def decided(budgets: list[dict[str, Any]]) -> Any:
        served = {
            "spec": 1, "environment": rules.ENVIRONMENT, "version": 21, **live,
            "state": {"revision": 1, "budgets": budgets, "switches": [], "orders": {}, "canary": None},
        }  # fmt: skip
        return evaluator.compile(served).decide(request, now=NOW)

    usual, downgraded = decided([]), decided([exceeded])

    assert (usual.offering, usual.rule, usual.reason) == ("gpt-5.5@openai", "support-hard", "rule")
    assert (downgraded.offering, downgraded.reason) == ("claude-sonnet-4.6@anthropic", "over_budget")
    assert not {"gpt-5.5@openai", "claude-opus-4.7@anthropic"} & set(downgraded.fallbacks)
