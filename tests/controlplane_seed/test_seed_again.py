"""Filling the demo's company that was broken off, and a house that is somebody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Sum

from catalog.models import Gateway, Offering, UseCase
from catalog.services import gateways
from controlplane import seed
from controlplane.seed import company, rules, story
from controlplane.seed.fill import OtherHouse
from core.models import Organisation, User
from routing.models import Proposal, Version
from tests.usage.checks import assert_counters_equal_ledger, assert_rollups_equal_ledger
from usage.models import EntryKind, LedgerEntry, Receipt, Source

NOW = datetime(2026, 11, 18, 10, tzinfo=UTC)
EVENTS = 1_500

pytestmark = pytest.mark.django_db(transaction=True)


class BrokenOff(Exception):
    """Somebody pressed Ctrl-C."""


def fill(*, now: datetime = NOW, break_off_at: int | None = None) -> None:
    """Fill; break off when progress is told for the n-th time."""
    times = 0

    def progress(step: str, done: int, of: int) -> None:
        nonlocal times
        times += 1
        if times == break_off_at:
            raise BrokenOff

    seed.fill(now=now, progress=progress, events=EVENTS)


def test_a_fill_that_is_broken_off_goes_on_where_it_was():
    opened_at = NOW + timedelta(hours=1)
    breaks = (
        (NOW, 1),  # before anything is there
        (opened_at, 2),  # with the company made and no event told
        (NOW + timedelta(days=1), 3),  # after the first receipt of the oldest month
        (NOW + timedelta(days=20), 5),  # in another month, with that one closed
    )
    for now, time in breaks:
        with pytest.raises(BrokenOff):
            fill(now=now, break_off_at=time)
        assert not seed.is_filled()

    fill(now=NOW + timedelta(days=40))

    assert seed.is_filled()
    # The story goes up to the instant of the call that opened the imports, each of its events once.
    plan = story.plan(now=opened_at, zone=company.ZONE, events=EVENTS)
    until = plan.days[-1] + timedelta(days=1)
    told = {
        event.event_id
        for name in story.GATEWAYS
        for event in story.events(plan, gateway=name, first=plan.days[0], until=until)
    }
    told.add(story.late_event(plan).event_id)
    booked = list(LedgerEntry.objects.filter(kind=EntryKind.USAGE).values_list("event_id", flat=True))
    assert (len(booked), set(booked)) == (len(told), told)
    assert Receipt.objects.aggregate(again=Sum("duplicates"))["again"] == 0
    assert {source.covers.upper for source in Source.objects.all()} == {opened_at}
    assert LedgerEntry.objects.filter(correction_of__isnull=False).count() == 1
    assert_rollups_equal_ledger()
    assert_counters_equal_ledger()
    assert UseCase.objects.exclude(folded="unassigned").count() == 12
    assert User.objects.count() == len(company.PEOPLE)
    assert list(Version.objects.order_by("number").values_list("number", flat=True)) == [
        change.number for change in rules.CHANGES
    ]
    assert set(Proposal.objects.filter(version=None).values_list("title", "state")) == {
        (rules.IN_REVIEW, "in_review"), (rules.SCHEDULED, "approved"), (rules.OVERTAKEN, "draft"),
        (rules.DRAFT, "draft"),
    }  # fmt: skip


def test_a_house_with_another_gateway_is_left_alone():
    gateways.create(name="theirs", by="tests", at=NOW)

    with pytest.raises(OtherHouse, match="theirs"):
        fill()

    assert (Gateway.objects.count(), Offering.objects.count(), Organisation.objects.get().name) == (
        1, 0, "My organisation",
    )  # fmt: skip


def test_another_organisation_s_house_is_left_alone():
    Organisation.objects.update(name="Somebody Ltd")

    with pytest.raises(OtherHouse, match="Somebody Ltd"):
        fill()

    assert (Gateway.objects.count(), Offering.objects.count()) == (0, 0)
