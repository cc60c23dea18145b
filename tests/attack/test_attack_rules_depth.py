"""Rules under attack: everybody who can touch them at the same drafts at once, for seconds."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from core.errors import TollkeeperError
from routing.models import Environment, Proposal, Schedule, StateRevision, Version
from routing.rules import document
from routing.services import orders, proposals, rebasing, reviews, schedules, states, switches, versions
from tests.factories import make_user
from tests.routing.making import (
    APPROVER,
    CHEAP,
    LEAD,
    MIDDLE,
    OPUS,
    PUBLISHER,
    make_content,
    make_rule,
    stock,
)  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)

ENVIRONMENTS = ("production", "staging")


def variant(number: int) -> dict[str, object]:
    rule = make_rule(
        rationale=f"variant {number}", review_by=f"{timezone.now().date() + timedelta(days=1 + number % 5)}"
    )
    if number % 3 == 0:
        rule |= {"choose": "score", "targets": [{"offering": name} for name in (OPUS, MIDDLE, CHEAP)], "fallbacks": []}
    other = {"all": [{"field": "task", "op": "eq", "value": "chat"}]}
    return make_content(rule, make_rule(f"rule-{number % 7}", when=other))


def any_of(*states_: str) -> Proposal | None:
    return Proposal.objects.filter(state__in=states_).order_by("?").first()


class Crowd:
    """Everybody who can touch rules, each doing one thing at a time to whatever there is."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def bring(self) -> None:
        now, number = timezone.now(), next(self.numbers)
        made = proposals.start(
            environment=ENVIRONMENTS[number % 2], title=f"change {number}", by=LEAD, at=now, content=variant(number)
        )
        proposals.submit(proposal_id=made.pk, by=LEAD, at=now)
        self.approve()

    def approve(self) -> None:
        one = any_of("in_review")
        if one is not None:
            proposals.approve(
                proposal_id=one.pk, sha256=bytes(one.sha256 or b"").hex(), by=APPROVER, at=timezone.now()
            )  # fmt: skip

    def save(self) -> None:
        one, number = any_of("draft", "in_review", "approved"), next(self.numbers)
        if one is not None:
            proposals.save(
                proposal_id=one.pk, saves=one.saves, by=LEAD, at=timezone.now(), content=variant(number % 20)
            )
            proposals.submit(proposal_id=one.pk, by=LEAD, at=timezone.now())

    def rebase(self) -> None:
        one = any_of("draft", "in_review", "approved")
        if one is not None:
            live = one.environment.live_version
            with suppress(rebasing.Unsettled):
                rebasing.rebase(proposal_id=one.pk, saves=one.saves, live=live, choices={}, by=LEAD, at=timezone.now())

    def settle(self) -> None:
        one = any_of("in_review", "approved")
        if one is not None and next(self.numbers) % 3 == 0:
            proposals.reject(proposal_id=one.pk, by=APPROVER, at=timezone.now(), why="no")

    def publish(self) -> None:
        one = any_of("approved")
        if one is not None:
            versions.publish(proposal_id=one.pk, by=PUBLISHER, at=timezone.now())

    def schedule(self) -> None:
        one, now = any_of("approved"), timezone.now()
        if one is not None:
            soon = now + timedelta(milliseconds=300)
            schedules.schedule(proposal_id=one.pk, publish_at=soon, by=PUBLISHER, at=now)

    def move(self) -> None:
        waiting, now = Schedule.objects.filter(state="waiting").order_by("?").first(), timezone.now()
        if waiting is not None:
            schedules.move(
                proposal_id=waiting.proposal_id, publish_at=now + timedelta(milliseconds=200), by=PUBLISHER, at=now
            )

    def due(self) -> None:
        schedules.publish_due(at=timezone.now())

    def renew(self) -> None:
        orders.renew(at=timezone.now())
        states.renew_all(at=timezone.now())

    def switch(self) -> None:
        number = next(self.numbers)
        switches.turn(
            kind="offering", name=(OPUS, MIDDLE, CHEAP)[number % 3], off=number % 2 == 0, seconds=1, reason="x",
            by=LEAD, at=timezone.now(),
        )  # fmt: skip

    def go_back(self) -> None:
        held = Environment.objects.filter(live_version__gt=1).order_by("?").first()
        if held is not None and held.live_version is not None:
            versions.roll_back(
                environment=held.name, to=held.live_version - 1, seen=held.live_version, reason="x", by=PUBLISHER,
                at=timezone.now(),
            )  # fmt: skip

    def remind(self) -> None:
        reviews.look(at=timezone.now())

    def confirm(self) -> None:
        made = reviews.confirm(
            environment="production", rules=["code-high"], review_by=timezone.now().date() + timedelta(days=40),
            reason="right", by=LEAD, at=timezone.now(),
        )  # fmt: skip
        proposals.submit(proposal_id=made.pk, by=LEAD, at=timezone.now())


def test_a_crowd_around_the_same_drafts_neither_deadlocks_nor_publishes_what_nobody_approved():
    stock()
    make_user("engineer", email=PUBLISHER)
    crowd = Crowd()
    jobs = [
        crowd.bring, crowd.approve, crowd.save, crowd.rebase, crowd.settle, crowd.publish, crowd.schedule, crowd.move,
        crowd.due, crowd.due, crowd.renew, crowd.switch, crowd.go_back, crowd.remind, crowd.confirm, crowd.bring,
        crowd.approve, crowd.schedule,
    ]  # fmt: skip
    wrong: list[str] = []
    done: Counter[str] = Counter()
    for _ in range(6):
        crowd.bring()
    crowd.publish()
    until = time.monotonic() + 8

    def work(begin: int) -> None:
        try:
            for job in itertools.cycle(jobs[begin:] + jobs[:begin]):
                if time.monotonic() > until:
                    return
                try:
                    job()
                    done[job.__name__] += 1
                except TollkeeperError:
                    pass
                except Exception as error:
                    wrong.append(f"{job.__name__}: {type(error).__name__}: {error}")
        finally:
            connection.close()

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(work, range(0, 18, 2)))

    assert wrong == []
    assert {"bring", "approve", "due", "renew", "switch"} <= set(done), done
    for held in Environment.objects.all():
        numbers = list(held.versions.order_by("number").values_list("number", "base"))
        assert numbers == [(number, number - 1 or None) for number in range(1, len(numbers) + 1)]
        assert held.live_version == len(numbers) or not numbers
        revisions = StateRevision.objects.filter(environment=held).order_by("revision")
        assert [one.revision for one in revisions] == list(range(1, held.state_revision + 1))
        assert not numbers or revisions.last().version == held.live_version
    for one in Proposal.objects.filter(state="published"):
        made = Version.objects.get(environment=one.environment, number=one.version)
        assert bytes(made.canonical) == document.canonical(one.content)
        approvers = set(one.approvals.filter(sha256=made.sha256).values_list("by", flat=True))
        assert approvers == {APPROVER}
        assert one.base_version == made.base
    for one in Schedule.objects.select_related("proposal"):
        assert one.state != "published" or one.proposal.state == "published"
        assert one.state != "waiting" or one.proposal.state == "approved"
