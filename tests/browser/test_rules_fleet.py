"""A version that a gateway refuses, from its poll to the alert and its end, as people see it in a real Chromium."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import expect

from alerts.models import Alert
from core import keys
from routing import tasks
from routing.serving.shelf import SHELF
from tests.browser.looks import in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.browser.test_rules_story import PASSWORD
from tests.factories import make_key, make_user
from tests.routing.making import make_version, stock


def polls(address: str, secret: str, **said: str) -> None:
    """Ask for the rules as a gateway does, with what it says of itself, and have it written as every three seconds."""
    answer = httpx.get(
        f"{address}/api/v1/rules/production", params=said, headers={"Authorization": f"Bearer {secret}"}, timeout=60
    )
    assert answer.status_code == 200
    SHELF.polls.write(now=timezone.now().timestamp())


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_a_refused_version_is_seen_in_the_fleet_told_of_and_over_when_the_gateway_runs_it(
    live_server, browser, width, theme
):
    keys.forget()
    SHELF.polls.clear()
    stock()
    make_version(at=timezone.now())
    make_version(at=timezone.now())
    make_user("engineer", email="engineer@example.com", password=PASSWORD)
    secret = make_key("rules:read", name="gateway")
    make_key("rules:read", gateway="quiet")
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()
    page.set_default_timeout(60_000)
    heard = Heard()
    heard.listen(page)
    sign_in(page, live_server.url, "engineer@example.com", PASSWORD)

    said = {"instance": "pod-1", "client": "tollkeeper-python/1.0", "spec": "1"}
    polls(live_server.url, secret, active="1.1", rejected="2.2", reason="unknown operator: near", **said)
    tasks.look_at_fleet()
    page.goto(f"{live_server.url}/rules/production/")
    page.get_by_role("main").get_by_role("link", name="Fleet").click()
    expect(page.get_by_text("refuses v2 and goes on with v1")).to_be_visible()
    expect(page.get_by_role("blockquote").get_by_text("unknown operator: near")).to_be_visible()
    expect(page.get_by_role("heading", name="Connected, never asked for rules")).to_be_visible()
    expect(page.get_by_role("link", name="Roll back to version 1")).to_be_visible()
    checked(page)
    page.get_by_role("link", name="version 2").click()
    expect(page.get_by_role("heading", name="Refused by 1 gateway")).to_be_visible()
    checked(page)
    page.goto(f"{live_server.url}/alerts/")
    page.get_by_role("link", name="edge refuses version 2 of the rules in production").first.click()
    expect(page.get_by_text("unknown operator: near")).to_be_visible()
    checked(page)
    page.get_by_role("link", name="Open the fleet").click()
    told = list(Alert.objects.values_list("kind", "state"))

    polls(live_server.url, secret, active="2.2", **said)
    tasks.look_at_fleet()
    page.reload()
    expect(page.get_by_text("up to date").first).to_be_visible()
    expect(page.get_by_text("unknown operator")).to_have_count(0)
    page.get_by_text("1 instance", exact=True).click()
    expect(page.get_by_text("pod-1").first).to_be_visible()
    checked(page)
    page.goto(f"{live_server.url}/gateways/")
    checked(page)

    assert told == [("rules_refused", "open")]
    assert list(Alert.objects.values_list("kind", "state")) == [("rules_refused", "resolved")]
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})
