"""Who runs which rules by its own word, who is late, who refuses, and who never asked."""

from __future__ import annotations

import pytest

from catalog.models import Gateway
from catalog.services import gateways
from core.models import ApiKey
from routing.models import Environment, Version
from routing.rules import document
from routing.selectors import fleet
from tests.factories import NOON, make_key
from tests.routing.making import ENVIRONMENT, make_content, make_version, stock
from tests.routing.making_fleet import DAY, HOUR, MINUTE, make_poll, make_polls

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_versions():
    """Version 1 since a day, version 2 since noon, and a gateway that may ask for them."""
    stock()
    make_key("rules:read")
    make_version(at=NOON - DAY)
    make_version(at=NOON)


def seen(at):
    return fleet.of(environment=ENVIRONMENT, at=at)


def state(at, *, of="edge"):
    return next(one.state for one in seen(at).gateways if one.gateway == of)


def test_an_instance_that_runs_the_version_in_force_is_up_to_date():
    make_poll(2, at=NOON + HOUR)

    found = seen(NOON + HOUR)

    assert (found.live_version, found.live_since, found.running, found.heard) == (2, NOON, 1, 1)
    assert state(NOON + HOUR) == "current"


@pytest.mark.parametrize(
    ("polled", "asked", "expected"),
    [
        (-1, 30, "updating"),  # it has not asked since
        (30, 40, "updating"),  # it asked, and has a minute to say that it runs it
        (60, 61, "updating"),
        (61, 61, "behind"),
        (90, 120, "behind"),
        (61, 61 + 299, "behind"),
        (61, 61 + 300, "unheard"),  # late and out of reach are two things
    ],
)
def test_an_instance_is_behind_when_it_said_so_more_than_a_minute_after_the_newer_version(polled, asked, expected):
    second = MINUTE / 60
    make_poll(1, at=NOON + polled * second)

    assert state(NOON + asked * second) == expected


def test_whoever_was_late_with_one_version_stays_late_when_the_next_goes_into_force():
    make_version(at=NOON + HOUR)
    make_poll(1, at=NOON + HOUR)

    (late,) = seen(NOON + HOUR).gateways

    assert (late.state, late.late_since) == ("behind", NOON)


def test_a_gateway_that_does_not_take_a_new_state_is_late_as_well():
    environment = Environment.objects.get(name=ENVIRONMENT)
    last = environment.revisions.latest("revision")
    environment.revisions.create(
        revision=last.revision + 1, version=2, holds_from=NOON + HOUR, canonical=bytes(last.canonical)
    )
    make_poll(2, revision=last.revision, instance="old", at=NOON + HOUR + 2 * MINUTE)
    make_poll(2, revision=last.revision + 1, instance="new", at=NOON + HOUR + 2 * MINUTE)

    found = fleet.instances(at=NOON + HOUR + 2 * MINUTE, environment=ENVIRONMENT, limit=10)

    assert [(one.name, one.state, one.late_since) for one in found] == [
        ("new", "current", None),
        ("old", "behind", NOON + HOUR),
    ]


@pytest.mark.parametrize("version", [None, 3, 2_147_483_647])
def test_whoever_does_not_say_what_it_runs_or_names_what_there_is_not_is_neither_late_nor_up_to_date(version):
    make_poll(version, revision=9_223_372_036_854_775_807, at=NOON + HOUR)

    assert state(NOON + HOUR) == "unsaid"


def test_an_instance_that_another_one_replaced_is_gone_and_counts_no_more():
    make_poll(1, instance="pod-1", at=NOON + 2 * MINUTE)
    make_poll(2, instance="pod-2", at=NOON + 2 * HOUR)

    found = seen(NOON + 2 * HOUR)

    assert (found.heard, found.running, found.of("gone"), found.of("unheard")) == (1, 1, 1, 0)
    assert state(NOON + 2 * HOUR) == "current"


def test_a_gateway_is_out_of_reach_only_when_all_its_instances_are():
    make_poll(2, instance="pod-1", at=NOON + HOUR)
    make_poll(2, instance="pod-2", at=NOON + HOUR + 10 * MINUTE)

    assert state(NOON + HOUR + 10 * MINUTE) == "current"
    assert seen(NOON + HOUR + 10 * MINUTE).of("unheard") == 1
    assert state(NOON + HOUR + 15 * MINUTE) == "unheard"
    assert state(NOON + 3 * DAY) == "unheard"


