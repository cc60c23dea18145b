"""The fleet as programs read it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from catalog.services import gateways
from tests.factories import make_key
from tests.routing.making import make_version, stock
from tests.routing.making_fleet import make_poll, make_polls

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(api):
    stock()
    make_key("rules:read")
    make_version()
    make_version()
    return api("read")


def counts(**some):
    names = ("refused", "behind", "unheard", "updating", "unsaid", "waiting", "current", "gone")
    return {name: some.get(name, 0) for name in names}


def test_the_fleet_tells_who_runs_what_who_refuses_and_who_never_asked(reader):
    make_key("rules:read", gateway="quiet")
    now = timezone.now()
    make_poll(2, instance="a", client="own/2", at=now)
    make_poll(1, instance="b", refuses=2, why="unknown operator", at=now)
    edge = gateways.get("edge").pk

    told = reader.get("rules/production/fleet").json()

    assert (told["live_version"], told["heard"], told["running"]) == (2, 2, 1)
    assert told["instances"] == counts(current=1, refused=1)
    assert told["versions"] == [{"version": 2, "instances": 1}, {"version": 1, "instances": 1}]
    [gateway] = told["gateways"]
    assert (gateway["id"], gateway["name"], gateway["state"], gateway["clients"]) == (
        edge,
        "edge",
        "refused",
        ["own/2"],
    )
    assert (gateway["refused_version"], gateway["instances"]) == (2, counts(current=1, refused=1))
    assert told["refusals"] == [
        {"gateway": "edge", "version": 2, "instances": 1, "reasons": ["unknown operator"], "running": [1]}
    ]
    assert [one["name"] for one in told["never_asked"]] == ["quiet"]


def test_an_environment_without_rules_has_a_fleet_and_one_that_nobody_names_has_none(reader):
    make_key("rules:read", gateway="staged", environment="staging")

    assert reader.get("rules/staging/fleet").json()["live_version"] is None
    assert reader.get("rules/nowhere/fleet").status_code == 404


def test_instances_are_listed_page_by_page_and_by_state(reader):
    now = timezone.now()
    make_polls(5, at=now)
    make_poll(1, instance="late", at=now)
    make_poll(2, instance="far", at=now - timedelta(minutes=9))
    path = "rules/production/fleet/instances"

    first = reader.get(path, {"limit": 4}).json()
    second = reader.get(first["next"].partition("/api/v1/")[2]).json()

    names = [one["name"] for page in (first, second) for one in page["results"]]
    assert names == ["far", "late", "pod-00001", "pod-00002", "pod-00003", "pod-00004", "pod-00005"]
    assert second["next"] is None
    assert [one["name"] for one in reader.get(path, {"state": "unheard"}).json()["results"]] == ["far"]
    assert reader.get(path, {"gateway_id": 999_999}).json()["results"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"state": "odd"},
        {"gateway_id": "0"},
        {"after": "nonsense"},
        {"after": "WzkyMjMzNzIwMzY4NTQ3NzU4MDgsImEiXQ"},  # beyond any number
        {"after": "WzEsIlx1MDAwMCJd"},  # a NUL character
    ],
)
def test_a_query_that_means_nothing_is_refused(reader, query):
    assert reader.get("rules/production/fleet/instances", query).status_code == 400


def test_the_fleet_takes_the_same_few_queries_however_large_it_is(reader, django_assert_num_queries):
    make_poll(2, at=timezone.now())
    reader.get("rules/production/fleet")

    with django_assert_num_queries(3):
        reader.get("rules/production/fleet")
    make_polls(2_000, at=timezone.now())
    with django_assert_num_queries(3):
        reader.get("rules/production/fleet")
