"""Rules written, copied, moved and taken back in a real Chromium without a line of JSON, at both widths."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.looks import in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.factories import make_use_case, make_user
from tests.routing.making import CHEAP, OPUS, make_content, make_draft, make_rule, make_version, stock

expect.set_options(timeout=60_000)
PASSWORD = "correct horse battery"
LEAD = "engineer@example.com"


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_a_rule_is_copied_edited_moved_tried_and_taken_back_without_json(live_server, browser, width, theme):
    stock()
    make_use_case("code-review")
    content = make_content(make_rule("first", use_cases=["chat"]), make_rule())
    make_version(content, at=timezone.now())
    draft = make_draft(content, at=timezone.now())
    make_user("engineer", email=LEAD, password=PASSWORD)
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()
    page.set_default_timeout(60_000)
    heard = Heard()
    heard.listen(page)
    sign_in(page, live_server.url, LEAD, PASSWORD)
    address = f"{live_server.url}/rules/production/drafts/{draft.pk}/"

    page.goto(address)
    page.get_by_label("More for rule code-high").click()
    checked(page)
    page.get_by_role("button", name="Copy", exact=True).last.click()
    expect(page.get_by_text("The copy is called code-high-copy.")).to_be_visible()
    page.get_by_role("link", name="Edit rule code-high-copy").click()
    page.locator("[name=title]").fill("Hard work by day")
    page.get_by_role("button", name="Add a group").click()
    page.locator("[name=condition-1-group]").select_option("not_any")
    page.get_by_role("button", name="Condition in group 2").click()
    page.locator("[name=condition-2-field]").select_option("weekday")
    expect(page.locator("select[name=condition-2-value]")).to_be_visible()
    page.locator("[name=condition-2-value]").select_option(label="Sunday")
    page.get_by_role("button", name="Add a target").first.click()
    page.locator("[name=target-1-offering]").select_option(CHEAP)
    page.locator("[name=target-0-weight]").fill("75")
    page.get_by_role("button", name="Make it 100 %").first.click()
    expect(page.locator("[name=target-1-weight]")).to_have_value("25")
    checked(page)
    page.get_by_role("button", name="Save the rule").click()
    expect(page.get_by_text("is never reached")).to_be_visible()
    page.get_by_role("button", name="Save it unfinished").click()
    expect(page.get_by_text("Rule code-high-copy is saved.")).to_be_visible()
    page.get_by_label("More for rule code-high-copy").click()
    page.locator("#to-3").fill("1")
    page.locator("#to-3").press("Enter")
    expect(page.locator("#rule-1 h3")).to_have_text("Hard work by day")
    page.get_by_label("More for rule first").click()
    page.get_by_role("button", name="Remove from the draft").click()
    page.get_by_role("button", name="Put it back").click()
    expect(page.get_by_text("Rule first is back.")).to_be_visible()
    page.get_by_label("More for rule code-high-copy").click()
    page.get_by_role("link", name="Try it").first.click()
    expect(page.locator("[name=use_case]")).to_have_value("code-review")
    expect(page.locator(".tk-answer").first).to_be_visible()
    checked(page)
    for path in ("text/", "rules/copy/"):
        page.goto(address + path)
        checked(page)

    draft.refresh_from_db()
    copied = draft.content["rules"][0]
    assert [rule["id"] for rule in draft.content["rules"]] == ["code-high-copy", "first", "code-high"]
    assert copied["when"]["all"][1] == {"not": {"field": "weekday", "op": "eq", "value": "7", "zone": "UTC"}}
    assert [(one["offering"], one["weight"]) for one in copied["targets"]] == [(OPUS, 7500), (CHEAP, 2500)]
    # Chromium says so of every answer that refuses, and the unfinished rule was refused once.
    complaints = [one for one in heard.complaints if "422 (Unprocessable Entity)" not in one]
    assert (complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})