def test_what_is_refused_is_told_with_what_the_instances_go_on_with():
    make_poll(1, refuses=2, why="unknown operator", instance="a", at=NOON + MINUTE, spec=1, client="own/2")
    make_poll(1, refuses=2, why="unknown operator", instance="b", at=NOON + MINUTE, spec=1, client="own/1")
    make_poll(None, refuses=2, instance="c", at=NOON + MINUTE)
    make_poll(2, instance="d", at=NOON + MINUTE)

    (refusal,) = fleet.refusals(at=NOON + 2 * MINUTE)
    (one,) = seen(NOON + 2 * MINUTE).gateways

    assert (refusal.gateway, refusal.environment, refusal.version) == ("edge", ENVIRONMENT, 2)
    assert (refusal.instances, refusal.names, refusal.reasons) == (3, ("a", "b", "c"), ("unknown operator",))
    assert (refusal.running, refusal.clients, refusal.spec, refusal.needs) == ([1, None], ("own/1", "own/2"), 1, 1)
    assert (one.state, one.of("refused"), one.refused, one.versions) == ("refused", 3, 2, {1: 2, None: 1, 2: 1})


@pytest.mark.parametrize(
    ("version", "refuses"),
    [
        (2, 1),  # it runs something newer: history
        (1, 7),  # there is no such version
        (2, 2),  # the same version and state
    ],
)
def test_what_is_over_or_was_never_there_is_no_refusal(version, refuses):
    make_poll(version, revision=5, refuses=refuses, rejected_revision=5, at=NOON + MINUTE)

    assert fleet.refusals(at=NOON + MINUTE) == []


def test_a_refused_state_of_the_version_that_it_runs_is_a_refusal():
    make_poll(2, revision=5, refuses=2, rejected_revision=6, at=NOON + MINUTE)

    assert [one.version for one in fleet.refusals(at=NOON + MINUTE)] == [2]


def test_a_refusal_lasts_while_the_gateway_is_out_of_reach_for_a_day_at_most_and_not_when_it_was_replaced():
    make_poll(1, refuses=2, instance="pod-1", at=NOON)

    assert len(fleet.refusals(at=NOON + 23 * HOUR)) == 1
    assert fleet.refusals(at=NOON + DAY) == []
    make_poll(2, instance="pod-2", at=NOON + 59 * MINUTE)
    assert len(fleet.refusals(at=NOON + HOUR)) == 1
    make_poll(2, instance="pod-2", at=NOON + 61 * MINUTE)
    assert fleet.refusals(at=NOON + 62 * MINUTE) == []


def test_whoever_could_ask_and_never_did_is_told_apart_and_only_while_its_key_works():
    make_key("rules:read", gateway="quiet")
    make_key("usage:write", gateway="sender")
    make_key("rules:read", gateway="elsewhere", environment="staging")
    make_poll(2)
    key = ApiKey.objects.get(gateway_key__gateway__name="quiet")

    assert [one.gateway for one in seen(NOON).gateways] == ["edge"]
    assert [(one.gateway, one.state, one.total) for one in seen(NOON).never] == [("quiet", "", 0)]
    ApiKey.objects.filter(pk=key.pk).update(expires_at=NOON)
    assert seen(NOON).never == []
    ApiKey.objects.filter(pk=key.pk).update(expires_at=None, revoked_at=NOON)
    assert seen(NOON).never == []


def test_whoever_is_not_to_poll_is_not_missed_and_counts_once_it_does():
    for name, how in (("lite", "poll"), ("vercel", "export"), ("mute", "none")):
        make_key("rules:read", gateway=name)
        Gateway.objects.filter(name=name).update(takes_rules=how)

    found = seen(NOON)

    assert [one.gateway for one in found.never] == ["edge", "lite"]
    assert [(one.gateway, one.takes_rules) for one in found.not_polling] == [("mute", "none"), ("vercel", "export")]
    make_poll(1, gateway="vercel")
    assert ([one.gateway for one in seen(NOON).gateways], len(seen(NOON).not_polling)) == (["vercel"], 1)


