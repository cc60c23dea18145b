"""A limit that the present month has used in part must suit the months before it, too."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from controlplane.seed import company, story

BERLIN = ZoneInfo(company.ZONE)


def used_by_support(now: datetime) -> list[int]:
    """Return support's frontier tokens of the three months."""
    plan = story.plan(now=now, zone=company.ZONE, events=20_000)
    used = dict.fromkeys(plan.months, 0)
    for day in plan.days:
        used[day.replace(day=1)] += story.frontier_tokens(story.of_use_case(plan, story.SUPPORT, day))
    return list(used.values())


@pytest.mark.parametrize("day", [1, 2, 4, 7, 10, 13, 16, 21, 28])
def test_support_s_limit_would_have_lasted_for_the_months_before_whatever_the_day(day):
    oldest, last, this = used_by_support(datetime(2026, 12, day, 0, 30, tzinfo=BERLIN))

    limit = this / 0.77
    assert oldest < last < limit * 1.05


def test_a_month_that_is_not_young_any_more_has_no_backlog():
    plan = story.plan(now=datetime(2026, 11, 20, 12, tzinfo=BERLIN), zone=company.ZONE, events=3_000)

    told = story.of_use_case(plan, story.SUPPORT, plan.months[2])

    assert not [event for event in told if event.rule == "support-backlog"]
