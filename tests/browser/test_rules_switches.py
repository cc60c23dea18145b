"""A provider's bad hour, from the Routing page to off, on again and the history, in a real Chromium."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from routing.models import Switch
from tests.browser.looks import WALKED
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.factories import make_user
from tests.routing.making import make_version, stock
from tests.usage import making

EMAIL, PASSWORD = "engineer@example.com", "correct horse battery"


def book(count: int, **overrides: Any) -> None:
    now = timezone.now()
    given = {
        "occurred_at": now, "use_case": "code-review", "provider": "anthropic", "model": "claude-opus-4.7",
        "rules_version": 1, "rule": "code-high",
    }  # fmt: skip
    making.send(*(making.make_event(**{**given, **overrides}) for _ in range(count)), received_at=now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.soak
@pytest.mark.parametrize(("width", "theme", "scripts"), [*((*look, True) for look in WALKED), (390, "light", False)])
def test_a_bad_hour_is_turned_off_in_two_clicks_on_again_in_one_and_stands_in_the_history(
    live_server, browser, width, theme, scripts
):
    stock()
    make_version(at=timezone.now() - timedelta(hours=1))
    make_user("engineer", email=EMAIL, password=PASSWORD)
    book(23, status="error")
    book(77)
    heard = Heard()
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
    )
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    if scripts:
        heard.listen(page)
    sign_in(page, live_server.url, EMAIL, PASSWORD)

    page.goto(f"{live_server.url}/routing/")
    expect(page.get_by_role("heading", name="Failing now")).to_be_visible()
    looked_at(page, scripts)
    page.locator("#failing").get_by_role("link", name="Turn off anthropic").click()
    expect(page.get_by_role("heading", name="Turn something off", level=1)).to_be_visible()
    assert page.locator("[name=what]").input_value() == "provider:anthropic"
    assert page.locator("[name=minutes]").input_value() == "30"
    assert page.locator("[name=reason]").input_value().startswith("error rate 23 % since ")
    looked_at(page, scripts)
    page.get_by_role("button", name="Turn off").click()

    expect(page.get_by_role("heading", name="Switched off now")).to_be_visible()
    expect(page).to_have_url(f"{live_server.url}/routing/")
    expect(page.get_by_role("heading", name="Failing now")).to_have_count(0)
    looked_at(page, scripts)
    book(4, provider="google", model="gemini-3.1-pro", route_reason="switched_off")
    page.goto(f"{live_server.url}/rules/")
    expect(page.get_by_role("heading", name="Switched off now")).to_be_visible()
    looked_at(page, scripts)
    page.get_by_role("button", name="On again").click()
    expect(page.get_by_text("The switch on anthropic is taken back.")).to_be_visible()
    expect(page.get_by_role("heading", name="Switched off now")).to_have_count(0)

    page.goto(f"{live_server.url}/rules/production/switches/")
    # 1100 tokens at 2 USD per million instead of 5, four times.
    expect(page.get_by_text("saved $0.01")).to_be_visible()
    looked_at(page, scripts)
    page.get_by_role("row", name="error rate 23 %").get_by_role("link", name="anthropic").click()
    expect(page.get_by_text("taken back by engineer@example.com")).to_be_visible()
    expect(page.get_by_role("row", name="code-high").get_by_text("saved $0.01")).to_be_visible()
    looked_at(page, scripts)
    context.close()

    assert [one.off for one in Switch.objects.order_by("id")] == [True, False]
    if scripts:
        assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})


def looked_at(page: Page, scripts: bool) -> None:
    if scripts:
        checked(page)
