"""The fleet's pages: who runs what, who is late or refuses and why, who never asked, and how to ask."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from catalog.models import Gateway, TakesRules
from catalog.services import gateways
from core.models import ApiKey
from dashboards.views import fleet as view
from routing.models import Environment
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import make_key
from tests.routing.making import make_approved, make_content, make_rule, make_version, stock
from tests.routing.making_fleet import make_poll, make_polls

pytestmark = pytest.mark.django_db
FLEET = "/rules/production/fleet/"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def two_versions():
    """Version 1 and 2, both in June 2026, so that whoever has the first is late."""
    stock()
    make_key("rules:read")
    make_version()
    make_version()


def ago(length=timedelta(0)):
    return timezone.now() - length


def text(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_without_gateways_the_page_says_how_to_let_the_first_one_ask(client):
    signed_in(client, "platform")

    page = text(client.get(FLEET))

    assert "No gateway asks for these rules" in page
    assert "/api/v1/rules/production \\ -d instance=pod-1" in page
    assert "YOUR-KEY" in page
    assert "/gateways/new/" in page
    signed_in(client, "viewer")
    assert "/gateways/new/" not in client.get(FLEET).content.decode()


def test_the_page_tells_who_runs_what_in_numbers_and_by_instance(client, two_versions):
    for name in ("a", "b", "c"):
        make_poll(2, instance=name, client="tollkeeper-python/1.0", at=ago())
    make_poll(1, instance="d", at=ago())
    signed_in(client, "viewer")

    answer = client.get(FLEET)

    page = text(answer)
    assert "3 of 4 instances run version" in page
    assert "1 of 4 instances is behind; v2 has been in force for " in page
    assert "1 behind, 3 up to date" in page
    assert "tollkeeper-python/1.0" in page
    assert [(one.number, one.instances, one.width, one.live) for one in answer.context["versions"]] == [
        (2, 3, 75, True),
        (1, 1, 25, False),
    ]


def test_behind_and_not_heard_of_are_two_things(client, two_versions):
    make_key("rules:read", gateway="far")
    make_poll(1, at=ago())
    make_poll(1, gateway="far", at=ago(HOUR))
    signed_in(client, "viewer")

    answer = client.get(FLEET)

    assert (answer.context["behind"], answer.context["unheard"], answer.context["refused"]) == (1, 1, 0)
    assert [(one.line.row.gateway, one.line.state) for one in answer.context["gateways"]] == [
        ("edge", "behind"),
        ("far", "not heard of"),
    ]


def test_a_refusal_comes_first_with_its_reason_and_the_way_back(client, two_versions):
    make_key("rules:read", gateway="aaa")
    make_poll(2, gateway="aaa", at=ago())
    make_poll(1, refuses=2, why="unknown operator: near", at=ago())
    signed_in(client, "engineer")

    answer = client.get(FLEET)

    assert [one.line.row.gateway for one in answer.context["gateways"]] == ["edge", "aaa"]
    assert "unknown operator: near" in text(answer)
    assert "/rules/production/versions/1/back/" in text(answer)
    signed_in(client, "viewer")
    assert "unknown operator: near" in text(client.get(FLEET))
    assert "/rules/production/versions/1/back/" not in text(client.get(FLEET))


def test_whoever_has_a_key_and_never_asked_is_named_with_how_to(client, two_versions):
    make_key("rules:read", gateway="quiet")
    make_poll(2, at=ago())
    ApiKey.objects.filter(gateway_key__gateway__name="quiet").update(last_used_at=ago(HOUR))
    signed_in(client, "viewer")

    page = text(client.get(FLEET))

    assert "Connected, never asked for rules" in page
    assert "quiet" in page
    assert "1 hour ago" in page
    assert "active=2.2" in page
    make_poll(2, gateway="quiet", at=ago())
    assert "Connected, never asked for rules" not in text(client.get(FLEET))


def test_whoever_takes_rules_in_a_form_of_its_own_is_not_missed_and_leads_to_that_form(client, two_versions):
    make_poll(2, at=ago())
    make_key("rules:read", gateway="proxy")
    Gateway.objects.filter(name="proxy").update(takes_rules=TakesRules.EXPORT)
    ApiKey.objects.filter(gateway_key__gateway__name="proxy").update(last_used_at=ago(HOUR))
    signed_in(client, "viewer")

    page = client.get(FLEET)

    assert "Connected, never asked for rules" not in text(page)
    assert "in a form of its own" in text(page)
    assert "1 hour ago" in text(page)
    assert "/rules/production/forms/" in text(page)
    assert "never polled" not in text(client.get(f"/gateways/{Gateway.objects.get(name='proxy').pk}/"))


def test_environments_are_told_apart_and_one_that_only_a_poll_names_says_so(client, two_versions):
    make_key("rules:read", gateway="staged", environment="staging")
    make_poll(None, gateway="staged", environment="prodution", at=ago())
    make_poll(None, gateway="staged", environment="staging", at=ago())
    signed_in(client, "viewer")

    staging, wrong = client.get("/rules/staging/fleet/"), client.get("/rules/prodution/fleet/")

    assert "1 instance asked for rules, and none are in force" in text(staging)
    assert "is the name right that this gateway asks with?" in text(wrong)
    assert client.get("/rules/nowhere/fleet/").status_code == 404
    assert client.get("/gateways/fleet/").headers["Location"] == FLEET


def test_many_instances_are_folded_and_can_be_walked_through_by_state(client, two_versions):
    make_polls(250, at=ago())
    make_poll(1, instance="late", at=ago())
    signed_in(client, "viewer")
    pk = gateways.get("edge").pk

    folded = client.get(FLEET)
    first = client.get(f"{FLEET}{pk}/")
    second = client.get(first.context["next_url"])
    third = client.get(second.context["next_url"])
    late = client.get(f"{FLEET}{pk}/?state=behind")

    assert len(folded.context["gateways"][0].instances) == view.FOLDED
    assert folded.context["gateways"][0].instances[0].row.name == "late"
    assert "All 251 instances of edge" in text(folded)
    names = [one.row.name for page in (first, second, third) for one in page.context["instances"]]
    assert names == ["late", *(f"pod-{n:05}" for n in range(1, 251))]
    assert third.context["next_url"] == ""
    assert [one.row.name for one in late.context["instances"]] == ["late"]
    assert [one.title for one in late.context["kinds"]] == ["All (251)", "Behind (1)", "Up to date (250)"]


@pytest.mark.parametrize("query", ["?state=odd", "?after=%00", "?after=" + "x" * 200])
def test_an_address_that_means_nothing_leads_to_no_page(client, two_versions, query):
    make_poll(2, at=ago())
    signed_in(client, "viewer")

    assert client.get(f"{FLEET}{gateways.get('edge').pk}/{query}").status_code == 404


@pytest.mark.parametrize("pk", [0, 999_999, 2**63, 10**40])
def test_there_is_no_page_of_a_gateway_that_never_was_or_never_asked(client, two_versions, pk):
    signed_in(client, "viewer")

    assert client.get(f"{FLEET}{pk}/").status_code == 404
    assert client.get(f"{FLEET}{gateways.get('edge').pk}/").status_code == 404


def test_what_gateways_say_is_text(client, two_versions):
    make_poll(1, refuses=2, why=HOSTILE, instance=HOSTILE, client=HOSTILE, at=ago())
    signed_in(client, "admin")
    pk = gateways.get("edge").pk

    for path in (FLEET, f"{FLEET}{pk}/", f"/gateways/{pk}/"):
        page = client.get(path).content.decode()

        assert "&lt;script&gt;alert(1)" in page, path
        assert HOSTILE not in page, path


def test_only_people_with_a_role_see_the_fleet(client, two_versions):
    make_poll(2, at=ago())
    paths = (FLEET, f"{FLEET}{gateways.get('edge').pk}/", "/gateways/fleet/")

    assert {client.get(path).headers["Location"].partition("?")[0] for path in paths} == {"/accounts/login/"}
    signed_in(client)  # without a role
    assert {client.get(path).status_code for path in paths} == {403}


def test_the_gateway_s_page_shows_its_refusal_and_leads_to_the_fleet(client, two_versions):
    make_poll(1, refuses=2, why="unknown operator", at=ago())
    signed_in(client, "viewer")

    page = text(client.get(f"/gateways/{gateways.get('edge').pk}/"))
    listed = text(client.get("/gateways/"))

    assert "refuses v2 and goes on with v1" in page
    assert "v2: unknown operator" in page
    assert FLEET in page
    assert FLEET in listed
    assert "1 behind with its rules" in listed


def test_the_pages_ask_the_same_few_questions_however_many_instances_there_are(
    client, two_versions, django_assert_num_queries
):
    make_poll(2, at=ago())
    signed_in(client, "viewer")
    paths = {FLEET: 9, f"{FLEET}{gateways.get('edge').pk}/": 5}
    client.get(FLEET)

    for path, queries in paths.items():
        with django_assert_num_queries(queries):
            client.get(path)
    make_polls(10_000, at=ago())
    make_key("rules:read", gateway="more")
    make_poll(1, refuses=2, gateway="more", at=ago())
    for path, queries in paths.items():
        with django_assert_num_queries(queries):
            assert len(client.get(path).content) < 200_000


def test_a_draft_says_which_gateways_would_not_understand_it_and_is_published_all_the_same(client, two_versions):
    proposal = make_approved(make_content(make_rule("other")), at=ago())
    make_poll(2, spec=0, client="own/0.9", at=ago())
    signed_in(client, "engineer")
    path = f"/rules/production/drafts/{proposal.pk}/"

    warned = text(client.get(path))
    in_the_admin = text(client.get(f"/admin/routing/proposal/{proposal.pk}/publish/"))
    over_the_api = client.get(f"/api/v1/rules/production/drafts/{proposal.pk}").json()

    told = "edge (own/0.9) understands specification 0 at most, and these rules need 1"
    assert told in warned
    assert told in in_the_admin
    assert [one.partition(":")[0] for one in over_the_api["warnings"]] == [told]
    client.post(f"{path}publish/", {"saves": proposal.saves})
    assert Environment.objects.get(name="production").live_version == 3
    assert told not in text(client.get(path))


def test_a_draft_that_every_gateway_understands_warns_of_nothing(client, two_versions):
    proposal = make_approved(make_content(make_rule("other")), at=ago())
    make_poll(2, spec=1, at=ago())
    make_poll(2, instance="b", at=ago())  # does not say
    signed_in(client, "engineer")

    assert "Not every gateway" not in text(client.get(f"/rules/production/drafts/{proposal.pk}/"))
    assert client.get(f"/api/v1/rules/production/drafts/{proposal.pk}").json()["warnings"] == []


def test_a_version_says_who_refuses_it_and_no_other_one_does(client, two_versions):
    make_poll(1, refuses=2, why="unknown operator: near", at=ago())
    signed_in(client, "viewer")

    assert "unknown operator: near" in text(client.get("/rules/production/versions/2/"))
    assert "unknown operator: near" not in text(client.get("/rules/production/versions/1/"))
