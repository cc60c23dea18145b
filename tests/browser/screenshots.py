"""Pictures of the console, for people and for the documentation.

    python tests/browser/screenshots.py http://127.0.0.1:8000 admin@example.com PASSWORD DIRECTORY [PAGE...]

Writes a PNG per page, width and theme, of the whole page or, with `TALLEST=1600` in the environment, of at most so many
pixels of it. Pages are those of `PATHS`, of `CLICKED` the first of their list; all of them where none is named.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATHS = {
    "overview": "/",
    "changes": "/changes/",
    "savings": "/savings/",
    "goals": "/goals/",
    "budgets": "/budgets/",
    "budget": "/budgets/",
    "new-budget": "/budgets/new/",
    "edit-budget": "/budgets/1/edit/",
    "budget-plan": "/budgets/1/plan/?use=mean&percent=10",
    "limit-requests": "/budgets/requests/",
    "budgets-file": "/budgets/file/",
    "alerts": "/alerts/?state=all",
    "alert": "/alerts/?state=all",
    "acknowledge": "/alerts/2/acknowledge/",
    "deliveries": "/alerts/deliveries/",
    "channels": "/channels/",
    "channel": "/channels/1/",
    "new-channel": "/channels/new/?kind=slack",
    "spend": "/spend/",
    "spend-treemap": "/spend/?then=model&chart=treemap",
    "saved-views": "/spend/views/",
    "entries": "/entries/",
    "event": "/entries/?status=ok",
    "find-event": "/events/?id=nobody",
    "search": "/search/?q=support",
    "me": "/me/",
    "routing": "/routing/",
    "rules": "/rules/production/",
    "history": "/rules/production/history/",
    "compare": "/rules/production/compare/",
    "hits": "/rules/production/hits/?days=30",
    "try": "/rules/production/try/?use_case=code-review&task=code&complexity=0.9",
    "switches": "/rules/production/switches/",
    "fleet": "/rules/production/fleet/",
    "reviews": "/rules/production/reviews/",
    "rules-forms": "/rules/production/forms/",
    "duties": "/duties/",
    "switch": "/rules/production/switches/1/",
    "switch-off": "/rules/production/switches/off/",
    "new-draft": "/rules/production/drafts/new/",
    "use-cases": "/use-cases/",
    "use-case": "/use-cases/",
    "edit-use-case": "/use-cases/2/edit/",
    "teams": "/teams/",
    "team": "/teams/",
    "model": "/models/claude-opus-4.7/",
    "exports": "/exports/",
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
    "month-statements": "/statements/",
    "month-statement": "/statements/",
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
    "forms": "/rules/production/forms/",
    "new-gateway": "/gateways/new/",
    "connect": "/gateways/new/?kind=litellm-hook",
    "connected": "/gateways/1/connect/",
    "usage-imports": "/gateways/imports/",
    "usage-import": "/gateways/imports/1/",
}
TALLEST = int(os.environ.get("TALLEST", "20000"))
# Pages of which a list names the first.
CLICKED = ("budget", "alert", "gateway", "month-statement", "use-case", "team", "event")
SIZES = {1440: 900, 390: 844}


def launch(playwright: Playwright) -> Browser:
    """Start the system's Chromium. Where its shell without windows is there, too, it does the same in half the time.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
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


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a picture is taken; at a `scale` of 0.5 it has half as many pixels each way."""

    width: int
    theme: str
    scale: float = 1


EVERY = tuple(Shape(width=width, theme=theme) for width in SIZES for theme in ("light", "dark"))


def take(
    browser: Browser,
    *,
    address: str,
    email: str,
    password: str,
    directory: Path,
    names: Mapping[str, str] | None = None,
    shapes: Sequence[Shape] = EVERY,
    tallest: int = TALLEST,
) -> list[Path]:
    """Take pages in each shape; `names` says which, and what their files are called, else all by page, theme, width."""
    written = []
    for shape in shapes:
        context = browser.new_context(
            viewport={"width": shape.width, "height": SIZES[shape.width]},
            color_scheme=shape.theme,
            device_scale_factor=shape.scale,
        )
        page = context.new_page()
        sign_in(page, address, email, password)
        for name in names or PATHS:
            page.goto(f"{address}{PATHS[name]}")
            if name in CLICKED:
                link = page.locator("main tbody th a").first
                if not link.count():
                    continue
                link.click()
                page.wait_for_load_state()
            settled(page)
            file = names[name] if names else f"{name}-{shape.theme}-{shape.width}"
            height_of_page = page.evaluate("document.documentElement.scrollHeight")
            page.screenshot(
                path=directory / f"{file}.png",
                full_page=True,
                clip={"x": 0, "y": 0, "width": shape.width, "height": min(height_of_page, tallest)},
            )
            written.append(directory / f"{file}.png")
        context.close()
    return written


def main(address: str, email: str, password: str, directory: str, *names: str) -> None:
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, launch(playwright) as browser:
        signed = {"address": address.rstrip("/"), "email": email, "password": password, "directory": folder}
        for shape in EVERY:
            files = {name: f"{name}-{shape.theme}-{shape.width}" for name in names or PATHS}
            for path in take(browser, **signed, names=files, shapes=[shape]):
                sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
