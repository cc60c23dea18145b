"""A rule's way from a lead's form to a gateway's poll, walked in a real Chromium by an engineer and an approver."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from core import keys
from routing.models import Environment
from tests.browser.looks import Look, in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked, fill_in
from tests.factories import make_key, make_user
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_version, stock

expect.set_options(timeout=60_000)
PASSWORD = "correct horse battery"
ENGINEER, APPROVER = "engineer@example.com", "approver@example.com"


class Gateway:
    """Polls as a gateway does: with what it has."""

    def __init__(self, address: str, secret: str) -> None:
        self._client = httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {secret}"})
        self._etag = ""

    def polls(self) -> httpx.Response:
        answer = self._client.get("/rules/production", headers={"If-None-Match": self._etag} if self._etag else {})
        if answer.status_code == 200:
            self._etag = answer.headers["ETag"]
        return answer

    def close(self) -> None:
        self._client.close()


def signed_in(browser: Browser, address: str, email: str, heard: Heard, look: Look) -> Page:
    context = browser.new_context(viewport={"width": look.width, "height": 900}, color_scheme=look.theme)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    sign_in(page, address, email, PASSWORD)
    return page


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_a_rule_is_edited_tried_submitted_approved_by_another_published_and_polled_and_a_switch_follows(
    live_server, browser, width, theme
):
    look = Look(width, theme)
    keys.forget()
    stock()
    make_version()
    make_user("engineer", email=ENGINEER, password=PASSWORD)
    make_user("approver", email=APPROVER, password=PASSWORD)
    gateway = Gateway(live_server.url, make_key("rules:read", name="gateway"))
    heard = Heard()
    first = gateway.polls()

    engineer = signed_in(browser, live_server.url, ENGINEER, heard, look)
    engineer.goto(f"{live_server.url}/rules/")
    engineer.get_by_role("button", name="Change").first.click()
    engineer.locator("[name=target-0-offering]").select_option(CHEAP)
    engineer.get_by_role("button", name="Save the rule").click()
    expect(engineer.get_by_role("heading", name="What it changes")).to_be_visible()
    expect(engineer.get_by_text(f"{CHEAP} added with 100 %")).to_be_visible()
    draft = engineer.url
    checked(engineer)
    engineer.get_by_role("link", name="Try a request").click()
    engineer.locator("[name=use_case]").fill("code-review")
    engineer.locator("[name=task]").fill("code")
    engineer.locator("[name=task]").press("Enter")
    expect(engineer.get_by_text("This request would go another way than it does now.")).to_be_visible()
    expect(engineer.locator(".tk-answer h2", has_text=CHEAP)).to_be_visible()
    expect(engineer.locator(".tk-answer h2", has_text=OPUS)).to_be_visible()
    checked(engineer)
    unchanged_by_a_draft = gateway.polls()
    engineer.goto(draft)
    engineer.get_by_role("button", name="Submit for review").click()
    expect(engineer.get_by_text("The draft is in review.")).to_be_visible()
    expect(engineer.get_by_role("button", name="Approve")).to_have_count(0)

    approver = signed_in(browser, live_server.url, APPROVER, heard, look)
    approver.goto(draft)
    checked(approver)
    approver.get_by_role("button", name="Approve").click()
    expect(approver.get_by_text("Approved: exactly this content")).to_be_visible()
    approver.get_by_role("button", name="Publish").click()
    expect(approver.get_by_text("Version 2 is in force.")).to_be_visible()
    published = gateway.polls()

    engineer.goto(f"{live_server.url}/rules/production/switches/")
    engineer.locator("[name=what]").select_option(label="deepseek")
    engineer.locator("[name=minutes]").fill("5")
    engineer.locator("[name=reason]").fill("provider outage")
    engineer.get_by_role("button", name="Turn off").click()
    expect(engineer.get_by_text("is off").first).to_be_visible()
    checked(engineer)
    switched = gateway.polls()
    gateway.close()

    assert (first.status_code, unchanged_by_a_draft.status_code) == (200, 304)
    assert published.json()["version"] == 2
    assert [target["offering"] for target in published.json()["rules"][0]["targets"]] == [CHEAP]
    assert published.json()["rules"][0]["fallbacks"] == [MIDDLE]
    [told] = switched.json()["state"]["switches"]
    assert (told["provider"], told["off"], told["reason"]) == ("deepseek", True, "provider outage")
    assert Environment.objects.get(name="production").live_version == 2
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})


# On a phone a row of such a table is a card, and a card does not scroll.
ROWS_FIT = """innerWidth > 768 || [...document.querySelectorAll(".tk-table-wrap:has(> .tk-cards)")]
    .every(wrap => wrap.scrollWidth <= wrap.clientWidth)"""
PAGES = {
    "spend": "/spend/?by=model",
    "routing": "/routing/",
    "rules": "/rules/production/",
    "history": "/rules/production/history/",
    "version": "/rules/production/versions/1/",
    "back": "/rules/production/versions/1/back/",
    "try": "/rules/production/try/",
    "switches": "/rules/production/switches/",
    "new draft": "/rules/production/drafts/new/",
    "catalog": "/catalog/",
    "offering": f"/catalog/{OPUS}/",
    "gateways": "/gateways/",
    "new gateway": "/gateways/new/",
    "search": "/search/?q=code",
}


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_every_page_keeps_to_the_policy_to_its_host_and_to_the_screen(live_server, browser, width, theme):
    stock()
    make_version()
    make_version()
    fill_in()
    make_user("admin", email="admin@example.com", password=PASSWORD)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    heard = Heard()
    heard.listen(page)
    sign_in(page, live_server.url, "admin@example.com", PASSWORD)

    for path in PAGES.values():
        answer = page.goto(live_server.url + path)
        assert answer is not None
        assert answer.status == 200, path
        checked(page)
        assert page.evaluate(ROWS_FIT), path

    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})
