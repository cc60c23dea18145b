"""An alert's way to people, walked in a real Chromium: on-call with a phone, and an engineer who sets a channel up."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from alerts.models import Alert, Channel
from alerts.services import deliveries
from tests.alerts.conftest import webhook  # noqa: F401 - a server that takes what is posted
from tests.alerts.making import make_alert, make_channel
from tests.browser.looks import WIDE, Look, in_each_look
from tests.browser.test_console import Heard, checked
from tests.factories import make_user

expect.set_options(timeout=60_000)
PASSWORD = "correct horse battery"
ON_CALL, PLATFORM = "on-call@example.com", "platform@example.com"
# On a phone a row of such a table is a card, and a card does not scroll.
ROWS_FIT = """innerWidth > 768 || [...document.querySelectorAll(".tk-table-wrap:has(> .tk-cards)")]
    .every(wrap => wrap.scrollWidth <= wrap.clientWidth)"""


def opened(browser: Browser, look: Look, heard: Heard) -> Page:
    # Without transitions: contrast is looked at right after the theme was changed.
    context = browser.new_context(
        viewport={"width": look.width, "height": 844}, color_scheme=look.theme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    return page


def signs_in(page: Page, email: str) -> None:
    page.fill("input[name=login]", email)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button[type=submit]")


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_on_call_opens_the_link_of_a_message_signs_in_takes_the_alert_and_says_what_it_was(
    live_server, browser, width, theme
):
    make_channel(name="finops")
    alert = make_alert(at=timezone.now())
    alert.deliveries.update(state="failed", reason="404 no_service", attempts=1)
    make_user("engineer", email=ON_CALL, password=PASSWORD)
    heard = Heard()
    page = opened(browser, Look(width, theme), heard)

    page.goto(f"{live_server.url}/alerts/{alert.pk}/acknowledge/")
    signs_in(page, ON_CALL)
    expect(page.get_by_role("heading", name=alert.title)).to_be_visible()
    checked(page)
    page.get_by_role("button", name="Acknowledge: I take care of it").click()
    expect(page.get_by_text("You take care of this alert")).to_be_visible()
    page.get_by_label("Comment").fill("A deploy doubled the prompts.")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator("#timeline").get_by_text("A deploy doubled the prompts.")).to_be_visible()
    checked(page)
    page.get_by_role("button", name="Try finops again").click()
    expect(page.get_by_text("It is being sent again.")).to_be_visible()
    page.goto(f"{live_server.url}/alerts/?state=acknowledged")
    expect(page.get_by_role("link", name=alert.title)).to_be_visible()
    page.get_by_label("All that are shown here").check()
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("1 alert is resolved.")).to_be_visible()
    page.goto(f"{live_server.url}/alerts/?state=all")
    assert page.evaluate(ROWS_FIT)
    checked(page)

    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("resolved", ON_CALL)
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})


@pytest.mark.django_db(transaction=True)
def test_an_engineer_sets_a_slack_channel_up_tries_it_and_sees_what_was_delivered(live_server, browser, webhook):  # noqa: F811
    make_alert(title="an earlier one", severity=10, at=timezone.now())
    make_user("platform", email=PLATFORM, password=PASSWORD)
    heard = Heard()
    page = opened(browser, WIDE, heard)

    page.goto(f"{live_server.url}/channels/")
    signs_in(page, PLATFORM)
    checked(page)
    page.get_by_role("link", name="Set up the first channel").click()
    page.get_by_role("link", name="Slack webhook").click()
    page.get_by_label("Name", exact=True).fill("#finops")
    page.get_by_label("Webhook address").fill(webhook.url)
    expect(page.get_by_text("an earlier one")).to_be_visible()
    page.get_by_label("How grave").select_option("20")
    expect(page.get_by_text("an earlier one")).to_have_count(0)  # the preview follows what is chosen
    checked(page)
    page.get_by_role("button", name="Set it up").click()
    expect(page.get_by_role("heading", name="#finops")).to_be_visible()
    page.evaluate("window.stays = true")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("It arrived")).to_be_visible()
    assert page.evaluate("window.stays")  # without a reload
    checked(page)

    alert = make_alert(at=timezone.now())
    deliveries.deliver_due(at=timezone.now(), limit=10)
    page.goto(f"{live_server.url}/alerts/deliveries/?channel={Channel.objects.get().pk}")
    row = page.get_by_role("row").filter(has_text=alert.title)
    expect(row.get_by_text("delivered", exact=True)).to_be_visible()
    checked(page)
    page.goto(f"{live_server.url}/channels/")
    expect(page.get_by_text("delivered", exact=True)).to_be_visible()
    checked(page)

    assert [post["text"] for post in webhook.posts] == ["info: Test of the channel #finops", f"warning: {alert.title}"]
    assert Alert.objects.count() == 2
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})
