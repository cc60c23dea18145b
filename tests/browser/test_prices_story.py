"""Prices typed in a real Chromium: what is typed while the book of another day is fetched stays."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.screenshots import sign_in
from tests.factories import make_user
from tests.usage import making

expect.set_options(timeout=60_000)
EMAIL, PASSWORD = "finance@example.com", "correct horse battery"


@pytest.fixture
def page(browser: Browser) -> Page:
    opened = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    opened.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    return opened


@pytest.mark.django_db(transaction=True)
def test_a_price_typed_while_the_book_of_another_day_is_fetched_is_not_lost(live_server, page):
    making.make_priced_offering()
    make_user("finance", email=EMAIL, password=PASSWORD)
    sign_in(page, live_server.url, EMAIL, PASSWORD)
    page.goto(f"{live_server.url}/prices/new/?offering=gpt-5.5@openai")
    held: list[Route] = []
    page.route("**/prices/new/?*", lambda route: held.append(route))  # a method of a list cannot be handed over

    page.fill("[name=valid_from]", "2026-10-31")
    page.fill("[name=usd_uncached_input]", "4.8")  # leaving the day's field asks for the book of that day
    page.locator("[name=usd_output]").press_sequentially("24")
    page.wait_for_function("document.querySelector('.htmx-request') !== null")
    with page.expect_response("**/prices/new/?*"):
        held.pop().continue_()

    expect(page.locator("#meters")).to_contain_text("In the book 31 Oct 2026")
    expect(page.locator("[name=usd_uncached_input]")).to_have_value("4.8")
    expect(page.locator("[name=usd_output]")).to_have_value("24")
    expect(page.locator("[name=usd_output]")).to_be_focused()
