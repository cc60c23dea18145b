"""The shell around every page: oneself, times, errors."""

from __future__ import annotations

import gzip
import logging
import re
from datetime import UTC, datetime

import pytest
import structlog
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from core.models import Organisation
from dashboards.context import BELONGS, KEYS, MENU, navigation
from dashboards.templatetags import figures
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import make_user

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_times_are_the_viewers_with_the_organisations_beside_them():
    with timezone.override("Europe/Berlin"), figures.seen_from("America/New_York"):
        shown = figures.at(NOON)
        there = timezone.localtime(NOON)

    assert ">20 Nov 2026, 07:00 EST</time>" in shown
    assert 'title="2026-11-20 07:00:00 EST; 2026-11-20 13:00:00 CET for the organisation"' in shown
    assert there.hour == 13  # days are counted and forms are read in the organisation's zone


def test_times_are_the_organisations_for_whoever_has_no_zone_of_her_own():
    with timezone.override("Europe/Berlin"), figures.seen_from(""):
        shown = figures.at(NOON)

    assert ">20 Nov 2026, 13:00 CET</time>" in shown
    assert "for the organisation" not in shown


@pytest.mark.parametrize("zone", ["Mars/Phobos", "../etc/passwd"])
def test_a_zone_that_the_machine_does_not_know_is_as_none(zone):
    with timezone.override("Europe/Berlin"), figures.seen_from(zone):
        shown = figures.at(datetime(2026, 11, 20, 12, tzinfo=UTC))

    assert "13:00" in shown


def test_no_two_pages_share_a_key():
    assert len(set(KEYS.values())) == len(KEYS)
    assert all(re.fullmatch("[a-z]", key) and key != "g" for key in KEYS.values())
    assert set(KEYS) <= {name for _, pages in MENU for _, name, _ in pages}


@pytest.mark.parametrize(
    ("path", "shown", "marked"),
    [
        ("/", "overview", ("Overview", "page")),
        ("/savings/", "savings", ("Savings", "page")),
        ("/budgets/7/plan/", "budget-plan", ("Budgets", "true")),
        ("/gateways/imports/", "usage-imports", ("Imports", "page")),
        ("/gateways/3/", "gateway", ("Gateways", "true")),
        ("/reconciliation/retention/", "retention", ("Retention", "page")),
        ("/reconciliation/sums/", "sums-check", ("Reconciliation", "true")),
        ("/models/gpt-5.5/", "model", ("Models", "true")),
        ("/events/1/0123/", "event", ("Entries", "true")),
        ("/rules/production/fleet/", "rules-fleet", ("Fleet", "true")),
        ("/rules/production/", "rules-environment", ("Rules", "true")),
        ("/search/", "search", None),
    ],
)
def test_the_menu_marks_one_page_the_nearest_that_a_page_belongs_to(path, shown, marked):
    groups = navigation(path, shown)

    found = [(one.title, one.current) for group in groups for one in group.pages if one.current]

    assert found == ([marked] if marked else [])


def test_the_menu_leads_to_pages_that_there_are():
    groups = navigation("/")

    assert [[one.name for one in group.pages] for group in groups] == [
        [name for _, name, _ in pages] for _, pages in MENU
    ]
    for shown in BELONGS:
        assert any(group.current for group in navigation("/nowhere/", shown))


@pytest.mark.django_db(transaction=True)
def test_a_person_sets_her_name_and_zone_and_pages_follow(client):
    Organisation.objects.filter(pk=1).update(zone="Europe/Berlin")
    person = signed_in(client, "viewer")

    answer = client.post("/me/", {"name": HOSTILE, "zone": "Asia/Tokyo"}, follow=True)

    person.refresh_from_db()
    page = answer.content.decode()
    assert (person.name, person.zone) == (HOSTILE, "Asia/Tokyo")
    assert "Kept." in page
    assert HOSTILE not in page
    assert "Asia/Tokyo</a>, days and months in Europe/Berlin" in page


