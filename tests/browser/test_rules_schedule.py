"""Rules published at a chosen moment and a review confirmed, in a real Chromium. Moments come by an argument."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from core import keys
from core.models import Organisation
from routing.models import Environment, Schedule
from routing.services import reviews, schedules
from tests.browser.looks import in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.factories import make_user
from tests.routing.making import CHEAP, make_approved, make_content, make_rule, make_version, stock

expect.set_options(timeout=60_000)
PASSWORD = "correct horse battery"
DAY = timedelta(days=1)


def signed_in(browser: Browser, address: str, heard: Heard, *, width: int, theme: str) -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    sign_in(page, address, "admin@example.com", PASSWORD)
    return page


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_a_draft_is_scheduled_cancelled_scheduled_again_published_and_its_review_confirmed(
    live_server, browser, width, theme
):
    keys.forget()
    Organisation.objects.update(zone="Europe/Berlin")
    stock()
    now = timezone.now()
    make_version(at=now)
    overdue = make_rule(fallbacks=[CHEAP], review_by=(now - 2 * DAY).date().isoformat(), title="Hard code work")
    draft = make_approved(make_content(overdue), title="a cheaper fallback", at=now)
    make_user("admin", email="admin@example.com", password=PASSWORD)
    heard = Heard()
    page = signed_in(browser, live_server.url, heard, width=width, theme=theme)
    rules = f"{live_server.url}/rules/production/"

    def schedule() -> None:
        page.get_by_text("Publish it later").click()
        page.get_by_label("Publish at").fill(f"{now + 2 * DAY:%Y-%m-%d} 06:00")
        page.get_by_role("button", name="Schedule", exact=True).click()
        expect(page.get_by_text("Scheduled for").first).to_be_visible()

    page.goto(f"{rules}drafts/{draft.pk}/")
    page.get_by_text("Publish it later").click()
    page.get_by_label("Publish at").fill("2026-13-01")
    page.get_by_role("button", name="Schedule", exact=True).click()
    expect(page.get_by_text("Write a day as 2026-11-01")).to_be_visible()
    page.goto(f"{rules}drafts/{draft.pk}/")
    schedule()
    checked(page)
    page.goto(rules)
    expect(page.get_by_text("scheduled for")).to_be_visible()
    checked(page)
    page.get_by_role("link", name="a cheaper fallback").click()
    page.get_by_text("Cancel the schedule").first.click()
    page.locator("#unschedule_why").fill("not this week")
    page.get_by_role("button", name="Cancel the schedule").click()
    expect(page.get_by_text("The schedule is cancelled.")).to_be_visible()
    assert schedules.publish_due(at=now + 3 * DAY).published == 0
    schedule()
    assert schedules.publish_due(at=now + 3 * DAY).published == 1
    page.goto(rules)
    expect(page.get_by_text("is in force in production: a cheaper fallback")).to_be_visible()
    expect(page.get_by_text("review overdue by").first).to_be_visible()

    reviews.look(at=timezone.now())
    page.goto(f"{live_server.url}/alerts/")
    page.get_by_role("link", name="Review overdue").click()
    page.get_by_role("link", name="Open the reviews").click()
    expect(page.get_by_role("heading", name="Overdue")).to_be_visible()
    checked(page)
    page.get_by_role("checkbox").check()
    page.get_by_label("Why they are still right").fill("compared with last month")
    page.get_by_role("button", name="Make the draft").click()
    expect(page.get_by_role("heading", name="Still right, code-high: compared with last month")).to_be_visible()
    expect(page.get_by_text("review by from")).to_be_visible()
    checked(page)

    page.goto(f"{live_server.url}/duties/")
    page.get_by_label("Why").fill("a team of one")
    page.get_by_role("button", name="Turn it off").click()
    expect(page.get_by_text("Turned off by admin@example.com")).to_be_visible()
    checked(page)
    page.goto(rules)
    expect(page.get_by_text("Separation of duties is off")).to_be_visible()
    checked(page)

    assert Environment.objects.get(name="production").live_version == 2
    assert list(Schedule.objects.order_by("id").values_list("state", flat=True)) == ["cancelled", "published"]
    # A form that is refused answers 422, which the browser names.
    assert [one for one in heard.complaints if "422" not in one] == []
    assert heard.hosts == {urlsplit(live_server.url).netloc}
