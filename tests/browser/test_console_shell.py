"""The shell in a real Chromium: keys, waiting, what fails, the viewer's zone, paper, and small and enlarged screens."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from axe_core_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.looks import NARROW, WIDE
from tests.browser.screenshots import settled, sign_in
from tests.browser.test_console import EMAIL, PASSWORD
from tests.dashboards.seeing import book, call
from tests.factories import make_user
from tests.usage import making

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(live_server, browser: Browser) -> Page:
    making.make_priced_offering()
    make_user("finance", email=EMAIL, password=PASSWORD)
    book(*(call(at=timezone.now() - timedelta(days=days_ago)) for days_ago in range(3)))
    page = browser.new_context(viewport={"width": WIDE.width, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    sign_in(page, live_server.url, EMAIL, PASSWORD)
    settled(page)
    return page


def test_keys_search_explain_and_lead_to_pages_and_whoever_wants_none_turns_them_off(page, live_server):
    page.keyboard.press("/")
    field = page.locator("#search-text")
    expect(field).to_be_focused()
    page.keyboard.type("g?/")
    expect(field).to_have_value("g?/")
    field.fill("")
    field.blur()

    button = page.locator(".tk-user summary")
    button.focus()
    page.keyboard.press("?")
    help_ = page.get_by_role("dialog", name="Keyboard")
    expect(help_).to_be_visible()
    assert [one["id"] for one in Axe().run(page, context={"include": [["#shortcuts"]]})["violations"]] == []
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()
    expect(button).to_be_focused()
    assert page.url == f"{live_server.url}/"

    page.keyboard.press("Control+g")
    page.keyboard.press("b")
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/spend/")
    settled(page)
    page.keyboard.press("[")
    page.wait_for_url(re.compile(r"/spend/\?.*from="))

    page.goto(f"{live_server.url}/me/")
    page.get_by_label("Use single keys as shortcuts").locator("visible=true").uncheck()
    page.locator("h1").click()
    page.keyboard.press("?")
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.reload()
    expect(help_).to_be_hidden()
    expect(page.locator("#me-keys")).not_to_be_checked()
    assert page.url == f"{live_server.url}/me/"


def test_what_takes_long_and_what_could_not_be_fetched_are_told_and_tried_again(page, live_server):
    page.goto(f"{live_server.url}/spend/")
    settled(page)
    asked: list[Route] = []
    page.route(re.compile("by=model"), lambda route: asked.append(route), times=2)
    told = page.locator("[data-told]")

    page.locator(".tk-switch").get_by_role("link", name="Model", exact=True).click()
    expect(page.locator("[data-progress]")).to_be_visible()
    expect(page.locator("#spend")).to_have_attribute("aria-busy", "true")
    asked[0].abort()
    expect(told).to_contain_text("No answer")
    expect(page.locator("[data-progress]")).to_be_hidden()
    told.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-progress]")).to_be_visible()
    asked[1].fulfill(status=500, headers={"X-Request-ID": "the-request"}, body="")
    expect(told).to_contain_text("Request the-request")
    told.get_by_role("button", name="Try again").click()
    expect(page).to_have_url(re.compile("by=model"))
    expect(told).to_have_text("")
    settled(page)

    page.context.set_offline(True)
    expect(told).to_contain_text("No answer")
    page.context.set_offline(False)
    expect(told).to_have_text("")


def test_pages_fit_the_smallest_screen_and_four_times_the_size_and_can_be_hit_with_a_finger(page, live_server):
    """WCAG 2.2: 1.4.10 reflow at 320 px (1280 px at 400 %), 1.4.12 text spacing, 2.5.8 targets of 24 px."""
    for path in ("/", "/spend/", "/me/"):
        page.set_viewport_size({"width": 320, "height": 700})
        page.goto(live_server.url + path)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways at 320 px"
        page.evaluate("""() => {
            const sheet = new CSSStyleSheet();
            sheet.replaceSync('* { line-height: 1.5 !important; letter-spacing: 0.12em !important; ' +
                'word-spacing: 0.16em !important } p { margin-bottom: 2em !important }');
            document.adoptedStyleSheets = [sheet];
        }""")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} with wide text spacing"

        page.set_viewport_size({"width": NARROW.width, "height": 844})
        page.goto(live_server.url + path)
        settled(page)
        found = Axe().run(page, options={"runOnly": ["target-size"], "resultTypes": ["violations"]})["violations"]
        assert [node["html"][:120] for one in found for node in one["nodes"]] == [], path


def test_paper_shows_the_page_without_the_shell_in_light_and_says_where_it_is_from(page):
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    settled(page)

    for hidden in (".tk-sidebar", ".tk-topbar", ".tk-actions", ".tk-tools >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    head = page.locator(".tk-print")
    expect(head).to_be_visible()
    expect(head).to_contain_text(page.url)
    assert page.locator("h1").evaluate("heading => getComputedStyle(heading).color") == "rgb(23, 28, 38)"
    cut = """cards => cards.filter(card => getComputedStyle(card).breakInside !== 'avoid').length"""
    assert page.locator(".tk-chart-block").evaluate_all(cut) == 0
