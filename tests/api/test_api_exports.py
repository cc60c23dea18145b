"""Rules in the forms of other gateways over REST, and what a gateway that takes such a form keeps from publication."""

from __future__ import annotations

import gzip
import json
import re
from decimal import Decimal

import pytest
from django.test import Client

from budgets.services import budgets
from catalog.models import Gateway, Offering
from routing.rules.exports import FORMS
from routing.services import switches
from tests.api.test_api_rules import person, post
from tests.factories import NOON, make_budget, make_key
from tests.routing.making import CHEAP, LEAD, MIDDLE, OPUS, make_content, make_rule, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)

EXPORT = "rules/production/export"
NATIVE = {OPUS: "anthropic/claude-opus-4-7", MIDDLE: "gemini/gemini-3.1-pro", CHEAP: "deepseek/deepseek-v4-flash"}


@pytest.fixture
def catalogue(transactional_db):
    stock()
    for name, native in NATIVE.items():
        Offering.objects.filter(name=name).update(gateway_names={"litellm": native})


@pytest.fixture
def reader(catalogue, api):
    return api("rules:read")


def sticky(**overrides):
    targets = [{"offering": OPUS, "weight": 5000}, {"offering": MIDDLE, "weight": 5000}]
    return make_rule(targets=targets, fallbacks=[CHEAP], sticky_by="session", **overrides)


def asked(reader, query, **headers):
    return reader._client.get(f"/api/v1/{EXPORT}?{query}", headers=reader._headers | headers)


def test_an_export_is_answered_as_rules_are_and_changes_with_the_state(reader, django_assert_num_queries):
    nothing = asked(reader, "format=bifrost")
    make_version()
    first = asked(reader, "format=bifrost")
    packed = asked(reader, "format=bifrost", **{"Accept-Encoding": "gzip"})
    tag = first["ETag"]
    with django_assert_num_queries(2):  # what is in force, and whether budgets changed
        unchanged = asked(reader, "format=bifrost", **{"If-None-Match": tag})
    listed = asked(reader, "format=bifrost", **{"If-None-Match": f'"9.9", W/{packed["ETag"]}'})
    switches.turn(kind="provider", name="anthropic", off=True, seconds=600, reason="a bad hour", by=LEAD, at=NOON)
    later = asked(reader, "format=bifrost", **{"If-None-Match": tag})

    assert (nothing.status_code, nothing.json()["type"]) == (404, "urn:tollkeeper:problem:no-version")
    assert (first.status_code, tag, first["Vary"]) == (200, '"1.1"', "Accept-Encoding")
    assert (packed["ETag"], gzip.decompress(packed.content)) == ('"1.1-gzip"', first.content)
    assert [(one.status_code, one["ETag"]) for one in (unchanged, listed)] == [(304, tag), (304, '"1.1-gzip"')]
    assert (later.status_code, later["ETag"]) == (200, '"1.2"')
    targets = [rule["targets"] for rule in json.loads(later.content)["governance"]["routing_rules"]]
    assert targets[0] == [{"provider": "gemini", "model": "gemini-3.1-pro", "weight": 1}]


def test_a_form_that_says_limits_changes_with_them_and_no_other_does(reader, django_assert_num_queries):
    make_version(make_content(make_rule(when=None)))
    before = asked(reader, "format=cloudflare")
    budget = make_budget(unit="usd", action="block", period="day", scope={}, amount=Decimal("100.50"))
    first, other = asked(reader, "format=cloudflare"), asked(reader, "format=litellm")
    tag, packed = first["ETag"], asked(reader, "format=cloudflare", **{"Accept-Encoding": "gzip"})
    with django_assert_num_queries(2):  # what is in force, and whether budgets changed
        unchanged = asked(reader, "format=cloudflare", **{"If-None-Match": f'"9.9", W/{tag}'})
    listed = asked(reader, "format=cloudflare", **{"If-None-Match": f'"9.9", {packed["ETag"]}'})
    budgets.set_limit(
        budget=budget, amount=Decimal(200), starts_at=None, ends_at=None, reason="a launch", by="a@example.com",
        approved_by="b@example.com", at=NOON,
    )  # fmt: skip
    later = asked(reader, "format=cloudflare", **{"If-None-Match": tag})

    assert (before["ETag"], other["ETag"]) == ('"1.1"', '"1.1"')
    assert "spend_limits" not in json.loads(before.content)
    assert re.fullmatch(r'"1\.1-[0-9a-f]{8}"', tag)
    assert (packed["ETag"], gzip.decompress(packed.content)) == (f'{tag[:-1]}-gzip"', first.content)
    assert [(one.status_code, one["ETag"]) for one in (unchanged, listed)] == [(304, tag), (304, packed["ETag"])]
    assert (later.status_code, later["ETag"] == tag) == (200, False)
    assert b'"limit": 100.5,' in first.content
    assert [one["limit"] for one in json.loads(later.content)["spend_limits"]["rules"]] == [200]


def test_a_form_that_cannot_say_the_rules_names_every_reason(reader):
    at_night = {"field": "hour", "op": "lt", "value": 6, "zone": "UTC"}
    make_version(make_content(sticky(), make_rule("night", when=at_night)))

    answer = asked(reader, "format=bifrost")

    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    assert answer.json()["type"] == "urn:tollkeeper:problem:not-expressible"
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
        ("#/rules/0/targets", "sticky"), ("#/rules/1/when", "clock"),
    ]  # fmt: skip


def test_who_asks_for_no_form_or_may_not_read_rules_is_told_so(reader, api):
    make_version()

    unknown, none, nobody = (asked(reader, query) for query in ("format=fax", "", "format=bifrost&gateway=nobody"))
    stranger = asked(api("usage:write", name="other"), "format=bifrost")

    assert [one.status_code for one in (unknown, none, nobody, stranger)] == [400, 400, 404, 403]
    assert unknown.json()["errors"] == [
        {"parameter": "format", "detail": f"There is no form fax; there are {', '.join(FORMS)}."}
    ]


def test_what_a_registered_gateway_cannot_be_given_is_refused_before_publication(reader, api):
    make_key("rules:read", gateway="edge-bifrost")
    edge = Gateway.objects.get(name="edge-bifrost")
    Gateway.objects.filter(pk=edge.pk).update(kind="bifrost")
    engineer = person(Client(), "engineer", "admin")
    drafted = post(engineer, "rules/production/drafts", {"title": "sticky", "content": make_content(sticky())}).json()
    path = f"rules/production/drafts/{drafted['id']}"

    polls = post(engineer, f"{path}/submit")
    told = engineer.patch(
        f"/api/v1/gateways/{edge.pk}", json.dumps({"takes_rules": "export"}), content_type="application/json"
    )
    approved = post(person(Client(), "approver"), f"{path}/approve", {"sha256": polls.json()["sha256"]})
    publish = post(engineer, f"{path}/publish")
    again = post(engineer, "rules/production/drafts", {"title": "again", "content": make_content(sticky())}).json()
    submit = post(engineer, f"rules/production/drafts/{again['id']}/submit")

    assert (polls.status_code, told.json()["takes_rules"], approved.status_code) == (200, "export", 200)
    for refused in (publish, submit):
        assert refused.status_code == 422
        assert [one["pointer"] for one in refused.json()["errors"]] == ["#/rules/0/targets"]
        assert refused.json()["errors"][0]["detail"].startswith(
            "the gateway edge-bifrost cannot be given this: shares stay with session; Bifrost: "
        )
    assert [one["code"] for one in again["problems"]] == ["not-expressible"]
