"""`manage.py rules render`, and what is asked of gateways that take rules in a form."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from catalog.models import Gateway, Offering
from catalog.services import gateways
from core.errors import Conflict, Invalid
from core.models import ApiKey
from routing.selectors import exports
from routing.services import versions
from tests.factories import NOON, make_budget, make_key
from tests.routing.making import (
    CHEAP,
    ENVIRONMENT,
    MIDDLE,
    OPUS,
    PUBLISHER,
    make_approved,
    make_content,
    make_rule,
    make_version,
    stock,
)
from tests.routing.test_rules_command import Ran

pytestmark = pytest.mark.django_db(transaction=True)

NATIVE = {OPUS: "anthropic/claude-opus-4-7", MIDDLE: "gemini/gemini-3.1-pro", CHEAP: "deepseek/deepseek-v4-flash"}


@pytest.fixture(autouse=True)
def _house():
    stock()
    for name, native in NATIVE.items():
        Offering.objects.filter(name=name).update(gateway_names={"litellm": native})


def sticky():
    targets = [{"offering": OPUS, "weight": 5000}, {"offering": MIDDLE, "weight": 5000}]
    return make_content(make_rule(targets=targets, fallbacks=[CHEAP], sticky_by="session"))


def edge(**overrides):
    """Make a gateway that takes Bifrost's form for production."""
    make_key("rules:read", gateway="edge")
    Gateway.objects.filter(name="edge").update(kind="bifrost", takes_rules="export", **overrides)
    return Gateway.objects.get(name="edge")


def test_rules_are_rendered_from_what_is_in_force_a_version_or_a_file(tmp_path):
    make_version(sticky())
    make_version()
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(make_content()))

    live, old = Ran("render", "--format", "bifrost"), Ran("render", "--format", "bifrost", "--version", "1")
    typed = Ran("render", "--format", "bifrost", "--file", str(file), "-o", str(tmp_path / "out.json"))

    assert (live.code, old.code, typed.code, old.out) == (0, 1, 0, "")
    assert "/rules/0/targets: shares stay with session; Bifrost: it draws lots for each request [sticky]" in old.err
    ids = [one["id"] for one in json.loads(live.out)["governance"]["routing_rules"]]
    drafted = json.loads((tmp_path / "out.json").read_text())["governance"]["routing_rules"]
    assert (ids, [one["id"] for one in drafted]) == (["code-high@v2", "@v2"], ["code-high@v0", "@v0"])


def test_limits_that_the_gateway_does_not_hold_are_told_beside_the_rules():
    make_version()
    make_budget(name="of a day", unit="usd", action="block", period="day", scope={})
    make_budget(name="Berlin", unit="usd", action="block", period="day", scope={}, zone="Europe/Berlin")

    ran = Ran("render", "--format", "bifrost")

    assert ran.code == 0
    assert len(json.loads(ran.out)["governance"]["budgets"]) == 1
    assert ran.err.splitlines() == [
        "limit not held there: Berlin: its day begins at midnight in Europe/Berlin; there it would in UTC [limit_zone]"
    ]


def test_what_there_is_not_is_told_without_a_traceback(tmp_path):
    nothing = Ran("render", "--format", "bifrost")
    make_version()
    answers = [
        Ran("render", "--format", "bifrost", *more)
        for more in (["--version", "9"], ["--environment", "moon"], ["--gateway", "nobody"], ["--file", "no.yaml"])
    ]

    assert [one.code for one in (nothing, *answers)] == [2, 2, 2, 2, 2]
    assert ["Traceback" in one.err for one in answers] == [False] * 4


def test_a_rollback_is_not_stopped_by_a_form_and_the_misfit_is_shown():
    make_version(sticky())
    make_version()
    edge()
    assert exports.misfits(at=NOON) == []

    versions.roll_back(environment=ENVIRONMENT, to=1, seen=2, reason="as before", by=PUBLISHER, at=NOON)

    (misfit,) = exports.misfits(at=NOON)
    assert (misfit.taker.name, [one.code for one in misfit.unfit]) == ("edge", ["sticky"])


def test_only_gateways_with_a_working_key_of_the_environment_are_asked(django_assert_num_queries):
    gateway = edge()
    with django_assert_num_queries(1):
        asked = exports.takers(at=NOON, environment=ENVIRONMENT)
    elsewhere = exports.takers(at=NOON, environment="staging")
    ApiKey.objects.update(expires_at=NOON)
    expired = exports.takers(at=NOON, environment=ENVIRONMENT)
    before = exports.takers(at=NOON - timedelta(seconds=1), environment=ENVIRONMENT)
    gateways.retire(gateway=gateway, by="ann", at=NOON)

    assert [one.name for one in asked] == [one.name for one in before] == ["edge"]
    assert elsewhere == expired == exports.takers(at=NOON - timedelta(seconds=1), environment=ENVIRONMENT) == []


def test_a_gateway_that_takes_a_form_keeps_a_draft_from_publication_and_one_that_polls_does_not():
    proposal = make_approved(sticky())
    gateway = edge()

    with pytest.raises(Invalid) as refused:
        versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)
    gateways.take_rules(gateway_id=gateway.pk, how="poll", by="ann")
    published = versions.publish(proposal_id=proposal.pk, by=PUBLISHER, at=NOON)

    assert [at for at, _ in refused.value.problems] == ["/rules/0/targets"]
    assert published.number == 1


def test_how_a_gateway_takes_rules_comes_from_its_kind_and_may_be_changed():
    made = {
        kind: gateways.create(name=kind, kind=kind, by="ann", at=NOON)
        for kind in ("native", "litellm", "bifrost", "cloudflare", "openrouter", "vercel", "openclaw")
    }
    told = [gateways.take_rules(gateway_id=made["bifrost"].pk, how=how, by="ann") for how in ("poll", "poll", "none")]

    assert [name for name, one in made.items() if one.takes_rules == "poll"] == ["native", "litellm"]
    assert told == [True, False, True]
    for how, kind in (("fax", "bifrost"), ("export", "native")):
        with pytest.raises(Invalid):
            gateways.take_rules(gateway_id=made[kind].pk, how=how, by="ann")
        with pytest.raises(Invalid):
            gateways.create(name="another", kind=kind, takes_rules=how, by="ann", at=NOON)
    gateways.retire(gateway=made["vercel"], by="ann", at=NOON)
    with pytest.raises(Conflict):
        gateways.take_rules(gateway_id=made["vercel"].pk, how="none", by="ann")
