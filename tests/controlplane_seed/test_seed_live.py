"""The demo's gateways go on after the story, by the rules in force."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from controlplane.seed import company, live, story
from controlplane.seed.fleet import Fleet
from routing.services import switches
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule, make_version, stock
from tests.usage import making
from tests.usage.making import make_gateway
from usage.events import Event
from usage.models import Receipt, Source, SourceKind
from usage.services import imports, intake

ENDED = datetime(2026, 6, 17, 11, 20, tzinfo=ZoneInfo(company.ZONE))  # a Wednesday, in the middle of a month
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _company() -> None:
    stock()
    making.make_offering(company.CUT_OFFERING)
    support = make_rule("support", use_cases=[story.SUPPORT], when=None, targets=[{"offering": OPUS, "weight": 10000}])
    make_version(make_content({name: value for name, value in support.items() if value is not None}), at=ENDED)
    for name in story.GATEWAYS:
        gateway = make_gateway(name)
        imports.open_import(gateway_id=gateway.pk, covers=(ENDED - HOUR, ENDED), by="x@example.com", at=ENDED, note="")


def go_on(*, at: datetime, fleet: Fleet, traffic: live.Traffic | None = None) -> list[Event]:
    """Return what was taken at an instant by traffic that goes on, or resumes there."""
    known = set(Receipt.objects.values_list("pk", flat=True))
    fleet.ask(at=at)
    traffic = traffic or live.resumed(at=at)
    assert traffic is not None
    count = traffic.go_on(at=at, served=fleet.served)
    found = [
        event
        for receipt in Receipt.objects.exclude(pk__in=known)
        for event in intake.unpack(bytes(receipt.events or b""))
    ]
    assert len(found) == count
    return found


def of_support(found: list[Event]) -> list[Event]:
    return [event for event in found if event.use_case == story.SUPPORT and event.fallback_index == 0]


def test_every_gateway_goes_on_where_the_story_ended_by_the_rules_in_force():
    found = go_on(at=ENDED + HOUR, fleet=Fleet())

    assert set(Receipt.objects.values_list("source__gateway__name", "source__kind")) == {
        (name, "live") for name in story.GATEWAYS
    }
    assert all(ENDED <= event.occurred_at < ENDED + HOUR for event in found)
    assert {(event.model, event.rule, event.route_reason, event.rules_version) for event in of_support(found)} == {
        ("claude-opus-4-7", "support", "rule", 1)
    }
    others = [event for event in found if event.use_case != story.SUPPORT and event.fallback_index == 0]
    assert {(event.model, event.rule, event.route_reason) for event in others} == {
        (story.SERVED["gemini-3.1-pro"].model, "", "default")
    }


def test_what_is_switched_off_and_what_is_published_moves_the_calls_that_follow():
    fleet = Fleet()
    traffic = live.resumed(at=ENDED + HOUR)
    go_on(at=ENDED + HOUR, fleet=fleet, traffic=traffic)

    switches.turn(
        kind="offering", name=OPUS, off=True, seconds=7200, reason="a bad hour", by="x@example.com", at=ENDED + HOUR
    )
    moved = of_support(go_on(at=ENDED + 2 * HOUR, fleet=fleet, traffic=traffic))
    make_version(make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}])), at=ENDED + 2 * HOUR)
    after = of_support(go_on(at=ENDED + 3 * HOUR, fleet=fleet, traffic=traffic))

    assert {(event.model, event.route_reason) for event in moved} == {
        (story.SERVED[MIDDLE.partition("@")[0]].model, "switched_off")
    }
    assert {(event.rule, event.rules_version) for event in after} == {("", 2)}


def test_a_call_is_told_once_however_often_the_demo_is_started_and_a_long_pause_is_not_told():
    fleet = Fleet()
    first = go_on(at=ENDED + HOUR, fleet=fleet)
    again = go_on(at=ENDED + HOUR + timedelta(minutes=30), fleet=fleet)
    later = go_on(at=ENDED + timedelta(days=9), fleet=fleet)

    ids = [event.event_id for event in (*first, *again, *later)]
    assert len(set(ids)) == len(ids)
    assert min(event.occurred_at for event in again) > max(event.occurred_at for event in first)
    assert min(event.occurred_at for event in later) >= ENDED + timedelta(days=9) - live.CAUGHT_UP
    assert {event.use_case for event in later} <= set(story.BY_NAME)


def test_a_call_that_somebody_dates_to_tomorrow_keeps_none_of_the_gateways_silent_until_then():
    first = go_on(at=ENDED + HOUR, fleet=Fleet())
    Receipt.objects.create(
        source=Source.objects.filter(kind=SourceKind.LIVE).earliest("pk"), environment="production", format="native",
        received_at=ENDED + HOUR, try_after=ENDED + HOUR, last_occurred_at=ENDED + timedelta(hours=20), event_count=1,
        events=intake.pack([]),
    )  # fmt: skip

    again = go_on(at=ENDED + 2 * HOUR, fleet=Fleet())

    assert min(event.occurred_at for event in again) > max(event.occurred_at for event in first)
    assert {event.use_case for event in again} <= set(story.BY_NAME)


def test_a_house_without_the_company_has_nothing_that_goes_on():
    Source.objects.all().delete()

    assert live.resumed(at=ENDED + HOUR) is None
