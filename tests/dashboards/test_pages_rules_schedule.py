"""A draft's page and its schedule: who may, what is refused with which words, and what is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from core.models import Organisation
from routing.models import Proposal, Schedule
from routing.services import proposals, schedules
from tests.dashboards.making_rules import PRODUCTION, ROLES, at, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.routing import making
from tests.routing.making import LEAD, make_content, make_rule

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
PUBLISHERS = {"engineer", "approver", "platform", "admin"}


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()
    Organisation.objects.update(zone="Europe/Berlin")


def approved(title: str = "a change") -> Proposal:
    return making.make_approved(title=title, at=timezone.now())


def scheduled(proposal: Proposal, *, days: int = 1, by: str = LEAD) -> Schedule:
    now = timezone.now()
    return schedules.schedule(proposal_id=proposal.pk, publish_at=now + days * DAY, by=by, at=now)


def on_the_clock(instant: datetime) -> str:
    return f"{timezone.localtime(instant, ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M}"


def sent(proposal: Proposal, **given: Any) -> dict[str, Any]:
    return {"saves": str(proposal.saves), **given}


def next_year(month: int, day: int) -> int:
    """Return the year in which this day comes next, a day from now on."""
    now = timezone.now()
    return now.year if datetime(now.year, month, day, tzinfo=UTC) > now + DAY else now.year + 1


def last_sunday(month: int) -> datetime:
    """Return the next last Sunday of a month of 31 days, when clocks in Berlin jump."""
    year = next_year(month, 24)
    last = datetime(year, month, 31, tzinfo=UTC)
    return last - timedelta(days=(last.weekday() + 1) % 7)


def test_a_draft_is_scheduled_seen_everywhere_moved_and_cancelled(client):
    version_of()
    proposal = making.make_approved(make_content(make_rule(fallbacks=[])), title="later", at=timezone.now())
    person = signed_in(client, "engineer")
    first, second = timezone.now() + DAY, timezone.now() + 2 * DAY

    answer = client.post(at(proposal, "schedule/"), sent(proposal, publish_at=on_the_clock(first)), follow=True)

    made = Schedule.objects.get()
    assert (made.state, made.made_by) == ("waiting", person.email)
    assert made.publish_at == first.replace(second=0, microsecond=0)
    words = f"scheduled for {timezone.localtime(first, ZoneInfo('Europe/Berlin')):%-d %b %Y, %H:%M %Z}"
    page = answer.content.decode()
    assert words in page
    assert words in client.get(PRODUCTION).content.decode()
    assert "Move the schedule" in page
    assert "Publish it later" not in page

    moved = {"publish_at": on_the_clock(second), "seen": made.publish_at.isoformat()}
    client.post(at(proposal, "reschedule/"), sent(proposal, **moved))
    client.post(at(proposal, "unschedule/"), sent(proposal, why="not this week"))

    states = list(Schedule.objects.order_by("id").values_list("state", "why"))
    assert states[1] == ("cancelled", "not this week")
    assert states[0][1].startswith("moved to")
    assert "Publish it later" in client.get(at(proposal)).content.decode()


@pytest.mark.parametrize("role", ROLES)
def test_who_may_publish_may_schedule_and_nobody_else(client, role):
    proposal = approved()
    signed_in(client, role)

    shown = "Publish it later" in client.get(at(proposal)).content.decode()
    status = client.post(
        at(proposal, "schedule/"), sent(proposal, publish_at=on_the_clock(timezone.now() + DAY))
    ).status_code

    assert (shown, status) == ((True, 302) if role in PUBLISHERS else (False, 403))
    assert Schedule.objects.exists() is (role in PUBLISHERS)


@pytest.mark.parametrize("step", ["reschedule", "unschedule"])
@pytest.mark.parametrize("role", ["viewer", "finance"])
def test_who_may_not_publish_leaves_a_schedule_alone(client, role, step):
    proposal = approved()
    scheduled(proposal)
    signed_in(client, role)

    page = client.get(at(proposal)).content.decode()
    answer = client.post(at(proposal, f"{step}/"), sent(proposal, why="mine", publish_at=on_the_clock(timezone.now())))

    assert answer.status_code == 403
    assert "Scheduled for" in page
    assert "the schedule</summary>" not in page
    assert Schedule.objects.get().state == "waiting"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Write a day and a time."),
        ("tomorrow", "Write a day as 2026-11-01, or a moment as 2026-11-01 14:30."),
        ("2026-02-30 10:00", "Write a day as"),
        ("2026-01-01 25:00", "Write a day as"),
        ("2001-01-01", "This has passed: choose a moment to come."),
        ("0001-01-01", "That is no year to come."),
        ("2199-01-01", "At most a year ahead."),
        ("2026-\u0661\u0661-01", "Write a day as"),
        ("\x00", "Null characters are not allowed."),
    ],
)
def test_what_is_no_moment_to_come_is_said_at_its_field_and_nothing_is_lost(client, typed, says):
    proposal = approved()
    signed_in(client, "engineer")

    answer = client.post(at(proposal, "schedule/"), sent(proposal, publish_at=typed))

    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not Schedule.objects.exists()


def test_a_time_that_the_clocks_skip_is_refused_and_says_so(client):
    proposal = approved()
    signed_in(client, "engineer")

    answer = client.post(at(proposal, "schedule/"), sent(proposal, publish_at=f"{last_sunday(3):%Y-%m-%d} 02:30"))

    assert answer.status_code == 422
    assert "The clocks of Europe/Berlin skip that moment." in answer.content.decode()


def test_a_time_that_the_clocks_show_twice_is_asked_about_and_taken_with_its_offset(client):
    proposal = approved()
    signed_in(client, "engineer")
    sunday = last_sunday(10)

    asked = client.post(at(proposal, "schedule/"), sent(proposal, publish_at=f"{sunday:%Y-%m-%d} 02:30"))
    client.post(at(proposal, "schedule/"), sent(proposal, publish_at=f"{sunday:%Y-%m-%d} 02:30+01:00"))

    assert asked.status_code == 422
    assert "show that moment twice: add an offset" in asked.content.decode()
    assert Schedule.objects.get().publish_at == sunday.replace(hour=1, minute=30)


def test_a_schedule_that_another_moved_is_not_moved_back_unseen(client):
    proposal = approved()
    made = scheduled(proposal)
    now = timezone.now()
    schedules.move(proposal_id=proposal.pk, publish_at=now + 3 * DAY, by="other@example.com", at=now)
    signed_in(client, "engineer")

    answer = client.post(
        at(proposal, "reschedule/"),
        sent(proposal, publish_at=on_the_clock(now + 2 * DAY), seen=made.publish_at.isoformat()),
    )

    assert answer.status_code == 409
    assert "other@example.com moved this" in answer.content.decode()
    assert Schedule.objects.get(state="waiting").publish_at == now + 3 * DAY


def test_cancelling_needs_a_reason(client):
    proposal = approved()
    scheduled(proposal)
    signed_in(client, "engineer")

    answer = client.post(at(proposal, "unschedule/"), sent(proposal, why=" "))

    assert answer.status_code == 422
    assert "Say why, for whoever counts on it." in answer.content.decode()
    assert Schedule.objects.get().state == "waiting"


def test_a_page_that_is_behind_schedules_nothing(client):
    proposal = approved()
    proposals.save(proposal_id=proposal.pk, saves=0, by=LEAD, at=timezone.now(), title="another title")
    signed_in(client, "engineer")

    answer = client.post(at(proposal, "schedule/"), {"saves": "0", "publish_at": on_the_clock(timezone.now() + DAY)})

    assert answer.status_code == 409
    assert not Schedule.objects.exists()


def test_a_suspended_schedule_is_told_on_the_draft_with_the_reason(client):
    version_of()
    stale = making.make_approved(make_content(make_rule(fallbacks=[])), title="stale", at=timezone.now())
    scheduled(stale, by=HOSTILE)
    version_of(make_content(make_rule(rationale="changed")), title="quick fix")
    schedules.publish_due(at=timezone.now())
    signed_in(client, "engineer")

    page = client.get(at(stale)).content.decode()
    listed = client.get(PRODUCTION).content.decode()

    assert "that was suspended" in page
    assert "quick fix" in page
    assert "approved, schedule suspended" in page
    assert "approved, schedule suspended" in listed
    assert HOSTILE not in page


def test_drafts_that_wait_for_the_same_version_are_named_to_each_other(client):
    version_of()
    one = making.make_approved(make_content(make_rule(fallbacks=[])), title="the one", at=timezone.now())
    other = making.make_approved(make_content(make_rule(rationale="x")), title="the other", at=timezone.now())
    scheduled(one)
    signed_in(client, "engineer")

    page = client.get(at(other)).content.decode()

    assert "Also scheduled here" in page
    assert f'href="{at(one)}"' in page


def test_an_approved_draft_asks_the_same_few_questions_however_much_was_scheduled(client, django_assert_num_queries):
    proposal = approved()
    signed_in(client, "engineer")
    given = {"proposal": proposal, "publish_at": timezone.now(), "made_at": timezone.now(), "made_by": LEAD}

    for _ in range(2):
        with django_assert_num_queries(16):
            client.get(at(proposal))
        Schedule.objects.bulk_create(
            Schedule(**given, state="cancelled", ended_at=timezone.now(), why="no") for _ in range(30)
        )
