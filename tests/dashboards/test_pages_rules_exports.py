"""The page of other gateways' forms: what is shown, what is in the way, who may say how a gateway takes rules."""

from __future__ import annotations

import pytest

from catalog.models import Gateway, Offering
from tests.dashboards.making_rules import PRODUCTION, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import make_budget, make_key
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule

pytestmark = pytest.mark.django_db

FORMS = f"{PRODUCTION}forms/"
NATIVE = {OPUS: "anthropic/claude-opus-4-7", MIDDLE: "gemini/gemini-3.1-pro", CHEAP: "deepseek/deepseek-v4-flash"}


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()
    for name, native in NATIVE.items():
        Offering.objects.filter(name=name).update(gateway_names={"litellm": native})


def edge() -> Gateway:
    make_key("rules:read", gateway="edge")
    Gateway.objects.filter(name="edge").update(kind="bifrost", takes_rules="export")
    return Gateway.objects.get(name="edge")


def test_a_form_that_fits_is_shown_with_its_text_what_it_leaves_out_and_what_requests_say(client):
    version_of(make_content(make_rule(timeout_ms=9000, title=HOSTILE)))
    signed_in(client, "viewer")

    page = client.get(f"{FORMS}?format=bifrost").content.decode()

    assert "code-high@v1" in page
    assert "<code>use_case</code> as <code>x-use-case</code>" in page
    assert "the timeout is 9000 ms" in page
    assert HOSTILE not in page
    assert "takes_rules" not in page


def test_limits_that_the_gateway_does_not_hold_by_itself_are_named(client):
    version_of()
    make_budget(name=HOSTILE[:128], unit="usd", action="downgrade", scope={"tier": ["frontier"]})
    make_budget(name="of everything", unit="usd", action="block", period="month", scope={})
    signed_in(client, "viewer")

    bifrost, vercel = (client.get(f"{FORMS}?format={name}").content.decode() for name in ("bifrost", "vercel"))

    assert "of budgets that it does not hold by itself" in bifrost
    assert "it downgrades, and a limit in Bifrost refuses" in bifrost
    assert HOSTILE not in bifrost
    assert "tollkeeper-all" in bifrost
    assert "does not hold by itself" not in vercel


def test_what_is_in_the_way_leads_to_the_rule(client):
    version_of()
    edge()
    signed_in(client, "engineer")

    page = client.get(f"{FORMS}?format=vercel").content.decode()
    file = client.get(f"{FORMS}vercel/")

    assert "Vercel AI Gateway cannot say these rules" in page
    assert f'<a href="{PRODUCTION}#rule-1">code-high</a>' in page
    assert "the rule asks for task" in page
    assert (file.status_code, file["Content-Type"]) == (409, "text/plain; charset=utf-8")
    assert "cannot be given the rules in force" not in page


def test_a_gateway_that_the_rules_in_force_do_not_fit_is_told_of(client):
    at_night = {"field": "hour", "op": "lt", "value": 6, "zone": "UTC"}
    version_of(make_content(make_rule(when=at_night)))
    gateway = edge()
    signed_in(client, "viewer")

    page = client.get(FORMS).content.decode()

    assert "edge cannot be given the rules in force" in page
    assert "does not fit" in page
    assert "?format=bifrost&amp;gateway=edge#form" in page
    assert "cannot say 1 thing of those in force" in client.get(f"/gateways/{gateway.pk}/").content.decode()


def test_a_form_is_a_file_too(client):
    version_of()
    signed_in(client, "viewer")

    file = client.get(f"{FORMS}bifrost/")

    assert file.json()["governance"]["routing_rules"][0]["id"] == "code-high@v1"
    assert file["Content-Disposition"] == 'attachment; filename="bifrost-production-1-1.json"'


def test_before_the_first_version_the_page_says_what_to_do(client):
    signed_in(client, "viewer")

    page = client.get(FORMS)

    assert page.status_code == 200
    assert "Nothing is in force here yet" in page.content.decode()
    assert "No gateway has a key of this environment" in page.content.decode()
    assert client.get(f"{FORMS}bifrost/").status_code == 404
    assert [client.get(f"{FORMS}?format=fax").status_code, client.get(f"{FORMS}fax/").status_code] == [404, 404]
    assert client.get("/rules/moon/forms/").status_code == 404


def test_who_looks_after_keys_says_how_a_gateway_takes_rules_and_nobody_else(client):
    gateway = edge()
    sent = {"gateway": gateway.pk, "takes_rules": "poll"}

    signed_in(client, "engineer")
    refused = client.post(f"{FORMS}take/", sent)
    signed_in(client, "platform")
    shown = client.get(FORMS).content.decode()
    taken = client.post(f"{FORMS}take/", sent)
    wrong = [
        client.post(f"{FORMS}take/", given, follow=True).status_code
        for given in (sent | {"takes_rules": "fax"}, sent | {"gateway": "x"}, sent | {"gateway": 999})
    ]

    gateway.refresh_from_db()
    assert (refused.status_code, taken.status_code, gateway.takes_rules) == (403, 302, "poll")
    assert '<option value="export" selected>' in shown
    assert wrong == [200, 404, 404]


def test_the_page_asks_the_same_few_questions_however_many_rules_and_gateways(client, django_assert_num_queries):
    version_of()
    signed_in(client, "viewer")
    client.get(FORMS)
    with django_assert_num_queries(12):
        client.get(FORMS)
    version_of(make_content(*(make_rule(f"rule-{n}", use_cases=[f"use-case-{n}"]) for n in range(30))))
    edge()
    client.get(FORMS)  # a gateway more makes budgets read their names again
    with django_assert_num_queries(12):
        client.get(FORMS)


def test_a_rollback_shows_what_a_gateway_cannot_be_given_and_goes_on(client):
    at_night = {"field": "hour", "op": "lt", "value": 6, "zone": "UTC"}
    version_of(make_content(make_rule(when=at_night)))
    version_of()
    edge()
    signed_in(client, "engineer")

    page = client.get(f"{PRODUCTION}versions/1/back/").content.decode()
    answer = client.post(f"{PRODUCTION}versions/1/back/", {"reason": "as before", "seen": "2"})

    assert (
        "The gateway edge cannot be given this: the rule asks for the hour; Bifrost: its expressions know no time"
        in page
    )
    assert answer.status_code == 302
