"""A platform engineer connects the first gateway: from an empty house to green, by what the page says alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from core.models import ApiKey
from routing.serving.shelf import SHELF
from tests.browser.looks import in_each_look
from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.factories import make_user
from tests.running import eventually
from tests.usage import making
from usage.models import LedgerEntry, Receipt

EMAIL, PASSWORD = "platform@example.com", "correct horse battery"
ROOT = Path(__file__).resolve().parents[2]


def run(page: Page) -> None:
    """Do as the page's lines say: the variables of its first, the code of its second."""
    shell, code = page.locator(".tk-paste code").all()[:2]
    exported = [line.removeprefix("export ").split("=", 1) for line in shell.inner_text().splitlines()[1:]]
    environment = {**os.environ, **dict(exported), "PYTHONPATH": str(ROOT / "clients/python/src")}
    subprocess.run([sys.executable, "-c", code.inner_text()], env=environment, check=True, timeout=120)


def knock(address: str, secret: str) -> None:
    """Send an event with a key."""
    request = urllib.request.Request(f"{address}/api/v1/usage/events", b"{}", {"Authorization": f"Bearer {secret}"})
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request)


@pytest.mark.django_db(transaction=True)
@in_each_look
def test_a_gateway_is_connected_by_the_page_alone_and_told_what_is_wrong_on_the_way(
    live_server, browser, settings, width, theme, tmp_path, monkeypatch
):
    settings.BASE_URL = live_server.url
    monkeypatch.setenv("TOLLKEEPER_CLIENT_DIR", str(tmp_path))
    making.make_priced_offering()
    make_user("platform", email=EMAIL, password=PASSWORD)
    heard = Heard()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
    heard.listen(page)
    sign_in(page, live_server.url, EMAIL, PASSWORD)

    page.get_by_role("link", name="Connect a gateway").click()
    expect(page.get_by_role("heading", name="Connect a gateway", level=1)).to_be_visible()
    checked(page)
    page.get_by_role("link", name="Python", exact=True).click()
    checked(page)
    page.get_by_role("button", name="Make the key, show the lines").click()
    expect(page.get_by_role("heading", name="Its key, shown this once")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/gateways/\d+/connect/\?"))  # a reload asks for nothing a second time
    checked(page)

    knock(live_server.url, "tk_ab12" + "x" * 39)
    expect(page.get_by_text("starting tk_ab12, was tried once at usage/events")).to_be_visible()
    run(page)
    SHELF.polls.write(now=time.time())  # what a process of its own does every few seconds
    expect(page.locator("#step-arrived.tk-watch__step--done")).to_be_visible()
    assert Receipt.objects.count() == 1
    making.book(at=timezone.now() + timedelta(seconds=1))
    expect(page.get_by_role("heading", name="It is connected")).to_be_visible()
    checked(page)
    entry = LedgerEntry.objects.select_related("use_case").get()
    assert (entry.use_case.name, entry.uncached_input_tokens) == ("support-routing", 1200)
    assert page.locator("#watch").get_attribute("hx-trigger") is None

    secret = page.locator("#secret").inner_text()
    page.reload()
    expect(page.get_by_role("heading", name="connected well?")).to_be_visible()
    expect(page.locator(".tk-paste").first).to_contain_text("YOUR-KEY")
    assert secret not in page.content()
    checked(page)
    context.close()

    assert ApiKey.objects.count() == 1
    assert (heard.complaints, heard.hosts) == ([], {urlsplit(live_server.url).netloc})


@pytest.mark.django_db(transaction=True)
def test_without_scripts_a_link_looks_again(live_server, browser, settings):
    settings.BASE_URL = live_server.url
    making.make_priced_offering()
    make_user("platform", email=EMAIL, password=PASSWORD)
    context = browser.new_context(viewport={"width": 390, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server.url, EMAIL, PASSWORD)
    page.goto(f"{live_server.url}/gateways/new/?kind=otlp")
    page.get_by_role("button", name="Make the key, show the lines").click()

    send = page.locator("#send").inner_text()
    subprocess.run(["/bin/sh", "-c", send], check=True, capture_output=True, timeout=60)
    assert eventually(Receipt.objects.exists)
    making.book(at=timezone.now() + timedelta(seconds=1))
    expect(page.get_by_role("heading", name="Waiting for it")).to_be_visible()
    page.get_by_role("link", name="Look again").click()

    expect(page.get_by_role("heading", name="It is connected")).to_be_visible()
    context.close()
