"""What gateways say of themselves on a poll: read leniently, noted when it differs, never costing them their rules."""

from __future__ import annotations

import time
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from routing.models import GatewayPoll
from routing.serving import reports
from routing.serving.reports import NOTHING, Report
from routing.serving.shelf import SHELF
from tests.factories import make_key
from tests.routing.making import make_version, stock
from tests.routing.test_serving_polls import PATH, Poller

SAID = {
    "instance": "pod-7.eu:8080", "active": "41.880", "rejected": "42.881", "reason": "line 3:\n offering é is unknown",
    "spec": "1", "client": "tollkeeper-python/1.0 (x)",
}  # fmt: skip
COLUMNS = (
    "instance", "version", "revision", "given_version", "given_revision", "rejected_version", "rejected_revision",
    "rejected_reason", "spec", "client",
)  # fmt: skip
ODD = [
    "wait=3", "instance=a%00b&active=%00", "instance=" + "a" * 129, "active=9999999999.1", "active=-1.2&rejected=x",
    "rejected=1.99999999999999999999", "spec=99999", "spec=1.0", "client=" + "c" * 65, "reason=" + "r" * 20_000,
    "&".join(f"f{number}={number}" for number in range(200)), "=&&==", "instance=" + quote("größe"), "é=\ud7ff", "+",
    "%ff=%fe", "%",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_noted():
    SHELF.polls.clear()
    yield
    SHELF.polls.clear()


@pytest.fixture
def version(db):
    stock()
    return make_version()


def test_every_part_of_a_report_is_read():
    read = reports.read(urlencode(SAID | {"client": "tollkeeper-python/1.0 beta_2"}))

    assert read == Report(
        instance="pod-7.eu:8080", active=(41, 880), rejected=(42, 881), reason="line 3: offering é is unknown", spec=1,
        client="tollkeeper-python/1.0 beta_2",
    )  # fmt: skip


@pytest.mark.parametrize("tag", ["42.881", '"42.881"', 'W/"42.881"', '"42.881-gzip"'])
def test_a_version_may_be_written_as_its_tag_was(tag):
    assert reports.read(urlencode({"active": tag})).active == (42, 881)


@pytest.mark.parametrize("query", [one for one in ODD if not one.startswith("instance=a%00")])
def test_what_is_not_understood_counts_as_not_said(query):
    assert reports.read(query) == NOTHING


def test_one_part_that_is_not_understood_does_not_spoil_the_others():
    read = reports.read("active=x&spec=1&instance=pod-1&new_in_some_later_client=7&instance=pod-2")

    assert read == Report(spec=1, instance="pod-2")


def test_a_reason_is_one_line_of_300_characters_and_belongs_to_something_rejected():
    read = reports.read(urlencode({"rejected": "1.2", "reason": "\x1b[31m\x00 é\u202e\t" + "x" * 5000}))

    assert read.reason == "[31m é " + "x" * 293
    assert reports.read("reason=none") == NOTHING


def test_reading_again_what_was_read_costs_nothing_and_what_is_kept_has_bounds():
    once = reports.read("instance=pod-1")
    long = "instance=pod-1&reason=" + "y" * 301

    assert reports.read("instance=pod-1") is once
    assert reports.read(long) is not reports.read(long)
    for number in range(10_000):
        reports.read(f"instance=other-{number}")
    assert reports.read("instance=pod-1") is not once


@pytest.mark.parametrize("query", ODD)
def test_nothing_that_is_said_costs_a_gateway_its_rules(version, query):
    secret = make_key("rules:read")

    native = Poller().ask(secret, query=query)
    django = Client().get(f"{PATH}?{query}", headers={"Authorization": f"Bearer {secret}"})

    assert (native.status, django.status_code) == (200, 200)
    assert native.body == django.content


def test_a_report_is_written_by_the_front_and_by_the_view_alike(version):
    secret, poller, query = make_key("rules:read"), Poller(), urlencode(SAID | {"client": "c/1"})
    expected = ("pod-7.eu:8080", 41, 880, 1, 1, 42, 881, "line 3: offering é is unknown", 1, "c/1")

    poller.ask(secret, query=query)
    with CaptureQueriesContext(connection) as captured:
        poller.shelf.polls.write(now=time.time())
    queries = len(captured)  # the next request begins a new list
    by_front = GatewayPoll.objects.values_list(*COLUMNS).get()
    GatewayPoll.objects.all().delete()
    Client().get(f"{PATH}?{query}", headers={"Authorization": f"Bearer {secret}"})
    SHELF.polls.write(now=time.time())

    assert queries == 2
    assert by_front == expected
    assert GatewayPoll.objects.values_list(*COLUMNS).get() == expected


def test_a_changed_report_is_written_at_once_and_what_is_no_longer_refused_is_forgotten(version):
    secret, poller = make_key("rules:read"), Poller()
    have = ("If-None-Match", '"1.1"')
    written = []

    for query in ("spec=1", "spec=1", "spec=1&rejected=2.1&reason=no", "spec=1&rejected=2.1&reason=NO", "spec=2"):
        poller.ask(secret, have, query=query)
        written.append(poller.shelf.polls.write(now=time.time()))

    assert written == [1, 0, 1, 1, 1]
    assert GatewayPoll.objects.values_list(*COLUMNS).get() == ("", 1, 1, 1, 1, None, None, "", 2, "")


def test_whoever_names_what_she_refused_beside_what_she_runs_is_not_sent_it_again(version):
    secret, poller = make_key("rules:read"), Poller()
    both = ("If-None-Match", '"0.9", "1.1-gzip"')

    for encoding in ("gzip", "identity"):
        answer = poller.ask(secret, both, ("Accept-Encoding", encoding), query="active=0.9&rejected=1.1&reason=no")
        assert (answer.status, dict(answer.headers)["etag"]) == (304, '"1.1-gzip"')
    poller.shelf.polls.write(now=time.time())

    noted = GatewayPoll.objects.values_list("version", "revision", "rejected_version", "rejected_revision").get()
    assert noted == (0, 9, 1, 1)
