"""Somebody asks the explorer: from a bar to what it is made of, by another dimension, and kept as a view."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.looks import NARROW
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.dashboards.seeing import book, call
from tests.factories import make_user
from tests.usage import making

expect.set_options(timeout=60_000)
EMAIL, PASSWORD = "viewer@example.com", "correct horse battery"


@pytest.mark.django_db(transaction=True)
def test_a_click_on_a_bar_leads_to_what_it_is_made_of_and_the_question_is_kept_as_a_view(live_server, browser):
    making.make_priced_offering()
    at = timezone.now() - timedelta(days=1)
    book(call(at=at, usd=80, use_case="large", team="platform"), call(at=at, usd=20, use_case="small"))
    make_user("viewer", email=EMAIL, password=PASSWORD)
    heard = Heard()
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    sign_in(page, live_server.url, EMAIL, PASSWORD)

    # One bar per use case, split by team: the tallest stands at the left.
    page.goto(f"{live_server.url}/spend/?then=team")
    expect(page.locator("#spend-chart [data-chart-state=drawn]")).to_be_visible()
    plot = page.locator("#spend-chart .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.24, box["y"] + box["height"] * 0.7)
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.7)
    expect(page).to_have_url(re.compile("use_case=large"))
    asked = parse_qs(urlsplit(page.url).query)
    assert (asked["use_case"], asked["team"], asked["by"]) == (["large"], ["platform"], ["model"])

    # Without a reload, another way to look.
    page.get_by_label("Measure", exact=True).select_option("error_share")
    expect(page).to_have_url(re.compile("measure=error_share"))
    expect(page.get_by_role("heading", name="Share of failed requests per day by model")).to_be_visible()
    page.get_by_role("link", name="This month").click()
    expect(page).to_have_url(re.compile("range=this-month"))
    checked(page)

    # Kept under a name, and opened again.
    page.set_viewport_size({"width": NARROW.width, "height": 900})
    page.locator("#spend-views summary").click()
    checked(page)
    page.get_by_label("Save this view as").fill("Failing models")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as Failing models.")).to_be_visible()
    page.goto(f"{live_server.url}/spend/views/")
    checked(page)
    page.get_by_role("link", name="Failing models").click()
    expect(page).to_have_url(re.compile("range=this-month.*measure=error_share.*use_case=large"))
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})
