"""A finance lead finds what made the week dearer, follows it down to one event, and takes the numbers along."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from openpyxl import load_workbook
from playwright.sync_api import Locator, Page, expect

from catalog.models import Tier
from tests.browser.looks import in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.dashboards.seeing import book, call
from tests.factories import make_user
from tests.usage import making

expect.set_options(timeout=60_000)
EMAIL, PASSWORD = "finance@example.com", "correct horse battery"
CHEAP = {"provider": "deepseek", "model": "deepseek-v4-flash"}
REVIEW = {"use_case": "code-review", "team": "platform"}


def two_weeks() -> None:
    """Book a week in which code-review runs on a cheap model, and one in which most of it goes to a dear one."""
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", tier=Tier.ECONOMY, uncached_input="1")
    now = timezone.now()
    for days_ago in range(15, 0, -1):
        at = now - timedelta(days=days_ago)
        book(
            call(at=at, usd=2, **REVIEW, **CHEAP), call(at=at, usd=2, **REVIEW, **({} if days_ago <= 7 else CHEAP)),
            call(at=at, usd=3),
        )  # fmt: skip


def taken(page: Page, link: Locator) -> bytes:
    """Return what a link downloads."""
    with page.expect_download() as waited:
        link.click()
    return Path(waited.value.path()).read_bytes()


def total_of_csv(body: bytes) -> Decimal:
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    return next(Decimal(row["cost_usd"]) for row in rows if "TOTAL" in row.values())


def total_of_workbook(body: bytes) -> Decimal:
    sheet: Any = load_workbook(io.BytesIO(body)).active
    head, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    return next(Decimal(str(row[head.index("cost_usd")])) for row in rows if "TOTAL" in row)


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_a_finance_lead_finds_what_made_it_dearer_follows_it_to_one_event_and_exports_it(
    live_server, browser, width, theme
):
    two_weeks()
    make_user("finance", email=EMAIL, password=PASSWORD)
    heard = Heard()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    sign_in(page, live_server.url, EMAIL, PASSWORD)

    # What changed most, and why: the bridge and its words.
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    mover = page.locator(".tk-movers li", has_text="code-review")
    expect(mover).to_contain_text("$11.20 more")  # seven calls, each 2 dollars and not 40 cents
    page.get_by_role("link", name="All changes").click()
    expect(page).to_have_url(re.compile(r"/changes/\?from="))
    expect(page.get_by_role("heading", name="What changed", level=1)).to_be_visible()
    checked(page)

    # The model that drove it, in the explorer.
    page.locator(".tk-movers a", has_text="code-review").click()
    expect(page).to_have_url(re.compile(r"/spend/\?.*use_case=code-review"))
    row = page.locator("#spend-table tbody tr", has_text="gpt-5.5")
    expect(row).to_be_visible()
    shown = page.locator("#spend-table tfoot [title^='$']").first.get_attribute("title")
    assert shown is not None
    total = Decimal(shown.lstrip("$").replace(",", ""))
    checked(page)

    # What is shown, as files.
    page.locator("#spend-table summary[aria-label='Download the table']").click()
    as_csv = taken(page, page.get_by_role("link", name="This table (CSV)"))
    page.locator("#spend-table summary[aria-label='Download the table']").click()
    as_workbook = taken(page, page.get_by_role("link", name="This table (Excel)"))

    # Its entries, and one event with all of its story.
    row.get_by_role("link", name="Entries of gpt-5.5").click()
    expect(page).to_have_url(re.compile(r"/entries/\?.*model=gpt-5\.5"))
    entries = page.locator("#entries tbody tr")
    expect(entries).to_have_count(7)
    checked(page)
    entries.first.locator("a[href^='/events/']").first.click()
    expect(page).to_have_url(re.compile(r"/events/\d+/[0-9a-f]{32}/"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Event")
    expect(page.locator("main")).to_contain_text("gpt-5.5@openai")
    checked(page)

    assert total == 7 * (2 + Decimal("0.4"))
    assert (total_of_csv(as_csv), total_of_workbook(as_workbook)) == (total, total)
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})
