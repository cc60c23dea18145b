"""A request tried in a real Chromium: decided there as one types, compared with the server, its text kept there."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.screenshots import sign_in
from tests.browser.test_console import Heard, checked
from tests.clients.javascript.test_vectors import CASES, HASHES, REFUSED, fails
from tests.factories import make_use_case, make_user
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_draft, make_rule, make_version, stock

expect.set_options(timeout=60_000)
PASSWORD = "correct horse battery"
LEAD = "engineer@example.com"
LABELS = {
    "tasks": [{"task": "code", "any": [{"count": "keywords", "words": ["bug"], "at_least": 1}]}],
    "complexity": [{"points": 80, "count": "lines", "at_least": 2}],
}
SECRET = "the bug of Ångström\nsecret-of-ours \U0001f600"


@pytest.fixture
def address(live_server) -> str:
    stock()
    make_use_case("code-review")
    make_version(make_content(make_rule(), heuristics=LABELS), at=timezone.now())
    make_user("engineer", email=LEAD, password=PASSWORD)
    return f"{live_server.url}/rules/production/"


def same(page: Page) -> None:
    expect(page.get_by_text("The server decides the same.")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_a_request_is_decided_as_one_types_and_its_text_never_leaves_the_browser(live_server, browser, address):
    draft = make_draft(
        make_content(make_rule(targets=[{"offering": CHEAP, "weight": 10000}]), heuristics=LABELS), at=timezone.now()
    )
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    heard, sent = Heard(), []
    heard.listen(page)
    page.on("request", lambda one: sent.append(one))
    sign_in(page, live_server.url, LEAD, PASSWORD)

    page.goto(f"{address}drafts/{draft.pk}/try/")
    expect(page.locator("form[data-ready]")).to_be_visible()
    expect(page.get_by_text("Fill in what you know of the request")).to_be_visible()
    page.context.set_offline(True)
    page.locator("[name=use_case]").fill("Code-Review")
    page.locator("[name=text]").fill(SECRET)
    expect(page.locator(".tk-answer h2")).to_have_text([CHEAP, OPUS])  # with no network at all
    expect(page.get_by_text("+80 points: at least 2 lines (2 found)")).to_have_count(2)
    expect(page.get_by_text("This request would go another way than it does now.")).to_be_visible()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try it").click()
    same(page)
    checked(page)
    page.locator("[name=complexity]").fill("0,8")
    expect(page.get_by_role("note").get_by_text("Complexity: Write a number such as 1200 or 0.75.")).to_be_visible()
    page.locator("[name=complexity]").fill("0.1")
    page.locator("[name=task]").fill("chat")
    expect(page.get_by_text("This request goes the same way as now.")).to_be_visible()
    same(page)
    page.locator("[name=at]").fill("2026-12-01T08:30")
    page.locator("[name=at]").blur()
    same(page)

    asked = urlsplit(page.url).query
    assert "use_case=Code-Review" in asked
    assert "complexity=0.1" in asked
    assert [one.url for one in sent if told(one, "secret") or told(one, "ngstr")] == []
    assert [one.post_data for one in sent if told(one, "task=code") and told(one, "complexity=0.8")] != []
    assert [one for one in heard.complaints if "ERR_INTERNET_DISCONNECTED" not in one] == []
    assert heard.hosts == {urlsplit(live_server.url).netloc}


def told(request: Request, text: str) -> bool:
    return text in request.url or text in (request.post_data or "")


@pytest.mark.django_db(transaction=True)
def test_where_server_and_browser_differ_the_page_says_so_and_a_new_version_is_no_difference(
    live_server, browser, address
):
    page = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark").new_page()
    heard = Heard()
    heard.listen(page)
    sign_in(page, live_server.url, LEAD, PASSWORD)
    asked = f"{address}try/?use_case=code-review&task=code&complexity=0.9"

    def otherwise(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["decisions"][0] |= {"offering": CHEAP, "reason": "over_budget"}
        route.fulfill(response=answer, body=json.dumps(body))

    page.goto(asked)
    same(page)
    make_version(
        make_content(make_rule(targets=[{"offering": MIDDLE, "weight": 10000}], fallbacks=[CHEAP])), at=timezone.now()
    )
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".tk-answer h2")).to_have_text(MIDDLE)
    expect(page.get_by_text("Version 2, in force", exact=True)).to_be_visible()
    same(page)
    page.route("**/check/", otherwise)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("Version 2, in force: the server decides otherwise.")).to_contain_text(
        f"Here {MIDDLE} (rule), there {CHEAP} (over_budget)."
    )
    expect(page.get_by_text("The server does not decide the same.")).to_be_visible()
    checked(page)
    assert heard.complaints == []


@pytest.mark.django_db(transaction=True)
def test_without_scripts_the_form_asks_the_server(live_server, browser, address):
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, live_server.url, LEAD, PASSWORD)

    page.goto(f"{address}try/")
    page.locator("[name=use_case]").fill("code-review")
    page.locator("[name=text]").fill(SECRET)
    page.get_by_role("button", name="Try it").click()

    expect(page.locator(".tk-answer h2")).to_have_text(OPUS)
    expect(page.get_by_text("+80 points: at least 2 lines (2 found)")).to_be_visible()
    assert urlsplit(page.url).query == ""


IN_A_BROWSER = """async ({cases, hashes, refused}) => {
  const { compile } = await import("/static/client/evaluator.mjs");
  const { hash } = await import("/static/client/splits.mjs");
  const { problemOf } = await import("/static/client/validator.mjs");
  return {
    decided: cases.map(({document, context, now}) => compile(document).explain(context, now)),
    hashes: hashes.map(({text}) => hash(text)),
    refused: refused.map(({document}) => problemOf(document) !== null),
  };
}"""


@pytest.mark.django_db(transaction=True)
def test_a_browser_runs_every_vector(live_server, browser):
    page = browser.new_page()
    page.goto(f"{live_server.url}/healthz")

    told = page.evaluate(IN_A_BROWSER, {"cases": CASES, "hashes": HASHES, "refused": REFUSED})

    assert [case["title"] for case, one in zip(CASES, told["decided"], strict=True) if fails(case, one)] == []
    assert told["hashes"] == [case["hash"] for case in HASHES]
    assert told["refused"] == [case["refused"] for case in REFUSED]