def test_a_retired_gateway_is_none_of_the_fleet():
    make_poll(1, refuses=2, spec=0)
    gateways.retire(gateway=gateways.get("edge"), by="ann", at=NOON)

    assert (seen(NOON).gateways, seen(NOON).never) == ([], [])
    assert fleet.refusals(at=NOON) == []
    assert fleet.old_readers(environment=ENVIRONMENT, spec=1, at=NOON) == []


def test_environments_and_gateways_are_told_apart():
    make_key("rules:read", gateway="other", environment="staging")
    make_poll(2)
    make_poll(None, gateway="other", environment="staging")

    assert [(one.gateway, one.environment, one.state) for one in fleet.standings(at=NOON)] == [
        ("edge", ENVIRONMENT, "current"),
        ("other", "staging", "waiting"),
    ]
    other = gateways.get("other").pk
    assert [one.gateway for one in fleet.standings(at=NOON, gateway_ids=[other])] == ["other"]
    assert [one.gateway for one in fleet.instances(at=NOON, limit=5, gateway_id=other)] == ["other"]


def test_of_many_instances_the_worst_are_shown_and_all_can_be_walked_through():
    for number in range(5):
        make_poll(2, instance=f"pod-{number}", at=NOON + HOUR)
    make_poll(1, instance="late", at=NOON + HOUR)
    make_poll(1, instance="no", refuses=2, at=NOON + HOUR)

    (one,) = fleet.of(environment=ENVIRONMENT, at=NOON + HOUR, of_each=3).gateways
    walked, after = [], None
    while page := fleet.instances(at=NOON + HOUR, environment=ENVIRONMENT, limit=3, after=after):
        walked += [each.name for each in page]
        after = (page[-1].gateway_id, page[-1].name)
    current = fleet.instances(at=NOON + HOUR, environment=ENVIRONMENT, limit=9, state="current")

    assert [each.name for each in one.shown] == ["no", "late", "pod-0"]
    assert walked == ["late", "no", "pod-0", "pod-1", "pod-2", "pod-3", "pod-4"]
    assert len(current) == 5


def test_gateways_that_understand_less_than_a_version_needs_are_named_while_they_are_heard_of():
    make_poll(2, instance="a", spec=0, client="own/1", at=NOON)
    make_poll(2, instance="b", spec=1, at=NOON)
    make_poll(2, instance="c", at=NOON)  # does not say
    make_poll(2, instance="d", spec=0, environment="staging", at=NOON)

    (found,) = fleet.old_readers(environment=ENVIRONMENT, spec=1, at=NOON + 23 * HOUR)

    assert (found.gateway, found.spec, found.instances, found.clients) == ("edge", 0, 1, ("own/1",))
    assert fleet.old_readers(environment=ENVIRONMENT, spec=1, at=NOON + DAY) == []
    assert fleet.old_readers(environment=ENVIRONMENT, spec=0, at=NOON) == []


def test_whoever_would_not_understand_a_content_is_named_in_plain_words():
    make_key("rules:read", gateway="old")
    make_poll(2, instance="a", spec=0, client="own/1")
    make_poll(2, instance="b", spec=0, client="own/1")
    make_poll(2, gateway="old", spec=0)
    make_poll(2, instance="c", spec=document.SPEC)

    several, one = fleet.warnings(environment=ENVIRONMENT, content=make_content(), at=NOON)

    assert several == (
        "2 instances of edge (own/1) understand specification 0 at most, and these rules need 1: "
        "they would go on with older rules."
    )
    assert one == "old understands specification 0 at most, and these rules need 1: it would go on with older rules."


def test_a_fleet_takes_two_queries_however_large_it_is(django_assert_num_queries):
    make_polls(10_000)

    with django_assert_num_queries(2):
        (one,) = fleet.of(environment=ENVIRONMENT, at=NOON, of_each=8).gateways

    assert (one.total, len(one.shown)) == (10_000, 8)
    with django_assert_num_queries(1):
        fleet.refusals(at=NOON)


def test_an_environment_without_rules_and_gateways_has_an_empty_fleet():
    assert (seen(NOON).gateways, [one.gateway for one in seen(NOON).never]) == ([], ["edge"])
    nowhere = fleet.of(environment="nowhere", at=NOON, of_each=5)

    assert (nowhere.gateways, nowhere.never, nowhere.live_version, nowhere.running) == ([], [], None, 0)
    assert Version.objects.count() == 2
