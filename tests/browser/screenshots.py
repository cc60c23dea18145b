"""Pictures of the console, for people and for the documentation.

    python tests/browser/screenshots.py http://127.0.0.1:8000 admin@example.com PASSWORD DIRECTORY [PAGE...]

Writes a PNG per page, width and theme, of the whole page or, with `TALLEST=1600` in the environment, of at most so many
pixels of it. Pages are `overview`, `budgets`, `budget` (the first of the
list), `new-budget`, `alerts` and `alert`; all of them where none is named.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATHS = {
    "overview": "/",
    "budgets": "/budgets/",
    "budget": "/budgets/",
    "new-budget": "/budgets/new/",
    "alerts": "/alerts/?state=all",
    "alert": "/alerts/?state=all",
    "spend": "/spend/",
    "routing": "/routing/",
    "rules": "/rules/production/",
    "history": "/rules/production/history/",
    "compare": "/rules/production/compare/",
    "hits": "/rules/production/hits/?days=30",
    "try": "/rules/production/try/?use_case=code-review&task=code&complexity=0.9",
    "switches": "/rules/production/switches/",
    "fleet": "/rules/production/fleet/",
    "reviews": "/rules/production/reviews/",
    "duties": "/duties/",
    "switch": "/rules/production/switches/1/",
    "switch-off": "/rules/production/switches/off/",
    "new-draft": "/rules/production/drafts/new/",
    "catalog": "/catalog/",
    "offering": "/catalog/claude-opus-4.7@anthropic/",
    "offering-tier": "/catalog/claude-opus-4.7@anthropic/tier/",
    "attention": "/attention/",
    "reported": "/attention/reported/",
    "prices": "/prices/",
    "new-price": "/prices/new/?offering=claude-opus-4.7@anthropic",
    "contracts": "/prices/contracts/",
    "new-contract": "/prices/contracts/new/",
    "hours": "/prices/hours/",
    "import": "/prices/import/",
    "proposals": "/prices/import/1/",
    "restatements": "/restatements/",
    "months": "/months/",
    "reconciliation": "/reconciliation/",
    "reconciliation-model": "/reconciliation/model/?provider=anthropic&model=claude-opus-4.7",
    "statements": "/reconciliation/files/",
    "sums": "/reconciliation/sums/",
    "retention": "/reconciliation/retention/",
    "gateways": "/gateways/",
    "gateway": "/gateways/",
    "gateway-settings": "/gateways/1/settings/",
    "intake": "/intake/",
    "set-aside": "/intake/?show=failed",
    "held": "/intake/held/",
    "new-gateway": "/gateways/new/",
    "usage-imports": "/gateways/imports/",
    "usage-import": "/gateways/imports/1/",
    "search": "/search/?q=support",
}
TALLEST = int(os.environ.get("TALLEST", "20000"))
SIZES = {1440: 900, 390: 844}


def chromium() -> str:
    """Return the browser of the system.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("no Chromium on the PATH")


def sign_in(page: Page, address: str, email: str, password: str) -> None:
    page.goto(f"{address}/accounts/login/")
    page.fill("input[name=login]", email)
    page.fill("input[name=password]", password)
    page.click("main button[type=submit]")
    page.wait_for_url(lambda url: "/accounts/login/" not in url)


def settled(page: Page) -> None:
    """Wait until every chart is drawn."""
    page.wait_for_function(
        "[...document.querySelectorAll('[data-chart]')].every(chart => chart.dataset.chartState === 'drawn')"
    )


def take(browser: Browser, *, address: str, email: str, password: str, directory: Path, names: list[str]) -> list[Path]:
    written = []
    for width, height in SIZES.items():
        for theme in ("light", "dark"):
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
            page = context.new_page()
            sign_in(page, address, email, password)
            for name in names:
                page.goto(f"{address}{PATHS[name]}")
                if name in ("budget", "alert", "gateway"):
                    link = page.locator("main tbody th a").first
                    if not link.count():
                        continue
                    link.click()
                    page.wait_for_load_state()
                settled(page)
                target = directory / f"{name}-{theme}-{width}.png"
                height_of_page = page.evaluate("document.documentElement.scrollHeight")
                page.screenshot(
                    path=target,
                    full_page=True,
                    clip={"x": 0, "y": 0, "width": width, "height": min(height_of_page, TALLEST)},
                )
                written.append(target)
            context.close()
    return written


def main(address: str, email: str, password: str, directory: str, *names: str) -> None:
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            for path in take(
                browser,
                address=address.rstrip("/"),
                email=email,
                password=password,
                directory=folder,
                names=list(names) or list(PATHS),
            ):
                sys.stdout.write(f"{path}\n")
        finally:
            browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
