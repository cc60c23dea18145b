"""Books put right and closed, walked in a real Chromium: a failed run goes on, and its month is closed for good."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from catalog.models import Amendment
from core import periods
from core.models import Job, JobState
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.dashboards.seeing import book, call
from tests.factories import make_user
from tests.usage import making
from tests.usage.test_usage_restating import restate
from usage.models import Month
from usage.services.restating import running

expect.set_options(timeout=60_000)
EMAIL, PASSWORD = "finance@example.com", "correct horse battery"


@pytest.fixture
def page(browser: Browser) -> Page:
    opened = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    opened.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    return opened


@pytest.mark.django_db(transaction=True)
def test_a_run_that_failed_is_put_in_line_goes_on_before_ones_eyes_and_its_month_is_closed(live_server, page):
    now = timezone.now()
    last = periods.add_months(now.date().replace(day=1), -1)
    then = periods.month(last, "UTC").ends_at - timedelta(hours=12)
    offering = making.make_priced_offering()
    for at, usd in ((then - timedelta(days=40), 3), (then, 7)):
        book(call(at=at, usd=usd), at=at)
    restate(now)
    making.set_price(offering, "uncached_input", "6", at=now, note="the invoice says so")
    running.take_up(at=now)
    job = Job.objects.get(kind=running.KIND, state=JobState.WAITING)
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED, error="disk on fire", done=0, total=2)
    make_user("finance", email=EMAIL, password=PASSWORD)
    heard = Heard()
    heard.listen(page)
    sign_in(page, live_server.url, EMAIL, PASSWORD)

    page.get_by_role("link", name="Months").first.click()
    expect(page.get_by_text("A restatement failed")).to_be_visible()
    checked(page)
    page.get_by_role("link", name="Restatements that failed").click()
    checked(page)
    page.locator(f"a[href='/restatements/a{Amendment.objects.latest('id').pk}/']").click()
    expect(page.get_by_text("disk on fire")).to_be_visible()
    checked(page)
    page.get_by_role("button", name="Put in line again").click()
    expect(page.get_by_text("It goes on where it stopped.")).to_be_visible()
    expect(page.locator("#run")).to_contain_text("In line again")
    restate_in_the_background(job, now)
    expect(page.locator("#run")).to_contain_text("Restated")  # by itself
    expect(page.get_by_text("They cost before")).to_be_visible()
    checked(page)

    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/statements/", f"/statements/{last:%Y-%m}/", "/months/", f"/months/{last:%Y-%m}/"):
            page.goto(live_server.url + path)
            checked(page)
    page.get_by_role("link", name="Close the month").click()
    page.get_by_label("Why it can be closed").fill("invoices compared")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="This cannot be undone")).to_be_visible()
    checked(page)
    assert not Month.objects.exists()
    page.get_by_role("button", name=f"Close {last:%B %Y} for good").click()
    expect(page.get_by_text("Its totals never change from now on.")).to_be_visible()
    checked(page)

    month = Month.objects.get()
    assert (month.label, month.closed_by, month.reason) == (last, EMAIL, "invoices compared")
    assert (heard.complaints, len(heard.hosts)) == ([], 1)


def restate_in_the_background(job: Job, at) -> None:
    while not running.run(job, at=at):
        pass
