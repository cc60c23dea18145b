"""`make screenshots`: pictures of every page for the documentation, of the demo that runs here or of one of its own.

    python -m tests.browser.documented

`docs/screenshots/` gets those that the README shows, at full size, and `docs/screenshots/pages/` every page at both
widths, light and dark, at half of it: some twenty megabytes in all. Names are those of `screenshots.PATHS`, so a second
run writes over the first. A demo of its own takes some minutes to fill, and is gone afterwards.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from controlplane.bench.houses import free_port
from controlplane.embedded import discovery
from controlplane.embedded.servers import temporary_dir
from tests.browser import screenshots
from tests.browser.screenshots import Shape

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "screenshots"
EMAIL, PASSWORD = "admin@nordlicht.example", "tollkeeper-demo"  # the demo's, and printed by it
# What the README shows, or may: name of the file, page, and shape.
LARGE = {
    "overview-light": ("overview", Shape(width=1440, theme="light")),
    "overview-dark": ("overview", Shape(width=1440, theme="dark")),
    "overview-phone": ("overview", Shape(width=390, theme="light")),
    "budgets": ("budgets", Shape(width=1440, theme="light")),
    "budget": ("budget", Shape(width=1440, theme="light")),
    "spend": ("spend", Shape(width=1440, theme="light")),
    "changes": ("changes", Shape(width=1440, theme="light")),
    "routing": ("routing", Shape(width=1440, theme="light")),
    "rules": ("rules", Shape(width=1440, theme="light")),
}
TALLEST = 1800  # pixels of a page; half of it in the small pictures


def main() -> None:
    with _demo() as address, sync_playwright() as playwright, screenshots.launch(playwright) as browser:
        signed = {"address": address, "email": EMAIL, "password": PASSWORD, "tallest": TALLEST}
        for name, (page, shape) in LARGE.items():
            _tell(screenshots.take(browser, **signed, directory=PICTURES, names={page: name}, shapes=[shape]))
        small = [
            Shape(width=width, theme=theme, scale=0.5) for width in screenshots.SIZES for theme in ("light", "dark")
        ]
        _tell(screenshots.take(browser, **signed, directory=PICTURES / "pages", shapes=small))


@contextmanager
def _demo() -> Iterator[str]:
    """Give the address of the demo that runs in the usual place, or TOLLKEEPER_DATA_DIR; else start one."""
    usual = discovery.data_dir(os.environ.get("TOLLKEEPER_DATA_DIR"))
    if running := discovery.defaults(usual).get("TOLLKEEPER_BASE_URL"):
        yield running
        return
    port = free_port()
    with temporary_dir("tollkeeper-pictures-") as data:
        argv = [sys.executable, "manage.py", "demo", "--port", str(port), "--data-dir", str(data)]
        demo = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert demo.stdout is not None
            for line in demo.stdout:
                sys.stdout.write(line)
                if "Sign in" in line:
                    break
            else:
                raise SystemExit("The demo did not start.")
            yield f"http://127.0.0.1:{port}"
        finally:
            demo.terminate()
            demo.wait()


def _tell(written: list[Path]) -> None:
    for path in written:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
