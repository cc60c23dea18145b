"""The search field: what has a name is found from every page, by whoever may see it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.template import RequestContext, Template
from django.test.utils import CaptureQueriesContext

from catalog.models import Model, Offering, Price, Provider, Team, UseCase
from catalog.services import contracts
from dashboards.models import SavedView
from dashboards.selectors import search
from routing.models import Environment, Proposal, Version
from tests.alerts.making import make_alert, make_channel
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_user
from tests.usage import making

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def make_use_case(name: str, **overrides: str) -> UseCase:
    return UseCase.objects.create(**{"name": name, "folded": name.casefold(), **overrides})


def make_named(kind: str, name: str) -> object:
    """Make one thing of a kind that can be found."""
    provider, _ = Provider.objects.get_or_create(name="somebody")
    makers: dict[str, Callable[[], object]] = {
        "Use cases": lambda: make_use_case(name),
        "Teams": lambda: Team.objects.create(name=name, folded=name.casefold()),
        "Models": lambda: Model.objects.create(name=name),
        "Offerings": lambda: Offering.objects.create(
            name=f"{name}@somebody", model=Model.objects.create(name="inside"), provider=provider
        ),
        "Providers": lambda: Provider.objects.create(name=name),
        "Contracts": lambda: contracts.set_terms(
            name=name,
            provider=provider,
            discount_percent=Decimal(5),
            valid_from=making.LONG_AGO,
            by="tests",
            approved_by="tests",
            at=making.NOON,
        ),
        "Budgets": lambda: make_budget(name=name),
        "Channels": lambda: make_channel(name=name),
        "Gateways": lambda: making.make_gateway(name),
        "Rules": lambda: publish(make_rule(name)),
        "Drafts of rules": lambda: make_draft(name),
        "Versions of rules": lambda: make_titled_version(name),
        "Saved views": lambda: SavedView.objects.create(
            page="spend", name=name, query="by=model", owner=make_user("finance"), shared=True, changed_at=making.NOON
        ),
        "Alerts": lambda: make_alert(title=name),
    }
    return makers[kind]()


def make_rule(id: str, title: str = "Hard work") -> dict[str, Any]:
    return {"id": id, "title": title, "targets": [{"offering": "gpt-5.5@openai", "weight": 10000}]}


def publish(*rules: dict[str, Any]) -> Version:
    """Put rules in force as the next version of production, with none of the steps before that."""
    environment, _ = Environment.objects.get_or_create(name="production", defaults={"created_at": making.NOON})
    content = {"rules": rules, "default": {"targets": []}, "offerings": {}}
    canonical = json.dumps(content).encode()
    base = environment.live_version
    version = Version.objects.create(
        environment=environment,
        number=(base or 0) + 1,
        base=base,
        canonical=canonical,
        sha256=hashlib.sha256(canonical).digest(),
        published_at=making.NOON,
        published_by="ann@example.com",
        approved_by="bob@example.com",
    )
    Environment.objects.filter(pk=environment.pk).update(live_version=version.number)
    return version


def found(text: str, most: int = 10) -> dict[str, list[str]]:
    answer = search.find(text=text, may=lambda action: True, most=most)
    return {one.kind.title: [hit.name for hit in one.hits] for one in answer}


# --- who finds anything ---


def test_a_stranger_is_sent_to_sign_in_and_who_may_see_nothing_has_no_field_and_no_answer(client):
    make_use_case("secret-plan")
    stranger = client.get("/search/?q=secret")
    signed_in(client)

    refused = client.get("/search/?q=secret")

    assert (stranger.status_code, stranger["Location"]) == (302, "/accounts/login/?next=/search/%3Fq%3Dsecret")
    assert refused.status_code == 403
    assert "data-search" not in refused.content.decode()
    assert "secret-plan" not in refused.content.decode()


@pytest.mark.parametrize(("roles", "there"), [((), False), (("viewer",), True)])
def test_the_field_is_there_for_whoever_may_search(rf, roles, there):
    request = rf.get("/")
    request.user = make_user(*roles)

    field = Template("{% load search %}{% search_field %}").render(RequestContext(request))

    assert ("data-search" in field) == there


def test_a_kind_whose_page_one_may_not_see_is_neither_found_nor_asked_for():
    make_use_case("plan")
    asked: list[str] = []

    with CaptureQueriesContext(connection) as queries:
        answer = search.find(text="plan", may=lambda action: asked.append(action) is not None, most=5)

    assert (answer, len(queries)) == ([], 0)
    assert asked == [kind.action for kind in search.KINDS]
    assert search.find(text="plan", may=make_user("viewer").has_perm, most=5) != []


def test_every_page_has_the_field_as_a_form_that_works_without_scripts(client):
    signed_in(client, "viewer")

    for path in ("/", "/spend/", "/budgets/", "/alerts/"):
        page = client.get(path).content.decode()

        assert re.search(r'<form class="tk-search" role="search" action="/search/" method="get"', page), path
        assert page.count('name="q"') == 1


# --- what is found ---


def make_draft(title: str) -> Proposal:
    environment, _ = Environment.objects.get_or_create(name="production", defaults={"created_at": making.NOON})
    content = {"rules": [], "default": {"targets": []}, "offerings": {}}
    return Proposal.objects.create(
        environment=environment, title=title, content=content, created_at=making.NOON, created_by="ann@example.com"
    )


def make_titled_version(title: str) -> Version:
    """Put a version with a title in force."""
    environment, _ = Environment.objects.get_or_create(name="production", defaults={"created_at": making.NOON})
    canonical = b'{"rules":[],"default":{"targets":[]},"offerings":{}}'
    return Version.objects.create(
        environment=environment,
        number=42,
        canonical=canonical,
        sha256=hashlib.sha256(canonical).digest(),
        published_at=making.NOON,
        published_by="ann@example.com",
        approved_by="bob@example.com",
        title=title,
    )


def test_enter_opens_what_alone_has_that_very_name_or_id_and_a_link_shows_the_list(client):
    making.make_priced_offering()
    making.send(making.make_event(event_id="call-1", use_case="billing"))
    use_case = UseCase.objects.get(name="billing")
    make_use_case("billing-eu")
    make_budget(name="Frontier")
    make_budget(name="frontier", zone="Europe/Berlin")
    signed_in(client, "viewer")

    def led_to(query: str, **headers: str) -> str | None:
        return client.get(f"/search/?{query}", headers=headers).headers.get("Location")

    assert str(led_to("q=call-1&go=yes")).startswith("/events/")
    assert led_to("q=%20Billing&go=yes") == f"/use-cases/{use_case.pk}/"
    assert led_to("q=gpt-5.5&go=yes") == "/models/gpt-5.5/"
    for listed in ("q=billing", "q=bill&go=yes", "q=frontier&go=yes", "q=call-2&go=yes", "go=yes"):
        assert led_to(listed) is None, listed
    assert led_to("q=billing&go=yes", **HTMX) is None
    assert '<input type="hidden" name="go" value="yes">' in client.get("/search/?q=bill").content.decode()


def test_a_price_is_found_by_the_number_that_exports_name_it_by(client):
    offering = making.make_priced_offering()
    price = Price.objects.filter(series__model=offering.model, series__meter="output").get()
    signed_in(client, "viewer")

    led = client.get(f"/search/?q=price/{price.pk}&go=yes")["Location"]

    assert led == f"/catalog/gpt-5.5@openai/#price-{price.pk}"
    assert f'id="price-{price.pk}"' in client.get(led).content.decode()
    assert found("price/999999") == {}


@pytest.mark.parametrize("kind", [kind.title for kind in search.KINDS if kind.title not in ("Events", "Prices")])
def test_each_kind_is_found_and_leads_to_a_page_that_exists(client, kind):
    made = make_named(kind, "Needle.9")
    signed_in(client, "viewer")

    page = client.get("/search/?q=needle").content.decode()

    (hit,) = re.findall(r'<li><a href="([^"]+)"><span class="tk-found__name">([^<]+)', page)
    assert hit[1].startswith("Needle.9")
    assert kind in page
    assert client.get(unescape(hit[0])).status_code == 200
    own = {"Use cases": "use-cases", "Teams": "teams", "Budgets": "budgets", "Alerts": "alerts"}.get(kind)
    if own:
        assert hit[0] == f"/{own}/{made.pk}/"
    if kind == "Models":
        assert hit[0] == "/models/Needle.9/"
    if kind == "Providers":
        assert parse_qs(urlsplit(unescape(hit[0])).query) == {"provider": ["Needle.9"]}


def test_an_event_is_found_by_the_whole_of_its_id_before_all_else_and_by_no_part_of_it(client):
    making.make_priced_offering()
    making.send(making.make_event(event_id="code-7"))
    making.send(making.make_event(event_id="code-7"), gateway="batch")
    make_use_case("code-7")
    signed_in(client, "viewer")

    answer = search.find(text="code-7", may=lambda action: True, most=5)
    page = client.get(unescape(answer[0].hits[0].url))

    assert [one.kind.title for one in answer[:2]] == ["Events", "Use cases"]
    assert [(hit.name, hit.note) for hit in answer[0].hits] == [("code-7", "edge"), ("code-7", "batch")]
    assert page.status_code == 200
    assert "Events" not in found("code-")


def test_versions_are_found_by_number_and_views_of_others_only_when_shared():
    make_titled_version("Cheaper drafts")
    SavedView.objects.create(
        page="spend", name="mine alone", query="", owner=make_user("finance"), changed_at=making.NOON
    )

    assert found("42") == found("version 42") == {"Versions of rules": ["Cheaper drafts"]}
    assert found("mine") == {}


def test_the_best_come_first_exact_then_beginning_then_inside():
    for name in ("my-code", "code-review", "Code", "codex", "unrelated", "barcode"):
        make_use_case(name)
    Team.objects.create(name="code", folded="code")
    make_budget(name="Our code")

    answer = found("cODE")

    assert answer["Use cases"] == ["Code", "codex", "code-review", "barcode", "my-code"]
    assert list(answer) == ["Use cases", "Teams", "Budgets"]
    assert list(found("our")) == ["Budgets"]


def test_models_that_were_used_come_before_those_that_are_only_listed():
    for version in ("5", "4.7", "4.6"):
        making.make_offering(f"opus-{version}@anthropic", uncached_input="1")
    book(call(model="opus-4.7", provider="anthropic"))

    answer = found("opus")

    assert answer["Models"] == ["opus-4.7", "opus-5", "opus-4.6"]
    assert answer["Offerings"] == ["opus-4.7@anthropic", "opus-5@anthropic", "opus-4.6@anthropic"]
    assert found("opus-5")["Models"] == ["opus-5"]


def test_kinds_stand_in_the_order_of_their_best_hit():
    make_use_case("ask-gpt-often")
    Model.objects.create(name="gpt")

    assert list(found("gpt")) == ["Models", "Use cases"]


def test_rules_are_those_of_the_version_in_force_by_id_or_title():
    publish(make_rule("old-hand"))
    publish(make_rule("code-high", "Hard code work"), make_rule("drafts", "Letters by hand"), make_rule("hand"))

    (answer,) = search.find(text="HAND", may=lambda action: True, most=5)

    assert [(hit.name, hit.url, hit.note) for hit in answer.hits] == [
        ("hand", "/rules/production/#rule-3", "Hard work, production"),
        ("drafts", "/rules/production/#rule-2", "Letters by hand, production"),
    ]


def test_a_title_is_searched_too():
    make_use_case("uc-17", title="Answers letters of customers")

    assert found("LETTERS") == {"Use cases": ["uc-17"]}


@pytest.mark.parametrize(("text", "name"), [("%", "100% sure"), ("_", "snake_case"), ("\\", "back\\slash")])
def test_wildcards_are_characters_like_others(text, name):
    make_use_case("ordinary")
    make_use_case(name)

    assert found(text) == {"Use cases": [name]}


def test_of_each_kind_only_so_many_are_given_and_it_says_that_there_are_more(client):
    for number in range(30):
        make_use_case(f"case-{number}")
    signed_in(client, "viewer")

    page = client.get("/search/?q=case").content.decode()
    suggestions = client.get("/search/?q=case", headers=HTMX).content.decode()

    assert (page.count("tk-found__name"), suggestions.count("tk-found__name")) == (25, 4)
    assert "There are more: type more of the name." in page
    assert '<a href="/search/?q=case">Show everything found</a>' in suggestions


def test_it_takes_one_query_for_each_kind_however_much_there_is():
    for number in range(30):
        make_use_case(f"case-{number}")
        Team.objects.create(name=f"case-{number}", folded=f"case-{number}")

    with CaptureQueriesContext(connection) as queries:
        found("case")

    assert len(queries) == len(search.KINDS) - 1  # prices are found by their number alone


# --- how it is said ---


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_search_asks_for_a_name_and_the_database_for_nothing(client, django_assert_num_queries, text):
    make_use_case("anything")
    signed_in(client, "viewer")

    with django_assert_num_queries(3):  # session, person, organisation
        page = client.get("/search/", {"q": text}).content.decode()

    assert "Type part of the name" in page
    assert "code-7" not in page
    assert "the whole id of an event" in page


def test_nothing_found_says_so_with_what_was_searched_for(client):
    signed_in(client, "viewer")

    page = client.get("/search/", {"q": HOSTILE}).content.decode()

    assert "Nothing is called anything like" in page
    assert "Look for an older event" in page
    assert "&lt;script&gt;alert(1)" in page
    assert HOSTILE not in page


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("x" * 201, "A search has 200 characters at most."), ("a\0b", "This text cannot be searched for.")],
)
def test_what_cannot_be_searched_for_is_refused_in_words(client, text, sentence):
    signed_in(client, "viewer")

    answer = client.get("/search/", {"q": text})
    suggestions = client.get("/search/", {"q": text}, headers=HTMX)

    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert sentence in suggestions.content.decode()


def test_suggestions_come_alone_when_htmx_asks(client):
    make_use_case(HOSTILE)
    signed_in(client, "viewer")

    answer = client.get("/search/?q=script", headers=HTMX)

    page = answer.content.decode()
    assert "<html" not in page
    assert "&lt;script&gt;" in page
    assert HOSTILE not in page
    assert "HX-Request" in answer["Vary"]
