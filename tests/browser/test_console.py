"""The console in a real Chromium: what no test of HTML can see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from axe_core_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, ViewportSize, expect

from alerts.services import raising
from catalog.models import Tier
from tests.browser.looks import NARROW, WALKED, WIDE, Theme
from tests.browser.screenshots import settled, sign_in
from tests.dashboards.seeing import book, call
from tests.factories import make_budget, make_user
from tests.usage import making
from usage.services import outlooks

expect.set_options(timeout=60_000)
EMAIL, PASSWORD = "finance@example.com", "correct horse battery"
# Violations of the policy that a page saw, also those of scripts that catch their own errors.
LISTEN = (
    "window.refused = []; addEventListener('securitypolicyviolation', event => refused.push(event.violatedDirective))"
)
# Returns the violations alone: what else axe tells is long, and would be handed over with them.
AXE = "async ([context, options]) => (await axe.run(context, options)).violations"


@dataclass
class Heard:
    """What a browser complained about, and where it went."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def listen(self, page: Page) -> None:
        page.add_init_script(LISTEN)
        page.on("console", lambda one: self.complaints.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # A browser gives up the icon of a page that is left at once; what the policy refuses is named otherwise.
        page.on("requestfailed", lambda one: self._failed(one.url, str(one.failure)))
        page.on("request", lambda one: self.hosts.add(urlsplit(one.url).netloc))

    def _failed(self, url: str, why: str) -> None:
        if "net::ERR_ABORTED" not in why:
            self.complaints.append(f"{url} {why}")


def fill_in() -> int:
    """Book three weeks of a small company and return the id of a budget that is past its first threshold."""
    making.make_priced_offering()
    making.make_offering("deepseek-v4-flash@deepseek", tier=Tier.ECONOMY, uncached_input="1")
    make_user("finance", email=EMAIL, password=PASSWORD)
    now = timezone.now()
    budget = make_budget(unit="usd", amount=Decimal(8), scope={}, at=now - timedelta(days=25), name="Everything")
    cheap = {"provider": "deepseek", "model": "deepseek-v4-flash", "use_case": "invoice-extraction", "team": "finance"}
    for days_ago in range(20, -1, -1):
        at = now - timedelta(days=days_ago)
        book(call(at=at, usd=days_ago % 5 + 1), call(at=at, usd=2, **cheap), call(at=at, status="error"))
    book(call(at=now, model="mystery"))
    outlooks.look(at=now)
    raising.raise_alert(
        kind="test", dedupe_key="test", severity=20, title="Something to look at", subject_kind="test",
        subject_id=None,
        team_ids=[],
        budget_id=None,
        facts={"summary": "Look."}, at=now,
    )  # fmt: skip
    return budget.pk


def checked(page: Page) -> None:
    """Hold a page that is shown to the policy, to accessibility and to the width of the screen, in both looks."""
    _accessible(page)
    shown = page.viewport_size
    assert shown is not None
    narrow, dark = shown["width"] == NARROW.width, page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    here, other = ("dark", "light") if dark else ("light", "dark")
    _turned(page, other, {**shown, "width": (WIDE if narrow else NARROW).width})
    _accessible(page, only=("color-contrast", "scrollable-region-focusable"))
    _turned(page, here, shown)


def _turned(page: Page, theme: Theme, size: ViewportSize) -> None:
    """Give a page another look and wait until it has it."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(size)
    # A page hears of its new look with the next frame, and has its colours with the one after.
    page.wait_for_function("look => document.documentElement.dataset.bsTheme === look", arg=theme)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    # Chromium may keep a colour by light-dark() of what was not painted since. Laid out anew, everything has its own.
    page.evaluate(
        "() => { const body = document.body; body.style.display = 'none'; body.offsetHeight; body.style.display = ''; }"
    )


def _accessible(page: Page, *, only: Sequence[str] = ()) -> None:
    settled(page)
    assert page.evaluate("window.refused") == []
    # Of what is in order it need not tell: on a long page that takes longer than finding out. Nor need it fetch what
    # the page has loaded already (for rules that nobody asks for), or say in CSS where a violation is.
    options: dict[str, object] = {"resultTypes": ["violations"], "preload": False, "selectors": False}
    if only:
        options["runOnly"] = list(only)
    # A drawing is one picture to a screen reader: `role="img"` with a sentence. Its thousands of parts are left out.
    # What is folded away keeps the colours of the theme before until it is opened.
    left_out = [[".js-plotly-plot"], ["details:not([open]) > :not(summary)"]]
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate(AXE, [{"exclude": left_out}, options])
    assert [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"


def charts_drawn(page: Page) -> int:
    return page.locator("[data-chart-state=drawn]:has(svg.main-svg)").count()


def walk(browser: Browser, address: str, budget_id: int, *, width: int, theme: str) -> Heard:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard = Heard()
    heard.listen(page)

    sign_in(page, address, EMAIL, PASSWORD)
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    checked(page)
    assert charts_drawn(page) >= 4

    page.get_by_role("link", name="Use case", exact=True).click()
    expect(page.get_by_role("heading", name="Spend per day by use case")).to_be_visible()
    expect(page.locator("#spend-breakdown [data-chart-state=drawn]")).to_be_visible()
    expect(page).to_have_url(f"{address}/?by=use_case")
    expect(page.locator("#spend-breakdown .legendtext", has_text="invoice-extraction")).to_be_visible()
    checked(page)
    page.locator("#spend-breakdown summary", has_text="Numbers of this chart").click()
    expect(page.locator("#spend-breakdown table")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Spend per day by tier")).to_be_visible()

    page.goto(f"{address}/budgets/")
    checked(page)
    page.get_by_role("link", name="Everything").click()
    page.wait_for_url(f"{address}/budgets/{budget_id}/")
    checked(page)
    assert charts_drawn(page) == 1
    for path in ("/budgets/new/", "/alerts/"):
        page.goto(address + path)
        checked(page)
    page.get_by_role("link", name="Something to look at").click()
    expect(page.get_by_role("heading", name="Something to look at", level=1)).to_be_visible()
    checked(page)

    context.close()
    return heard


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_the_console_works_in_a_browser_at_both_widths_and_in_both_themes(live_server, browser):
    budget_id = fill_in()
    host = urlsplit(live_server.url).netloc

    for width, theme in WALKED:
        heard = walk(browser, live_server.url, budget_id, width=width, theme=theme)

        assert heard.complaints == [], (width, theme)
        assert heard.hosts == {host}, (width, theme)


@pytest.mark.django_db(transaction=True)
def test_without_scripts_the_numbers_are_there_all_the_same(live_server, browser):
    fill_in()

    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, live_server.url, EMAIL, PASSWORD)
    page.get_by_role("link", name="Model", exact=True).click()
    page.wait_for_url("**/?by=model")
    page.locator("#spend-breakdown summary", has_text="Numbers of this chart").click()

    expect(page.locator("#spend-breakdown table")).to_contain_text("deepseek-v4-flash")
