"""Two engineers change the same rules at once: the second brings her draft up to date, in a real Chromium."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from core import keys
from routing.models import Environment, Proposal, Version
from routing.rules import document
from tests.browser.looks import Theme, in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.factories import make_user
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_approved, make_content, make_rule, make_version, stock

expect.set_options(timeout=60_000)
PASSWORD = "correct horse battery"
FIRST, SECOND, APPROVER = "first@example.com", "second@example.com", "approver@example.com"


def signed_in(browser: Browser, address: str, email: str, heard: Heard, width: int, theme: Theme) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    sign_in(page, address, email, PASSWORD)
    return page


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_of_two_drafts_at_once_the_second_is_put_on_the_first_with_a_conflict_settled(
    live_server, browser, width, theme
):
    keys.forget()
    stock()
    make_version()
    for email, role in ((FIRST, "engineer"), (SECOND, "engineer"), (APPROVER, "approver")):
        make_user(role, email=email, password=PASSWORD)
    heard = Heard()
    second = signed_in(browser, live_server.url, SECOND, heard, width, theme)
    second.goto(f"{live_server.url}/rules/production/")
    second.get_by_role("button", name="Change").first.click()
    second.locator("[name=target-0-offering]").select_option(CHEAP)
    second.locator("[name=title]").fill("Cheap code")
    second.get_by_role("button", name="Save the rule").click()
    expect(second.get_by_role("heading", name="What it changes")).to_be_visible()
    draft = second.url.partition("#")[0]
    # Meanwhile the first engineer's change of the same targets, and of a time-out, goes live.
    overtaking = make_approved(
        make_content(make_rule(targets=[{"offering": MIDDLE, "weight": 10000}], fallbacks=[OPUS], timeout_ms=900)),
        title="All code to Gemini",
    )
    first = signed_in(browser, live_server.url, FIRST, heard, width, theme)
    first.goto(f"{live_server.url}/rules/production/drafts/{overtaking.pk}/")
    first.get_by_role("button", name="Publish", exact=True).click()
    expect(first.get_by_text("Version 2 is in force.")).to_be_visible()

    second.goto(draft)
    expect(second.get_by_role("heading", name="Another version went live since this was started")).to_be_visible()
    checked(second)
    second.get_by_role("link", name="Bring it up to date", exact=True).click()
    expect(second.get_by_role("heading", name="1 thing was changed on both sides")).to_be_visible()
    expect(second.get_by_text("All code to Gemini")).to_be_visible()
    checked(second)
    second.get_by_role("button", name="Bring it up to date").click()
    expect(second.get_by_text("Choose one of the two.")).to_be_visible()
    checked(second)
    second.get_by_role("radio", name="This draft").check()
    expect(second.locator("#rebase-result")).to_contain_text(f"Rule code-high: {CHEAP} added with 100 %")
    expect(second.locator("#rebase-result")).not_to_contain_text("not settled")
    checked(second)
    second.get_by_role("button", name="Bring it up to date").click()
    expect(second.get_by_text("The draft is up to date: it changes version 2 now.")).to_be_visible()
    second.get_by_role("button", name="Submit for review").click()
    expect(second.get_by_text("The draft is in review.")).to_be_visible()

    approver = signed_in(browser, live_server.url, APPROVER, heard, width, theme)
    approver.goto(draft)
    approver.get_by_role("button", name="Approve").click()
    expect(approver.get_by_text("Approved: exactly this content")).to_be_visible()
    approver.get_by_role("button", name="Publish", exact=True).click()
    expect(approver.get_by_text("Version 3 is in force.")).to_be_visible()
    approver.goto(f"{live_server.url}/rules/production/history/")
    approver.get_by_role("link", name="Compare two versions").click()
    expect(approver.get_by_role("heading", name="Version 3")).to_be_visible()
    expect(approver.locator(".tk-part", has_text="code-high")).to_contain_text(f"100 % {CHEAP}")
    checked(approver)
    approver.locator("[name=before]").select_option("1")
    approver.get_by_role("button", name="Compare").click()
    expect(approver.locator(".tk-part", has_text="code-high")).to_contain_text(f"100 % {OPUS}")
    expect(approver.locator(".tk-part", has_text="code-high")).to_contain_text("900")
    checked(approver)

    rule = document.parse(bytes(Version.objects.get(number=3).canonical))["rules"][0]
    assert [target["offering"] for target in rule["targets"]] == [CHEAP]
    assert (rule["fallbacks"], rule["timeout_ms"], rule["title"]) == ([OPUS], 900, "Cheap code")
    assert Environment.objects.get(name="production").live_version == 3
    contributors = Proposal.objects.get(version=3).contributions.values_list("by", flat=True)
    assert set(contributors) == {SECOND}
    # A refusal is answered with 422, which a browser notes.
    assert [one for one in heard.complaints if "status of 422" not in one] == []
    assert heard.hosts == {urlsplit(live_server.url).netloc}