@pytest.mark.django_db(transaction=True)
def test_a_zone_that_nobody_knows_is_refused_at_its_field(client):
    person = signed_in(client, "viewer")

    answer = client.post("/me/", {"name": "Ada", "zone": "Mars/Olympus"})

    person.refresh_from_db()
    assert answer.status_code == 422
    assert "is not a time zone" in answer.content.decode()
    assert (person.name, person.zone) == ("", "")


@pytest.mark.django_db
def test_a_stranger_is_sent_to_sign_in_and_costs_no_query_more_than_her_session(client, django_assert_max_num_queries):
    assert client.get("/me/")["Location"].startswith("/accounts/login/")

    signed_in(client, "viewer")
    with django_assert_max_num_queries(3):
        assert client.get("/me/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/me/", "/search/?q=a", "/entries/?as=csv", "/spend/?range=none"])
def test_no_proxy_keeps_what_a_person_is_shown(client, path):
    signed_in(client, "viewer")

    assert client.get(path)["Cache-Control"] == "private, no-cache"


@pytest.mark.django_db
def test_a_part_whose_session_has_ended_sends_the_whole_page_to_sign_in(client):
    asked = {"HX-Request": "true", "HX-Current-URL": "http://testserver/spend/?by=team"}

    answer = client.get("/spend/?by=model", headers=asked)

    assert answer["HX-Redirect"] == "/accounts/login/?next=/spend/%3Fby%3Dteam"
    assert answer.content == b""


@pytest.mark.django_db
def test_every_answer_and_every_error_page_name_the_request(client):
    signed_in(client, "viewer")

    lost = client.get("/nothing/here/")
    refused = client.get("/gateways/new/")
    given = client.get("/nothing/", headers={"X-Request-ID": "from-the-proxy-1"})
    forged = client.get("/nothing/", headers={"X-Request-ID": HOSTILE})

    assert (lost.status_code, refused.status_code) == (404, 403)
    assert re.fullmatch("[0-9a-f]{32}", lost["X-Request-ID"])
    for answer in (lost, refused):
        assert answer["X-Request-ID"] in answer.content.decode()
        assert "Content-Security-Policy" in answer
    assert given["X-Request-ID"] == "from-the-proxy-1"
    assert HOSTILE not in forged["X-Request-ID"] + forged.content.decode()


@pytest.mark.django_db
def test_a_form_that_is_out_of_date_says_so_and_does_nothing():
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("viewer"))

    answer = client.post("/me/", {"name": "Ada", "zone": ""})

    assert answer.status_code == 403
    assert "This form is out of date" in answer.content.decode()


def test_what_went_wrong_is_told_without_a_database_under_the_id_that_the_log_has(client, settings, caplog):
    """Without its mark a test has no database at all: looking for the session raises here."""
    client.raise_request_exception = False
    client.cookies[settings.SESSION_COOKIE_NAME] = "somebody"
    logged = []

    class Noted(logging.Filter):
        def filter(self, record):
            logged.append(structlog.contextvars.get_contextvars()["request_id"])
            return True

    with caplog.filtering(Noted()):
        answer = client.get("/spend/")

    assert (answer.status_code, set(logged)) == (500, {answer["X-Request-ID"]})
    assert "The fault is ours" in answer.content.decode()
    assert answer["X-Request-ID"] in answer.content.decode()


@pytest.mark.parametrize(
    "page", ["400.html", "403.html", "403_csrf.html", "404.html", "429.html", "500.html", "503.html"]
)
def test_a_page_of_an_error_needs_nothing_and_leads_on(page):
    shown = render_to_string(page)

    assert 'href="/"' in shown or 'href=""' in shown
    assert "request <code" not in shown


@pytest.mark.django_db
def test_pages_come_compressed_and_what_the_api_says_does_not(client):
    signed_in(client, "viewer")

    page = client.get("/me/", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/me/")
    said = client.get("/api/schema/", headers={"Accept-Encoding": "gzip"})

    assert page["Content-Encoding"] == "gzip"
    assert "Your settings" in gzip.decompress(page.content).decode()
    assert len(page.content) < len(plain.content) / 3
    assert "Content-Encoding" not in said
