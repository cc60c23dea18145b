"""The administration in a real Chromium: nothing that the policy refuses, nothing wider than the screen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from routing.models import Version
from tests.browser.looks import WALKED
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard
from tests.factories import make_user
from tests.routing.making import CHEAP, OPUS, make_content, make_draft, make_rule, make_version, stock

EMAIL, PASSWORD = "lead@example.com", "correct horse battery"


def looked_at(page: Page, name: str, width: int) -> None:
    """Hold a page that is shown to the policy and the width of the screen; `PICTURES=DIR` keeps what it looks like."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)
    assert page.evaluate("window.refused") == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways at {width}"


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_the_admin_works_in_a_browser_at_both_widths_and_in_both_themes(live_server, browser):
    stock()
    make_version()
    make_version(make_content(make_rule(fallbacks=[CHEAP])), title="cheaper fallback")
    draft = make_draft(
        make_content(
            make_rule(targets=[{"offering": OPUS, "weight": 7000}, {"offering": CHEAP, "weight": 3000}]),
            make_rule("unfinished", when=None, use_cases=["support-routing", "invoice-extraction"], rationale=""),
        ),
        title="Move a third of the code reviews to the cheap model",
    )  # fmt: skip
    version = Version.objects.latest("id")
    make_user("engineer", email=EMAIL, password=PASSWORD)
    pages = {
        "index": "/admin/",
        "proposals": "/admin/routing/proposal/",
        "proposal": f"/admin/routing/proposal/{draft.pk}/change/",
        "withdraw": f"/admin/routing/proposal/{draft.pk}/withdraw/",
        "history": f"/admin/routing/proposal/{draft.pk}/history/",
        "start": "/admin/routing/proposal/add/",
        "versions": "/admin/routing/version/",
        "version": f"/admin/routing/version/{version.pk}/change/?with=1",
        "switch": "/admin/routing/switch/add/",
        "offerings": "/admin/catalog/offering/",
        "price": "/admin/catalog/price/",
    }

    for width, theme in WALKED:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        page = context.new_page()
        page.set_default_timeout(60_000)
        heard = Heard()
        heard.listen(page)
        sign_in(page, live_server.url, EMAIL, PASSWORD)
        for name, path in pages.items():
            page.goto(live_server.url + path)
            page.wait_for_load_state()
            looked_at(page, name, width)
        assert heard.complaints == []
        context.close()

    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    heard = Heard()
    heard.listen(page)
    sign_in(page, live_server.url, EMAIL, PASSWORD)
    page.goto(live_server.url + pages["proposal"])
    page.fill("#id_content", '{"rules": [}')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert").first).to_contain_text("line 1")
    expect(page.locator("#id_content")).to_have_value('{"rules": [}')
    looked_at(page, "refused", 1440)
    page.get_by_role("link", name="Back to the console").click()
    expect(page).to_have_url(f"{live_server.url}/")
    # A refused form is answered with 422, which a browser tells as an error.
    assert [one for one in heard.complaints if "422" not in one] == []
