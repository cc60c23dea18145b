"""Reminders of reviews, told once ahead and once when overdue, and the draft that confirms a rule."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection

from alerts.models import Alert, Severity
from core.errors import Invalid, NotFound
from core.models import Organisation
from routing import tasks
from routing.models import Proposal
from routing.selectors import proposals as proposal_rows
from routing.selectors import reviews as rows
from routing.services import proposals, reviews, versions
from routing.services.reviews import Looked
from tests.factories import NOON
from tests.routing.making import APPROVER, ENVIRONMENT, LEAD, PUBLISHER, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db

TODAY = NOON.date()
DAY = timedelta(days=1)
NOTHING = Looked(raised=0, resolved=0)


@pytest.fixture(autouse=True)
def _house() -> None:
    stock()


def put_in_force(**days: date) -> None:
    """Put rules in force by their review days."""
    make_version(
        make_content(*(make_rule(name, use_cases=[name], review_by=day.isoformat()) for name, day in days.items()))
    )


def told() -> list[tuple[str, int, str]]:
    return [(one.title, one.severity, one.state) for one in Alert.objects.order_by("id")]


def test_rules_are_listed_by_day_with_what_is_overdue_first():
    put_in_force(later=TODAY + 15 * DAY, over=TODAY - DAY, soon=TODAY + 14 * DAY, today=TODAY)

    found = rows.listed(today=TODAY, environment=ENVIRONMENT)

    assert [(one.rule, one.state, one.days_left) for one in found] == [
        ("over", "overdue", -1), ("today", "due", 0), ("soon", "due", 14), ("later", "later", 15),
    ]  # fmt: skip
    assert (found[0].place, found[0].owner, found[0].rationale) == (2, "platform", "the best at hard code")
    assert rows.listed(today=TODAY, environment="staging") == []


def test_only_the_version_in_force_of_each_environment_is_listed(django_assert_num_queries):
    put_in_force(old=TODAY)
    put_in_force(new=TODAY)
    draft = proposals.start(
        environment="staging", title="t", by=LEAD, at=NOON, content=make_content(make_rule(review_by=str(TODAY)))
    )
    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)
    proposals.approve(proposal_id=draft.pk, sha256=bytes(submitted.sha256 or b"").hex(), by=APPROVER, at=NOON)
    versions.publish(proposal_id=draft.pk, by=PUBLISHER, at=NOON)

    with django_assert_num_queries(2):
        found = rows.listed(today=TODAY)

    assert [(one.environment, one.version, one.rule) for one in found] == [
        ("production", 2, "new"), ("staging", 1, "code-high"),
    ]  # fmt: skip


def test_a_review_is_told_fourteen_days_ahead_and_once_more_and_graver_when_it_is_overdue():
    put_in_force(code=TODAY + 15 * DAY)

    assert reviews.look(at=NOON) == NOTHING
    assert reviews.look(at=NOON + DAY) == Looked(raised=1, resolved=0)
    assert reviews.look(at=NOON + 15 * DAY) == NOTHING
    assert reviews.look(at=NOON + 16 * DAY) == Looked(raised=1, resolved=1)
    assert reviews.look(at=NOON + 99 * DAY) == NOTHING

    assert told() == [
        ("Review due by 30 June 2026: code", Severity.INFO, "resolved"),
        ("Review overdue by 30 June 2026: code", Severity.WARNING, "open"),
    ]
    facts = Alert.objects.latest("id").facts
    assert ["Owner", "platform"] in facts["rows"]
    assert facts["links"] == [["Open the reviews", "/rules/production/reviews/"]]


def test_days_are_the_organisations():
    Organisation.objects.update(zone="Pacific/Auckland")  # twelve hours ahead: at 12:00 UTC the next day begins
    put_in_force(code=TODAY)

    assert reviews.look(at=datetime(2026, 6, 15, 11, 59, tzinfo=UTC)).raised == 1
    reviews.look(at=datetime(2026, 6, 15, 12, 0, tzinfo=UTC))

    assert [title for title, _, _ in told()] == [
        "Review due by 15 June 2026: code",
        "Review overdue by 15 June 2026: code",
    ]


def test_what_was_looked_at_or_dropped_is_resolved_by_itself():
    put_in_force(moved=TODAY - DAY, dropped=TODAY - DAY, left=TODAY - DAY)
    reviews.look(at=NOON)

    put_in_force(moved=TODAY + 90 * DAY, left=TODAY - DAY)
    looked = reviews.look(at=NOON + timedelta(minutes=1))

    assert looked == Looked(raised=0, resolved=2)
    open_ones = Alert.objects.filter(state="open").values_list("title", flat=True)
    assert list(open_ones) == ["Review overdue by 14 June 2026: left"]


def test_another_day_of_the_same_rule_is_told_anew():
    put_in_force(code=TODAY - DAY)
    reviews.look(at=NOON)
    put_in_force(code=TODAY + DAY)

    assert reviews.look(at=NOON + timedelta(minutes=1)) == Looked(raised=1, resolved=1)


def test_nothing_due_is_found_in_few_questions(django_assert_num_queries):
    put_in_force(code=TODAY + 90 * DAY)

    with django_assert_num_queries(4 + 2):  # and the ends of the transaction
        assert reviews.look(at=NOON) == NOTHING


@pytest.mark.django_db(transaction=True)
def test_schedulers_that_look_at_once_tell_each_review_once():
    put_in_force(a=TODAY, b=TODAY - DAY, c=TODAY)
    together = Barrier(4)

    def look(_: int) -> int:
        try:
            together.wait()
            return reviews.look(at=NOON).raised
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        raised = sum(pool.map(look, range(4)))

    assert (raised, Alert.objects.count()) == (3, 3)


def test_beat_looks_every_minute_on_the_queue_of_what_is_short():
    sweep = settings.CELERY_BEAT_SCHEDULE["look-at-reviews"]

    assert (sweep["task"], sweep["schedule"]) == (tasks.look_at_reviews.name, 60.0)
    assert current_app.amqp.router.route({}, sweep["task"])["queue"].name == "alerts"


def test_the_task_tells_by_the_clock():
    put_in_force(code=TODAY)

    tasks.look_at_reviews()

    assert [state for _, _, state in told()] == ["open"]


# --- Confirming


def confirm(**overrides: object) -> Proposal:
    given = {
        "environment": ENVIRONMENT, "rules": ["a"], "review_by": TODAY + 90 * DAY, "reason": "as good as ever",
        "by": LEAD, "at": NOON,
    }  # fmt: skip
    return reviews.confirm(**{**given, **overrides})  # type: ignore[arg-type]


def test_confirming_a_rule_makes_a_draft_that_moves_its_day_and_nothing_else():
    put_in_force(a=TODAY, b=TODAY)

    draft = confirm()

    found = proposal_rows.one(proposal_id=draft.pk, at=NOON)
    assert found is not None
    assert found.changes == ("rule a: review by from 2026-06-15 to 2026-09-13",)
    assert (found.problems, found.contributors) == ((), (LEAD,))
    assert (draft.title, draft.state, draft.base_version) == ("Still right, a: as good as ever", "draft", 1)


def test_several_rules_are_confirmed_with_one_draft():
    put_in_force(a=TODAY, b=TODAY, c=TODAY)

    draft = confirm(rules=["c", "a"])

    days = {rule["id"]: rule["review_by"] for rule in draft.content["rules"]}
    assert days == {"a": "2026-09-13", "b": "2026-06-15", "c": "2026-09-13"}
    assert draft.title == "Still right, 2 rules: as good as ever"


def test_a_confirmation_goes_the_way_of_every_draft_and_ends_the_reminder():
    put_in_force(a=TODAY - DAY)
    reviews.look(at=NOON)
    draft = confirm()
    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=NOON)
    with pytest.raises(proposals.OwnWork):
        proposals.approve(proposal_id=draft.pk, sha256=bytes(submitted.sha256 or b"").hex(), by=LEAD, at=NOON)
    proposals.approve(proposal_id=draft.pk, sha256=bytes(submitted.sha256 or b"").hex(), by=APPROVER, at=NOON)
    versions.publish(proposal_id=draft.pk, by=PUBLISHER, at=NOON)

    assert reviews.look(at=NOON) == Looked(raised=0, resolved=1)


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"rules": []}, ["rules"]),
        ({"rules": ["gone"]}, ["rules"]),
        ({"review_by": None}, ["review_by"]),
        ({"review_by": TODAY}, ["review_by"]),
        ({"review_by": date(3000, 1, 1)}, ["review_by"]),
        ({"reason": " "}, ["reason"]),
        ({"reason": "x" * 190}, ["reason"]),
        ({"reason": "\x00"}, ["reason"]),
        ({"rules": [], "review_by": None, "reason": ""}, ["rules", "review_by", "reason"]),
    ],
)
def test_what_cannot_be_confirmed_is_refused_with_every_reason(given, places):
    put_in_force(a=TODAY)

    with pytest.raises(Invalid) as caught:
        confirm(**given)

    assert [at for at, _ in caught.value.problems] == places
    assert Proposal.objects.filter(state="draft").count() == 0


def test_the_day_after_today_and_the_last_of_the_calendar_are_taken():
    put_in_force(a=TODAY)

    assert confirm(review_by=TODAY + DAY).pk < confirm(review_by=date(2999, 12, 31)).pk


def test_where_nothing_is_in_force_nothing_is_confirmed():
    with pytest.raises(NotFound):
        confirm()
